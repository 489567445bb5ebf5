"""Models: texts and pictures as vectors, layers, gradients."""

from __future__ import annotations

import ctypes as c
import os
import threading
import weakref
from dataclasses import dataclass
from typing import Any, Iterable, NamedTuple, Optional, Sequence, Union

import numpy as np
import numpy.typing as npt

from . import _library as _l
from .errors import ArgumentError, Error, ShapeError
from .options import FOR_MODEL, Options, Value
from .picture import Picture, adopt, borrow

lib = _l.lib

Floats = npt.NDArray[np.float32]
Image = Union[str, "os.PathLike[str]", Picture, npt.ArrayLike]


class Layer(NamedTuple):
    """What a term may name; of tokens ``rows`` is 1."""

    name: str
    rows: int
    columns: int
    channels: int


@dataclass(frozen=True)
class TextReport:
    """What became of a text on its way to tokens."""

    used: int  #: tokens
    dropped: int  #: tokens past the model's length
    unknown: int  #: tokens that the vocabulary has not
    little: str  #: words that the model knows little about


@dataclass(frozen=True)
class Probe:
    """One picture, looked through: see ``Model.probe``."""

    embedding: Floats  #: [dim], of unit length
    layers: "dict[str, Floats]"  #: [rows, columns, channels]
    cosine: Optional[float]  #: with the text
    gradient: Optional[Floats]  #: d cosine / d pixels, [S, S, 3]


@dataclass(frozen=True)
class Classes:
    """What ``Model.classify`` found."""

    labels: "list[str]"
    scores: Floats  #: cosines, [pictures, labels]

    @property
    def best(self) -> "list[str]":
        """The nearest label of each picture."""
        return [self.labels[int(i)] for i in self.scores.argmax(axis=1)]


class Handle:
    """An object of the library, and those that have to be closed before it."""

    def __init__(self, what: str, value: Any, close: Any, lock: Any,
                 parent: "Optional[Handle]" = None):
        self.what, self._value, self._close, self._lock = what, value, close, lock
        self._parent, self._pid = parent, os.getpid()
        self._children: "list[Handle]" = []
        if parent:
            parent._children.append(self)

    @property
    def value(self) -> Any:
        if os.getpid() != self._pid:
            raise Error(f"this {self.what} was opened before the fork: open one in this process")
        if self._value is None:
            raise Error(f"this {self.what} is closed")
        return self._value

    def close(self) -> None:
        if os.getpid() != self._pid:
            return  # a fork has the memory, but none of the threads that close would join
        with self._lock:
            if self._value is None:
                return
            for child in list(self._children):
                child.close()
            self._close(self._value)
            self._value = None
            if self._parent:
                self._parent._children.remove(self)


def pointer(array: npt.NDArray[Any]) -> Any:
    return array.ctypes.data_as(_l.floats)


def as_array(value: Any) -> npt.NDArray[Any]:
    """numpy of anything that has it: arrays, PIL pictures, PyTorch tensors (DLPack)."""
    if isinstance(value, (np.ndarray, list, tuple)) or hasattr(value, "__array_interface__"):
        return np.asarray(value)
    if hasattr(value, "detach"):
        value = value.detach()
        if getattr(value, "is_cuda", False):
            value = value.cpu()
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    return np.asarray(value)


class Model:
    """A network that looks at pictures and reads texts; without options, the one that ships.

    Options are those of ``feavis.options()`` with ``for_model``: ``checkpoint``, ``config``,
    ``vocab``, ``guide``, ``device`` ("auto", "cpu", "cuda", "cuda:1"), ``threads``, ... Calls from
    several threads take turns. A model belongs to the process that opened it: after a fork, open
    another.
    """

    def __init__(self, **options: Optional[Value]):
        self.options = Options().set(**options)
        self.lock = threading.RLock()
        self.owned = Handle("model", _l.opened(lib.fv_model_open, self.options.handle),
                            lib.fv_model_close, self.lock)
        weakref.finalize(self, self.owned.close).atexit = False
        self._encoders: "dict[Any, Encoder]" = {}

    @property
    def handle(self) -> Any:
        return self.owned.value

    def close(self) -> None:
        """Frees it now, with the sessions and encoders on it."""
        self._encoders.clear()
        self.owned.close()

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<feavis.Model {self.title}, {self.image_size} pixels, on {self.backend}>"

    @property
    def title(self) -> str:
        return lib.fv_model_title(self.handle).decode()

    @property
    def backend(self) -> str:
        """Where it computes: "cpu", "cuda:0:fp16"."""
        return lib.fv_model_backend(self.handle).decode()

    @property
    def fingerprint(self) -> str:
        """Stands for the weights in recipes."""
        return lib.fv_model_fingerprint(self.handle).decode()

    @property
    def image_size(self) -> int:
        """S: pixels a side of what the model sees."""
        return lib.fv_model_image_size(self.handle)

    @property
    def channels(self) -> int:
        """Channels of the last layer before pooling (LLP)."""
        return lib.fv_model_channels(self.handle)

    @property
    def dim(self) -> int:
        """Numbers of an embedding."""
        return lib.fv_model_dim(self.handle)

    def describe(self) -> str:
        """What it is, and what a picture needs, as lines."""
        return _l.string(lib.fv_model_describe, self.handle, self.options.handle, False)

    def layers(self) -> "list[Layer]":
        """All layers of the image tower, by depth."""
        with self.lock:
            opened = _l.opened(lib.fv_layers_open, self.handle)
            try:
                rows, one = [], _l.Layer()
                while lib.fv_layers_at(opened, len(rows), c.byref(one)):
                    rows.append(Layer(one.name.decode(), one.rows, one.columns, one.channels))
                return rows
            finally:
                lib.fv_layers_close(opened)

    def embed_text(self, text: "str | Iterable[str]") -> Floats:
        """float32 [dim] of a text, [texts, dim] of several; of unit length."""
        if isinstance(text, str):
            return self._embed_text(text)[0]
        rows = [self._embed_text(one)[0] for one in text]
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def read_text(self, text: str) -> TextReport:
        """What became of a text on its way to tokens."""
        r = self._embed_text(text)[1]
        return TextReport(r.used, r.dropped, r.unknown, r.little.decode("utf-8", "replace"))

    def _embed_text(self, text: str) -> "tuple[Floats, _l.TextReport]":
        row, report = np.empty(self.dim, np.float32), _l.TextReport()
        with self.lock:
            lib.fv_model_embed_text(self.handle, text.encode(), pointer(row), c.byref(report))
        return row, report

    def encoder(self, batch: int = 1, layers: Sequence[str] = ()) -> "Encoder":
        """The image tower for ``batch`` pictures at a time, with these layers to read."""
        key = (batch, tuple(layers))
        with self.lock:
            if key not in self._encoders:
                if len(self._encoders) >= 4:  # each has memory for its values
                    self._encoders.pop(next(iter(self._encoders)))
                self._encoders[key] = Encoder(self, batch, tuple(layers))
            return self._encoders[key]

    def pixels(self, image: Image) -> Floats:
        """A picture as the model was shown pictures in training: float32 [S, S, 3] in [0, 1].

        A path, a Picture, uint8 [height, width, 3] of any size, or float [S, S, 3], which is taken
        as it is.
        """
        if isinstance(image, (str, os.PathLike)):
            raw = _l.Picture()
            lib.fv_picture_read(c.byref(raw), _l.as_path(image))
            array: npt.NDArray[Any] = adopt(raw)
        else:
            array = as_array(image)
        side = self.image_size
        if array.ndim != 3 or array.shape[2] != 3:
            raise ShapeError(f"a picture is [height, width, 3], not {list(array.shape)}")
        if array.dtype != np.uint8:
            if array.shape[:2] != (side, side):
                raise ShapeError(f"a picture of floats is [{side}, {side}, 3] for this model, not "
                                 f"{list(array.shape)}")
            return np.ascontiguousarray(array, dtype=np.float32)
        out, array = np.empty((side, side, 3), np.float32), np.ascontiguousarray(array)
        with self.lock:
            lib.fv_image_encoder_pixels(self.encoder().handle, c.byref(borrow(array)), pointer(out))
        return out

    def embed_image(self, image: "Image | Sequence[Image]") -> Floats:
        """float32 [dim] of a picture, [pictures, dim] of a list of them; of unit length.

        Files in a list are decoded while the network runs. What a picture may be: ``pixels``.
        """
        if not isinstance(image, (list, tuple)):
            return self._embed_pixels(self.pixels(image)[None])[0]
        if image and all(isinstance(one, (str, os.PathLike)) for one in image):
            return self._embed_files([_l.as_path(one) for one in image])
        if not image:
            return np.empty((0, self.dim), np.float32)
        return np.concatenate([self._embed_pixels(self.pixels(one)[None]) for one in image])

    def _embed_pixels(self, pixels: Floats) -> Floats:
        return self.encoder(len(pixels)).forward(pixels)

    def _embed_files(self, paths: "list[bytes]") -> Floats:
        rows = np.empty((len(paths), self.dim), np.float32)
        read = (c.c_bool * len(paths))()
        failures: "list[str]" = []

        def note(_user: Any, _done: int, _count: int, failure: Optional[bytes]) -> bool:
            if failure:
                failures.append(failure.decode("utf-8", "replace"))
            return True

        with self.lock:
            embedder = _l.opened(lib.fv_embedder_open, self.handle, 0)
            try:
                lib.fv_embed_pictures(embedder, (c.c_char_p * len(paths))(*paths), len(paths),
                                      pointer(rows), read, _l.EMBED(note), None)
            finally:
                lib.fv_embedder_close(embedder)
        if failures:
            raise ArgumentError(failures[0] if len(failures) == 1 else
                                f"{failures[0]} (and {len(failures) - 1} more)")
        return rows

    def match(self, images: "Sequence[Image]", texts: "Sequence[str]") -> Floats:
        """Cosines of pictures with texts, [pictures, texts]."""
        return self.embed_image(list(images)) @ self.embed_text(list(texts)).T

    def classify(self, images: "Sequence[Image]", labels: "Sequence[str]",
                 templates: "Sequence[str]" = ("{}",)) -> Classes:
        """Zero-shot: each picture is what the nearest label says. A label's vector is the mean of
        all templates with it ("{}" is where it goes), made a unit again."""
        rows = np.stack([self.embed_text([t.replace("{}", label) for t in templates]).mean(axis=0)
                         for label in labels])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return Classes(list(labels), self.embed_image(list(images)) @ rows.T)

    def probe(self, image: Image, text: Optional[str] = None,
              layers: "Sequence[str]" = ()) -> Probe:
        """What one picture gives: its embedding, any layers by name, and with a text the cosine
        and its gradient in the pixels."""
        with self.lock:
            encoder = self.encoder(1, layers)
            row = encoder.forward(self.pixels(image)[None])
            seen = {name: encoder.read(i)[0] for i, name in enumerate(layers)}
            if text is None:
                return Probe(row[0], seen, None, None)
            target = self.embed_text(text)
            slope = encoder.backward(target[None])
            return Probe(row[0], seen, float(row[0] @ target), slope[0])


class Encoder:
    """The image tower by itself, forward and backward; of ``Model.encoder``."""

    def __init__(self, model: Model, batch: int, layers: "tuple[str, ...]"):
        self.model = model
        self.batch = batch
        self.mark: Any = None
        names = (c.c_char_p * max(len(layers), 1))(*[n.encode() for n in layers])
        with model.lock:
            self._owned = Handle("encoder", _l.opened(lib.fv_image_encoder_open, model.handle,
                                                      batch, names, len(layers)),
                                 lib.fv_image_encoder_close, model.lock, model.owned)
        weakref.finalize(self, self._owned.close).atexit = False
        one, self.layers = _l.Layer(), []
        for i in range(len(layers)):
            lib.fv_image_encoder_layer(self.handle, i, c.byref(one))
            self.layers.append(Layer(one.name.decode(), one.rows, one.columns, one.channels))

    @property
    def handle(self) -> Any:
        return self._owned.value

    def _pictures(self) -> "tuple[int, int, int, int]":
        side = self.model.image_size
        return (self.batch, side, side, 3)

    def forward(self, pictures: npt.ArrayLike) -> Floats:
        """float32 [batch, S, S, 3] in [0, 1] -> embeddings [batch, dim]. A C-contiguous float32
        array is read where it lies."""
        x = np.ascontiguousarray(as_array(pictures), dtype=np.float32)
        if x.shape != self._pictures():
            raise ShapeError(f"pictures are {list(self._pictures())}, not {list(x.shape)}")
        out = np.empty((self.batch, self.model.dim), np.float32)
        with self.model.lock:
            lib.fv_image_encoder_forward(self.handle, pointer(x), pointer(out))
        return out

    def read(self, layer: int) -> Floats:
        """After forward: that layer of ``layers``, [batch, rows, columns, channels]."""
        if not 0 <= layer < len(self.layers):
            raise ArgumentError(f"layer {layer} of {len(self.layers)}")
        out = np.empty((self.batch, *self.layers[layer][1:]), np.float32)
        with self.model.lock:
            lib.fv_image_encoder_read(self.handle, layer, pointer(out))
        return out

    def backward(self, embeddings: Optional[npt.ArrayLike] = None,
                 layers: "Sequence[Optional[npt.ArrayLike]]" = ()) -> Floats:
        """After forward, once: d loss / d pictures of a loss with these gradients in the embeddings
        [batch, dim] and in the layers."""
        kept = []

        def given(value: Any, shape: "tuple[int, ...]") -> Any:
            if value is None:
                return None
            x = np.ascontiguousarray(as_array(value), dtype=np.float32)
            if x.shape != shape:
                raise ShapeError(f"a gradient is {list(shape)}, not {list(x.shape)}")
            kept.append(x)
            return pointer(x)

        if len(layers) > len(self.layers):
            raise ArgumentError(f"{len(layers)} gradients for {len(self.layers)} layers")
        slopes = (_l.floats * max(len(self.layers), 1))()
        for i, value in enumerate(layers):
            if value is not None:
                slopes[i] = given(value, (self.batch, *self.layers[i][1:]))
        out = np.empty(self._pictures(), np.float32)
        with self.model.lock:
            lib.fv_image_encoder_backward(self.handle,
                                          given(embeddings, (self.batch, self.model.dim)), slopes,
                                          pointer(out))
        return out


_shipped: "dict[tuple[Any, ...], Model]" = {}
_shipped_lock = threading.Lock()


def shared(**options: Optional[Value]) -> Model:
    """One model for all calls with the same options; the last one is kept open."""
    key = tuple(sorted((k, v) for k, v in options.items() if v is not None))
    with _shipped_lock:
        if key not in _shipped:
            model = Model(**options)
            _shipped.clear()
            _shipped[key] = model
        return _shipped[key]


def _after_fork() -> None:
    global _shipped_lock
    _shipped_lock = threading.Lock()
    _shipped.clear()


os.register_at_fork(after_in_child=_after_fork)


def is_for_model(name: str) -> bool:
    """An option that is not there is refused where it is set."""
    i = 0
    while True:
        option = lib.fv_option_at(i)
        if not option:
            return False
        if option.contents.name.decode() == name.replace("_", "-"):
            return bool(option.contents.flags & FOR_MODEL)
        i += 1
