"""Pictures: uint8 RGB that numpy, PIL, PyTorch and notebooks take as they are."""

from __future__ import annotations

import ctypes as c
import os
import tempfile
import weakref
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from . import _library as _l
from .errors import FormatError, ShapeError

lib = _l.lib


class Picture:
    """A picture, and how it was made.

    ``array``: uint8 [height, width, 3], RGB, rows from the top; the library's own memory, not a
    copy. ``recipe``: YAML that makes the picture again to the byte, or None. ``scores``: of a
    picture that was imagined, its last ``Progress``. ``stopped``: it was interrupted.
    """

    def __init__(self, array: npt.ArrayLike, recipe: Optional[str] = None, *, scores: Any = None,
                 stopped: bool = False):
        values = np.ascontiguousarray(array)
        if values.dtype != np.uint8 or values.ndim != 3 or values.shape[2] != 3:
            raise ShapeError(f"a picture is uint8 [height, width, 3], not {values.dtype} "
                             f"{list(values.shape)}")
        self.array: npt.NDArray[np.uint8] = values
        self.recipe = recipe
        self.scores = scores
        self.stopped = stopped

    @classmethod
    def open(cls, path: "str | os.PathLike[str]") -> "Picture":
        """Reads JPEG, PNG, WebP, BMP, GIF and others, upright; with the recipe if it has one."""
        raw = _l.Picture()
        lib.fv_picture_read(c.byref(raw), _l.as_path(path))
        array = adopt(raw)
        try:
            recipe: Optional[str] = _l.string(lib.fv_recipe_read, _l.as_path(path))
        except FormatError:
            recipe = None
        return cls(array, recipe)

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.array.shape[1])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.array.shape[0])

    def save(self, path: "str | os.PathLike[str]") -> None:
        """Writes the picture with its recipe: PNG, or by the name's ending JPEG or WebP. Whole or
        not at all."""
        recipe = self.recipe.encode() if self.recipe else None
        lib.fv_picture_write(c.byref(borrow(self.array)), _l.as_path(path), recipe)

    def png(self) -> bytes:
        """The file that ``save`` writes."""
        with tempfile.TemporaryDirectory(prefix="feavis-") as folder:
            path = os.path.join(folder, "picture.png")
            self.save(path)
            with open(path, "rb") as f:
                return f.read()

    def _repr_png_(self) -> bytes:
        return self.png()

    def __repr__(self) -> str:
        cosine = getattr(self.scores, "cosine", None)
        seen = "" if cosine is None or cosine != cosine else f", cosine {cosine:.3f}"
        return f"<feavis.Picture {self.width} x {self.height}{seen}>"

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> npt.NDArray[Any]:
        if dtype is None or np.dtype(dtype) == np.uint8:
            return self.array.copy() if copy else self.array
        if copy is False:
            raise ValueError("a picture is uint8; another type is a copy")
        return self.array.astype(dtype)

    def __dlpack__(self, **how: Any) -> Any:
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def adopt(raw: _l.Picture) -> npt.NDArray[np.uint8]:
    """The library's picture as an array that frees it when the last view of it goes."""
    size = raw.width * raw.height * 3
    memory = (c.c_uint8 * size).from_address(raw.rgb)
    weakref.finalize(memory, lib.fv_picture_free, c.byref(raw)).atexit = False
    return np.frombuffer(memory, dtype=np.uint8).reshape(raw.height, raw.width, 3)


def borrow(array: npt.NDArray[np.uint8]) -> _l.Picture:
    """An array as the library's picture, for one call."""
    return _l.Picture(array.shape[1], array.shape[0], array.ctypes.data)
