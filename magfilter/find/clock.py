"""What goes round in motion over time, at every frequency or at one: of evenly spaced frames, and of others.

Frames that are missing, or that come when they like, are taken at the times at which they were. Nothing is put in
between them, which would make up frequencies that nothing moves at. Gaps leave faint images of a vibration at other
frequencies all the same, so each one that was found is taken away before the next is looked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.measure.spectrum import FINER, fastest, frequencies, uneven_window

__all__ = ["EvenClock", "UnevenClock"]

Field = NDArray[np.float32]
Floats = NDArray[np.float64]
Phasors = NDArray[np.complex128]

FINE = 8  # points of time a frame, to which frames are dealt out; what lies between two counts at both, in proportion
STEPS = 3  # towards the exact frequency
LARGE = 4_000_000  # numbers that are transformed at once


class EvenClock:
    """Evenly spaced frames: how many, and how many a second."""

    def __init__(self, count: int, rate: float) -> None:
        self.rate = rate
        self.kept = FINER * count // 2 + 1  # frequencies that are read
        self._window = np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 2
        self._times = np.arange(count) - (count - 1) / 2

    def amplitudes(self, series: Floats) -> Phasors:
        """(k, s) px at `magfilter.measure.spectrum.frequencies(n, rate)`, of series (n, s) px without their mean and
        straight drift."""
        times, count = self._times, len(series)
        part = series - series.mean(0) - times[:, None] * (times @ series / (times @ times))
        found = np.fft.rfft(part * self._window[:, None], FINER * count, axis=0)
        return np.asarray(found[: self.kept] * (2 / self._window.sum()))

    def phasors(self, moved: Field, hertz: float) -> Phasors:
        """(…) px, of motion (n, …) px: at time t from the first frame, its real part times exp(2πi·hertz·t)."""
        times = self._times
        turn = np.exp(-2j * np.pi * hertz / self.rate * np.arange(len(moved)))
        wave = self._window * turn * (2 / self._window.sum())
        drift = np.tensordot(times, moved, 1) / (times @ times)
        found = np.tensordot(wave, moved, 1) - wave.sum() * moved.mean(0) - (wave @ times) * drift
        return np.asarray(found, np.complex128)

    def settled(self, moved: Field, hertz: float) -> float:
        """The frequency of a vibration that (n, …) px have in common, near a maximum of `amplitudes`."""
        return hertz

    def rest(self, moved: Field, hertz: float) -> Field:
        """What is left to be looked through when the vibration at a frequency was found."""
        return moved


class UnevenClock:
    """Frames at times (n,) s, `rate` a second on average; otherwise as `EvenClock`."""

    def __init__(self, times: Floats, rate: float) -> None:
        self.rate = rate
        self._times = times - times[0]
        self.kept = len(frequencies(len(times), rate, fastest(times, rate))[0])
        weights = uneven_window(self._times, rate)
        self._weights = weights * (2 / weights.sum())

    def amplitudes(self, series: Floats) -> Phasors:
        level = np.stack([np.ones(len(series)), self._times], 1)
        part = series - level @ np.linalg.lstsq(level, series, rcond=None)[0]
        part *= self._weights[:, None]
        length = FINER * FINE * len(series)
        at = self._times * self.rate * FINE
        low = np.floor(at).astype(np.intp)
        share = (at - low)[:, None]
        kept = self.kept
        # What dealing out between two points takes off, on average.
        fair = 1 - (2 * np.pi * np.arange(kept) / length)[:, None] ** 2 / 12
        out = np.empty((kept, part.shape[1]), np.complex128)
        wide = max(1, LARGE // length)
        for begin in range(0, part.shape[1], wide):
            some = part[:, begin : begin + wide]
            dealt = np.zeros((length, some.shape[1]))
            np.add.at(dealt, low, some * (1 - share))
            np.add.at(dealt, low + 1, some * share)
            out[:, begin : begin + wide] = np.fft.rfft(dealt, axis=0)[:kept] / fair
        return out

    def phasors(self, moved: Field, hertz: float) -> Phasors:
        found = self._fit(moved, hertz)[1]
        return np.asarray(found[0] - 1j * found[1], np.complex128)

    def settled(self, moved: Field, hertz: float) -> float:
        """By Gauss–Newton: through gaps, a vibration shifts the maximum of its own amplitude."""
        far = self.rate / len(moved) / 2
        middle = self._times - self._times.mean()
        now = hertz
        for _ in range(STEPS):
            basis, found = self._fit(moved, now)
            slope = np.multiply.outer(middle * basis[:, 1], -found[0]) + np.multiply.outer(
                middle * basis[:, 0], found[1]
            )
            basis, explained = self._fit(slope, now)
            slope -= np.tensordot(basis, explained, 1)
            weighted = slope * self._weights.reshape(-1, *[1] * (moved.ndim - 1))
            step = float((weighted * moved).sum() / max((weighted * slope).sum(), 1e-30)) / (2 * np.pi)
            now = float(np.clip(now + step, hertz - far, hertz + far))
        return now

    def rest(self, moved: Field, hertz: float) -> Field:
        basis, found = self._fit(moved, hertz)
        return np.asarray(moved - np.tensordot(basis[:, :2], found[:2], 1), np.float32)

    def _fit(self, moved: NDArray[Any], hertz: float) -> tuple[Floats, Floats]:
        """(n, 4) cosine, sine, mean and drift, and how much of each (4, …) px is in (n, …) px, by least squares."""
        turn = 2 * np.pi * hertz * self._times
        basis = np.stack([np.cos(turn), np.sin(turn), np.ones(len(turn)), self._times], 1)
        weighted = basis * self._weights[:, None]
        found = np.linalg.solve(weighted.T @ basis, np.tensordot(weighted.T, moved, 1).reshape(4, -1))
        return basis, found.reshape(4, *moved.shape[1:])
