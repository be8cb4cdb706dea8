"""What frequencies a motion is made of: amplitude spectra, and the noise in them.

The spectrum is single-sided, through a Hann window, divided by the window's mean (its coherent gain), and read at
four times as many frequencies as the clip tells apart: a sine of 0.3 px reads 0.3, within 1 %, wherever it lies. The
mean and the straight drift are taken off first. Of a variable frame rate the times are used as they are.

A named peak is more exact than the curve: see `magfilter.measure.peaks`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    *("APART", "AROUND", "CLEAR", "FEWEST", "FINER", "LOWEST"),
    *("Spectrum", "fastest", "frequencies", "images", "local_noise", "power", "rms_of_white", "uneven_window", "waves"),
]

Floats = NDArray[np.float64]

FEWEST = 8  # samples of which a spectrum is made
FINER = 4  # frequencies read per frequency that can be told apart
LOWEST = 1.5  # times the resolution: below, a peak is no better told from drift
CLEAR = 4.0  # times the noise's root mean square that a peak is above it; of noise alone 1 bin in 10⁷ is
APART = 3.0  # times the resolution, up to which a peak of the curve may belong to another
AROUND = 10  # times the resolution, on either side, that say what noise a peak stands in
DENSE = 2.0  # times the usual time between samples, which one beside a gap stands for at most
ON_BEAT = 0.01  # of a beat's step, by which samples may be off it
IMAGES = 4  # that are looked at
THIN = 0.2  # of a beat's samples, fewer than which tell nothing of what is faster than they are
BLOCK = 64  # frequencies that are read at once of samples at uneven times
DIRECT = 20_000  # samples of a variable rate; more are taken as evenly spaced
MEDIAN = float(np.sqrt(np.log(2)))  # of a Rayleigh distribution, over its root mean square


@dataclass(frozen=True)
class Spectrum:
    """Amplitudes of a region's motion.

    Attributes:
        frequency: (k,) Hz, from 0 to half the frame rate; where frames are missing, to half of what it is without gaps.
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
        around = np.maximum(self.floor[axis], local_noise(self.amplitude[axis]))
        return float(np.interp(hertz, self.frequency, around))


def _level(values: Floats, times: Floats) -> Floats:
    """Without mean and straight drift."""
    basis = np.stack([np.ones(len(times)), times - times.mean()], 1)
    return np.asarray(values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0])


def frequencies(count: int, rate: float, top: float | None = None) -> tuple[Floats, float]:
    """(Hz that are read, resolution in Hz) for so many samples; up to `top` Hz, or half the rate."""
    most = FINER * count // 2 if top is None else max(FINER * count // 2, int(FINER * count * top / rate + 1e-6))
    return np.asarray(np.arange(most + 1) * (rate / (FINER * count)), np.float64), rate / count


def fastest(times: Floats, rate: float) -> float:
    """The highest frequency in Hz that samples at uneven times (n,) s, `rate` a second on average, tell.

    Half of `rate`; where they lie on a beat of which some are missing, half of the beat's rate: what is faster than
    half of `rate` has images below that, but none explains the motion as well.
    """
    step = _beat(times, rate)
    return 0.5 / step if step else rate / 2


def _beat(times: Floats, rate: float) -> float:
    """The step in s of a beat on which samples at times (n,) s lie, fewer than all that it has; 0 if there is none."""
    gaps = np.diff(times)
    step = float(gaps.min()) if len(gaps) else 0.0
    if not 0 < step * rate < 1 or step * rate < THIN or len(times) > DIRECT:
        return 0.0
    return 0.0 if np.abs(gaps / step - np.rint(gaps / step)).max() > ON_BEAT else step


def images(times: Floats, rate: float, share: float) -> list[float]:
    """Hz by which a frequency is off images that reach a `share` of its own height, the strongest first: those of
    samples at uneven times (n,) s, which lie on a beat."""
    step = _beat(times, rate)
    if not step:
        return []
    places = np.rint((times - times[0]) / step).astype(np.intp)
    window = np.zeros(int(places[-1]) + 1)
    window[places] = uneven_window(times, rate)
    tall = np.abs(np.fft.rfft(window, 2 * len(window))) / window.sum()
    apart = np.arange(len(tall)) / (2 * len(window) * step)
    left, right = np.append(0, tall[:-1]), np.append(tall[1:], 0)
    summits = np.flatnonzero((tall > share) & (tall >= left) & (tall >= right) & (apart > APART * rate / len(times)))
    return [float(apart[k]) for k in summits[np.argsort(-tall[summits])][:IMAGES]]


def power(values: Floats, times: Floats, rate: float, *, even: bool = True) -> Floats:
    """Squared amplitudes (k,) of values (n,) at times (n,) s, at `frequencies(n, rate)`; `even`: evenly spaced, else
    up to `fastest(times, rate)`."""
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
    hertz = frequencies(count, rate, fastest(times, rate))[0]
    out = np.empty(len(hertz), np.complex128)
    # The frequencies are evenly spaced: a block of them is the first block, turned on as a whole.
    block = max(1, min(BLOCK, 4_000_000 // count))
    turns = np.exp(-2j * np.pi * np.multiply.outer(hertz[:block], times - times[0]))
    part = values * window * (2 / window.sum())
    for begin in range(0, len(hertz), block):
        turned = part * np.exp(-2j * np.pi * hertz[begin] * (times - times[0]))
        out[begin : begin + block] = turns[: len(hertz) - begin] @ turned
    return out


def uneven_window(times: Floats, rate: float) -> Floats:
    """(n,) Hann's window at times (n,) s, `rate` a second on average; a sample counts for the time it stands for."""
    apart = np.gradient(times)
    window = np.sin(np.pi * np.clip((times - times[0] + 0.5 / rate) / (len(times) / rate), 0, 1)) ** 2
    return np.asarray(window * np.minimum(apart, DENSE * np.median(apart)))


def rms_of_white(count: int) -> float:
    """What white noise of standard deviation 1 reads, root mean square: 2 √Σw² / Σw of the window."""
    return float(2 * np.sqrt(1.5 / count))


def local_noise(amplitude: Floats) -> Floats:
    """Root mean square of the noise about every frequency, by the median of the neighbourhood."""
    reach = AROUND
    thin = amplitude[::FINER]
    padded = np.pad(thin, reach, mode="reflect") if len(thin) > reach else np.pad(thin, reach, mode="edge")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1) / MEDIAN
    return np.asarray(np.interp(np.arange(len(amplitude)), np.arange(len(thin)) * FINER, middle))
