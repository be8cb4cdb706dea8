"""`magfilter.displace` in torch: from measured motion to the field that moves the picture, on the flow's own device.

The same steps with the same numbers; what they are for is said there. It differs in how it goes about them: all
points are computed and masks tell which count, since finding out how many do makes a device wait. Where that saves
a good deal it is asked all the same: a few times a frame. Tested on torch's CPU device; not run on a GPU yet.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from magfilter.device.fill import fill, from_around
from magfilter.device.ground import ground
from magfilter.device.splat import Landing, Points, grid, splat, square
from magfilter.displace import COVERED, HOLE, STAYS, STILL

__all__ = ["magnified_displacement"]


def magnified_displacement(
    flow: Tensor, alpha: float | Tensor, stride: float, part: Tensor | None = None, limit: float | None = None
) -> Tensor:
    """Where the magnified frame takes its pixels from: output(x) = frame(x + d(x)).

    Args and result are those of `magfilter.displace.magnified_displacement`, as tensors on one device.

    Args:
        flow: (2, h, w) float32, px of the full picture, x first, on the reference's grid.
        alpha: magnification factor ≥ 0, one number or (h, w) float32, of the reference's points.
        stride: px of the full picture per grid point.
        part: (2, h, w) float32 px, the part of the flow that is magnified; None for all of it.
        limit: px of the full picture by which a point may be shown away from where it is; None for any.

    Returns:
        d (2, h, w) float32 in px of the full picture.
    """
    _, height, width = flow.shape
    mapped = isinstance(alpha, Tensor)
    gain = alpha if isinstance(alpha, Tensor) else torch.full_like(flow[0], alpha)
    reach = 4.0 * max(height, width)
    carried = _carried(flow if part is None else part, gain, limit)
    scale = gain / stride
    whole = part is None and limit is None
    thrown = (flow * scale if whole else (flow - carried) / stride).clamp(-reach, reach)
    moving = square(thrown) > STILL**2
    carried = carried * (square(carried) > (STILL * stride) ** 2)
    # All that the host must know, asked at once.
    facts = [moving.any(), carried.any(), flow.abs().amax() > 0.5 * stride, gain.amin() != gain.amax()]
    moves, carries, far, uneven = torch.stack(facts).tolist()
    if not moves or not (whole or carries):
        return carried
    drift, borne = _drift(flow, gain, stride, part, limit)
    drift = drift.clamp(-reach, reach)
    own = torch.sqrt(square(thrown - drift)).masked_fill(gain == 1, STAYS)
    points = Points(thrown, carried, own)
    rest = ~moving
    field, landed = splat(points, rest, borne, stride)
    cover = landed + rest
    gap = (cover < 0.5) & (gain != 1)
    if not whole:
        gap &= (carried != 0).any(0)
        if far:
            seen = gap & _seen(flow, stride)
            field, gap = torch.where(seen, borne, field), gap & ~seen
    behind, left = _departed(points, drift, borne)
    # Thinly covered by points that moved like the one that left: a zoom, not a gap.
    gap &= ~((cover > COVERED) & _alike(field - borne, left))
    thin = gap & ~_opened(gap)
    if thin.any():  # material that stretched: interpolate
        around = from_around(field, ~gap)
        crack = thin & _alike(around - borne, left)
        field, gap = torch.where(crack, around, field), gap & ~crack
    if far:
        hidden, ahead = _hidden(flow, gain, rest & (landed < COVERED), stride)
        behind, gap = torch.where(hidden, ahead, behind), gap | hidden
    if mapped and uneven:
        field, gap = _mend(field, gap, gain, stride)
    return fill(field, gap, behind, stride)


def _carried(part: Tensor, gain: Tensor, limit: float | None) -> Tensor:
    """The displacement that the part (2, …) px of a motion carries to the output, within `limit` px."""
    carried = (1 - gain) * part
    if limit is None:
        return carried
    free = limit / 2
    length = torch.sqrt(square(carried)).clamp(min=1e-12)
    bent = free * (1 + torch.tanh((length - free) / free)) / length
    return carried * bent.masked_fill(length <= free, 1)


def _drift(
    flow: Tensor, gain: Tensor, stride: float, part: Tensor | None, limit: float | None
) -> tuple[Tensor, Tensor]:
    """How far the ground is thrown (2, h, w), grid px, and what it carries (2, h, w), px."""
    if part is None and limit is None:
        flow = ground(flow, gain / stride)
        return flow * (gain / stride), (1 - gain) * flow
    scale = (1 + (gain - 1).abs()) / stride
    whole = ground(flow, scale)
    borne = _carried(whole if part is None else ground(part, scale), gain, limit)
    return (whole - borne) / stride, borne


def _seen(flow: Tensor, stride: float) -> Tensor:
    """Points (h, w) that nothing moved to in the frame: ground uncovered there as well."""
    height, width = flow.shape[1:]
    rows, cols = grid(height, width, flow.device)
    y, x = (rows + flow[1] / stride).ravel(), (cols + flow[0] / stride).ravel()
    one = torch.ones_like(y)
    return Landing.at(y, x, one, (height, width)).sums(one[None])[0] < COVERED


def _departed(points: Points, drift: Tensor, borne: Tensor) -> tuple[Tensor, Tensor]:
    """If a gap were at a point: the way to its ground (2, h, w) grid px, and what left it (2, h, w) px.

    That is what the point that was there carries, less what the ground behind it does. See `magfilter.displace`.
    """
    height, width = points.own.shape
    rows, cols = grid(height, width, drift.device)
    y, x, inside = _places(rows - drift[1], cols - drift[0])
    behind = torch.where(inside, drift[:, y, x] - points.thrown[:, y, x], 0)
    return behind, (points.carried - borne)[:, y, x]


def _places(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The grid points (h, w) next to places (h, w), kept within the grid, and whether the places lie in it."""
    height, width = y.shape
    y, x = y.round(), x.round()
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return y.clamp(0, height - 1).long(), x.clamp(0, width - 1).long(), inside


def _hidden(flow: Tensor, gain: Tensor, free: Tensor, stride: float) -> tuple[Tensor, Tensor]:
    """Resting ground that a mover hides in the frame, but not in the output (h, w), and the way out (2, h, w)."""
    height, width = free.shape
    moves = (square(flow) > (0.5 * stride) ** 2) & (gain != 1)
    shift = flow / stride
    rows, cols = grid(height, width, flow.device)
    y, x = (rows + shift[1]).ravel(), (cols + shift[0]).ravel()
    landing = Landing.at(y, x, moves.double().ravel(), (height, width))
    reached, u, v = landing.sums(torch.stack([torch.ones_like(y), *shift.double().flatten(1)]))
    hidden = free & ~moves & (reached > 0.5)
    return hidden, (torch.stack([u, v]) / reached.clamp(min=0.5)).float()


def _alike(field: Tensor, left: Tensor) -> Tensor:
    """Where a field says about what the points that left carry away; both (2, h, w) px, against the ground."""
    return square(field - left) < 0.75**2 * square(left)


def _opened(mask: Tensor) -> Tensor:
    """The parts of a mask that hold a 3 × 3 square."""
    return _spread(~_spread(~mask)) & mask


def _spread(mask: Tensor) -> Tensor:
    """The mask and the eight points around each of its own."""
    padded = F.pad(mask, (1, 1, 1, 1))
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def _mend(field: Tensor, gap: Tensor, gain: Tensor, stride: float) -> tuple[Tensor, Tensor]:
    """Close holes in what was thrown far: `field` and `gap` thereafter. See `magfilter.displace`."""
    thrown = (square(field) > (HOLE * stride) ** 2) & ~gap
    wide = _surrounded(thrown) & (gain == 1)
    if wide.any():
        around = from_around(field, thrown)
        factors = gain[gain != 1].sort()[0]
        count = len(factors)
        factor = (factors[(count - 1) // 2] + factors[count // 2]).double() / 2
        rows, cols = grid(gap.shape[0], gap.shape[1], field.device)
        back = around * (factor / (factor - 1) / stride)
        y, x, inside = _places(rows + back[1], cols + back[0])
        wide &= inside & (gain[y, x] != 1)
        field, thrown, gap = torch.where(wide, around, field), thrown | wide, gap & ~wide
    closed = F.pad(thrown, (HOLE, HOLE, HOLE, HOLE))
    for _ in range(HOLE):
        closed = _spread(closed)
    for _ in range(HOLE):
        closed = ~_spread(~closed)
    holes = closed[HOLE:-HOLE, HOLE:-HOLE] & ~thrown
    if holes.any():
        field, gap = torch.where(holes, from_around(field, thrown), field), gap & ~holes
    return field, gap


def _surrounded(mask: Tensor) -> Tensor:
    """Points outside a mask that have some of it to the left, to the right, above and below."""
    out = ~mask
    for axis in (0, 1):
        out &= (mask.cumsum(axis) > 0) & (mask.flip(axis).cumsum(axis).flip(axis) > 0)
    return out
