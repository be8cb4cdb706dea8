"""How far two ways of running a network are apart on real frames, seen in what the filter puts out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from magfilter import Magnifier
from magfilter.errors import MagfilterError
from magfilter.media.frame import Frame
from magfilter.media.reader import VideoReader

__all__ = ["Row", "clips_in", "compare", "table"]

SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".webm")


class Row(NamedTuple):
    """One clip.

    Attributes:
        clip: its name; frames: how many were compared, the reference not counted.
        worst, mean: difference of the flow in px of the picture; of a network that paints, of samples in 0..1.
        psnr: of the magnified frame, 8-bit RGB, dB, the lowest; average: the mean over frames. Infinite where no
            sample differs.
    """

    clip: str
    frames: int
    worst: float
    mean: float
    psnr: float
    average: float


def clips_in(paths: Sequence[Path]) -> list[Path]:
    """The clips themselves, and those in folders.

    Raises:
        ValueError: if a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(item for item in path.iterdir() if item.suffix in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"{path}: holds no {', '.join(SUFFIXES)} file.")
        found += inside
    return found


def compare(
    one: tuple[str, str], other: tuple[str, str], clips: Sequence[Path], alpha: float = 10, count: int = 8
) -> Iterator[Row]:
    """Magnify the same frames twice.

    Args:
        one, other: (model, backend), on the CPU.
        clips: videos; the first frame is the reference.
        count: frames of each clip, evenly spread.

    Raises:
        ValueError: if a model or a clip cannot be used.
    """
    try:
        for clip in clips:
            yield _clip(one, other, clip, alpha, count)
    except MagfilterError as error:
        raise ValueError(str(error)) from None


def _clip(one: tuple[str, str], other: tuple[str, str], clip: Path, alpha: float, count: int) -> Row:
    pair = [
        Magnifier(alpha, model=model, backend=backend, device="cpu", shot_cuts=False) for model, backend in (one, other)
    ]
    worst, means, decibels = 0.0, [], []
    for number, frame in enumerate(_spread(clip, count)):
        a, b = (magnifier.push(frame).to_rgb() for magnifier in pair)
        if not number:
            continue  # the reference
        apart = np.abs(a.astype(np.float64) - b) / np.iinfo(a.dtype).max
        error = float((apart**2).mean())
        decibels.append(-10 * math.log10(error) if error else math.inf)
        if pair[0].flow is not None and pair[1].flow is not None:
            apart = np.abs(pair[0].flow - pair[1].flow)
        worst = max(worst, float(apart.max()))
        means.append(float(apart.mean()))
    if not means:
        raise ValueError(f"{clip}: has one frame only; nothing to compare.")
    return Row(clip.name, len(means), worst, float(np.mean(means)), min(decibels), float(np.mean(decibels)))


def _spread(clip: Path, count: int) -> Iterator[Frame]:
    with VideoReader(clip) as reader:
        step = max(1, (reader.expected_frames or 5 * count) // (count + 1))
        frames = (item for item in reader if isinstance(item, Frame))
        yield from islice(frames, 0, count * step + 1, step)


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| clip | frames | max error | mean error | PSNR, lowest | PSNR, mean |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {r.clip} | {r.frames} | {r.worst:.4f} | {r.mean:.6f} | {r.psnr:.1f} | {r.average:.1f} |" for r in rows
    ]
    return "\n".join(lines)
