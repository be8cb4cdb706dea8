"""Streams whose frames change their size or layout: what comes before is kept, the rest is told and counted as lost."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from magfilter import find_vibrations, magnify_video, measure_motion
from magfilter.errors import CorruptInput, InputError
from magfilter.media import CopiedPacket, Frame, VideoReader


def joined(clips, *parts: dict, frames=(10, 10)) -> str:
    whole = Path(clips.folder) / "joined.ts"
    made = [clips(f"{n}.ts", frames=frames[n], **part) for n, part in enumerate(parts)]
    whole.write_bytes(b"".join(Path(path).read_bytes() for path in made))
    return str(whole)


def read(path: str, **options) -> tuple[list[Frame], list[CopiedPacket], VideoReader]:
    with VideoReader(path, **options) as reader:
        items = list(reader)
    kinds = (Frame, CopiedPacket)
    return *([item for item in items if isinstance(item, kind)] for kind in kinds), reader


@pytest.mark.parametrize(
    ("other", "to"),
    [
        ({"size": (96, 48)}, "96x48 yuv420p"),
        ({"pix_fmt": "yuv444p"}, "64x48 yuv444p"),
        ({"pix_fmt": "yuv420p10le"}, "64x48 yuv420p10le"),
    ],
)
def test_frames_before_a_change_are_kept(clips, other, to):
    """All finished work was thrown away."""
    frames, _, reader = read(joined(clips, {}, other))
    assert (len(frames), reader.missing, reader.errors) == (10, 10, 0)
    (line,) = reader.warnings
    assert f"frame 10 changes from 64x48 yuv420p to {to}, at 0.40 seconds; it ends there, and the rest is lost" in line


def test_a_change_after_one_frame_is_an_error(clips):
    with pytest.raises(InputError, match=r"frame 1 changes from 64x48 .*; cut the file there"):
        read(joined(clips, {}, {"size": (96, 48)}, frames=(1, 10)))
    assert len(read(joined(clips, {}, {"size": (96, 48)}, frames=(2, 10)))[0]) == 2


def test_sound_ends_where_the_picture_does(clips):
    frames, packets, _ = read(
        joined(clips, {"audio": ("eng",)}, {"audio": ("eng",), "size": (96, 48)}, frames=(30, 30))
    )
    assert len(frames) == 30
    assert packets
    # But for what was read while the last frames were still in the decoder.
    assert max(packet.time for packet in packets) < frames[-1].time + 0.5


def test_only_what_was_wanted_is_lost(clips):
    source = joined(clips, {}, {"size": (96, 48)}, frames=(30, 30))
    frames, _, reader = read(source, duration=0.8)
    assert (len(frames), reader.missing) == (20, 0)
    assert not any("changes from" in line for line in reader.warnings)
    frames, _, reader = read(source, duration=1.6)
    assert len(frames) == 30
    assert 8 <= reader.missing <= 12
    frames, _, reader = read(source, start=0.4)
    assert (len(frames), reader.missing) == (20, 30)


def test_the_output_is_whole_up_to_there(clips, tmp_path):
    source = joined(clips, {}, {"size": (96, 48)})
    with pytest.raises(CorruptInput, match=r"10 of about 20 frames could not be read \(50%") as caught:
        magnify_video(source, tmp_path / "out.mkv")
    assert caught.value.exit_code == 69
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
    report = magnify_video(source, tmp_path / "out.mkv", overwrite=True, max_error_rate=0.6)
    assert (report.frames, report.lost) == (10, 10)
    assert any("frame 10 changes" in line for line in report.warnings)


def test_what_was_measured_is_kept(clips):
    source = joined(clips, {}, {"size": (96, 48)}, frames=(20, 20))
    motion = measure_motion(source)
    assert (len(motion.times), motion.lost) == (20, 20)
    assert any("frame 20 changes" in line for line in motion.warnings)
    found = find_vibrations(source)
    assert found.frames == 20
    assert any("frame 20 changes" in line for line in found.warnings)


def test_what_is_live_is_not_read_on(clips, monkeypatch):
    """A camera may never end."""
    source = joined(clips, {}, {"size": (96, 48)}, frames=(30, 300))
    monkeypatch.setattr("magfilter.media.source.is_live", lambda name: True)
    with VideoReader(source) as reader:
        assert sum(isinstance(item, Frame) for item in reader) == 30
        assert reader.missing == 30
        assert reader._sent < 60
