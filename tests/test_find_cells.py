"""Vibrations in the motion of cells, which is given; no network, no video."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter.find.cells import shapes

RATE, FRAMES = 30, 120
CLEAR = np.float32(10)  # a picture full of contours
TIMES = np.arange(FRAMES) / RATE


def cells(seed: int = 0) -> np.ndarray:
    """Cells that rest, but for noise."""
    return np.random.default_rng(seed).normal(size=(FRAMES, 2, 6, 9)).astype(np.float32) * np.float32(0.003)


def wave(hertz: float, phase: float = 0.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * TIMES + phase).astype(np.float32)[:, None, None]


@pytest.mark.parametrize(
    ("x", "y", "phase", "amplitude"), [(1, 1, 90, 1), (1, 1, 0, 2**0.5), (0.6, 0.8, 0, 1), (1, 0.5, 90, 1)]
)
def test_an_amplitude_is_half_of_peak_to_peak_on_a_circle_too(x, y, phase, amplitude):
    moved = cells()
    moved[:, 0, 2:4, 2:5] += 0.3 * x * wave(4.37)
    moved[:, 1, 2:4, 2:5] += 0.3 * y * wave(4.37, np.radians(phase))
    assert shapes(moved, RATE, 16, CLEAR)[0][0].amplitude == pytest.approx(0.3 * amplitude, rel=0.03)


@pytest.mark.parametrize("times", [None, TIMES])
@pytest.mark.parametrize("hertz", [14.9, 14.7, 14.6, 0.2, 0.3, 0.35, 0.45])
def test_what_is_too_fast_or_too_slow_to_tell_is_not_put_elsewhere(hertz, times):
    moved = cells()
    moved[:, 0, 2:4, 2:5] += 0.3 * wave(hertz, 1.2)
    assert shapes(moved, RATE, 16, CLEAR, times) == ([], None)
    moved[:, 1, 1:4, 5:8] += 0.05 * wave(3.1)
    (other,) = shapes(moved, RATE, 16, CLEAR, times)[0]
    assert other.frequency == pytest.approx(3.1, abs=0.02)


@pytest.mark.parametrize("hertz", [14.3, 0.645, 0.8, 1.0])
def test_what_can_just_be_told_is_found(hertz):
    moved = cells()
    moved[:, 0, 2:4, 2:5] += 0.3 * wave(hertz, 1.2)
    (only,) = shapes(moved, RATE, 16, CLEAR)[0]
    assert only.frequency == pytest.approx(hertz, abs=0.03)
    assert only.amplitude == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("apart", [0.3, 0.5])
def test_two_things_at_nearly_the_same_frequency_are_told_where_they_lie_apart(apart):
    moved = cells()
    moved[:, 0, 1:3, 1:3] += 0.3 * wave(5)
    moved[:, 0, 3:5, 6:8] += 0.2 * wave(5 + apart, 2)
    first, second = shapes(moved, RATE, 16, CLEAR)[0]
    assert [first.frequency, second.frequency] == pytest.approx([5, 5 + apart], abs=0.02)
    assert [first.amplitude, second.amplitude] == pytest.approx([0.3, 0.2], rel=0.05)
    assert (first.core, second.core) == ((1, 1, 3, 3), (3, 6, 5, 8))


@pytest.mark.parametrize("size", [0.02, 0.3])
def test_one_thing_over_the_whole_picture_is_one(size):
    """However weak it is in some of the cells."""
    for seed in range(8):
        moved = cells(seed)
        strength = np.random.default_rng(seed).uniform(0.1, 1, (6, 9)).astype(np.float32)
        moved[:, 0] += size * strength * wave(4 + 0.37 * seed)
        assert len(shapes(moved, RATE, 16, CLEAR)[0]) == 1
