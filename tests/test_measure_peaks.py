"""Vibrations close to each other, to the ends of the spectrum, and along several axes. Known motions; no pictures."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter.measure.peaks import find_peaks, merged
from magfilter.measure.spectrum import fastest, frequencies

RATE = 30.0
COUNT = 150
NOISE = 0.002  # px
TIMES = np.arange(COUNT) / RATE
BIN = RATE / COUNT


def sine(amplitude: float, hertz: float, phase: float = 0.0, times: np.ndarray = TIMES) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * times + np.radians(phase))


def noise(seed: int = 0, count: int = COUNT) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, NOISE, count)


def peaks(values: np.ndarray, both: tuple[np.ndarray, np.ndarray] | None = None, axis: str = "x"):
    times = np.arange(len(values)) / RATE
    floor = np.full(len(frequencies(len(values), RATE)[0]), 0.0006)
    return find_peaks(axis, values, times, RATE, floor, both or (values, values), True)


def told(found) -> list[tuple[float, float]]:
    """(Hz, px), by frequency."""
    return sorted((peak.frequency, peak.amplitude) for peak in found)


def right(found, *due: tuple[float, float]) -> None:
    """Each within four of the standard deviations that it names, and no other."""
    assert len(found) == len(due), told(found)
    for peak, (hertz, amplitude) in zip(sorted(found, key=lambda peak: peak.frequency), sorted(due), strict=True):
        assert peak.frequency == pytest.approx(hertz, abs=4 * peak.frequency_sigma)
        assert peak.amplitude == pytest.approx(amplitude, abs=4 * peak.amplitude_sigma)
        assert peak.amplitude_sigma < 0.05 * amplitude


@pytest.mark.parametrize("apart", [1.05, 1.3, 1.6, 2.0, 2.5, 2.9, 3.2])
@pytest.mark.parametrize("second", [0.3, 0.1, 0.02])
def test_two_modes_are_told_apart_from_one_resolution_on(apart, second):
    for phase in (0, 90, 180, 270):
        found = peaks(sine(0.3, 5) + sine(second, 5 + apart * BIN, phase) + noise(phase))
        right(found, (5, 0.3), (5 + apart * BIN, second))


def test_modes_that_are_not_told_apart_are_uncertain():
    """Nearer than the resolution: whatever is said, it is not said to be exact."""
    for phase in (0, 90, 180, 270):
        for peak in peaks(sine(0.3, 5) + sine(0.2, 5 + 0.6 * BIN, phase) + noise(phase)):
            off = min(
                abs(peak.amplitude - size) for size in (0.3, 0.2, abs(0.3 + 0.2 * np.exp(1j * np.radians(phase))))
            )
            assert off < 4 * peak.amplitude_sigma


@pytest.mark.parametrize("fall", [4.0, 1.5, 0.7])
def test_what_rings_down_is_one_vibration_and_uncertain(fall):
    (strong, weak) = peaks(sine(0.5, 5) * np.exp(-TIMES / fall) + sine(0.02, 9, 40) + noise())
    assert not strong.steady
    assert weak.steady
    assert strong.frequency == pytest.approx(5, abs=2 * strong.frequency_sigma)
    assert strong.amplitude_sigma > 0.05 * strong.amplitude
    assert weak.frequency == pytest.approx(9, abs=4 * weak.frequency_sigma)
    assert weak.amplitude == pytest.approx(0.02, abs=4 * weak.amplitude_sigma)


def test_a_sweep_is_one_vibration():
    (found,) = peaks(0.3 * np.sin(2 * np.pi * (5 * TIMES + 0.02 * TIMES**2)) + noise())
    assert not found.steady
    assert found.frequency == pytest.approx(5.1, abs=2 * found.frequency_sigma)


@pytest.mark.parametrize("hertz", [14.0, 14.7, 14.8, 14.85])
@pytest.mark.parametrize("phase", [0, 70, 130])
def test_close_to_half_the_rate_a_vibration_is_right_or_not_told(hertz, phase):
    found = peaks(sine(0.3, hertz, phase) + sine(0.05, 6) + noise())
    strong = [peak for peak in found if peak.frequency > 7]
    right([peak for peak in found if peak.frequency < 7], (6, 0.05))
    assert len(strong) <= 1
    right(strong, *[(hertz, 0.3)][: len(strong)])


@pytest.mark.parametrize("hertz", [14.92, 14.96, 14.99, 0.02, 0.1, 0.2, 0.26, 0.29])
@pytest.mark.parametrize("phase", [0, 70, 130])
def test_what_lies_beyond_the_ends_leaves_no_ghosts(hertz, phase):
    right(peaks(sine(0.3, hertz, phase) + sine(0.05, 6) + noise()), (6, 0.05))


def test_a_drift_that_is_not_straight_shifts_no_vibration():
    drift = 3 * np.exp(-TIMES / 1.5) + 0.1 * TIMES**2
    right(peaks(drift + sine(0.02, 3, 50) + noise()), (3, 0.02))


def along_two(x: np.ndarray, y: np.ndarray):
    """The peaks of a motion whose main direction is x."""
    both = (x, y)
    found = [peaks(values, both, axis) for axis, values in (("along", x), ("x", x), ("y", y))]
    return merged(found, both, np.arange(len(x)) / RATE, RATE / len(x))


def test_each_vibration_is_told_along_the_axis_it_moves_along():
    """Of 0.1 px upwards, a thirtieth leaks into the main direction, which is level."""
    level, up = along_two(sine(0.3, 3) + sine(0.003, 7.3) + noise(1), sine(0.1, 7.3) + noise(2))
    assert (level.axis, up.axis) == ("along", "y")
    assert (level.amplitude, up.amplitude) == pytest.approx((0.3, 0.1), abs=0.001)
    assert up.frequency == pytest.approx(7.3, abs=0.002)
    assert up.over_noise > 100


def test_the_other_axis_is_fitted_with_its_own_vibrations():
    level, up = along_two(sine(1.5, 2.15, 90) + noise(1), sine(0.1, 7.3) + noise(2))
    assert (up.axis, up.y) == ("y", up.amplitude)
    assert up.x < 0.001
    assert level.y < 0.001


LACKING = {
    "every third": np.flatnonzero(np.arange(150) % 3 != 2) / RATE,
    "half of them": np.flatnonzero(np.arange(150) % 4 < 2) / RATE,
    "at half the rate from the middle on": np.concatenate([np.arange(75), 75 + np.arange(0, 120, 2)]) / RATE,
    "any": np.flatnonzero(np.r_[True, np.random.default_rng(5).random(149) > 0.4]) / RATE,
}


def lacking(values: np.ndarray, times: np.ndarray):
    rate = (len(times) - 1) / times[-1]
    values = values + np.random.default_rng(0).normal(0, NOISE, len(values))
    floor = np.full(len(frequencies(len(times), rate, fastest(times, rate))[0]), 0.0006)
    return find_peaks("x", values, times, rate, floor, (values, values), False)


@pytest.mark.parametrize("missing", LACKING)
@pytest.mark.parametrize("hertz", [2.0, 8.0, 12.0, 14.0])
def test_where_frames_are_missing_no_image_is_named(missing, hertz):
    """The spectrum reaches to half the rate of what is not missing: there the vibration explains all by itself."""
    times = LACKING[missing]
    right(lacking(sine(0.3, hertz, 40, times) + sine(0.1, 3.1, 0, times), times), (hertz, 0.3), (3.1, 0.1))


def test_what_images_leave_open_is_told():
    """Two of three images are any two of them."""
    times = LACKING["every third"]
    strong, weak = lacking(sine(0.3, 12, 40, times) + sine(0.2, 2, 0, times), times)
    assert (strong.image, weak.image) == pytest.approx((8, 8), abs=0.01)
    assert strong.frequency_sigma > 3.9
    (alone,) = lacking(sine(0.3, 12, 40, times), times)
    assert np.isnan(alone.image)


def test_times_on_no_beat_end_at_half_the_mean_rate():
    times = np.cumsum(np.random.default_rng(4).choice([10, 23], 100)) / 1000
    assert fastest(times, 60) == 30
