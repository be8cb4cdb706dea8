"""The part of `warp` that learns: which of several measured motions to believe."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Judge"]


def _conv(inputs: int, outputs: int, stride: int = 1, side: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, stride, side // 2), nn.LeakyReLU(0.1, inplace=True))


class Judge(nn.Module):
    """The U-Net of a cell: three resolutions, no normalisation layers to fold.

    Args:
        inputs: features it looks at, the first so many of those there are.
        widths: channels at the three resolutions.
        enter: sides of the kernels that every cell is first looked at with, one layer each.
        deep: layers at the coarsest resolution.
        head: side of the last kernel.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: tuple[int, int, int],
        enter: tuple[int, ...] = (3, 3),
        deep: int = 3,
        head: int = 3,
    ) -> None:
        super().__init__()
        a, b, c = widths
        self.inputs = inputs
        self.enter = nn.Sequential(*(_conv(a if n else inputs, a, 1, side) for n, side in enumerate(enter)))
        self.down1 = nn.Sequential(_conv(a, b, 2), _conv(b, b))
        self.down2 = nn.Sequential(*(_conv(c if n else b, c, 1 if n else 2) for n in range(deep)))
        self.side2 = nn.Conv2d(c, b, 1)
        self.up1 = _conv(b, b)
        self.side1 = nn.Conv2d(b, a, 1)
        self.up0 = _conv(a, a)
        self.head = nn.Conv2d(a, outputs, head, 1, head // 2)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # torch's default would let the signal fade from layer to layer
                nn.init.kaiming_normal_(layer.weight, 0.1)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.head.weight)

    @classmethod
    def like(cls, weights: Mapping[str, Tensor]) -> Judge:
        """One that takes these weights, whose names are those of its own."""
        first, second, third = (weights[f"{name}.0.0.weight"].shape for name in ("enter", "down1", "down2"))
        sides = [weights[f"enter.{n}.0.weight"].shape[-1] for n in range(9) if f"enter.{n}.0.weight" in weights]
        deep = sum(f"down2.{n}.0.weight" in weights for n in range(9))
        head = weights["head.weight"].shape
        return cls(first[1], head[0], (first[0], second[0], third[0]), tuple(sides), deep, head[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Computes in the precision of its weights, see `magfilter.networks.precision`; result as `x`."""
        x0 = self.enter(x[:, : self.inputs].to(self.head.weight.dtype))  # (B, a, h, w)
        x1 = self.down1(x0)  # (B, b, h/2, w/2)
        x2 = self.down2(x1)  # (B, c, h/4, w/4)
        x1 = self.up1(x1 + _resize(self.side2(x2), x1))
        x0 = self.up0(x0 + _resize(self.side1(x1), x0))
        out: Tensor = self.head(x0).to(x.dtype)
        return out


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
