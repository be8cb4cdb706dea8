"""Amplitude and frequency of known vibrations, as `measure_motion` and pyidi's Lucas–Kanade find them.

    python -m benchmarks.vibration

A textured disc of 54 px vibrates before a still textured ground; its texture is moved by the Fourier shift theorem,
so that the motion is exact but for the rounding to 8 bit. Each clip is stored without loss, with sensor noise of
1/255, and after x264 at crf 18 (which first decides what of the motion is there to be measured). Ours is given a
rectangle around the disc, with ground in it; pyidi a grid of points inside the disc, the mean of whose displacements
is taken. Both series go through the same spectrum and sine fit, and the error against the true amplitude and
frequency is printed; a bin is the frequency resolution, 1 / duration.

pyidi need not be installed: without it the table says so. `--pyidi PYTHON` names an interpreter that has it.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import click
import numpy as np

from magfilter.measure import measure_motion
from magfilter.measure.peaks import find_peaks
from magfilter.measure.spectrum import frequencies

SIZE = (128, 192)
RATE = 30
RADIUS = 27.0
CENTRE = (96.0, 64.0)
ANGLE = 0.5  # rad
KINDS = ("lossless", "noise", "noise, x264")
ROI = "60,30,72,68"

# Run by the interpreter that has pyidi: a .npy of frames in, a .npy of displacements (n, 2), x and y, out.
THEIRS = """
import sys, numpy as np, pyidi
frames = np.load(sys.argv[1])
video = pyidi.VideoReader(frames, root=".")
lk = pyidi.LucasKanade(video)
x, y = np.meshgrid(np.arange(82, 111, 7), np.arange(50, 79, 7))
lk.set_points(np.column_stack([y.ravel(), x.ravel()]))
lk.configure(roi_size=(15, 15), reference_image=0, verbose=0, show_pbar=False)
found = np.asarray(lk.get_displacements(autosave=False))
np.save(sys.argv[2], found.mean(0)[:, ::-1])
"""


def texture(seed: int) -> np.ndarray:
    """rfft2 of a periodic texture of mean 128 and deviation 40, like a photograph's, without what aliases."""
    fy, fx = np.fft.fftfreq(SIZE[0])[:, None], np.fft.rfftfreq(SIZE[1])[None]
    frequency = np.hypot(fy, fx)
    spectrum = np.fft.rfft2(np.random.default_rng(seed).normal(size=SIZE))
    spectrum *= np.exp(-2 * (np.pi * 0.8 * frequency) ** 2) / np.maximum(frequency, 0.03) * (frequency < 0.45)
    spectrum[0, 0] = 0
    picture = np.fft.irfft2(spectrum, s=SIZE)
    return np.fft.rfft2(128 + picture * (40 / picture.std()))


def vibrating(amplitude: float, hertz: float, seconds: float, noisy: bool) -> list[np.ndarray]:
    """Frames (H, W) uint8 of the disc."""
    ground, disc = np.fft.irfft2(texture(0), s=SIZE), texture(1)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    grain = np.random.default_rng(2)
    frames = []
    for n in range(round(seconds * RATE)):
        far = amplitude * math.sin(2 * math.pi * hertz * n / RATE)
        along, down = far * math.cos(ANGLE), far * math.sin(ANGLE)
        wave = np.fft.rfftfreq(SIZE[1])[None] * along + np.fft.fftfreq(SIZE[0])[:, None] * down
        moved = np.fft.irfft2(disc * np.exp(-2j * np.pi * wave), s=SIZE)
        t = np.clip((RADIUS - np.hypot(x - CENTRE[0] - along, y - CENTRE[1] - down)) / 3 + 0.5, 0, 1)
        picture = ground + (moved - ground) * (t * t * (3 - 2 * t))
        picture = picture + grain.normal(size=SIZE) * noisy
        frames.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    return frames


def write(path: Path, frames: Sequence[np.ndarray], crf: int | None = None) -> str:
    """A clip of frames (H, W) uint8: FFV1, or x264 with this crf."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1" if crf is None else "libx264", rate=RATE)
        video.height, video.width = frames[0].shape
        video.pix_fmt = "gray" if crf is None else "yuv420p"
        if crf is not None:
            video.codec_context.options = {"crf": str(crf)}
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, "gray").reformat(format=video.pix_fmt)
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return str(path)


def decoded(path: str, form: str = "gray") -> np.ndarray:
    """(n, H, W) uint8, the brightness; (n, H, W, 3) as "rgb24"."""
    with av.open(path) as clip:
        return np.stack([frame.to_ndarray(format=form) for frame in clip.decode(video=0)])


def pyidi_works(python: str) -> str:
    """Why pyidi cannot be run by an interpreter, or ""."""
    done = subprocess.run([python, "-c", "import pyidi"], capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def pyidi_track(python: str, path: str, folder: Path) -> np.ndarray:
    """(n, 2) px, x and y, by pyidi's Lucas–Kanade."""
    source, target = folder / "frames.npy", folder / "theirs.npy"
    np.save(source, decoded(path))
    done = subprocess.run(
        [python, "-c", THEIRS, str(source), str(target)], capture_output=True, text=True, check=False, cwd=folder
    )
    if done.returncode:
        raise click.ClickException("pyidi: " + done.stderr.strip()[-500:])
    return np.load(target)


def errors(track: np.ndarray, amplitude: float, hertz: float) -> tuple[float, float]:
    """Amplitude error in % and frequency error in bins of the largest peak along the motion; NaN if there is none."""
    times = np.arange(len(track)) / RATE
    along = track @ np.array([math.cos(ANGLE), math.sin(ANGLE)])
    grid, bin_ = frequencies(len(track), RATE)
    peaks = find_peaks("along", along, times, RATE, np.zeros(len(grid)), (track[:, 0], track[:, 1]), True)
    if not peaks:
        return math.nan, math.nan
    return 100 * (peaks[0].amplitude / amplitude - 1), (peaks[0].frequency - hertz) / bin_


@click.command()
@click.option("--amplitude", "amplitudes", multiple=True, type=float, default=(0.05, 0.1, 0.3, 1.0), show_default=True)
@click.option("--hertz", "rates", multiple=True, type=float, default=(4.37, 11.2), show_default=True)
@click.option("--seconds", default=4.0, show_default=True, help="Length of each clip.")
@click.option("--pyidi", "python", default=sys.executable, help="Interpreter that has pyidi; by default this one.")
@click.option("--threads", default=1, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here too.")
def main(
    amplitudes: tuple[float, ...],
    rates: tuple[float, ...],
    seconds: float,
    python: str,
    threads: int,
    json_path: Path | None,
) -> None:
    """Print a table of amplitude and frequency errors on generated vibrations."""
    missing = pyidi_works(python)
    rows: list[dict[str, Any]] = []
    click.echo("| clip | px | Hz | amplitude error, ours | pyidi | frequency error, ours | pyidi |")
    click.echo("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for kind in KINDS:
            for amplitude in amplitudes:
                for hertz in rates:
                    frames = vibrating(amplitude, hertz, seconds, kind != "lossless")
                    path = write(here / "clip.mkv", frames, 18 if "x264" in kind else None)
                    ours = errors(measure_motion(path, roi=ROI, threads=threads)[0].displacement, amplitude, hertz)
                    theirs = None if missing else errors(pyidi_track(python, path, here), amplitude, hertz)
                    rows.append({"clip": kind, "px": amplitude, "Hz": hertz, "ours": ours, "pyidi": theirs})
                    tall = [_shown(pair, 0, "{:+.1f} %") for pair in (ours, theirs)]
                    off = [_shown(pair, 1, "{:+.3f} bins") for pair in (ours, theirs)]
                    click.echo(f"| {kind} | {amplitude:g} | {hertz:g} | {tall[0]} | {tall[1]} | {off[0]} | {off[1]} |")
    if missing:
        click.echo(f"\npyidi is not installed ({missing}); pip install pyidi, or name an interpreter with --pyidi")
    if json_path:
        json_path.write_text(json.dumps(rows, indent=1) + "\n")


def _shown(pair: tuple[float, float] | None, which: int, how: str) -> str:
    if pair is None:
        return "not installed"
    return "not found" if math.isnan(pair[which]) else how.format(pair[which])


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.vibration")
