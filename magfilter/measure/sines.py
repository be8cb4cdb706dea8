"""Sines fitted to a motion, by least squares and without a window, so that neither neighbours nor bins shift them.

All are fitted together, beside a mean and a straight drift. A sine that is not steady (it rings down, or its pitch
changes) has an envelope of its own, so that it does not lend others what it cannot explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sines", "best_pair"]

Floats = NDArray[np.float64]

ROUNDS = 12  # of Gauss–Newton, at most
SETTLED = 1e-4  # times the resolution
SLOW = (2, 3, 4)  # orders of a drift that is not straight
STEP = 0.25  # times the resolution, at which pairs are looked for
AROUND = 3.5  # times the resolution, on either side, within which they are


@dataclass(frozen=True)
class Sines:
    """What a motion (n,) px at times (n,) s is made of.

    Attributes:
        steady: Hz of sines that stay as they are.
        bent: Hz of sines whose amplitude or phase changes, smoothly.
        slow: the drift is not straight.
    """

    times: Floats = field(repr=False)
    steady: tuple[float, ...] = ()
    bent: tuple[float, ...] = ()
    slow: bool = False

    @property
    def hertz(self) -> tuple[float, ...]:
        """All frequencies, in the order of `phasors`."""
        return (*self.steady, *self.bent)

    @cached_property
    def basis(self) -> Floats:
        """(n, k) mean, drift, sine and cosine of each; then what bends."""
        times, hertz = self.times, self.hertz
        at = 2 * (times - times[0]) / (times[-1] - times[0]) - 1
        columns: list[Any] = [np.ones(len(times)), at - at.mean()]
        for f in hertz:
            turn = 2 * np.pi * f * times
            columns += [np.sin(turn), np.cos(turn)]
        if self.slow:
            columns += [np.polynomial.Legendre.basis(order)(at) for order in SLOW]
        for k in range(len(self.steady), len(hertz)):
            # Orthogonal to a constant: what is fitted beside them is the mean phasor.
            columns += [columns[2 + 2 * k + side] * shape for shape in (at, 1.5 * at**2 - 0.5) for side in (0, 1)]
        return np.stack(columns, 1)

    def fit(self, values: Floats) -> Floats:
        """(k,) how much of each column of the basis is in values (n,)."""
        return _solve(self.basis, values)

    def rest(self, values: Floats) -> Floats:
        """What is left of values (n,)."""
        return np.asarray(values - self.basis @ self.fit(values))

    def phasors(self, values: Floats) -> list[complex]:
        """What goes round at each frequency: the motion there is the real part of phasor · exp(2πi·hertz·t)."""
        found = self.fit(values)
        return [complex(c, -s) for s, c in found[2 : 2 + 2 * len(self.hertz)].reshape(-1, 2)]

    def refined(self, values: Floats, reach: float, settled: float = SETTLED) -> Sines:
        """With the steady frequencies fitted, by Gauss–Newton, to within `reach` Hz of where they are; until they move
        by less than `settled` of that."""
        if not self.steady:
            return self
        start = np.array(self.steady)
        now, left = self, float((self.rest(values) ** 2).sum())
        for _ in range(ROUNDS):
            step = _solve(now._slopes(values), values)[-len(start) :]
            for part in (1.0, 0.5, 0.25):
                there = np.clip(np.array(now.steady) + part * step, start - reach, start + reach)
                other = self.at(there)
                rest = float((other.rest(values) ** 2).sum())
                if rest <= left:
                    break
            else:
                break
            moved = np.abs(there - np.array(now.steady)).max()
            now, left = other, rest
            if moved < settled * reach:
                break
        return now

    def at(self, steady: Sequence[float] | Floats) -> Sines:
        """With other steady frequencies."""
        return Sines(self.times, tuple(float(f) for f in steady), self.bent, self.slow)

    def _slopes(self, values: Floats) -> Floats:
        """(n, k) the basis, then what changes with each of the steady frequencies."""
        basis, times, found = self.basis, self.times, self.fit(values)
        slopes = [
            2 * np.pi * times * (found[2 + 2 * k] * basis[:, 3 + 2 * k] - found[3 + 2 * k] * basis[:, 2 + 2 * k])
            for k in range(len(self.steady))
        ]
        return np.column_stack([basis, *slopes])

    def sigmas(self, values: Floats) -> tuple[Floats, Floats]:
        """Standard deviations of (frequencies, amplitudes), for white noise of standard deviation 1: of all fitted
        together, which neighbours, and the ends of the spectrum, widen. NaN for the frequencies of bent ones."""
        slopes = self._slopes(values)
        size = np.maximum(np.sqrt((slopes**2).sum(0)), 1e-300)
        spread = np.linalg.pinv((slopes / size).T @ (slopes / size), hermitian=True) / np.outer(size, size)
        count = len(self.steady)
        hertz = np.full(len(self.hertz), np.nan)
        hertz[:count] = np.sqrt(np.maximum(np.diag(spread)[slopes.shape[1] - count :], 0))
        tall = np.empty(len(self.hertz))
        for k, phasor in enumerate(self.phasors(values)):
            way = np.array([-phasor.imag, phasor.real]) / max(abs(phasor), 1e-300)
            part = slice(2 + 2 * k, 4 + 2 * k)
            tall[k] = np.sqrt(max(float(way @ spread[part, part] @ way), 0.0))
        return hertz, tall


def _solve(columns: Floats, values: Floats) -> Floats:
    """Least squares, by the normal equations, which take a small part of the time of a decomposition of many rows."""
    size = np.maximum(np.sqrt(np.einsum("nk,nk->k", columns, columns)), 1e-300)
    gram = columns.T @ columns / np.outer(size, size)
    found = np.linalg.lstsq(gram, (values @ columns) / size, rcond=1e-13)[0] / size
    # Once more with what is left, which takes off what squaring has cost in digits.
    again = np.linalg.lstsq(gram, ((values - columns @ found) @ columns) / size, rcond=1e-13)[0] / size
    return np.asarray(found + again)


def best_pair(values: Floats, times: Floats, middle: float, bin_: float, nearest: float, top: float) -> list[float]:
    """The two frequencies about `middle` Hz, at least `nearest` Hz apart and below `top`, that explain values (n,) px
    best, to a quarter of a resolution of `bin_` Hz."""
    hertz = middle + bin_ * np.arange(-AROUND, AROUND + STEP / 2, STEP)
    hertz = hertz[(hertz > bin_ / 2) & (hertz < top)]
    turn = 2 * np.pi * np.multiply.outer(times, hertz)
    waves = np.stack([np.sin(turn), np.cos(turn)], 2).reshape(len(times), -1)
    gram, seen = waves.T @ waves, waves.T @ values
    one, two = np.nonzero(hertz[None] - hertz[:, None] >= nearest - 1e-9)
    if not len(one):
        return []
    at = np.stack([2 * one, 2 * one + 1, 2 * two, 2 * two + 1], 1)
    parts = gram[at[:, :, None], at[:, None, :]] + 1e-9 * len(times) * np.eye(4)
    told = (np.linalg.solve(parts, seen[at][..., None])[..., 0] * seen[at]).sum(1)
    best = int(np.argmax(told))
    return [float(hertz[one[best]]), float(hertz[two[best]])]
