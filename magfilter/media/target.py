"""Where the output goes: a hidden part file that becomes the target when it is whole, or a pipe."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from itertools import count
from pathlib import Path
from typing import IO

import av
import av.error

from ..errors import OptionError, OutputError
from ..locks import BUSY, hold
from .descriptors import cannot_go_back, descriptor, real_path
from .sequence import PictureFiles, is_pattern
from .source import reason

__all__ = ["PartFile", "check_target", "container_format", "part_path", "write_failed"]

_BY_SUFFIX = {
    "mp4": "mp4",
    "m4v": "mp4",
    "mov": "mov",
    "qt": "mov",
    "mkv": "matroska",
    "webm": "webm",
    "avi": "avi",
    "nut": "nut",
    "y4m": "yuv4mpegpipe",
    "ts": "mpegts",
    "mts": "mpegts",
    "m2ts": "mpegts",
    "mxf": "mxf",
    "flv": "flv",
    "gif": "gif",
    "yuv": "rawvideo",
    "rgb": "rawvideo",
}
_PAUSES = (0.1, 0.4, 1.5)  # seconds between tries to rename what another program has open
_ALIASES = {"mkv": "matroska", "y4m": "yuv4mpegpipe", "ts": "mpegts"}


def container_format(target: str, asked: str | None) -> str:
    """FFmpeg's muxer for a target: the one asked for, else by suffix, else nut on a pipe.

    Raises:
        OptionError: `asked` is not a format libav can write.
        OutputError: the suffix names no format.
    """
    if asked is not None:
        name = _ALIASES.get(asked, asked)
        if name not in av.formats_available or not _can_write(name):
            raise OptionError(f"unknown output format '{asked}'; use mp4, mov, matroska, webm, nut, y4m or rawvideo")
        if name == "image2":
            _check_numbered(target)
        return name
    suffix = Path(target).suffix.lower().lstrip(".")
    if descriptor(target) is not None and suffix not in _BY_SUFFIX:
        return "nut"
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    for name in sorted(av.formats_available):
        if suffix and _can_write(name) and suffix in av.format.ContainerFormat(name, "w").extensions:
            if name == "image2":
                _check_numbered(target)
            return name
    what = f"'.{suffix}' names no video format" if suffix else "the name has no suffix"
    raise OutputError(f"{target}: {what}; end it in .mp4, .mov, .mkv or .webm, or name the format with -f")


def _check_numbered(target: str) -> None:
    if not is_pattern(target):
        path = Path(target)
        suffix = path.suffix or ".png"
        raise OutputError(
            f"{target} names a single picture; number them, as in {path.with_name(path.stem)}_%04d{suffix}, "
            "or end the name in .mp4, .mov or .mkv"
        )


def _can_write(name: str) -> bool:
    try:
        return bool(av.format.ContainerFormat(name, "w").is_output)
    except ValueError:
        return False


def write_failed(target: str, error: BaseException) -> OutputError:
    """What to tell the user when libav or the system refuses to write."""
    code = getattr(error, "errno", None)
    if code in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"{target}: the disk is full; free some space or write elsewhere")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"{target} cannot be written: {reason(error)}; choose a folder you may write to")
    if os.name == "nt" and descriptor(target) is not None and code == errno.EINVAL:
        return OutputError(
            f"{target} cannot be written: {reason(error)}, which is what Windows says where its reader has gone; "
            "if that is still there, use another container"
        )
    return OutputError(f"{target} cannot be written: {reason(error)}; write elsewhere or use another container")


def part_path(target: str) -> Path:
    """The hidden name beside `target`, or what it is a link to, that is written to until the output is whole."""
    path = real_path(target)
    return path.with_name(f".{path.name}.part")


def check_target(target: str, source: str, overwrite: bool, format: str | None = None) -> None:
    """Refuse a target that cannot become the output; touches nothing on disk.

    Args:
        format: the muxer, where one writes it: that of pictures writes as many as there are frames.

    Raises:
        OutputError: exists, is the input, is a directory, has too long a name, or its folder does not exist.
    """
    if descriptor(target) is not None:
        return
    if format == "image2":
        return PictureFiles.check(target, source, overwrite)
    path = real_path(target)
    try:
        path.parent.stat()
        path.stat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # which is_dir and exists raise
            raise OutputError(f"{target[:80]}… cannot be written: the name is too long; give a shorter one") from None
    if path.is_dir():
        raise OutputError(f"{target} is a directory; name the file to write inside it")
    if path.exists():
        if os.path.exists(source) and os.path.samefile(path, source):
            raise OutputError(f"{target} is the input; give the output another name")
        if not overwrite:
            raise OutputError(f"{target} already exists; use -y to overwrite it (in Python overwrite=True)")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; create it first")


class PartFile:
    """The name that is written to while the output is not whole.

    Args:
        target: path, or "-" for stdout. What a link leads to is written, and the link stays.
        source: the input, which must not be the same file.
        overwrite: whether an existing target may be replaced.

    Attributes:
        descriptor: number of the open descriptor that the target stands for (1 of stdout), or None.
        pipe: whether what is written cannot be changed any more: a descriptor, or a named pipe.
        name: what libav opens: the hidden part file, or "pipe:1" and the like; options: what its muxer has to be told.

    Raises:
        OutputError: exists, is the input, is a directory, its folder cannot be written to, or another program is
            writing it, or something that is no file has the hidden name.
    """

    def __init__(self, target: str, source: str, overwrite: bool) -> None:
        self.target = target
        self._overwrite = overwrite
        self._held: IO[bytes] | None = None
        self._renamed = False
        self.descriptor = descriptor(target)
        self.pipe = cannot_go_back(target)
        self.options: dict[str, str] = {}
        if self.descriptor is not None:
            self.name = f"pipe:{self.descriptor}"
            return
        check_target(target, source, overwrite)
        path = real_path(target)
        # A device such as /dev/null cannot be renamed onto; it is written directly.
        self.direct = path.exists() and not path.is_file()
        self.path = path if self.direct else part_path(target)
        if not self.direct:
            try:
                self._held = hold(self.path)
            except OSError as error:
                raise write_failed(target, error) from error
            if self._held is None:
                raise OutputError(f"{target} {BUSY}")
        self.name = "file:" + str(self.path)

    def left_over(self, count: int) -> str | None:
        """Nothing: a file is replaced as a whole."""
        return None

    def commit(self) -> None:
        """Give the part file the target's name.

        Raises:
            OutputError: the system refuses; or a file of that name has come up that was not to be overwritten, or
                cannot be. In both cases the output has another name then, which the message says.
        """
        if self.descriptor is not None or self.direct:
            return
        name = wanted = real_path(self.target)
        why = "was made by something else in the meantime"
        if name.exists() and not self._overwrite:
            name = _free(name)
        try:
            if os.name == "nt":
                self._release()  # what is open cannot be renamed there
            try:
                _rename(self.path, name)
            except PermissionError as error:
                if not name.exists():
                    raise
                why = f"cannot be replaced ({reason(error)}), as where a player has it open,"
                name = _free(name)  # what may have taken hours is not thrown away for that
                _rename(self.path, name)
            self._renamed = True
        except OSError as error:
            raise write_failed(self.target, error) from error
        self._release()
        if name != wanted:
            raise OutputError(f"{self.target} {why} and is left alone; this output is {name}")

    def discard(self) -> None:
        """Remove the part file; may be called again."""
        if self.descriptor is not None or self.direct or self._renamed:
            return
        if os.name == "nt":
            self._release()
        with contextlib.suppress(OSError):  # whatever brought us here is what is to be told
            self.path.unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, None
        if held:
            held.close()


def _rename(path: Path, name: Path) -> None:
    """Rename, over a file that is there. On Windows what is new may be open in a virus scanner for a moment."""
    for pause in _PAUSES if os.name == "nt" else ():
        with contextlib.suppress(PermissionError):
            os.replace(path, name)
            return
        time.sleep(pause)
    os.replace(path, name)


def _free(path: Path) -> Path:
    """A name like this one that no file has."""
    return next(name for n in count(2) if not (name := path.with_name(f"{path.stem} ({n}){path.suffix}")).exists())
