"""Colour arithmetic on native planes: luma, and exact YUV to RGB and back in float32.

The matrix and the range are the frame's own. Where they are unspecified, the
arithmetic assumes what players assume (BT.709 from 720 lines up, BT.601 below;
limited range for YUV, full range for grey and RGB); the tags stay unspecified.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .frame import Colour, Frame, PixelLayout

__all__ = ["from_rgb_float", "is_full_range", "luma", "resolved_matrix", "to_rgb_float"]

Array = NDArray[np.float32]

# Kr and Kb of FFmpeg's AVColorSpace values (ITU-T H.273, table 4). 10, BT.2020 with
# constant luminance, needs the transfer curve; the plain matrix is what players use too.
_KR_KB = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_GBR, _UNSPECIFIED, _YCGCO = 0, 2, 8


def resolved_matrix(colour: Colour, height: int) -> int:
    """The AVColorSpace to compute with: the frame's own, or the usual guess from its height."""
    if colour.matrix in _KR_KB or colour.matrix in (_GBR, _YCGCO):
        return colour.matrix
    return 1 if height >= 720 else 6


def is_full_range(colour: Colour, layout: PixelLayout) -> bool:
    """Whether sample values use the whole range (0..255) rather than 16..235."""
    if layout.kind == "rgb":
        return colour.range != 1
    return colour.range == 2 or (colour.range == 0 and layout.kind == "gray")


@cache
def _matrix(matrix: int) -> tuple[Any, Any]:
    """(RGB to YUV, YUV to RGB), 3×3 float64; Y in 0..1, U and V in -0.5..0.5."""
    if matrix == _GBR:
        forward = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], float)
    elif matrix == _YCGCO:
        forward = np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0, -0.5]])
    else:
        kr, kb = _KR_KB[matrix]
        y = np.array([kr, 1 - kr - kb, kb])
        forward = np.stack([y, (np.array([0, 0, 1]) - y) / (2 * (1 - kb)), (np.array([1, 0, 0]) - y) / (2 * (1 - kr))])
    return forward, np.linalg.inv(forward)


def _luma_scale(frame: Frame) -> tuple[float, float]:
    """(a, b) with value = sample·a + b, which maps black to 0 and white to 1."""
    if is_full_range(frame.colour, frame.layout):
        return 1 / frame.layout.peak, 0.0
    unit = 1 << (frame.layout.depth - 8)
    return 1 / (219 * unit), -16 / 219


def _chroma_scale(frame: Frame) -> tuple[float, float]:
    """(a, b) with value = sample·a + b, which maps chroma to -0.5..0.5 with grey at 0."""
    middle = 1 << (frame.layout.depth - 1)
    if is_full_range(frame.colour, frame.layout):
        return 1 / frame.layout.peak, -middle / frame.layout.peak
    a = 1 / (224 << (frame.layout.depth - 8))
    return a, -middle * a


def _expand(plane: NDArray[Any], scale: tuple[float, float]) -> Array:
    out: Array = np.multiply(plane, np.float32(scale[0]), dtype=np.float32)
    if scale[1]:
        out += np.float32(scale[1])
    return out


def luma(frame: Frame) -> Array:
    """The frame's luma: float32 (H, W), black 0, white 1.

    Limited range is expanded (16..235 to 0..1), so footroom and headroom may lie a
    little outside. For RGB layouts it is BT.709 luma of the values.
    """
    scale = _luma_scale(frame)
    if frame.layout.kind != "rgb":
        return _expand(frame.planes[0], scale)
    green, blue, red = frame.planes[:3]
    out: Array = np.multiply(green, np.float32(0.7152 * scale[0]), dtype=np.float32)
    out += np.multiply(red, np.float32(0.2126 * scale[0]), dtype=np.float32)
    out += np.multiply(blue, np.float32(0.0722 * scale[0]), dtype=np.float32)
    if scale[1]:
        out += np.float32(scale[1])
    return out


def _upsample(plane: Array, size: int, log2: int, centred: bool, axis: int) -> Array:
    """Linear interpolation of chroma to `size` luma positions along one axis."""
    if log2 == 0:
        return plane
    ratio = 1 << log2
    position = (np.arange(size) - ((ratio - 1) / 2 if centred else 0)) / ratio
    position = np.clip(position, 0, plane.shape[axis] - 1)
    low = np.floor(position).astype(np.intp)
    high = np.minimum(low + 1, plane.shape[axis] - 1)
    weight = (position - low).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight
    out: Array = plane.take(high, axis)
    below: Array = plane.take(low, axis)
    out -= below
    out *= weight
    out += below
    return out


def _downsample(plane: Array, log2: int, centred: bool, axis: int) -> Array:
    """Low-pass and decimate chroma along one axis: a box where centred, a triangle where cosited."""
    if log2 == 0:
        return plane
    ratio = 1 << log2
    size = plane.shape[axis]
    taps = np.arange(ratio) if centred else np.arange(-(ratio - 1), ratio)
    weights = np.ones(ratio) / ratio if centred else (ratio - np.abs(taps)) / ratio**2
    start = np.arange(0, size, ratio)
    out: Array | None = None
    for tap, weight in zip(taps, weights, strict=True):
        part: Array = plane.take(np.clip(start + tap, 0, size - 1), axis) * np.float32(weight)
        out = part if out is None else out + part
    assert out is not None
    return out


def to_rgb_float(frame: Frame) -> Array:
    """The picture as RGB in 0..1: float32 (3, H, W); values outside stay outside.

    The frame's own matrix and range are used. Chroma is interpolated linearly from
    its usual place (left, vertically between lines: MPEG-2, H.264, H.265).
    """
    height, width, layout = frame.height, frame.width, frame.layout
    scale = _luma_scale(frame)
    if layout.kind == "rgb":
        return np.stack([_expand(frame.planes[i], scale) for i in (2, 0, 1)])
    y = _expand(frame.planes[0], scale)
    if layout.kind == "gray":
        return np.stack([y, y, y])
    matrix = resolved_matrix(frame.colour, height)
    chroma = scale if matrix == _GBR else _chroma_scale(frame)
    yuv = [y]
    for plane in frame.planes[1:3]:
        part = _upsample(_expand(plane, chroma), width, layout.log2_chroma_w, False, 1)
        yuv.append(_upsample(part, height, layout.log2_chroma_h, True, 0))
    return _mix(_matrix(matrix)[1], yuv)


def from_rgb_float(rgb: NDArray[Any], like: Frame) -> Frame:
    """The frame whose picture is `rgb`, in the layout, colour and time of `like`.

    Args:
        rgb: float (3, H, W), 0..1; values outside are clipped to what the samples hold.
        like: gives layout, tags, time, extra and, if it has one, the opacity plane.

    Raises:
        ValueError: if the shape is not (3, like.height, like.width).
    """
    layout = like.layout
    if rgb.shape != (3, like.height, like.width):
        raise ValueError(f"expected rgb of shape {(3, like.height, like.width)}, got rgb.shape={rgb.shape}")
    source = [np.asarray(channel, dtype=np.float32) for channel in rgb]
    scale = _luma_scale(like)
    if layout.kind == "rgb":
        planes = [_quantise(source[i], scale, like) for i in (1, 2, 0)]
    else:
        matrix = resolved_matrix(like.colour, like.height)
        if layout.kind == "gray" and matrix == _GBR:
            matrix = 1
        yuv = _mix(_matrix(matrix)[0], source)
        planes = [_quantise(yuv[0], scale, like)]
        if layout.kind == "yuv":
            chroma = scale if matrix == _GBR else _chroma_scale(like)
            for part in yuv[1:]:
                part = _downsample(part, layout.log2_chroma_w, False, 1)
                part = _downsample(part, layout.log2_chroma_h, True, 0)
                planes.append(_quantise(part, chroma, like))
    if layout.alpha:
        planes.append(like.planes[-1])
    return like.replace(planes=tuple(planes))


def _mix(matrix: Any, channels: list[Array]) -> Array:
    out = np.empty((3, *channels[0].shape), np.float32)
    for row, target in zip(matrix, out, strict=True):
        np.multiply(channels[0], np.float32(row[0]), out=target)
        for weight, channel in zip(row[1:], channels[1:], strict=True):
            if weight:
                target += channel * np.float32(weight)
    return out


def _quantise(value: Array, scale: tuple[float, float], like: Frame) -> NDArray[Any]:
    out: Array = value - np.float32(scale[1])
    out *= np.float32(1 / scale[0])
    np.rint(out, out=out)
    np.clip(out, 0, like.layout.peak, out=out)
    return out.astype(like.layout.dtype)
