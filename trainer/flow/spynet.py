"""SPyNet in PyTorch, in the form BasicVSR uses: six levels, full-resolution output."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 6
CHANNELS = (8, 32, 64, 32, 16, 2)  # in: image 1 (3), warped image 2 (3), flow (2); out: flow residual


class _Level(nn.Module):
    """The residual flow of one pyramid level: five 7×7 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in pairwise(CHANNELS):
            layers += [nn.Conv2d(inside, outside, 7, padding=3), nn.ReLU()]
        self.basic_module = nn.Sequential(*layers[:-1])  # the last convolution is linear

    def forward(self, x: Tensor) -> Tensor:
        return self.basic_module(x)


class SPyNet(nn.Module):
    """``forward(a, b)``: two (B, 3, H, W) RGB in [0, 1] → (B, 2, H, W) flow in pixels on a's grid."""

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList(_Level() for _ in range(LEVELS))
        # ImageNet's mean and deviation, as in the network's training.
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        height, width = a.shape[-2:]
        step = 2 ** (LEVELS - 1)
        pad = (0, -width % step, 0, -height % step)
        pyramid = [
            tuple(F.pad((image - self.mean) / self.std, pad, mode="replicate") for image in (a, b))
        ]  # finest first
        for _ in range(LEVELS - 1):
            pyramid.append(tuple(F.avg_pool2d(image, 2) for image in pyramid[-1]))

        flow = a.new_zeros(a.shape[0], 2, *pyramid[-1][0].shape[-2:])
        for index, ((first, second), level) in enumerate(zip(reversed(pyramid), self.basic_module, strict=True)):
            if index:
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
            flow = flow + level(torch.cat([first, _warp(second, flow), flow], 1))
        return flow[..., :height, :width]


def _warp(image: Tensor, flow: Tensor) -> Tensor:
    """``image`` (B, C, H, W) sampled at p + flow (B, 2, H, W) in pixels, borders repeated."""
    height, width = image.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=image.device, dtype=flow.dtype),
        torch.arange(width, device=image.device, dtype=flow.dtype),
        indexing="ij",
    )
    # A level of one pixel a side has no extent to divide by; max(…, 1) keeps it finite.
    grid_x = 2 * (x + flow[:, 0]) / max(width - 1, 1) - 1
    grid_y = 2 * (y + flow[:, 1]) / max(height - 1, 1) - 1
    return F.grid_sample(
        image, torch.stack([grid_x, grid_y], -1), mode="bilinear", padding_mode="border", align_corners=True
    )
