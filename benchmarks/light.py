"""What changing light takes of a motion, as the filter measures it and as the bare network does.

    python -m benchmarks.light

A textured square moves by 0.4 px against its ground, with sensor noise of one code value in full light. Then all of it
darkens, or brightens, or only half of it does. What is measured is the flow over the inside of the square: its slope
against what it moves by is the gain. The last rows are a camera of 16 bits that uses few of them, in steady light.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import click
import numpy as np

from benchmarks.markdown import table
from benchmarks.shaking import shifted
from benchmarks.vibration import SIZE, texture
from magfilter import Frame, Magnifier
from magfilter.media.colour import Colour
from magfilter.media.frame import PixelLayout
from magfilter.models import DEFAULT_MODEL

RATE, FRAMES = 30, 21
AMPLITUDE, HERTZ = 0.4, 3.0  # px, to the right
SQUARE = (slice(32, 96), slice(64, 128))
INSIDE = (slice(40, 88), slice(72, 120))
ACROSS, DOWN = np.linspace(0, 1, SIZE[1]), np.linspace(0, 1, SIZE[0])[:, None]
LIGHT: dict[str, np.ndarray | float] = {
    "as in the reference": 1.0,
    "0.9 of it": 0.9,
    "0.7": 0.7,
    "0.5": 0.5,
    "0.25": 0.25,
    "1.4": 1.4,
    "from 1 to 0.6, from left to right": 1 - 0.4 * ACROSS,
    "0.5 in the middle, 1 at the rim": 1 - 0.5 * np.exp(-4 * ((ACROSS - 0.5) ** 2 + (DOWN - 0.5) ** 2)),
    "0.5 in the left half": np.where(ACROSS < 0.5, 0.5, 1.0),
}
COUNTS = (65535, 5000, 600, 200)  # of white


def own(time: float) -> float:
    """How far the square is to the right, px."""
    return AMPLITUDE * math.sin(2 * math.pi * HERTZ * time)


def frames(light: np.ndarray | float, white: int) -> Iterator[Frame]:
    """The first in full light, the others in another; grey, so many counts of 16 bits for white."""
    grain = np.random.default_rng(2)
    layout = PixelLayout.from_name("gray16le")
    assert layout is not None
    for n in range(FRAMES):
        picture, square = texture_at(0, 0.0), texture_at(1, own(n / RATE))
        picture[SQUARE] = square[SQUARE]
        lit = picture * (light if n else 1.0) + grain.normal(size=SIZE)
        plane = np.clip(np.rint(lit / 255 * white), 0, 65535).astype(np.uint16)
        yield Frame((plane,), layout, Colour(range=2))


def texture_at(seed: int, x: float) -> np.ndarray:
    """A texture of mean 100 and deviation 28 or so, so that brighter light does not clip it."""
    return 100 + 0.7 * (shifted(texture(seed), (x, 0.0)) - 128)


def gain(light: np.ndarray | float, white: int, model: str, bare: bool) -> float:
    """What is measured of the square's motion; 1 is all of it."""
    magnifier = Magnifier(2, model=model, shot_cuts=False)
    if bare:
        magnifier.levelled.idle = True
    found, due = [], []
    for n, frame in enumerate(frames(light, white)):
        flow = magnifier.measure(frame).flow
        if flow is None:
            continue
        stride = SIZE[0] // flow.shape[1]
        found.append(float(flow[0][tuple(slice(s.start // stride, s.stop // stride) for s in INSIDE)].mean()))
        due.append(own(n / RATE))
    return float(np.dot(found, due) / np.dot(due, due))


@click.command()
@click.option("--model", multiple=True, default=(DEFAULT_MODEL, "warp"), show_default=True)
def main(model: tuple[str, ...]) -> None:
    """Print the gain of a motion in changing light, and in few counts."""
    ways = [(f"light: {name}", light, 65535) for name, light in LIGHT.items()]
    ways += [(f"white is {white} counts of 16 bits", 1.0, white) for white in COUNTS[1:]]
    rows = []
    for name, light, white in ways:
        row = {"": name}
        for network in model:
            row[f"{network}, bare"] = f"{gain(light, white, network, True):.3f}"
            row[network] = f"{gain(light, white, network, False):.3f}"
        rows.append(row)
    click.echo(table(rows))


if __name__ == "__main__":
    main()
