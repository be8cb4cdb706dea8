"""Real clips as training pairs: decoded once, kept as uint8 on the training device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data.clips import READ_ERRORS, find_clips, numbered_pictures, read_picture

__all__ = ["ClipBank", "clip_files", "clip_frames", "clip_seconds", "read_window"]

WINDOW = 12  # frames kept around each chosen moment
SHORT_SIDE = {1: 540, 3: 360}  # px, by channels; larger clips are reduced, their motion with them
PICTURE_RATE = 25  # of folders of pictures, which say none
CUT = 0.08  # mean |difference| between neighbours beyond which a shot has changed


def clip_files(folder: Path | None) -> list[Path]:
    """The clips that `curate` finds in a folder as well: videos to any depth, folders of numbered pictures.

    In an order that only depends on their names; none for no folder.
    """
    return sorted(find_clips([folder])) if folder else []


def clip_seconds(path: Path) -> float:
    """How long a clip is, 0 where it does not say; of a folder of pictures, at PICTURE_RATE.

    Raises:
        FFmpegError, OSError: if it is not readable media.
    """
    if path.is_dir():
        return len(numbered_pictures(path)) / PICTURE_RATE
    with av.open(str(path)) as container:
        return (container.duration or 0) / 1e6


def clip_frames(path: Path, start: float) -> Iterator[av.VideoFrame]:
    """A clip's frames from second `start` on, or from the key frame before it.

    Raises:
        FFmpegError, OSError, InputError: if it is not readable media; IndexError if it has no picture.
    """
    if path.is_dir():
        for picture in numbered_pictures(path)[int(start * PICTURE_RATE) :]:
            yield read_picture(picture)
        return
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if start > 0:
            container.seek(int(start * 1e6))
        yield from container.decode(stream)


def read_window(path: Path, start: float, frames: int, channels: int = 1) -> Tensor | None:
    """`frames` consecutive lumas or RGB pictures from second `start` on: (frames, channels, H, W) uint8, or
    None if there are fewer, or they differ in size.

    Raises:
        as `clip_frames`.
    """
    out: list[np.ndarray] = []
    for frame in islice(clip_frames(path, start), frames):
        height, width = frame.height, frame.width
        factor = min(1.0, SHORT_SIDE[channels] / min(height, width))
        size = (round(height * factor) // 2 * 2, round(width * factor) // 2 * 2)
        form = "gray" if channels == 1 else "rgb24"
        picture = frame.reformat(size[1], size[0], form, interpolation="AREA" if factor < 1 else "BICUBIC")
        array = picture.to_ndarray()
        out.append(array[None] if channels == 1 else array.transpose(2, 0, 1))
    if len(out) < frames or len({array.shape for array in out}) > 1:
        return None
    return torch.from_numpy(np.stack(out))


class ClipBank:
    """Windows of real clips to draw pairs from.

    Args:
        clips: files, or folders of pictures; unreadable ones and those shorter than a window are counted in `skipped`.
        windows: at most this many a clip, spread over its length.
        device: where the frames live.
        seed: of the draw.
        channels: 1 for luma, 3 for RGB.

    Raises:
        ValueError: if no clip gave a window.
    """

    def __init__(self, clips: Sequence[Path], windows: int, device: torch.device, seed: int, channels: int = 1) -> None:
        self.windows: list[Tensor] = []
        self.skipped = 0
        self.g = torch.Generator().manual_seed(seed)
        for path in clips:
            found = 0
            try:
                length = clip_seconds(path)
                for k in range(windows if length > 1 else 1):
                    window = read_window(path, length * k / windows, WINDOW, channels)
                    if window is not None and min(window.shape[2:]) >= 128:
                        self.windows.append(window.to(device))
                        found += 1
            except (*READ_ERRORS, IndexError):
                pass
            self.skipped += not found
        if not self.windows:
            there = f"none of the {len(clips)} there is" if clips else "there is none"
            raise ValueError(f"Expected a readable clip of {WINDOW} frames and 128 px or more in --clips; {there}.")

    def _pick(self, high: int) -> int:
        return int(torch.randint(high, (1,), generator=self.g))

    def state(self) -> Tensor:
        """Of the draw, for `restore`."""
        return self.g.get_state()

    def restore(self, state: Tensor) -> None:
        self.g.set_state(state.cpu())

    def __call__(self, batch: int, size: int, longest: int = 5) -> tuple[Tensor, Tensor]:
        """Random crops of pairs 1..longest frames apart: two (batch, channels, size, size) in 0..1.

        Pairs across a shot cut are drawn again, unless hardly any pair is not. The border of clips smaller
        than `size` is repeated.
        """
        pairs = []
        tries = 0
        while len(pairs) < batch:
            tries += 1
            window = self.windows[self._pick(len(self.windows))]
            stride = 1 + self._pick(longest)
            start = self._pick(len(window) - stride)
            pair = window[[start, start + stride]].float() / 255  # (2, C, H, W)
            if tries < 20 * batch and float((pair[0] - pair[1]).abs().mean()) > CUT:
                continue
            lack = [max(0, size - n) for n in pair.shape[2:]]
            if any(lack):
                pair = F.pad(pair, (0, lack[1], 0, lack[0]), mode="replicate")
            y, x = self._pick(pair.shape[2] - size + 1), self._pick(pair.shape[3] - size + 1)
            pair = pair[..., y : y + size, x : x + size]
            if self._pick(2):
                pair = pair.flip(3)
            if self._pick(2):
                pair = pair.flip(2)
            if self._pick(2):
                pair = pair.flip(0)  # time runs both ways
            pairs.append(pair)
        both = torch.stack(pairs)
        return both[:, 0].contiguous(), both[:, 1].contiguous()
