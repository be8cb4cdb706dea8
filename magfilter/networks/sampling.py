"""Images between their pixels: backward warps, and images of twice and of half the resolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from magfilter.networks.constants import HALFWAY, SOFT

__all__ = ["BETWEEN", "COARSER", "backward_warp", "base_grid", "doubled", "halved"]

TILE = 4  # samples along a side that one application of a tiled filter gives


def base_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Pixel coordinates (1, 2, H, W), x first, on `like`'s device and dtype."""
    y = torch.arange(height, device=like.device, dtype=like.dtype).view(1, 1, -1, 1).expand(1, 1, height, width)
    x = torch.arange(width, device=like.device, dtype=like.dtype).view(1, 1, 1, -1).expand(1, 1, height, width)
    return torch.cat([x, y], 1)


def backward_warp(image: Tensor, flow: Tensor, mode: str = "bilinear", finer: int = 1) -> Tensor:
    """Sample `image` at x + flow(x).

    Args:
        image: (B, C, finer · H, finer · W), whose sample finer · x is that of pixel x.
        flow: (B, 2, H, W) in pixels, x first.
        mode: interpolation of `torch.nn.functional.grid_sample`.
        finer: samples of `image` a pixel, in each direction.

    Returns:
        (B, C, H, W); outside the image its border is repeated.
    """
    height, width = image.shape[-2:]
    at = base_grid(flow.shape[-2], flow.shape[-1], image) + flow
    if finer > 1:
        at = at * float(finer)
    # Plain factors: a CUDA graph cannot take a tensor made of them from the host.
    at = torch.cat([at[:, :1] * (2.0 / max(width - 1, 1)), at[:, 1:] * (2.0 / max(height - 1, 1))], 1) - 1.0
    return F.grid_sample(image, at.permute(0, 2, 3, 1), mode=mode, padding_mode="border", align_corners=True)


def _tiled(rows: Tensor, columns: Tensor, step: int, side: int) -> Tensor:
    """Small separable filters as one convolution of stride side · step: a channel for each output sample in a tile.

    Engines compute that several times as fast as a convolution from one channel to one.

    Args:
        rows, columns: (N, taps) each, the filters of the N samples that a step gives, down and across.
        step: pixels from one filter's place to that of the next.
        side: places in a tile, in each direction.

    Returns:
        (side · N · side · N, 1, K, K) with K = (side - 1) · step + taps, in the order `F.pixel_shuffle` takes.
    """
    many, taps = rows.shape
    reach = (side - 1) * step + taps
    down, across = rows.new_zeros(side, many, reach), rows.new_zeros(side, many, reach)
    for place in range(side):
        down[place, :, place * step : place * step + taps] = rows
        across[place, :, place * step : place * step + taps] = columns
    return torch.einsum("pnk,qml->pnqmkl", down, across).reshape(-1, 1, reach, reach)


_PAIR = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], HALFWAY])  # a pixel, and what follows it
_SOFT = torch.tensor([SOFT])
BETWEEN = _tiled(_PAIR, _PAIR, 1, TILE)
COARSER = _tiled(_SOFT, _SOFT, 2, TILE)


def doubled(image: Tensor, between: Tensor | None = None) -> Tensor:
    """The pixels and the values halfway between them: (B, 1, H, W) → (B, 1, 2H, 2W), H and W multiples of TILE.

    For `backward_warp` with `finer` = 2: the shift that bilinear interpolation gives fine texture is then wrong
    by a quarter of what it is on the image's own grid.

    Args:
        between: `BETWEEN`, where it lies on the image's device already.
    """
    padded = F.pad(image, (2, 3, 2, 3), mode="replicate")
    return F.pixel_shuffle(F.conv2d(padded, BETWEEN.to(image) if between is None else between, stride=TILE), 2 * TILE)


def halved(image: Tensor, coarser: Tensor | None = None) -> Tensor:
    """The image at half the resolution, softly low-passed: (B, 1, H, W) → (B, 1, H/2, W/2), multiples of 2 · TILE.

    A sample lies where the mean of two by two pixels does.

    Args:
        coarser: `COARSER`, where it lies on the image's device already.
    """
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    return F.pixel_shuffle(F.conv2d(padded, COARSER.to(image) if coarser is None else coarser, stride=2 * TILE), TILE)
