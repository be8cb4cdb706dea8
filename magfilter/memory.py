"""How a process of our own deals with memory."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

__all__ = ["keep_freed_memory"]

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's mallopt
LARGEST = 64 << 20  # bytes; no plane of a frame up to 8K is larger
ALLOWED = 32 << 20  # what older versions of glibc (before 2.35) refuse to exceed
MOST = 2**31 - 1  # of a C int


def keep_freed_memory(largest: int = LARGEST) -> None:
    """Let the C library keep what arrays give back, for the next arrays. For programs, not for libraries.

    glibc otherwise returns large blocks to the system, which hands them out zeroed the next time. Does nothing
    where the C library is another.

    Args:
        largest: bytes, at most `MOST`; blocks up to this size are kept, as far as the library allows.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for size in (largest, ALLOWED):
            # Only where the first is taken does the second help: on its own it ends glibc's own adjusting.
            if library.mallopt(MMAP_THRESHOLD, size):
                library.mallopt(TRIM_THRESHOLD, min(4 * size, MOST))
                break
