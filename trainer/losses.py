"""Losses as pure functions. Flows are in pixels, x first; images in 0..1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from magfilter.networks.sampling import backward_warp, doubled

__all__ = [
    "census_difference",
    "edge_aware_smoothness",
    "gain_error",
    "imitation",
    "locally_normalised",
    "occluded",
    "photometric",
    "relative_flow_error",
]


CENSUS_SOFT = 0.9 * 4 / 255  # the step between neighbours that counts as one: a few code values of sensor noise


def relative_flow_error(
    flows: Sequence[Tensor], exact: Tensor, speed: Tensor, moving: float = 0.6, floor: float = 0.025, decay: float = 0.5
) -> Tensor:
    """End-point error of every scale, relative to the motion that is there.

    A magnifier multiplies errors by alpha, and alpha is chosen to make the motion
    visible: what counts is the error as a share of the motion, at every magnitude. The
    logarithm keeps hopeless points (covered, textureless) from drowning the rest.

    Args:
        flows: coarse to fine, scale s of S in units of its own pixels, (B, 2, h_s, w_s).
        exact: (B, 2, H/2, W/2), px of the finest scale.
        speed: (B,) px, the scene's own scale of motion.
        moving: the vote of the points that move; the rest is that of those that do not, whatever share
            of the picture each has.
        floor: px; errors are measured against at least this, the slowest motion asked of a magnifier.
        decay: weight of a scale against the next finer one.
    """
    total, weights = exact.new_zeros(()), 0.0
    for n, flow in enumerate(reversed(flows)):
        target = F.avg_pool2d(exact, 2**n) if n else exact
        error = flow.float() * 2**n - target
        size = target.norm(dim=1)
        scale = size + 0.15 * speed.view(-1, 1, 1) + floor  # px
        loss = torch.log1p(torch.sqrt((error * error).sum(1) + 1e-6) / scale)
        moves = (size > 0.3 * speed.view(-1, 1, 1)).float() * (speed > 0).view(-1, 1, 1)
        rests = 1 - moves
        loss = moving * (loss * moves).sum() / moves.sum().clamp_min(1) + (1 - moving) * (
            loss * rests
        ).sum() / rests.sum().clamp_min(1)
        total = total + decay**n * loss
        weights += decay**n
    return total / weights


def gain_error(flow: Tensor, exact: Tensor, speed: Tensor) -> Tensor:
    """How far the realised gain of moving scenes is from 1: mean |Σ flow·exact / Σ exact·exact − 1|.

    The end-point error at a point is least, on average, for an answer between the motion and none wherever
    the two are hard to tell apart, so that by it alone whatever has little texture is magnified by too
    little. This asks each scene as a whole for its due.

    Args:
        flow, exact: (B, 2, h, w) px.
        speed: (B,) px, the scenes' own scale of motion; those of 0 do not count.
    """
    energy = (exact * exact).sum((1, 2, 3))
    moves = (speed > 0) & (energy > 0)
    gain = (flow.float() * exact).sum((1, 2, 3)) / energy.clamp_min(1e-12)
    return ((gain - 1).abs() * moves).sum() / moves.sum().clamp_min(1)


def imitation(shares: Sequence[Tensor], taught: Sequence[Tensor], decay: float = 0.5) -> Tensor:
    """How far a network's choices are from its teacher's: the Kullback-Leibler divergence, mean over points.

    Args:
        shares, taught: positive, adding up to 1 along axis −3, coarse to fine; of all shapes alike.
        decay: weight of a scale against the next finer one.
    """
    total, weights = shares[0].new_zeros(()), 0.0
    for n, (own, wanted) in enumerate(zip(reversed(shares), reversed(taught), strict=True)):
        gap = wanted * (torch.log(wanted + 1e-7) - torch.log(own + 1e-7))
        total = total + decay**n * gap.sum(-3).mean()
        weights += decay**n
    return total / weights


def locally_normalised(image: Tensor, window: int = 9, floor: float = 4 / 255) -> Tensor:
    """(image − local mean) / (local deviation + floor): blind to slow changes of light. Shape kept."""
    pad = window // 2
    mean = F.avg_pool2d(image, window, 1, pad, count_include_pad=False)
    square = F.avg_pool2d(image * image, window, 1, pad, count_include_pad=False)
    return (image - mean) / (torch.sqrt((square - mean * mean).clamp_min(0) + 1e-8) + floor)


def occluded(forward: Tensor, backward: Tensor, share: float = 0.05, slack: float = 0.3) -> Tensor:
    """Where the way there and back does not return: (B, 1, h, w), 1 = occluded.

    Args:
        forward, backward: (B, 2, h, w) in px of their own grid; no gradient passes.
        share, slack: tolerated squared mismatch = share·(|f|² + |b|²) + slack.
    """
    with torch.no_grad():
        back = backward_warp(backward, forward)
        mismatch = (forward + back).square().sum(1, keepdim=True)
        bound = share * (forward.square().sum(1, keepdim=True) + back.square().sum(1, keepdim=True)) + slack
        return (mismatch > bound).float()


def photometric(reference: Tensor, frame: Tensor, flow: Tensor, hidden: Tensor) -> Tensor:
    """Brightness constancy on locally normalised images (paper Eq. 1), visible points only.

    Args:
        reference, frame: (B, 1, H, W), H and W multiples of 4; flow: (B, 2, H, W) px; hidden: (B, 1, H, W), 1 = ignore.
    """
    one, two = locally_normalised(reference), locally_normalised(frame)
    difference = backward_warp(doubled(two), flow, finer=2) - one
    robust = torch.sqrt(difference * difference + 1e-4)
    seen = 1 - hidden
    return (robust * seen).sum() / seen.sum().clamp_min(1)


def census_difference(one: Tensor, two: Tensor, reach: int = 3) -> Tensor:
    """How far two images' local orderings disagree: a soft census transform (Meister et al. 2018, UnFlow).

    Each pixel is described by the differences to its neighbours, squashed to −1..1, so that neither
    exposure nor contrast counts.

    Args:
        one, two: (B, C, H, W) in 0..1, compared by their mean over C; reach: half the window, px.

    Returns:
        (B, 1, H, W), 0 (alike) to 1.
    """

    def describe(image: Tensor) -> Tensor:
        grey = image.mean(1, keepdim=True)
        padded = F.pad(grey, (reach,) * 4, mode="replicate")
        height, width = grey.shape[-2:]
        near = torch.cat(
            [
                padded[..., dy : dy + height, dx : dx + width]
                for dy in range(2 * reach + 1)
                for dx in range(2 * reach + 1)
                if (dy, dx) != (reach, reach)
            ],
            1,
        )
        step = near - grey
        return step / torch.sqrt(step * step + CENSUS_SOFT**2)

    gap = (describe(one) - describe(two)).square()
    return (gap / (0.1 + gap)).mean(1, keepdim=True)


def edge_aware_smoothness(flow: Tensor, reference: Tensor, sharpness: float = 20.0) -> Tensor:
    """|∇flow|, forgiven where the picture has an edge.

    Relative to the mean motion of each pair, so that slow pairs are not smoothed less.

    Args:
        flow: (B, 2, h, w); reference: (B, 1, h, w) at the same resolution.
    """
    scale = flow.detach().norm(dim=1).mean((1, 2)).view(-1, 1, 1, 1) + 0.05
    total = flow.new_zeros(())
    for axis in (-1, -2):
        step = flow.diff(dim=axis) / scale
        edge = torch.exp(-sharpness * reference.diff(dim=axis).abs())
        total = total + (torch.sqrt(step * step + 1e-6) * edge).mean()
    return total
