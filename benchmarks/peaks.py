"""How often the vibrations of a made-up motion are found, and how often one is named that is not there.

    python -m benchmarks.peaks

No video: motions are series of 240 samples at 60 a second, with white noise of 0.003 px where nothing else is said,
at frequencies, phases and amplitudes that are drawn. A vibration is found where one is named within half a
resolution (1 / duration); its amplitude is off where that differs by over five of the standard deviations told and
by over half a percent; what is named beside is not there. Changing vibrations (that ring down, swell, or rise in
pitch) have no one amplitude, so theirs is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray

from magfilter.measure.peaks import Peak, find_peaks
from magfilter.measure.spectrum import fastest, frequencies

Floats = NDArray[np.float64]
Truth = list[tuple[float, float]]  # Hz, and px or NaN

COUNT, RATE, NOISE = 240, 60.0, 0.003
SURE, EXACT = 5.0, 5e-3  # standard deviations; share of the amplitude


@dataclass
class Tally:
    """What became of the vibrations of some motions."""

    there: int = 0
    found: int = 0
    off: int = 0
    beside: int = 0

    def add(self, truth: Truth, peaks: list[Peak], resolution: float) -> None:
        left = list(peaks)
        for hertz, amplitude in truth:
            self.there += 1
            near = [peak for peak in left if abs(peak.frequency - hertz) < resolution / 2]
            if near:
                peak = min(near, key=lambda each: abs(each.frequency - hertz))
                left.remove(peak)
                self.found += 1
                self.off += abs(peak.amplitude - amplitude) > max(SURE * peak.amplitude_sigma, EXACT * amplitude)
        self.beside += len(left)


def name(values: Floats, times: Floats) -> tuple[list[Peak], float]:
    """The vibrations of a motion, and its resolution in Hz."""
    rate = (len(times) - 1) / (times[-1] - times[0])
    even = bool(np.ptp(np.diff(times)) < 1e-9)
    values = values - np.polyval(np.polyfit(times, values, 1), times)
    grid, resolution = frequencies(len(values), rate, None if even else fastest(times, rate))
    nothing = np.full(len(values), np.nan)
    return find_peaks("x", values, times, rate, np.zeros(len(grid)), (values, nothing), even), resolution


def tones(rng: np.random.Generator, times: Floats, truth: Truth) -> Floats:
    """Sines at drawn phases, and noise."""
    motion = rng.normal(0, NOISE, len(times))
    for hertz, amplitude in truth:
        motion += amplitude * np.sin(2 * np.pi * hertz * times + rng.uniform(0, 2 * np.pi))
    return motion


def loud(rng: np.random.Generator) -> float:
    """Px, 0.03 to 0.3."""
    return float(0.3 * 10 ** rng.uniform(-1, 0))


def cases() -> Iterator[tuple[str, Callable[[np.random.Generator], tuple[Floats, Floats, Truth]]]]:
    """Names and what draws a motion, its times and what is true of it."""
    every = np.arange(COUNT) / RATE
    bin_ = RATE / COUNT

    def steady(draw: Callable[[np.random.Generator], Truth], times: Floats = every) -> Callable[..., object]:
        def make(rng: np.random.Generator) -> tuple[Floats, Floats, Truth]:
            truth = draw(rng)
            return tones(rng, times, truth), times, truth

        return make

    def changing(shape: Callable[[np.random.Generator, float], tuple[Floats, float]]) -> Callable[..., object]:
        def make(rng: np.random.Generator) -> tuple[Floats, Floats, Truth]:
            motion, hertz = shape(rng, rng.uniform(4, 20))
            return motion + rng.normal(0, NOISE, COUNT), every, [(hertz, math.nan)]

        return make

    def decay(damping: float) -> Callable[..., object]:
        return changing(
            lambda rng, f: (0.5 * np.exp(-2 * np.pi * damping * f * every) * np.sin(2 * np.pi * f * every + 1), f)
        )

    def walk(rng: np.random.Generator) -> tuple[Floats, Floats, Truth]:
        steps = np.fft.rfft(rng.normal(size=COUNT))
        steps[1:] /= np.arange(1, len(steps))
        motion = np.fft.irfft(steps, COUNT)
        hertz = rng.uniform(8, 25)
        return 0.2 * motion / motion.std() + 0.05 * np.sin(2 * np.pi * hertz * every), every, [(hertz, math.nan)]

    yield "noise alone", steady(lambda rng: [])
    yield "one", steady(lambda rng: [(rng.uniform(1, 28), loud(rng))])
    for apart in (1.2, 1.6, 2, 2.5, 3, 4):

        def two(rng: np.random.Generator, apart: float = apart) -> Truth:
            hertz = rng.uniform(3, 20)
            return [(hertz, 0.3), (hertz + apart * bin_, loud(rng))]

        yield f"two, {apart:g} resolutions apart", steady(two)
    yield "four", steady(lambda rng: [(hertz, loud(rng)) for hertz in (3.1, 7.7, 13.3, 22.2)])
    yield "five harmonics", steady(lambda rng: [(m * f, 0.5 / m**2) for f in [rng.uniform(2, 5)] for m in range(1, 6)])
    for damping in (0.002, 0.01, 0.03):
        yield f"one that rings down, damping {damping:.1%}", decay(damping)
    yield (
        "one that rises by 0.4 Hz",
        changing(lambda rng, f: (0.3 * np.sin(2 * np.pi * (f * every + 0.05 * every**2)), f + 0.2)),
    )
    yield "one on a random walk", walk
    for step in (3, 5, 10):
        kept = every[np.arange(COUNT) % step != step - 1]
        yield f"one, every {step}. frame missing", steady(lambda rng: [(rng.uniform(2, 28), loud(rng))], kept)


@click.command()
@click.option("--trials", default=60, show_default=True, help="Motions of each kind.")
def main(trials: int) -> None:
    """Print a table, a row for each kind of motion."""
    click.echo("| vibrations | there | found | amplitude off | named beside |\n|---|---|---|---|---|")
    for number, (what, make) in enumerate(cases()):
        rng, tally = np.random.default_rng(number), Tally()
        for _ in range(trials):
            motion, times, truth = make(rng)
            tally.add(truth, *name(motion, times))
        click.echo(f"| {what} | {tally.there} | {tally.found} | {tally.off} | {tally.beside} |")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.peaks")
