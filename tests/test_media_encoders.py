"""What an encoder is told beyond what the user said."""

from __future__ import annotations

import contextlib
import threading
import time

import av.logging
import pytest

from magfilter.errors import OptionError, OutputError
from magfilter.media import encoders
from magfilter.media.encoders import EncodeOptions, plan_encoder
from magfilter.media.frame import Colour, PixelLayout


def lookahead(size: tuple[int, int], pix_fmt: str, **options: object) -> str | None:
    layout = PixelLayout.from_name(pix_fmt)
    plan = plan_encoder(EncodeOptions(**options), "matroska", False, layout, size, Colour(), None)
    return plan.options.get("rc-lookahead")


def test_x264_holds_few_frames_where_they_are_large():
    assert lookahead((320, 240), "yuv420p") is None
    assert lookahead((1920, 1080), "yuv420p") is None, "the preset's own 40"
    assert lookahead((3840, 2160), "yuv420p") == "11"
    assert lookahead((3840, 2160), "yuv420p10le") == "5"
    assert lookahead((3840, 2160), "yuv420p", preset="veryfast") is None, "looks no farther anyway"
    assert lookahead((3840, 2160), "yuv420p", preset="slow") == "11"


@pytest.mark.parametrize("told", [("rc-lookahead", "40"), ("x264-params", "rc-lookahead=40")])
def test_a_lookahead_that_was_asked_for_is_kept(told):
    assert lookahead((3840, 2160), "yuv420p", options=(told,)) == (told[1] if told[0] == "rc-lookahead" else None)


def test_other_encoders_are_left_alone():
    assert lookahead((3840, 2160), "yuv420p10le", codec="ffv1") is None


@pytest.mark.parametrize(
    ("codec", "format", "pix_fmt", "expected"),
    [
        ("libx265", "matroska", "yuva420p", "yuv420p"),
        ("libx265", "matroska", "yuva420p10le", "yuv420p10le"),
        ("libvpx-vp9", "webm", "gbrap", "yuva420p"),
        ("libvpx-vp9", "webm", "yuva444p", "yuva420p"),
        ("mpeg4", "image2", "gbrp", "yuv420p"),
    ],
)
def test_what_an_encoder_names_and_refuses_is_not_chosen(codec, format, pix_fmt, expected):
    layout = PixelLayout.from_name(pix_fmt)
    plan = plan_encoder(EncodeOptions(codec=codec), format, False, layout, (64, 48), Colour(), None)
    assert plan.pix_fmt == expected
    assert plan.warnings


def plan(codec: str) -> None:
    plan_encoder(
        EncodeOptions(codec=codec), "matroska", False, PixelLayout.from_name("yuv420p"), (64, 48), Colour(), None
    )


def test_one_thread_at_a_time_changes_what_is_the_whole_process_s(monkeypatch):
    inside: list[int] = []
    most: list[int] = []

    @contextlib.contextmanager
    def slow():
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        yield
        inside.pop()

    monkeypatch.setattr(encoders, "_mute_stderr", slow)
    level = av.logging.get_level()
    threads = [threading.Thread(target=plan, args=("libx264",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4
    assert av.logging.get_level() == level


def test_stderr_is_taken_only_from_encoders_that_write_to_it(monkeypatch):
    muted: list[str] = []
    monkeypatch.setattr(encoders, "_mute_stderr", lambda: muted.append("muted") or contextlib.nullcontext())
    plan("ffv1")
    assert not muted
    plan("libx265")
    assert muted


@pytest.mark.parametrize("crf", ["18", -1, float("nan")])
def test_a_quality_that_is_no_number_is_refused(crf):
    with pytest.raises(OptionError, match=r"crf must be a number of 0 .best. or more; got"):
        EncodeOptions(crf=crf)


@pytest.mark.parametrize("size", [(1, 50), (1, 2), (3, 3), (1, 1)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "gray16le"])
def test_ffv1_takes_pictures_of_a_few_pixels(size, pix_fmt):
    layout = PixelLayout.from_name(pix_fmt)
    plan = plan_encoder(EncodeOptions(codec="ffv1"), "matroska", False, layout, size, Colour(), None)
    assert plan.pix_fmt == pix_fmt
    assert plan.options.get("slices") in (None, "1")


def test_slices_that_were_asked_for_are_kept():
    layout = PixelLayout.from_name("yuv444p")
    wanted = EncodeOptions(codec="ffv1", options=(("slices", "4"),))
    with pytest.raises(OutputError, match="ffv1 rejects slices=4"):
        plan_encoder(wanted, "matroska", False, layout, (1, 50), Colour(), None)


@pytest.mark.parametrize(("size", "instead"), [((1, 50), "libx264"), ((16, 1), "ffv1")])
def test_no_encoder_is_advised_that_refuses_the_picture_too(size, instead):
    with pytest.raises(OutputError, match=f"use another encoder with -c:v, such as {instead}$"):
        plan_encoder(
            EncodeOptions(codec="libx265"), "matroska", False, PixelLayout.from_name("yuv444p"), size, Colour(), None
        )


def test_what_was_refused_is_not_advised(monkeypatch):
    monkeypatch.setattr(encoders, "_try_open", lambda plan, options: (ValueError("no"), "", []))
    with pytest.raises(OutputError, match=r"use another encoder with -c:v$"):
        plan("ffv1")


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_opacity_in_webm(codec):
    layout = PixelLayout.from_name("yuva420p")
    assert (
        plan_encoder(EncodeOptions(codec=codec), "webm", False, layout, (64, 48), Colour(), None).pix_fmt == "yuva420p"
    )


@pytest.mark.parametrize(
    ("layout", "codec"),
    [("yuv420p", "rawvideo"), ("gray", "rawvideo"), ("yuv444p", "ffv1"), ("yuv420p10le", "ffv1"), ("gbrp", "ffv1")],
)
def test_matroska_into_a_pipe_is_raw_where_it_has_a_code_for_it(layout, codec):
    plan = plan_encoder(EncodeOptions(), "matroska", True, PixelLayout.from_name(layout), (64, 48), Colour(), None)
    assert plan.codec == codec
    assert not plan.warnings
