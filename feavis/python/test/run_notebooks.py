"""Executes the notebooks of a folder, and saves what they show.

    run_notebooks.py OUT [NAME ...]    OUT/NAME.ipynb with its outputs, OUT/NAME-1.png ... to look at

Needs feavis, nbclient and ipykernel. A cell that fails ends it with what it said; their assertions
are the test. Of a display that was taken anew (a picture that grows) the last state is kept.
"""

import base64
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def run(path: Path, out: Path) -> int:
    """The pictures that were shown."""
    book = nbformat.read(path, as_version=4)
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
