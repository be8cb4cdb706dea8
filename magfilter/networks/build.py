"""Networks by name; imports torch."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from magfilter.networks.unet import UNet
from magfilter.networks.warp import WarpNet

__all__ = ["build_network"]


def build_network(
    name: str, width: int = 0, *, light: bool = False, weights: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """An untrained network.

    Args:
        name: "warp" or "unet".
        width: channels at the finest resolution; 0 is the network's own (warp 32, unet 64).
        light: the cheaper shape of `warp`.
        weights: what it is to take, by name; they decide `warp`'s shape in place of `width` and `light`.

    Raises:
        ValueError: if the name is unknown, there is no such shape, or the weights are of another network.
    """
    if name == "warp":
        if weights is not None:
            return WarpNet.like(weights)
        w = width or 32
        return WarpNet.light(w) if light else WarpNet((w, 2 * w, 3 * w))
    if name == "unet":
        if light:
            raise ValueError("The light shape is of warp only; give unet a smaller width.")
        return UNet(width or 64)
    raise ValueError(f"Expected network warp or unet, got {name!r}.")
