"""Image sequences: pictures numbered one after the other, named by a pattern such as shot.%04d.dpx."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from ..errors import InputError, OptionError, OutputError
from ..locks import BUSY, hold
from .tiff import look

__all__ = ["ASSUMED_RATE", "ENCODERS", "ImageSequence", "PictureFiles", "encoder_of", "is_pattern", "parse_rate"]

ASSUMED_RATE = 25  # frames a second, libav's own where nothing is said
_FIRST = 1  # number of the first picture where the input has none, as ffmpeg's
_MOST_RATE = 10000
_UNFINISHED = ".tmp"  # what libav adds to a picture's name until it is whole
_PLACE = re.compile(r"%(?:0(\d+))?d")
_FINE = {"flags": "+qscale", "global_quality": "236"}  # JPEG's quantiser 2, its finest that is common

# By suffix: encoder, and its options.
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    ".png": ("png", {}),
    ".tif": ("tiff", {"compression_algo": "deflate"}),
    ".tiff": ("tiff", {"compression_algo": "deflate"}),
    ".dpx": ("dpx", {}),
    ".jpg": ("mjpeg", _FINE),
    ".jpeg": ("mjpeg", _FINE),
    ".bmp": ("bmp", {}),
    ".tga": ("targa", {}),
}


def is_pattern(name: str) -> bool:
    """Whether `name` stands for numbered files: one %d or %04d in its last part, and no file of that very name."""
    return "://" not in name and len(_PLACE.findall(Path(name).name)) == 1 and not os.path.exists(name)


def parse_rate(value: object) -> Fraction:
    """Frames a second from a number, a Fraction or text such as "24000/1001".

    Raises:
        OptionError: it is none, or not above 0 and up to 10000.
    """
    try:
        rate = Fraction(str(value))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        rate = Fraction(0)
    if isinstance(value, bool) or not 0 < rate <= _MOST_RATE:
        raise OptionError(
            f"framerate must be frames a second above 0, up to {_MOST_RATE}, such as 24 or 24000/1001; got {value!r}"
        )
    return rate.limit_denominator(1001 * 1000)


def encoder_of(target: str) -> tuple[str, dict[str, str]]:
    """The encoder of a sequence by its suffix, and its options.

    Raises:
        OutputError: pictures of this kind are not written.
    """
    suffix = Path(target).suffix.lower()
    if suffix not in ENCODERS:
        known = ", ".join(sorted(ENCODERS))
        raise OutputError(
            f"{target}: sequences of '{suffix}' are not written; use one of {known}, or name an encoder with -c:v"
        )
    return ENCODERS[suffix]


@dataclass(frozen=True)
class ImageSequence:
    """Numbered pictures that are there.

    Attributes:
        pattern: their name, with %d or %04d for the number.
        first, last: the lowest and the highest number.
        rate: frames a second, or None if nobody has said.
    """

    pattern: str
    first: int
    last: int
    rate: Fraction | None

    @staticmethod
    def find(source: str, rate: Fraction | None = None) -> ImageSequence | None:
        """The sequence that `source` names, or None if it names none.

        Raises:
            InputError: no picture has such a name, or one is missing between the first and the last.
        """
        if not is_pattern(source):
            return None
        numbers = _numbers(source)
        if not numbers:
            raise InputError(f"{source} does not exist: no file is numbered like that; check the path")
        first, last = numbers[0], numbers[-1]
        if len(numbers) <= last - first:
            missing = next(n for n, there in enumerate(numbers, first) if n != there)
            raise InputError(
                f"{source}: number {missing} is missing between {first} and {last}; "
                "put it there, or number the pictures without gaps"
            )
        return ImageSequence(source, first, last, rate)

    def name(self, number: int) -> str:
        """Of the picture that has this number."""
        path = Path(self.pattern)
        return str(path.with_name(_PLACE.sub(lambda place: place.group() % number, path.name)))

    @property
    def options(self) -> dict[str, str]:
        """What libav has to be told."""
        return {"start_number": str(self.first), "framerate": str(self.rate or ASSUMED_RATE)}

    def notes(self) -> list[str]:
        """Lines for the user about what the pictures do not say, or hold beyond what is read."""
        notes = []
        if self.rate is None:
            notes.append(
                f"{self.pattern}: pictures do not say how many make a second; {ASSUMED_RATE} are taken "
                "(--framerate says otherwise, --fps where motion is measured)"
            )
        stack = look(self.name(self.first))
        if stack and stack.pages > 1:
            notes.append(
                f"{self.pattern}: of every picture only the first of its {stack.pages} pages is read; "
                "save those as pictures of their own if they are meant"
            )
        return notes


def _numbers(pattern: str) -> list[int]:
    """Numbers of the files that `pattern` names, rising."""
    path = Path(pattern)
    place = _PLACE.search(path.name)
    assert place is not None
    before, after = path.name[: place.start()], path.name[place.end() :]
    try:
        names = os.listdir(path.parent)
    except OSError:
        return []
    shape = re.compile(f"({re.escape(before)})([0-9]+)({re.escape(after)})", re.IGNORECASE | re.DOTALL)
    found = set()
    for match in filter(None, map(shape.fullmatch, names)):
        head, digits, tail = match.groups()
        if place.group() % int(digits) != digits:  # 7 is no %04d
            continue
        # Where capitals make no other name, as on Windows and macOS, the pattern names these too.
        if (head, tail) == (before, after) or _picture(pattern, int(digits)).exists():
            found.add(int(digits))
    return sorted(found)


def _picture(pattern: str, number: int) -> Path:
    """The file of a number."""
    path = Path(pattern)
    return path.with_name(_PLACE.sub(lambda place: place.group() % number, path.name))


class PictureFiles:
    """Where a sequence goes, as `PartFile` is where a file goes: here libav names each picture when it is whole.

    Args:
        target: pattern of the names.
        source: the input, which must not have the same.
        overwrite: whether pictures of these names may be replaced.
        first: number of the first picture.

    Attributes:
        name: what libav opens; options: what its muxer has to be told.

    Raises:
        OutputError: see `check`; or another program is writing them, something that is no file has the name of
            their lock, or the folder cannot be written to.
    """

    pipe = False
    _at_work: ClassVar[set[PictureFiles]] = set()  # of this process, neither committed nor discarded

    def __init__(self, target: str, source: str, overwrite: bool, first: int | None) -> None:
        self.check(target, source, overwrite)
        path = Path(target)
        self._lock = path.with_name(f".{path.name}.lock")
        try:
            self._held = hold(self._lock)
        except OSError as error:
            raise OutputError(
                f"{target} cannot be written: {error.strerror}; choose a folder you may write to"
            ) from error
        if self._held is None:
            raise OutputError(f"{target} {BUSY}")
        self.target = target
        self.name = "file:" + target
        self._first = _FIRST if first is None else first
        self.options = {"start_number": str(self._first), "atomic_writing": "1"}
        self._others = self._unfinished()  # somebody else's, or of a job that was killed: left alone
        self._at_work.add(self)

    @staticmethod
    def check(target: str, source: str, overwrite: bool) -> None:
        """Refuse names that are the input's, or taken; touches nothing on disk.

        Raises:
            OutputError: they are, or there is no such folder.
        """
        if not Path(target).parent.is_dir():
            raise OutputError(f"the folder {Path(target).parent} does not exist; create it first")
        there = _numbers(target)
        same = os.path.realpath(target) == os.path.realpath(source)
        if there and is_pattern(source) and (input_ := _picture(source, there[0])).exists():
            same |= os.path.samefile(_picture(target, there[0]), input_)  # by another name, such as one in capitals
        if same:
            raise OutputError(f"{target} is the input; give the output another name")
        if there and not overwrite:
            raise OutputError(
                f"{target}: {len(there)} such pictures already exist, from number {there[0]} on; "
                "use -y to overwrite them (in Python overwrite=True)"
            )

    def left_over(self, count: int) -> str | None:
        """What to say of pictures of this name that lie beyond the `count` that were written, if there are any."""
        beyond = [number for number in _numbers(self.target) if number >= self._first + count]
        if not beyond:
            return None
        return (
            f"{self.target}: numbers {beyond[0]} to {beyond[-1]} are left from before; "
            "remove them if they are not wanted"
        )

    def commit(self) -> None:
        """Let others write these names; what has been written is whole, and stays."""
        self._at_work.discard(self)
        held, self._held = self._held, None
        if held:
            if os.name != "nt":  # where an open file cannot be removed
                self._lock.unlink(missing_ok=True)
            held.close()
            with contextlib.suppress(OSError):  # another program may be looking at it; the pictures are there
                self._lock.unlink(missing_ok=True)

    def discard(self) -> None:
        """The same, after removing the picture that libav was in the middle of; may be called again."""
        if self._held:
            self._remove_unfinished()
        self.commit()

    @classmethod
    def give_up(cls) -> None:
        """Remove what all jobs of this process would leave behind if it ended now. Whole pictures stay."""
        for job in list(cls._at_work):
            job._remove_unfinished()
            with contextlib.suppress(OSError):
                job._lock.unlink(missing_ok=True)

    def _unfinished(self) -> set[int]:
        """Numbers of the pictures that have no name of their own yet, by what libav calls them."""
        return set(_numbers(self.target + _UNFINISHED))

    def _remove_unfinished(self) -> None:
        for number in self._unfinished() - self._others:
            with contextlib.suppress(OSError):  # whatever brought us here is what is to be told
                _picture(self.target + _UNFINISHED, number).unlink(missing_ok=True)
