"""Numbers and names beyond all that is meant are refused in a line, and what is within them warns of nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from clips import Clips

from magfilter import MagnifyOptions, OptionError, OutputError, VideoReader, magnify_video
from magfilter.arguments import seconds
from magfilter.command import told_in_a_line
from magfilter.errors import MagfilterError
from magfilter.find.command import band_around
from magfilter.find.vibrations import find_vibrations
from magfilter.magnifier import Magnifier
from magfilter.masks import load_array
from magfilter.measure.options import MeasureOptions
from magfilter.media.target import check_target
from magfilter.suggest import suggest_alpha
from magfilter.temporal import design

BAND = {"band": (1, 2)}
BEYOND = [
    {"start": 1e300},
    {"start": 3.6e17},
    {"duration": 1e300},
    {"mask_feather": 1e300, "roi": "1,1,4,4"},
    {"mask_feather": 1e-320, "roi": "1,1,4,4"},
    {"mask_grow": 1e300, "mask": "m.npy"},
    {"max_shift": 1e-320},
    {"max_shift": 1e300},
    {"smooth": 1e300},
    {"proxy": 1e-320},
    {"fps": 1e308, **BAND},
    {"fps": 1e-308, **BAND},
    {"band": (0, 1e-300), "fps": 25},
    {"notch": (1e-320, 1), "fps": 25},
]


@pytest.mark.parametrize("options", BEYOND, ids=str)
def test_a_job_refuses_them(options):
    with pytest.raises(OptionError):
        MagnifyOptions(**options)


@pytest.mark.parametrize("options", [{"max_shift": 1e-320}, {"smooth": 1e300}, {"proxy": 1e-320}], ids=str)
def test_so_does_a_magnifier(options):
    with pytest.raises(OptionError):
        Magnifier(2, **options)


@pytest.mark.parametrize(
    "options", [{"fps": 1e308}, {"fps": 1e-308}, {"start": 1e300}, {"duration": 1e300}, {"mm_per_px": 1e308}], ids=str
)
def test_so_does_measuring(options):
    with pytest.raises(OptionError):
        MeasureOptions(**options)
    if "mm_per_px" not in options:
        with pytest.raises(OptionError):
            find_vibrations("nothing.mp4", **options)


@pytest.mark.parametrize("options", [{"start": 1e300}, {"duration": 1e300}], ids=str)
def test_so_does_a_reader(clips, options):
    with pytest.raises(OptionError, match="at most 1e"):
        VideoReader(clips("in.mp4"), **options)


def test_so_does_choosing_alpha():
    with pytest.raises(OptionError):
        suggest_alpha("in.mp4", size=1e300)


def test_times_of_too_many_digits_are_none():
    with pytest.raises(Exception, match="is not a time"):
        seconds("9" * 400 + ":00:00")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "options",
    [
        {"mask_feather": 1e6, "roi": "1,1,4,4"},
        {"mask_feather": 1e-6, "roi": "1,1,4,4"},
        {"max_shift": 1e-6},
        {"max_shift": 1e6},
        {"smooth": 1e6},
        {"proxy": 1e-6},
        {"start": 0, "duration": 1e9},
        {"band": (3e-5, 1), "fps": 25},
    ],
    ids=str,
)
def test_what_is_within_them_warns_of_nothing(clips, tmp_path, options):
    assert magnify_video(clips("in.mp4", frames=4), tmp_path / "o.mkv", **options).frames == 4


def test_what_find_offers_is_taken():
    """A band that reaches down to nothing begins at 0, not at what rounding leaves."""
    found = type("F", (), {"top": None, "rate": 25.0, "resolution": 1.0})
    low, high = band_around(2.0 + 1e-12, found)
    assert low == "0"
    design("band", (float(low), float(high)), 25.0)


def test_a_name_that_is_too_long_is_a_line(clips, tmp_path):
    for name in ("x" * 300 + ".mp4", "x" * 300 + "/o.mp4"):
        with pytest.raises(OutputError, match="the name is too long"):
            check_target(str(tmp_path / name), "in.mp4", False)


def test_a_header_is_not_shown_whole(tmp_path):
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (48,64)" + b"+" * 2000 + b", }\n"
    (tmp_path / "m.npy").write_bytes(b"\x93NUMPY\x01\x00" + np.uint16(len(head)).tobytes() + head)
    with pytest.raises(Exception, match="is no readable") as refused:
        load_array(tmp_path / "m.npy")
    assert len(str(refused.value)) < 400 + len(str(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="closes descriptors before the command begins")
@pytest.mark.parametrize(
    ("module", "words"),
    [("measure", []), ("find", []), ("cli", ["--info"]), ("cli", ["-"]), ("measure", ["-o", "-"])],
    ids=str,
)
def test_a_closed_stdout_is_said_before_the_work(clips: Clips, module, words):
    clip = clips("in.mp4", frames=3)  # too few for a frequency, which is not what is said
    name = "magfilter.cli" if module == "cli" else f"magfilter.{module}"
    done = subprocess.run(
        [sys.executable, "-m", name, clip, *words], stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1), check=False
    )
    assert done.returncode == 1
    assert b"standard output is closed" in done.stderr


def test_no_more_threads_is_the_systems_limit():
    with pytest.raises(MagfilterError, match="starts no more threads") as refused, told_in_a_line(False):
        raise RuntimeError("can't start new thread")
    assert "internal error" not in str(refused.value)
