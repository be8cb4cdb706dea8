"""Standard output, which may be a file on a full disk: that becomes a line, too, wherever it is written to."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from magfilter.errors import OutputError

__all__ = ["StdoutError", "fill_in_stdout", "require_stdout", "watch_stdout"]


class StdoutError(OutputError):
    """Standard output cannot be written."""


class _Watched(io.FileIO):
    """Descriptor 1. Raises StdoutError where the system refuses, unless that means that nobody reads any more."""

    def __init__(self, number: int, reader_gone: Callable[[BaseException], bool]) -> None:
        super().__init__(number, "w", closefd=False)
        self._reader_gone = reader_gone

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            if self._reader_gone(error):
                raise
            why = (error.strerror or type(error).__name__).lower()
            raise StdoutError(
                f"standard output cannot be written: {why}; free some space or send it elsewhere"
            ) from None


class _Closed(io.FileIO):
    """Stands where the process was given no standard output (>&-), and says so when it is written to."""

    def write(self, data: object) -> int:
        raise _closed()


def _closed() -> StdoutError:
    return StdoutError(
        "standard output is closed, and what was to be said there would be lost; open it, or leave out >&-"
    )


def fill_in_stdout(number: int) -> None:
    """Let sys.stdout be a stream on a descriptor that was opened in place of one that was closed."""
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed(number, "w", closefd=False)), errors="backslashreplace")


def require_stdout() -> None:
    """Refuse to begin with what will be printed in the end where nothing can be.

    Raises:
        StdoutError: standard output was closed.
    """
    if isinstance(getattr(getattr(sys.stdout, "buffer", None), "raw", None), _Closed):
        raise _closed()


def watch_stdout(reader_gone: Callable[[BaseException], bool]) -> None:
    """Let whatever is printed raise StdoutError where it cannot be written, instead of an OSError of no name.

    Args:
        reader_gone: whether an error means that whoever read it has gone, which is no failure of ours.
    """
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper):
        return
    raw: object = getattr(out.buffer, "raw", out.buffer)  # unbuffered, it is the buffer
    if type(raw) is not io.FileIO:  # a test's, a notebook's or a Windows console's stays what it is
        return
    out.flush()
    watched: Any = _Watched(out.fileno(), reader_gone)
    sys.stdout = io.TextIOWrapper(
        watched if raw is out.buffer else io.BufferedWriter(watched),
        encoding=out.encoding,
        errors=out.errors,
        line_buffering=out.line_buffering,
        write_through=out.write_through,
    )
