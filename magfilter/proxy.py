"""A frame as the network sees it: luma or RGB, reduced, padded."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from magfilter.media.colour import luma, to_rgb_float
from magfilter.media.frame import Frame
from magfilter.networks import Descriptor

__all__ = ["block_means", "block_side", "network_image"]

Array = NDArray[np.float32]


def block_side(height: int, width: int, megapixels: float) -> int:
    """Side, px, of the blocks of pixels to average so that at most so many megapixels are left; 0 is no limit."""
    return max(1, math.ceil(math.sqrt(height * width / (megapixels * 1e6)) - 1e-9)) if megapixels else 1


def network_image(frame: Frame, descriptor: Descriptor, k: int, light: Array | None = None) -> Array:
    """(C, H, W) float32 in 0..1: blocks of k × k averaged, sides padded to the network's multiple by the border.

    Args:
        light: the frame's luma (height, width), where the caller has it.
    """
    light = luma(frame) if light is None and descriptor.channels == 1 else light
    image = to_rgb_float(frame) if light is None or descriptor.channels == 3 else light[None]
    if k > 1:
        image = block_means(image, k)
    _, height, width = image.shape
    m = descriptor.pad_multiple
    rows, cols = -height % m, -width % m
    if rows or cols:
        image = np.pad(image, ((0, 0), (0, rows), (0, cols)), mode="edge")
    return np.ascontiguousarray(image, np.float32)


def block_means(image: Array, k: int) -> Array:
    """Means of k × k blocks of an image (C, H, W); the border is repeated where the size is no multiple of k."""
    height, width = image.shape[1:]
    rows, cols = -height % k, -width % k
    if rows or cols:
        image = np.pad(image, ((0, 0), (0, rows), (0, cols)), mode="edge")
    # Summing strided views is several times faster than a reduction over short axes.
    tall = image[:, ::k].copy()
    for n in range(1, k):
        tall += image[:, n::k]
    out = tall[:, :, ::k].copy()
    for n in range(1, k):
        out += tall[:, :, n::k]
    out *= np.float32(1 / (k * k))
    return out
