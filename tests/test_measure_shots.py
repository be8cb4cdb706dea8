"""What ends the shot that is measured, and what only interrupts it."""

from __future__ import annotations

import numpy as np
import pytest
from vibrations import RATE, Disc, render, write

from magfilter import measure_motion

ROI = "60,30,72,68"
FRAMES = 60


def film(seed: int = 4, frames: int = FRAMES) -> list[np.ndarray]:
    """A disc that swings by 0.3 px at 5.03 Hz."""
    disc = Disc((96, 64), lambda time: (0.3 * np.sin(2 * np.pi * 5.03 * time), 0.0))
    return [render([disc], n / RATE, seed=seed) for n in range(frames)]


@pytest.fixture(scope="module")
def whole() -> list[np.ndarray]:
    return film()


def lit(picture: np.ndarray) -> np.ndarray:
    """With a lamp at one side."""
    return np.clip(picture + 140 * np.linspace(-1, 1, picture.shape[1]), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("what", ["a lamp", "another picture"])
@pytest.mark.parametrize("reference", ["first", "frame:50"])
def test_what_interrupts_a_shot_is_left_out(whole, tmp_path, what, reference):
    frames = list(whole)
    for n in (30, 31):
        frames[n] = lit(frames[n]) if what == "a lamp" else np.roll(255 - frames[n], 40, 1)
    motion = measure_motion(write(tmp_path / "flash.mkv", frames), roi=ROI, threads=1, reference=reference)
    assert motion.frames == FRAMES - 2
    assert motion.start == 0
    assert motion[0].peaks[0].amplitude == pytest.approx(0.3, rel=0.02)
    assert motion[0].peaks[0].frequency == pytest.approx(5.03, abs=0.02)
    assert any("2 frames that show something else, or in another light, were left out" in w for w in motion.warnings)
    assert not any("another shot" in w for w in motion.warnings)


def test_another_shot_of_a_few_frames_at_the_end(whole, tmp_path):
    frames = [*whole, *film(30, 3)]
    motion = measure_motion(write(tmp_path / "end.mkv", frames), roi=ROI, threads=1)
    assert motion.frames == FRAMES
    assert any("from the shot cut at 2 s on" in w for w in motion.warnings)
