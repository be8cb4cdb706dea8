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
