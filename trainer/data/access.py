"""Two frames of a clip, by their times: what the loader reads while training."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from trainer.data.clips import READ_ERRORS, numbered_pictures, open_film, read_picture, to_rgb
from trainer.data.index import Pair

__all__ = ["ClipReaders", "DecodeError"]


class DecodeError(RuntimeError):
    """A pair that the index names cannot be read from its clip."""


class _Reader(Protocol):
    def pair(self, want: Pair) -> tuple[av.VideoFrame, av.VideoFrame]: ...

    def close(self) -> None: ...


class _Pictures:
    """A folder of numbered pictures; a pair costs two picture files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = numbered_pictures(folder)

    def pair(self, want: Pair) -> tuple[av.VideoFrame, av.VideoFrame]:
        if want.frame + want.stride >= len(self.files):
            raise DecodeError(
                f"{self.folder} holds {len(self.files)} pictures and the index names picture "
                f"{want.frame + want.stride}; curate it again"
            )
        return read_picture(self.files[want.frame]), read_picture(self.files[want.frame + want.stride])

    def close(self) -> None:
        """Nothing is kept open."""


class _Film:
    """A video file: sought by time, and read from its beginning only where its times are no guide."""

    # Seconds before the first frame to seek to. Indexes count in decoding time, so the key frame
    # "at or before" a time may be shown after it; then the one before is wanted. What worked for
    # a clip is tried first the next time.
    BACK = (0.0, 0.5, 2.0, 10.0)

    def __init__(self, path: Path, threads: int) -> None:
        self.path, self.threads = path, threads
        self._first_try = 0
        self._open()

    def _open(self) -> None:
        self.container, self.stream = open_film(self.path, self.threads)

    def close(self) -> None:
        self.container.close()

    def pair(self, want: Pair) -> tuple[av.VideoFrame, av.VideoFrame]:
        if want.pts_a is not None:
            for n in range(self._first_try, len(self.BACK)):
                found = self._seek(want, self.BACK[n])
                if found is not None:
                    self._first_try = n
                    return found
        return self._count(want)

    def _seek(self, want: Pair, back: float) -> tuple[av.VideoFrame, av.VideoFrame] | None:
        """The pair, decoded from the last key frame `back` seconds before it; None if that fails."""
        assert want.pts_a is not None
        target = want.pts_a - round(back / self.stream.time_base)
        if self.stream.start_time is not None:
            target = max(target, self.stream.start_time)
        try:
            self.container.seek(target, stream=self.stream)
            return self._following(want, want.pts_a)
        except READ_ERRORS:
            return None

    def _following(self, want: Pair, pts_a: int) -> tuple[av.VideoFrame, av.VideoFrame] | None:
        first: av.VideoFrame | None = None
        since = 0
        for packet in self.container.demux(self.stream):
            # On the way to the first frame, frames that no other refers to need no decoding.
            early = first is None and packet.pts is not None and packet.pts < pts_a
            self.stream.codec_context.skip_frame = "NONREF" if early else "DEFAULT"
            for frame in packet.decode():
                if first is None:
                    if frame.pts is None or frame.pts > pts_a:
                        return None
                    if frame.pts == pts_a:
                        first = frame
                else:
                    since += 1
                if since == want.stride:
                    # A frame whose references lie before the key frame comes out patched up.
                    whole = first is not None and not first.is_corrupt and not frame.is_corrupt
                    return (first, frame) if whole and frame.pts == want.pts_b else None
        return None

    def _count(self, want: Pair) -> tuple[av.VideoFrame, av.VideoFrame]:
        """The pair, by the numbers of its frames, from the beginning: always right, and slow."""
        self.close()
        self._open()
        first: Any = None
        for number, frame in enumerate(self.container.decode(self.stream)):
            if number == want.frame:
                first = frame
            elif number == want.frame + want.stride:
                if want.pts_a is not None and (first.pts, frame.pts) != (want.pts_a, want.pts_b):
                    break
                return first, frame
        raise DecodeError(
            f"{self.path} does not hold frames {want.frame} and {want.frame + want.stride} as the index names them; "
            "the file has changed: curate it again"
        )


class ClipReaders:
    """Clips kept open between pairs, the least recently used closed first.

    Not for more than one process or thread: each makes its own.

    Args:
        most: how many stay open; each holds a decoder, some 20 frames of its size.
        threads: decoder threads of each, 0 for one a core.
    """

    def __init__(self, most: int = 4, threads: int = 1) -> None:
        self.most, self.threads = most, threads
        self._open: OrderedDict[Path, _Reader] = OrderedDict()
        self._reformatter = VideoReformatter()

    def read(self, want: Pair) -> tuple[np.ndarray, np.ndarray]:
        """The two frames of a pair, (H, W, 3) uint8 RGB each, of one size.

        Raises:
            DecodeError: if they cannot be read, or are not what the index says; names the clip and the reason.
        """
        try:
            reader = self._open.pop(want.path, None) or self._make(want.path)
            self._open[want.path] = reader
            while len(self._open) > self.most:
                self._open.popitem(last=False)[1].close()
            one, two = (to_rgb(frame, self._reformatter) for frame in reader.pair(want))
        except READ_ERRORS as error:
            self._drop(want.path)
            raise DecodeError(f"{want.path}: {error}") from error
        if one.shape != two.shape:
            raise DecodeError(f"{want.path}: frames {want.frame} and {want.frame + want.stride} differ in size")
        return one, two

    def _make(self, path: Path) -> _Reader:
        return _Pictures(path) if path.is_dir() else _Film(path, self.threads)

    def _drop(self, path: Path) -> None:
        reader = self._open.pop(path, None)
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Close every clip."""
        while self._open:
            self._open.popitem()[1].close()
