"""libfeavis.so by ctypes: where it is, its structs, the calls that are used here.

The structs are those of the public headers; they keep their sizes while the soname does.
"""

from __future__ import annotations

import ctypes as c
import os
from pathlib import Path
from typing import Any

from .errors import BY_CODE, Error

SONAME = "libfeavis.so.0"

P = c.c_void_p
floats = c.POINTER(c.c_float)
text = c.c_char_p


class Picture(c.Structure):
    _fields_ = [("width", c.c_int), ("height", c.c_int), ("rgb", P)]


class Progress(c.Structure):
    _fields_ = [("step", c.c_int), ("steps", c.c_int), ("loss", c.c_float),
                ("cosine", c.c_float), ("neuron", c.c_float), ("gradient", c.c_float),
                ("seconds", c.c_double), ("rate", c.c_double), ("restored", c.c_int),
                ("dropped", c.c_int), ("reserved", c.c_double * 4)]


class TextReport(c.Structure):
    _fields_ = [("used", c.c_int), ("dropped", c.c_int), ("unknown", c.c_int),
                ("little", c.c_char * 160), ("reserved", c.c_int * 4)]


class Layer(c.Structure):
    _fields_ = [("name", text), ("rows", c.c_int), ("columns", c.c_int), ("channels", c.c_int)]


class Activations(c.Structure):
    _fields_ = [("layer", text), ("values", floats), ("views", c.c_int), ("rows", c.c_int),
                ("columns", c.c_int), ("channels", c.c_int)]


class Option(c.Structure):
    _fields_ = [("name", text), ("group", text), ("value", text), ("help", text),
                ("choices", text), ("low", c.c_double), ("high", c.c_double), ("kind", c.c_int),
                ("flags", c.c_uint), ("offset", c.c_size_t)]


class Part(c.Structure):
    _fields_ = [("kind", c.c_int), ("name", c.c_char * 64), ("weight", c.c_float),
                ("value", c.c_float), ("guide", c.c_int)]


PROGRESS = c.CFUNCTYPE(c.c_bool, P, c.POINTER(Progress))
TERM = c.CFUNCTYPE(c.c_int, P, c.POINTER(Activations), c.POINTER(c.c_double), floats)
EMBED = c.CFUNCTYPE(c.c_bool, P, c.c_int, c.c_int, text)

# name: what it returns ("!": a status, which is checked), then its arguments
CALLS: dict[str, tuple[Any, ...]] = {
    "fv_version": (text,),
    "fv_error": (text,),
    "fv_free": (None, P),
    "fv_home": (text,),
    "fv_set_home": ("!", text),
    "fv_option_at": (c.POINTER(Option), c.c_int),
    "fv_options_new": ("!", P),
    "fv_options_free": (None, P),
    "fv_options_take": ("!", P, P, c.c_uint),
    "fv_options_is_default": (c.c_bool, P, text),
    "fv_options_set": ("!", P, text, text),
    "fv_options_get": (text, P, text),
    "fv_options_wake_channels": ("!", P),
    "fv_options_add_term": ("!", P, text, c.c_float, TERM, P),
    "fv_preset_open": ("!", P, text),
    "fv_preset_apply_for": ("!", P, text, P),
    "fv_preset_close": (None, P),
    "fv_recipe_apply": ("!", P, text, text),
    "fv_recipe_read": ("!", P, text),
    "fv_model_open": ("!", P, P),
    "fv_model_close": (None, P),
    "fv_model_title": (text, P),
    "fv_model_backend": (text, P),
    "fv_model_fingerprint": (text, P),
    "fv_model_image_size": (c.c_int, P),
    "fv_model_channels": (c.c_int, P),
    "fv_model_dim": (c.c_int, P),
    "fv_model_embed_text": ("!", P, text, floats, c.POINTER(TextReport)),
    "fv_model_describe": ("!", P, P, P, c.c_bool),
    "fv_layers_open": ("!", P, P),
    "fv_layers_close": (None, P),
    "fv_layers_at": (c.c_bool, P, c.c_int, c.POINTER(Layer)),
    "fv_image_encoder_open": ("!", P, P, c.c_int, c.POINTER(text), c.c_int),
    "fv_image_encoder_close": (None, P),
    "fv_image_encoder_layer": (c.c_bool, P, c.c_int, c.POINTER(Layer)),
    "fv_image_encoder_pixels": ("!", P, c.POINTER(Picture), floats),
    "fv_image_encoder_forward": ("!", P, floats, floats),
    "fv_image_encoder_read": ("!", P, c.c_int, floats),
    "fv_image_encoder_backward": ("!", P, floats, c.POINTER(floats), floats),
    "fv_embedder_open": ("!", P, P, c.c_int),
    "fv_embedder_close": (None, P),
    "fv_embed_pictures": ("!", P, c.POINTER(text), c.c_int, floats, c.POINTER(c.c_bool), EMBED, P),
    "fv_picture_read": ("!", c.POINTER(Picture), text),
    "fv_picture_write": ("!", c.POINTER(Picture), text, text),
    "fv_picture_free": (None, c.POINTER(Picture)),
    "fv_session_open": ("!", P, P, P),
    "fv_session_resume": ("!", P, P, P, text),
    "fv_session_read_options": ("!", P, text),
    "fv_session_close": (None, P),
    "fv_session_run": ("!", P, PROGRESS, P),
    "fv_session_step": ("!", P, c.POINTER(Progress)),
    "fv_session_cancel": (None, P),
    "fv_session_set": ("!", P, text, text),
    "fv_session_preview": ("!", P, c.POINTER(Picture)),
    "fv_session_pixels": ("!", P, floats),
    "fv_session_picture": ("!", P, c.POINTER(Picture), c.POINTER(Progress)),
    "fv_session_recipe": ("!", P, P),
    "fv_session_save": ("!", P, text),
    "fv_session_option": (text, P, text),
    "fv_session_want_gradient": (None, P, c.c_bool),
    "fv_session_gradient_rgb": ("!", P, floats),
    "fv_session_parts": (c.c_int, P, c.POINTER(Part)),
}


def _find() -> str:
    """The library beside this package, $FEAVIS_LIBRARY, or the system's."""
    named = os.environ.get("FEAVIS_LIBRARY")
    if named:
        return named
    beside = Path(__file__).parent / "lib" / SONAME
    return str(beside) if beside.exists() else SONAME


def _load() -> c.CDLL:
    path = _find()
    try:
        return c.CDLL(path)
    except OSError as e:
        raise ImportError(f"libfeavis could not be loaded from {path}: {e}") from e


def _error(code: int) -> Error:
    return BY_CODE.get(code, Error)(lib.fv_error().decode("utf-8", "replace"))


def _check(code: int, _call: Any, _arguments: Any) -> int:
    if code < 0:
        raise _error(code)
    return code


lib = _load()
for _name, (_result, *_arguments) in CALLS.items():
    _call = getattr(lib, _name)
    _call.argtypes = _arguments
    _call.restype = c.c_int if _result == "!" else _result
    if _result == "!":
        _call.errcheck = _check


def opened(call: Any, *arguments: Any) -> P:
    """The object that a call of the library gives in its first argument."""
    out = P()
    call(c.byref(out), *arguments)
    return out


def string(call: Any, *arguments: Any) -> str:
    """The text that a call gives in its first argument, and that is ours to free."""
    out = opened(call, *arguments)
    try:
        return c.string_at(out).decode("utf-8")
    finally:
        lib.fv_free(out)


def as_path(path: "str | os.PathLike[str]") -> bytes:
    return os.fsencode(path)
