"""How `unet` can begin: as the linear magnifier, output = frame + (frame − reference).

From random weights it first has to learn to paint what it is shown, for which a CPU has no time. Here a few of its
channels carry the frame, and what it differs by from the reference, through the outermost stage to the picture: motion
doubled, to first order, whatever alpha. The rest is random as ever; what alpha has to do with it, and motion that
is no longer small, are learned from there. The architecture is the paper's, only its first weights differ.

Batch normalisation stays as it was settled here: by a handful of crops it would change the picture's
brightness from step to step, by more than magnification changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from magfilter.networks.unet import UNet

if TYPE_CHECKING:
    from trainer.loop import Objective

__all__ = ["begin_linear"]

BATCHES = 8  # that statistics are settled on
ABOVE = 3.0  # deviations by which what is carried is lifted over the zero of a ReLU
BEND = 0.32  # from mid-grey; beyond it the logit of a brightness is steeper than in the middle,
STEEPER = 9.0  # by so much
MIDDLE = 4.0  # its slope in mid-grey
QUIET = 0.1  # times the usual size: weights of alpha's code, most of whose planes change wildly with alpha


def begin_linear(net: UNet, objective: Objective) -> None:
    """Make the network the linear magnifier by 2, about, and leave it in eval mode with settled statistics.

    Args:
        net: new, at least 12 wide; changed in place.
        objective: whose first batches the statistics are settled on.

    Raises:
        ValueError: if the network is too narrow.
    """
    if net.width < 12:
        raise ValueError(f"Expected a width of 12 or more to begin as the linear magnifier, got {net.width}.")
    last = net.up[-1]
    with torch.no_grad():
        net.enter[0].weight[:, 6:] *= QUIET
        for n in range(3):
            _carry(net.enter[0], net.enter[1], n, 3 + n)  # the frame
            _carry(net.enter[0], net.enter[1], 3 + n, 3 + n)
            net.enter[0].weight[3 + n, n, 1, 1] = -1  # less the reference
            for stage in (net.enter[3:], last[:2], last[3:]):
                _carry(stage[0], stage[1], n, n)
            for stage in (net.enter[3:], last[:2]):
                _carry(stage[0], stage[1], 3 + n, 3 + n)
            _carry(last[3], last[4], 9 + n, 3 + n)
            _carry(last[3], last[4], 3 + n, n)  # will count where it is bright,
            _carry(last[3], last[4], 6 + n, n, -1.0)  # and where it is dark
        _settle(net, objective)
        mean, deviation = net.enter[1].running_mean[:3], net.enter[1].running_var[:3].sqrt()
        drift, change = net.enter[1].running_mean[3:6], net.enter[1].running_var[3:6].sqrt()
        bright, dark = (0.5 + BEND - mean) / deviation, (mean - 0.5 + BEND) / deviation
        last[4].bias[3:6], last[4].bias[6:9] = -bright, -dark
        net.paint.weight *= QUIET
        net.paint.weight[:, :12] = 0
        for n in range(3):
            net.paint.weight[n, n] = MIDDLE * deviation[n]
            net.paint.weight[n, 3 + n] = STEEPER * deviation[n]
            net.paint.weight[n, 6 + n] = -STEEPER * deviation[n]
            net.paint.weight[n, 9 + n] = MIDDLE * change[n]
        net.paint.bias.copy_(MIDDLE * (mean + drift - 0.5 - ABOVE * (deviation + change)))
    net.eval()


def _carry(conv: nn.Conv2d, norm: nn.BatchNorm2d, to: int, source: int, sign: float = 1.0) -> None:
    """Let channel `to` behind a convolution be channel `source` before it, standardised and lifted."""
    conv.weight[to] = 0
    conv.weight[to, source, 1, 1] = sign
    assert conv.bias is not None
    conv.bias[to] = 0
    norm.weight[to], norm.bias[to] = 1, ABOVE


def _settle(net: nn.Module, objective: Objective) -> None:
    """Batch statistics of the first batches, all of which count alike."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average
    net.train()
    for _ in range(BATCHES):
        objective(net, 0.0)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
