"""Filling the gaps of a field, in torch: along rays to the ground behind, or from around. See `magfilter.displace`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from magfilter.displace import BEYOND, LONGEST_GAP, STILL

__all__ = ["fill", "from_around"]

AT_ONCE = 1 << 21  # points looked at together, on all rays; takes some 100 MB
FEWEST = 4  # steps along all rays at once, however many those are


def fill(field: Tensor, gap: Tensor, behind: Tensor, stride: float) -> Tensor:
    """The field (2, h, w) px without its gaps: reflected at the near rim, else an average from around.

    Args:
        gap: (h, w) bool.
        behind: (2, h, w) grid px, the way to the rim.
        stride: px of the full picture per grid point.
    """
    width = gap.shape[1]
    rows, cols = gap.nonzero(as_tuple=True)
    if not len(rows):
        return field
    source = _look(rows, cols, gap, behind[:, rows, cols])
    found = source >= 0
    sy, sx = source.div(width, rounding_mode="floor"), source % width
    shown = torch.stack([(sx - cols) * stride, (sy - rows) * stride]).double() + field[:, sy, sx]
    filled = field.clone()
    if not found.all():
        shown = torch.where(found, shown, from_around(field, ~gap)[:, rows, cols])
    filled[:, rows, cols] = shown.float()
    return filled


def _look(rows: Tensor, cols: Tensor, gap: Tensor, way: Tensor) -> Tensor:
    """The points that gap points (m,) take after, flat (m,); -1 where their way (2, m) grid px leads to none.

    Every ray is followed to the first point that is no gap, many steps at once.
    """
    height, width = gap.shape
    length = torch.hypot(way[0], way[1])
    step_x, step_y = way / length.clamp(min=1e-6)
    source = torch.full_like(rows, -1)
    most = (length.int() + BEYOND).clamp(max=LONGEST_GAP)
    longest = int(most.max())
    active = (length > STILL).nonzero()[:, 0]
    begin = 1

    def place(ray: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points (m, n) at steps k along rays (m,), 0, 0 where that is outside; and whether they are solid, outside."""
        y = (rows[ray].double()[:, None] + k * step_y[ray][:, None]).round().long()
        x = (cols[ray].double()[:, None] + k * step_x[ray][:, None]).round().long()
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        flat = (y * width + x).masked_fill(~inside, 0)
        return flat, inside, inside & ~gap.ravel()[flat]

    while begin < longest and len(active):
        count = min(longest - begin, max(FEWEST, AT_ONCE // len(active)))
        k = torch.arange(begin, begin + count, dtype=torch.float32, device=gap.device)
        flat, inside, solid = place(active, k)
        near = k < most[active][:, None]
        solid &= near
        over = ~inside | solid | ~near
        first = over.byte().argmax(1, keepdim=True)  # the first of equals
        hit = solid.gather(1, first)[:, 0]
        # As far behind the rim as the point lies before it; the rim itself where that is no ground either.
        mirror, _, good = (part[:, 0] for part in place(active, 2 * k[first]))
        at = torch.where(good, mirror, flat.gather(1, first)[:, 0])
        source[active] = torch.where(hit, at, source[active])
        active = active[~over.any(1)]
        begin += count
    return source


def from_around(field: Tensor, known: Tensor) -> Tensor:
    """Averages of a field (2, h, w) over the known points (h, w) near each unknown one, from the finest scale with any.

    Known points keep their value; between the others there are no steps.
    """
    height, width = known.shape
    if min(height, width) <= 1:
        return field
    padded = F.pad(torch.cat([field * known, known[None].float()]), (0, width % 2, 0, height % 2))
    tall = padded[:, ::2] + padded[:, 1::2]
    small = tall[:, :, ::2] + tall[:, :, 1::2]
    # Down to the last scale in any case: to ask whether all is known already would take longer.
    coarse = from_around(small[:2] / small[2].clamp(min=1e-6), small[2] > 0)
    return torch.where(known, field, _twice(_twice(coarse, 1), 2)[:, :height, :width])


def _twice(field: Tensor, axis: int) -> Tensor:
    """A field with twice as many points along axis 1 or 2, bilinear, the border repeated."""
    last = field.shape[axis] - 1
    step = 0.25 * torch.cat([field.narrow(axis, 0, 1), field, field.narrow(axis, last, 1)], axis).diff(dim=axis)
    both = torch.stack([field - step.narrow(axis, 0, last + 1), field + step.narrow(axis, 1, last + 1)], axis + 1)
    return both.flatten(axis, axis + 1)
