"""How `unet` can begin: as the linear magnifier, output = frame + gain(alpha)·(frame − reference).

From random weights it first has to learn to paint what it is shown, and then what alpha has to do with it, for which
a CPU has no time. Here a few of its channels do both: the difference between frame and reference passes gates that
open one after the other as alpha rises, and what has passed is added to the frame and painted. That magnifies motion
to first order, by about alpha; the rest is random as ever, and motion that is no longer small is learned from there.
The architecture is the paper's, only its first weights differ.

Batch normalisation stays as it was settled here: by a handful of crops it would change the picture's
brightness from step to step, by more than magnification changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from magfilter.networks.unet import ENCODING, UNet, encode_alpha

if TYPE_CHECKING:
    from trainer.loop import Objective

__all__ = ["begin_linear"]

BATCHES = 8  # that statistics are settled on
NARROWEST = 16  # channels that begin as told below
QUIET = 0.1  # times the usual size: weights of alpha's code, most of whose planes change wildly with alpha
CODE = 6 + ENCODING - 1  # the plane of alpha's code that rises slowest, all the way up to 32
COARSE = 8.0  # times the difference of two frames, so that its gates can be told from it
LIFT = 2.0  # over the zero of a ReLU: differences up to a quarter of full scale pass
SHARP = 20.0  # of gates: the higher, the sooner a gate is wide open, and the more half precision rounds
GATES = ((1.5, 1.2), (3.0, 2.6), (7.0, 6.0))  # alpha, and what the gain rises by there
BENDS = (0.22, 0.38)  # from mid-grey: where the logit of a brightness becomes steeper,
SLOPES = (4.154, 2.051, 8.895)  # its slope in mid-grey, and by how much; least squares of the sigmoid over 0..1


def begin_linear(net: UNet, objective: Objective) -> None:
    """Make the network the linear magnifier, about, and leave it in eval mode with settled statistics.

    Args:
        net: new, at least 16 wide; changed in place.
        objective: whose first batches the statistics are settled on.

    Raises:
        ValueError: if the network is too narrow.
    """
    if net.width < NARROWEST:
        raise ValueError(f"Expected a width of {NARROWEST} or more to begin as the linear magnifier, got {net.width}.")
    enter, last = net.enter, net.up[-1]
    passing = [3 * (1 + j) for j in range(len(GATES))]  # channels of the differences behind each gate; three colours
    bare = 3 * (1 + len(GATES))  # and of the gates themselves
    with torch.no_grad():
        enter[0].weight[:, 6:] *= QUIET
        for n in range(3):
            _make(enter[0], n, {3 + n: 1.0})
            _make(enter[0], 3 + n, {3 + n: COARSE, n: -COARSE}, LIFT)
        _make(enter[0], 6, {CODE: 1.0})
        for n in range(3):
            _make(enter[3], n, {n: 1.0})
        for j, (alpha, _) in enumerate(GATES):
            level = SHARP * float(encode_alpha(torch.full((1, 1, 1, 1), alpha))[0, -1])
            _make(enter[3], bare + j, {6: SHARP}, -level)
            for n in range(3):
                _make(enter[3], passing[j] + n, {3 + n: 1.0, 6: SHARP}, -level - LIFT)
        for n in range(3):
            gains = {passing[j] + n: gain / COARSE for j, (_, gain) in enumerate(GATES)}
            shut = {bare + j: -gain / COARSE for j, (_, gain) in enumerate(GATES)}
            _make(last[0], n, {n: 1.0, **gains, **shut}, LIFT)
            _make(last[3], n, {n: 1.0})
            net.paint.weight[n, :15] = 0
            net.paint.weight[n, n] = SLOPES[0]
            net.paint.bias[n] = -SLOPES[0] * (0.5 + LIFT)
            for k, bend in enumerate(BENDS):
                bright, dark = 3 + 6 * k + n, 6 + 6 * k + n
                _make(last[3], bright, {n: 1.0}, -(0.5 + bend + LIFT))
                _make(last[3], dark, {n: -1.0}, 0.5 - bend + LIFT)
                net.paint.weight[n, bright], net.paint.weight[n, dark] = SLOPES[1 + k], -SLOPES[1 + k]
        net.paint.weight[:, 15:] *= QUIET
        made = {enter[1]: 7, enter[4]: bare + len(GATES), last[1]: 3, last[4]: 15}  # channels; the first ones
        _settle(net, made, _first_batches(net, objective))


def _make(conv: nn.Conv2d, to: int, of: dict[int, float], bias: float = 0.0) -> None:
    """Let channel `to` behind a convolution be a weighted sum of channels before it, point by point."""
    assert conv.bias is not None
    conv.weight[to] = 0
    for source, weight in of.items():
        conv.weight[to, source, 1, 1] = weight
    conv.bias[to] = bias


class _Shown(nn.Module):
    """Remembers what it is shown, and returns the frame."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, reference: Tensor, frame: Tensor, alpha: Tensor) -> Tensor:
        self.batches.append((reference, frame, alpha))
        return frame


def _first_batches(net: nn.Module, objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
    shown = _Shown()
    for _ in range(BATCHES):
        objective(shown, 0.0)
    one, two, alpha = (torch.cat(part) for part in zip(*shown.batches, strict=True))
    return one, two, alpha


def _settle(net: nn.Module, made: dict[nn.Module, int], batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """Statistics of one large batch, layer after layer; the first channels of `made` pass as they are."""

    def settle(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        keep = made.get(norm, 0)
        norm.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        norm.running_var.copy_(inputs[0].var((0, 2, 3)))
        norm.running_mean[:keep], norm.running_var[:keep] = 0, 1 - norm.eps

    hooks = [m.register_forward_pre_hook(settle) for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    net.eval()
    net(*batch)
    for hook in hooks:
        hook.remove()
