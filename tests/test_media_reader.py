"""Reading: times, traps, damage, and every way an input can be wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from clips import TICKS, VFR, cut, packets, picture

from magfilter.errors import InputError, OptionError
from magfilter.media import CopiedPacket, Frame, VideoReader, opacity
from magfilter.media.convert import cousin, read_planes


def frames(path, **options):
    with VideoReader(path, **options) as reader:
        return [item for item in reader if isinstance(item, Frame)]


def times(path, **options):
    return [frame.pts for frame in frames(path, **options)]


@pytest.mark.parametrize("offset", [0, 45000])
def test_variable_rate_and_offset_with_b_frames(clips, offset):
    pts = [p + offset for p in VFR]
    assert times(clips("vfr.mp4", pts=pts)) == pts


def test_info(clips):
    path = clips(
        "a.mp4", pix_fmt="yuv422p10le", colour=(1, 9, 9, 16), sar=Fraction(4, 3), rotation=90,
        audio=("eng", "deu"), metadata={"title": "T"},
    )  # fmt: skip
    with VideoReader(path) as reader:
        info = reader.info
    assert (info.width, info.height, info.layout.name, info.codec) == (64, 48, "yuv422p10le", "h264")
    assert (info.rate, info.time_base, info.frames, info.frames_exact) == (25, TICKS, 10, True)
    assert info.duration == pytest.approx(0.4)
    assert (info.sar, info.rotation) == (Fraction(4, 3), 90)
    assert len(info.display_matrix) == 9
    c = info.colour
    assert (c.range, c.matrix, c.primaries, c.transfer) == (1, 9, 9, 16)
    assert [(s.type, s.language) for s in info.streams] == [
        ("video", None),
        ("audio", "eng"),
        ("audio", "deu"),
    ] or [s.language for s in info.streams[1:]] == ["eng", "deu"]
    assert info.metadata["title"] == "T"
    assert (info.field_order, info.interlaced, info.hdr) == ("progressive", False, None)


def test_unspecified_colour_stays_unspecified(clips):
    colour = frames(clips("a.mp4"))[0].colour
    assert (colour.range, colour.matrix, colour.primaries, colour.transfer) == (0, 2, 2, 2)


def test_samples_arrive_untouched(clips):
    path = clips("a.mkv", codec="ffv1", pix_fmt="yuv420p10le", size=(13, 7), noise=True, time_base=Fraction(1, 1000))
    for i, frame in enumerate(frames(path)):
        expected = read_planes(picture(i, 13, 7, "yuv420p10le", True), cousin("yuv420p10le"), VideoReformatter())
        for a, b in zip(frame.planes, expected, strict=True):
            np.testing.assert_array_equal(a, b & 1023)


def test_full_range_names_become_tags(clips):
    path = clips("a.mkv", codec="mjpeg", pix_fmt="yuvj420p", time_base=Fraction(1, 25))
    frame = frames(path)[0]
    assert frame.layout.name == "yuv420p"
    assert frame.colour.range == 2


def test_raw_h264_is_counted_at_the_frame_rate(clips):
    path = clips("a.h264", format="h264", time_base=Fraction(1, 25))
    assert [f.time for f in frames(path)] == pytest.approx([i / 25 for i in range(10)])


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_with_b_frames_rises(clips, codec):
    options = {"bf": "2"} if codec == "mpeg4" else {}
    path = clips("a.avi", codec=codec, time_base=Fraction(1, 25), options=options)
    assert times(path) == list(range(10))


def test_packets_of_other_streams_come_along(clips):
    path = clips("a.mkv", audio=("eng", "deu"), subtitle="subrip")
    with VideoReader(path) as reader:
        copied = [item for item in reader if isinstance(item, CopiedPacket)]
    for kind, first in (("audio", 1), ("subtitle", 3)):
        for number, payloads in packets(path, kind).items():
            assert [bytes(c.packet) for c in copied if c.stream == first + number] == payloads


def test_cover_art_is_not_the_video(clips):
    for name in ("a.mp4", "a.mkv"):
        path = clips(name, cover=True)
        with VideoReader(path) as reader:
            assert reader.info.codec == "h264"
            art = [s for s in reader.info.streams if s.attached_pic]
            assert len(art) == 1
            assert sum(isinstance(item, Frame) for item in reader) == 10
            assert reader.pictures[art[0].index].startswith(b"\x89PNG")


@pytest.mark.parametrize(("start", "duration"), [(0.2, None), (0.2, 0.4), (None, 0.3), (0.61, 0.1), (0.0, None)])
def test_start_and_duration(clips, start, duration):
    path = clips("a.mp4", frames=40, audio=("eng",), options={"g": "12", "bf": "3"})
    with VideoReader(path, start=start, duration=duration) as reader:
        items = list(reader)
        expected = reader.expected_frames
    begin = start or 0
    end = begin + duration if duration else 1.6
    wanted = [i for i in range(40) if begin - 1e-9 <= i / 25 < end - 1e-9]
    pts = [i.pts for i in items if isinstance(i, Frame)]
    assert pts == [3600 * i - round(begin * 90000) for i in wanted]
    assert abs(expected - len(wanted)) <= 1
    audio = [i.time for i in items if isinstance(i, CopiedPacket)]
    assert audio
    if start:
        assert min(audio) >= 0
        assert min(audio) < 0.03
    if duration:
        assert max(audio) < duration + 1e-6
    assert max(audio) > end - begin - 0.05


@pytest.mark.parametrize("interval", [12, 250])
@pytest.mark.parametrize("start", [0.1, 1.0, 2.04, 3.5])
def test_start_in_a_container_without_an_index(clips, interval, start):
    """Of MPEG-TS libav finds a time, not the key frame before it; frames up to the next one were lost."""
    path = clips("a.ts", frames=100, options={"g": str(interval)})
    whole, part = ([item for item in VideoReader(path, start=s) if isinstance(item, Frame)] for s in (None, start))
    assert len(part) == 100 - round(start * 25 + 0.499)
    assert all(np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(whole[-len(part) :], part, strict=True))


def test_start_behind_the_end_of_a_container_without_an_index(clips):
    with pytest.raises(InputError, match="ends before the start that was asked for"):
        VideoReader(clips("a.ts", frames=50), start=30)


def test_start_behind_the_end(clips):
    with pytest.raises(InputError, match="ends before the start"):
        VideoReader(clips("a.mp4"), start=5)


def test_start_with_offset_file_counts_from_its_beginning(clips):
    path = clips("a.mp4", pts=[45000 + 3600 * i for i in range(10)])
    assert times(path, start=0.2)[:2] == [0, 3600]
    assert len(times(path, start=0.2)) == 5


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_truncated(clips, name):
    path = clips(name, frames=60, size=(160, 128), noise=True, options={"crf": "30", "bf": "0"})
    if name == "a.mp4":
        whole = path.replace("a.", "front.")
        with av.open(path) as source, av.open(whole, "w", options={"movflags": "faststart"}) as out:
            copy = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux():
                if packet.size:
                    packet.stream = copy
                    out.mux(packet)
        path = whole
    with VideoReader(cut(path, 0.6)) as reader:
        count = sum(isinstance(item, Frame) for item in reader)
    assert 20 < count < 50
    if name != "a.ts":  # a transport stream does not know how long it should be
        assert "cut short" in " ".join(reader.warnings)
        assert "60" in " ".join(reader.warnings)


def test_whole_files_give_no_warning(clips):
    for name in ("a.mp4", "a.mkv", "a.ts", "a.avi", "a.webm"):
        codec = "libvpx-vp9" if name == "a.webm" else "libx264"
        tick = Fraction(1, 25) if name == "a.avi" else TICKS
        with VideoReader(clips(name, frames=50, codec=codec, time_base=tick)) as reader:
            assert sum(isinstance(item, Frame) for item in reader) == 50
            assert reader.warnings == []
            assert reader.errors == 0


def test_missing_moov(clips):
    path = clips("a.mp4", frames=60)
    with pytest.raises(InputError, match=r"a_cut\.mp4 is not media.*untrunc"):
        VideoReader(cut(path, 0.5))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_corrupt_middle(clips, name):
    path = clips(name, frames=60, size=(160, 128), noise=True, options={"g": "10", "bf": "0"})
    data = bytearray(Path(path).read_bytes())
    third = len(data) // 3
    data[third : third + 40000] = np.random.default_rng(0).bytes(40000)
    Path(path).write_bytes(data)
    with VideoReader(path) as reader:
        pts = [item.pts for item in reader if isinstance(item, Frame)]
    assert 50 < len(pts) < 60
    assert pts == sorted(set(pts))
    if name == "a.mp4":  # the others resynchronise without a word
        assert reader.errors
        assert "could not be decoded" in " ".join(reader.warnings)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_interlaced_is_refused(clips, name):
    path = clips(name, options={"flags": "+ildct+ilme"})
    with pytest.raises(InputError, match=r"interlaced.*bwdif"):
        VideoReader(path)


def test_progressive_with_interlaced_flags_passes(clips):
    assert len(frames(clips("a.mkv", options={"x264-params": "fake-interlaced=1"}))) == 10


def test_hdr10(clips):
    params = (
        "log-level=error:hdr10=1:repeat-headers=1:max-cll=1000,400:master-display="
        "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    )
    path = clips("a.mkv", codec="libx265", pix_fmt="yuv420p10le", colour=(1, 9, 9, 16),
                 options={"x265-params": params, "preset": "ultrafast"})  # fmt: skip
    with VideoReader(path) as reader:
        hdr = reader.info.hdr
    assert hdr.content_light == (1000, 400)
    assert hdr.luminance == (Fraction(1, 200), 1000)
    assert hdr.primaries[0] == (Fraction(34000, 50000), Fraction(16000, 50000))


def test_errors_name_the_fix(clips, tmp_path):
    def message(path, **options):
        with pytest.raises(InputError) as caught:
            VideoReader(path, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "does not exist" in message(tmp_path / "no.mp4")
    assert "is a directory" in message(tmp_path)
    empty = tmp_path / "e.mp4"
    empty.touch()
    assert "is empty" in message(empty)
    text = tmp_path / "t.txt"
    text.write_text("hello world\n" * 20)
    assert "not media" in message(text)
    sound = clips("s.mkv", audio=("eng",))
    with av.open(sound) as source, av.open(str(tmp_path / "only.mka"), "w", format="matroska") as out:
        copy = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
    assert "no video stream (streams: #0 audio aac" in message(tmp_path / "only.mka")
    with pytest.raises(OptionError, match="unknown input format 'nutt'"):
        VideoReader(sound, format="nutt")
    with pytest.raises(OptionError, match="start"):
        VideoReader(sound, start=-1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission(clips):
    path = clips("a.mp4")
    os.chmod(path, 0)
    with pytest.raises(InputError, match="permission"):
        VideoReader(path)


def test_zero_frames(clips, tmp_path):
    path = tmp_path / "zero.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
    with pytest.raises(InputError, match="holds no frame"):
        VideoReader(path)


def test_colon_in_the_name(clips):
    path = clips("a.mp4")
    renamed = path.replace("a.mp4", "12:30:00.mp4")
    os.rename(path, renamed)
    assert len(frames(renamed)) == 10


def test_every_thread_count_gives_the_same_frames(clips):
    path = clips("a.mp4", frames=20)
    assert times(path, threads=1) == times(path, threads=4) == times(path)


READ_STDIN = """
import sys, time
sys.path.insert(0, sys.argv[1])
from magfilter.media import Frame, VideoReader
reader = VideoReader("-")
for item in reader:
    if isinstance(item, Frame):
        print(item.pts, flush=True)
"""


@pytest.mark.parametrize(
    ("format", "codec"), [("nut", "rawvideo"), ("matroska", "rawvideo"), ("yuv4mpegpipe", "rawvideo")]
)
def test_pipe_is_not_batched(format, codec):
    root = str(Path(__file__).parent.parent)
    process = subprocess.Popen([sys.executable, "-c", READ_STDIN, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    seen: list[tuple[int, float]] = []

    def listen():
        for line in process.stdout:
            seen.append((int(line), time.monotonic()))

    listener = threading.Thread(target=listen)
    listener.start()
    sent = []
    try:
        with av.open(process.stdin, "w", format=format, container_options={"flush_packets": "1"}) as out:
            stream = out.add_stream(codec, rate=25, time_base=Fraction(1, 25))
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for i in range(12):
                frame = picture(i, 64, 48)
                frame.pts, frame.time_base = i, Fraction(1, 25)
                out.mux(stream.encode(frame))
                process.stdin.flush()
                sent.append(time.monotonic())
                # wait for the answer to all but the last two frames, before sending the next
                limit = time.monotonic() + 10
                while len(seen) < i - 1 and time.monotonic() < limit:
                    time.sleep(0.005)
                assert len(seen) >= i - 1, f"{len(seen)} frames came out after {i + 1} went in"
    finally:
        process.stdin.close()
        process.wait(20)
        listener.join()
        process.stdout.close()
    assert len(seen) == 12


def test_a_closed_reader_says_so(clips):
    reader = VideoReader(clips("a.mp4"))
    reader.close()
    reader.close()
    for _ in range(2):
        with pytest.raises(ValueError, match="the reader is closed; open another"):
            next(reader)


def test_closing_waits_for_the_thread_that_reads(clips):
    reader, reading, go_on = VideoReader(clips("a.mp4")), threading.Event(), threading.Event()
    first, came = reader.first, []

    def slow():
        reading.set()
        assert go_on.wait(5)
        yield len(reader.container.streams)

    reader._ahead.clear()
    reader._source = slow()
    thread = threading.Thread(target=lambda: came.append(next(reader)))
    thread.start()
    assert reading.wait(5)
    reader.close()  # does not wait itself: the other may be waiting for a pipe
    go_on.set()
    thread.join()
    assert came == [1], "the input was open for as long as it was read"
    assert not len(reader.container.streams), "and closed after that"
    assert first.to_rgb().shape == (48, 64, 3)


def test_the_first_frame_is_there_until_it_was_given_out(clips):
    with VideoReader(clips("a.mp4")) as reader:
        assert reader.first is next(reader)
        with pytest.raises(ValueError, match="first frame was given out"):
            _ = reader.first


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"start": float("inf")}, "start must be 0 or more seconds; got inf"),
        ({"start": float("nan")}, "start must be 0 or more seconds; got nan"),
        ({"duration": float("inf")}, "duration must be more than 0 seconds; got inf"),
        ({"duration": float("nan")}, "duration must be more than 0 seconds; got nan"),
        ({"duration": "3"}, "duration must be more than 0 seconds; got '3'"),
    ],
)
def test_stretches_that_are_none(clips, options, text):
    with pytest.raises(OptionError, match=text):
        VideoReader(clips("a.mp4"), **options)


@pytest.mark.parametrize(("codec", "options"), [("libvpx-vp9", {}), ("libvpx", {"auto-alt-ref": "0"})])
def test_opacity_of_webm_is_decoded(clips, codec, options):
    path = clips("a.webm", codec=codec, pix_fmt="yuva420p", options={"crf": "4", "b": "2M", **options})
    with VideoReader(path) as reader:
        items = [item for item in reader if isinstance(item, Frame)]
        assert (reader.info.pixel_format, reader.warnings) == ("yuva420p", [])
    assert [item.time for item in items] == pytest.approx([i / 25 for i in range(10)])
    for i, item in enumerate(items):
        (expected,) = read_planes(picture(i, 64, 48, "yuva420p"), cousin("yuva420p"), VideoReformatter())[3:]
        assert np.abs(item.planes[3].astype(int) - expected).mean() < 6
    assert len(frames(path, start=0.2)) == 5
    assert frames(path, start=0.2)[0].layout.alpha


def test_opacity_that_cannot_be_decoded_is_told(clips, monkeypatch):
    path = clips("a.webm", codec="libvpx-vp9", pix_fmt="yuva420p")
    monkeypatch.setattr(opacity, "_DECODERS", {"vp9": "no-such-decoder"})
    with VideoReader(path) as reader:
        assert reader.info.pixel_format == "yuv420p"
        (line,) = reader.warnings
    assert "opacity is lost" in line


def paletted(path, pictures) -> str:
    """Raw video of (indices, entries as 0xAARRGGBB), every picture with a palette of its own."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 8, "pal8"
        for number, (indices, entries) in enumerate(pictures):
            frame = av.VideoFrame(16, 8, "pal8")
            np.frombuffer(frame.planes[0], np.uint8).reshape(8, -1)[:, :16] = indices
            palette = np.frombuffer(frame.planes[1], np.uint32)
            palette[:] = 0
            palette[: len(entries)] = entries
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return str(path)


RED, CLEAR, HALF = 0xFFFF0000, 0x00FF0000, 0x80112233


def test_palettes_with_opacity_keep_it(tmp_path):
    path = paletted(tmp_path / "a.nut", [(np.arange(16) % 3, [RED, CLEAR, HALF]), (0, [RED])])
    first, second = frames(path)
    assert first.layout.name == second.layout.name == "gbrap"
    pixels = [tuple(int(plane[0, x]) for plane in first.planes) for x in range(3)]
    assert pixels == [(0, 0, 255, 255), (0, 0, 255, 0), (0x22, 0x33, 0x11, 0x80)]
    assert (second.planes[3] == 255).all()


def test_opaque_palettes_are_rgb_and_entries_that_nobody_filled_do_not_count(tmp_path):
    path = paletted(tmp_path / "a.nut", [(0, [RED]), (np.arange(16) % 2, [RED, 0xFF00FF00])])
    with VideoReader(path) as reader:
        assert [item.layout.name for item in reader if isinstance(item, Frame)] == ["gbrp", "gbrp"]
        assert not reader.warnings


def test_palettes_that_lose_opacity_on_the_way_are_told(tmp_path):
    path = paletted(tmp_path / "a.nut", [(0, [RED]), (0, [RED]), (0, [CLEAR]), (0, [0])])
    with VideoReader(path) as reader:
        assert [item.layout.name for item in reader if isinstance(item, Frame)] == ["gbrp"] * 4
        (line,) = reader.warnings
    assert "opacity is lost from frame 2 on" in line


@pytest.mark.parametrize("options", [{"start": 0.21, "duration": 0.01}, {"start": 0.21, "duration": 0.001}])
def test_a_duration_in_which_no_frame_begins(clips, options):
    with pytest.raises(InputError, match="no frame begins within the duration that was asked for; give a longer"):
        VideoReader(clips("a.mkv", frames=20), **options)


def webp(animated: bool) -> bytes:
    """The header of a WebP with nothing behind it."""
    chunk = b"VP8X" + (10).to_bytes(4, "little") + bytes([0x02 if animated else 0]) + bytes(9)
    chunk += b"ANMF" + (16).to_bytes(4, "little") + bytes(16)
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


@pytest.mark.parametrize("name", ["a.webp", "named.png"])
def test_animated_webp_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(webp(True))
    with pytest.raises(InputError, match="is an animated WebP, which libav cannot decode; make it pictures first"):
        VideoReader(path)
    path.write_bytes(webp(False))
    with pytest.raises(InputError) as told:
        VideoReader(path)
    assert "is an animated" not in str(told.value)
