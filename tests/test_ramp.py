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
