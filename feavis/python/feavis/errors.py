"""What can go wrong, as exceptions: the library's codes, each also the kind that Python has."""

from __future__ import annotations

__all__ = ["Error", "FileError", "FormatError", "ShapeError", "OutOfMemory", "DeviceError",
           "Unsupported", "ArgumentError"]


class Error(Exception):
    """Anything that libfeavis says: one line, with what was done, found and expected."""


class FileError(Error, OSError):
    """A file could not be opened, read or written."""


class FormatError(Error, ValueError):
    """A file's content is broken, or not what it should be."""


class ShapeError(Error, ValueError):
    """A tensor or an array has other dimensions than are needed."""


class OutOfMemory(Error, MemoryError):
    """An allocation failed."""


class DeviceError(Error, RuntimeError):
    """A backend failed while it ran."""


class Unsupported(Error, NotImplementedError):
    """Well formed, but not something that the library can do."""


class ArgumentError(Error, ValueError):
    """A value is out of range, or names nothing."""


BY_CODE: dict[int, type[Error]] = {
    -1: FileError,
    -2: FormatError,
    -3: ShapeError,
    -4: OutOfMemory,
    -5: DeviceError,
    -6: Unsupported,
    -7: ArgumentError,
}
