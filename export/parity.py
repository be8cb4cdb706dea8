"""How far two ways of running a network are apart on real frames, seen in what the filter puts out.

ONNX Runtime's CPU computes a file in half precision in single, and leaves most of the rounding out. A GPU does
not. So there is a third way to run a model here, "half": torch in single precision, each result inside the part
that `magfilter.networks.precision.halve` halves rounded to half. That is what convolutions in half, summed in
single, give on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from magfilter import Magnifier, compiled
from magfilter.backends.torch import TorchEngine
from magfilter.errors import MagfilterError
from magfilter.media.frame import Frame
from magfilter.media.reader import VideoReader
from magfilter.networks.precision import fold, halved_parts

__all__ = ["Row", "clips_in", "compare", "round_like_half", "table"]

SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".webm")


class Row(NamedTuple):
    """One clip.

    Attributes:
        clip: its name; frames: how many were compared, the reference not counted.
        motion: mean length of the flow in px, of the frame where it is largest; nan of a network that paints.
        worst, mean: difference of the flow in px of the picture; of a network that paints, of samples in 0..1.
        psnr: of the magnified frame, 8-bit RGB, dB, the lowest; average: the mean over frames; most: the lowest
            without the thousandth of the pixels that differ most. Infinite where no sample differs.

    Where things meet, the one that moves farther is drawn in front. Of two that move alike the last digit decides
    which, so a few pixels along such edges show another thing, however close the flows are.
    """

    clip: str
    frames: int
    motion: float
    worst: float
    mean: float
    psnr: float
    average: float
    most: float


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
    one: tuple[str, str],
    other: tuple[str, str],
    clips: Sequence[Path],
    alpha: float = 10,
    count: int = 8,
    every: int = 0,
) -> Iterator[Row]:
    """Magnify the same frames twice.

    Args:
        one, other: (model, backend), on the CPU; backend may be "half", see above.
        clips: videos; the first frame is the reference.
        count: frames of each clip; every: how many frames lie between two of them, 0 to spread them evenly.

    Raises:
        ValueError: if a model or a clip cannot be used.
    """
    try:
        for clip in clips:
            yield _clip(one, other, clip, alpha, count, every)
    except MagfilterError as error:
        raise ValueError(str(error)) from None


def _clip(one: tuple[str, str], other: tuple[str, str], clip: Path, alpha: float, count: int, every: int) -> Row:
    with compiled.left_out():  # so that ONNX Runtime runs what is in the file, whatever else could
        return _compared(tuple(_magnifier(*way, alpha) for way in (one, other)), clip, count, every)


def _compared(pair: tuple[Magnifier, ...], clip: Path, count: int, every: int) -> Row:
    worst, motion, means, decibels, most = 0.0, math.nan, [], [], []
    for number, frame in enumerate(_spread(clip, count, every)):
        a, b = (magnifier.push(frame).to_rgb() for magnifier in pair)
        if not number:
            continue  # the reference
        apart = np.abs(a.astype(np.float64) - b) / np.iinfo(a.dtype).max
        errors = np.sort((apart**2).mean(-1), None)
        decibels.append(_decibel(errors))
        most.append(_decibel(errors[: len(errors) - len(errors) // 1000]))
        if pair[0].flow is not None and pair[1].flow is not None:
            apart = np.abs(pair[0].flow - pair[1].flow)
            motion = max(float(np.hypot(*pair[1].flow).mean()), motion)  # in this order, nan gives way
        worst = max(worst, float(apart.max()))
        means.append(float(apart.mean()))
    if not means:
        raise ValueError(f"{clip}: has one frame only; nothing to compare.")
    average = float(np.mean(decibels))
    return Row(clip.name, len(means), motion, worst, float(np.mean(means)), min(decibels), average, min(most))


def _decibel(errors: NDArray[np.float64]) -> float:
    error = float(errors.mean())
    return -10 * math.log10(error) if error else math.inf


def _magnifier(model: str, backend: str, alpha: float) -> Magnifier:
    half = backend == "half"
    made = Magnifier(alpha, model=model, backend="torch" if half else backend, device="cpu", shot_cuts=False)
    if half:
        assert isinstance(made.engine, TorchEngine)
        round_like_half(made.engine.net)
    return made


class _Rounding(TorchDispatchMode):
    """Every float32 result of every operation, rounded to half."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        return out.half().float() if isinstance(out, Tensor) and out.dtype == torch.float32 else out


def round_like_half(net: nn.Module) -> None:
    """Make `net`, in place, round where `halve` would have it computed in half precision."""
    fold(net)
    for part in halved_parts(net):
        part.forward = _rounded(part.forward)  # type: ignore[method-assign]


def _rounded(forward: Any) -> Any:
    def run(x: Tensor) -> Tensor:
        with _Rounding():
            out: Tensor = forward(x.half().float())
        return out

    return run


def _spread(clip: Path, count: int, every: int) -> Iterator[Frame]:
    with VideoReader(clip) as reader:
        step = every or max(1, (reader.expected_frames or 5 * count) // (count + 1))
        frames = (item for item in reader if isinstance(item, Frame))
        yield from islice(frames, 0, count * step + 1, step)


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "| clip | frames | motion, px | max error | mean error | PSNR, lowest | PSNR, mean | lowest, of 99.9 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.clip} | {r.frames} | {r.motion:.2f} | {r.worst:.4f} | {r.mean:.6f} "
        f"| {r.psnr:.1f} | {r.average:.1f} | {r.most:.1f} |"
        for r in rows
    ]
    return "\n".join(lines)
