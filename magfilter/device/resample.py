"""Moving samples on a device, in torch: Catmull-Rom from linear look-ups, see `magfilter.interpolate`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["moved"]


def moved(planes: Tensor, displacement: Tensor, step: tuple[float, float], peak: int) -> Tensor:
    """Planes of one size with their samples moved: out(x) = plane(x + d(x)); beyond them lies their mirror image.

    Args:
        planes: (n, h, w) float32, whole numbers.
        displacement: (2, h', w') float32 at any resolution, x first, in px of the full picture.
        step: px of the full picture per sample of the planes, (x, y).
        peak: largest sample value.

    Returns:
        (n, h, w) float32, whole numbers; samples whose displacement is zero are as they were.
    """
    _, height, width = planes.shape
    d = torch.stack([displacement[0] / step[0], displacement[1] / step[1]])
    d = F.interpolate(d[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    x = _mirrored(torch.arange(width, device=d.device) + d[0], width)
    y = _mirrored(torch.arange(height, device=d.device)[:, None] + d[1], height)
    grid = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], -1)
    along = _second_difference(planes, 2)
    both = _second_difference(along, 1)
    stack = torch.cat([planes, along, _second_difference(planes, 1), both])
    found = F.grid_sample(stack[None], grid[None], "bilinear", "border", align_corners=True)[0]
    value, along, across, both = found.chunk(4)
    cx, cy = _bulge(x, width), _bulge(y, height)
    out = value - cx * along - cy * across + cx * cy * both
    return torch.where((d == 0).all(0), planes, out.round().clamp(0, peak))


def _mirrored(at: Tensor, size: int) -> Tensor:
    """As `magfilter.interpolate.mirrored`."""
    at = torch.maximum(at, -1 - at)
    return torch.minimum(at, 2 * size - 1 - at)


def _second_difference(planes: Tensor, axis: int) -> Tensor:
    """Left plus right less twice the middle, along axis 1 or 2 of planes (n, h, w)."""
    padding = (1, 1, 0, 0) if axis == 2 else (0, 0, 1, 1)
    padded = F.pad(planes[None], padding, mode="replicate")[0]
    size = planes.shape[axis]
    return padded.narrow(axis, 0, size) + padded.narrow(axis, 2, size) - 2 * planes


def _bulge(at: Tensor, size: int) -> Tensor:
    """Half of t(1 − t), t being how far along between two samples a position is."""
    at = at.clamp(0, size - 1)
    t = at - at.floor()
    return t * (1 - t) * 0.5
