"""Image sequences: numbered pictures in, numbered pictures out."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from clips import picture

from magfilter import MagnifyOptions, magnify_video, measure_motion
from magfilter.errors import InputError, OptionError, OutputError
from magfilter.media import EncodeOptions, Frame, VideoReader, VideoWriter
from magfilter.media.probe import side_data
from magfilter.media.sequence import is_pattern, parse_rate
from magfilter.media.target import check_target, container_format

FRAMES, SIZE = 8, (64, 48)


def numbered(folder, name="shot.%04d.png", first=1001, codec="png", pix_fmt="rgb24", frames=FRAMES, size=SIZE):
    """A sequence of a drifting pattern; returns its pattern."""
    pattern = str(folder / name)
    with av.open("file:" + pattern, "w", format="image2", container_options={"start_number": str(first)}) as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for index in range(frames):
            output.mux(stream.encode(picture(index, *size, "gbrp").reformat(format=pix_fmt)))
        output.mux(stream.encode(None))
    return pattern


def rewritten(source, target, *, overwrite=False, reader=None, **options):
    """All frames of `source` written to `target`, untouched; the writer."""
    with VideoReader(source, **({"framerate": 24} if reader is None else reader)) as opened:
        writer = VideoWriter(target, opened, EncodeOptions(**options), overwrite=overwrite)
        for item in opened:
            if isinstance(item, Frame):
                writer.write(item)
        writer.finish()
    return writer


def planes(source, **reader):
    with VideoReader(source, **reader) as opened:
        return [item.planes for item in opened if isinstance(item, Frame)]


def same(one, two):
    return len(one) == len(two) and all(
        np.array_equal(a, b) for first, second in zip(one, two, strict=True) for a, b in zip(first, second, strict=True)
    )


def names(folder, suffix):
    return sorted(path.name for path in Path(folder).glob(f"*{suffix}"))


class TestReading:
    @pytest.mark.parametrize("first", [0, 1, 7, 1001])
    def test_begins_at_whatever_number_is_there(self, tmp_path, first):
        source = numbered(tmp_path, first=first)
        with VideoReader(source, framerate="24000/1001") as reader:
            assert reader.info.rate == Fraction(24000, 1001)
            assert reader.pictures_from == first
            assert reader.expected_frames == FRAMES
            assert not reader.warnings
            assert sum(isinstance(item, Frame) for item in reader) == FRAMES

    def test_numbers_without_zeros_rise_as_numbers(self, tmp_path):
        source = numbered(tmp_path, "a%d.png", first=8, frames=4)
        (tmp_path / "a007.png").write_bytes(b"no such number in this pattern")
        (tmp_path / "a12.png.txt").write_bytes(b"")
        assert len(planes(source, framerate=24)) == 4

    def test_a_rate_that_nobody_said_is_25_and_told(self, tmp_path):
        with VideoReader(numbered(tmp_path)) as reader:
            assert reader.info.rate == 25
            assert "25 are taken" in reader.warnings[0]
            assert "--framerate" in reader.warnings[0]

    def test_a_gap_is_an_error_and_no_early_end(self, tmp_path):
        source = numbered(tmp_path)
        os.remove(source % 1004)
        with pytest.raises(InputError, match=r"number 1004 is missing between 1001 and 1008; put it there"):
            VideoReader(source)

    def test_none_at_all(self, tmp_path):
        with pytest.raises(InputError, match=r"no%02d\.png does not exist: no file is numbered like that"):
            VideoReader(str(tmp_path / "no%02d.png"))
        with pytest.raises(InputError, match="no file is numbered like that"):
            VideoReader(str(tmp_path / "nowhere" / "no%02d.png"))

    def test_a_file_of_that_very_name_is_that_file(self, clips):
        name = clips("50%d.mp4")
        assert not is_pattern(name)
        with VideoReader(name) as reader:
            assert reader.pictures_from is None

    def test_framerate_is_for_pictures(self, clips):
        with pytest.raises(OptionError, match="framerate is for image sequences"):
            VideoReader(clips("a.mp4"), framerate=24)

    def test_a_start_beyond_the_end(self, tmp_path):
        with pytest.raises(InputError, match="ends before the start that was asked for"):
            VideoReader(numbered(tmp_path), framerate=50, start=1)

    def test_a_directory_is_told_how_to_be_named(self, tmp_path):
        with pytest.raises(InputError, match=r"or its pictures as in .*%04d\.png"):
            VideoReader(str(tmp_path))

    @pytest.mark.parametrize("rate", ["24", 24, 24.0, "24/1", Fraction(24)])
    def test_rates(self, rate):
        assert parse_rate(rate) == 24

    @pytest.mark.parametrize("rate", [0, -1, "x", "1/0", float("nan"), float("inf"), True, 20000, None, ""])
    def test_no_rates(self, rate):
        with pytest.raises(OptionError, match="framerate must be frames a second"):
            parse_rate(rate)

    def test_pictures_with_exif_are_read(self, tmp_path):
        # libav's TIFF decoder hands EXIF over, a kind of side data that PyAV 18 cannot name.
        source = numbered(tmp_path, "a%d.tif", codec="tiff")
        with av.open("file:" + source, options={"start_number": "1001"}) as container:
            assert isinstance(side_data(next(container.decode(video=0))), dict)
        assert len(planes(source, framerate=24)) == FRAMES


class TestWriting:
    @pytest.mark.parametrize(
        ("suffix", "codec", "pix_fmt"),
        [
            ("png", "png", "rgb24"),
            ("png", "png", "rgb48be"),
            ("png", "png", "gray16be"),
            ("png", "png", "rgba"),
            ("tif", "tiff", "rgb48le"),
            ("tiff", "tiff", "rgb24"),
            ("dpx", "dpx", "gbrp10le"),
            ("dpx", "dpx", "gbrp12le"),
            ("dpx", "dpx", "rgb48be"),
            ("bmp", "bmp", "bgr24"),
            ("tga", "targa", "bgr24"),
        ],
    )
    def test_pictures_come_back_to_the_bit_under_their_numbers(self, tmp_path, suffix, codec, pix_fmt):
        source = numbered(tmp_path, f"in.%04d.{suffix}", codec=codec, pix_fmt=pix_fmt)
        target = str(tmp_path / f"out.%04d.{suffix}")
        writer = rewritten(source, target)
        assert not writer.warnings
        assert names(tmp_path, suffix)[FRAMES:] == [f"out.{n}.{suffix}" for n in range(1001, 1001 + FRAMES)]
        assert same(planes(source, framerate=24), planes(target, framerate=24))

    def test_jpeg_is_fine_enough(self, tmp_path):
        source, target = numbered(tmp_path), str(tmp_path / "out%d.jpg")
        writer = rewritten(source, target)
        assert writer.plan.pix_fmt.startswith("yuvj")
        with VideoReader(source, framerate=24) as one, VideoReader(target, framerate=24) as two:
            error = one.first.to_rgb().astype(float) - two.first.to_rgb().astype(float)
        assert 10 * np.log10(255**2 / (error**2).mean()) > 40

    def test_a_video_becomes_pictures_from_1(self, clips, tmp_path):
        target = str(tmp_path / "f_%03d.png")
        writer = rewritten(clips("a.mp4", audio=["eng"]), target, reader={})
        assert names(tmp_path, ".png") == [f"f_{n:03d}.png" for n in range(1, 11)]
        assert any("single video stream" in line for line in writer.warnings)
        assert any("YUV becomes RGB" in line for line in writer.warnings)

    def test_uneven_times_give_a_picture_for_every_frame(self, clips, tmp_path):
        target = str(tmp_path / "f_%03d.png")
        rewritten(clips("a.mkv", pts=[0, 1, 2, 9000, 9001, 50000, 50001, 50002, 60000, 90000]), target, reader={})
        assert len(names(tmp_path, ".png")) == 10

    def test_tiff_of_a_video_is_rgb(self, clips, tmp_path):
        assert rewritten(clips("a.mp4"), str(tmp_path / "f_%03d.tif"), reader={}).plan.pix_fmt == "rgb24"

    @pytest.mark.parametrize("rate", [24, "24000/1001", 29.97, 50])
    @pytest.mark.parametrize("seconds", [0.01, 0.1, 1 / 24, 0.125, 0.14])
    def test_numbers_stay_with_their_frames_after_a_start(self, tmp_path, rate, seconds):
        source, target = numbered(tmp_path), str(tmp_path / "out.%04d.png")
        rewritten(source, target, reader={"framerate": rate, "start": seconds})
        written = names(tmp_path, ".png")[:-FRAMES]
        assert written
        assert written[-1] == f"out.{1000 + FRAMES}.png"
        kept = planes(source, framerate=24)[-len(written) :]
        assert same(kept, planes(target, framerate=24))

    def test_what_is_there_is_not_written_over_unless_told(self, clips, tmp_path):
        source, target = clips("a.mp4"), str(tmp_path / "f_%03d.png")
        rewritten(source, target, reader={})
        with pytest.raises(OutputError, match=r"10 such pictures already exist, from number 1 on; use -y"):
            rewritten(source, target, reader={})
        short = rewritten(source, target, overwrite=True, reader={"duration": 0.2})
        assert f"{target}: numbers 6 to 10 are left from before" in short.warnings[-1]

    def test_a_single_picture_may_have_a_pattern_for_its_name(self, tmp_path):
        """As `magfilter-slice -o s_%d.png` writes it: what is numbered beside it is another thing."""
        (tmp_path / "s_1.png").write_bytes(b"")
        check_target(str(tmp_path / "s_%d.png"), "in.mp4", False)
        with pytest.raises(OutputError, match="already exist"):
            check_target(str(tmp_path / "s_%d.png"), "in.mp4", False, "image2")

    def test_the_input_is_never_the_output(self, tmp_path):
        source = numbered(tmp_path)
        with pytest.raises(OutputError, match="is the input"):
            rewritten(source, os.path.join(tmp_path, ".", "shot.%04d.png"), overwrite=True)

    def test_no_folder(self, clips, tmp_path):
        with pytest.raises(OutputError, match="create it first"):
            rewritten(clips("a.mp4"), str(tmp_path / "no" / "f%d.png"), reader={})

    @pytest.mark.parametrize("name", ["one.png", "one.tif", "one.jpg", "one%%.png"])
    def test_a_single_picture_is_told_how_to_be_numbered(self, name):
        with pytest.raises(OutputError, match=r"names a single picture; number them, as in one.*_%04d\."):
            container_format(name, None)
        with pytest.raises(OutputError, match="names a single picture"):
            container_format(name, "image2")

    def test_pictures_that_are_not_written(self, clips, tmp_path):
        with pytest.raises(OutputError, match=r"sequences of '\.exr' are not written; use one of \.bmp, \.dpx"):
            rewritten(clips("a.mp4"), str(tmp_path / "f%d.exr"), reader={})

    def test_an_encoder_of_ones_own(self, clips, tmp_path):
        rewritten(clips("a.mp4"), str(tmp_path / "f%d.jp2"), reader={}, codec="jpeg2000", format="image2")
        assert len(names(tmp_path, ".jp2")) == 10

    def test_nothing_half_written_is_left(self, clips, tmp_path):
        with VideoReader(clips("a.mp4")) as reader:
            writer = VideoWriter(str(tmp_path / "f%d.png"), reader)
            writer.write(reader.first)
            writer.abort()
        assert not [name for name in os.listdir(tmp_path) if not name.endswith((".png", ".mp4"))]

    def test_looking_only_writes_nothing(self, clips, tmp_path):
        with VideoReader(clips("a.mp4")) as reader:
            writer = VideoWriter(str(tmp_path / "f%d.png"), reader, dry=True)
        assert writer.plan.codec == "png"
        assert not names(tmp_path, ".png")


class TestTheFilter:
    def test_pictures_to_pictures(self, tmp_path):
        source, target = numbered(tmp_path, pix_fmt="rgb48be"), str(tmp_path / "out.%04d.png")
        report = magnify_video(source, target, alpha=1, framerate=24)
        assert report.frames == FRAMES
        assert same(planes(source, framerate=24), planes(target, framerate=24))

    def test_pictures_to_video_at_their_rate(self, tmp_path):
        target = str(tmp_path / "out.mkv")
        magnify_video(numbered(tmp_path), target, alpha=3, framerate="24000/1001", encode=EncodeOptions(codec="ffv1"))
        with VideoReader(target) as reader:
            assert abs(reader.info.rate - Fraction(24000, 1001)) < 0.01
            assert sum(isinstance(item, Frame) for item in reader) == FRAMES

    def test_the_band_goes_by_that_rate(self, tmp_path):
        source = numbered(tmp_path)
        with pytest.raises(OptionError):  # beyond half of 24 Hz
            magnify_video(source, str(tmp_path / "a.mkv"), band=(5, 13), framerate=24)
        magnify_video(source, str(tmp_path / "b.mkv"), band=(5, 13), framerate=60)

    @pytest.mark.parametrize("rate", [0, "fast"])
    def test_a_rate_that_is_none(self, rate):
        with pytest.raises(OptionError, match="framerate"):
            MagnifyOptions(framerate=rate)

    def test_on_the_command_line(self, tmp_path):
        from magfilter.cli import command

        source = numbered(tmp_path)
        done = CliRunner().invoke(command, [source, str(tmp_path / "o.%04d.dpx"), "--framerate", "24", "-q"])
        assert done.exit_code == 0, done.output
        assert names(tmp_path, ".dpx")[0] == "o.1001.dpx"

    def test_measuring_goes_by_fps(self, tmp_path):
        source = numbered(tmp_path)
        motion = measure_motion(source, fps=1000)
        assert motion.times[1] == pytest.approx(0.001)
        assert not [line for line in motion.warnings if "are taken" in line]

    @pytest.mark.parametrize("start", [None, 0.12])
    def test_masks_may_be_numbered_pictures(self, clips, tmp_path, start):
        """The mask is full in picture 3 and empty before: with a start of three frames, something is magnified."""
        for number in range(6):
            frame = np.full((48, 64), 255 * (number >= 3), np.uint8)
            image = av.VideoFrame.from_ndarray(frame, format="gray")
            with av.open(str(tmp_path / f"m.{number + 50}.png"), "w", format="image2") as output:
                stream = output.add_stream("png", rate=25)
                stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
                output.mux(stream.encode(image))
                output.mux(stream.encode(None))
        source, target = clips("a.mp4"), str(tmp_path / "o.mkv")
        options = MagnifyOptions(alpha=3, mask=str(tmp_path / "m.%d.png"), start=start)
        if start is None:
            with pytest.raises(OptionError, match="empty in frame 0"):
                magnify_video(source, target, options)
        else:
            assert magnify_video(source, target, options).frames == 7


def test_one_job_writes_a_sequence_at_a_time(clips, tmp_path):
    source, target = clips("in.mp4", frames=2), str(tmp_path / "out.%02d.png")
    with VideoReader(source) as one, VideoReader(source) as two:
        writer = VideoWriter(target, one)
        with pytest.raises(OutputError, match="is being written by another magfilter"):
            VideoWriter(target, two, overwrite=True)
        writer.write(next(item for item in one if isinstance(item, Frame)))
        writer.finish()
        VideoWriter(target, two, overwrite=True).abort()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.01.png"]
