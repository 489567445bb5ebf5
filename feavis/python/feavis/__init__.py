"""feavis: what does an image-text model imagine?

    import feavis
    feavis.imagine("梦")                       # a picture; in a notebook, shown while it grows
    feavis.imagine("a castle", preset="normal", seed=7).save("castle.png")
    feavis.match(["a.png", "b.png"], ["山", "海"])        # cosines, [2, 2]

    m = feavis.Model(checkpoint="brivl.pth", config="eval.yml", vocab="vocab.txt")
    m.probe("a.png", "雪山", layers=["blocks.3.1"]).gradient

Arrays are numpy's: pictures uint8 [height, width, 3], float pictures [S, S, 3] in [0, 1],
embeddings float32 [dim] of unit length. Failures are ``feavis.Error``.
"""

from __future__ import annotations

import os as _os
from typing import Any as _Any
from typing import Iterable as _Iterable
from typing import Optional as _Optional
from typing import Sequence as _Sequence

from . import _library
from .errors import *  # noqa: F401,F403
from .errors import __all__ as _errors
from .model import Classes, Encoder, Floats, Image, Layer, Model, Probe, TextReport
from .model import shared as _shared
from .options import Option, Term, options
from .picture import Picture
from .session import Progress, Session, again, imagine

__all__ = ["imagine", "again", "embed_text", "embed_image", "match", "classify", "probe", "Model",
           "Encoder", "Session", "Progress", "Picture", "Term", "Option", "options", "Layer",
           "Probe", "Classes", "TextReport", "home", "set_home", "__version__"] + _errors

__version__: str = _library.lib.fv_version().decode()


def embed_text(text: "str | _Iterable[str]", model: _Optional[Model] = None) -> Floats:
    """``Model.embed_text`` of the shipped model, or of another."""
    return (model or _shared()).embed_text(text)


def embed_image(image: "Image | _Sequence[Image]", model: _Optional[Model] = None) -> Floats:
    """``Model.embed_image`` of the shipped model, or of another."""
    return (model or _shared()).embed_image(image)


def match(images: "_Sequence[Image]", texts: "_Sequence[str]",
          model: _Optional[Model] = None) -> Floats:
    """``Model.match`` of the shipped model, or of another: cosines, [pictures, texts]."""
    return (model or _shared()).match(images, texts)


def classify(images: "_Sequence[Image]", labels: "_Sequence[str]",
             templates: "_Sequence[str]" = ("{}",), model: _Optional[Model] = None) -> Classes:
    """``Model.classify`` of the shipped model, or of another."""
    return (model or _shared()).classify(images, labels, templates)


def probe(image: Image, text: _Optional[str] = None, layers: "_Sequence[str]" = (),
          model: _Optional[Model] = None) -> Probe:
    """``Model.probe`` of the shipped model, or of another."""
    return (model or _shared()).probe(image, text, layers)


def home() -> _Optional[str]:
    """The folder with models and presets."""
    found = _library.lib.fv_home()
    return _os.fsdecode(found) if found else None


def set_home(folder: "str | _os.PathLike[str] | None") -> None:
    """Another one, for this process; None: as it was found."""
    _library.lib.fv_set_home(None if folder is None else _os.fsencode(folder))
