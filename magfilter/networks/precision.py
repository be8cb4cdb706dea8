"""The same network, cheaper to run: batch normalisation folded, convolutions in half precision; imports torch.

Which part may be computed in half was found by measurement, see `python -m export parity`. In `warp` it is the
U-Net that judges, 97 % of the multiplications. Around it everything stays in single precision: half has a
resolution of half a pixel at a coordinate of 1000, and least squares divides small differences of large products.
In `unet` it is all but the encoding of alpha and the last sigmoid.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from magfilter.networks.warp import WarpNet

__all__ = ["fold", "halve", "halved_parts"]


def fold(net: nn.Module) -> nn.Module:
    """Fold every batch normalisation into the convolution before it, in place; weights keep their names.

    Args:
        net: in evaluation mode.
    """
    for block in [module for module in net.modules() if isinstance(module, nn.Sequential)]:
        for (_, conv), (place, norm) in pairwise(list(block.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(conv, norm)
                conv.weight, conv.bias = fused.weight, fused.bias
                setattr(block, place, nn.Identity())
    return net


def halved_parts(net: nn.Module) -> list[nn.Module]:
    """The modules whose every operation `halve` puts in half precision."""
    if isinstance(net, WarpNet):
        return [net.cell.judge]
    return list(net.children())


def halve(net: nn.Module) -> nn.Module:
    """Make `net` compute in half precision what may be, in place. It takes and gives single precision as before.

    Args:
        net: in evaluation mode.

    Raises:
        ValueError: if a weight does not fit into half precision.
    """
    fold(net)
    for part in halved_parts(net):
        for name, value in part.named_parameters():
            if not bool(torch.isfinite(value.half()).all()):
                raise ValueError(f"weight {name} does not fit into half precision; use fp32")
        part.half()
    return net
