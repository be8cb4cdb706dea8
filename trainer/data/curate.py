"""Choosing pairs of frames to train on, as the paper does (appendix A3, Table A1).

Each clip is decoded once, as a stream. Frames `i` and `i + stride` are a candidate pair; those are
kept whose motion is small, whose camera stands still and whose frames are not the same:

    99.9th percentile of |flow| <= 20 px, 80th <= 2 px, 0.01st <= 0.1 px, mean squared error > 10

with the flow measured on both frames squashed to 512 × 512 and the error on the frames as they
are, 0..255. What is kept goes into an index (`trainer.data.index`); no picture is written.

Nothing but a few frames is held, whatever a clip's length. Beside the flow a candidate costs some
7 ms at 480p and 18 at 720p on one core, decoding included. A run that was killed goes on with the
clip it was at, and ends with the same bytes as one that was not.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F
from av.video.reformatter import VideoReformatter
from torch import Tensor

from magfilter.cuts import CutDetector
from magfilter.errors import InputError
from magfilter.media.source import reason
from trainer.data.clips import READ_ERRORS, ClipStream, count_frames, find_clips, to_rgb
from trainer.data.index import IndexWriter
from trainer.data.summary import REFUSALS, Summary, summarise
from trainer.evaluation.pairs import PAPER_FILTER, PairFilter

__all__ = ["CurationSettings", "curate", "flow_refusals", "squash"]

Flow = Callable[[Tensor, Tensor], Tensor]
"""(B, 3, H, W) RGB in 0..1, twice → (B, 2, H, W) px, from the first to the second."""


@dataclass(frozen=True)
class CurationSettings:
    """Everything that decides which pairs are kept; stored in the index, and compared when a run goes on.

    Attributes:
        strides: frames between the two of a pair.
        every: pairs begin at every `every`-th frame. 2 is the paper's: at stride 1 pairs do not overlap.
        most: at most so many candidates a clip and stride, evenly over its length; None for all.
        size: side of the squares that flow is measured on, px; the filter's bounds are for 512.
        flow: the estimator's name.
        filter: the bounds.
    """

    strides: tuple[int, ...] = (1, 5)
    every: int = 2
    most: int | None = None
    size: int = 512
    flow: str = ""
    filter: PairFilter = PAPER_FILTER

    def __post_init__(self) -> None:
        if not self.strides or min(self.strides) < 1 or max(self.strides) > np.iinfo(np.int16).max:
            raise ValueError(f"Expected strides of 1 to 32767 frames, got {self.strides}.")
        if len(set(self.strides)) < len(self.strides):
            raise ValueError(f"Expected different strides, got {self.strides}.")
        if self.every < 1 or self.size < 1 or (self.most is not None and self.most < 1):
            raise ValueError(
                f"Expected every, most and size of at least 1, got {self.every}, {self.most}, {self.size}."
            )


def squash(image: np.ndarray, size: int) -> Tensor:
    """(H, W, 3) uint8 → (3, size, size) uint8, whatever the aspect, averaged where it shrinks.

    The paper's scripts do the same with PIL's bilinear, antialiased resize.
    """
    picture = torch.from_numpy(image).permute(2, 0, 1)[None]
    return F.interpolate(picture, (size, size), mode="bilinear", antialias=True)[0]


def flow_refusals(flow: np.ndarray, bounds: PairFilter) -> list[str]:
    """Which bounds a flow (2, H, W), px, breaks: names of `PairFilter`'s fields; a flow with NaN breaks all."""
    low, middle, high = np.percentile(np.hypot(flow[0], flow[1]), (0.01, 80, 99.9))
    passed = {
        "flow_p999": high <= bounds.flow_p999,
        "flow_p80": middle <= bounds.flow_p80,
        "flow_p0_01": low <= bounds.flow_p0_01,
    }
    return [name for name, good in passed.items() if not good]


def mean_square(one: np.ndarray, two: np.ndarray) -> float:
    """Mean squared difference of two uint8 frames of one shape, on 0..255."""
    difference = np.subtract(one, two, dtype=np.float32).ravel()
    return float(np.dot(difference, difference)) / difference.size


class _Held:
    """A frame in the ring; turned into RGB and squashed when first needed."""

    def __init__(self, picture: av.VideoFrame, shot: int, walk: _Walk) -> None:
        self.picture, self.shot, self._walk = picture, shot, walk
        self._rgb: np.ndarray | None = None
        self._small: Tensor | None = None

    @property
    def rgb(self) -> np.ndarray:
        if self._rgb is None:
            self._rgb = to_rgb(self.picture, self._walk.to_rgb)
        return self._rgb

    @property
    def small(self) -> Tensor:
        if self._small is None:
            self._small = squash(self.rgb, self._walk.settings.size)
        return self._small

    def fits(self, other: _Held) -> bool:
        one, two = self.picture, other.picture
        return self.shot == other.shot and (one.width, one.height) == (two.width, two.height)


class _Walk:
    """One clip on its way through the filter."""

    def __init__(self, path: Path, settings: CurationSettings, flow: Flow, device: torch.device, batch: int) -> None:
        self.path, self.settings, self.flow, self.device, self.batch = path, settings, flow, device, batch
        self.to_rgb, self._to_grey = VideoReformatter(), VideoReformatter()
        self.candidates = dict.fromkeys(settings.strides, 0)
        self.refused = {stride: dict.fromkeys(REFUSALS, 0) for stride in settings.strides}
        self.pairs: list[tuple[int | None, int | None, int, int]] = []
        # Squashed frames only: a pair that waits must not hold frames of full size.
        self._pending: list[tuple[Tensor, Tensor, tuple[int | None, int | None, int, int]]] = []
        self._chosen = self._choose()

    def _choose(self) -> dict[int, set[int]] | None:
        """First frames of each stride's pairs, or None for every `every`-th."""
        if self.settings.most is None:
            return None
        frames = count_frames(self.path)
        chosen = {}
        for stride in self.settings.strides:
            starts = range(0, max(0, frames - stride), self.settings.every)
            places = np.linspace(0, len(starts) - 1, min(self.settings.most, len(starts))).round().astype(int)
            chosen[stride] = {starts[n] for n in places}
        return chosen

    def _wanted(self, start: int, stride: int) -> bool:
        return start % self.settings.every == 0 if self._chosen is None else start in self._chosen[stride]

    def _luma(self, frame: av.VideoFrame) -> np.ndarray:
        grey = self._to_grey.reformat(frame, width=64, height=64, format="gray", interpolation="AREA", threads=1)
        return grey.to_ndarray().astype(np.float32) / 255

    def run(self) -> dict[str, Any]:
        """The clip's line of the index, without path and source.

        Raises:
            InputError, FFmpegError, OSError: if not even two frames can be had.
        """
        ring: deque[_Held] = deque(maxlen=max(self.settings.strides) + 1)
        cut, shot, count, timed = CutDetector(sudden=True), 0, 0, True
        last: int | None = None
        interlaced, damage = False, ""
        with ClipStream(self.path) as stream:
            base = stream.time_base
            try:
                for count, frame in enumerate(stream, 1):
                    interlaced |= frame.interlaced_frame
                    if interlaced:
                        break
                    timed &= frame.pts is not None and (last is None or frame.pts > last)
                    last = frame.pts
                    if frame.is_corrupt:
                        shot += 1  # patched up by the decoder: no pair with it, nor across it
                    shot += cut(self._luma(frame))
                    ring.append(_Held(frame, shot, self))
                    if frame.is_corrupt:
                        shot += 1
                    self._pair_up(ring, count - 1)
            except READ_ERRORS as error:
                if count < 2:
                    raise
                damage = _reason(error, self.path)
        if interlaced:
            raise InputError("interlaced; deinterlace it first, e.g. with ffmpeg -vf bwdif")
        self._measure()
        if count < 2:
            raise InputError(f"shorter than two frames ({count})")
        size = ring[-1].picture
        self.pairs.sort(key=lambda pair: pair[2:])
        line: dict[str, Any] = {
            "width": size.width, "height": size.height, "frames": count,
            "time_base": [base.numerator, base.denominator],
            "candidates": self.candidates,
            "kept": {stride: sum(pair[3] == stride for pair in self.pairs) for stride in self.settings.strides},
            "refused": self.refused,
            "pairs": self.pairs if timed else [(None, None, *pair[2:]) for pair in self.pairs],
        }  # fmt: skip
        return line | ({"damaged": f"after {count} frames: {damage}"} if damage else {})

    def _pair_up(self, ring: deque[_Held], index: int) -> None:
        """Form the pairs that end with frame `index`, the ring's last."""
        for stride in self.settings.strides:
            start = index - stride
            if start < 0 or not self._wanted(start, stride):
                continue
            one, two = ring[-1 - stride], ring[-1]
            self.candidates[stride] += 1
            # The cheap tests first: what they refuse is not worth a flow.
            if not one.fits(two):
                self.refused[stride]["cut"] += 1
            elif not mean_square(one.rgb, two.rgb) > self.settings.filter.mse:
                self.refused[stride]["mse"] += 1
            else:
                pair = (one.picture.pts, two.picture.pts, start, stride)
                self._pending.append((one.small, two.small, pair))
        if len(self._pending) >= self.batch:
            self._measure()

    def _measure(self) -> None:
        """Flow of the pairs that wait, and their verdict."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        one, two = (torch.stack([item[side] for item in pending]).to(self.device).float().div_(255) for side in (0, 1))
        with torch.inference_mode():
            flows = self.flow(one, two)
        if flows.shape != (len(pending), 2, *one.shape[2:]):
            raise ValueError(f"Expected flow of shape {(len(pending), 2, *one.shape[2:])}, got {tuple(flows.shape)}.")
        for (_, _, pair), flow in zip(pending, flows.float().cpu().numpy(), strict=True):
            broken = flow_refusals(flow, self.settings.filter)
            for name in broken:
                self.refused[pair[-1]][name] += 1
            if not broken:
                self.pairs.append(pair)


def curate(
    clips: Sequence[Path],
    index: Path,
    *,
    strides: Sequence[int] = (1, 5),
    flow: Flow,
    flow_name: str = "",
    filter: PairFilter = PAPER_FILTER,
    every: int = 2,
    most: int | None = None,
    size: int = 512,
    root: Path | None = None,
    device: str | torch.device = "cpu",
    batch: int = 4,
    say: Callable[[str], None] | None = None,
) -> Summary:
    """Walk clips, keep the pairs that pass the paper's filter, and write their index.

    Clips that the index has a line for are not walked again; those that cannot be read, are interlaced
    or have fewer than two frames get a line that says so, and are not tried again either.

    Args:
        clips: video files, folders of them to any depth, folders of numbered pictures.
        index: the file to write or to go on with.
        strides, every, most, size, filter: see `CurationSettings`.
        flow: (B, 3, size, size) RGB in 0..1 on `device`, twice → (B, 2, size, size) px.
        flow_name: what the index says of it.
        root: folder that paths in the index are relative to; default: the clips' common folder. The
            first folder below it names a clip's source.
        device: where flow is measured; batch: pairs measured at once, never of two clips. Neither
            is part of the settings.
        say: is given a line for each clip.

    Returns:
        What the whole index holds: counts by source, and the clips that were skipped.

    Raises:
        ValueError: no clip is found, one lies outside `root`, a setting is out of range, or `flow` gives
            another shape. IndexFormatError: `index` is something else or has other settings.
        FileNotFoundError: one of `clips` does not exist.
    """
    settings = CurationSettings(tuple(strides), every, most, size, flow_name, filter)
    if batch < 1:
        raise ValueError(f"Expected a batch of at least 1, got {batch}.")
    found = find_clips(clips)
    if not found:
        given = ", ".join(map(str, clips)) or "no path"
        raise ValueError(f"No clips in {given}; give video files, folders of them, or folders of numbered pictures.")
    base = Path(os.path.abspath(root)) if root is not None else _common(clips)
    names = [_below(path, base) for path in found]
    say = say or (lambda text: None)
    with IndexWriter(Path(index), base, asdict(settings)) as writer:
        for number, (path, name) in enumerate(zip(found, names, strict=True), 1):
            if name in writer.done:
                continue
            parts = Path(name).parts
            entry: dict[str, Any] = {"path": name, "source": parts[0] if len(parts) > 1 else base.name}
            try:
                entry |= _Walk(path, settings, flow, torch.device(device), batch).run()
                told = f"{sum(entry['kept'].values())} of {sum(entry['candidates'].values())} pairs"
                told += f"; damaged {entry['damaged']}" if "damaged" in entry else ""
            except READ_ERRORS as error:
                entry["skipped"] = told = _reason(error, path)
                told = "skipped: " + told
            writer.add(entry)
            say(f"{number}/{len(found)}  {name}  {told}")
    return summarise(Path(index))


def _reason(error: BaseException, path: Path) -> str:
    """Why, without the folder: the index must not depend on where it was made."""
    return reason(error).replace(f"{path.parent}{os.sep}", "")


def _common(clips: Sequence[Path]) -> Path:
    """The folder that all arguments lie in; a single folder is its own."""
    paths = [Path(os.path.abspath(path)) for path in clips]
    return Path(os.path.commonpath([path if path.is_dir() else path.parent for path in paths]))


def _below(path: Path, base: Path) -> str:
    try:
        return path.relative_to(base).as_posix()
    except ValueError:
        raise ValueError(f"{path} does not lie in {base}; give a --root that holds every clip.") from None
