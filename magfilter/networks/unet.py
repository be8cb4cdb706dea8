"""`unet`: the paper's network, which paints the magnified frame (paper §3.3, App. A2).

Reference, frame and 32 planes that encode the magnification factor go through a U-Net of
double convolutions, 64-128-256-512-512 channels, max pooling and bilinear upsampling; a
1×1 convolution and a sigmoid give the picture. 17,287,683 parameters at width 64.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["UNet", "encode_alpha"]

ENCODING = 32  # planes
SHORTEST, LONGEST = 2.0**-3, 2.0**7  # wavelengths of the encoding, in units of alpha
LITERAL_PI = 3.141592  # the reference implementation's constant; its checkpoints expect it


def encode_alpha(alpha: Tensor) -> Tensor:
    """Encode the magnification factor: sin(2π·alpha/λ_k), λ geometric from 2⁻³ to 2⁷.

    Args:
        alpha: (B, 1, H, W), a factor for every pixel, or (B, 1, 1, 1).

    Returns:
        (B, 32, H, W) or (B, 32, 1, 1).
    """
    steps = torch.arange(ENCODING, device=alpha.device, dtype=torch.float32) / (ENCODING - 1)
    wavelength = torch.exp(math.log(SHORTEST) + steps * (math.log(LONGEST) - math.log(SHORTEST)))
    phase = 2 * LITERAL_PI * alpha.float() / wavelength.view(1, -1, 1, 1)
    return torch.sin(phase).to(alpha.dtype)


def _double(inputs: int, outputs: int, middle: int | None = None) -> nn.Sequential:
    middle = middle or outputs
    return nn.Sequential(
        nn.Conv2d(inputs, middle, 3, padding=1),
        nn.BatchNorm2d(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """The magnified frame from the reference, the frame and alpha.

    Args:
        width: channels at full resolution; 64 is the paper's.

    Input: reference and frame (B, 3, H, W) RGB in 0..1, H and W multiples of 16; alpha
    (B, 1, H, W), (B, 1, 1, 1) or (B,). Output: (B, 3, H, W) in 0..1.
    """

    pad_multiple = 16

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.width = width
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.enter = _double(6 + ENCODING, widths[0])
        self.down = nn.ModuleList(_double(a, b) for a, b in pairwise(widths))
        # On the way up each stage narrows to the width of the stage above it.
        steps = zip(reversed(widths[:-1]), [4 * width, 2 * width, width, width], strict=True)
        self.up = nn.ModuleList(_double(2 * skip, out, skip) for skip, out in steps)
        self.paint = nn.Conv2d(width, 3, 1)

    def forward(self, reference: Tensor, frame: Tensor, alpha: Tensor) -> Tensor:
        if alpha.dim() == 1:
            alpha = alpha.view(-1, 1, 1, 1)
        code = encode_alpha(alpha).expand(-1, -1, *reference.shape[-2:])
        # In the precision of the weights, see `magfilter.networks.precision`. The encoding's phases reach
        # 800 at alpha 16, of which half precision keeps no fraction.
        x = self.enter(torch.cat([reference, frame, code], 1).to(self.paint.weight.dtype))
        skips = [x]
        for stage in self.down:
            x = stage(F.max_pool2d(x, 2))
            skips.append(x)
        x = skips.pop()
        for stage in self.up:
            skip = skips.pop()
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=True)
            x = stage(torch.cat([skip, x], 1))
        return torch.sigmoid(self.paint(x).to(reference.dtype))
