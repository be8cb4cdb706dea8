"""Vibrations in the motion of a picture's cells: what stands above the noise of its neighbouring frequencies.

Every cell has its own spectrum and its own noise. A vibration is a frequency at which a cell, and one beside it,
stand clear of theirs. The strongest is taken, with all cells that show it, then the next at another frequency.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from magfilter.find.clock import EvenClock, UnevenClock
from magfilter.measure.spectrum import APART, AROUND, FINER, fastest, frequencies
from magfilter.overlay import beside

__all__ = ["FEWEST", "PARTS", "Shape", "gathered", "shapes"]

Field = NDArray[np.float32]
Floats = NDArray[np.float64]
Phasors = NDArray[np.complex128]
Clock = EvenClock | UnevenClock

FEWEST = 16  # frames of which a spectrum is made
# Times the noise, root mean square, that the strongest cell of a vibration is above it; of noise alone one bin in e²⁵
# is. And a cell beside it, and every other that counts.
CLEAR, BESIDE = 5.0, 3.0
FAINT = 2.0  # the same for what stands out most where nothing is clear
SHOWS = 0.02  # times the noise of a pixel that a vibration changes it, root mean square over the cell: on a bare wall
# the network guesses, and its guesses have rhythms
CYCLES = 2.5  # that a vibration takes at least
EDGE = 2.0  # times what can be told apart, below half the frame rate: from one frame to the next it only flickers
# Cells' sides; noise that is less is taken for as much. The network gives exact zeros, and what a codec does from key
# frame to key frame is a rhythm of some thousandths of a px.
LEAST = 1e-4
SPURIOUS = 0.1  # of what else a cell or one beside it was found to do: the network and outlines make harmonics of it
PARTS = 2  # of a cell's side, whose motions are kept apart until it is known which of them move
RIPPLE = 0.005  # of a strong vibration's power, what it has beside its skirts
MOST = 10
STRONG = 0.5  # times the vibration's amplitude, from which a cell lies within its rectangle
FASTEST = 95.0  # percentile of the cells that is called the amplitude
GAMMA = 1.678 / 2  # the median of a squared amplitude of two axes' noise, over its mean
BLOCK = 64  # cells whose spectra are held at once, at full length


class Shape(NamedTuple):
    """One vibration.

    Attributes:
        frequency: Hz.
        amplitude: px, of its strongest cells, half of peak to peak.
        over_noise: of the strongest cell.
        phasors: (2, rows, columns) px, the displacement at time t is the real part of phasors · exp(2πi·f·t). 0 in
            cells that do not show it.
        core: (top, left, bottom, right) the rectangle of cells around its strongest part; the last two not included.
    """

    frequency: float
    amplitude: float
    over_noise: float
    phasors: Phasors
    core: tuple[int, int, int, int]


def gathered(parts: Field) -> Field:
    """Motion (n, 2, rows, columns) of cells, of that of their parts (n, 2, PARTS·rows, PARTS·columns).

    Parts count by how much they move over the whole time: what fills half a cell is seen at its own speed. The weights
    stay, so that no frequency turns up which no part has.
    """
    count, _, rows, columns = parts.shape
    weight = parts.std(0).sum(0) + np.float32(1e-12)
    shape = (rows // PARTS, PARTS, columns // PARTS, PARTS)
    total = (parts * weight).reshape(count, 2, *shape).sum((3, 5))
    out: Field = total / weight.reshape(shape).sum((1, 3))
    return out


def shapes(
    moved: Field, rate: float, side: float, sight: Field, times: Floats | None = None
) -> tuple[list[Shape], Shape | None]:
    """The vibrations in the motion of cells, strongest first; where there is none, what comes nearest to one.

    Args:
        moved: (n, 2, rows, columns) px.
        rate: frames a second, on average.
        side: px, of a cell.
        sight: (rows, columns), how much a motion by a px changes the pixels of a cell, times their noise.
        times: (n,) s, where the frames are not evenly spaced.
    """
    count = len(moved)
    if count < FEWEST:
        return [], None
    grid, bin_ = frequencies(count, rate, None if times is None else fastest(times, rate))
    clock = EvenClock(count, rate) if times is None else UnevenClock(times, rate)
    power, over = _spectra(moved, clock, side, sight)
    # A line more than what can be told: the summit of what takes just so many cycles may read there.
    free = (grid > (CYCLES - 1 / FINER) * bin_) & (grid < grid[-1] - EDGE * bin_)
    fair = _fair(power, free)
    # Elsewhere something else may move at nearly the same frequency, if it has a summit of its own.
    left = fair & _summits(power) if times is None else fair
    found: list[Shape] = []
    known = np.zeros(power.shape[1:], np.float32)  # px², of what was found
    while len(found) < MOST:
        allowed = free[:, None, None] & left & (power > SPURIOUS**2 * known)
        clear = (over > CLEAR) & beside(over > BESIDE) & allowed
        likely = np.where(clear, power, 0) if clear.any() else np.where(allowed, over, 0)
        if times is not None and likely.any():
            # A vibration's skirts are wide where frames are missing; what it stands in shows when it is taken away.
            at, y, x = np.unravel_index(int(np.argmax(likely)), over.shape)
            without = clock.rest(moved, clock.settled(moved[:, :, y, x], float(grid[at])))
            over[at] = _spectra(without, clock, side, sight, power)[1][at]
            clear[at] = (over[at] > CLEAR) & beside(over[at] > BESIDE) & allowed[at]
        if not clear.any():
            break
        best = int(np.argmax(np.where(clear, power, 0).max((1, 2))))
        members = (over[best] > BESIDE) & beside(over[best] > BESIDE)
        if times is None:
            members &= left[best]
        shape = _shape(moved, clock, grid, power, over, best, members)
        if shape.frequency < CYCLES * bin_:
            free &= grid > grid[best]
            continue
        found.append(shape)
        known += _near(power[best])
        close = np.abs(grid - found[-1].frequency) <= APART * bin_
        if times is None:
            left[close] &= _near(_near(members.astype(np.float32))) == 0
        else:
            free &= ~close
            moved = clock.rest(moved, found[-1].frequency)
            power, over = _spectra(moved, clock, side, sight)
            fair = left = _fair(power, free)
    if found or not free.any():
        return sorted(found, key=lambda shape: -shape.amplitude), None
    best = int(np.argmax(np.where(fair, power, 0).sum((1, 2))))
    faint = beside(over[best] > FAINT) & (over[best] > FAINT)
    return [], _shape(moved, clock, grid, power, over, best, faint) if faint.any() else None


def _shape(
    moved: Field, clock: Clock, grid: Floats, power: Field, over: Field, best: int, members: NDArray[np.bool_]
) -> Shape:
    """What vibrates at about `grid[best]`: some of the cells."""
    # The frequency is that of all who show it: the maximum of their sum, by a parabola through its neighbours.
    summed = power[:, members].sum(1)
    low, high = max(best - FINER, 1), min(best + FINER + 1, len(grid) - 1)
    frequency = _summit(grid, summed, low + int(np.argmax(summed[low:high])))
    frequency = clock.settled(moved[:, :, members], frequency)
    phasors = np.where(members, clock.phasors(moved, frequency), 0)
    size = _longest(phasors)
    amplitude = float(np.percentile(size[members], FASTEST))
    place = np.unravel_index(int(np.argmax(np.where(members, power[best], 0))), members.shape)
    strong = _joined((size >= STRONG * amplitude) & members, (int(place[0]), int(place[1])))
    return Shape(frequency, amplitude, float(over[best][members].max()), phasors, _around(strong))


def _spectra(moved: Field, clock: Clock, side: float, sight: Field, seen: Field | None = None) -> tuple[Field, Field]:
    """Squared amplitudes (k, rows, columns) px², and amplitudes over the noise of the frequencies around, 0 where
    they could not be seen.

    `seen` are other squared amplitudes that are held against this noise, and returned.
    """
    count, _, rows, columns = moved.shape
    series = moved.reshape(count, 2, -1).astype(np.float64)
    kept = clock.kept
    power = np.empty((kept, rows * columns), np.float32)
    over = np.empty_like(power)
    for begin in range(0, rows * columns, BLOCK):
        part = series[:, :, begin : begin + BLOCK].reshape(count, -1)
        both = (np.abs(clock.amplitudes(part)) ** 2).reshape(kept, 2, -1).sum(1)
        noise = _around_noise(both) + (LEAST * side) ** 2
        if seen is not None:
            both = seen.reshape(kept, -1)[:, begin : begin + BLOCK].astype(np.float64)
        power[:, begin : begin + BLOCK] = both
        over[:, begin : begin + BLOCK] = np.sqrt(both / noise)
    power, over = power.reshape(kept, rows, columns), over.reshape(kept, rows, columns)
    over *= power * sight**2 > SHOWS**2
    return power, over


def _around_noise(power: Floats) -> Floats:
    """The mean power of the noise about every frequency, by the median of the neighbourhood: (k, cells)."""
    thin = power[::FINER]
    reach = min(AROUND, len(thin) - 1)
    padded = np.pad(thin, [(reach, reach), (0, 0)], mode="reflect")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, 0), axis=-1) / GAMMA
    at = np.arange(len(power)) / FINER
    low = np.minimum(at.astype(np.intp), len(thin) - 1)
    share = (at - low)[:, None]
    return np.asarray(middle[low] * (1 - share) + middle[np.minimum(low + 1, len(thin) - 1)] * share)


def _longest(phasors: Phasors) -> Floats:
    """Half of peak to peak along the way on which it is largest, of (2, …): an ellipse's longer semi-axis."""
    whole, flat = (np.abs(phasors) ** 2).sum(0), np.abs((phasors**2).sum(0))
    return np.asarray(np.sqrt((whole + flat) / 2))


def _fair(power: Field, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(k, rows, columns) where power is not the skirt of what is strongest at frequencies that are not free, where
    nothing is looked for: too slow or too fast to tell."""
    fair = np.broadcast_to(free[:, None, None], power.shape).copy()
    inside = np.flatnonzero(free)
    if not len(inside):
        return fair
    for begin, view, mask in ((inside[0], power, fair), (len(free) - 1 - inside[-1], power[::-1], fair[::-1])):
        if not begin:
            continue
        top = view[: begin + 1].max(0)
        falls = np.logical_and.accumulate(view[begin:] < view[begin - 1 : -1], 0)
        ripples = view[begin : begin + round(APART * FINER)] < RIPPLE * top
        mask[begin:] &= ~falls
        mask[begin : begin + len(ripples)] &= ~(falls[0] & ripples)
    return fair


def _summits(power: Field) -> NDArray[np.bool_]:
    """(k, rows, columns) where power has a summit no farther off than what can be told apart: no skirt of another."""
    reach = FINER + 1
    padded = np.pad(power, [(reach, reach), (0, 0), (0, 0)], mode="edge")
    count = len(power)
    top = padded[1 : count + 1].copy()
    for by in range(2, 2 * reach):
        np.maximum(top, padded[by : by + count], out=top)
    return np.asarray((top > padded[:count]) & (top > padded[2 * reach :]))


def _summit(grid: Floats, power: Field, at: int) -> float:
    """The frequency of a maximum, by a parabola through the logarithms of three neighbours."""
    left, middle, right = np.log(np.maximum(power[at - 1 : at + 2].astype(np.float64), 1e-300))
    bend = left - 2 * middle + right
    part = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(grid[at] + np.clip(part, -0.5, 0.5) * (grid[1] - grid[0]))


def _near(values: Field) -> Field:
    """The largest of every cell (rows, columns) and the eight around it."""
    padded = np.pad(values, 1)
    tall = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    out: Field = np.maximum(np.maximum(tall[:, :-2], tall[:, 1:-1]), tall[:, 2:])
    return out


def _joined(cells: NDArray[np.bool_], start: tuple[int, int]) -> NDArray[np.bool_]:
    """The cells that hang together with one of them, corners included; that one alone if it is none."""
    part = np.zeros_like(cells)
    part[start] = True
    while True:
        padded = np.pad(part, 1)
        tall = padded[:-2] | padded[1:-1] | padded[2:]
        grown = (tall[:, :-2] | tall[:, 1:-1] | tall[:, 2:]) & cells
        grown[start] = True
        if (grown == part).all():
            return part
        part = grown


def _around(cells: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
