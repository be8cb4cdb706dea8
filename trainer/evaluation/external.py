"""Magnifiers that are programs: a file in, a file out.

The frames go out as lossless RGB (FFV1 in Matroska, which everything built on FFmpeg reads), and
whatever the program writes is read by the filter's own reader, with its own colour matrix and range.
A program that encodes with loss is rated with that loss: let it write FFV1 where it can.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

RATE = 25  # frames a second; programs that know frequencies are told no other
TAIL = 8  # lines of a failed program's stderr that are quoted


class Command:
    """The method that runs a program: ``Command("program {in} {out} --x {alpha}")``.

    The text is split into words as a shell would, but no shell runs; then ``{in}`` and ``{out}``
    (paths in a folder of their own, of which nothing remains) and ``{alpha}`` (the total factor) are
    put in wherever they stand. A pair is a clip of two frames, of whose result the last one counts.

    Raises:
        ValueError: if ``{in}`` or ``{out}`` is missing or the text cannot be split. When called: if
            the program cannot be started, fails, or writes anything but as many frames of the same
            size as it was given.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self.words = shlex.split(text)
        except ValueError as error:
            raise self._failure(f"cannot be split into words: {error}") from None
        missing = [name for name in ("{in}", "{out}") if not any(name in word for word in self.words)]
        if missing:
            raise self._failure(
                f"lacks {' and '.join(missing)}; write, for example, magfilter {{in}} {{out}} -a {{alpha}}"
            )

    def __call__(self, reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        return self.clip([reference, frame], alpha)[-1]

    def clip(self, frames: Sequence[np.ndarray], alpha: float) -> list[np.ndarray]:
        """All ``frames`` (H, W, 3) uint8 RGB in one run; as many of the same size come back."""
        with tempfile.TemporaryDirectory(prefix="magfilter-evaluation-") as folder:
            source, target = Path(folder, "in.mkv"), Path(folder, "out.mkv")
            write_clip(source, frames)
            self._run({"{in}": str(source), "{out}": str(target), "{alpha}": f"{alpha:.10g}"})
            if not target.is_file():
                raise self._failure("wrote no {out}")
            try:
                found = read_clip(target)
            except ValueError as error:
                raise self._failure(f"wrote what cannot be read: {error}") from error
        if len(found) != len(frames):
            raise self._failure(f"wrote {len(found)} frames, not {len(frames)}")
        if found[0].shape != frames[0].shape:
            sizes = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in (found[0], frames[0])]
            raise self._failure(f"wrote frames of {sizes[0]}, not {sizes[1]}")
        return found

    def _run(self, values: dict[str, str]) -> None:
        words = self.words
        for name, value in values.items():
            words = [word.replace(name, value) for word in words]
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except OSError as error:
            raise self._failure(f"could not be started: {error}") from error
        if done.returncode:
            tail = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[-TAIL:])
            raise self._failure(f"failed with exit code {done.returncode}{':' if tail else ''}\n{tail}".rstrip())

    def _failure(self, what: str) -> ValueError:
        return ValueError(f"Command {self.text!r} {what}")


def write_clip(path: Path, frames: Sequence[np.ndarray], rate: int = RATE) -> None:
    """Write ``frames`` (H, W, 3) uint8 RGB of any one size to ``path`` (Matroska) without loss."""
    import av

    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"  # FFV1's RGB of 8 bits; takes odd sizes
        stream.time_base = Fraction(1, rate)
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def read_clip(path: Path) -> list[np.ndarray]:
    """All frames (H, W, 3) uint8 RGB of ``path``, a video in any format.

    Raises:
        ValueError: if it cannot be read from end to end.
    """
    from magfilter import MagfilterError
    from magfilter.media.frame import Frame
    from magfilter.media.reader import VideoReader

    try:
        with VideoReader(path, threads=1) as reader:
            frames = [item.to_rgb() for item in reader if isinstance(item, Frame)]
            errors = reader.errors
    except MagfilterError as error:
        raise ValueError(str(error)) from error
    if errors:
        raise ValueError(f"{errors} packets are damaged")
    return [_bytes(frame) for frame in frames]


def _bytes(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of uint8 or of uint16, whose white is 65535."""
    return frame if frame.dtype == np.uint8 else ((frame.astype(np.uint32) + 128) // 257).astype(np.uint8)
