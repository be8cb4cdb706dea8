"""Names that stand for what the process holds open, such as /dev/stdout, and links to names."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from .source import is_pipe

__all__ = ["cannot_go_back", "descriptor", "is_terminal", "real_path"]

_OPEN = re.compile(r"(?:/dev|/proc/(?:self|thread-self|[0-9]+))/fd/([0-9]+)")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_MOST_LINKS = 40  # as in Linux


def descriptor(target: str) -> int | None:
    """The open descriptor that the name of an output stands for: 1 of "-" and /dev/stdout, N of /dev/fd/N, and of
    links to those. None of a file's name.

    Such a name must be written to as it is: a file that took its place would take it from every other program.
    """
    if is_pipe(target):
        return 1
    if os.name == "nt":
        return None
    path = os.path.abspath(target)
    for _ in range(_MOST_LINKS):
        # The folder's own links too, as of /dev/fd, but not the last: it leads to the file behind the descriptor.
        folder, name = os.path.split(path)
        places = (path, os.path.join(os.path.realpath(folder), name))
        for place in places:
            if place in _STANDARD:
                return _STANDARD[place]
            if (match := _OPEN.fullmatch(place)) and _own(place):
                return int(match.group(1))
        try:
            path = os.path.normpath(os.path.join(os.path.dirname(places[1]), os.readlink(path)))
        except OSError:
            return None
    return None


def _own(place: str) -> bool:
    """Whether it is a descriptor of this process."""
    owner = place.split("/")[2]
    return not owner.isdecimal() or int(owner) == os.getpid()


def is_terminal(target: str) -> bool:
    """Whether the name of an output stands for an open descriptor that is a terminal."""
    number = descriptor(target)
    return number is not None and os.isatty(number)


def cannot_go_back(target: str) -> bool:
    """Whether what is written to an output cannot be changed any more: a pipe, named or not, or stdout."""
    if descriptor(target) is not None:
        return True
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def real_path(target: str) -> Path:
    """The file that is to be written: behind a link what it leads to, so that the link stays one."""
    return Path(os.path.realpath(target)) if os.path.islink(target) else Path(target)
