"""Augmentation of whole batches on the training device: every pair its own way, both frames of it alike.

Frames are (B, 2, 3, H, W) float32 RGB in 0..1. All geometry is one affine map a pair, so a frame is
resampled (bilinear) once. Random numbers come from the caller's generator, which lives on the
batch's device: nothing waits for the host, and a saved generator state repeats the run.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["augment_adapt", "augment_pair", "jitter"]


def _check(frames: Tensor, g: torch.Generator) -> None:
    if frames.ndim != 5 or frames.shape[1:3] != (2, 3) or frames.dtype != torch.float32:
        raise ValueError(
            "Expected float32 pairs of shape (B, 2, 3, H, W), got "
            f"frames.shape={tuple(frames.shape)}, frames.dtype={frames.dtype}."
        )
    if g.device.type != frames.device.type or (g.device.index or 0) != (frames.device.index or 0):
        raise ValueError(f"Expected a generator on {frames.device}, got one on {g.device}.")


def _uniform(low: float, high: float, count: int, g: torch.Generator) -> Tensor:
    return torch.rand(count, generator=g, device=g.device) * (high - low) + low


def _resample(frames: Tensor, linear: Tensor, shift: Tensor, height: int, width: int) -> Tensor:
    """What stands at linear · p + shift, for every p: (B, 2, 3, height, width).

    Args:
        frames: (B, 2, 3, H, W); linear: (B, 2, 2) and shift: (B, 2), x before y, in px about the
            centres of output and input.

    Beyond the border the picture is mirrored. The reference implementation fills with black there:
    a hard edge that stands still while the picture next to it moves, which a flow network measures
    and a magnifier would learn. Mirrored, both frames go on in the same way, moving as their mirror
    images do.
    """
    two, c, h, w = frames.shape[1:]
    # Written out, not as a product of matrices: TF32 and autocast round those to three digits,
    # here a quarter of a pixel.
    x = torch.arange(width, device=frames.device) - (width - 1) / 2
    y = (torch.arange(height, device=frames.device) - (height - 1) / 2)[:, None]
    (xx, xy), (yx, yy) = (row.unbind(1) for row in linear[..., None, None].unbind(1))
    sx, sy = shift[:, :, None, None].unbind(1)
    at = torch.stack([(xx * x + xy * y + sx) * (2 / w), (yx * x + yy * y + sy) * (2 / h)], -1)  # (B, h, w, 2), −1..1
    moved = F.grid_sample(frames.flatten(1, 2), at, "bilinear", "reflection", align_corners=False)
    return moved.unflatten(1, (two, c))


def _rotation(degrees: Tensor) -> Tensor:
    """(B,) → (B, 2, 2)."""
    angle = degrees * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def _shift_hue(rgb: Tensor, turn: Tensor) -> Tensor:
    """Hue of (B, T, 3, H, W) in 0..1 turned by (B, 1, 1, 1) of a full circle, in HSV."""
    red, green, blue = rgb.unbind(2)
    value, spread = rgb.amax(2), rgb.amax(2) - rgb.amin(2)
    over = spread.clamp_min(1e-8)
    hue = torch.where(
        value == red,
        (green - blue) / over,
        torch.where(value == green, 2 + (blue - red) / over, 4 + (red - green) / over),
    )  # sixths of the circle
    hue = hue + 6 * turn
    parts = []
    for corner in (5, 3, 1):
        k = (hue + corner).remainder(6)
        parts.append(value - spread * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(parts, 2)


def _grey(rgb: Tensor) -> Tensor:
    """(B, T, 3, H, W) → (B, T, 1, H, W), weighed as torchvision does."""
    red, green, blue = rgb.split(1, 2)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def jitter(
    frames: Tensor,
    g: torch.Generator,
    brightness: float = 0.5,
    contrast: float = 0.5,
    saturation: float = 0.5,
    hue: float = 0.3,
) -> Tensor:
    """Change colours, alike in all frames of a pair: (B, T, 3, H, W) in 0..1 → the same.

    Factors are drawn from 1 ± their bound, hue from ± `hue` of a full circle. Always in this order:
    brightness, contrast, saturation, hue, each clamped to 0..1. Contrast turns about the mean
    grey of both frames together: about each frame's own, as in the reference implementation, a thing
    that comes into view would make the whole picture flicker.

    Raises:
        ValueError: if a bound is negative, or `hue` above 0.5.
    """
    if min(brightness, contrast, saturation, hue) < 0 or hue > 0.5:
        raise ValueError(
            "Expected bounds of at least 0 and hue of at most 0.5, got "
            f"{brightness=}, {contrast=}, {saturation=}, {hue=}."
        )
    count = len(frames)
    bright, flat, vivid = (
        _uniform(max(0.0, 1 - bound), 1 + bound, count, g).view(-1, 1, 1, 1, 1)
        for bound in (brightness, contrast, saturation)
    )
    turn = _uniform(-hue, hue, count, g).view(-1, 1, 1, 1)
    out = (frames * bright).clamp_(0, 1)
    mean = _grey(out).mean((1, 3, 4), keepdim=True)
    out = torch.lerp(mean, out, flat).clamp_(0, 1)
    out = torch.lerp(_grey(out), out, vivid).clamp_(0, 1)
    return _shift_hue(out, turn).clamp_(0, 1)


@torch.no_grad()
def augment_pair(
    pair: Tensor,
    g: torch.Generator,
    *,
    flip: float = 0.5,
    rotation: float = 15.0,
    brightness: float = 0.5,
    contrast: float = 0.5,
    saturation: float = 0.5,
    hue: float = 0.3,
) -> Tensor:
    """The paper's augmentation after its crop (appendix A2; bounds from the reference implementation).

    Turned by ± `rotation`, flipped left to right and top to bottom, then `jitter`.

    Args:
        pair: (B, 2, 3, H, W) float32 in 0..1; g: a generator on the same device.
        flip: probability of either flip; rotation: degrees.

    Returns:
        The same shape and range.

    Raises:
        ValueError: for another shape or dtype, a generator on another device, bounds of colour out of range.
    """
    _check(pair, g)
    count = len(pair)
    turned = _rotation(_uniform(-rotation, rotation, count, g))
    flips = 1 - 2 * (torch.rand(count, 2, generator=g, device=g.device) < flip).float()
    linear = turned * flips[:, None]  # flips the output's axes
    moved = _resample(pair, linear, torch.zeros_like(flips), *pair.shape[-2:])
    return jitter(moved, g, brightness, contrast, saturation, hue)


@torch.no_grad()
def augment_adapt(
    frames: Tensor,
    g: torch.Generator,
    *,
    size: int = 512,
    rotation: float = 5.0,
    stretch: float = 1.1,
    brightness: float = 0.5,
    contrast: float = 0.5,
    saturation: float = 0.5,
    hue: float = 0.3,
) -> Tensor:
    """Augmentation for adapting to one video (paper §3.5; bounds from the reference implementation).

    Turned by ± `rotation`, either axis stretched by `stretch`^U(−1, 1), a random part of `size` × `size` cut
    out, then `jitter`. Where a stretched frame is smaller than that, it is set in the middle and mirrored.

    Args:
        frames: (B, 2, 3, H, W) float32 in 0..1: the reference and a frame of one video.
        g: a generator on the same device; size: px; rotation: degrees.

    Returns:
        (B, 2, 3, size, size) in 0..1.

    Raises:
        ValueError: as `augment_pair`, or if `size` or `stretch` is below 1.
    """
    _check(frames, g)
    if size < 1 or stretch < 1:
        raise ValueError(f"Expected size and stretch of at least 1, got {size=}, {stretch=}.")
    count = len(frames)
    height, width = frames.shape[-2:]
    factor = stretch ** _uniform(-1, 1, 2 * count, g).view(count, 2)  # x, y
    turned = _rotation(_uniform(-rotation, rotation, count, g))
    room = torch.stack([factor[:, 0] * width, factor[:, 1] * height], -1)  # px of the stretched frame
    room = (room - size).clamp_min(0)
    place = (torch.rand(count, 2, generator=g, device=g.device) - 0.5) * room
    linear = turned / factor[:, None]
    shift = (linear * place[:, None]).sum(-1)
    return jitter(_resample(frames, linear, shift, size, size), g, brightness, contrast, saturation, hue)
