"""Generated clips of textured discs that vibrate by a known fraction of a pixel, and the measurement of such motion.

Textures are moved by the Fourier shift theorem and outlines are formulas, so that the motion is exact to the 8-bit
rounding of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from magfilter import Frame, VideoReader
from trainer.evaluation.registration import register

SIZE = (128, 192)
RATE = 30
Way = Callable[[float], tuple[float, float]]  # seconds → (x, y) px from where it is in the first frame


def still(_: float) -> tuple[float, float]:
    return 0.0, 0.0


def texture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """rfft2 of a periodic texture of mean 128 and deviation 40, like a photograph's, without what aliases."""
    fy, fx = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    frequency = np.hypot(fy, fx)
    spectrum = np.fft.rfft2(np.random.default_rng(seed).normal(size=size))
    spectrum *= np.exp(-2 * (np.pi * 0.8 * frequency) ** 2) / np.maximum(frequency, 0.03) * (frequency < 0.45)
    spectrum[0, 0] = 0
    picture = np.fft.irfft2(spectrum, s=size)
    return np.fft.rfft2(128 + picture * (40 / picture.std()))


def moved(spectrum: np.ndarray, size: tuple[int, int], way: tuple[float, float]) -> np.ndarray:
    wave = np.fft.rfftfreq(size[1])[None] * way[0] + np.fft.fftfreq(size[0])[:, None] * way[1]
    return np.fft.irfft2(spectrum * np.exp(-2j * np.pi * wave), s=size)


@dataclass
class Disc:
    """A textured disc: centre (x, y) px, radius px, and where it goes."""

    centre: tuple[float, float]
    way: Way
    radius: float = 27.0

    def cover(self, way: tuple[float, float]) -> np.ndarray:
        y, x = np.mgrid[: SIZE[0], : SIZE[1]]
        off = np.hypot(x - self.centre[0] - way[0], y - self.centre[1] - way[1])
        t = np.clip((self.radius - off) / 3 + 0.5, 0, 1)
        return t * t * (3 - 2 * t)

    def displacement(self, first: np.ndarray, frame: np.ndarray, guess: tuple[float, float] = (0, 0)) -> np.ndarray:
        """(x, y) px from `first` to `frame`, (H, W) each, by registration of the disc's inside; no network, no flow."""
        return register(first, frame, Disc(self.centre, still, self.radius - 5).cover((0, 0)) > 0.5, guess).vector


def render(discs: Sequence[Disc], time: float, ground: Way = still, seed: int = 0) -> np.ndarray:
    """The picture (H, W) uint8 at `time` seconds; another seed is another ground and other discs."""
    picture = moved(texture(seed, SIZE), SIZE, ground(time))
    for number, disc in enumerate(discs, seed + 1):
        cover = disc.cover(disc.way(time))
        picture += (moved(texture(number, SIZE), SIZE, disc.way(time)) - picture) * cover
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def write(path: Path, pictures: Sequence[np.ndarray], rate: int = RATE) -> str:
    """A lossless clip of pictures (H, W) uint8."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=rate)
        video.height, video.width = pictures[0].shape
        video.pix_fmt = "gray"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "gray")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return str(path)


def encode(
    path: Path,
    pictures: Sequence[np.ndarray],
    codec: str,
    pix_fmt: str,
    *,
    pts: Sequence[int] | None = None,
    rotation: int = 0,
    **options: str,
) -> str:
    """A clip of pictures (H, W): uint8, or uint16 for 10-bit formats; pts in ms."""
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=RATE, **({"time_base": Fraction(1, 1000)} if pts else {}))
        video.height, video.width = pictures[0].shape
        video.pix_fmt = pix_fmt
        video.codec_context.options = options
        if rotation:
            video.set_display_rotation(rotation)
        for number, picture in enumerate(pictures):
            deep = picture.dtype == np.uint16
            frame = av.VideoFrame.from_ndarray(picture, "gray16le" if deep else "gray").reformat(format=pix_fmt)
            frame.pts = pts[number] if pts else number
            frame.time_base = Fraction(1, 1000) if pts else Fraction(1, RATE)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return str(path)


def read(path: Path | str) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [item.planes[0].astype(np.float32) for item in reader if isinstance(item, Frame)]


def amplitude(track: np.ndarray, hertz: float, rate: float = RATE) -> float:
    """Length of the motion at `hertz` in a track (n, 2) px, by least squares beside an offset and a drift."""
    time = np.arange(len(track)) / rate
    basis = np.stack(
        [np.sin(2 * np.pi * hertz * time), np.cos(2 * np.pi * hertz * time), np.ones(len(time)), time, time**2], 1
    )
    found = np.linalg.lstsq(basis, track, rcond=None)[0]
    return float(np.linalg.norm(found[:2]))
