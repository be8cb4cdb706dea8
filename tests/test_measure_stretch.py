"""Clips whose times do not hang together: the longest stretch that does is looked at, or they are refused."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import numpy as np
import pytest
from vibrations import RATE, Disc, render

from magfilter import OptionError, find_vibrations, measure_motion
from magfilter.find import vibrations
from magfilter.find.cells import Shape
from magfilter.measure.stretch import longest

STEP = 1 / RATE


def steady(count: int, begin: float = 0.0) -> np.ndarray:
    return begin + np.arange(count) * STEP


def stretch(*parts: np.ndarray, fps: float | None = None) -> tuple[slice, list[str]]:
    warnings: list[str] = []
    return longest("in.mkv", np.concatenate(parts), fps, warnings), warnings


@pytest.mark.parametrize(
    "times",
    [
        steady(30),
        np.full(30, np.nan),
        np.zeros(30),
        np.delete(steady(40), [3, 4, 5, 20, 33]),
        np.concatenate([steady(20), steady(20, 5.0)]),
        np.cumsum(np.random.default_rng(0).exponential(STEP, 60)),
        steady(30)[::-1],
        steady(2),
    ],
)
def test_usual_gaps_are_left_to_the_spectrum(times):
    assert stretch(times) == (slice(0, len(times)), [])


def test_a_gap_that_dwarfs_the_clip_divides_it():
    part, (line,) = stretch(steady(10), steady(20, 1e6), steady(8, 2e6))
    assert part == slice(10, 30)
    assert line.startswith("in.mkv: there is a gap of 1e+06 seconds between its frames; the longest stretch without ")
    assert line.endswith("frames 10 to 29 of 38")
    assert stretch(steady(10), steady(20, 1e6), fps=RATE)[0] == slice(10, 30)


def test_times_that_fall_back_divide_it_unless_the_rate_is_given():
    part, (line,) = stretch(steady(20, 1.0), steady(25))
    assert part == slice(20, 45)
    assert "its times fall back by 1.633 seconds" in line
    assert line.endswith("give --fps RATE")
    assert stretch(steady(20, 1.0), steady(25), fps=RATE) == (slice(0, 45), [])


def clip(path, times) -> str:
    """A disc that vibrates by 0.5 px at 4 Hz in the picture's own time, shown at times (n,) s."""
    disc = Disc((96, 64), lambda t: (0.5 * math.sin(2 * math.pi * 4 * t), 0.0))
    with av.open(str(path), "w") as out:
        base = Fraction(1, 1000)
        stream = out.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "gray"
        stream.codec_context.time_base = stream.time_base = base
        for number, time in enumerate(times):
            picture = np.clip(np.rint(render((disc,), number * STEP)), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            frame.pts, frame.time_base = number, base
            for packet in stream.encode(frame):
                packet.pts = packet.dts = round(time * 1000)
                packet.time_base = base
                out.mux(packet)
    return str(path)


def test_the_longest_stretch_is_measured(tmp_path):
    """Errors of NumPy's, or vibrations a thousand times as large as the picture."""
    source = clip(tmp_path / "gap.nut", [*steady(12), *steady(60, 1e9)])
    found = find_vibrations(source)
    assert found.frames == 60
    assert found.vibrations[0].frequency == pytest.approx(4, abs=0.1)
    assert found.vibrations[0].amplitude == pytest.approx(0.5, abs=0.1)
    assert any("a gap of 1e+09 seconds" in line for line in found.warnings)
    motion = measure_motion(source, roi="70,38,52,52")
    assert motion[0].peaks[0].frequency == pytest.approx(4, abs=0.1)
    assert (motion.times[0], len(motion.times)) == (0, 60)
    assert motion.start == pytest.approx(1e9)
    np.testing.assert_array_equal(motion.timing.numbers, np.arange(12, 72))
    assert sum("a gap of 1e+09 seconds" in line for line in motion.warnings) == 1


def test_bursts_are_measured_whole(tmp_path):
    """What happens from burst to burst is what such a recording is made for."""
    source = clip(tmp_path / "bursts.mkv", [*steady(20), *steady(20, 60.0), *steady(20, 120.0)])
    motion = measure_motion(source, roi="70,38,52,52")
    assert len(motion.times) == 60
    assert motion.times[-1] == pytest.approx(120.6, abs=0.2)
    assert np.isfinite(motion[0].displacement).all()


def test_what_is_left_may_be_too_short(tmp_path):
    source = clip(tmp_path / "gap.mkv", [*steady(10), *steady(10, 1e6)])
    with pytest.raises(
        OptionError, match=r"10 frames in a row are too few .*; 16 are needed; there is a gap of 1e\+06 "
    ):
        find_vibrations(source)


def test_nothing_reaches_farther_than_the_picture(tmp_path, monkeypatch):
    shapes = vibrations.shapes

    def wild(*args):
        clear, faint = shapes(*args)
        return [*clear, Shape(5.0, 78_000.0, 9.0, clear[0].phasors, clear[0].core)], faint

    monkeypatch.setattr(vibrations, "shapes", wild)
    found = find_vibrations(clip(tmp_path / "in.mkv", steady(40)))
    assert [round(one.amplitude, 1) for one in found.vibrations] == [0.5]
