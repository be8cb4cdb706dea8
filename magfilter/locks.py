"""Holding an open file against other processes, and other threads. The system frees what a dead one held."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import IO

from magfilter.errors import OutputError

__all__ = ["BUSY", "hold", "try_lock"]

# A link is not followed, a named pipe without a reader is not waited for, and no program that is started holds it too.
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT"):  # the last two are Windows's
    _FLAGS |= getattr(os, _flag, 0)
_KINDS = {
    stat.S_IFREG: "a file that has another name as well (a hard link)",
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
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
        try:
            return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
        except OSError:
            return False


def hold(path: Path) -> IO[bytes] | None:
    """The file of this name, made if need be, empty, and held until it is closed. None if another holds it.

    Raises:
        OutputError: something else lies there, such as a link, behind which another file would be emptied.
        OSError: it cannot be written.
    """
    while True:
        _refuse(path)
        try:
            handle = os.open(path, _FLAGS, 0o666)
        except OSError:
            _refuse(path)  # it has come in between, and says itself why
            raise
        file = open(handle, "ab")  # noqa: SIM115  (who asked for it closes it)
        try:
            if not try_lock(handle):
                file.close()
                return None
            _refuse(path)
            if still_called(file, path):
                file.truncate(0)
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _refuse(path: Path) -> None:
    """Raise OutputError if what has this name is no file, or one with another name as well."""
    try:
        there = os.lstat(path)
    except OSError:
        return  # nothing, or nothing that may be looked at; opening it says which
    kind = stat.S_IFMT(there.st_mode)
    if kind == stat.S_IFREG and there.st_nlink < 2:
        return
    what = _KINDS.get(kind, "a device")
    raise OutputError(f"{path} is {what}, and is not written to; remove it, or give the output another name")
