"""Frequencies of motion, end to end: known motion through the shipped network, measured by registration."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from vibrations import RATE, SIZE, Disc, Way, amplitude, read, render, write

from magfilter import EncodeOptions, MagnifyOptions, magnify_video
from magfilter.pipeline import Job

SECONDS = 4
SETTLED = int(1.5 * RATE)  # frames until the filters have
ALPHA = 10.0
SWING = 0.3  # px
FRAMES = SECONDS * RATE


def swinging(hertz: float, angle: float, under: Way | None = None) -> Way:
    """A vibration of SWING px along an angle, on top of another motion."""

    def way(time: float) -> tuple[float, float]:
        far = SWING * math.sin(2 * math.pi * hertz * time)
        x, y = under(time) if under else (0.0, 0.0)
        return x + far * math.cos(angle), y + far * math.sin(angle)

    return way


SLOW, FAST = Disc((48, 64), swinging(3, 0.5)), Disc((144, 62), swinging(9, 2.0))


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> str:
    """Two discs that vibrate at 3 Hz and at 9 Hz."""
    pictures = [render([SLOW, FAST], n / RATE) for n in range(FRAMES)]
    return write(tmp_path_factory.mktemp("two") / "two.mkv", pictures)


def magnified(source: str, target: Path, **options) -> list[np.ndarray]:
    lossless = EncodeOptions(codec="ffv1")
    magnify_video(source, target, alpha=ALPHA, encode=lossless, threads=1, overwrite=True, **options)
    return read(target)


def track(disc: Disc, frames: list[np.ndarray], guess: bool = False) -> np.ndarray:
    """(n, 2) px, where the disc is in each frame; `guess`: about as far as in the original."""
    near = [disc.way(n / RATE) if guess else (0, 0) for n in range(len(frames))]
    return np.array([disc.displacement(frames[0], frame, at) for frame, at in zip(frames, near, strict=True)])


def original(disc: Disc) -> np.ndarray:
    return np.array([disc.way(n / RATE) for n in range(FRAMES)])


def test_the_ruler_is_straight(two):
    for disc, hertz in ((SLOW, 3), (FAST, 9)):
        seen = track(disc, read(two))
        np.testing.assert_allclose(seen, original(disc), atol=0.01)
        assert amplitude(seen[SETTLED:], hertz) == pytest.approx(SWING, rel=0.02)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"band": "0.05:0.2"}, "band 0.05:0.2 is of motion that takes 5 s or more to come round, and the clip has 4 s"),
        ({"band": "2:4", "fps": 3000}, "takes 0.25 s or more to come round, and the clip has 0.04 s"),
        ({"band": "0.1:0.3"}, None),
        ({"band": "0:0.2"}, None),  # what drifts
        ({}, None),
    ],
)
def test_a_band_too_slow_for_the_clip_is_told(two, options, said):
    with Job(two, None, MagnifyOptions(**options)) as job:
        assert [line for line in job.warnings if said and said in line] == job.warnings
        assert len(job.warnings) == (said is not None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "chosen", "hertz", "other"),
    [
        ({"band": "2:4"}, SLOW, 3, FAST),
        ({"band": "8:10"}, FAST, 9, SLOW),
        ({"notch": "8:10"}, SLOW, 3, FAST),
        ({"band": "2:4", "roi": "0,0,192,128"}, SLOW, 3, FAST),
        ({"fps": 3000, "band": "200:400"}, SLOW, 3, FAST),  # a hundred times slowed down
    ],
)
def test_one_vibration_is_magnified_and_the_other_is_not(two, tmp_path, options, chosen, hertz, other):
    frames = magnified(two, tmp_path / "out.mkv", **options)
    np.testing.assert_array_equal(frames[0], read(two)[0])
    assert amplitude(track(chosen, frames)[SETTLED:], hertz) == pytest.approx(ALPHA * SWING, rel=0.2)
    off = np.linalg.norm(track(other, frames) - original(other), axis=1)
    assert off[SETTLED:].max() < 0.15
    assert off.max() < ALPHA * SWING, "the warm-up does not throw it about"


@pytest.mark.slow
def test_a_band_within_a_region_leaves_the_rest_to_the_bit(two, tmp_path):
    """The same frequencies all over the picture, and only the region's are magnified."""
    frames = magnified(two, tmp_path / "out.mkv", band="2:10", roi="0,0,96,128")
    assert amplitude(track(SLOW, frames)[SETTLED:], 3) == pytest.approx(ALPHA * SWING, rel=0.2)
    for ours, theirs in zip(frames, read(two), strict=True):
        np.testing.assert_array_equal(ours[:, 104:], theirs[:, 104:])


@pytest.mark.slow
def test_no_shift_is_larger_than_the_limit(two, tmp_path):
    frames = magnified(two, tmp_path / "out.mkv", max_shift=1)
    for disc in (SLOW, FAST):
        off = np.linalg.norm(track(disc, frames) - original(disc), axis=1)
        assert 0.9 < off.max() < 1.05


def pan(time: float) -> tuple[float, float]:
    return 1.5 * time, -0.5 * time


@pytest.fixture(scope="module")
def panned(tmp_path_factory) -> tuple[str, Disc, list[Disc]]:
    """A slow pan over a disc that vibrates at 3 Hz; and places of the ground to be looked at."""
    disc = Disc((96, 64), swinging(3, 0.5, pan), 28)
    pictures = [render([disc], n / RATE, pan) for n in range(FRAMES)]
    path = write(tmp_path_factory.mktemp("pan") / "pan.mkv", pictures)
    return path, disc, [Disc((26, 28), pan, 22), Disc((164, 100), pan, 22)]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"detrend": True}, {"detrend": True, "band": "2:4"}])
def test_a_pan_is_not_magnified_and_the_vibration_is(panned, tmp_path, options):
    source, disc, ground = panned
    frames = magnified(source, tmp_path / "out.mkv", **options)
    seen = track(disc, frames, guess=True)
    assert amplitude(seen[SETTLED:], 3) == pytest.approx(ALPHA * SWING, rel=0.25)
    drift = (seen - original(disc))[-RATE:].mean(0)  # over whole swings
    assert np.linalg.norm(drift) < 0.5
    assert np.abs(frames[-1] - render([disc], SECONDS - 1 / RATE, pan)).mean() < 5
    for place in ground:
        off = np.linalg.norm(track(place, frames, guess=True) - original(place), axis=1)
        assert off.max() < 1, "of 6 px of pan, which magnified would be 60"


@pytest.mark.slow
def test_without_detrend_the_pan_carries_everything_away(panned, tmp_path):
    source, disc, _ = panned
    frames = magnified(source, tmp_path / "out.mkv")
    assert np.abs(frames[-1] - render([disc], SECONDS - 1 / RATE, pan)).mean() > 15
    assert frames[0].shape == SIZE
