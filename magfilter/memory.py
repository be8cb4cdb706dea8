"""How a process of the filter's own deals with memory."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

__all__ = ["keep_freed_memory"]

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's mallopt
LARGEST = 64 << 20  # bytes; no plane of a frame up to 8K is larger


def keep_freed_memory() -> None:
    """Let the C library keep what arrays give back, for the next frame's arrays. For programs, not for libraries.

    glibc otherwise returns large blocks to the system, which hands them out zeroed for the next frame's. Does nothing
    where the C library is another.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, LARGEST)
        library.mallopt(TRIM_THRESHOLD, 4 * LARGEST)
