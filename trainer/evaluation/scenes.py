"""Known motion: a textured object moved exactly, to a fraction of a pixel, over a photograph, still or moved, too.

Both are photographs that no network is trained on. The object's outline is a formula, evaluated at
the moved position; its texture is moved by the Fourier shift theorem, and so is a background that
moves, on a picture with a margin that is never seen. Nothing is interpolated between pixels, so the
motion is exact to the 8-bit rounding of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from .pairs import photographs
from .registration import luma

LENS = 0.5  # px; the object's texture is blurred by this much, as by a lens, so that it does not alias
TEXTURE = 10.0  # levels²/px²; an object below this has too little texture to tell where it is
EDGE = 1.5  # px; width of the anti-aliased outline
BACKGROUNDS = ("still", "moving")
FARTHEST = 12  # px; how far a moving background can be followed
FADE = 16  # px; beyond that its margin is faded out, so that the Fourier shift's wrap-around finds nothing to move
APART = np.pi / 3  # rad; least angle between the object's way and a moving background's


@dataclass(frozen=True)
class Scene:
    """One scene. Coordinates are (x, y) pixels; pictures are (H, W, 3) uint8 RGB."""

    background: np.ndarray  # (H, W, 3) float64, 0–255
    spectrum: np.ndarray = field(repr=False)  # (H, W//2+1, 3) complex: rfft2 of the object's texture
    centre: np.ndarray  # (2,)
    radius: float  # mean radius, px
    lobes: np.ndarray  # (L, 3): order, relative amplitude, phase of the outline's waves
    direction: np.ndarray  # (2,) unit vector of the motion
    seed: int
    drift: np.ndarray = field(default_factory=lambda: np.zeros(2))  # (2,) px that the background moves for each of ours
    wide: np.ndarray | None = field(default=None, repr=False)  # rfft2 of a moving background with its margin

    def mask(self, displacement: np.ndarray | float = 0.0) -> np.ndarray:
        """(H, W) float64 coverage 0–1 of the object at ``displacement`` (a vector, or px along direction)."""
        height, width = self.background.shape[:2]
        cx, cy = self.centre + self._vector(displacement)
        y, x = np.mgrid[:height, :width]
        angle = np.arctan2(y - cy, x - cx)
        outline = np.full(angle.shape, self.radius)
        for order, amplitude, phase in self.lobes:
            outline += self.radius * amplitude * np.cos(order * angle + phase)
        t = np.clip((outline - np.hypot(x - cx, y - cy)) / (2 * EDGE) + 0.5, 0, 1)
        return t * t * (3 - 2 * t)

    def render(self, displacement: np.ndarray | float = 0.0, *, rounded: bool = True) -> np.ndarray:
        """The noise-free picture with the object at ``displacement``: uint8, or float64 0–255 unrounded."""
        return self.compose(self._vector(displacement), self.ground(displacement), rounded=rounded)

    def compose(self, own: np.ndarray, ground: np.ndarray, *, rounded: bool = True) -> np.ndarray:
        """The object at ``own`` (x, y) px over a ``ground`` (H, W, 3) that may be anywhere; see :meth:`ground`."""
        texture = fourier_shifted(self.spectrum, self.background.shape[:2], own)
        cover = self.mask(own)[..., None]
        picture = np.clip(texture * cover + ground * (1 - cover), 0, 255)
        return np.rint(picture).astype(np.uint8) if rounded else picture

    def ground(self, displacement: np.ndarray | float = 0.0) -> np.ndarray:
        """(H, W, 3) float64, 0–255: the background alone, where it is when the object is at ``displacement``."""
        way = self.drifted(displacement)
        if self.wide is None or not way.any():
            return self.background
        if np.abs(way).max() > FARTHEST + 1e-6:
            raise ValueError(f"The background can be moved by {FARTHEST} px, not by {np.abs(way).max():g}")
        height, width = self.background.shape[:2]
        margin = FARTHEST + FADE
        moved = fourier_shifted(self.wide, (height + 2 * margin, width + 2 * margin), way)
        return moved[margin:-margin, margin:-margin]

    def drifted(self, displacement: np.ndarray | float) -> np.ndarray:
        """(2,) px by which the background has moved when the object is at ``displacement``; zero where it is still."""
        return float(self._vector(displacement) @ self.direction) * self.drift

    def hidden(self, displacement: np.ndarray | float = 0.0) -> np.ndarray:
        """(H, W) float64, 0–1: where the ground that the object hides at rest is when it is at ``displacement``."""
        return self.mask(self.drifted(displacement))

    def reference(self, noise: float = 0.0) -> np.ndarray:
        """The frame before the motion; ``noise`` is the sensor noise's deviation in 8-bit levels."""
        return self._shot(0.0, noise, 0)

    def frame(self, d: float, noise: float = 0.0) -> np.ndarray:
        """The frame after a motion of ``d`` pixels along ``direction``."""
        return self._shot(d, noise, 1)

    def magnified(self, d: float, alpha: float) -> np.ndarray:
        """The exact magnified frame: the object at ``alpha · d`` pixels, without noise."""
        return self.render(d * alpha)

    def _vector(self, displacement: np.ndarray | float) -> np.ndarray:
        return displacement * self.direction if np.ndim(displacement) == 0 else np.asarray(displacement)

    def _shot(self, d: float, noise: float, index: int) -> np.ndarray:
        if not noise:
            return self.render(d)
        picture = self.render(d, rounded=False)
        # The frame's noise does not depend on d: rows of a table differ by the motion alone.
        grain = np.random.default_rng((self.seed, index)).normal(0, noise, picture.shape)
        return np.clip(np.rint(picture + grain), 0, 255).astype(np.uint8)


def known_motion_scenes(
    count: int,
    size: tuple[int, int] = (288, 288),
    seed: int = 0,
    photos: Sequence[np.ndarray] | None = None,
    background: str = "still",
) -> list[Scene]:
    """``count`` scenes of ``size`` (height, width) pixels from ``photos`` (default: the evaluation's).

    A "moving" ``background`` moves as far as the object does, in another direction; the objects and
    their ways are those of the "still" scenes.
    """
    if background not in BACKGROUNDS:
        raise ValueError(f"Unknown background {background!r}; known: {', '.join(BACKGROUNDS)}")
    photos = photographs() if photos is None else photos
    if len(photos) < 2:
        raise ValueError(f"Scenes need at least 2 photographs, got {len(photos)}")
    return [_scene(size, seed * 100_003 + index, photos, background == "moving") for index in range(count)]


def _scene(size: tuple[int, int], seed: int, photos: Sequence[np.ndarray], moving: bool) -> Scene:
    rng = np.random.default_rng(seed)
    height, width = size
    first, second = rng.choice(len(photos), 2, replace=False)
    background, _ = _patch(photos[first], size, rng)
    radius = rng.uniform(40, 70) * min(size) / 288
    centre = np.array([width, height]) / 2 + rng.uniform(-0.07, 0.07, 2) * min(size)
    orders = np.arange(2, 6)
    lobes = np.stack([orders, rng.uniform(0, 0.25, 4) / orders, rng.uniform(0, 2 * np.pi, 4)], 1)
    texture, measure = _patch(photos[second], size, rng, centre, radius)
    others = iter(rng.permutation([i for i in range(len(photos)) if i not in (first, second)]))
    while measure < TEXTURE and (other := next(others, None)) is not None:
        texture, measure = _patch(photos[other], size, rng, centre, radius)
    if measure < TEXTURE:
        raise ValueError(f"No photograph has texture enough for an object: {measure:.1f} < {TEXTURE}")
    texture = 8 + texture * (239 / 255)  # room for the Fourier shift's overshoots: clipping does not move

    # Outside the object the texture is faded to its mean: the Fourier shift is periodic, and a jump
    # at the picture's border would ring through the object.
    y, x = np.mgrid[:height, :width]
    reach = np.hypot(x - centre[0], y - centre[1])
    inner, outer = 1.5 * radius + 4, min(2.0 * radius + 8, min(size) / 2)
    fade = (0.5 + 0.5 * np.cos(np.pi * np.clip((reach - inner) / max(outer - inner, 1), 0, 1)))[..., None]
    mean = (texture * fade).sum((0, 1)) / fade.sum()
    texture = mean + (texture - mean) * fade
    angle = rng.uniform(0, 2 * np.pi)
    drift, wide = np.zeros(2), None
    if moving:
        rng = np.random.default_rng((seed, 1))  # of its own: the rest of the scene is as over still ground
        turn = angle + rng.uniform(APART, 2 * np.pi - APART)
        drift = np.array([np.cos(turn), np.sin(turn)])
        wide = _wide(photos[first], size, rng)
        margin = FARTHEST + FADE
        whole = fourier_shifted(wide, (height + 2 * margin, width + 2 * margin), np.zeros(2))
        background = whole[margin:-margin, margin:-margin]
    return Scene(
        background=background,
        spectrum=_spectrum(texture),
        centre=centre,
        radius=float(radius),
        lobes=lobes,
        direction=np.array([np.cos(angle), np.sin(angle)]),
        seed=seed,
        drift=drift,
        wide=wide,
    )


def _wide(photo: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Spectrum of a background for ``size`` pixels with a margin all round, whose rim is faded to the mean."""
    margin = FARTHEST + FADE
    height, width = size[0] + 2 * margin, size[1] + 2 * margin
    picture, _ = _patch(photo, (height, width), rng)
    picture = 8 + picture * (239 / 255)  # room for the Fourier shift's overshoots
    y, x = np.mgrid[:height, :width]
    inward = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    fade = (0.5 - 0.5 * np.cos(np.pi * np.clip(inward / FADE, 0, 1)))[..., None]
    mean = picture.mean((0, 1))
    return _spectrum(mean + (picture - mean) * fade)


def _spectrum(picture: np.ndarray) -> np.ndarray:
    """rfft2 of a picture (H, W, 3), seen through the lens."""
    height, width = picture.shape[:2]
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    lens = np.exp(-2 * (np.pi * LENS) ** 2 * (fx**2 + fy**2))
    lens *= (np.abs(fy) < 0.5) & (fx < 0.5)  # the Nyquist wave has no direction to move in
    return np.fft.rfft2(picture, axes=(0, 1)) * lens[..., None]


def fourier_shifted(spectrum: np.ndarray, size: tuple[int, int], way: np.ndarray) -> np.ndarray:
    """The picture (H, W, C) float64 of its `rfft2`, moved by ``way`` (x, y) px by the Fourier shift theorem."""
    height, width = size
    wave = np.fft.rfftfreq(width)[None] * way[0] + np.fft.fftfreq(height)[:, None] * way[1]
    return np.fft.irfft2(spectrum * np.exp(-2j * np.pi * wave)[..., None], s=(height, width), axes=(0, 1))


def _patch(
    photo: np.ndarray,
    size: tuple[int, int],
    rng: np.random.Generator,
    centre: np.ndarray | None = None,
    radius: float = 0.0,
) -> tuple[np.ndarray, float]:
    """The best textured of eight random crops, (H, W, 3) float64, and its texture in levels²/px².

    Texture is the smaller eigenvalue of the luma's structure tensor, over the disc ``centre``,
    ``radius`` if given: it is small where an edge leaves the motion along it unseen.
    """
    height, width = size
    scale = max(height / photo.shape[0], width / photo.shape[1], rng.uniform(0.5, 0.8))
    target = (max(width, round(photo.shape[1] * scale)), max(height, round(photo.shape[0] * scale)))
    photo = cv2.resize(photo, target, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    inside: np.ndarray | slice = slice(None)
    if centre is not None:
        y, x = np.mgrid[:height, :width]
        inside = np.hypot(x - centre[0], y - centre[1]) < radius
    crops = []
    for _ in range(8):
        top = int(rng.integers(photo.shape[0] - height + 1))
        left = int(rng.integers(photo.shape[1] - width + 1))
        crop = photo[top : top + height, left : left + width]
        gy, gx = (slope[inside] for slope in np.gradient(luma(crop)))
        xx, yy, xy = np.mean(gx**2), np.mean(gy**2), np.mean(gx * gy)
        crops.append((float((xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)), crop))
    texture, crop = max(crops, key=lambda item: item[0])
    return crop.astype(np.float64), texture
