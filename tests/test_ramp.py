"""alpha over time."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter.errors import OptionError
from magfilter.ramp import Ramp


def test_straight_lines_between_keyframes_and_level_beyond():
    ramp = Ramp.parse(["4=20", (1, 0), "2=10"])
    assert ramp.keys == ((1, 0), (2, 10), (4, 20))
    assert [ramp.at(t) for t in (0, 1, 1.5, 2, 3, 4, 99)] == [0, 0, 5, 10, 15, 20, 20]
    assert str(ramp) == "1=0,2=10,4=20"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (["3"], "'3' is not TIME=ALPHA"),
        (["a=3"], "'a=3' is not TIME=ALPHA"),
        ([(1, 2, 3)], "is not TIME=ALPHA"),
        ([5], "5 is not TIME=ALPHA"),
        (["-1=3"], "keyframe -1=3 is out of range"),
        (["1=-3"], "keyframe 1=-3 is out of range"),
        (["1=nan"], "keyframe 1=nan is out of range"),
        (["1=1e20"], r"keyframe 1=1e\+20 is out of range; .* alpha at most 1000000"),
        (["1=2", "1=3"], "two keyframes are at 1 s"),
        ([], "at least one keyframe"),
    ],
)
def test_what_is_no_keyframe(keys, text):
    with pytest.raises(OptionError, match=text):
        Ramp.parse(keys)


@pytest.mark.parametrize(("keys", "peak"), [(["0=1", "5=30"], 30), (["0=0", "1=1"], 0), (["0=4", "1=2"], 4)])
def test_maps_are_painted_with_what_is_farthest_from_one(keys, peak):
    assert Ramp.parse(keys).peak == peak


def test_a_map_follows_in_proportion():
    ramp = Ramp.parse(["0=1", "1=11"])
    gain = np.array([[1, 11, 21, 6]], np.float32)  # left alone, the ramp's, a region of its own, a soft edge
    np.testing.assert_allclose(ramp.scaled(gain, 11, 1), [[1, 1, 1, 1]])
    np.testing.assert_allclose(ramp.scaled(gain, 11, 6), [[1, 6, 11, 3.5]])
    np.testing.assert_allclose(ramp.scaled(gain, 11, 11), gain)
    assert ramp.scaled(gain, 11, 0).min() == 0, "motion is not turned round"
    np.testing.assert_allclose(ramp.scaled(gain, 1, 5), gain)


@pytest.mark.parametrize(
    ("keys", "limits"),
    [
        (["0=1", "5=30"], (0, np.inf)),  # on one side of 1 all is in proportion
        (["0=1", "5=0"], (0, np.inf)),
        (["0=1.5", "5=0"], (0, 1)),
        (["0=0", "5=30"], (1, 30)),
        (["0=0.5", "2=9", "5=30"], (1, 59)),
    ],
)
def test_a_ramp_through_one_takes_what_stays_on_its_side(keys, limits):
    ramp = Ramp.parse(keys)
    assert ramp.limits == limits
    for factor in (limits[0], 1.0, min(limits[1], 1e5)):
        ramp.check(factor, "roi")
        for _, alpha in ramp.keys:
            due = 1 + (alpha - 1) / (ramp.peak - 1) * (factor - 1)
            found = ramp.scaled(np.array([[factor]], np.float32), ramp.peak, alpha)
            np.testing.assert_allclose(found, due, rtol=1e-5, atol=1e-5), "nothing was cut off at 0"
    for factor in (limits[0] - 0.1, limits[1] + 0.1):
        if 0 <= factor < np.inf:
            text = f"roi has an alpha of its own, {factor:g}, .* give it {limits[0]:g} to {limits[1]:g}, or none"
            with pytest.raises(OptionError, match=text):
                ramp.check(factor, "roi")


def test_the_ramp_s_own_peak_follows_it_however_it_is_rounded():
    for peak in np.arange(2.1, 40, 0.1):  # farther from 1 than 0 is
        ramp = Ramp(((0.0, 0.0), (1.0, float(peak))))
        ramp.check(float(peak), "roi")
        ramp.check(float(np.float32(peak)), "alpha_map")


def test_a_ramp_that_changes_nothing_takes_anything():
    assert Ramp.parse(["0=1", "5=1"]).limits == (0, np.inf)
