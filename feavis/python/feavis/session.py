"""Sessions: one picture that grows; and ``imagine``, which runs one to its end."""

from __future__ import annotations

import ctypes as c
import os
import signal
import threading
import weakref
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Iterator, Optional

import numpy as np

from . import _library as _l
from . import notebook
from .model import Floats, Handle, Model, is_for_model, pointer, shared
from .options import Options, Raised, Term, Value
from .picture import Picture, adopt

lib = _l.lib


@dataclass(frozen=True)
class Progress:
    """How far a session is, after a step."""

    step: int  #: finished
    steps: int  #: that there will be
    loss: float  #: what descends
    cosine: float  #: of the first text, mean over the step's views; NaN without text
    neuron: float  #: mean of the LLP channels, else of the terms; NaN without
    gradient: float  #: norm of d loss / d parameters
    seconds: float  #: since the run began
    rate: float  #: steps a second, over the last few
    restored: int  #: how often a gradient that was not finite was taken back
    dropped: int  #: live changes that could not be made


def _progress(p: _l.Progress) -> Progress:
    return Progress(p.step, p.steps, p.loss, p.cosine, p.neuron, p.gradient, p.seconds, p.rate,
                    p.restored, p.dropped)


Watch = Callable[[Progress], Optional[bool]]


class _Interrupts:
    """During a run on the main thread SIGINT cancels it, and is raised behind it: raised inside the
    library's call back it would be lost."""

    def __init__(self, handle: Any):
        self.handle, self.came, self.before = handle, False, None

    def __enter__(self) -> "_Interrupts":
        if (threading.current_thread() is threading.main_thread()
                and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
            self.before = signal.signal(signal.SIGINT, self.note)
        return self

    def note(self, *_: Any) -> None:
        self.came = True
        lib.fv_session_cancel(self.handle)

    def __exit__(self, *_: Any) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)


class Session:
    """One picture that grows on a model.

    Options are those of ``feavis.options()`` that are not the model's; ``preset`` is applied
    before them, ``recipe`` before both. ``terms``: functions of one's own on layers.
    """

    def __init__(self, text: Optional[str] = None, *, model: Optional[Model] = None,
                 preset: Optional[str] = None, recipe: Optional[str] = None,
                 terms: "Iterable[Term]" = (), **options: Optional[Value]):
        self.model = model if model is not None else shared()
        self._options = Options()
        if recipe:
            lib.fv_recipe_apply(self._options.handle, recipe.encode(), b"the recipe")
        if preset:
            generator = options.get("param") or options.get("generator")
            self._options.apply_preset(preset, str(generator) if generator else None)
        self._options.take_model(self.model.options)
        self._options.set(**options, text=text)
        for term in terms:
            self._options.add(term)
        lib.fv_options_wake_channels(self._options.handle)
        self._open(lib.fv_session_open, self.model.handle, self._options.handle)

    def _open(self, call: Any, *arguments: Any) -> None:
        self._watched = Raised()
        with self._turn():
            value = _l.opened(call, *arguments)
        self._owned = Handle("session", value, lib.fv_session_close, self.model.lock,
                             self.model.owned)
        weakref.finalize(self, self._owned.close).atexit = False

    @classmethod
    def resume(cls, path: "str | os.PathLike[str]", *, model: Optional[Model] = None,
               **options: Optional[Value]) -> "Session":
        """Goes on from a state that ``save`` wrote."""
        self = cls.__new__(cls)
        self.model = model if model is not None else shared()
        self._options = Options()
        lib.fv_session_read_options(self._options.handle, _l.as_path(path))
        self._options.set(**options)
        self._open(lib.fv_session_resume, self.model.handle, self._options.handle,
                   _l.as_path(path))
        return self

    class _Turn:
        """The model's lock; what a term's function raised comes out in place of the failure."""

        def __init__(self, session: "Session"):
            self.lock, self.raised = session.model.lock, session._options.raised

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, kind: Any, error: Any, _trace: Any) -> None:
            self.lock.release()
            if error is not None and self.raised.error is not None:
                self.raised.take()

    def _turn(self) -> "Session._Turn":
        return Session._Turn(self)

    @property
    def handle(self) -> Any:
        return self._owned.value

    def close(self) -> None:
        """Frees it now."""
        self._owned.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def run(self, progress: Optional[Watch] = None) -> bool:
        """Steps until all are done: True. ``progress`` is called after each; if it returns False, or
        after ``cancel``, the run stops: False, and another goes on from there. An exception from
        it (KeyboardInterrupt, too) stops the run and comes out of it."""

        def call(_user: Any, at: Any) -> bool:
            try:
                return progress is None or progress(_progress(at.contents)) is not False
            except BaseException as e:
                self._watched.error = e
                return False

        with _Interrupts(self.handle) as interrupts, self._turn():
            status = lib.fv_session_run(self.handle, _l.PROGRESS(call), None)
        self._watched.take()
        if interrupts.came:
            raise KeyboardInterrupt
        return status == 0

    def step(self) -> Progress:
        """One step."""
        out = _l.Progress()
        with self._turn():
            lib.fv_session_step(self.handle, c.byref(out))
        return _progress(out)

    def __iter__(self) -> "Iterator[Progress]":
        """Steps, one at a time, until all are done."""
        while True:
            seen: "list[Progress]" = []
            if self.run(lambda p: bool(seen.append(p))):
                return
            yield from seen
            if not seen:  # cancelled
                return

    def cancel(self) -> None:
        """From any thread: stops a run within one op of the network."""
        lib.fv_session_cancel(self.handle)

    def set(self, **options: Value) -> None:
        """From any thread: changes live options before the next step; they enter the recipe."""
        for name, value in options.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            lib.fv_session_set(self.handle, name.replace("_", "-").encode(), text.encode())

    def option(self, name: str) -> str:
        """An option as it is at this step."""
        return lib.fv_session_option(self.handle, name.replace("_", "-").encode()).decode()

    def preview(self) -> Picture:
        """From any thread, while it runs: the newest picture."""
        raw = _l.Picture()
        lib.fv_session_preview(self.handle, c.byref(raw))
        return Picture(adopt(raw))

    def pixels(self) -> Floats:
        """Between steps: the newest picture before it became 8 bits, [height, width, 3]."""
        return self._floats(lib.fv_session_pixels)

    def want_gradient(self, wanted: bool = True) -> None:
        """Whether steps also keep d loss / d picture, for ``gradient``."""
        lib.fv_session_want_gradient(self.handle, wanted)

    def gradient(self) -> Floats:
        """d loss / d picture of the newest step, [height, width, 3]."""
        return self._floats(lib.fv_session_gradient_rgb)

    def _floats(self, call: Any) -> Floats:
        shape = self._shape()
        out = np.empty(shape, np.float32)
        with self.model.lock:
            call(self.handle, pointer(out))
        return out

    def _shape(self) -> "tuple[int, int, int]":
        width, _, height = self.option("size").partition("x")
        return (int(height or width), int(width), 3)

    def parts(self) -> "list[tuple[str, float, float]]":
        """What the loss of the newest step is made of: (name, weight, value)."""
        out = (_l.Part * 32)()
        count = lib.fv_session_parts(self.handle, out)
        return [(p.name.decode("utf-8", "replace"), p.weight, p.value) for p in out[:count]]

    def picture(self) -> Picture:
        """The picture as it stands, with its recipe and its scores over the whole of it."""
        raw, scores = _l.Picture(), _l.Progress()
        with self._turn():
            lib.fv_session_picture(self.handle, c.byref(raw), c.byref(scores))
            array = adopt(raw)
            recipe = _l.string(lambda out: lib.fv_session_recipe(self.handle, out))
        done = _progress(scores)
        return Picture(array, recipe, scores=done, stopped=done.step < done.steps)

    def save(self, path: "str | os.PathLike[str]") -> None:
        """The whole state (.safetensors), to ``resume``."""
        with self._turn():
            lib.fv_session_save(self.handle, _l.as_path(path))


def imagine(text: Optional[str] = None, *, model: Optional[Model] = None,
            preset: Optional[str] = None, recipe: Optional[str] = None,
            terms: "Iterable[Term]" = (), progress: Optional[Watch] = None,
            show: Optional[bool] = None, **options: Optional[Value]) -> Picture:
    """A text (or channels, or terms) becomes a picture.

        feavis.imagine("梦")
        feavis.imagine("山:1 | 雪:0.5", preset="normal", seed=7)
        feavis.imagine(llp="108", size=256)
        feavis.imagine("森林", term="blocks.4.0 *0.1")

    Options are those of ``feavis.options()``; those of the model (``checkpoint``, ``guide``,
    ``device``) open one that is kept for the next call, where no ``model`` is given. In a notebook
    the picture is shown while it grows (``show``: always, or never), and the stop button gives the
    picture so far (``stopped``); elsewhere an interrupt is a KeyboardInterrupt.
    """
    if model is None:
        asked = Options()
        if recipe:
            lib.fv_recipe_apply(asked.handle, recipe.encode(), b"the recipe")
        own = {k: v for k, v in options.items() if is_for_model(k)}
        model = shared(**asked.set(**own).for_model())
        options = {k: v for k, v in options.items() if k not in own}
    shown = notebook.growing(text, show)
    with Session(text, model=model, preset=preset, recipe=recipe, terms=terms,
                 **options) as session:

        def watch(p: Progress) -> Optional[bool]:
            if shown:
                shown.look(session, p)
            return progress(p) if progress else None

        try:
            session.run(watch)
        except KeyboardInterrupt:
            if not shown:
                raise
        picture = session.picture()
    if shown:
        shown.end(picture)
    return picture


def again(picture: "Picture | str | os.PathLike[str]", **how: Any) -> Picture:
    """The same picture from its own recipe: a Picture, or a file with one. By the shipped model,
    or ``model``."""
    if not isinstance(picture, Picture):
        picture = Picture.open(picture)
    if not picture.recipe:
        from .errors import FormatError

        raise FormatError("the picture has no recipe")
    return imagine(recipe=picture.recipe, **how)
