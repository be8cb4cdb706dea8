"""A frame as the network sees it: luma or RGB, reduced, padded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magfilter.blocks import reduced
from magfilter.media.colour import luma, to_rgb_float
from magfilter.media.frame import Frame
from magfilter.networks import Descriptor

__all__ = ["network_image"]

Array = NDArray[np.float32]


def network_image(frame: Frame, descriptor: Descriptor, k: int, light: Array | None = None) -> Array:
    """(C, H, W) float32 in 0..1: at a k-th of the resolution, sides padded to the network's multiple by the border.

    Args:
        light: the frame's luma (height, width), where the caller has it.
    """
    light = luma(frame) if light is None and descriptor.channels == 1 else light
    image = to_rgb_float(frame) if light is None or descriptor.channels == 3 else light[None]
    if k > 1:
        image = reduced(image, k)
    _, height, width = image.shape
    m = descriptor.pad_multiple
    rows, cols = -height % m, -width % m
    if rows or cols:
        image = np.pad(image, ((0, 0), (0, rows), (0, cols)), mode="edge")
    return np.ascontiguousarray(image, np.float32)
