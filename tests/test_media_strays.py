"""Frames whose times leap ahead of the others' are put in between them; gaps stay gaps."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest
from clips import VFR, picture

from magfilter import find_vibrations, magnify_video, measure_motion
from magfilter.media import Frame, VideoReader
from magfilter.media.strays import Strays

STEP = 3600


def through(times, step=Fraction(STEP), live=False):
    """Times after mending, and how many frames were held back at most."""
    strays, out, held = Strays(step, live), [], 0
    for count, pts in enumerate(times, 1):
        out += strays(count, pts)
        held = max(held, count - len(out))
    out += strays.rest()
    assert [number for number, _ in out] == list(range(1, len(times) + 1))
    return [pts for _, pts in out], held, strays


def steady(count: int, begin: int = 0) -> list[int]:
    return [begin + number * STEP for number in range(count)]


@pytest.mark.parametrize("by", [10 * STEP, 540_000, 1 << 55])
def test_a_frame_far_ahead_of_the_others_is_put_in_between(by):
    times = steady(20)
    times[6] += by
    found, held, strays = through(times)
    assert found == steady(20)
    assert held == 1
    (line,) = strays.warnings("in.ts", Fraction(1, 90000), Fraction(0))
    said = "in.ts: the frame at 0.24 seconds is said to come"
    assert (
        line
        == f"{said} {by / 90000:.2f} seconds later, which those after it do not, and is put in between its neighbours"
    )


def test_several_of_them():
    times = steady(30)
    times[3] += 500_000
    for number, by in ((10, 700_000), (11, 700_000), (12, 600_000), (20, 90_000)):
        times[number] += by
    found, held, strays = through(times)
    assert found == steady(30)
    assert (held, strays.count) == (3, 5)
    assert strays.warnings("in.ts", Fraction(1, 90000), Fraction(0))[0].endswith("neighbours, as are 4 more")


@pytest.mark.parametrize(
    "times",
    [
        VFR,
        steady(10) + steady(10, 10_000_000),
        steady(4) + steady(16, 1 << 55),
        [0, STEP, 2 * STEP, 9_000_000, 9_000_000 + STEP, 20_000_000, 30_000_000, 30_000_000 + STEP],
        [*steady(10), 10_000_000],
        [*steady(10), *steady(10)],
        [0] * 20,
        [0, 10_000_000, 20_000_000, 30_000_000],
        [10_000_000, *steady(10)],
        [*steady(10), 1_000_000, 500_000, 600_000, 400_000, 700_000, 800_000],
    ],
)
@pytest.mark.parametrize("live", [False, True])
def test_what_is_no_single_stray_stays_as_it_is(times, live):
    found, held, strays = through(times, live=live)
    assert found == list(times)
    assert strays.warnings("in.ts", Fraction(1, 90000), Fraction(0)) == []
    assert held <= (0 if live else 4)


def test_even_frames_are_never_held():
    for step in (Fraction(STEP), None):
        assert through(steady(50), step)[1] == 0
    assert through([number * 100 * STEP for number in range(10)], None)[1] == 0


def test_a_pipe_waits_for_nothing():
    """Whoever sends may send one a minute, or none until the last has come back."""
    times = steady(20)
    times[6] += 540_000
    found, held, strays = through(times, live=True)
    assert (found, held, strays.count) == (times, 0, 0)


@pytest.fixture
def spike(tmp_path) -> str:
    """60 frames at 25 a second, the seventh of which is said to come six seconds later."""
    path = str(tmp_path / "spike.ts")
    base = Fraction(1, 90000)
    with av.open(path, "w") as out:
        stream = out.add_stream("mpeg2video", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        packets = []
        for number in range(60):
            frame = picture(number, 64, 48)
            frame.pts = number
            packets += stream.encode(frame)
        for number, packet in enumerate(packets + stream.encode(None)):
            packet.time_base, packet.dts = base, number * STEP
            packet.pts = (number + 1) * STEP + (540_000 if number == 6 else 0)
            out.mux(packet)
    return path


def times_of(path) -> list[float]:
    with VideoReader(path) as reader:
        return [item.time for item in reader if isinstance(item, Frame)]


def test_one_bad_time_does_not_freeze_the_rest(spike, tmp_path):
    """What followed came out squeezed into a thousandth of a second, behind the one that leaped ahead."""
    report = magnify_video(spike, tmp_path / "out.mkv")
    assert sum("said to come 6.00 seconds later" in line for line in report.warnings) == 1
    times = times_of(tmp_path / "out.mkv")
    assert times == pytest.approx([times[0] + number / 25 for number in range(60)], abs=1.1e-3)


def test_a_stretch_goes_on_behind_it(spike):
    with VideoReader(spike, duration=2.0) as reader:
        assert sum(isinstance(item, Frame) for item in reader) == 50


def test_it_is_measured_at_the_right_time(spike):
    motion = measure_motion(spike)
    assert motion.timing.even
    assert motion.timing.rate == 25
    assert any("said to come 6.00 seconds later" in line for line in motion.warnings)
    assert find_vibrations(spike).rate == 25


def test_a_pipe_with_gaps_is_read_as_it_is(clips, monkeypatch):
    pts = [0, 3600, 7200, 900_000, 903_600, 1_800_000, 2_700_000, 3_600_000]
    path = clips("in.nut", codec="ffv1", frames=len(pts), pts=pts)
    monkeypatch.setattr("magfilter.media.source.is_live", lambda name: True)
    with VideoReader(path) as reader:
        assert [item.time for item in reader] == pytest.approx([time / 90000 for time in pts])
