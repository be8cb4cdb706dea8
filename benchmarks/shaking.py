"""What a shaking camera takes of a small motion, with and without `--align`.

    python -m benchmarks.shaking

A textured square of little contrast moves by 0.1 px against its ground, with sensor noise of one code value, and the
camera rests, shakes or drifts. What is measured is the flow over all of the square, its rim included, less the
camera's: the slope against what it moves by is the gain. The texture is moved by the Fourier shift theorem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import click
import numpy as np

from benchmarks.markdown import table
from benchmarks.vibration import SIZE, texture
from magfilter import Frame, Magnifier
from magfilter.models import DEFAULT_MODEL

Way = Callable[[float], tuple[float, float]]  # seconds → (x, y) px

RATE = 60  # frames a second
FRAMES = 31
AMPLITUDE, HERTZ = 0.1, 6.0  # px, downwards
CONTRAST = 0.25  # of `texture`'s: 10 code values, where outlines are least clear
SQUARE = (slice(32, 96), slice(64, 128))
CAMERAS: dict[str, Way] = {
    "rests": lambda t: (0.0, 0.0),
    "shakes by 0.8 and 0.5 px": lambda t: (
        0.8 * math.sin(2 * math.pi * 1.1 * t),
        0.5 * math.sin(2 * math.pi * 1.7 * t),
    ),
    "drifts by 10 px a second": lambda t: (8 * t, 6 * t),
}


def own(time: float) -> float:
    """How far the square is below where it rests on its ground, px."""
    return AMPLITUDE * math.sin(2 * math.pi * HERTZ * time)


def shifted(spectrum: np.ndarray, way: tuple[float, float]) -> np.ndarray:
    """The picture of an rfft2, moved by (x, y) px."""
    wave = np.fft.rfftfreq(SIZE[1])[None] * way[0] + np.fft.fftfreq(SIZE[0])[:, None] * way[1]
    return np.fft.irfft2(spectrum * np.exp(-2j * np.pi * wave), s=SIZE)


def frames(camera: Way) -> Iterator[np.ndarray]:
    """Frames (H, W) uint8."""
    grain, cover = np.random.default_rng(2), np.zeros(SIZE)
    cover[SQUARE] = 1
    fy, fx = np.fft.fftfreq(SIZE[0])[:, None], np.fft.rfftfreq(SIZE[1])[None]
    soft = np.fft.rfft2(cover) * np.exp(-2 * (np.pi * 1.0 * np.hypot(fy, fx)) ** 2)
    for n in range(FRAMES):
        x, y = camera(n / RATE)
        moved = x, y + own(n / RATE)
        ground, square, inside = shifted(texture(0), (x, y)), shifted(texture(1), moved), shifted(soft, moved)
        picture = ground + (square - ground) * np.clip(inside, 0, 1)
        picture = 128 + CONTRAST * (picture - 128) + grain.normal(size=SIZE)
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def gain(camera: Way, model: str, align: bool) -> float:
    """What is measured of the square's motion against its ground; 1 is all of it."""
    magnifier = Magnifier(2, model=model, align=align, shot_cuts=False)
    found, due = [], []
    for n, picture in enumerate(frames(camera)):
        flow = magnifier.measure(Frame.from_rgb(np.repeat(picture[..., None], 3, 2))).flow
        if flow is None:
            continue
        stride = SIZE[0] // flow.shape[1]
        inside = flow[1][tuple(slice(s.start // stride, s.stop // stride) for s in SQUARE)]
        found.append(float(inside.mean()) - camera(n / RATE)[1])
        due.append(own(n / RATE))
    return float(np.dot(found, due) / np.dot(due, due))


@click.command()
@click.option("--model", multiple=True, default=(DEFAULT_MODEL, "warp"), show_default=True)
def main(model: tuple[str, ...]) -> None:
    """Print the gain of a small motion before a camera that rests and moves, measured once and with --align."""
    rows = []
    for camera, way in CAMERAS.items():
        row = {"the camera": camera}
        for name in model:
            row[f"{name}, once"] = f"{gain(way, name, False):.3f}"
            row[f"{name}, --align"] = f"{gain(way, name, True):.3f}"
        rows.append(row)
    click.echo(table(rows))


if __name__ == "__main__":
    main()
