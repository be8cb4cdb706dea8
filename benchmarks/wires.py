"""Whether thin oblique things before a plain ground move: cables, stays, wires, strings.

    python -m benchmarks.wires [--against OLD.onnx]

A straight wire, 3 px wide, blurred by a lens, moves sideways before an even wall; every pixel of it is a formula. It
is magnified, and the middle of every row of the output is measured by its darkness. The gain is what the rows moved
over what is due, 1 being right and 1 / alpha not magnified at all; beside the median, the worst tenth of the rows; and
how far rows lie from where they are due, RMS in px: a torn wire is not straight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.markdown import table
from magfilter import Magnifier
from magfilter.models import DEFAULT_MODEL

HEIGHT, WIDTH = 240, 320  # px
WIDE, LENS = 3.0, 0.7  # px: the wire's width, and the standard deviation of what blurs it
WALL, WIRE = 140.0, 30.0  # code values
ANGLES = (0, 10, 20, 30, 45)  # degrees from upright
MOTIONS = (0.1, 0.3, 0.6)  # px sideways
GRAINS = (0, 1)  # code values of noise
AROUND = 16  # px to either side in which a row's wire is looked for
FILES = 3  # draws of noise, and of where the wire lies between pixels

Floats = NDArray[np.float64]


def middle(angle: float, shift: float) -> Floats:
    """Where the middle of the wire lies in each row, px."""
    rows = np.arange(HEIGHT) + 0.5 - HEIGHT / 2
    place: Floats = WIDTH / 2 + shift - rows * math.tan(math.radians(angle))
    return place


def wire(angle: float, shift: float, grain: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A frame (H, W, 3) of the wire, shifted to the right by so many px."""
    off = (np.arange(WIDTH) + 0.5 - middle(angle, shift)[:, None]) * math.cos(math.radians(angle))
    erf = np.vectorize(math.erf)
    scale = LENS * math.sqrt(2)
    covered = (erf((off + WIDE / 2) / scale) - erf((off - WIDE / 2) / scale)) / 2
    picture = WALL + (WIRE - WALL) * covered + rng.normal(size=off.shape) * grain
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)[..., None].repeat(3, 2)


def middles(rgb: NDArray[np.uint8], angle: float, grain: float) -> Floats:
    """The middle of the wire in each row, px: darkness as the weight."""
    dark = np.clip(WALL - 3 - 3 * grain - rgb.mean(-1), 0, None)
    along = np.arange(WIDTH) + 0.5
    dark[np.abs(along - middle(angle, 0)[:, None]) > AROUND] = 0
    place: Floats = (dark * along).sum(1) / np.maximum(dark.sum(1), 1e-6)
    return place


def errors(magnifier: Magnifier, angle: float, motion: float, grain: float) -> Iterator[tuple[Floats, Floats]]:
    """Gain, and px astray, of every row in the middle half of several pictures."""
    inner = slice(HEIGHT // 4, -HEIGHT // 4)
    alpha = magnifier.alpha
    for seed in range(FILES):
        rng = np.random.default_rng(seed)
        begin = rng.uniform(-0.5, 0.5)
        magnifier.reset()
        rest = middles(magnifier.push(wire(angle, begin, grain, rng)), angle, grain)
        shown = middles(magnifier.push(wire(angle, begin + motion, grain, rng)), angle, grain)
        moved = (shown - rest)[inner]
        yield moved / (alpha * motion), moved - alpha * motion


def measured(model: str, alpha: float, angle: float, motion: float, grain: float) -> dict[str, float]:
    """Median gain, that of the worst tenth of the rows, and px astray."""
    found = list(errors(Magnifier(alpha, model=model, shot_cuts=False), angle, motion, grain))
    gain, astray = (np.concatenate(values) for values in zip(*found, strict=True))
    worst = gain[np.argsort(-np.abs(gain - 1))[: len(gain) // 10]]
    return {
        "gain": float(np.median(gain)),
        "worst tenth": float(np.median(worst)),
        "astray, px": float(np.sqrt(np.mean(astray**2))),
    }


@click.command(help=__doc__)
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--against", multiple=True, help="Another model beside it; repeatable.")
@click.option("--alpha", default=10.0, show_default=True)
def main(model: str, against: tuple[str, ...], alpha: float) -> None:
    rows = []
    for angle in ANGLES:
        for motion in MOTIONS:
            for grain in GRAINS:
                row: dict[str, float | int] = {"angle, °": angle, "motion, px": motion, "grain": grain}
                for name in (model, *against):
                    found = measured(name, alpha, angle, motion, grain)
                    label = f", {name.rsplit('/', 1)[-1].removesuffix('.onnx')}" if against else ""
                    row |= {f"{what}{label}": value for what, value in found.items()}
                rows.append(row)
    print(table(rows))


if __name__ == "__main__":
    main()
