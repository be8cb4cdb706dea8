"""Thin parallel things, drawn: strings, cables, bars, nets. Photographs and cut-outs show hardly any.

A magnifier meets them often (a guitar, a bridge, a fence), and a network that never saw one takes the
motion of a string for noise on the still ground between two of them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainer.textures import CUTOUT, LUMA

__all__ = ["draw_wires"]

MARGIN = 8  # px, transparent, as around every cut-out
FINE = 4  # samples a pixel across a wire, for a smooth edge


def _across(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Opacity and shade (CUTOUT,) across a set of parallel wires, shade 0..1."""
    side = CUTOUT * FINE
    at = (np.arange(side) + 0.5) / FINE  # px
    opacity, shade = np.zeros(side), np.zeros(side)
    count = int(rng.integers(1, 9))
    room = (CUTOUT - 2 * MARGIN) / count
    width = min(float(np.exp(rng.uniform(np.log(1.5), np.log(12)))), 0.7 * room)
    one_tone, tone = rng.random() < 0.6, rng.random()
    depth = rng.uniform(-0.5, 0.5)  # of a round wire's shading; flat ones have about none
    for k in range(count):
        centre = MARGIN + (k + 0.5 + rng.uniform(-0.25, 0.25) * (rng.random() < 0.5)) * room
        half = 0.5 * width * float(np.exp(rng.normal(0, 0.25)))
        inside = np.abs(at - centre) < half
        ridge = 1 - ((at - centre) / half) ** 2
        opacity[inside] = 1
        shade[inside] = ((tone if one_tone else rng.random()) + depth * ridge)[inside]
    opacity, weighted = ((plane.reshape(CUTOUT, FINE)).mean(1) for plane in (opacity, opacity * shade))
    return opacity, np.clip(weighted / np.maximum(opacity, 1e-6), 0, 1)


def _set_of_wires(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Opacity and shade (CUTOUT, CUTOUT) of one set, along x."""
    opacity, shade = (np.repeat(line[:, None], CUTOUT, 1) for line in _across(rng))
    if rng.random() < 0.4:  # wound, like a bass string, or beaded
        period, lean = rng.uniform(3, 24), rng.uniform(-1, 1)
        y, x = np.mgrid[:CUTOUT, :CUTOUT]
        shade = np.clip(shade + rng.uniform(0.05, 0.3) * np.sin(2 * np.pi * (x + lean * y) / period), 0, 1)
    ends = np.zeros(CUTOUT)
    ends[MARGIN:-MARGIN] = 1
    return opacity * ends, shade


def draw_wires(count: int, seed: int = 0, channels: int = 1) -> Tensor:
    """Cut-outs of wires and nets, like those of `trainer.textures.load_cutouts`.

    Args:
        count: how many; 0 gives none. seed: the same one draws the same.
        channels: 1 for luma, 3 for RGB.

    Returns:
        (count, channels + 1, CUTOUT, CUTOUT) uint8, opacity last.
    """
    rng = np.random.default_rng(seed)
    drawn = np.zeros((count, channels + 1, CUTOUT, CUTOUT), np.uint8)
    for item in drawn:
        opacity, shade = _set_of_wires(rng)
        if rng.random() < 0.15:  # a net: a second set across the first
            other, behind = (plane.T for plane in _set_of_wires(rng))
            shade = shade * opacity + behind * (1 - opacity)
            opacity = np.maximum(opacity, other)
        colour = 0.3 + 0.7 * rng.random(3)
        rgb = shade[None] * (colour if rng.random() < 0.5 else np.ones(3))[:, None, None]
        planes = np.tensordot(np.array(LUMA), rgb, 1)[None] if channels == 1 else rgb
        item[:channels], item[channels] = np.rint(planes * 255), np.rint(opacity * 255)
    return torch.from_numpy(drawn)
