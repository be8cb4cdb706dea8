"""MagnifyOptions: every wrong value is named on construction."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from magfilter import MagnifyOptions, OptionError
from magfilter.masks import Region


def test_defaults_are_valid_and_frozen():
    options = MagnifyOptions()
    assert (options.alpha, options.reference, options.shot_cuts, options.overwrite) == (10, "first", True, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.alpha = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("alpha", -1, "alpha must be a number of 0 or more, at most 1000000; 1 leaves motion as it is; got -1"),
        ("alpha", 1e20, r"alpha must be a number of 0 or more, at most 1000000; .* got 1e\+20"),
        ("alpha", math.nan, "got nan"),
        ("alpha", math.inf, "got inf"),
        ("alpha", "10", "got '10'"),
        ("alpha", None, "got None"),
        ("alpha", True, "got True"),
        ("proxy", -0.5, "proxy must be 0 .* got -0.5"),
        ("proxy", math.nan, "proxy"),
        ("start", -1, "start must be 0 or more seconds"),
        ("start", math.inf, "start"),
        ("duration", 0, "duration must be more than 0 seconds"),
        ("duration", math.nan, "duration"),
        ("threads", -1, "threads must be 0 .* got -1"),
        ("threads", 100_000, "threads"),
        ("threads", 2.5, "threads"),
        ("max_error_rate", 1.5, "max_error_rate must be a share between 0 and 1"),
        ("max_error_rate", math.nan, "max_error_rate"),
        ("backend", "tensorflow", "unknown backend 'tensorflow'; choose one of: auto"),
        ("reference", "second", "'second' is none of: first, previous"),
        ("reference", 3, "reference must be text"),
        ("reference", "every:0", "none of"),
        ("reference", "every:nan", "none of"),
        ("reference", "frame:-1", "none of"),
        ("reference", "frame:1.5", "none of"),
        ("mask", 3, "mask must be the name of a file, got 3"),
        ("mask", "", "mask must be the name of a file, got ''"),
        ("mask", np.ones((2, 2)), "mask must be the name of a file, got ndarray; Magnifier takes arrays"),
        ("alpha_map", "map.png", "alpha_map must be a .npy file, got map.png; write it with numpy.save"),
        ("alpha_map", 2.0, "alpha_map must be the name of a file, got 2.0"),
        ("roi", ["1,2,3"], "roi '1,2,3' is not x,y,width,height"),
        ("roi", "1,2,3", "roi '1,2,3' is not x,y,width,height"),
        ("roi", ["0,0,4,4", "-1,0,4,4"], "roi -1,0,4,4 is no part of a picture"),
        ("roi", ["0,0,4,4:-2"], "roi 0,0,4,4 has alpha -2"),
        ("roi", 7, "roi must be a list of regions such as '10,20,300,200:5', got 7"),
        ("roi", (1, 2, 3), "roi .1, 2, 3. is not x,y,width,height"),
        ("mask_invert", True, "mask_invert has no mask to invert; give one with --mask FILE"),
        ("mask_grow", 5, "mask_grow 5 has no mask to grow; give one with --mask FILE"),
        ("mask_grow", -1, "mask_grow must be 0 or more px, at most 1e[+]06; got -1"),
        ("mask_grow", math.nan, "mask_grow"),
        ("mask_feather", 2, "mask_feather 2 has no edge to soften; give --mask FILE or --roi"),
        ("mask_feather", math.inf, "mask_feather must be 0 or more px, at most 1e[+]06; got inf"),
        ("band", "4:2", "band 4:2 is empty: LOW must be below HIGH; 2:4?"),
        ("band", 3, "band 3 is not LOW:HIGH in Hz, such as 2:4"),
        ("band", (-1, 2), "band -1:2 is no band of frequencies"),
        ("notch", ["2:4", "5"], "notch '5' is not LOW:HIGH"),
        ("notch", "4:4", "notch 4:4 is empty"),
        ("fps", 0, "fps must be more than 0 frames a second, 1e-09 to 1e[+]12; got 0"),
        ("fps", math.nan, "fps must be more than 0"),
        ("fps", 1000, "fps 1000 is for band and notch only; give --band LOW:HIGH"),
        ("max_shift", 0, "max_shift must be more than 0 px, 1e-06 to 1e[+]06; got 0"),
        ("max_shift", -3, "max_shift must be more than 0 px, 1e-06 to 1e[+]06; got -3"),
        ("smooth", 0, "smooth must be more than 0 px, 1e-06 to 1e[+]06; got 0"),
        ("smooth", math.inf, "smooth must be more than 0 px"),
        ("alpha_end", -1, "alpha_end must be a number of 0 or more"),
        ("alpha_end", math.nan, "alpha_end"),
        ("alpha_keys", "1=2", "alpha_keys must be a list of keyframes such as '2.5=20', got '1=2'"),
        ("alpha_keys", ["1:2"], "keyframe '1:2' is not TIME=ALPHA"),
        ("reanchor", "far", "reanchor 'far' is neither auto nor a number of px above 0"),
        ("cross_fade", -1, "cross_fade must be 0 .jump. or a number of seconds; got -1"),
        ("cross_fade", math.inf, "cross_fade"),
        ("exclude", frozenset({"sound"}), "exclude names 'sound'; choose from: attachment, audio"),
    ],
)
def test_wrong_values(field, value, text):
    with pytest.raises(OptionError, match=text) as caught:
        MagnifyOptions(**{field: value})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("reference", ["first", "previous", "every:2", "every:0.5s", "frame:0", "frame:12"])
def test_references(reference):
    assert MagnifyOptions(reference=reference).reference == reference


def test_a_ramp_has_ends_or_keyframes():
    assert MagnifyOptions().ramp(None) is None
    rising = MagnifyOptions(alpha=1, alpha_end=30)
    assert rising.ramp(4.0).keys == ((0, 1), (4, 30))
    assert (rising.painted, rising.choosing) == (30, "alpha_end=30")
    with pytest.raises(OptionError, match=r"does not say; give it with --duration, or .* --alpha-key 0=1 --alpha-key"):
        rising.ramp(None)
    keyed = MagnifyOptions(alpha_keys=["5=0", (2, 8)])
    assert keyed.alpha_keys == ((2, 8), (5, 0))
    assert (keyed.painted, keyed.ramp(None).at(3.5), keyed.choosing) == (8, 4, "alpha_keys=2=8,5=0")
    assert dataclasses.replace(keyed, threads=1).alpha_keys == keyed.alpha_keys
    with pytest.raises(OptionError, match="give one of --alpha-end and --alpha-key"):
        MagnifyOptions(alpha_end=3, alpha_keys=["0=1"])
    for reference in ("previous", "frame:3"):
        with pytest.raises(OptionError, match="reanchor replaces the reference"):
            MagnifyOptions(reference=reference, reanchor=5)
    assert MagnifyOptions(reanchor="auto").choosing == "reanchor=auto"


def test_what_cannot_follow_a_ramp_in_proportion_is_refused():
    """From 1.5 to 0 a region's factor of 30 would be 0, then 8.25, then 30."""
    roi = ["0,0,50,50:30", "60,0,50,50"]
    for changes in ({"alpha": 1.5, "alpha_end": 0}, {"alpha_keys": ["0=1.5", "2=0"]}):
        with pytest.raises(
            OptionError, match=r"roi 0,0,50,50:30 has an alpha of its own, 30, .* give it 0 to 1, or none"
        ):
            MagnifyOptions(roi=roi, **changes)
        MagnifyOptions(roi=["0,0,50,50:0.5", "60,0,50,50"], **changes)
    for end in (0, 1, 30):  # these stay on one side of 1, or pass through it from below to what the region has
        MagnifyOptions(roi=roi, alpha=1 if end != 30 else 0, alpha_end=end)


def test_thousands_are_allowed_with_a_warning():
    assert MagnifyOptions(alpha=999).advice == []
    for options in (MagnifyOptions(alpha=5000), MagnifyOptions(alpha_end=5000), MagnifyOptions(alpha_keys=["1=5000"])):
        (line,) = options.advice
        assert "alpha 5000 makes 50 px of an error of 0.01 px" in line
        assert "--max-shift" in line
    assert MagnifyOptions(alpha=5000, max_shift=20).advice == []


def test_targets_are_normalised_and_named():
    options = MagnifyOptions(
        mask=Path("masks") / "cat.png", mask_grow=8, mask_feather=2.5, roi=["1,2,3,4", (5, 6, 7, 8, 2)]
    )
    assert options.roi == options.regions == (Region(1, 2, 3, 4), Region(5, 6, 7, 8, 2.0))
    assert options.targeting == "mask=cat.png mask_grow=8 mask_feather=2.5 roi=1,2,3,4 roi=5,6,7,8:2"
    assert MagnifyOptions(mask="cat.png", mask_invert=True, mask_grow=8).targeting == (
        "mask=cat.png mask_invert mask_grow=8"
    )
    assert dataclasses.replace(options, alpha=3).regions == options.regions
    assert MagnifyOptions(roi="1,2,3,4:5").regions == (Region(1, 2, 3, 4, 5.0),)
    assert MagnifyOptions(roi=Region(1, 2, 3, 4)).regions == (Region(1, 2, 3, 4),)
    assert MagnifyOptions(roi=(1, 2, 3, 4)).regions == (Region(1, 2, 3, 4),)
    assert MagnifyOptions(roi=[1, 2, 3, 4, 5]).regions == (Region(1, 2, 3, 4, 5.0),)
    assert MagnifyOptions(alpha_map="a/b.npy").targeting == "alpha_map=b.npy"
    assert MagnifyOptions().targeting == ""


def test_whatever_makes_the_output_another_one_is_told_once():
    """And nothing that is as it would be anyway, nor what leaves the pictures as they are."""
    assert MagnifyOptions(threads=3, overwrite=True, hwaccel="auto").settings == ""
    options = MagnifyOptions(
        start=3661.125,
        duration=20.0,
        framerate="24000/1001",
        progressive=True,
        proxy=0.5,
        shot_cuts=False,
        cross_fade=0,
        band="2:4",
        align=False,
        detrend=True,
        roi="1,2,3,4",
        segment="5,6",
        segment_weights="weights/sam.pth",
        compare="side",
    )
    assert options.settings == (
        "start=3661.125 duration=20 framerate=24000/1001 progressive proxy=0.5 shot_cuts=no cross_fade=0 "
        "band=2:4 align=no detrend segment=5,6 segment_weights=sam.pth roi=1,2,3,4 compare=side"
    )


def test_parts_of_the_motion_are_normalised_and_named():
    options = MagnifyOptions(band="2:4", notch=("3:3.5", (8, 9)), fps=240, detrend=True, max_shift=5, smooth=16)
    assert (options.band, options.notch, options.fps) == ((2.0, 4.0), ((3.0, 3.5), (8.0, 9.0)), 240.0)
    assert options.choosing == "band=2:4 notch=3:3.5 notch=8:9 fps=240 max_shift=5 smooth=16 detrend"
    assert dataclasses.replace(options, alpha=3).notch == options.notch
    assert MagnifyOptions(notch=(8, 9)).notch == MagnifyOptions(notch="8:9").notch == ((8.0, 9.0),)
    assert MagnifyOptions().choosing == ""


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"band": "2:4", "fps": 8}, "band 2:4 reaches 4 Hz, and 8 frames a second show motion only below 4 Hz"),
        ({"notch": "2:5", "fps": 8}, "notch 2:5 reaches 5 Hz"),
        ({"band": "2:4", "reference": "previous"}, "band needs positions .* previous measures velocity"),
        (
            {"band": "2:4", "notch": "1:5"},
            "nothing is left to magnify: notch 1:5 covers all of band 2:4",
        ),
        ({"band": "2:4", "notch": ["3:9", "2:3.5"]}, "notch 3:9, 2:3.5 covers all of band 2:4"),
        ({"notch": "2:4", "reference": "previous"}, "notch needs positions .*; use --reference first"),
    ],
)
def test_frequencies_that_cannot_be(wrong, text):
    with pytest.raises(OptionError, match=text):
        MagnifyOptions(**wrong)


def test_numpy_numbers_are_numbers():
    options = MagnifyOptions(alpha=np.float32(2.5), start=np.int64(1))
    assert (options.alpha, options.start) == (2.5, 1.0)
    assert type(options.alpha) is float
    assert type(options.start) is float
