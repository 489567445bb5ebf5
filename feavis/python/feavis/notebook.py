"""A picture that is shown while it grows, in a notebook."""

from __future__ import annotations

import base64
import html
import sys
import time
from typing import Any, Optional

EVERY = 0.5  # seconds between two snapshots


def in_notebook() -> bool:
    """Whether this is a kernel that shows pictures: IPython's, and not its terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def growing(text: Optional[str], show: Optional[bool]) -> "Optional[Growing]":
    if show is False or (show is None and not in_notebook()):
        return None
    return Growing(text)


class Growing:
    """One place in the output: a snapshot and how far it is, taken anew as steps pass."""

    def __init__(self, text: Optional[str]):
        from IPython.display import display

        self.text = html.escape(text or "")
        self.last = 0.0
        self.handle: Any = display(self._page("beginning", ""), display_id=True)

    @staticmethod
    def _page(line: str, picture: str) -> Any:
        from IPython.display import HTML

        return HTML(f"{picture}<div style='font-family:sans-serif;color:gray'>{line}</div>")

    def look(self, session: Any, p: Any) -> None:
        now = time.monotonic()
        if now - self.last < EVERY and p.step < p.steps:
            return
        self.last = now
        data = base64.b64encode(session.preview().png()).decode()
        value = p.cosine if p.cosine == p.cosine else p.neuron
        left = (p.steps - p.step) / p.rate if p.rate > 0 else 0
        line = (f"{self.text} · step {p.step} of {p.steps} · {value:.3f} · {left:.0f} s left<br>"
                f"<progress value='{p.step}' max='{p.steps}'></progress>")
        self.handle.update(self._page(line, f"<img src='data:image/png;base64,{data}'>"))

    def end(self, picture: Any) -> None:
        s = picture.scores
        value = s.cosine if s.cosine == s.cosine else s.neuron
        stopped = f" · stopped at step {s.step}" if picture.stopped else ""
        self.handle.update(self._page(
            f"{self.text} · {s.step} steps · {value:.3f} · {s.seconds:.1f} s{stopped}", ""))
