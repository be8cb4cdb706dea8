"""Writing: what goes in comes out, at the same time, with everything beside it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import CHAPTERS, FONT, VFR, packets

from magfilter.errors import MagfilterError, OptionError, OutputError
from magfilter.media import EncodeOptions, Frame, VideoReader, VideoWriter
from magfilter.media.probe import side_data

LAYOUTS = [
    "yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv410p", "yuv440p",
    "gray", "gbrp", "gbrap", "yuva420p", "yuva444p",
    "yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le", "gbrp10le", "yuva422p10le",
    "yuv420p12le", "yuv422p12le", "gbrp12le", "yuv420p16le", "gbrp16le", "gray16le", "gbrap16le",
]  # fmt: skip


def rewrite(source, target, *, overwrite=False, comment=None, exclude=(), reader=None, **options):
    """The whole file, frame by frame, as the pipeline does it; returns (reader, writer)."""
    with VideoReader(source, **(reader or {})) as opened:
        writer = VideoWriter(
            target, opened, EncodeOptions(**options), overwrite=overwrite, comment=comment, exclude=exclude
        )
        for item in opened:
            if isinstance(item, Frame):
                writer.write(item)
            else:
                writer.copy(item)
        writer.finish()
    return opened, writer


def frames(path):
    with VideoReader(path) as reader:
        return [item for item in reader if isinstance(item, Frame)]


def seconds(path):
    return [f.pts * f.time_base for f in frames(path)]


def other(path, name):
    return str(Path(path).with_name(name))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(32, 16), (13, 7)])
def test_ffv1_is_bit_exact(clips, layout, size):
    if layout == "yuv410p" and size == (13, 7):
        pytest.skip("FFV1 does not take it")
    encoded = {"gbrp": "bgr0", "gbrap": "bgra"}.get(layout, layout)
    source = clips("in.mkv", codec="ffv1", pix_fmt=layout if encoded == layout else "yuv420p",
                   frames=3, size=size, noise=True, time_base=Fraction(1, 1000))  # fmt: skip
    target = other(source, "out.mkv")
    if encoded != layout:  # these reach the writer from screen recordings and PNG
        rewrite(source, other(source, "rgb.mkv"), codec="ffv1", pix_fmt=encoded)
        source = other(source, "rgb.mkv")
    _, writer = rewrite(source, target, codec="ffv1")
    assert writer.warnings == []
    before, after = frames(source), frames(target)
    assert len(before) == len(after) == 3
    for a, b in zip(before, after, strict=True):
        assert a.layout == b.layout
        assert a.layout.name == layout
        assert a.colour == b.colour
        for x, y in zip(a.planes, b.planes, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("offset", [0, 45000])
@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.nut", "out.ts"])
def test_times_are_exact(clips, name, offset):
    source = clips("in.mp4", pts=[p + offset for p in VFR])
    target = other(source, name)
    _, writer = rewrite(source, target)
    assert seconds(target) == seconds(source)
    assert writer.warnings == []
    if name.endswith(("mp4", "mov")):
        assert [f.pts for f in frames(target)] == [p + offset for p in VFR]
        with av.open(target) as container:
            packet_order = [p.pts for p in container.demux(container.streams.video[0]) if p.size]
        assert packet_order != sorted(packet_order), "there should be B-frames"


@pytest.mark.parametrize(("name", "codec"), [("out.mkv", "libx264"), ("out.webm", None), ("out.mkv", "libx265")])
def test_times_in_matroska_are_exact_to_the_millisecond(clips, name, codec):
    source = clips("in.mp4", pts=VFR, audio=("eng",))
    target = other(source, name)
    rewrite(source, target, codec=codec)
    assert seconds(target) == [Fraction(round(Fraction(p, 90)), 1000) for p in VFR]


@pytest.mark.parametrize("time_base", [Fraction(1001, 30000), Fraction(1, 12800), Fraction(1, 1000000)])
def test_odd_time_bases(clips, time_base):
    source = clips("in.nut", codec="rawvideo", time_base=time_base, rate=Fraction(30000, 1001),
                   pts=[round(Fraction(i * 1001, 30000) / time_base) for i in range(8)])  # fmt: skip
    target = other(source, "out.mp4")
    rewrite(source, target)
    assert seconds(target) == seconds(source)


def test_negative_start_is_moved_and_said(clips):
    source = clips("in.mp4")
    target = other(source, "out.mp4")
    with VideoReader(source) as reader:
        writer = VideoWriter(target, reader)
        for item in reader:
            writer.write(item.replace(pts=item.pts - 7200))
        writer.finish()
    assert "begins before 0" in " ".join(writer.warnings)
    assert [f.pts for f in frames(target)] == [3600 * i for i in range(10)]


def test_times_that_do_not_rise_are_repaired(clips):
    source = clips("in.mp4")
    target = other(source, "out.mp4")
    with VideoReader(source) as reader:
        writer = VideoWriter(target, reader)
        for i, item in enumerate(reader):
            writer.write(item.replace(pts=7200) if i == 3 else item)
        writer.finish()
    assert "do not rise at frame 3" in " ".join(writer.warnings)
    assert [f.pts for f in frames(target)][2:5] == [7200, 7201, 14400]


def test_how_many_times_do_not_rise_is_told(clips):
    source = clips("in.mp4")
    with VideoReader(source) as reader:
        writer = VideoWriter(other(source, "out.mp4"), reader)
        for i, item in enumerate(reader):
            writer.write(item.replace(pts=7200) if 3 <= i < 7 else item)
        writer.finish()
    assert any("the times of 4 frames do not rise, from frame 3 on" in line for line in writer.warnings)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov"])
def test_tags_shape_and_rotation_survive(clips, name):
    source = clips(
        "in.mp4",
        colour=(1, 9, 9, 16),
        sar=Fraction(4, 3),
        rotation=90,
        metadata={"title": "T", "comment": "C"},
    )
    target = other(source, name)
    rewrite(source, target, comment="magfilter 1 alpha=10")
    with VideoReader(source) as a, VideoReader(target) as b:
        assert (a.info.colour, a.info.sar, a.info.rotation, a.info.display_matrix) == (
            b.info.colour, b.info.sar, b.info.rotation, b.info.display_matrix,
        )  # fmt: skip
        tags = {k.lower(): v for k, v in b.info.metadata.items()}
        assert (tags["title"], tags["comment"]) == ("T", "C; magfilter 1 alpha=10")


@pytest.mark.parametrize("colour", [(1, 1, 1, 1), (2, 6, 6, 6), (1, 5, 5, 6), (1, 9, 9, 18), None])
@pytest.mark.parametrize(
    ("codec", "name"),
    [("libx264", "out.mp4"), ("libx265", "out.mp4"), ("ffv1", "out.mkv"), ("prores_ks", "out.mov")],
)
def test_colour_tags_survive_every_encoder(clips, colour, codec, name):
    if codec == "prores_ks" and colour == (2, 6, 6, 6):
        pytest.skip("ProRes is limited range by definition")
    source = clips("in.mkv", codec="libx264", pix_fmt="yuv422p10le", colour=colour, frames=3)
    target = other(source, name)
    rewrite(source, target, codec=codec)
    a, b = frames(source)[0].colour, frames(target)[0].colour
    if codec == "prores_ks":
        assert (a.matrix, a.primaries, a.transfer) == (b.matrix, b.primaries, b.transfer)
    elif codec == "libx265" and a.range == 0:
        assert b.range == 1  # x265 always writes the bit, and limited is what unspecified means
    else:
        assert a == b


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_everything_beside_the_picture_survives(clips, name):
    ours = name.endswith("mkv")
    source = clips("in.mkv" if ours else "in.mp4", frames=20, audio=("eng", "fra"), cover=True, chapters=True,
                   subtitle="subrip" if ours else "mov_text", font=ours)  # fmt: skip
    target = other(source, name)
    _, writer = rewrite(source, target)
    assert writer.warnings == []
    for kind in ("audio", "subtitle"):
        assert packets(source, kind) == packets(target, kind)
        assert packets(target, kind)[0]
    with av.open(target) as container, av.open(source) as original:
        assert [s.language for s in container.streams.audio] == ["eng", "fra"]
        assert [s.language for s in container.streams.subtitles] == ["fra"]
        assert [
            (c["metadata"], c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in container.chapters()
        ] == [(c["metadata"], c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in CHAPTERS]
        assert [s.disposition for s in container.streams if s.type != "data"] == [
            s.disposition for s in original.streams if s.type != "data"
        ]
        assert len([s for s in container.streams if s.type == "data"]) == len(
            [s for s in original.streams if s.type == "data"]
        )
        if ours:
            assert [s.data for s in container.streams.attachments] == [FONT]
    with VideoReader(target) as reader:
        art = next(s.index for s in reader.info.streams if s.attached_pic)
        assert sum(isinstance(item, Frame) for item in reader) == 20
        assert reader.pictures[art].startswith(b"\x89PNG")


@pytest.mark.parametrize(("name", "lost"), [
    ("out.mp4", ["subtitle subrip [fra]", "attachment application/x-truetype-font"]),
    ("out.webm", ["audio aac [eng]", "subtitle subrip [fra]", "attachment"]),
    ("out.y4m", ["audio aac [eng]", "subtitle", "attachment", "cover art png"]),
    ("out.mov", ["subtitle", "attachment", "cover art png"]),
])  # fmt: skip
def test_what_the_container_cannot_hold_is_named(clips, name, lost):
    source = clips("in.mkv", audio=("eng",), subtitle="subrip", font=True, cover=True)
    _, writer = rewrite(source, other(source, name))
    said = [w for w in writer.warnings if "left out" in w]
    for part in lost:
        assert sum(part in line for line in said) == 1, (part, writer.warnings)
    assert len(frames(other(source, name))) == 10


def test_excluded_types_are_left_out_silently(clips):
    source = clips("in.mkv", audio=("eng",), subtitle="subrip")
    _, writer = rewrite(source, other(source, "out.mkv"), exclude=("audio",))
    assert writer.warnings == []
    with av.open(other(source, "out.mkv")) as container:
        assert [s.type for s in container.streams] == ["video", "subtitle"]


def test_hdr10_is_carried_over(clips):
    params = (
        "log-level=error:hdr10=1:repeat-headers=1:max-cll=1000,400:master-display="
        "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    )
    source = clips("in.mkv", codec="libx265", pix_fmt="yuv420p10le", colour=(1, 9, 9, 16), frames=3,
                   options={"x265-params": params, "preset": "ultrafast"})  # fmt: skip
    for codec in ("libx265", "libx264"):
        target = other(source, f"{codec}.mp4")
        _, writer = rewrite(source, target, codec=codec)
        with VideoReader(source) as a, VideoReader(target) as b:
            assert b.info.hdr == a.info.hdr
            assert b.info.layout.name == "yuv420p10le"
        assert writer.warnings == []
    _, writer = rewrite(source, other(source, "out.mkv"), codec="ffv1")
    assert "HDR10" in writer.warnings[0]


@pytest.mark.parametrize(("pix_fmt", "codec", "encoded"), [
    ("yuv420p", "libx264", "yuv420p"),
    ("yuv422p10le", "libx264", "yuv422p10le"),
    ("yuv444p10le", "libx264", "yuv444p10le"),
    ("yuv420p12le", "libx265", "yuv420p12le"),
    ("gray", "libx264", "gray"),
    ("gbrp10le", "libx265", "gbrp10le"),
    ("yuv411p", "libx264", "yuv422p"),
    ("yuva420p", "libx264", "yuv420p"),
])  # fmt: skip
def test_default_encoder_follows_the_layout(clips, pix_fmt, codec, encoded):
    source = clips("in.mkv", codec="ffv1", pix_fmt=pix_fmt, frames=2, time_base=Fraction(1, 1000))
    _, writer = rewrite(source, other(source, "out.mp4"))
    assert (writer.plan.codec, writer.plan.pix_fmt) == (codec, encoded)
    assert bool(writer.warnings) == (pix_fmt == "yuva420p")
    # and the colour of the picture is still the same
    a, b = (
        frames(source)[0].to_rgb().astype(float),
        frames(other(source, "out.mp4"))[0].to_rgb().astype(float),
    )
    scale = 255 / (65535 if a.max() > 255 else 255)
    assert np.abs(a - b).mean() * scale < 6


def test_rgb_becomes_rgb_h264_or_tagged_yuv(clips):
    seed = clips("in.mkv", codec="ffv1", frames=2, time_base=Fraction(1, 1000))
    source = other(seed, "rgb.mkv")
    rewrite(seed, source, codec="ffv1", pix_fmt="bgr0")
    rgb = frames(source)[0].to_rgb().astype(int)
    _, writer = rewrite(source, other(source, "a.mp4"), crf=0)
    assert (writer.plan.codec, writer.plan.pix_fmt) == ("libx264rgb", "rgb24")
    assert "few players" in writer.warnings[0]
    assert np.array_equal(frames(other(source, "a.mp4"))[0].to_rgb(), rgb)
    rewrite(source, other(source, "b.mp4"), pix_fmt="yuv444p", crf=1)
    back = frames(other(source, "b.mp4"))[0]
    assert (back.colour.range, back.colour.matrix) == (1, 6)
    assert np.abs(back.to_rgb().astype(int) - rgb).max() <= 8


def test_deeper_than_the_default_encoders(clips):
    source = clips("in.mkv", codec="ffv1", pix_fmt="yuv420p16le", frames=2, time_base=Fraction(1, 1000))
    with VideoReader(source) as reader, pytest.raises(OutputError, match="-c:v ffv1"):
        VideoWriter(other(source, "out.mp4"), reader)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_odd_size_names_the_fix(clips, codec):
    source = clips("in.mkv", codec="ffv1", size=(63, 47), frames=2, time_base=Fraction(1, 1000))
    with (
        VideoReader(source) as reader,
        pytest.raises(OutputError, match=r"odd width 63 and height 47; use --pix-fmt yuv444p or"),
    ):
        VideoWriter(other(source, "out.mp4"), reader, EncodeOptions(codec=codec))
    rewrite(source, other(source, "out.mp4"), codec=codec, pix_fmt="yuv444p")
    assert frames(other(source, "out.mp4"))[0].planes[0].shape == (47, 63)


@pytest.mark.parametrize(("options", "error", "text"), [
    ({"codec": "libx246"}, OutputError, "did you mean .*libx264"),
    ({"codec": "aac"}, OutputError, "unknown video encoder 'aac'"),
    ({"codec": "ffv1", "crf": 18}, OptionError, "--crf does not apply to ffv1"),
    ({"preset": "warp"}, OutputError, "rejects preset=warp"),
    ({"crf": 99}, OptionError, "goes from 0 .best. to 51"),
    ({"options": (("prset", "slow"),)}, OutputError, "no option 'prset'; did you mean preset"),
    ({"options": (("g", "many"),)}, OutputError, "rejects g=many"),
    ({"pix_fmt": "yuv421p"}, OptionError, "did you mean"),
    ({"codec": "libx264", "pix_fmt": "rgb24"}, OutputError, "does not take pixel format rgb24"),
    ({"format": "mp5"}, OptionError, "unknown output format 'mp5'"),
])  # fmt: skip
def test_wrong_options_are_named_before_the_first_frame(clips, options, error, text):
    source = clips("in.mp4", frames=2)
    with VideoReader(source) as reader, pytest.raises(error, match=text) as caught:
        VideoWriter(other(source, "out.mp4"), reader, EncodeOptions(**options))
    assert "\n" not in str(caught.value)
    assert os.listdir(Path(source).parent) == ["in.mp4"]


def test_options_reach_the_encoder(clips):
    source = clips("in.mp4", frames=20)
    rewrite(
        source,
        other(source, "out.mp4"),
        options=(("g", "5"), ("bf", "0")),
        preset="ultrafast",
        crf=30,
        threads=1,
    )
    with av.open(other(source, "out.mp4")) as container:
        keys = [p.is_keyframe for p in container.demux(container.streams.video[0]) if p.size]
    assert keys == [i % 5 == 0 for i in range(20)]


def test_targets_that_are_refused(clips, tmp_path):
    source = clips("in.mp4", frames=2)
    (tmp_path / "there.mp4").write_bytes(b"keep me")
    os.symlink(source, tmp_path / "link.mp4")
    with VideoReader(source) as reader:
        for target, text in [
            (source, "is the input"),
            (tmp_path / "link.mp4", "is the input"),
            (tmp_path / "there.mp4", "already exists; use -y"),
            (tmp_path / "no" / "out.mp4", "folder .* does not exist"),
            (tmp_path, "is a directory|has no suffix"),
            (tmp_path / "out.xyz", "'.xyz' names no video format"),
            (tmp_path / "out", "no suffix"),
        ]:
            with pytest.raises(OutputError, match=text):
                VideoWriter(target, reader)
        with pytest.raises(OutputError, match="is the input"):
            VideoWriter(source, reader, overwrite=True)
    assert (tmp_path / "there.mp4").read_bytes() == b"keep me"
    rewrite(source, tmp_path / "there.mp4", overwrite=True)
    assert len(frames(tmp_path / "there.mp4")) == 2


def test_abort_leaves_nothing_and_keeps_the_old_file(clips, tmp_path):
    source = clips("in.mp4")
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with VideoReader(source) as reader:
        writer = VideoWriter(target, reader, overwrite=True)
        writer.write(next(reader))
        assert (tmp_path / ".out.mp4.part").exists()
        writer.abort()
        writer.abort()
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "out.mp4"]
    assert target.read_bytes() == b"old"


def test_finish_early_gives_a_playable_file(clips):
    source = clips("in.mp4", frames=20, audio=("eng",))
    target = other(source, "out.mp4")
    with VideoReader(source) as reader:
        writer = VideoWriter(target, reader)
        for item in reader:
            if isinstance(item, Frame):
                writer.write(item)
                if writer.frames == 7:
                    break
            else:
                writer.copy(item)
        writer.finish()
    assert len(frames(target)) == 7


@pytest.mark.parametrize("made", [False, True])
def test_a_reader_closed_too_early_is_named(clips, tmp_path, made):
    reader = VideoReader(clips("in.mp4"))
    target, frame = tmp_path / "out.mkv", reader.first
    writer = VideoWriter(target, reader) if made else None
    reader.close()
    with pytest.raises(ValueError, match="the reader is closed; close it after the first frame is written"):
        (writer or VideoWriter(target, reader)).write(frame)
    if writer:
        writer.abort()
    assert [item.name for item in tmp_path.iterdir()] == ["in.mp4"]


def test_what_was_read_can_be_written_after_the_reader_is_closed(clips):
    source = clips("in.mp4", audio=("eng",), subtitle="mov_text")
    with VideoReader(source) as reader:
        items = list(reader)
        writer = VideoWriter(other(source, "out.mp4"), reader)
        writer.write(items.pop(next(n for n, item in enumerate(items) if isinstance(item, Frame))))
    for item in items:
        (writer.write if isinstance(item, Frame) else writer.copy)(item)
    writer.finish()
    rewrite(source, other(source, "open.mp4"))
    for kind in ("audio", "subtitle"):
        whole, late = (packets(other(source, name), kind) for name in ("open.mp4", "out.mp4"))
        assert late == whole


def test_finish_without_a_frame(clips, tmp_path):
    source = clips("in.mp4", frames=2)
    with VideoReader(source) as reader:
        writer = VideoWriter(tmp_path / "out.mp4", reader)
        with pytest.raises(OutputError, match="no frame"):
            writer.finish()
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_frames_of_another_size(clips):
    source = clips("in.mp4", frames=3)
    target = other(source, "out.mp4")
    with VideoReader(source) as reader:
        writer = VideoWriter(target, reader)
        first = next(reader)
        wide = first.replace(planes=tuple(np.concatenate([p, p], axis=1) for p in first.planes))
        writer.write(wide)  # the first frame decides
        with pytest.raises(ValueError, match="expected 128x48 yuv420p like the first frame, got 64x48"):
            writer.write(first)
        writer.finish()
    assert frames(target)[0].width == 128


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("format", ["matroska", "nut"])
def test_disk_full(clips, format):
    source = clips("in.mp4", frames=40, size=(320, 240), noise=True)
    with pytest.raises(OutputError, match="disk is full"):
        rewrite(source, "/dev/full", overwrite=True, format=format)
    assert os.path.exists("/dev/full")


def test_disk_full_leaves_no_file(clips, tmp_path, monkeypatch):
    source = clips("in.mp4", frames=10)
    with VideoReader(source) as reader:
        writer = VideoWriter(
            tmp_path / "out.mp4",
            reader,
            EncodeOptions(options=(("bf", "0"), ("rc-lookahead", "0"), ("tune", "zerolatency"))),
        )
        writer.write(next(reader))

        class Full:
            def mux_one(self, packet):
                raise OSError(28, "No space left on device")

            def close(self):
                raise OSError(28, "No space left on device")

        writer._output.close()
        writer._output = Full()
        with pytest.raises(OutputError, match="disk is full"):
            writer.write(next(reader))
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_raw_and_avi_outputs(clips):
    source = clips("in.mp4", frames=10, audio=("eng",))
    for name in ("out.avi", "out.y4m", "out.nut"):
        rewrite(source, other(source, name))
        assert len(frames(other(source, name))) == 10
    assert seconds(other(source, "out.avi")) == [Fraction(i, 25) for i in range(10)]


def test_deep_y4m(clips):
    source = clips("in.mp4", pix_fmt="yuv422p10le", frames=3)
    rewrite(source, other(source, "out.y4m"))
    for a, b in zip(frames(source), frames(other(source, "out.y4m")), strict=True):
        for x, y in zip(a.planes, b.planes, strict=True):
            np.testing.assert_array_equal(x, y)


WRITE_STDOUT = """
import sys
sys.path.insert(0, sys.argv[1])
from magfilter.media.probe import side_data
from magfilter.media import EncodeOptions, Frame, VideoReader, VideoWriter
reader = VideoReader(sys.argv[2])
writer = VideoWriter("-", reader, EncodeOptions(format=sys.argv[3] or None))
try:
    for item in reader:
        if isinstance(item, Frame):
            sys.stdin.readline()
            writer.write(item)
        else:
            writer.copy(item)
    writer.finish()
except BrokenPipeError:
    writer.abort()
    sys.exit(7)
"""


def pipe(source, format, code=WRITE_STDOUT, **to):
    root = str(Path(__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-c", code, root, source, format],
        stdin=subprocess.PIPE,
        **{"stdout": subprocess.PIPE, **to},
    )


@pytest.mark.parametrize(
    ("format", "audio"), [("", ()), ("nut", ("eng",)), ("matroska", ()), ("matroska", ("eng",)), ("y4m", ())]
)
def test_pipe_has_a_latency_of_one_frame(clips, format, audio):
    source = clips("in.mp4", frames=30, size=(160, 120), audio=audio)
    process = pipe(source, format)
    size = 160 * 120 * 3 // 2
    received = bytearray()

    def drain():
        while chunk := process.stdout.read1(1 << 20):
            received.extend(chunk)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        for count in range(1, 6):
            process.stdin.write(b"\n")
            process.stdin.flush()
            limit = time.monotonic() + 10
            due = count - (format == "matroska")  # a cluster leaves when the next begins
            while len(received) < due * size and time.monotonic() < limit:
                time.sleep(0.005)
            assert len(received) >= due * size, f"frame {due} did not come out at once"
    finally:
        process.stdin.write(b"\n" * 40)
        process.stdin.close()
        assert process.wait(20) == 0
        thread.join()
        process.stdout.close()
    target = other(source, "piped." + (format or "nut").replace("matroska", "mkv"))
    Path(target).write_bytes(received)
    assert len(frames(target)) == 30
    if format in ("", "nut") and not audio:
        assert seconds(target) == seconds(source)


def test_mp4_on_a_pipe_is_fragmented(clips):
    source = clips("in.mp4", frames=30)
    process = pipe(source, "mp4")
    out, _ = process.communicate(b"\n" * 40, timeout=30)
    assert process.returncode == 0
    assert b"moof" in out
    target = other(source, "piped.mp4")
    Path(target).write_bytes(out)
    assert len(frames(target)) == 30


@pytest.mark.skipif(os.name == "nt", reason="needs limits")
@pytest.mark.parametrize("format", ["mp4", "mov", "matroska", "nut"])
def test_a_disk_that_is_full_at_the_end_of_a_pipe(clips, tmp_path, format):
    """`- > file`, where only the last of it does not fit. libav took the length of MP4's trailer for success."""
    source = clips("in.mp4", frames=10, noise=True)
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n" + WRITE_STDOUT
    with (tmp_path / "out").open("wb") as file:
        process = pipe(source, format, code, stdout=file, stderr=subprocess.PIPE)
        _, told = process.communicate(b"\n" * 40, timeout=30)
    assert process.returncode == 1
    assert b"OutputError: - cannot be written: File too large" in told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("format", ["mp4", "mov"])
def test_mp4_into_a_named_pipe_is_fragmented(clips, tmp_path, format):
    source = clips("in.mp4", frames=30)
    fifo, target = tmp_path / "fifo", tmp_path / f"piped.{format}"
    os.mkfifo(fifo)
    thread = threading.Thread(target=lambda: target.write_bytes(fifo.read_bytes()), daemon=True)
    thread.start()
    rewrite(source, fifo, overwrite=True, format=format)
    thread.join(20)
    assert len(frames(str(target))) == 30
    assert stat.S_ISFIFO(os.stat(fifo).st_mode)


def test_broken_pipe(clips):
    source = clips("in.mp4", frames=30, size=(320, 240))
    process = pipe(source, "")
    process.stdout.close()
    process.stdin.write(b"\n" * 40)
    process.stdin.close()
    assert process.wait(20) == 7


def captioned(path, target):
    """The raw H.264 stream with a closed caption (ATSC A/53, in an SEI) before every picture."""
    body = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | 1, 0xFF, 0xFC, 0x94, 0x2C, 0xFF])
    sei = b"\0\0\0\1\x06" + bytes([4, len(body)]) + body + b"\x80"
    out = bytearray()
    with av.open(path) as container:
        for packet in container.demux():
            if packet.size:
                data = bytes(packet)
                units = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
                first = next(i for i, unit in enumerate(units) if unit[0] & 31 in (1, 5))
                for i, unit in enumerate(units):
                    out += (sei if i == first else b"") + b"\0\0\0\1" + unit
    Path(target).write_bytes(out)


def test_closed_captions_survive(clips):
    plain = clips("plain.h264", format="h264", time_base=Fraction(1, 25), frames=4)
    source = other(plain, "in.h264")
    captioned(plain, source)
    target = other(plain, "out.mp4")
    rewrite(source, target)
    for path in (source, target):
        with av.open(path) as container:
            for frame in container.decode(video=0):
                assert side_data(frame)["A53_CC"][:3] == b"\xfc\x94\x2c"
    # and the picture that is written is the one that was given, not the one that was read
    with VideoReader(source) as reader:
        writer = VideoWriter(target, reader, overwrite=True)
        for item in reader:
            writer.write(item.replace(planes=tuple(np.full_like(p, 77) for p in item.planes)))
        writer.finish()
    assert all(abs(int(p.mean()) - 77) < 2 for f in frames(target) for p in f.planes)


def test_tags_that_are_not_utf8(clips):
    source = clips("in.mkv", frames=2, metadata={"title": "caf#"})
    data = Path(source).read_bytes()
    Path(source).write_bytes(data.replace(b"caf#", b"caf\xe9"))
    rewrite(source, other(source, "out.mkv"))
    assert b"caf" in Path(other(source, "out.mkv")).read_bytes()


def test_deep_webm(clips):
    source = clips("in.mp4", pix_fmt="yuv420p10le", frames=5)
    _, writer = rewrite(source, other(source, "out.webm"))
    assert writer.plan.codec == "libsvtav1"
    assert [f.layout.name for f in frames(other(source, "out.webm"))] == ["yuv420p10le"] * 5


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_very_short_clips(clips, codec, count):
    source = clips("in.mp4", pts=[45000, 52000, 52500][:count])
    rewrite(source, other(source, "out.mp4"), codec=codec)
    assert seconds(other(source, "out.mp4")) == seconds(source)


def test_context_manager_aborts_unless_finished(clips, tmp_path):
    source = clips("in.mp4", frames=3)
    with VideoReader(source) as reader, VideoWriter(tmp_path / "out.mp4", reader) as writer:
        writer.write(next(reader))
    assert os.listdir(tmp_path) == ["in.mp4"]
    with pytest.raises(ValueError, match="finished"):
        writer.finish()


def test_output_errors_are_magfilters():
    assert issubclass(OutputError, MagfilterError)
