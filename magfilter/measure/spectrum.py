"""What frequencies a motion is made of: amplitude spectra, and sines fitted to their peaks.

The spectrum is single-sided, through a Hann window, divided by the window's mean (its coherent gain), and read at
four times as many frequencies as the clip tells apart: a sine of 0.3 px reads 0.3, within 1 %, wherever it lies. The
mean and the straight drift are taken off first. Of a variable frame rate the times are used as they are.

A named peak is more exact than the curve: its frequency, and the amplitudes of all peaks together, are fitted to the
motion by least squares, without a window, so that neither neighbours nor the bins shift them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST", "Peak", "Spectrum", "find_peaks", "fit_phasors", "power", "rms_of_white", "uneven_window", "waves"]

Floats = NDArray[np.float64]

FEWEST = 8  # samples of which a spectrum is made
FINER = 4  # frequencies read per frequency that can be told apart
LOWEST = 1.5  # times the resolution: below, a peak is no better told from drift
CLEAR = 4.0  # times the noise's root mean square that a peak is above it; of noise alone 1 bin in 10⁷ is
MOST = 10  # peaks
APART = 3.0  # times the resolution between peaks
AROUND = 10  # times the resolution, on either side, that say what noise a peak stands in
DENSE = 2.0  # times the usual time between samples, which one beside a gap stands for at most
DIRECT = 20_000  # samples of a variable rate; more are taken as evenly spaced
SKIRTS = 0.7  # times what surrounds a vibration, which is left without it if that was mostly its own
MEDIAN = float(np.sqrt(np.log(2)))  # of a Rayleigh distribution, over its root mean square


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
            frequency; of "along", each along its own direction. 0 in the first region itself; NaN where that does
            not show it.
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


@dataclass(frozen=True)
class Spectrum:
    """Amplitudes of a region's motion.

    Attributes:
        frequency: (k,) Hz, from 0 to half the frame rate.
        amplitude: axis ("x", "y", "along") → (k,) px.
        floor: the same axes → (k,) px, what noise reads there, root mean square.
        resolution: Hz that can be told apart, 1 / duration: a bin. The frequencies lie a quarter of it apart.
    """

    frequency: Floats
    amplitude: dict[str, Floats]
    floor: dict[str, Floats]
    resolution: float

    def noise_at(self, axis: str, hertz: float) -> float:
        """Px that a motion at `hertz` stands in: the floor, or what moves at the frequencies around if that is more."""
        around = np.maximum(self.floor[axis], _local(self.amplitude[axis]))
        return float(np.interp(hertz, self.frequency, around))


def _level(values: Floats, times: Floats) -> Floats:
    """Without mean and straight drift."""
    basis = np.stack([np.ones(len(times)), times - times.mean()], 1)
    return np.asarray(values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0])


def frequencies(count: int, rate: float) -> tuple[Floats, float]:
    """(Hz that are read, resolution in Hz) for so many samples."""
    return np.asarray(np.arange(FINER * count // 2 + 1) * (rate / (FINER * count)), np.float64), rate / count


def power(values: Floats, times: Floats, rate: float, *, even: bool = True) -> Floats:
    """Squared amplitudes (k,) of values (n,) at times (n,) s, at `frequencies(n, rate)`; `even`: evenly spaced."""
    return np.asarray(np.abs(waves(values, times, rate, even=even)) ** 2)


def waves(values: Floats, times: Floats, rate: float, *, even: bool = True) -> NDArray[np.complex128]:
    """(k,) amplitudes and phases as complex numbers; otherwise as `power`. Phases count from the first time on."""
    values = _level(values, times)
    count = len(values)
    if even or count > DIRECT:
        window = np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 2
        found = np.fft.rfft(values * window, FINER * count)
        return np.asarray(found * (2 / window.sum()))
    window = uneven_window(times, rate)
    hertz = frequencies(count, rate)[0]
    out = np.empty(len(hertz), np.complex128)
    block = max(1, 4_000_000 // count)
    for begin in range(0, len(hertz), block):
        turn = np.exp(-2j * np.pi * hertz[begin : begin + block, None] * (times - times[0]))
        out[begin : begin + block] = turn @ (values * window) * (2 / window.sum())
    return out


def uneven_window(times: Floats, rate: float) -> Floats:
    """(n,) Hann's window at times (n,) s, `rate` a second on average; a sample counts for the time it stands for."""
    apart = np.gradient(times)
    window = np.sin(np.pi * np.clip((times - times[0] + 0.5 / rate) / (len(times) / rate), 0, 1)) ** 2
    return np.asarray(window * np.minimum(apart, DENSE * np.median(apart)))


def rms_of_white(count: int) -> float:
    """What white noise of standard deviation 1 reads, root mean square: 2 √Σw² / Σw of the window."""
    return float(2 * np.sqrt(1.5 / count))


def _local(amplitude: Floats) -> Floats:
    """Root mean square of the noise about every frequency, by the median of the neighbourhood."""
    reach = AROUND
    thin = amplitude[::FINER]
    padded = np.pad(thin, reach, mode="reflect") if len(thin) > reach else np.pad(thin, reach, mode="edge")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1) / MEDIAN
    return np.asarray(np.interp(np.arange(len(amplitude)), np.arange(len(thin)) * FINER, middle))


def _sines(times: Floats, hertz: list[float]) -> Floats:
    basis: list[Any] = [np.ones(len(times)), times - times.mean()]
    for f in hertz:
        basis += [np.sin(2 * np.pi * f * times), np.cos(2 * np.pi * f * times)]
    return np.stack(basis, 1)


def fit_phasors(values: Floats, times: Floats, hertz: list[float]) -> list[complex]:
    """Of values (n,), what goes round at each of the frequencies: the motion there is the real part of
    phasor · exp(2πi·hertz·t). By least squares, all together, beside a mean and a drift."""
    found = np.linalg.lstsq(_sines(times, hertz), values, rcond=None)[0]
    return [complex(cosine, -sine) for sine, cosine in found[2:].reshape(-1, 2)]


def _refine(values: Floats, times: Floats, hertz: list[float], bin_: float) -> tuple[list[float], Floats]:
    """The frequencies by Gauss–Newton from within half a bin, and what is left of the values."""
    start, now = list(hertz), list(hertz)
    for _ in range(8):
        basis = _sines(times, now)
        found = np.linalg.lstsq(basis, values, rcond=None)[0]
        slopes = [
            2 * np.pi * times * (found[2 + 2 * k] * basis[:, 3 + 2 * k] - found[3 + 2 * k] * basis[:, 2 + 2 * k])
            for k in range(len(now))
        ]
        step = np.linalg.lstsq(np.column_stack([basis, *slopes]), values, rcond=None)[0][basis.shape[1] :]
        now = [float(np.clip(f + s, f0 - bin_ / 2, f0 + bin_ / 2)) for f, s, f0 in zip(now, step, start, strict=True)]
        if np.abs(step).max() < 1e-4 * bin_:
            break
    basis = _sines(times, now)
    return now, values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]


def find_peaks(
    axis: str, values: Floats, times: Floats, rate: float, floor: Floats, both: tuple[Floats, Floats], even: bool
) -> list[Peak]:
    """The sines in values (n,) px at times (n,) s that stand clear of the noise, strongest first.

    The strongest is fitted and taken away, then the next is looked for in what is left, so that one's skirts are not
    taken for another.

    Args:
        floor: (k,) px, of `Spectrum`.
        both: the motion along x and y, (n,) px each; NaN where it is not known.
    """
    times = times - times[0]
    grid, bin_ = frequencies(len(values), rate)
    hertz: list[float] = []
    rest = values
    within = (grid > LOWEST * bin_) & (grid < rate / 2 - bin_ / 2)
    while len(hertz) < MOST:
        amplitude = np.sqrt(power(rest, times, rate, even=even))
        under = np.maximum(floor, _local(amplitude))
        free = within.copy()
        for f in hertz:
            free &= np.abs(grid - f) > APART * bin_
        over = np.where(free & _summits(amplitude), amplitude / np.maximum(under, 1e-12), 0)
        over[amplitude < 1e-7] = 0
        tall = np.where(over > CLEAR, amplitude, 0)
        best = int(np.argmax(tall))
        if not tall[best] and not even:
            # A vibration's skirts are wide where frames are missing; what it stands in shows when it is taken away.
            best = int(np.argmax(over))
            _, left = _refine(values, times, [*hertz, _summit(grid, amplitude, best)], bin_)
            alone = np.maximum(floor, _local(np.sqrt(power(left, times, rate, even=even))))[best]
            if over[best] > 0 and amplitude[best] > CLEAR * alone and alone < SKIRTS * under[best]:
                tall[best] = amplitude[best]
        if not tall[best]:
            break
        hertz.append(_summit(grid, amplitude, best))
        hertz, rest = _refine(values, times, hertz, bin_)
    if not hertz:
        return []
    # What is left when all are taken away is what they stand in.
    under = np.maximum(floor, _local(np.sqrt(power(rest, times, rate, even=even))))
    noise = [max(float(np.interp(f, grid, under)), 1e-12) for f in hertz]
    tall_list, *sides = (
        np.abs(fit_phasors(side, times, hertz)).tolist() if np.isfinite(side).all() else [np.nan] * len(hertz)
        for side in (values, *both)
    )
    span = len(values) / rate
    peaks = [
        Peak(axis, f, n / (np.pi * span * a), a, n / math.sqrt(3), x, y, a / n)
        for f, a, n, x, y in zip(hertz, tall_list, noise, *sides, strict=True)
    ]
    return sorted(peaks, key=lambda peak: -peak.amplitude)


def _summits(amplitude: Floats) -> NDArray[np.bool_]:
    """Where an amplitude is the largest within half a bin."""
    out = np.ones(len(amplitude), bool)
    for by in range(1, FINER // 2 + 1):
        out[by:] &= amplitude[by:] >= amplitude[:-by]
        out[:-by] &= amplitude[:-by] >= amplitude[by:]
    return out


def _summit(grid: Floats, amplitude: Floats, at: int) -> float:
    """The frequency of a maximum, by a parabola through the logarithms of three neighbours."""
    if not 0 < at < len(grid) - 1:
        return float(grid[at])
    left, middle, right = np.log(np.maximum(amplitude[at - 1 : at + 2], 1e-300))
    bend = left - 2 * middle + right
    part = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(grid[at] + np.clip(part, -0.5, 0.5) * (grid[1] - grid[0]))
