"""From measured motion to the field that moves the picture.

The flow lives on the reference: the point at p lies at p + f(p) in the frame, and is to
be shown at p + alpha·f(p) (paper Eq. 2), or, where only a part m of the motion is magnified,
at p + f(p) + (alpha − 1)·m(p). The renderer needs the inverse: for every point
x of the output, where in the frame to look. This module finds it by splatting, as the
first motion magnifiers did (Liu et al. 2005), on the flow's own coarse grid:

- every point of the reference is thrown to where it will be shown. Material that stretches
  is thrown more densely, so that it stays whole;
- where several land, the one that moved farther against the ground wins, since what moves is
  mostly in front of what does not. The ground is what rests, or, where the whole picture
  moves, what most of its rim does. Only what moves like the winner counts: an average of
  two movers belongs to neither. With a map of alpha, what is magnified comes to lie upon what
  stays as it is (alpha 1), wherever the mask it was thrown from ends;
- points that nothing was thrown to were uncovered. They show the picture reflected at
  the near rim of the gap: the mover's tail has left, and what lies behind it continues.
  Cracks between points that moved apart are interpolated instead, and what comes in from out
  of the picture moves on as what is beside it: the renderer shows the frame's mirror image
  there, whole and to a fraction of a pixel. Ground that a mover hides in the frame, but not
  in the output, is filled like what was uncovered, from ahead of the mover.

Arithmetic on flow only; no pixels, no network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magfilter.compiled import kernels
from magfilter.ground import ground
from magfilter.splat import Landing, Points, splat, square

__all__ = ["magnified_displacement"]

Field = NDArray[np.float32]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

STILL = 0.01  # grid px; what is thrown less far than this stays where it is
COVERED = 0.1  # share of a point that must land for its place to count as covered; a twofold zoom leaves a quarter
BEYOND = 4  # grid px; a gap is as wide as its mover has left it behind: what lies that much farther is no rim of it
LONGEST_GAP = 256  # grid px; a wider gap is filled from around it
HOLE = 2  # half the width, in grid points, of holes in what left a mask that are closed
STAYS = -0.2  # grid px; rank of what alpha 1 leaves in place: behind all that is magnified, even what rests


def magnified_displacement(
    flow: Field, alpha: float | Field, stride: float, part: Field | None = None, limit: float | None = None
) -> Field:
    """Where the magnified frame takes its pixels from: output(x) = frame(x + d(x)).

    Any displacement g may be shown: as `part` g − flow with alpha 2.

    Args:
        flow: (2, h, w) float32, px of the full picture, x first, on the reference's grid.
        alpha: magnification factor ≥ 0, one number or (h, w), of the reference's points.
        stride: px of the full picture per grid point.
        part: (2, h, w) float32 px, the part of the flow that is magnified; None for all of it. The rest is
            shown as it is.
        limit: px of the full picture by which a point may be shown away from where it is; None for any. Half
            of it is left as it is, what is beyond comes ever more slowly nearer to the whole.

    Returns:
        d (2, h, w) float32 in px of the full picture. Exactly zero where alpha is 1, where nothing
        of what moves is to be magnified, and wherever nothing moves, arrives or leaves.
    """
    _, height, width = flow.shape
    gain = np.broadcast_to(np.asarray(alpha, np.float32), (height, width))
    reach = 4.0 * max(height, width)  # farther is out of the picture all the same
    whole = part is None and limit is None
    thrown, carried, rest = _throw(flow, gain, stride, reach, part, limit)
    if rest.all() or not (whole or carried.any()):
        return carried
    drift, borne = _drift(flow, gain, stride, part, limit)
    drift = np.clip(drift, -reach, reach)
    points = Points(thrown, carried, _against(thrown, drift, gain))
    # What rests is there without being thrown.
    field, landed = splat(points, rest, borne, stride)
    cover = landed + rest
    gap = (cover < 0.5) & (gain != 1)  # where alpha is 1 the frame itself shows what was uncovered
    if not whole and gap.any():
        gap &= carried.any(0)  # and so it does where what left is shown as it is
        _keep_seen(field, gap, flow, borne, stride)
    behind = np.zeros_like(field)  # towards the ground that was hidden with what is uncovered
    rows, cols = np.divmod(np.flatnonzero(gap), width)  # several times faster than of two axes
    if len(rows):
        behind[:, rows, cols], left = _departed(rows, cols, points, drift, borne)
        # Thinly covered by points that moved like the one that left: a zoom, not a gap.
        open_ = ~((cover[rows, cols] > COVERED) & _alike(_at(field, rows, cols) - _at(borne, rows, cols), left))
        rows, cols, left = rows[open_], cols[open_], left[:, open_]
        gap[:] = False
        gap[rows, cols] = True
        thin = (gap & ~_opened(gap))[rows, cols]
        if thin.any():  # material that stretched: interpolate
            rows, cols, left = rows[thin], cols[thin], left[:, thin]
            around = _from_around(field, ~gap)
            # Where all around moved otherwise than the point that left, a thin thing uncovered ground.
            crack = _alike(_at(around, rows, cols) - _at(borne, rows, cols), left)
            rows, cols = rows[crack], cols[crack]
            field[:, rows, cols] = around[:, rows, cols]
            gap[rows, cols] = False
    if float(np.abs(flow).max()) > 0.5 * stride:
        gap |= _hidden(flow, gain, rest & (landed < COVERED), stride, behind)
    if gain.min() != gain.max():
        _mend(field, gap, gain, stride)
    if gap.any():
        _fill(field, gap, behind, stride)
    return field


def _throw(
    flow: Field, gain: Field, stride: float, reach: float, part: Field | None, limit: float | None
) -> tuple[Field, Field, Mask]:
    """How far the points are thrown (2, h, w) grid px, what they carry (2, h, w) px, and which rest (h, w).

    What is carried to the output is the displacement itself, (1 − alpha)·f. What nobody could see is none, which
    leaves the samples there as they are, to the bit.
    """
    fast = kernels()
    whole = part is None and limit is None
    if fast and whole:
        return fast.throw(flow, _small(gain), stride, reach, STILL)
    carried = _carried(flow if part is None else part, gain, limit)
    scale = gain / np.float32(stride)
    thrown = np.clip(flow * scale if whole else (flow - carried) / np.float32(stride), -reach, reach)
    carried *= square(carried) > (STILL * stride) ** 2
    return thrown, carried, ~(square(thrown) > STILL**2)


def _against(thrown: Field, drift: Field, gain: Field) -> Field:
    """How far the points are thrown against the ground (h, w), grid px; STAYS for those that alpha 1 leaves."""
    fast = kernels()
    if fast:
        return fast.against(thrown, drift, _small(gain), STAYS)
    own: Field = np.sqrt(square(thrown - drift))
    own[gain == 1] = STAYS
    return own


def _small(gain: Field) -> Field:
    """A factor for every point (h, w); the one that there is (1, 1) if it only stands for all."""
    return gain if any(gain.strides) else gain[:1, :1]


def _carried(part: Field, gain: Field, limit: float | None) -> Field:
    """The displacement that the part (2, …) px of a motion carries to the output, within `limit` px."""
    carried: Field = (1 - gain) * part
    if limit is not None:
        free = np.float32(limit / 2)
        length = np.maximum(np.sqrt(square(carried)), np.float32(1e-12))
        carried *= np.where(length > free, free * (1 + np.tanh((length - free) / free)) / length, np.float32(1))
    return carried


def _drift(flow: Field, gain: Field, stride: float, part: Field | None, limit: float | None) -> tuple[Field, Field]:
    """How far the ground is thrown (2, h, w), grid px, and what it carries (2, h, w), px."""
    if part is None and limit is None:
        flow = ground(flow, gain / np.float32(stride))
        return flow * (gain / np.float32(stride)), (1 - gain) * flow
    scale: Field = ((1 + np.abs(gain - 1)) / np.float32(stride)).astype(np.float32, copy=False)
    whole = ground(flow, scale)
    borne = _carried(whole if part is None else ground(part, scale), gain, limit)
    return (whole - borne) / np.float32(stride), borne


def _keep_seen(field: Field, gap: Mask, flow: Field, borne: Field, stride: float) -> None:
    """Ground uncovered in the frame as well need not be made up; `field` and `gap` are set in place.

    Magnifying all of a motion hardly finds any, but what passes by and is hardly magnified leaves such gaps only.
    """
    if float(np.abs(flow).max()) <= 0.5 * stride:
        return
    height, width = gap.shape
    y, x = np.mgrid[:height, :width]
    landing = Landing.at((y + flow[1] / stride).ravel(), (x + flow[0] / stride).ravel(), (height, width))
    seen = gap & (landing.sums(None)[0].reshape(height, width) < COVERED)
    field[:, seen] = np.broadcast_to(borne, field.shape)[:, seen]
    gap &= ~seen


def _departed(rows: Indices, cols: Indices, points: Points, drift: Field, borne: Field) -> tuple[Field, Field]:
    """Of gaps (m,): the way (2, m) grid px that leads to the ground, and what the point that left carries (2, m) px.

    The gap opened because the point left that hid the ground there, and what it hid lies behind it.
    Both are seen from the ground, which has drifted since. No way leads to ground that was out of the
    picture: it moves on as what is around it, and so shows the mirror image that lies beyond the border.
    """
    height, width = points.own.shape
    way = _at(drift, rows, cols)
    y, x = np.rint(rows - way[1]).astype(np.intp), np.rint(cols - way[0]).astype(np.intp)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    behind = np.where(inside, _at(drift, y, x) - points.thrown[:, y, x], np.float32(0))
    return behind, points.carried[:, y, x] - _at(borne, y, x)


def _at(field: Field, rows: Indices, cols: Indices) -> Field:
    """Values (2, m) at points of a field (2, h, w); or of a constant one (2, 1, 1)."""
    return field[:, rows, cols] if field.size > 2 else field[:, :, 0]


def _hidden(flow: Field, gain: Field, free: Mask, stride: float, behind: Field) -> Mask:
    """Resting ground that a mover hides in the frame, but not in the output.

    The frame cannot show it; it is filled like a gap, from ahead of the mover. `behind` is told so.
    """
    fast = kernels()
    if fast:
        return fast.hidden(flow, _small(gain), free, stride, behind)
    size = free.shape[0], free.shape[1]
    moves = (square(flow) > (0.5 * stride) ** 2) & (gain != 1)
    rows, cols = np.nonzero(moves)
    shift = flow[:, moves] / np.float32(stride)
    reached, u, v = Landing.at(rows + shift[1], cols + shift[0], size).sums(None, shift[0], shift[1])
    hidden: Mask = free & ~moves & (reached.reshape(size) > 0.5)
    at = np.flatnonzero(hidden)
    behind[:, hidden] = np.stack([u[at], v[at]]) / reached[at]
    return hidden


def _alike(field: Field, left: Field) -> Mask:
    """Where a field says about what the points that left carry away; both (2, h, w) px, against the ground."""
    alike: Mask = square(field - left) < 0.75**2 * square(left)
    return alike


def _opened(mask: Mask) -> Mask:
    """The parts of a mask that hold a 3 × 3 square."""
    return _spread(~_spread(~mask)) & mask


def _spread(mask: Mask) -> Mask:
    """The mask and the eight points around each of its own."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    out: Mask = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return out


def _mend(field: Field, gap: Mask, gain: Field, stride: float) -> None:
    """Close holes in what was thrown far; `field` and `gap` are set in place.

    What a map names is one thing, however much an uneven estimate of its motion tears it. So narrow holes are
    closed, and wider ones that it surrounds, if by the motion around them they show something that the map names
    too; through a ring the ground is seen. Without a map there is no telling a tear from an outline.
    """
    thrown = (square(field) > (HOLE * stride) ** 2) & ~gap
    wide = _surrounded(thrown) & (gain == 1)  # within its own outline what the map names may rest
    if wide.any():
        around = _from_around(field, thrown)
        rows, cols = np.nonzero(wide)
        factor = float(np.median(gain[gain != 1]))
        back = around[:, rows, cols] * (factor / (factor - 1) / stride)  # to where it is in the reference
        y, x = np.rint(rows + back[1]).astype(np.intp), np.rint(cols + back[0]).astype(np.intp)
        inside = (y >= 0) & (y < gap.shape[0]) & (x >= 0) & (x < gap.shape[1])
        inside[inside] = gain[y[inside], x[inside]] != 1
        rows, cols = rows[inside], cols[inside]
        field[:, rows, cols] = around[:, rows, cols]
        thrown[rows, cols], gap[rows, cols] = True, False
    closed = np.pad(thrown, HOLE)  # beyond the border there is nothing
    for _ in range(HOLE):
        closed = _spread(closed)
    for _ in range(HOLE):
        closed = ~_spread(~closed)
    holes = closed[HOLE:-HOLE, HOLE:-HOLE] & ~thrown
    if holes.any():
        field[:, holes] = _from_around(field, thrown)[:, holes]
        gap &= ~holes


def _surrounded(mask: Mask) -> Mask:
    """Points outside a mask that have some of it to the left, to the right, above and below."""
    above, left = np.logical_or.accumulate(mask, 0), np.logical_or.accumulate(mask, 1)
    below = np.logical_or.accumulate(mask[::-1], 0)[::-1]
    right = np.logical_or.accumulate(mask[:, ::-1], 1)[:, ::-1]
    out: Mask = above & left & below & right & ~mask
    return out


def _fill(field: Field, gap: Mask, behind: Field, stride: float) -> None:
    """Fill the gaps of `field` in place: reflect at the near rim, walking along `behind`, else average from around."""
    fast = kernels()
    filled, left_over = (fast.reflect if fast else _reflect)(field, gap, behind, stride, STILL, BEYOND, LONGEST_GAP)
    if left_over.any():
        np.copyto(filled, _from_around(field, ~gap), where=left_over)
    field[:] = filled


def _reflect(
    field: Field, gap: Mask, behind: Field, stride: float, still: float, beyond: int, longest: int
) -> tuple[Field, Mask]:
    """As `magfilter.compiled.fill.reflect`, with NumPy."""
    height, width = gap.shape
    rows, cols = np.nonzero(gap)
    way = behind[:, rows, cols]
    length = np.hypot(way[0], way[1])
    step_x, step_y = way / np.maximum(length, 1e-6)
    active = np.flatnonzero(length > still)
    left_over, filled = gap.copy(), field.copy()
    most = np.minimum(length.astype(np.int64) + beyond, longest)
    for k in range(1, int(most.max(initial=0))):
        active = active[k < most[active]]
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
            left_over[rows[hit], cols[hit]] = False
            active = active[~solid]
        if not len(active):
            break
    return filled, left_over


def _from_around(field: Field, known: Mask) -> Field:
    """Averages of the known points near each unknown one, from the finest scale that has any, without steps."""
    fast = kernels()
    if fast:
        return fast.from_around(field, known)
    weight = known.astype(np.float32)
    if min(known.shape) <= 1 or known.all():
        return field
    h, w = known.shape
    padded = np.zeros((3, (h + 1) // 2 * 2, (w + 1) // 2 * 2), np.float32)
    padded[:2, :h, :w], padded[2, :h, :w] = field * weight, weight
    tall = padded[:, ::2] + padded[:, 1::2]  # several times faster than a reduction over short axes
    small = tall[:, :, ::2] + tall[:, :, 1::2]
    some = small[2] > 0
    mean = small[:2] / np.maximum(small[2], 1e-6)
    coarse = _from_around(mean, some) if not some.all() else mean
    return np.where(known, field, _twice(_twice(coarse, 1), 2)[:, :h, :w])


def _twice(field: Field, axis: int) -> Field:
    """A field with twice as many points along axis 1 or 2, bilinear, the border repeated."""
    padded = np.pad(field, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
    step = np.float32(0.25) * np.diff(padded, axis=axis)
    before, after = np.split(step, [-1], axis)[0], np.split(step, [1], axis)[1]
    size = [2 * side if k == axis else side for k, side in enumerate(field.shape)]
    return np.stack([field - before, field + after], axis + 1).reshape(size)
