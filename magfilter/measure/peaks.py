"""The vibrations in a motion: which sines stand clear of its noise, and how exactly they are known.

The strongest is fitted and taken away, then the next is looked for in what is left, so that one's skirts are not taken
for another. What is left close to one that was found is looked at as well: a second sine there is told from the first
where the two explain the motion, and better than one whose amplitude or pitch changes. Where they do not, that one
stands alone, less certain by what it leaves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from magfilter.measure.sines import Sines, best_pair
from magfilter.measure.spectrum import APART, CLEAR, FINER, LOWEST, fastest, frequencies, images, local_noise, power

__all__ = ["Peak", "find_peaks", "merged", "sines_of"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST = 10  # peaks
NEAREST = 1.0  # times the resolution, from which on two sines can be told apart
ROUGH = 0.02  # times half the resolution, to which frequencies are fitted while there are more to come
CROWD = 3  # sines that close to each other; what seems to be made of more wanders
EXPLAINED = 0.25  # of what one sine leaves, at most, that two may leave at the second
BETTER = 25.0  # times the noise's variance, by which they must leave less than one that bends
SKIRTS = 0.7  # times what surrounds a vibration, which is left without it if that was mostly its own
IMAGE = 0.3  # times a vibration's height, from which an image that missing frames make could be the vibration
DRIFT = 0.25  # times a slow vibration, that may be left of what is slower, or it is a part of that
UNSURE = 0.2  # times an amplitude, its standard deviation from which on a sine at the end of the spectrum is not told
TINY = 1e-7  # px
SIDEWAYS = 1.25  # times an axis' distance from the noise, that another's must be to be the better one


@dataclass(frozen=True)
class Peak:
    """A sine found in a motion.

    Attributes:
        axis: "x", "y" or "along".
        frequency: Hz; `frequency_sigma` its standard deviation.
        amplitude: px, half of peak to peak; `amplitude_sigma` its standard deviation.
        x, y: px, amplitudes of the same frequency along x and y.
        over_noise: amplitude over the noise floor at this frequency.
        phase: degrees, −180 to 180, by which it is ahead of the first region's motion along the same axis at this
            frequency; of "along", each along its own direction, and where either goes round rather than to and fro,
            the whole motions against each other. 0 in the first region itself; NaN where that does not show it, or
            goes round in another way.
        steady: its amplitude and pitch stay as they are. Else it rings down, or wanders: frequency, amplitude and
            phase are means over the time, and their uncertainty is mostly that.
        image: Hz of another vibration that explains the motion as well, where regularly missing frames leave that
            open; `frequency_sigma` reaches there. NaN where there is none.
    """

    axis: str
    frequency: float
    frequency_sigma: float
    amplitude: float
    amplitude_sigma: float
    x: float
    y: float
    over_noise: float
    phase: float = math.nan
    steady: bool = True
    image: float = math.nan


def find_peaks(
    axis: str, values: Floats, times: Floats, rate: float, floor: Floats, both: tuple[Floats, Floats], even: bool
) -> list[Peak]:
    """The sines in values (n,) px at times (n,) s that stand clear of the noise, strongest first.

    Args:
        floor: (k,) px, of `Spectrum`.
        both: the motion along x and y, (n,) px each; NaN where it is not known. Their amplitudes are fitted with the
            frequencies of this axis alone; `merged` does so with those of all.
    """
    search = _Search(values, times - times[0], rate, floor, even)
    sines = search.run()
    if not sines.hertz:
        return []
    return sorted(search.peaks(axis, sines, both), key=lambda peak: -peak.amplitude)


def sines_of(peaks: Sequence[Peak], times: Floats) -> Sines:
    """All of them, for a fit together; the steady ones first."""
    steady, bent = ([peak.frequency for peak in peaks if peak.steady is which] for which in (True, False))
    return Sines(times, tuple(steady), tuple(bent))


def merged(found: Sequence[Sequence[Peak]], both: tuple[Floats, Floats], times: Floats, apart: float) -> list[Peak]:
    """The peaks of several axes as one list: of those less than `apart` Hz from each other the one that stands out
    most, which is the axis that the thing moves along; of equal ones, the first axis'. In the order they came in.

    `both` are the motions along x and y, (n,) px at times (n,) s: their amplitudes are fitted with all frequencies of
    all axes, so that what moves along x at one does not leak into y at another.
    """
    ranked = [
        (peak.over_noise * SIDEWAYS ** (len(found) > 1 and not number), peak)
        for number, peaks in enumerate(found)
        for peak in peaks
    ]
    kept: list[Peak] = []
    for _, peak in sorted(ranked, key=lambda pair: -pair[0]):
        if all(abs(peak.frequency - other.frequency) > apart for other in kept):
            kept.append(peak)
    kept = [peak for peaks in found for peak in peaks if any(peak is other for other in kept)]
    sines = sines_of(kept, times - times[0])
    columns = [_amplitudes(sines, side) for side in both]
    return [
        replace(
            peak,
            x=peak.amplitude if peak.axis == "x" else columns[0][sines.hertz.index(peak.frequency)],
            y=peak.amplitude if peak.axis == "y" else columns[1][sines.hertz.index(peak.frequency)],
        )
        for peak in kept
    ]


def _amplitudes(sines: Sines, values: Floats) -> list[float]:
    """Px of each; NaN if the motion is not known."""
    known = bool(np.isfinite(values).all())
    return [abs(phasor) for phasor in sines.phasors(values)] if known else [math.nan] * len(sines.hertz)


class _Search:
    def __init__(self, values: Floats, times: Floats, rate: float, floor: Floats, even: bool) -> None:
        self.values, self.times, self.rate, self.floor, self.even = values, times, rate, floor, even
        top = None if even else fastest(times, rate)
        self.grid, self.bin = frequencies(len(values), rate, top)
        self.top = float(self.grid[-1])
        self.images = [] if even else images(times, rate, IMAGE)
        self.low = self.grid <= LOWEST * self.bin
        self.high = self.grid >= self.top - self.bin / 2
        self.dead = np.zeros(len(self.grid), bool)  # where nothing more is looked for

    def spectrum(self, rest: Floats) -> Floats:
        return np.sqrt(power(rest, self.times, self.rate, even=self.even))

    def under(self, amplitude: Floats) -> Floats:
        """(k,) px, what a peak of this spectrum stands in."""
        return np.maximum(np.maximum(self.floor, local_noise(amplitude)), 1e-12)

    def named(self, hertz: float) -> bool:
        """Whether a frequency lies where vibrations are told: not where they would be drift, or flicker."""
        return LOWEST * self.bin < hertz < self.top - self.bin / 2

    def run(self) -> Sines:
        sines = Sines(self.times)
        while sum(map(self.named, sines.hertz)) < MOST and len(sines.hertz) < 2 * MOST:
            rest = sines.rest(self.values)
            amplitude = self.spectrum(rest)
            under = self.under(amplitude)
            found = _summits(amplitude) & ~self.dead & (amplitude > TINY)
            tall = np.where(found & (amplitude > CLEAR * under), amplitude, 0)
            best = int(np.argmax(tall))
            if not tall[best]:
                best = -1 if self.even else self._in_skirts(sines, amplitude, under, found)
                if best < 0:
                    break
            sines = self._taken(sines, best, amplitude, under)
        return sines.refined(self.values, self.bin / 2)

    def _in_skirts(self, sines: Sines, amplitude: Floats, under: Floats, found: Mask) -> int:
        """A vibration's skirts are wide where frames are missing; what it stands in shows when it is taken away."""
        free = found & ~self.low & ~self.high & ~self._near(sines.hertz)
        best = int(np.argmax(np.where(free, amplitude / under, 0)))
        if not free[best]:
            return -1
        more = self._with(sines, self._summit(amplitude, best))
        alone = self.under(self.spectrum(more.rest(self.values)))[best]
        return best if amplitude[best] > CLEAR * alone and alone < SKIRTS * under[best] else -1

    def _taken(self, sines: Sines, best: int, amplitude: Floats, under: Floats) -> Sines:
        """With the summit number `best` explained; or with a place given up, where nothing explains it."""
        off = np.abs(self.grid - self.grid[best])
        if self.dead.any() and self._is_skirt(best, amplitude):
            self.dead |= off <= self.bin / 2
            return sines
        if self.low[best]:
            self.dead |= self.low
            return sines if sines.slow else replace(sines, slow=True).refined(self.values, self.bin / 2)
        near = [f for f in sines.hertz if abs(f - self.grid[best]) <= APART * self.bin]
        if not near:
            return self._with(sines, self._edge(sines) if self.high[best] else self._summit(amplitude, best))
        hertz = min(near, key=lambda f: abs(f - float(self.grid[best])))
        if hertz in sines.bent:
            self.dead |= np.abs(self.grid - hertz) <= APART * self.bin
            return sines
        return self._apart(sines, hertz, best, amplitude, under)

    def _with(self, sines: Sines, hertz: float) -> Sines:
        return sines.at([*sines.steady, hertz]).refined(self.values, self.bin / 2, ROUGH)

    def _edge(self, sines: Sines) -> float:
        """The frequency close to the end of the spectrum that explains most: the maximum there lies off it."""
        tried = self.top - self.bin * np.arange(0.1, 2, 0.1)
        left = [float((sines.at([*sines.steady, f]).rest(self.values) ** 2).sum()) for f in tried]
        return float(tried[int(np.argmin(left))])

    def _apart(self, sines: Sines, hertz: float, best: int, amplitude: Floats, under: Floats) -> Sines:
        """With two sines where there was one, if there are two; else with one that is not steady."""
        others = [f for f in sines.steady if f != hertz]
        bent = Sines(self.times, tuple(others), (*sines.bent, hertz), sines.slow)
        one = Sines(self.times, tuple(others), sines.bent, sines.slow)
        own = self.values - (sines.basis @ self._without(sines, hertz))
        pair = best_pair(own, self.times, hertz, self.bin, NEAREST * self.bin, self.top)
        if pair:
            two = one.at([*others, *pair]).refined(self.values, self.bin / 2, ROUGH)
            if self._are_two(two, bent, best, amplitude, under):
                return two
        return bent

    def _without(self, sines: Sines, hertz: float) -> Floats:
        """(k,) the fit, without the one at `hertz`."""
        found = sines.fit(self.values)
        k = sines.hertz.index(hertz)
        found[2 + 2 * k : 4 + 2 * k] = 0
        return found

    def _are_two(self, two: Sines, bent: Sines, best: int, amplitude: Floats, under: Floats) -> bool:
        pair = two.steady[-2:]
        away = np.array([abs(f - g) for f in pair for g in two.hertz if f != g]) / self.bin
        crowd = sum(min(abs(f - g) for g in pair) < APART * self.bin for f in two.hertz)
        if away.min() < NEAREST or crowd > CROWD:
            return False
        rest, other = two.rest(self.values), bent.rest(self.values)
        left = self.spectrum(rest)
        noise = self.under(left)
        variance = float(np.interp(self.grid[best], self.grid, noise)) ** 2 * len(self.values) / 6
        if float((other**2).sum() - (rest**2).sum()) < BETTER * variance:
            return False
        sigma = two.sigmas(self.values)[1][-2 - len(two.bent) :][:2] * math.sqrt(variance)
        count = len(two.steady)
        tall = np.abs(two.phasors(self.values))[count - 2 : count]
        if (tall < CLEAR * math.sqrt(3) * sigma).any():
            return False
        near = np.abs(self.grid - self.grid[best]) <= self.bin
        return bool(left[near].max() <= max(CLEAR * float(noise[near].max()), EXPLAINED * amplitude[best]))

    def _near(self, hertz: tuple[float, ...]) -> Mask:
        out = np.zeros(len(self.grid), bool)
        for f in hertz:
            out |= np.abs(self.grid - f) <= APART * self.bin
        return out

    def _is_skirt(self, best: int, amplitude: Floats) -> bool:
        """Whether what was given up reaches so far: through the window, of what is not quite a sine, twice as far."""
        far = np.abs(self.grid[self.dead] - self.grid[best]) / self.bin
        reach = np.where(far > 1.2, 2 / (np.pi * far * np.maximum(far**2 - 1, 0.1)), 1.0)
        return bool((amplitude[self.dead] * np.minimum(reach, 1)).max() > amplitude[best])

    def _summit(self, amplitude: Floats, at: int) -> float:
        """The frequency of a maximum, by a parabola through the logarithms of three neighbours."""
        grid = self.grid
        if not 0 < at < len(grid) - 1:
            return float(grid[at])
        left, middle, right = np.log(np.maximum(amplitude[at - 1 : at + 2], 1e-300))
        bend = left - 2 * middle + right
        part = 0.5 * (left - right) / bend if bend < 0 else 0.0
        return float(grid[at] + np.clip(part, -0.5, 0.5) * (grid[1] - grid[0]))

    def peaks(self, axis: str, sines: Sines, both: tuple[Floats, Floats]) -> list[Peak]:
        """The sines that can be told, with their uncertainties."""
        # What is left when all are taken away is what they stand in.
        left = self.spectrum(sines.rest(self.values))
        under = self.under(left)
        plain = self.spectrum(Sines(self.times, sines.hertz, (), sines.slow).rest(self.values)) if sines.bent else under
        span = len(self.values) / self.rate
        white = math.sqrt(len(self.values) / 6)  # from what noise reads to what a sample has
        tall = np.abs(sines.phasors(self.values))
        sides = [_amplitudes(sines, side) for side in both]
        hertz_sigma, sigma = sines.sigmas(self.values)
        out = []
        for k, f in enumerate(sines.hertz):
            noise = float(np.interp(f, self.grid, under))
            size = math.hypot(noise, self._lent(f, left, under)) * white
            off = (hertz_sigma[k] * size, sigma[k] * size)
            if f in sines.bent:
                more = max(noise, float(plain[np.abs(self.grid - f) <= APART * self.bin].max()))
                off = (more / (np.pi * span * tall[k]), max(more / math.sqrt(3), off[1]))
            unsure = off[1] > UNSURE * tall[k] and not APART * self.bin < f < self.top - APART * self.bin
            weak = tall[k] < CLEAR * noise  # among what the others were found to leave
            if not self.named(f) or weak or unsure or self._is_drift(sines, f):
                continue
            image = self._image(sines, k, (noise * white) ** 2)
            off = (max(off[0], abs(f - image)) if math.isfinite(image) else off[0], off[1])
            numbers = (f, float(off[0]), float(tall[k]), float(off[1]), sides[0][k], sides[1][k])
            out.append(Peak(axis, *numbers, float(tall[k] / noise), steady=f not in sines.bent, image=image))
        return out

    def _image(self, sines: Sines, number: int, variance: float) -> float:
        """Hz of an image that, beside the others, explains the motion as well as a steady sine does; NaN if none."""
        if number >= len(sines.steady):
            return math.nan
        hertz, others = sines.steady[number], [f for k, f in enumerate(sines.steady) if k != number]
        least = float((sines.rest(self.values) ** 2).sum()) + BETTER * variance
        for off in self.images:
            for there in (abs(hertz - off), min(hertz + off, 2 * self.top - hertz - off)):
                if not self.named(there) or min(abs(there - f) for f in sines.hertz) < APART * self.bin:
                    continue
                other = sines.at([*others, there]).refined(self.values, self.bin / 2, ROUGH)
                if float((other.rest(self.values) ** 2).sum()) < least:
                    return other.steady[-1]
        return math.nan

    def _lent(self, hertz: float, left: Floats, under: Floats) -> float:
        """Px, by what a fit at a frequency is shifted by what was given up at others, read as noise would be."""
        far = np.abs(self.grid - hertz) / self.bin
        gone = self.dead & (left > CLEAR * under) & (far > 1)
        return float((left[gone] / far[gone]).max(initial=0) * math.sqrt(3) / np.pi)

    def _is_drift(self, sines: Sines, hertz: float) -> bool:
        """Whether a sine is but the skirt of a drift: alone it would be slower, or leave much of what is slow."""
        if hertz > APART * self.bin or not sines.slow:
            return False
        others = [f for f in sines.steady if f != hertz]
        bent = [f for f in sines.bent if f != hertz]
        alone = Sines(self.times, (*others, hertz), tuple(bent)).refined(self.values, self.bin / 2)
        left = self.spectrum(alone.rest(self.values))[self.low].max()
        return not self.named(alone.steady[-1]) or bool(left > DRIFT * abs(alone.phasors(self.values)[len(others)]))


def _summits(amplitude: Floats) -> Mask:
    """Where an amplitude is the largest within half a bin."""
    out = np.ones(len(amplitude), bool)
    for by in range(1, FINER // 2 + 1):
        out[by:] &= amplitude[by:] >= amplitude[:-by]
        out[:-by] &= amplitude[:-by] >= amplitude[by:]
    return out
