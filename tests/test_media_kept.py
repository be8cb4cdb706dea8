"""What containers cannot say: full range, the pixels' shape, how a picture is turned; and what trimming moves."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from test_media_writer import frames, other, rewrite, seconds

from magfilter.errors import InputError, OutputError
from magfilter.media import VideoReader, VideoWriter
from magfilter.media.colour import to_rgb_float
from magfilter.media.frame import Colour, Frame, PixelLayout
from magfilter.media.orientation import Orientation
from magfilter.media.pixels import Packer, output_colour
from magfilter.media.timecode import later
from magfilter.media.timing import steady

FULL = (2, 5, 6, 6)


def rgb(path) -> np.ndarray:
    return to_rgb_float(frames(path)[0])


@pytest.mark.parametrize(
    ("name", "options", "kept"),
    [
        ("out.mov", {"codec": "prores_ks"}, False),
        ("out.mov", {"codec": "v210"}, False),
        ("out.avi", {"codec": "utvideo"}, False),
        ("out.nut", {"codec": "rawvideo"}, False),
        ("out.nut", {"codec": "libx264"}, True),
        ("out.mkv", {"codec": "rawvideo"}, True),
        ("out.mkv", {"codec": "ffv1"}, True),
        ("out.y4m", {}, True),
        ("out.mp4", {"crf": 10}, True),
    ],
)
def test_full_range_is_said_or_made_limited(clips, name, options, kept):
    source = clips("in.mp4", frames=2, colour=FULL, options={"crf": "10"})
    _, writer = rewrite(source, other(source, name), **options)
    told = [line for line in writer.warnings if "full range becomes limited range" in line]
    assert len(told) == (not kept)
    with VideoReader(other(source, name)) as reader:
        assert (reader.info.colour.range == 2) == kept
    error = np.abs(rgb(source) - rgb(other(source, name)))
    assert error.mean() < 0.012, error.mean()


@pytest.mark.parametrize("pix_fmt", ["gray", "gray16le"])
@pytest.mark.parametrize(
    ("name", "options", "full"),
    [
        ("out.mp4", {"crf": 1}, True),
        ("out.avi", {"crf": 1}, True),
        ("out.mkv", {"codec": "libx265", "crf": 1}, True),
        ("out.mov", {"codec": "prores_ks"}, False),
    ],
)
def test_grey_that_says_no_range_is_full(clips, name, options, full, pix_fmt):
    """Cameras' and ImageJ's; a player took it for limited, which clipped its blacks and whites."""
    source = clips("in.avi", codec="ffv1", frames=2, pix_fmt=pix_fmt)
    if pix_fmt == "gray16le" and options.get("codec") != "prores_ks":
        options = {**options, "pix_fmt": "gray10le"}
    _, writer = rewrite(source, other(source, name), **options)
    with VideoReader(other(source, name)) as reader:
        assert (reader.info.colour.range == 2) == full
    assert any("full range becomes limited range" in line for line in writer.warnings) == (not full)
    error = np.abs(rgb(source) - rgb(other(source, name)))
    assert error.mean() < 0.008, error.mean()


@pytest.mark.parametrize("pix_fmt", ["gray", "gray16le"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("out.avi", {"codec": "ffv1"}), ("out.mkv", {"codec": "ffv1"}), ("out.nut", {}), ("%02d.png", {}),
     ("%02d.tif", {}), ("out.y4m", {})],
)  # fmt: skip
def test_lossless_grey_keeps_its_bits(clips, name, options, pix_fmt):
    source = clips("in.avi", codec="ffv1", frames=2, pix_fmt=pix_fmt, noise=True)
    _, writer = rewrite(source, other(source, name), **options)
    assert not writer.warnings
    for one, two in zip(frames(source), frames(other(source, name)), strict=True):
        assert np.array_equal(one.planes[0], two.planes[0])


@pytest.mark.parametrize(
    ("pix_fmt", "colour", "expected"),
    [
        ("yuv420p", Colour(1), [16, 100, 200, 235]),
        ("yuvj420p", Colour(2), [0, 98, 214, 255]),
        ("gbrp", Colour(2, 0), [0, 98, 214, 255]),
        ("gray", Colour(1), [16, 100, 200, 235]),
    ],
)
def test_grey_that_says_it_is_limited_is(pix_fmt, colour, expected):
    layout = PixelLayout.from_name("gray")
    frame = Frame((np.tile(np.array([16, 100, 200, 235], np.uint8), (8, 4)),), layout, Colour(1))
    assert output_colour(layout, pix_fmt, frame.colour, 6) == colour
    packed = Packer(layout, pix_fmt, colour)(frame)
    assert np.frombuffer(packed.planes[0], np.uint8)[:4].tolist() == expected


def test_limited_range_is_left_alone(clips):
    source = clips("in.mp4", frames=2, colour=(1, 5, 6, 6), sar=Fraction(1))
    for name, codec in (("out.nut", "rawvideo"), ("out.mkv", "ffv1")):
        _, writer = rewrite(source, other(source, name), codec=codec)
        assert not writer.warnings
        for one, two in zip(frames(source), frames(other(source, name)), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one.planes, two.planes, strict=True))


@pytest.mark.parametrize(
    ("name", "options", "kept"),
    [("out.mkv", {"codec": "ffv1"}, False), ("out.nut", {}, False), ("out.mkv", {}, True), ("out.mov", {}, True)],
)
def test_a_lost_pixel_aspect_ratio_is_told(clips, name, options, kept):
    source = clips("in.mp4", frames=2, sar=Fraction(4, 3))
    _, writer = rewrite(source, other(source, name), **options)
    told = " ".join(writer.warnings)
    assert ("pixel aspect ratio 4:3 is left out" in told) == (not kept), told
    assert ("-aspect 16:9 FIXED" in told) == (not kept)
    with VideoReader(other(source, name)) as reader:
        assert (reader.info.sar == Fraction(4, 3)) == kept


def test_y4m_is_not_said_to_have_no_place_for_it(clips):
    source = clips("in.mp4", frames=2, sar=Fraction(4, 3))
    _, writer = rewrite(source, other(source, "out.y4m"))
    (line,) = [line for line in writer.warnings if "pixel aspect ratio 4:3 is left out" in line]
    assert "since PyAV writes none for rawvideo in yuv4mpegpipe" in line
    assert "-aspect 16:9 FIXED.y4m" in line
    assert "libx264" not in line, "y4m holds raw video only"


@pytest.mark.parametrize(
    ("options", "tag", "told"),
    [({}, "1", False), ({"pix_fmt": "yuv420p"}, None, False), ({"codec": "libsvtav1"}, None, True)],
)
def test_a_file_says_that_it_has_opacity_if_it_has(clips, options, tag, told):
    source = clips("in.webm", frames=2, codec="libvpx-vp9", pix_fmt="yuva420p")
    _, writer = rewrite(source, other(source, "out.webm"), **options)
    assert any("opacity is lost" in line for line in writer.warnings) == told
    with av.open(other(source, "out.webm")) as container:
        tags = {key.lower(): value for key, value in container.streams.video[0].metadata.items()}
    assert tags.get("alpha_mode") == tag


def test_trying_out_leaves_no_file(clips, tmp_path, monkeypatch):
    """Pictures have no container that could be written to memory."""
    source = clips("in.mp4", frames=2, sar=Fraction(4, 3), colour=FULL)
    monkeypatch.chdir(tmp_path)
    rewrite(source, "%02d.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01.jpg", "02.jpg", "in.mp4"]


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("name", ["out.nut", "out.ts", "%02d.png", "out.mp4"])
def test_what_cannot_be_said_to_be_turned_is_turned(clips, name, rotation):
    source = clips("in.mp4", frames=2, size=(64, 48), rotation=rotation, sar=Fraction(4, 3))
    target = other(source, name)
    _, writer = rewrite(source, target)
    told = any("turned upright" in line for line in writer.warnings)
    assert told == (name != "out.mp4")
    with VideoReader(source) as reader, VideoReader(target) as result:
        was, now = reader.info, result.info
        assert (now.display_matrix is None) == told
        if name == "out.ts":
            assert now.sar == (Fraction(3, 4) if rotation != 180 else Fraction(4, 3))
        shown = [Orientation.of(info).shown(to_rgb_float(item.first).transpose(1, 2, 0))
                 for info, item in ((was, reader), (now, result))]  # fmt: skip
    assert shown[0].shape == shown[1].shape
    assert np.abs(shown[0] - shown[1]).mean() < 0.05


def test_coarse_chroma_of_one_direction_is_left_lying(clips):
    source = clips("in.mp4", frames=2, pix_fmt="yuv422p", rotation=90)
    _, writer = rewrite(source, other(source, "out.nut"))
    assert any("left lying; write .mp4, .mov or .mkv" in line for line in writer.warnings)
    assert frames(other(source, "out.nut"))[0].width == 64


def test_sound_in_mxf(clips):
    source = other(clips("in.mkv", frames=2), "pcm.mov")
    with av.open(source, "w") as out:
        video, sound = out.add_stream("mpeg2video", rate=25), out.add_stream("pcm_s16le", rate=48000, layout="mono")
        video.width, video.height, video.pix_fmt = 256, 128, "yuv420p"
        for number in range(5):
            picture = av.VideoFrame(256, 128, "yuv420p")
            picture.pts = number
            out.mux(video.encode(picture))
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), "s16", "mono")
            tone.rate, tone.pts = 48000, 1920 * number
            out.mux(sound.encode(tone))
        out.mux([*video.encode(None), *sound.encode(None)])
    _, writer = rewrite(source, other(source, "out.mxf"))
    assert not any("left out" in line for line in writer.warnings)
    assert (writer.plan.codec, writer.plan.options["profile"]) == ("dnxhd", "dnxhr_hq")
    with av.open(other(source, "out.mxf")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert sum(frame.samples for frame in container.decode(audio=0)) == 5 * 1920


@pytest.mark.parametrize(("colour", "told"), [((1, 1, 1, 1), False), ((1, 6, 6, 6), True), ((1, 9, 9, 16), True)])
def test_dnxhr_holds_one_matrix(clips, colour, told):
    source = clips("in.mp4", frames=2, size=(256, 128), colour=colour, options={"crf": "5"})
    for name, options in (("out.mxf", {}), ("out.mov", {"codec": "dnxhd"})):
        _, writer = rewrite(source, other(source, name), **options)
        assert any("recoded with the matrix of BT.709" in line for line in writer.warnings) == told
        with VideoReader(other(source, name)) as reader:
            assert reader.info.colour.matrix == 1
        shown = [np.clip(rgb(path), 0, 1) for path in (source, other(source, name))]  # the pattern has more than RGB
        assert np.abs(shown[0] - shown[1]).mean() < 0.012


def test_rates_of_mxf(clips):
    """An average over a clip is a little off; what is none of MXF's rates is told before any frame is read."""
    assert steady(Fraction(2999997, 100000)) == 30
    assert steady(Fraction(29970029, 1000000)) == Fraction(30000, 1001)
    assert steady(Fraction(12)) == 12
    slow = clips("slow.mp4", frames=5, size=(256, 128), rate=12, pts=[7500 * n for n in range(5)])
    with VideoReader(slow) as reader, pytest.raises(OutputError, match=r"mxf holds no 12 frames a second; write \.mov"):
        VideoWriter(other(slow, "no.mxf"), reader, dry=True)


@pytest.mark.parametrize("name", ["out.avi", "out.mov"])
def test_a_stretch_that_begins_between_two_ticks_is_even(clips, name):
    source = clips("in.mp4", frames=12, rate=30, pts=[3000 * n for n in range(12)])
    _, writer = rewrite(source, other(source, name), codec="mpeg4", reader={"start": 0.05})
    assert not [line for line in writer.warnings if "do not rise" in line or "rounded" in line]
    steps = np.diff([float(time) for time in seconds(other(source, name))])
    np.testing.assert_allclose(steps, 1 / 30, atol=1e-3)


def test_text_is_no_subtitle_of_a_transport_stream(clips):
    source = clips("in.mkv", frames=2, subtitle="subrip")
    _, writer = rewrite(source, other(source, "out.ts"))
    assert any("subrip [fra] is left out: mpegts cannot hold subrip; use .mkv" in line for line in writer.warnings)
    with av.open(other(source, "out.ts")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def sounding(path, codec):
    """A clip with sound of a codec, tone and all in one second."""
    with av.open(path, "w") as out:
        video, sound = out.add_stream("mpeg4", rate=25), out.add_stream(codec, rate=48000, layout="stereo")
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound.bit_rate = 128000
        for number in range(5):
            picture = av.VideoFrame(64, 48, "yuv420p")
            picture.pts = number
            out.mux(video.encode(picture))
        resampler = av.AudioResampler(sound.format, "stereo", 48000, frame_size=sound.codec_context.frame_size or 1024)
        tone = av.AudioFrame.from_ndarray(
            (2000 * np.sin(np.arange(19200) / 10)).astype(np.int16)[None], "s16", "stereo"
        )
        tone.rate, tone.pts = 48000, 0
        for piece in [*resampler.resample(tone), *resampler.resample(None)]:
            out.mux(sound.encode(piece))
        out.mux([*video.encode(None), *sound.encode(None)])
    return path


def heard(path):
    """How many samples of sound can be decoded."""
    with av.open(path) as container:
        return sum(frame.samples for frame in container.decode(audio=0)) if container.streams.audio else 0


@pytest.mark.parametrize(("codec", "kept"), [
    ("mp2", True), ("aac", True), ("ac3", True), ("eac3", True), ("libopus", True),
    ("pcm_s16le", False), ("flac", False), ("alac", False),
])  # fmt: skip
def test_sound_of_a_transport_stream(tmp_path, codec, kept):
    """What the muxer has no type for became data that nothing reads."""
    source = sounding(str(tmp_path / "in.mkv"), codec)
    _, writer = rewrite(source, other(source, "out.ts"))
    name = codec.removeprefix("lib")
    assert [line for line in writer.warnings if "left out" in line] == (
        [] if kept else [f"stream #1 audio {name} is left out: mpegts cannot hold {name}; use .mkv to keep it"]
    )
    with av.open(other(source, "out.ts")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"][: 1 + kept]
    assert (heard(other(source, "out.ts")) > 4000) == kept


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_channels_of_which_nothing_is_said(tmp_path, name):
    """As those of nut: the job failed at its very end."""
    source = sounding(str(tmp_path / "in.nut"), "pcm_s16le")
    with av.open(source) as container:
        assert container.streams.audio[0].codec_context.layout.name == "2 channels"
    _, writer = rewrite(source, other(source, name))
    assert not [line for line in writer.warnings if "left out" in line]
    assert heard(other(source, name)) == heard(source) == 9600


@pytest.mark.parametrize(("codec", "better"), [("wmav2", "avi"), ("pcm_alaw", "mov"), ("adpcm_ms", "avi")])
def test_the_container_that_is_named_takes_the_stream(tmp_path, codec, better):
    """.mkv was named, which then lost it too."""
    source = sounding(str(tmp_path / "in.avi"), codec)
    for name in ("out.mp4", "out.mkv", "out.ts", "out.nut"):
        _, writer = rewrite(source, other(source, name))
        told = [line for line in writer.warnings if "left out" in line]
        if name == "out.nut" and codec != "wmav2":
            assert not told
            assert heard(other(source, name)) > 4000
            continue
        assert len(told) == 1
        assert told[0].endswith(f"; use .{better} to keep it")
        refused = (
            f"{codec} cannot be copied to matroska by this program" if name == "out.mkv" else f"cannot hold {codec}"
        )
        assert refused in told[0]
    _, writer = rewrite(source, other(source, f"out.{better}"))
    assert heard(other(source, f"out.{better}")) == heard(source) > 4000


@pytest.mark.parametrize(("name", "told"), [
    ("out.ts", "2 chapters and the title are left out: mpegts cannot hold them; use .mkv to keep them"),
    ("out.avi", "2 chapters are left out: avi cannot hold them; use .mkv to keep them"),
    ("out.y4m", "2 chapters are left out: yuv4mpegpipe cannot hold them; use .mkv to keep them"),
    ("out.nut", None), ("out.mov", None), ("out.webm", None),
])  # fmt: skip
def test_lost_chapters_are_told(clips, name, told):
    source = clips("in.mp4", frames=10, chapters=True, metadata={"title": "a title"})
    _, writer = rewrite(source, other(source, name))
    assert [line for line in writer.warnings if "chapter" in line] == ([told] if told else [])
    with av.open(other(source, name)) as container:
        assert len(container.chapters()) == (0 if told else 2)
        assert ("title" in container.metadata) == (name not in ("out.ts", "out.y4m"))
    if name == "out.ts":
        _, writer = rewrite(source, other(source, name), overwrite=True, reader={"duration": 0.12})
        assert "the chapter and the title are left out: mpegts cannot hold them" in " ".join(writer.warnings)


@pytest.mark.parametrize("codec", ["mpeg2video", "mpeg4", "mjpeg"])
def test_quality_of_encoders_without_a_constant_one(clips, codec):
    source = clips("in.mkv", frames=5, size=(320, 240), codec="ffv1", noise=False)
    rewrite(source, other(source, "out.mov"), codec=codec)
    error = np.abs(rgb(source) - rgb(other(source, "out.mov")))
    assert error.mean() < 0.01
    rewrite(source, other(source, "less.mov"), codec=codec, options=(("b", "20000"),))
    assert np.abs(rgb(source) - rgb(other(source, "less.mov"))).mean() > error.mean()


def test_hevc_has_the_tag_that_apple_knows(clips):
    source = clips("in.mp4", frames=2)
    for name in ("out.mp4", "out.mov"):
        rewrite(source, other(source, name), codec="libx265")
        with av.open(other(source, name)) as container:
            assert container.streams.video[0].codec_context.codec_tag == "hvc1"
        assert len(frames(other(source, name))) == 2


def test_chapters_and_timecode_of_a_stretch(clips):
    source = clips("in.mov", frames=10, chapters=True, metadata={"timecode": "01:00:00:20"})
    for start, duration, cuts, timecode in (
        (None, None, [(0, 0.2), (0.2, 0.4)], "01:00:00:20"),
        (0.12, None, [(0, 0.08), (0.08, 0.28)], "01:00:00:23"),
        (0.28, 0.08, [(0, 0.08)], "01:00:01:02"),
        (None, 0.12, [(0, 0.12)], "01:00:00:20"),
    ):
        rewrite(source, other(source, "out.mov"), overwrite=True, reader={"start": start, "duration": duration})
        rewrite(
            source, other(source, "out.mkv"), overwrite=True, reader={"start": start, "duration": duration}
        )  # which writes the key in capitals
        with av.open(other(source, "out.mkv")) as container:
            tags = {key.lower(): value for key, value in container.streams.video[0].metadata.items()}
            assert tags["timecode"] == timecode
        with av.open(other(source, "out.mov")) as container:
            found = [(float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]))
                     for c in container.chapters()]  # fmt: skip
            np.testing.assert_allclose(found, cuts)
            assert container.streams.video[0].metadata["timecode"] == timecode


def test_timecodes_count_as_they_drop():
    ntsc = Fraction(30000, 1001)
    assert later("00:00:59;29", 1, ntsc) == "00:01:00;02"
    assert later("00:09:59;29", 1, ntsc) == "00:10:00;00"
    assert later("00:00:59;59", 1, 2 * ntsc) == "00:01:00;04"
    assert later("00:00:59:29", 1, ntsc) == "00:01:00:00"
    assert later("23:59:59:24", 1, Fraction(25)) == "00:00:00:00"
    assert later("23:59:59;29", 1, ntsc) == "00:00:00;00"
    assert later("soon", 1, Fraction(25)) == "soon"
    now = "00:00:00;00"
    for number in range(1, 20000):  # a frame at a time comes to the same as all at once
        now = later(now, 1, ntsc)
        assert later("00:00:00;00", number, ntsc) == now


def test_flags_may_be_overruled(clips):
    source = clips("in.mp4", options={"flags": "+ildct+ilme"})
    with pytest.raises(
        InputError, match="only said to be interlaced takes magfilter --progressive, or -vf setfield=prog"
    ):
        VideoReader(source)
    rewrite(source, other(source, "out.mp4"), reader={"progressive": True})
    assert len(frames(other(source, "out.mp4"))) == 10
