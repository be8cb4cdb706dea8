"""The user's cache: where it is, files written whole or not at all, one process at a time."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from magfilter.errors import BackendError
from magfilter.locks import try_lock

__all__ = ["cache_folder", "locked", "write_whole"]

AGAIN = 0.2  # seconds between two tries to get a lock


def cache_folder() -> Path:
    """$MAGFILTER_CACHE, or magfilter's part of the platform's cache folder. It need not exist."""
    given = os.environ.get("MAGFILTER_CACHE")
    if given:
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "magfilter" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "magfilter"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "magfilter"


def write_whole(path: Path, data: bytes) -> None:
    """Write beside `path`, then rename: nobody sees half a file.

    Raises:
        BackendError: if the folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        raise BackendError(
            f"cannot write {path} ({error.strerror}); set MAGFILTER_CACHE to a folder of yours"
        ) from None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` with `.lock` behind its name against other processes; waits. The system frees a dead one's.

    Raises:
        BackendError: if the lock's file cannot be made.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = open(lock, "a+b")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise BackendError(
            f"cannot write {lock} ({error.strerror}); set MAGFILTER_CACHE to a folder of yours"
        ) from None
    with file:
        _take(file.fileno(), lock)
        yield  # closing the file frees the lock; the file stays, since another may be waiting for it


def _take(handle: int, lock: Path) -> None:
    if try_lock(handle):
        return
    click.echo(f"waiting for another process, which holds {lock}", err=True)
    while not try_lock(handle):
        time.sleep(AGAIN)
