"""Whole jobs through the Python interface: what comes out is what went in, but for the motion."""

from __future__ import annotations

import os
import threading
import time
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import av
import numpy as np
import pytest
from clips import CHAPTERS, VFR, Clips, cut, packets, picture

from magfilter import (
    CorruptInput,
    EncodeOptions,
    Frame,
    InputError,
    MagnifyOptions,
    OptionError,
    OutputError,
    VideoReader,
    VideoWriter,
    magnify_video,
)
from magfilter.measured import Measured
from magfilter.media.frame import same_picture
from magfilter.pipeline import Job
from magfilter.reference import ReferencePolicy

BT709_LIMITED = (1, 1, 1, 1)
FFV1 = EncodeOptions(codec="ffv1")


def frames(path: str | os.PathLike[str]) -> list[Frame]:
    with VideoReader(path) as reader:
        return [item for item in reader if isinstance(item, Frame)]


def times(path: str | os.PathLike[str]) -> list[Fraction]:
    """Presentation times in seconds, exactly."""
    return [frame.pts * frame.time_base for frame in frames(path)]


class FakeMagnifier:
    """Stands in where the network does not matter: hands frames on, after `work` has looked at them."""

    references = 1
    alpha = 2.0
    ramp = None
    policy = ReferencePolicy()
    engine = SimpleNamespace(model=SimpleNamespace(path=SimpleNamespace(stem="fake")), at_once=1)

    def __init__(self, work=lambda number: None):
        self.work, self.number = work, 0

    def foresee(self, frame):
        pass

    def measure(self, frame):
        self.work(self.number)
        self.number += 1
        return Measured(frame)

    def render(self, measured):
        return measured.frame


@pytest.fixture
def fake(monkeypatch):
    """Replaces the magnifier by one that calls the given function with each frame's number."""

    def use(work=lambda number: None):
        monkeypatch.setattr("magfilter.pipeline.Magnifier", lambda *args, **kwargs: FakeMagnifier(work))

    return use


# ---- what is kept


@pytest.mark.parametrize("name", ["in.mp4", "in.mov", "in.mkv"])
def test_everything_but_the_motion_is_kept(clips: Clips, tmp_path, name):
    source = clips(
        name,
        frames=8,
        size=(96, 64),
        colour=BT709_LIMITED,
        sar=Fraction(4, 3),
        rotation=90,
        audio=("eng", "deu"),
        chapters=True,
        metadata={"title": "a title"},
    )
    target = tmp_path / ("out" + name[2:])
    report = magnify_video(source, target, alpha=5)
    assert (report.frames, report.interrupted, report.lost) == (8, False, 0)
    assert times(target) == times(source)
    assert packets(str(target), "audio") == packets(source, "audio")
    with VideoReader(source) as before, VideoReader(target) as after:
        a, b = before.info, after.info
        assert (b.colour, b.sar, b.rotation, b.display_matrix) == (a.colour, a.sar, a.rotation, a.display_matrix)
        assert (b.width, b.height, b.rate) == (a.width, a.height, a.rate)
        assert [(s.type, s.codec, s.language) for s in b.streams] == [(s.type, s.codec, s.language) for s in a.streams]
        assert b.streams[1].language == "eng"
        assert len(after.container.chapters()) == len(CHAPTERS)
        assert [c["metadata"] for c in after.container.chapters()] == [c["metadata"] for c in CHAPTERS]
        assert b.metadata["title"] == "a title"
        comment = next(value for key, value in b.metadata.items() if key.lower() == "comment")
        assert "alpha=5 model=warp-light reference=first" in comment
    assert not all(same_picture(x.planes, y.planes) for x, y in zip(frames(source), frames(target), strict=True))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv422p10le", "yuv444p", "gray", "gbrp", "gbrp10le"])
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_alpha_1_is_the_identity_to_the_bit(clips: Clips, tmp_path, pix_fmt, size):
    name, codec = ("in.nut", "utvideo") if pix_fmt == "gbrp" else ("in.mkv", "ffv1")  # FFV1 has 8-bit RGB packed only
    source = clips(name, frames=3, size=size, codec=codec, pix_fmt=pix_fmt, noise=True)
    magnify_video(source, tmp_path / "out.mkv", alpha=1, encode=FFV1)
    before, after = frames(source), frames(tmp_path / "out.mkv")
    assert [f.layout.name for f in after] == [pix_fmt] * 3
    assert all(same_picture(a.planes, b.planes) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    "pix_fmt",
    ["yuv420p", "yuv420p10le", "yuv422p", "yuv422p10le", "yuv444p", "yuv444p12le", "gray", "gray10le", "gbrp"],
)
@pytest.mark.parametrize("size", [(64, 48), (65, 49)])
def test_every_layout_and_odd_sizes_are_magnified(clips: Clips, tmp_path, pix_fmt, size):
    name, codec = ("in.nut", "utvideo") if pix_fmt == "gbrp" else ("in.mkv", "ffv1")
    source = clips(name, frames=4, size=size, codec=codec, pix_fmt=pix_fmt)
    magnify_video(source, tmp_path / "out.mkv", alpha=6, encode=FFV1)
    before, after = frames(source), frames(tmp_path / "out.mkv")
    assert [(f.layout.name, f.width, f.height) for f in after] == [(pix_fmt, *size)] * 4
    assert same_picture(before[0].planes, after[0].planes), "the reference is passed untouched"


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
def test_variable_rate(clips: Clips, tmp_path, name):
    source = clips(name, pts=VFR)
    target = tmp_path / ("out" + name[2:])
    assert magnify_video(source, target, alpha=3).frames == len(VFR)
    assert times(target) == times(source)


def test_a_variable_rate_stretch_is_not_taken_for_damage(clips: Clips, tmp_path):
    # Few frames in the first second and many in the next: the average rate promises more than there are.
    pts = [0, 30000, 60000, *range(90000, 180000, 1800)]
    for name in ("in.mp4", "in.mkv"):
        source = clips(name, pts=pts)
        report = magnify_video(source, tmp_path / "out.mp4", alpha=1, duration=1.0, overwrite=True)
        assert (report.frames, report.lost) == (3, 0)
        report = magnify_video(source, tmp_path / "out.mp4", alpha=1, overwrite=True)
        assert (report.frames, report.lost) == (len(pts), 0)
        assert not report.warnings


def test_start_and_duration(clips: Clips, tmp_path):
    source = clips("in.mp4", frames=50, audio=("eng",))
    report = magnify_video(source, tmp_path / "out.mp4", alpha=1, start=0.4, duration=0.8)
    assert report.frames == 20
    assert times(tmp_path / "out.mp4") == [Fraction(i, 25) for i in range(20)]
    assert frames(tmp_path / "out.mp4")[0].time == 0


def test_overwriting_keeps_the_old_file_until_the_new_one_is_whole(clips: Clips, tmp_path, fake):
    source, target = clips("in.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"old")
    seen = []
    fake(lambda number: seen.append(target.read_bytes()))
    magnify_video(source, target, overwrite=True)
    assert set(seen) == {b"old"}
    assert len(frames(target)) == 10


# ---- references


def two_shots(clips: Clips, count: int = 5) -> str:
    """Dark texture at the left, then a bright one with another histogram."""
    path = str(clips.folder / "shots.mkv")
    with av.open(path, "w") as out:
        stream = out.add_stream("ffv1", rate=25, time_base=Fraction(1, 1000))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        y, x = np.mgrid[0:64, 0:96]
        for i in range(2 * count):
            frame = picture(0, 96, 64)
            luma = 40 + 30 * np.sin(0.3 * (x + 0.2 * i)) if i < count else np.where((x // 24 + y // 16) % 2, 235, 150)
            plane = np.frombuffer(frame.planes[0], np.uint8).reshape(64, -1)
            plane[:, :96] = luma
            frame.pts, frame.time_base = 40 * i, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("shot_cuts", "references"), [(True, 2), (False, 1)])
def test_a_shot_cut_takes_a_new_reference(clips: Clips, tmp_path, shot_cuts, references):
    source = two_shots(clips)
    report = magnify_video(source, tmp_path / "out.mkv", alpha=5, shot_cuts=shot_cuts, encode=FFV1)
    assert report.references == references
    before, after = frames(source), frames(tmp_path / "out.mkv")
    assert same_picture(before[0].planes, after[0].planes)
    if shot_cuts:
        assert same_picture(before[5].planes, after[5].planes)


@pytest.mark.parametrize(
    ("reference", "count"), [("first", 1), ("previous", 10), ("every:0.2", 2), ("frame:0", 1), ("frame:4", 1)]
)
def test_reference_policies(clips: Clips, tmp_path, reference, count):
    source = clips("in.mkv", frames=10, codec="ffv1")
    report = magnify_video(source, tmp_path / "out.mkv", alpha=2, reference=reference, encode=FFV1, shot_cuts=False)
    assert (report.frames, report.references) == (10, count)


def test_frame_0_is_first(clips: Clips, tmp_path):
    source = clips("in.mkv", frames=4, codec="ffv1")
    for reference in ("first", "frame:0"):
        magnify_video(source, tmp_path / f"{reference[:5]}.mkv", reference=reference, encode=FFV1, shot_cuts=False)
    for a, b in zip(frames(tmp_path / "first.mkv"), frames(tmp_path / "frame.mkv"), strict=True):
        assert same_picture(a.planes, b.planes)


def test_reference_beyond_the_end(clips: Clips, tmp_path):
    with pytest.raises(OptionError, match="frame:10 lies beyond the end: the input has 10 frames, 0 to 9"):
        magnify_video(clips("in.mp4"), tmp_path / "out.mp4", reference="frame:10")
    assert os.listdir(tmp_path) == ["in.mp4"]


@pytest.mark.parametrize("kind", ["-", "fifo"])
def test_a_far_reference_on_a_pipe_is_refused(tmp_path, kind):
    source = kind
    if kind == "fifo":
        source = tmp_path / "fifo"
        os.mkfifo(source)
    with pytest.raises(OptionError, match="which a pipe does not allow; use --reference first, or a file"):
        magnify_video(source, tmp_path / "out.mp4", reference="frame:3")


# ---- bad input


@pytest.mark.parametrize("name", ["in.mkv", "in.nut"])
def test_truncated_past_the_tolerance(clips: Clips, tmp_path, name):
    source = cut(clips(name, frames=50, noise=True, codec="ffv1"), 0.5)
    target = tmp_path / "out.mkv"
    if name.endswith("nut"):  # nut keeps no length of its own once its index is gone: nothing to judge by
        assert magnify_video(source, target, alpha=1).frames > 20
        return
    with pytest.raises(CorruptInput, match=r"\d+ of about (49|50|51) frames could not be read .*tolerated 10%"):
        magnify_video(source, target, alpha=1)
    assert 20 <= len(frames(target)) <= 26
    report = magnify_video(source, target, alpha=1, max_error_rate=0.6, overwrite=True)
    assert report.lost + report.frames == pytest.approx(50, abs=1)
    assert any("cut short or damaged" in warning for warning in report.warnings)


def test_truncated_behind_the_wanted_stretch_is_no_loss(clips: Clips, tmp_path):
    source = cut(clips("in.mkv", frames=50, noise=True, codec="ffv1"), 0.6)
    report = magnify_video(source, tmp_path / "out.mkv", alpha=1, duration=0.8)
    assert (report.frames, report.lost) == (20, 0)
    with pytest.raises(CorruptInput):
        magnify_video(source, tmp_path / "out.mkv", alpha=1, start=0.8, overwrite=True)


def test_options_are_checked_before_the_input_is_opened(tmp_path):
    for changes, error in [
        ({"encode": EncodeOptions(codec="h265x")}, OutputError),
        ({"encode": EncodeOptions(pix_fmt="yuv421p")}, OptionError),
        ({"encode": EncodeOptions(format="mp5")}, OptionError),
        ({"alpha": -1}, OptionError),
    ]:
        with pytest.raises(error):
            magnify_video(tmp_path / "missing.mp4", tmp_path / "out.mp4", **changes)
    with pytest.raises(InputError):
        magnify_video(tmp_path / "missing.mp4", tmp_path / "out.mp4")


# ---- threads


def test_stages_overlap(clips: Clips, tmp_path, fake, monkeypatch):
    step = 0.04
    read, write = VideoReader.__next__, VideoWriter.write
    monkeypatch.setattr(VideoReader, "__next__", lambda self: (time.sleep(step), read(self))[1])
    monkeypatch.setattr(VideoWriter, "write", lambda self, frame: (time.sleep(step), write(self, frame))[1])
    fake(lambda number: time.sleep(step))
    report = magnify_video(clips("in.mp4", frames=15), tmp_path / "out.mp4")
    assert sum(report.stages.values()) > 3 * 15 * step
    assert report.seconds < 2.2 * 15 * step, "one after the other would take three steps a frame"


@pytest.mark.parametrize("audio", [(), ("eng",)])
def test_memory_does_not_depend_on_the_length(clips: Clips, tmp_path, fake, monkeypatch, audio):
    """However slow the encoder, only a few frames wait for it."""
    read, write = VideoReader.__next__, VideoWriter.write
    decoded, most = 0, 0

    def count(self):
        nonlocal decoded
        item = read(self)
        decoded += isinstance(item, Frame)
        return item

    def slow(self, frame):
        nonlocal most
        time.sleep(0.005)
        most = max(most, decoded - self.frames)
        write(self, frame)

    monkeypatch.setattr(VideoReader, "__next__", count)
    monkeypatch.setattr(VideoWriter, "write", slow)
    fake()
    magnify_video(clips("in.mp4", frames=60, audio=audio), tmp_path / "out.mp4")
    assert decoded == 60
    assert 3 <= most <= 10


@pytest.mark.parametrize("stage", ["decode", "measure", "encode", "finish", "progress"])
def test_a_failing_stage_ends_the_job(clips: Clips, tmp_path, fake, monkeypatch, stage):
    """Promptly, with its own error, and with nothing on disk."""
    source = clips("in.mp4", frames=40)
    error = RuntimeError("broken on purpose")

    def broken(*_):
        raise error

    seen = 0

    def after(self):
        nonlocal seen
        seen += 1
        return broken() if seen > 10 else read(self)

    read = VideoReader.__next__
    if stage == "decode":
        monkeypatch.setattr(VideoReader, "__next__", after)
    if stage in ("encode", "finish"):
        monkeypatch.setattr(VideoWriter, {"encode": "write", "finish": "finish"}[stage], broken)
    fake(lambda number: broken() if stage == "measure" and number == 10 else None)
    begun = time.monotonic()
    with pytest.raises(RuntimeError) as caught:
        magnify_video(source, tmp_path / "out.mp4", progress=broken if stage == "progress" else None)
    assert caught.value is error
    assert time.monotonic() - begun < 3
    assert os.listdir(tmp_path) == ["in.mp4"]
    assert not [t for t in threading.enumerate() if t.name.startswith("magfilter-")]


def test_progress(clips: Clips, tmp_path):
    steps, threads = [], set()

    def note(progress):
        steps.append(progress)
        threads.add(threading.current_thread())

    magnify_video(clips("in.mp4", frames=6), tmp_path / "out.mp4", alpha=1, progress=note)
    assert [(p.frames, p.expected) for p in steps] == [(i, 6) for i in range(1, 7)]
    assert [p.position for p in steps] == pytest.approx([i / 25 for i in range(6)])
    assert all(a.seconds <= b.seconds for a, b in pairwise(steps))
    assert threads == {threading.current_thread()}


def test_stop_makes_what_there_is_whole(clips: Clips, tmp_path):
    stop = threading.Event()
    report = magnify_video(
        clips("in.mp4", frames=200, audio=("eng",)),
        tmp_path / "out.mp4",
        alpha=1,
        stop=stop,
        progress=lambda p: stop.set() if p.frames >= 5 else None,
    )
    assert report.interrupted
    assert 5 <= report.frames < 200
    assert len(frames(tmp_path / "out.mp4")) == report.frames


def test_stop_before_the_first_frame_writes_nothing(clips: Clips, tmp_path):
    stop = threading.Event()
    stop.set()
    report = magnify_video(clips("in.mp4"), tmp_path / "out.mp4", stop=stop)
    assert (report.interrupted, report.frames) == (True, 0)
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_stop_after_the_last_frame_is_no_interruption(clips: Clips, tmp_path, monkeypatch):
    stop = threading.Event()
    finish = VideoWriter.finish
    monkeypatch.setattr(VideoWriter, "finish", lambda self: (stop.set(), time.sleep(0.3), finish(self))[2])
    report = magnify_video(clips("in.mp4"), tmp_path / "out.mp4", alpha=1, stop=stop)
    assert (report.interrupted, report.frames) == (False, 10)


def test_an_input_without_a_rate_has_no_frequencies(clips: Clips, tmp_path, monkeypatch):
    monkeypatch.setattr("magfilter.media.probe.frame_rate", lambda stream: None)
    source = clips("in.mkv", codec="ffv1", frames=3)
    with pytest.raises(OptionError, match=r"in\.mkv does not say its frame rate, .*; give --fps RATE"):
        magnify_video(source, tmp_path / "out.mkv", band="2:4")
    assert os.listdir(tmp_path) == ["in.mkv"]
    assert magnify_video(source, tmp_path / "out.mkv", band="2:4", fps=30).frames == 3


def test_a_dry_job_touches_nothing(clips: Clips, tmp_path):
    source, target = clips("in.mp4"), tmp_path / "out.mp4"
    (tmp_path / ".out.mp4.part").write_bytes(b"another job's")
    with Job(source, target, MagnifyOptions(), dry=True) as job:
        assert job.writer is not None
        assert job.writer.plan.codec == "libx264"
        with pytest.raises(ValueError, match="only to be looked at"):
            job.run()
    assert (tmp_path / ".out.mp4.part").read_bytes() == b"another job's"
    assert not target.exists()
