"""Options by name: the table that also drives the program's flags, presets and recipes."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

import numpy as np
import numpy.typing as npt

from . import _library as _l
from .errors import ArgumentError, ShapeError

lib = _l.lib

KINDS = ("int", "float", "bool", "choice", "text", "seed", "size")
LIVE, FOR_MODEL = 1, 16

Value = Union[str, int, float, bool, "tuple[int, int]"]
Activations = npt.NDArray[np.float32]
Judged = "tuple[float, npt.ArrayLike]"


@dataclass(frozen=True)
class Option:
    """A row of the table. In Python a name may have ``_`` for ``-``: ``start_noise``."""

    name: str
    group: str
    default: str
    help: str  #: one line, with the unit
    kind: str  #: one of int, float, bool, choice, text, seed, size
    choices: "tuple[str, ...]"
    low: float
    high: float
    live: bool  #: may be changed while the picture grows
    for_model: bool  #: decides which model is opened


def options() -> "list[Option]":
    """All options, in their order."""
    rows, i = [], 0
    while True:
        row = lib.fv_option_at(i)
        if not row:
            return rows
        o, i = row.contents, i + 1
        rows.append(Option(o.name.decode(), o.group.decode(), o.value.decode(), o.help.decode(),
                           KINDS[o.kind], tuple((o.choices or b"").decode().split()), o.low,
                           o.high, bool(o.flags & LIVE), bool(o.flags & FOR_MODEL)))


@dataclass(frozen=True)
class Term:
    """A function of one's own on a layer: what it says is to rise, times ``weight``.

    ``function(activations)`` gets float32 [views, rows, columns, channels] (of tokens the rows
    are 1; valid during the call) and returns the value, and its gradient in the activations, an
    array of the same shape. It is called on the thread that runs, once a forward pass, and may not
    use the model. ``feavis.torch.term`` makes one of a function of a PyTorch tensor.
    """

    layer: str
    function: Callable[[Activations], "tuple[float, npt.ArrayLike]"]
    weight: float = 1.0


class Raised:
    """What a function of the caller's has raised below the library, to be raised above it."""

    def __init__(self) -> None:
        self.error: Optional[BaseException] = None

    def take(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


def as_text(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, tuple):
        return "x".join(str(int(v)) for v in value).encode()
    return str(value).encode()


def callback(term: Term, raised: Raised) -> Any:
    """A term's function as the library calls it."""

    def call(_user: Any, at: Any, value: Any, gradient: Any) -> int:
        a = at.contents
        shape = (a.views, a.rows, a.columns, a.channels)
        try:
            seen = np.ctypeslib.as_array(a.values, shape)
            seen.flags.writeable = False
            score, slope = term.function(seen)
            slope = np.asarray(slope, dtype=np.float32)
            if slope.shape != shape:
                raise ShapeError(f"the term on {term.layer}: a gradient {list(slope.shape)} for "
                                 f"activations {list(shape)}")
            value[0] = float(score)
            np.ctypeslib.as_array(gradient, shape)[...] = slope
            return 0
        except BaseException as e:  # not to be lost on its way through C
            raised.error = e
            return -6

    return _l.TERM(call)


class Options:
    """An fv_options, with what its terms need kept alive."""

    def __init__(self, handle: Any = None) -> None:
        self.handle = handle if handle is not None else _l.opened(lib.fv_options_new)
        self.raised = Raised()
        self.kept: "list[Any]" = []
        weakref.finalize(self, lib.fv_options_free, self.handle).atexit = False

    def set(self, **values: Optional[Value]) -> "Options":
        for name, value in values.items():
            if value is not None:
                lib.fv_options_set(self.handle, name.replace("_", "-").encode(), as_text(value))
        return self

    def get(self, name: str) -> str:
        return lib.fv_options_get(self.handle, name.encode()).decode()

    def apply_preset(self, name: str, generator: Optional[str] = None) -> None:
        """With the settings that it has for this generator; None: its own."""
        preset = _l.opened(lib.fv_preset_open, str(name).encode())
        try:
            lib.fv_preset_apply_for(preset, generator.encode() if generator else None,
                                    self.handle)
        finally:
            lib.fv_preset_close(preset)

    def take_model(self, other: "Options") -> None:
        """What decides the model, as it is there."""
        lib.fv_options_take(self.handle, other.handle, FOR_MODEL)

    def for_model(self) -> "dict[str, str]":
        """What decides the model and is not at its default."""
        return {o.name.replace("-", "_"): self.get(o.name) for o in options() if o.for_model
                and not lib.fv_options_is_default(self.handle, o.name.encode())}

    def add(self, term: Term) -> None:
        if not isinstance(term, Term):
            raise ArgumentError(f"a term is a feavis.Term, not {type(term).__name__}")
        function = callback(term, self.raised)
        self.kept.append(function)
        lib.fv_options_add_term(self.handle, term.layer.encode(), term.weight, function, None)
