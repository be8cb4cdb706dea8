"""A demonstration clip made from nothing: a clamped steel beam that swings by a fraction of a pixel.

``python -m magfilter.demo demo.mp4`` writes a clip in which nothing seems to move. Magnified, the
beam swings in its first bending mode. Every picture is sampled from formulas, eight samples a pixel,
so the motion is exact where a resampled photograph would jitter. A quiet tone is the sound
track: it shows that a filter leaves the sound alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import click
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from magfilter.errors import MagfilterError, OptionError, OutputError

Array = NDArray[np.float64]

ACROSS, DOWN = 2, 4  # samples a pixel; finer down, the way the beam moves
SOUND_RATE = 48_000  # Hz
BT709 = 1  # matrix, primaries and transfer alike (ITU-T H.273)
LIMITED = ColorRange.MPEG
# The clamp's parts at 360 rows: left, right, top, bottom.
JAWS = ((34, 66, 60, 318), (20, 96, 118, 158), (20, 96, 178, 218))
# First root of cos(β)·cosh(β) = −1 and the mode's weight (Blevins, Formulas for Natural Frequency
# and Mode Shape, 1979, clamped–free beam).
BETA, SIGMA = 1.87510407, 0.734095514


def mode_shape(s: Array) -> Array:
    """First bending mode of a cantilever at ``s`` (0 at the clamp, 1 at the tip); 0 to 1."""
    s = np.clip(s, 0.0, None)
    b = BETA * s
    return np.asarray((np.cosh(b) - np.cos(b) - SIGMA * (np.sinh(b) - np.sin(b))) / 2)


def _lattice(seed: int, rows: int = 64, columns: int = 64) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, columns))


def _value_noise(x: Array, y: Array, lattice: Array) -> Array:
    """Smooth noise in −1…1 at any real (x, y), with period ``lattice.shape``."""
    column, row = np.floor(x), np.floor(y)
    u, v = x - column, y - row
    u, v = (t * t * t * (t * (6 * t - 15) + 10) for t in (u, v))
    rows, columns = lattice.shape
    i0, j0 = row.astype(np.intp) % rows, column.astype(np.intp) % columns
    i1, j1 = (i0 + 1) % rows, (j0 + 1) % columns
    top = lattice[i0, j0] * (1 - u) + lattice[i0, j1] * u
    bottom = lattice[i1, j0] * (1 - u) + lattice[i1, j1] * u
    return np.asarray(top * (1 - v) + bottom * v)


def _inside(distance: Array, edge: float = 1.0) -> Array:
    """Coverage 0–1 of a shape from the signed distance to its outline in pixels (negative inside)."""
    t = np.clip(0.5 - distance / (2 * edge), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _box(x: Array, y: Array, left: float, right: float, top: float, bottom: float, corner: float) -> Array:
    """Signed distance in pixels to a box with round corners."""
    dx = np.abs(x - (left + right) / 2) - (right - left) / 2 + corner
    dy = np.abs(y - (top + bottom) / 2) - (bottom - top) / 2 + corner
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return np.asarray(outside + np.minimum(np.maximum(dx, dy), 0) - corner)


def _over(under: Array, cover: Array, colour: Array) -> Array:
    return np.asarray(under + cover[..., None] * (colour - under))


def _tint(shade: Array, rgb: tuple[float, float, float]) -> Array:
    return np.asarray(shade[..., None] * np.array(rgb))


@dataclass(frozen=True)
class BeamScene:
    """The clip's pictures. Lengths are pixels; the design is for 360 rows and scales with the height."""

    size: tuple[int, int] = (640, 360)  # width, height
    amplitude: float = 0.3  # px: the tip swings by ±amplitude
    frequency: float = 3.0  # Hz
    noise: float = 1.0 / 255  # standard deviation of the sensor noise, of full scale
    seed: int = 0

    @property
    def _unit(self) -> float:
        """One design pixel in pixels."""
        return self.size[1] / 360

    @property
    def clamp(self) -> float:
        """Column where the beam leaves the clamp."""
        return 96 * self._unit

    @property
    def tip(self) -> tuple[float, float]:
        """(x, y) of the middle of the beam's free end at rest."""
        return self.size[0] - 84 * self._unit, 168 * self._unit

    @property
    def half_height(self) -> float:
        """Half the beam's height."""
        return 17 * self._unit

    def displacement(self, x: Array, seconds: float) -> Array:
        """Vertical displacement in pixels (down positive) of the beam at columns ``x``."""
        s = (x - self.clamp) / (self.tip[0] - self.clamp)
        swing = self.amplitude * np.sin(2 * np.pi * self.frequency * seconds)
        return np.asarray(swing * mode_shape(s))

    def clean(self, seconds: float) -> Array:
        """(H, W, 3) RGB in 0–1 at ``seconds``, before noise and rounding."""
        picture = self._still.copy()
        top, bottom = self._rows
        picture[top:bottom] = _shrink(self._swinging(seconds))
        return picture

    def frame(self, seconds: float, index: int = 0) -> Array:
        """(H, W, 3) RGB in 0–1 at ``seconds``, with the noise of frame ``index``."""
        grain = np.random.default_rng((self.seed, index)).normal(0, 1, (self.size[1], self.size[0], 3))
        return np.clip(self.clean(seconds) + self.noise * grain, 0, 1)

    @property
    def _rows(self) -> tuple[int, int]:
        """Rows that anything moving, the shadow included, can touch."""
        reach = self.half_height + abs(self.amplitude) + 4
        top = int(self.tip[1] - reach - 8 * self._unit)
        bottom = int(np.ceil(self.tip[1] + reach + 46 * self._unit))
        return max(top, 0), min(bottom, self.size[1])

    def _grid(self, top: int, bottom: int) -> tuple[Array, Array]:
        """(x, y) of the samples of rows top … bottom; pixel centres are at whole numbers."""
        x = (np.arange(self.size[0] * ACROSS) + 0.5) / ACROSS - 0.5
        y = (np.arange(top * DOWN, bottom * DOWN) + 0.5) / DOWN - 0.5
        return np.broadcast_to(x, (len(y), len(x))), np.broadcast_to(y[:, None], (len(y), len(x)))

    @cached_property
    def _still(self) -> Array:
        """The whole picture without the beam, (H, W, 3)."""
        strips = range(0, self.size[1], 32)  # in strips: eight samples a pixel take memory
        parts = []
        for top in strips:
            x, y = self._grid(top, min(top + 32, self.size[1]))
            parts.append(_shrink(self._front(x, y, self._wall(x, y))))
        return np.concatenate(parts)

    def _wall(self, x: Array, y: Array) -> Array:
        """Plaster in warm light that falls off to the right, and a table's edge below."""
        u = self._unit
        x, y = x / u, y / u
        grain = sum(
            _value_noise(x / step + 7.3 * k, y / step + 3.1 * k, _lattice(self.seed * 16 + k)) * weight
            for k, (step, weight) in enumerate(((29.0, 0.5), (11.0, 0.45), (4.7, 0.5), (2.3, 0.4)))
        )
        width = self.size[0] / u
        light = 1.08 - 0.42 * np.hypot((x - 0.32 * width) / width, (y - 96) / 400)
        wall = _tint(light * (0.66 + 0.055 * np.asarray(grain)), (0.86, 0.93, 1.0))
        fibres = _value_noise(x / 19, y / 1.9, _lattice(self.seed * 16 + 5))
        rings = _value_noise(x / 90, y / 9 + 0.01 * x, _lattice(self.seed * 16 + 6))
        board = _tint(light * (0.56 + 0.07 * fibres + 0.10 * rings - 0.0009 * (y - 292)), (1.0, 0.74, 0.50))
        table = _inside((292 - y) * u)
        edge = np.exp(-(((y - 289) / 5) ** 2))
        return _over(wall * (1 - 0.30 * edge[..., None]), table, board)

    def _front(self, x: Array, y: Array, picture: Array) -> Array:
        """The clamp, in front of the beam: two dark jaws on a stand, with bolts."""
        u = self._unit
        x, y = x / u, y / u
        metal = 0.25 + 0.035 * _value_noise(x / 2.1, y / 13, _lattice(self.seed * 16 + 7))
        for left, right, top, bottom in JAWS:
            shadow = np.exp(-np.maximum(_box(x - 5, y - 8, left, right, top, bottom, 6), 0) / 7)
            picture = picture * (1 - 0.35 * shadow[..., None])
        for left, right, top, bottom in JAWS:
            distance = _box(x, y, left, right, top, bottom, 5) * u
            lit = np.clip(2 * ((top + bottom) / 2 - y) / (bottom - top), -0.5, 1)
            bevel = 0.17 * np.clip(1 + distance / (4 * u), 0, 1) * lit
            picture = _over(picture, _inside(distance), _tint(metal + bevel, (0.90, 0.96, 1.04)))
        for cx, cy in ((82, 138), (82, 198), (50, 80), (50, 290)):
            reach = np.hypot(x - cx, y - cy)
            lit = 0.52 - 0.02 * (x - cx + y - cy)
            picture = _over(picture, _inside((reach - 8) * u), _tint(lit, (1.0, 0.94, 0.82)))
            slot = _box(x - cx, y - cy, -5.5, 5.5, -1.1, 1.1, 0.8)
            picture = _over(picture, _inside(slot * u), _tint(np.full_like(x, 0.13), (1.0, 1.0, 1.0)))
        return picture

    def _swinging(self, seconds: float) -> Array:
        """Samples of the moving rows: the beam and its shadow over the wall, the clamp in front."""
        x, y = self._grid(*self._rows)
        v = y - self.displacement(x[0], seconds)  # the beam's own coordinate: where the sample was at rest
        below = y - self.displacement(x[0] - 9 * self._unit, seconds)
        wall, gain, offset = self._layers
        picture = wall * (1 - 0.38 * self._shadow(x, below)[..., None])
        reach = self.half_height + abs(self.amplitude) + 2
        rows = slice(*np.searchsorted(y[:, 0], (self.tip[1] - reach, self.tip[1] + reach)))
        cover, colour = self._beam(x[rows], v[rows])
        picture[rows] = _over(picture[rows], cover, colour)
        return np.asarray(gain * picture + offset)

    def _shadow(self, x: Array, v: Array) -> Array:
        u, half = self._unit, self.half_height
        distance = _box(x, v, 0, self.tip[0] + 9 * u, self.tip[1] - half + 20 * u, self.tip[1] + half + 20 * u, 3 * u)
        return np.asarray(1 / (1 + np.exp(np.clip(distance / (2.6 * u), -30, 30))))

    def _beam(self, x: Array, v: Array) -> tuple[Array, Array]:
        """Coverage and colour of the beam: a brushed steel rule with ticks, a red tip and a hole."""
        u, half = self._unit, self.half_height
        end, middle = self.tip
        cover = _inside(_box(x, v, -40 * u, end, middle - half, middle + half, 3 * u))
        hole = np.hypot(x - (end - 15 * u), v - middle) - 5 * u
        cover = cover * (1 - _inside(hole))
        brushed = _value_noise(x / (17 * u), v / (1.5 * u), _lattice(self.seed * 16 + 8))
        spots = _value_noise(x / (5.3 * u), v / (4.1 * u), _lattice(self.seed * 16 + 9))
        across = (v - middle) / half
        steel = 0.72 + 0.05 * brushed + 0.045 * spots - 0.10 * across - 0.06 * across**3
        colour = _tint(steel, (0.96, 0.99, 1.0))
        pitch = 8 * u
        number = np.round((x - self.clamp) / pitch)
        aside = np.abs(x - self.clamp - number * pitch)
        length = np.where(number % 10 == 0, 15.0, np.where(number % 5 == 0, 11.0, 7.0)) * u
        mark = _inside(aside - 0.8 * u) * _inside(v - (middle - half + length)) * (number >= 1)
        colour = _over(colour, mark * 0.85 * _inside(x - (end - 34 * u)), _tint(np.full_like(x, 0.12), (1, 1, 1)))
        paint = _inside(end - 30 * u - x)
        red = _tint(0.74 + 0.06 * spots + 0.04 * brushed - 0.08 * across, (1.0, 0.30, 0.22))
        pale = _tint(0.84 + 0.05 * spots + 0.03 * brushed - 0.08 * across, (1.0, 0.97, 0.90))
        # Slanted stripes, so far apart that a magnified swing is not mistaken for the next stripe.
        phase = (x - end + 15 * u + v - middle) / (28 * u)
        stripe = _inside((np.abs(phase - np.round(phase)) - 0.25) * 28 * u / np.sqrt(2))
        red = _over(red, stripe, pale)
        return cover, _over(colour, paint, red)

    @cached_property
    def _layers(self) -> tuple[Array, Array, Array]:
        """Samples of the moving rows: the wall, and the clamp as (gain, offset) of what is behind it."""
        x, y = self._grid(*self._rows)
        black, white = (self._front(x, y, np.full((*x.shape, 3), level)) for level in (0.0, 1.0))
        return self._wall(x, y), white - black, black


def _shrink(samples: Array) -> Array:
    """Mean over each pixel's samples."""
    height, width = samples.shape[0] // DOWN, samples.shape[1] // ACROSS
    return np.asarray(samples.reshape(height, DOWN, width, ACROSS, 3).mean((1, 3)))


def to_yuv420(picture: Array) -> NDArray[np.uint8]:
    """(H, W, 3) RGB in 0–1 to BT.709, limited range, 8 bit: (H·3/2, W) planes as av's ``yuv420p``.

    Chroma is sited as H.264 means it by default: left, halfway between two rows.
    """
    red, green, blue = np.moveaxis(picture, -1, 0)
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    planes = [16 + 219 * y]
    for colour, scale in ((blue, 1.8556), (red, 1.5748)):
        chroma = (colour - y) / scale
        wide = np.pad(chroma, ((0, 0), (1, 0)), mode="edge")
        sited = (wide[:, 0:-1:2] + 2 * wide[:, 1::2] + chroma[:, 1::2]) / 4
        planes.append(128 + 224 * (sited[0::2] + sited[1::2]) / 2)
    height, width = y.shape
    flat = np.concatenate([np.rint(plane).ravel() for plane in planes])
    codes: NDArray[np.uint8] = np.clip(flat, 0, 255).astype(np.uint8)
    return codes.reshape(height * 3 // 2, width)


def _tone(seconds: float, pitch: float = 220.0, level: float = 0.05) -> NDArray[np.float32]:
    """(1, N) float32 mono at SOUND_RATE: a quiet sine that fades in and out over 50 ms."""
    t = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    fade = np.clip(np.minimum(t, seconds - t) / 0.05, 0, 1)
    return np.asarray(level * fade * np.sin(2 * np.pi * pitch * t), dtype=np.float32)[None]


def render_demo(
    path: str | os.PathLike[str],
    *,
    seconds: float = 4.0,
    fps: int | Fraction = 30,
    size: tuple[int, int] = (640, 360),
    amplitude: float = 0.3,
    frequency: float = 3.0,
    noise: float = 1.0 / 255,
    seed: int = 0,
    audio: bool = True,
) -> BeamScene:
    """Write the demonstration clip (H.264, AAC) to ``path`` and return its scene.

    Args:
        path: output file; its ending chooses the container (.mp4, .mov, .mkv). Replaced if it exists.
        seconds: length of the clip.
        fps: frames a second.
        size: (width, height) in pixels, both even.
        amplitude: the tip swings by ± this many pixels, from rest in the first frame.
        frequency: of the swing, in Hz.
        noise: standard deviation of the sensor noise, of full scale.
        seed: of textures and noise; the same arguments give the same pictures.
        audio: whether to add the tone.
    """
    width, height = size
    if width % 2 or height % 2 or min(size) < 64:
        raise OptionError(f"size must be even and at least 64 pixels a side, got {width}x{height}")
    rate = Fraction(fps)
    if not rate > 0:
        raise OptionError(f"fps must be above 0, got {fps}")
    count = round(seconds * rate)
    if count < 1:
        raise OptionError(f"seconds must give at least one frame, got {seconds:g} s at {fps} frames a second")
    if not 0 <= frequency < rate / 2:
        raise OptionError(f"frequency must be in 0 … {float(rate / 2):g} Hz (half the frame rate), got {frequency:g}")
    if noise < 0:
        raise OptionError(f"noise must not be negative, got {noise:g}")
    scene = BeamScene(size, amplitude, frequency, noise, seed)
    target = Path(path)
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")  # renamed when whole
    try:
        with av.open(str(partial), "w") as container:
            _write(container, scene, rate, count, audio)
        partial.replace(target)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise OutputError(f"Cannot write {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return scene


def _write(container: OutputContainer, scene: BeamScene, rate: Fraction, count: int, audio: bool) -> None:
    # Fine quantisation: coarser, the encoder skips blocks that move by a tenth of a pixel (at crf 12
    # the tip, measured in the decoded clip, is up to 0.04 px off).
    video = container.add_stream("libx264", rate=rate, options={"crf": "8", "preset": "medium"})
    video.width, video.height = scene.size
    video.pix_fmt = "yuv420p"
    context = video.codec_context
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED
    sound = container.add_stream("aac", rate=SOUND_RATE, layout="mono") if audio else None
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(to_yuv420(scene.frame(float(index / rate), index)), format="yuv420p")
        frame.pts, frame.time_base = index, 1 / rate
        frame.colorspace, frame.color_range = BT709, LIMITED
        container.mux(video.encode(frame))
    container.mux(video.encode())
    if sound is not None:
        samples = av.AudioFrame.from_ndarray(_tone(float(count / rate)), format="fltp", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
        container.mux(sound.encode(samples))
        container.mux(sound.encode())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--seconds", default=4.0, show_default=True, help="Length of the clip.")
@click.option("--fps", default=30, show_default=True, help="Frames a second.")
@click.option("--size", default="640x360", show_default=True, metavar="WxH", help="Size of the picture, even.")
@click.option("--amplitude", default=0.3, show_default=True, help="Swing of the beam's tip, pixels.")
@click.option("--frequency", default=3.0, show_default=True, help="Frequency of the swing, Hz.")
@click.option("--noise", default=1.0, show_default=True, help="Sensor noise, levels of 255.")
@click.option("--seed", default=0, show_default=True, help="Seed of textures and noise.")
@click.option("--audio/--no-audio", default=True, show_default=True, help="Add a quiet tone.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
def main(
    output: Path, seconds: float, fps: int, size: str, amplitude: float, frequency: float, noise: float,
    seed: int, audio: bool, overwrite: bool,
) -> None:  # fmt: skip
    """Write a clip to try magfilter on: a clamped beam that swings by a fraction of a pixel."""
    try:
        width, height = (int(part) for part in size.lower().split("x"))
    except ValueError:
        raise click.BadParameter(f"expected WxH, for example 640x360, got {size!r}", param_hint="--size") from None
    if output.exists() and not overwrite:
        raise click.ClickException(f"{output} exists; add -y to replace it")
    try:
        render_demo(
            output, seconds=seconds, fps=fps, size=(width, height), amplitude=amplitude,
            frequency=frequency, noise=noise / 255, seed=seed, audio=audio,
        )  # fmt: skip
    except OptionError as error:
        raise click.UsageError(str(error)) from error
    except MagfilterError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output}: {amplitude:g} px at {frequency:g} Hz, {width}x{height}, {seconds:g} s", err=True)


if __name__ == "__main__":
    main()
