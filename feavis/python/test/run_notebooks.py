"""Executes the notebooks of a folder, and saves what they show.

    run_notebooks.py OUT [NAME ...]    OUT/NAME.ipynb with its outputs, OUT/NAME-1.png ... to look at

Needs feavis, nbclient and ipykernel. A cell that fails ends it with what it said; their assertions
are the test, and that each shows a picture. Of a display that was taken anew (a picture that grows)
the last state is kept. With $FEAVIS_NOTEBOOK_STEPS pictures grow so many steps, not the notebook's.
"""

import base64
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def shorten(book: nbformat.NotebookNode, steps: "str | None") -> None:
    """`steps=64` in its cells becomes steps=STEPS."""
    if not steps:
        return
    changed = 0
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.source, here = re.subn(r"\bsteps=\d+", f"steps={int(steps)}", cell.source)
            changed += here
    assert changed > 0, "no cell says steps="


def run(path: Path, out: Path) -> int:
    """The pictures that were shown."""
    book = nbformat.read(path, as_version=4)
    shorten(book, os.environ.get("FEAVIS_NOTEBOOK_STEPS"))
    NotebookClient(book, timeout=1200, kernel_name="python3").execute()
    nbformat.write(book, out / path.name)
    count = 0
    for cell in book.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {}).get("image/png")
            if data:
                count += 1
                (out / f"{path.stem}-{count}.png").write_bytes(base64.b64decode(data))
            text = output.get("text") or output.get("data", {}).get("text/plain")
            if text:
                print("   ", text.strip().replace("\n", "\n    "))
    return count


def main() -> None:
    out, names = Path(sys.argv[1]), sys.argv[2:]
    out.mkdir(parents=True, exist_ok=True)
    books = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
    assert books, "no notebooks"
    assert set(names) <= {path.stem for path in books}, names
    for path in books:
        if names and path.stem not in names:
            continue
        begun = time.monotonic()
        print(path.stem)
        shown = run(path, out)
        print(f"  {shown} pictures, {time.monotonic() - begun:.0f} s")
        assert shown > 0, path


if __name__ == "__main__":
    main()
