"""From measured motion to the field that moves the picture.

The flow lives on the reference: the point at p lies at p + f(p) in the frame, and is to
be shown at p + alpha·f(p) (paper Eq. 2). The renderer needs the inverse: for every point
x of the output, where in the frame to look. This module finds it by splatting, as the
first motion magnifiers did (Liu et al. 2005), on the flow's own coarse grid:

- every point of the reference is thrown to where it will be shown; where several land,
  the one that moved farther wins, since what moves is mostly in front of what does not;
- points that nothing was thrown to were uncovered. They show the picture reflected at
  the near rim of the gap: the mover's tail has left, and what lies behind it continues.
  Cracks between points that moved apart are interpolated instead: that is material that
  stretched. Ground that a mover hides in the frame, but not in the output, is filled the
  same way, from ahead of the mover.

Arithmetic on flow only; no pixels, no network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["magnified_displacement"]

Field = NDArray[np.float32]

STILL = 0.01  # grid px; what is thrown less far than this stays where it is
COVERED = 0.1  # share of a point that must land for its place to count as covered; a twofold zoom leaves a quarter
LONGEST_GAP = 256  # grid px; a wider gap is filled from around it


def magnified_displacement(flow: Field, alpha: float | Field, stride: float) -> Field:
    """Where the magnified frame takes its pixels from: output(x) = frame(x + d(x)).

    Args:
        flow: (2, h, w) float32, px of the full picture, x first, on the reference's grid.
        alpha: magnification factor ≥ 0, one number or (h, w).
        stride: px of the full picture per grid point.

    Returns:
        d (2, h, w) float32 in px of the full picture. Exactly zero where alpha is 1 and
        wherever nothing moves, arrives or leaves.
    """
    _, height, width = flow.shape
    gain = np.broadcast_to(np.asarray(alpha, np.float32), (height, width))
    reach = np.float32(4 * max(height, width))  # farther is out of the picture all the same
    thrown = np.clip(flow * (gain / np.float32(stride)), -reach, reach)  # grid px
    far = np.hypot(thrown[0], thrown[1])
    moving = far > STILL
    # What is carried to the output is the displacement itself, (1 − alpha)·f. What nobody could
    # see is none, which leaves the samples there as they are, to the bit.
    carried = (1 - gain) * flow
    carried *= np.hypot(carried[0], carried[1]) > STILL * stride
    if not moving.any():
        return carried
    rows, cols = np.nonzero(moving)
    at_y, at_x = rows + thrown[1][moving], cols + thrown[0][moving]
    load = carried[:, moving]
    rank = far[moving]
    # A power, not an exponential: what stands still loses clearly against any mover, while the
    # ripple of an estimate within one mover hardly counts.
    priority = (rank / np.float32(0.25) + 1) ** 4

    # What rests is there without being thrown.
    rest = ~moving
    landed, ranked, *sums = _splat(at_y, at_x, (height, width), np.ones_like(priority), priority, *(priority * load))
    cover = landed + rest
    total = ranked + rest
    sums = [s + np.where(rest, carried[k], 0) for k, s in enumerate(sums)]
    found = np.maximum(total, 1e-12)
    field = np.stack([s / found for s in sums]).astype(np.float32)
    gap = (cover < 0.5) & (gain != 1)  # where alpha is 1 the frame itself shows what was uncovered
    if gap.any():
        # Thinly covered by points that moved like the one that left: a zoom, not a gap.
        gap &= ~((cover > COVERED) & _alike(field, carried))
    if gap.any():
        cracks = gap & ~_opened(gap)
        if cracks.any():  # material that stretched: interpolate
            around = _from_around(field, ~gap)
            # Where all around moved otherwise than the point that left, a thin thing uncovered ground.
            cracks &= _alike(around, carried)
            field = np.where(cracks, around, field)
        gap &= ~cracks
    # The gap opened because the point that was here in the reference left: what it hid lies behind it.
    behind = -thrown
    if float(np.abs(flow).max()) > 0.5 * stride:
        gap |= _hidden(flow, gain, rest & (landed < COVERED), stride, behind)
    if gap.any():
        _fill(field, gap, behind, stride)
    return field


def _splat(at_y: Field, at_x: Field, size: tuple[int, int], *loads: Field) -> list[NDArray[np.float64]]:
    """Sum loads (n,) on the grid where they land (n,), bilinearly; what lands outside is lost."""
    height, width = size
    sums = [np.zeros(height * width) for _ in loads]
    low_y, low_x = np.floor(at_y), np.floor(at_x)
    frac_y, frac_x = at_y - low_y, at_x - low_x
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = (low_y + dy).astype(np.int64), (low_x + dx).astype(np.int64)
            weight = (frac_y if dy else 1 - frac_y) * (frac_x if dx else 1 - frac_x)
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width) & (weight > 0)
            index, weight = (y * width + x)[inside], weight[inside]
            for total, load in zip(sums, loads, strict=True):
                total += np.bincount(index, weight * load[inside], height * width)
    return [total.reshape(size) for total in sums]


def _hidden(flow: Field, gain: Field, free: NDArray[np.bool_], stride: float, behind: Field) -> NDArray[np.bool_]:
    """Resting ground that a mover hides in the frame, but not in the output.

    The frame cannot show it; it is filled like a gap, from ahead of the mover. `behind` is told so.
    """
    size = free.shape
    moves = (np.hypot(flow[0], flow[1]) > 0.5 * stride) & (gain != 1)
    rows, cols = np.nonzero(moves)
    shift = flow[:, moves] / np.float32(stride)
    reached, u, v = _splat(rows + shift[1], cols + shift[0], size, np.ones_like(shift[0]), shift[0], shift[1])
    hidden: NDArray[np.bool_] = free & ~moves & (reached > 0.5)
    ahead = np.stack([u, v])[:, hidden] / reached[hidden]
    behind[:, hidden] = ahead
    return hidden


def _alike(field: Field, carried: Field) -> NDArray[np.bool_]:
    """Where a field says about what the points that were here carry away."""
    alike: NDArray[np.bool_] = np.hypot(*(field - carried)) < 0.75 * np.hypot(*carried)
    return alike


def _opened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts of a mask that hold a 3 × 3 square."""

    def spread(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
        padded = np.pad(part, 1)
        rows = padded[:-2] | padded[1:-1] | padded[2:]
        out: NDArray[np.bool_] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
        return out

    return spread(~spread(~mask)) & mask


def _fill(field: Field, gap: NDArray[np.bool_], behind: Field, stride: float) -> None:
    """Fill the gaps of `field` in place: reflect at the near rim, walking along `behind`, else average from around."""
    height, width = gap.shape
    rows, cols = np.nonzero(gap)
    way = behind[:, rows, cols]
    length = np.hypot(way[0], way[1])
    step_x, step_y = way / np.maximum(length, 1e-6)
    active = np.flatnonzero(length > STILL)
    left_over = np.ones(len(rows), bool)
    filled = field.copy()
    for k in range(1, min(int(length.max(initial=0)) + 4, LONGEST_GAP)):
        y = np.rint(rows[active] + k * step_y[active]).astype(np.int64)
        x = np.rint(cols[active] + k * step_x[active]).astype(np.int64)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        active, y, x = active[inside], y[inside], x[inside]
        solid = ~gap[y, x]
        if solid.any():
            hit, hy, hx = active[solid], y[solid], x[solid]
            # as far behind the rim as the point lies before it; the rim itself where that is no ground either
            my = np.rint(rows[hit] + 2 * k * step_y[hit]).astype(np.int64)
            mx = np.rint(cols[hit] + 2 * k * step_x[hit]).astype(np.int64)
            good = (my >= 0) & (my < height) & (mx >= 0) & (mx < width)
            good[good] = ~gap[my[good], mx[good]]
            sy, sx = np.where(good, my, hy), np.where(good, mx, hx)
            filled[0, rows[hit], cols[hit]] = (sx - cols[hit]) * stride + field[0, sy, sx]
            filled[1, rows[hit], cols[hit]] = (sy - rows[hit]) * stride + field[1, sy, sx]
            left_over[hit] = False
            active = active[~solid]
        if not len(active):
            break
    if left_over.any():
        around = _from_around(field, ~gap)
        ry, rx = rows[left_over], cols[left_over]
        filled[:, ry, rx] = around[:, ry, rx]
    field[:] = filled


def _from_around(field: Field, known: NDArray[np.bool_]) -> Field:
    """Averages of the known points near each unknown one, from the finest scale that has any."""
    weight = known.astype(np.float32)
    if min(known.shape) <= 1 or known.all():
        return field
    h, w = known.shape
    padded = np.zeros((3, (h + 1) // 2 * 2, (w + 1) // 2 * 2), np.float32)
    padded[:2, :h, :w], padded[2, :h, :w] = field * weight, weight
    small = padded.reshape(3, padded.shape[1] // 2, 2, padded.shape[2] // 2, 2).sum((2, 4))
    some = small[2] > 0
    mean = small[:2] / np.maximum(small[2], 1e-6)
    coarse = _from_around(mean, some) if not some.all() else mean
    grown = coarse.repeat(2, 1).repeat(2, 2)[:, :h, :w]
    return np.where(known, field, grown)
