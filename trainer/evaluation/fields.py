"""Known motion beyond translation: a disc that turns, and a picture that flows, both exact at every magnification.

The point p of the reference lies at p + a·f(p) in the picture magnified a times (paper Eq. 2): f is a formula,
p is found from it by iteration, and the texture is looked up at p in a photograph kept at three times the
resolution, where cubic interpolation errs by less than the rounding to 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from .pairs import photographs

__all__ = ["KINDS", "FieldScene", "field_scenes"]

KINDS = ("rotation", "nonrigid")
FINER = 3  # the texture's samples a pixel, in each direction
EDGE = 1.5  # px, width of the disc's soft rim
WAVES = 3
LENGTHS = (90.0, 200.0)  # px of the waves; at 10 px of magnified motion they stay one to one


@dataclass(frozen=True)
class FieldScene:
    """One scene of side S; coordinates are (x, y) px.

    ``waves`` (n, 5) holds wave vector x, y, phase and the unit amplitude x, y of a non-rigid field; a turning
    disc has none.
    """

    texture: np.ndarray = field(repr=False)  # (3·S', 3·S', 3) float32, of the moving layer; S' = S + 2·margin
    ground: np.ndarray | None = field(repr=False)  # (S, S, 3) float32 behind a disc; None: the layer is all there is
    side: int
    centre: np.ndarray
    radius: float
    waves: np.ndarray
    seed: int

    @property
    def margin(self) -> int:
        """px of texture beyond the picture on each side."""
        return (self.texture.shape[0] // FINER - self.side) // 2

    def motion(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f at points: its largest length over the moving layer is 1 px."""
        if not len(self.waves):  # to first order of the angle: lengths grow by its square alone
            return -(y - self.centre[1]) / self.radius, (x - self.centre[0]) / self.radius
        u, v = np.zeros_like(x), np.zeros_like(y)
        for kx, ky, phase, ax, ay in self.waves:
            swing = np.sin(kx * x + ky * y + phase)
            u, v = u + ax * swing, v + ay * swing
        return u, v

    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        y, x = np.mgrid[: self.side, : self.side].astype(np.float64)
        return x, y

    def inside(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Coverage 0…1 of the moving layer at points of the reference."""
        if self.ground is None:
            return np.ones_like(x)
        t = np.clip((self.radius - np.hypot(x - self.centre[0], y - self.centre[1])) / (2 * EDGE) + 0.5, 0, 1)
        return t * t * (3 - 2 * t)

    def flow(self) -> np.ndarray:
        """(S, S, 2) px: the exact flow, by a motion of 1 px, from the reference; zero on still ground."""
        x, y = self._grid()
        return np.stack(self.motion(x, y), -1) * (self.inside(x, y) > 0.5)[..., None]

    def render(self, amount: float, noise: float = 0.0, shot: int = 0) -> np.ndarray:
        """The picture (S, S, 3) uint8 after a motion of ``amount`` px at its largest.

        ``noise`` is the sensor noise's deviation in 8-bit levels, ``shot`` tells two pictures' noise apart.
        """
        x0, y0 = self._grid()
        x, y = x0, y0
        for _ in range(60 if amount else 0):  # p ← x − a·f(p), half a step at a time
            u, v = self.motion(x, y)
            x, y = 0.5 * (x + x0 - amount * u), 0.5 * (y + y0 - amount * v)
        at = [((p + self.margin + 0.5) * FINER - 0.5).astype(np.float32) for p in (x, y)]
        picture = cv2.remap(self.texture, at[0], at[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        if self.ground is not None:
            cover = self.inside(x, y)[..., None]
            picture = picture * cover + self.ground * (1 - cover)
        if noise:
            picture = picture + np.random.default_rng((self.seed, shot)).normal(0, noise, picture.shape)
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)

    def magnified(self, d: float, alpha: float) -> np.ndarray:
        """The exact magnified frame after a motion of ``d`` px, without noise."""
        return self.render(d * alpha)


def _texture(photo: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A crop for ``side`` px at FINER times the resolution, without detail that a pixel could not hold."""
    height, width = photo.shape[:2]
    scale = max(side / min(height, width), float(rng.uniform(0.6, 0.9)))
    size = (max(side, round(width * scale)), max(side, round(height * scale)))
    photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (int(rng.integers(n - side + 1)) for n in size)
    crop = photo[top : top + side, left : left + side].astype(np.float32)
    fine = cv2.resize(crop, (side * FINER, side * FINER), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(fine, (0, 0), 0.55 * FINER)


def field_scenes(
    kind: str, count: int, side: int = 288, seed: int = 0, photos: Sequence[np.ndarray] | None = None
) -> list[FieldScene]:
    """``count`` scenes of ``kind`` "rotation" or "nonrigid" from ``photos`` (default: the evaluation's).

    Raises:
        ValueError: if the kind is unknown, or there are fewer than two photographs.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown kind of motion {kind!r}; known: {', '.join(KINDS)}")
    photos = photographs() if photos is None else photos
    if len(photos) < 2:
        raise ValueError(f"Scenes need at least 2 photographs, got {len(photos)}")
    scenes = []
    for index in range(count):
        rng = np.random.default_rng((seed, KINDS.index(kind), index))
        first, second = rng.choice(len(photos), 2, replace=False)
        margin = 24
        texture = _texture(photos[first], side + 2 * margin, rng)
        ground, waves = None, np.zeros((0, 5))
        if kind == "rotation":
            fine = _texture(photos[second], side, rng)
            ground = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA)
        else:
            bearing, way = rng.uniform(0, 2 * np.pi, (2, WAVES))
            k = 2 * np.pi / rng.uniform(*LENGTHS, WAVES)
            share = rng.uniform(0.5, 1, WAVES)
            share /= share.sum()  # so that 1 px bounds their sum
            waves = np.stack(
                [k * np.cos(bearing), k * np.sin(bearing), rng.uniform(0, 2 * np.pi, WAVES), share * np.cos(way),
                 share * np.sin(way)], 1,
            )  # fmt: skip
        centre = side / 2 + rng.uniform(-0.08, 0.08, 2) * side
        scenes.append(FieldScene(texture, ground, side, centre, float(rng.uniform(0.2, 0.3)) * side, waves, index))
    return scenes
