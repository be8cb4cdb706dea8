"""The paper's loss, which magnifies motion by backpropagating through optical flow (Eq. 3–5).

A frame Î is the frame I1 magnified alpha times if a flow estimator F, which stays as it is,
sees alpha times the motion in it, and if what it shows is what I1 shows. No labels are
needed, only F and its gradient. `flow_loss` judges any picture; `magnified_by_warp` makes
one out of the flow of the `warp` network, so that it can be trained by the same loss.

Flows are in pixels, x first, on the reference's grid; images in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magfilter.networks.sampling import backward_warp, base_grid
from trainer.losses import occluded

__all__ = ["Flow", "FlowLoss", "flow_loss", "magnified_by_warp"]

Flow = Callable[[Tensor, Tensor], Tensor]
"""`flow(one, two)`: two images (B, 3, H, W) RGB in 0..1 → (B, 2, H, W) px from the first to the second."""

FAR = 1e5  # px; torch's CPU build crashes on its way back from a reflection about places out of all bounds
ROUND = 1e-3  # px or share of full scale: below this Charbonnier is a parabola


@dataclass(frozen=True)
class FlowLoss:
    """What `flow_loss` found. The sums carry gradients to the magnified frame, as does `flow_magnified`."""

    total: Tensor
    """Eq. 5: the weighted sum, a scalar."""

    magnification: Tensor
    """Eq. 3: px, mean over both components of the flow; unweighted."""

    colour: Tensor
    """Eq. 4: mean over pixels and channels, in 0..1; unweighted. Zero where it was not asked for."""

    flow_source: Tensor
    """F(I0, I1): (B, 2, H, W) px, without gradient."""

    flow_magnified: Tensor
    """F(I0, Î): (B, 2, H, W) px."""


def flow_loss(
    reference: Tensor,
    frame: Tensor,
    magnified: Tensor,
    alpha: Tensor,
    flow: Flow,
    *,
    norm: Literal["l1", "charbonnier"] = "l1",
    colour_weight: float = 10.0,
    magnification_weight: float = 1.0,
    occlusion_aware: bool = False,
) -> FlowLoss:
    """How far `magnified` is from being `frame` with its motion multiplied (paper Eq. 3–5).

    - magnification: mean |F(I0, Î) − alpha·F(I0, I1)|
    - colour: mean |warp(Î, F(I0, Î)) − warp(I1, F(I0, I1))|: every point of the reference has the same
      colour in both. Its gradient also moves the sampling positions, as in the reference implementation.

    Args:
        reference, frame, magnified: I0, I1 and Î, each (B, 3, H, W) RGB in 0..1.
        alpha: total magnification factor, (B,), or (B, 1, H, W) for every point of the reference.
        flow: F. A module must be frozen (`net.eval().requires_grad_(False)`): the gradient passes through
            it and is not to stay in it, and batch statistics of magnified frames are not to change it.
            A function that hides a module cannot be looked into; freezing is then its caller's business.
        norm: "l1" is the paper's; "charbonnier", √(d² + ε²) − ε with ε = 1e-3, has a gradient that fades
            where the difference does.
        colour_weight: of Eq. 4 in the sum; 0 leaves its computation out altogether (the paper's ablation).
        magnification_weight: of Eq. 3 in the sum.
        occlusion_aware: judge colours only where the way to the frame and back returns. A point that is
            hidden in I1 has no colour there to ask of Î. One more flow, F(I1, I0), is computed.

    Raises:
        ValueError: if shapes do not fit together, the norm is unknown, or `flow` is not frozen.
    """
    if norm not in ("l1", "charbonnier"):
        raise ValueError(f"Expected norm l1 or charbonnier, got {norm!r}.")
    if not reference.shape == frame.shape == magnified.shape:
        shapes = ", ".join(str(tuple(image.shape)) for image in (reference, frame, magnified))
        raise ValueError(f"Expected reference, frame and magnified frame of one shape, got {shapes}.")
    gain = _alpha_map(alpha, reference)
    _expect_frozen(flow)
    with torch.no_grad():
        source = _precise(flow(reference, frame))
    seen = _precise(flow(reference, magnified))
    magnification = _size(seen - gain * source, norm).mean()
    colour = magnification.new_zeros(())
    if colour_weight:
        difference = _size(_warp(magnified, seen) - _warp(frame, source), norm)
        if occlusion_aware:
            with torch.no_grad():
                visible = 1 - occluded(source, _precise(flow(frame, reference)))  # (B, 1, H, W)
            colour = (difference * visible).sum() / (visible.sum() * difference.shape[1]).clamp_min(1)
        else:
            colour = difference.mean()
    total = magnification_weight * magnification + colour_weight * colour
    return FlowLoss(total, magnification, colour, source, seen)


def magnified_by_warp(
    frame: Tensor,
    flow_half: Tensor,
    alpha: Tensor,
    mode: Literal["bilinear", "bicubic"] = "bilinear",
    steps: int = 20,
) -> Tensor:
    """The magnified frame that the `warp` network's flow makes, with a gradient to that flow (paper Eq. 2).

    The output's pixel x shows the reference's point p with p + alpha·f(p) = x, and that point is found in
    the frame at p + f(p) = x − (alpha − 1)·f(p). p is found by a damped fixed point without gradient; with
    p held, f(p) is then looked up once more, with gradient. That is the exact derivative where the flow is
    locally constant; elsewhere it leaves out how p itself would move, a factor (1 + alpha·f′)⁻¹ that is
    about 1 in smooth motion and has no bound where the motion folds, which is where the exact derivative
    would throw a training off its way.

    Simpler than the filter's own renderer (`magfilter.displace`), and for motion that is continuous: of two
    things that meet it may find the one behind, and a thing that is moved farther than it is large is lost
    on still ground, where "nothing moved here" is a solution as well. Gaps are stretched over.

    Args:
        frame: I1, (B, C, H, W) in 0..1, H and W even.
        flow_half: f, (B, 2, H/2, W/2) in px of the full resolution, on the reference's grid: a sample is the
            flow at the centre of a block of 2 × 2 pixels.
        alpha: total magnification factor, (B,), or (B, 1, H, W) for every point of the reference.
        mode: how the frame is sampled.
        steps: of the fixed point. Each halves the error where the motion is even; it converges wherever the
            magnified motion neither folds (alpha·f′ ≤ −1) nor stretches fourfold (alpha·f′ ≥ 3).

    Returns:
        (B, C, H, W), at least float32. Outside the frame its border is repeated.

    Raises:
        ValueError: if shapes do not fit together.
    """
    batch, _, height, width = frame.shape
    if flow_half.shape != (batch, 2, height // 2, width // 2) or height % 2 or width % 2:
        raise ValueError(
            f"Expected a flow (B, 2, H/2, W/2) for a frame (B, C, H, W) of even size, "
            f"got {tuple(flow_half.shape)} for {tuple(frame.shape)}."
        )
    motion = F.interpolate(_precise(flow_half), scale_factor=2, mode="bilinear", align_corners=False)
    gain = _alpha_map(alpha, frame).to(motion.dtype)
    # A factor of its own for every point of the reference moves with that point: the product is looked up.
    fields = torch.cat([motion, gain * motion], 1)  # f and alpha·f, (B, 4, H, W)
    away = torch.zeros_like(motion)  # p − x
    with torch.no_grad():
        for _ in range(steps):
            away = 0.5 * (away - backward_warp(fields[:, 2:], away))
    here = backward_warp(fields, away)  # at p, with gradient
    look = here[:, :2] - here[:, 2:]  # p + f(p) − x
    return backward_warp(frame.to(look.dtype), look, mode)


def _alpha_map(alpha: Tensor, like: Tensor) -> Tensor:
    """alpha as (B, 1, 1, 1) or (B, 1, H, W)."""
    batch, _, height, width = like.shape
    if alpha.shape == (batch,):
        return alpha.view(-1, 1, 1, 1)
    if alpha.shape != (batch, 1, height, width):
        raise ValueError(
            f"Expected alpha ({batch},) or ({batch}, 1, {height}, {width}) for images {tuple(like.shape)}, "
            f"got {tuple(alpha.shape)}."
        )
    return alpha


def _expect_frozen(flow: Flow) -> None:
    net = flow if isinstance(flow, nn.Module) else getattr(flow, "__self__", None)
    if not isinstance(net, nn.Module):
        return
    loose = [name for name, value in net.named_parameters() if value.requires_grad]
    if loose or net.training:
        what = f"{loose[0]} would gather gradients" if loose else "it is in training mode"
        raise ValueError(f"Expected a frozen flow network, but {what}; call .eval().requires_grad_(False) on it first.")


def _precise(values: Tensor) -> Tensor:
    """In single precision at least: half has a quarter of a pixel for a unit at 512 px."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _size(difference: Tensor, norm: str) -> Tensor:
    if norm == "l1":
        return difference.abs()
    return torch.sqrt(difference * difference + ROUND**2) - ROUND


def _warp(image: Tensor, flow: Tensor) -> Tensor:
    """`image` (B, C, H, W) at x + flow(x), bilinear; outside, its reflection about the outermost pixels.

    As `magfilter.networks.sampling.backward_warp`, which repeats the border instead: the reference
    implementation's losses reflect.
    """
    image = image.to(flow.dtype)
    height, width = image.shape[-2:]
    at = base_grid(height, width, flow) + flow.clamp(-FAR, FAR)
    scale = flow.new_tensor([2.0 / max(width - 1, 1), 2.0 / max(height - 1, 1)])
    at = at * scale.view(1, 2, 1, 1) - 1.0
    return F.grid_sample(image, at.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=True)
