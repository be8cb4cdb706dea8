"""Holding an open file against other processes, and other threads. The system frees what a dead one held."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

__all__ = ["BUSY", "hold", "try_lock"]

BUSY = "is being written by another magfilter; wait for it, or give another name"  # what is told of a target

if sys.platform == "win32":
    import msvcrt

    BEYOND = 1 << 40  # a locked byte can be written by nobody else: one that no file here reaches

    def try_lock(handle: int) -> bool:
        """Hold the file behind an open descriptor until it is closed. False if another holds it."""
        os.lseek(handle, BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        except OSError:
            return True  # a drive that knows no locks, as below
        return True

    def still_called(file: IO[bytes], path: Path) -> bool:
        """Whether the open file has that name. What is open here can be neither renamed nor removed by others.

        Not asked of the system: some drives give no numbers to tell files by, or others by name than by handle.
        """
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

    def still_called(file: IO[bytes], path: Path) -> bool:
        """Whether the open file has that name: whoever held it may have renamed or removed it."""
        return os.path.exists(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path))


def hold(path: Path) -> IO[bytes] | None:
    """The file of this name, made if need be, empty, and held until it is closed. None if another holds it.

    Raises:
        OSError: it cannot be written.
    """
    while True:
        file = open(path, "ab")  # noqa: SIM115  (who asked for it closes it)
        try:
            if not try_lock(file.fileno()):
                file.close()
                return None
            if still_called(file, path):
                file.truncate(0)
                return file
        except BaseException:
            file.close()
            raise
        file.close()
