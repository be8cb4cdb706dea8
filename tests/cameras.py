"""Generated clips of two discs that vibrate on ground that the camera turns, zooms or shifts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from vibrations import RATE, write

SIZE = (160, 256)
HERTZ, CAMERA = 4.37, 2.1
SWING = 0.2
RADIUS = 30
CENTRES = [(70, 80), (180, 80)]
ROIS = ["36,46,68,68", "146,46,68,68"]


def waves(seed: int) -> np.ndarray:
    """(n, 4) of a texture that is a formula, and so can be turned: kx, ky, phase, amplitude."""
    lot = np.random.default_rng(seed)
    length = np.exp(lot.uniform(np.log(6), np.log(40), 30))
    way, phase = lot.uniform(0, 2 * np.pi, (2, 30))
    return np.stack([2 * np.pi / length * np.cos(way), 2 * np.pi / length * np.sin(way), phase, np.full(30, 7.0)], 1)


def texture(seed: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 128 + sum(a * np.cos(kx * x + ky * y + phase) for kx, ky, phase, a in waves(seed))


def swing(size: float, hertz: float, number: int) -> float:
    return size * math.sin(2 * math.pi * hertz * number / RATE)


def film(path: Path, degrees: float = 0.0, zoom: float = 0.0, pan: float = 0.0, frames: int = 45) -> str:
    """Discs that swing by SWING px at HERTZ on ground that the camera turns, zooms and shifts at CAMERA."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    grain = np.random.default_rng(1)
    pictures = []
    for n in range(frames):
        turn, scale = math.radians(swing(degrees, CAMERA, n)), 1 + swing(zoom, CAMERA, n)
        px, py = x - SIZE[1] / 2 - swing(pan, CAMERA, n), y - SIZE[0] / 2
        sx = (math.cos(turn) * px + math.sin(turn) * py) / scale + SIZE[1] / 2
        sy = (-math.sin(turn) * px + math.cos(turn) * py) / scale + SIZE[0] / 2
        by = swing(SWING, HERTZ, n)
        picture = texture(9, sx, sy)
        for seed, (cx, cy) in enumerate(CENTRES, 4):
            cover = np.clip(RADIUS + 0.5 - np.hypot(sx - cx - by, sy - cy), 0, 1)
            picture = picture * (1 - cover) + texture(seed, sx - by, sy) * cover
        pictures.append(np.clip(np.rint(picture + grain.normal(0, 1, SIZE)), 0, 255).astype(np.uint8))
    return write(path, pictures)
