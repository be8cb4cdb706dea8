"""How straight a magnified rod stays after compression, with and without `--smooth`.

    python -m benchmarks.ripples --picture docs/results/ripples.png

A thin rod, clamped at its foot, swings before a still wall: its outline and where each of its rows is are formulas.
The clip goes through x264, which draws neighbouring blocks of it at slightly different places, and is magnified. In
the output the middle of every row is measured by its darkness; the slope of that against what is due is the gain,
the root mean square of what is left are the ripples, both medians over the frames of several files.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np

from benchmarks.markdown import table
from benchmarks.vibration import RATE, decoded, write
from magfilter import Magnifier
from magfilter.media.png import write_png
from magfilter.models import DEFAULT_MODEL

HEIGHT, WIDTH = 320, 192  # px
HERTZ = 2.0
FRAMES = 24
FILES = 5  # of every crf: x264 need not write the same one twice
PICTURED = 11  # bent the other way, nearly as far as it goes
ROD = 5.0  # px wide
TIP = 0.6  # px, amplitude
WALL, DARK = 200.0, 110.0  # code values


def bend(n: int) -> np.ndarray:
    """Where each row of the rod is in frame n, px from where it rests."""
    up = 1 - (np.arange(HEIGHT) + 0.5) / HEIGHT
    way: np.ndarray = TIP * up**2 * math.sin(2 * math.pi * HERTZ * n / RATE)
    return way


def rod_frames(noise: float) -> Iterator[np.ndarray]:
    """Frames (H, W) uint8: a speckled rod before an uneven wall, with sensor noise."""
    grain = np.random.default_rng(1)
    x, y = np.arange(WIDTH)[None] + 0.5, np.arange(HEIGHT)[:, None] + 0.5
    wall = WALL + 6 * np.sin(x / 23) * np.cos(y / 31)
    speckle = 8 * np.sin(y / 2.1) * np.sin(y / 7.3)
    for n in range(FRAMES):
        off = np.abs(x - WIDTH / 2 - bend(n)[:, None]) - ROD / 2
        inside = np.clip(0.5 - off / 1.5, 0, 1)
        picture = wall + (DARK + speckle - wall) * inside * inside * (3 - 2 * inside)
        yield np.clip(np.rint(picture + grain.normal(size=picture.shape) * noise), 0, 255).astype(np.uint8)


def compressed(crf: int, noise: float, folder: Path) -> np.ndarray:
    """The same after x264: (n, H, W, 3) RGB."""
    return decoded(write(folder / "rod.mkv", list(rod_frames(noise)), crf), "rgb24")


def middles(rgb: np.ndarray) -> np.ndarray:
    """The middle of the rod in every row, px: darkness as the weight."""
    dark = np.clip(WALL - 25 - rgb.mean(-1), 0, None)
    place: np.ndarray = (dark * np.arange(rgb.shape[1])).sum(1) / dark.sum(1)
    return place


def straightness(frames: np.ndarray, alpha: float, model: str, smooth: float) -> list[tuple[float, float]]:
    """Gain and ripples, px, of every frame in which the rod is bent."""
    magnifier = Magnifier(alpha, model=model, smooth=smooth or None, shot_cuts=False)
    rest = middles(magnifier.push(frames[0]))
    found = []
    for n, frame in enumerate(frames[1:], 1):
        shown, due = middles(magnifier.push(frame)) - rest, alpha * bend(n)
        if np.abs(due).max() < alpha * TIP / 2:
            continue
        gain = float(shown @ due / (due @ due))
        found.append((gain, float(np.sqrt(np.mean((shown - gain * due) ** 2)))))
    return found


def picture(frames: np.ndarray, alpha: float, model: str, reaches: Sequence[float]) -> np.ndarray:
    """A frame and what is shown of it with each `smooth`, side by side, two pixels for each of theirs."""
    shown = [frames[PICTURED]]
    for reach in reaches:
        magnifier = Magnifier(alpha, model=model, smooth=reach or None, shot_cuts=False)
        shown.append([magnifier.push(frame) for frame in frames[: PICTURED + 1]][-1])
    middle = slice(WIDTH // 2 - 48, WIDTH // 2 + 48)
    side_by_side: np.ndarray = np.concatenate([frame[:, middle] for frame in shown], 1)
    return side_by_side.repeat(2, 0).repeat(2, 1)


@click.command(help=__doc__)
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--alpha", default=10.0, show_default=True)
@click.option("--crf", "crfs", multiple=True, type=int, default=(0, 18, 23, 26), show_default=True)
@click.option("--smooth", "reaches", multiple=True, type=float, default=(0, 8, 16, 32), show_default=True)
@click.option("--picture", "target", type=click.Path(), help="Write a PNG: a frame at the last crf, and it magnified.")
def main(model: str, alpha: float, crfs: tuple[int, ...], reaches: tuple[float, ...], target: str | None) -> None:
    rows = []
    heads = [f"{reach:g} px" if reach else "without" for reach in reaches]
    with tempfile.TemporaryDirectory() as folder:
        for crf in crfs:
            files = [compressed(crf, 1.0, Path(folder)) for _ in range(FILES)]
            every = [[pair for f in files for pair in straightness(f, alpha, model, reach)] for reach in reaches]
            found = [np.median(values, 0).tolist() for values in every]
            row: dict[str, float | int] = {"x264, crf": crf}
            for n, what in enumerate(("gain", "ripples, px")):
                row |= {f"{what}, {head}": pair[n] for head, pair in zip(heads, found, strict=True)}
            rows.append(row)
    print(table(rows))
    if target:
        write_png(target, picture(files[0], alpha, model, reaches), "", overwrite=True)


if __name__ == "__main__":
    main()
