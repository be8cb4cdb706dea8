"""Spectra and peaks of known motions; no pictures here."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter.measure.peaks import find_peaks
from magfilter.measure.spectrum import fastest, frequencies, power, rms_of_white

RATE = 50.0
COUNT = 200
TIMES = np.arange(COUNT) / RATE


def sine(amplitude: float, hertz: float, times: np.ndarray = TIMES, phase: float = 0.4) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * times + phase)


def noise(size: float, seed: int = 0, count: int = COUNT) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, count)


def peaks(values: np.ndarray, times: np.ndarray = TIMES, even: bool = True, rate: float = RATE):
    grid, _ = frequencies(len(values), rate, None if even else fastest(times, rate))
    return find_peaks("x", values, times, rate, np.zeros(len(grid)), (values, np.full(len(values), np.nan)), even)


@pytest.mark.parametrize("hertz", [1.0, 3.3, 7.0, 7.0625, 7.125, 12.51, 21.9])
def test_a_sine_reads_its_amplitude_wherever_it_lies(hertz):
    grid, bin_ = frequencies(COUNT, RATE)
    seen = np.sqrt(power(sine(0.3, hertz) + 5 + 0.2 * TIMES, TIMES, RATE))
    at = int(np.argmax(seen))
    assert abs(grid[at] - hertz) <= bin_ / 4
    assert seen[at] == pytest.approx(0.3, rel=0.015)


@pytest.mark.parametrize("hertz", [1.0, 3.3, 7.0, 7.0625, 7.125, 12.51, 21.9])
@pytest.mark.parametrize("size", [0.0, 0.02])
def test_a_peak_is_named_more_exactly_than_the_bins(hertz, size):
    (peak,) = peaks(sine(0.3, hertz) + noise(size))
    _, bin_ = frequencies(COUNT, RATE)
    assert peak.frequency == pytest.approx(hertz, abs=0.02 * bin_)
    assert peak.amplitude == pytest.approx(0.3, rel=0.03 if size else 1e-3)
    assert peak.x == pytest.approx(peak.amplitude)
    assert np.isnan(peak.y)


def test_the_uncertainty_of_a_peak_is_its_scatter():
    found = [peaks(sine(0.1, 7.1) + noise(0.03, seed))[0] for seed in range(150)]
    for name in ("frequency", "amplitude"):
        scatter = np.std([getattr(peak, name) for peak in found])
        said = np.mean([getattr(peak, f"{name}_sigma") for peak in found])
        assert said == pytest.approx(scatter, rel=0.25), name


def test_noise_alone_has_no_peak():
    assert not [peak for seed in range(40) for peak in peaks(noise(1.0, seed))]


def test_drift_alone_has_no_peak():
    assert not peaks(noise(0.01) + 3 + 2 * TIMES)


def test_a_weak_neighbour_is_told_from_the_skirts_of_a_strong_peak():
    _, bin_ = frequencies(COUNT, RATE)
    found = peaks(sine(1, 7.1) + sine(0.02, 7.1 + 4.4 * bin_, phase=1.0) + noise(0.002))
    assert [peak.frequency for peak in found] == pytest.approx([7.1, 7.1 + 4.4 * bin_], abs=0.1 * bin_)
    assert [peak.amplitude for peak in found] == pytest.approx([1, 0.02], rel=0.05)


def test_white_noise_reads_what_is_said():
    read = [power(noise(0.5, seed), TIMES, RATE)[20:-20].mean() for seed in range(50)]
    assert np.sqrt(np.mean(read)) == pytest.approx(0.5 * rms_of_white(COUNT), rel=0.05)


def test_uneven_times_are_used_as_they_are():
    """At 0.9 of half the rate, where bridging gaps straight would lose half the amplitude."""
    times = np.sort(np.arange(COUNT) / RATE + np.random.default_rng(1).uniform(-0.4, 0.4, COUNT) / RATE)
    (peak,) = peaks(sine(0.3, 16.3, times), times, even=False)
    assert peak.frequency == pytest.approx(16.3, abs=0.01)
    assert peak.amplitude == pytest.approx(0.3, rel=0.01)


@pytest.mark.parametrize("missing", [10, 40, 70])
def test_a_vibration_is_found_on_either_side_of_a_gap(missing):
    """Its skirts are wide then, and are not what it stands in."""
    kept = np.array([n for n in range(COUNT) if not 60 <= n < 60 + missing])
    values = sine(0.2, 6.1, TIMES[kept]) + sine(0.05, 9.7, TIMES[kept]) + noise(0.004, count=len(kept))
    found = peaks(values, TIMES[kept], even=False, rate=len(kept) / COUNT * RATE)
    assert [peak.frequency for peak in found] == pytest.approx([6.1, 9.7], abs=0.01)
    assert [peak.amplitude for peak in found] == pytest.approx([0.2, 0.05], rel=0.03)
