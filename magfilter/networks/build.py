"""Networks by name; imports torch."""

from __future__ import annotations

from torch import nn

from magfilter.networks.unet import UNet
from magfilter.networks.warp import WarpNet

__all__ = ["build_network"]


def build_network(name: str, width: int = 0) -> nn.Module:
    """An untrained network.

    Args:
        name: "warp" or "unet".
        width: channels at the finest resolution; 0 is the network's own (warp 32, unet 64).

    Raises:
        ValueError: if the name is unknown.
    """
    if name == "warp":
        w = width or 32
        return WarpNet((w, 2 * w, 3 * w))
    if name == "unet":
        return UNet(width or 64)
    raise ValueError(f"Expected network warp or unet, got {name!r}.")
