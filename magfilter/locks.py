"""Holding an open file against other processes, and other threads. The system frees what a dead one held."""

from __future__ import annotations

import sys

__all__ = ["try_lock"]

if sys.platform == "win32":
    import msvcrt
    import os

    BEYOND = 1 << 40  # a locked byte can be written by nobody else: one that no file here reaches

    def try_lock(handle: int) -> bool:
        """Hold the file behind an open descriptor until it is closed. False if another holds it."""
        os.lseek(handle, BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(handle: int) -> bool:
        """Hold the file behind an open descriptor until it is closed. False if another holds it."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # some network drives know no locks; better without one than not at all
        return True
