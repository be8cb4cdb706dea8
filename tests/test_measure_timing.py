"""When frames were taken: even times, rounded ones, and those of clips that lack frames. No pictures here."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from magfilter.measure.timing import find_timing

MS = Fraction(1, 1000)


def timing(times, rate=None, base=MS, fps=None, kept=None):
    """(timing, warnings) of times in s."""
    warnings: list[str] = []
    info = SimpleNamespace(source="clip.mkv", rate=rate, time_base=base)
    return find_timing(info, np.asarray(times, float), fps, warnings, kept), warnings


def rounded(places, rate, base=MS):
    return np.rint(np.asarray(places) / float(rate * base)) * float(base)


@pytest.mark.parametrize(("rate", "said"), [(60, 60), (120, 108), (Fraction(30000, 1001), None)])
def test_rounded_times_are_put_on_their_beat_where_frames_are_missing(rate, said):
    places = [n for n in range(3000) if n % 10 != 3 and not 1000 < n < 1020]
    found, (warning,) = timing(7 + rounded(places, rate), said)
    np.testing.assert_allclose(found.times, np.array(places) / float(rate), atol=2e-5)
    assert not found.even
    assert found.top == pytest.approx(float(rate) / 2)
    assert f"and ends at {float(rate) / 2:.4g} Hz" in warning
    assert found.rate == pytest.approx((len(places) - 1) / places[-1] * float(rate))
    assert f"lacks {3000 - len(places)} of 3000 frames of {float(rate):.4g} a second" in warning


def test_exact_times_with_gaps_stay_as_they_are():
    places = np.flatnonzero(np.arange(200) % 10 != 3)
    found, _ = timing(places / 120, 108, Fraction(1, 15360))
    np.testing.assert_allclose(found.times, places / 120, atol=1e-9)


@pytest.mark.parametrize("gaps", [[10, 23], [16, 19, 22, 25], [2, 3]])
def test_a_variable_rate_is_no_beat(gaps):
    times = np.cumsum(np.random.default_rng(4).choice(gaps, 100)) / 1000
    found, (warning,) = timing(times, 60)
    np.testing.assert_allclose(found.times, times - times[0])
    assert "has a variable frame rate" in warning


def test_even_times_are_the_rate_that_the_input_says():
    found, warnings = timing(rounded(range(50), 60), 60)
    assert found.even
    assert (found.rate, found.times[3], warnings) == (60, 0.05, [])


LACKING = [n for n in range(400) if n % 10 != 3 and not 100 < n < 120]


@pytest.mark.parametrize("fps", [120, 240, 1000.0])
def test_frames_that_are_missing_are_missing_at_the_true_rate_too(fps):
    found, (warning,) = timing(7 + rounded(LACKING, 120), 120, fps=fps)
    np.testing.assert_allclose(found.times, np.array(LACKING) / fps, rtol=1e-12)
    assert not found.even
    assert f"lacks {400 - len(LACKING)} of 400 frames of {fps:.4g} a second" in warning


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        (rounded(range(50), 60), 60),
        (np.full(50, np.nan), 60),
        (rounded(LACKING, 120), None),  # no rate, no word on what is missing
        (np.arange(50) / -60, 60),
        (np.cumsum(np.random.default_rng(4).choice([10, 23], 50)) / 1000, 60),
        ([0.5], 60),
    ],
)
def test_frames_follow_one_another_where_nothing_else_is_known(times, rate):
    found, warnings = timing(times, rate, fps=240)
    assert (found.even, found.rate, warnings) == (True, 240, [])
    assert found.times.tolist() == (np.arange(len(times)) / 240).tolist()


def test_what_may_have_been_taken_at_a_steady_rate_is_if_the_user_says_so():
    shown = rounded(np.rint(30 * rounded(range(144), 24)), 30)
    found, (warning,) = timing(shown, 30)
    assert not found.even
    assert "at a steady 24 a second instead, give --fps 24" in warning
    found, warnings = timing(shown, 30, fps=24)
    assert (found.even, found.rate, warnings) == (True, 24, [])
