"""`magfilter.ground` in torch: the affine motion that most of a picture's rim follows."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from magfilter.ground import RESTING, SMALLEST, rim

__all__ = ["ground"]


def ground(flow: Tensor, scale: Tensor) -> Tensor:
    """The ground's flow (2, h, w) px of the full picture; zero where it rests or there is none to tell.

    Args:
        flow: (2, h, w) float32 px; scale: (h, w) grid px thrown per px of flow.
    """
    _, height, width = flow.shape
    if min(height, width) < SMALLEST:
        return torch.zeros_like(flow)
    y, x = _rim(height, width, flow.device)
    seen, scale = flow[:, y, x].double(), scale[y, x]
    far = _length(seen) * scale
    # The one answer worth waiting for: behind a camera at rest, which is most of them, nothing is left to do.
    if bool((far < 0.5).double().mean() > RESTING):
        return torch.zeros_like(flow)
    motion, off = _fit(y, x, seen, scale, (height, width), 0.5)
    follows = (off < (0.25 * _median(far)).clamp(min=1)).double().mean() >= 0.5
    return _spread(motion, height, width) * follows


@lru_cache(maxsize=8)
def _rim(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns of the points of the rim that are looked at, on the device."""
    y, x = (torch.from_numpy(part).to(device) for part in rim(height, width))
    return y, x


def _fit(
    y: Tensor, x: Tensor, seen: Tensor, scale: Tensor, size: tuple[int, int], like: float
) -> tuple[Tensor, Tensor]:
    """See `magfilter.ground`: the motion (3, 2), and how far off (m,) each point is."""
    height, width = size
    basis = torch.stack([torch.ones_like(seen[0]), x / width - 0.5, y / height - 0.5], 1)
    motion = torch.zeros_like(seen[0, :6]).reshape(3, 2)
    motion[0] = torch.stack([_median(seen[0]), _median(seen[1])])
    little = 1e-6 * torch.eye(3, dtype=seen.dtype, device=seen.device)
    for _ in range(6):
        off = _length(seen - (basis @ motion).T) * scale
        weights = 1 / (1 + (off / _median(off).clamp(min=like)) ** 2) ** 2
        weighted = basis * weights[:, None]
        # Without a check, which would wait for the device; `little` keeps the matrix regular.
        motion = torch.linalg.solve_ex(weighted.T @ basis + little, weighted.T @ seen.T)[0]
    return motion, _length(seen - (basis @ motion).T) * scale


def _median(values: Tensor) -> Tensor:
    """As NumPy's: the mean of the middle two of an even number. Of (m,), a tensor without axes."""
    ordered, count = values.sort()[0], len(values)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


def _spread(motion: Tensor, height: int, width: int) -> Tensor:
    """An affine motion (3, 2) at every point, (2, h, w) float32."""
    base, along, down = motion.float()[:, :, None, None]
    where: dict[str, Any] = {"dtype": torch.float32, "device": motion.device}
    across_x = torch.arange(width, **where) / width - 0.5
    across_y = torch.arange(height, **where)[:, None] / height - 0.5
    affine: Tensor = base + along * across_x + down * across_y
    return affine


def _length(vectors: Tensor) -> Tensor:
    """Lengths (…) of vectors (2, …)."""
    return torch.sqrt(vectors[0] * vectors[0] + vectors[1] * vectors[1])
