"""What an encoder is told beyond what the user said."""

from __future__ import annotations

import pytest

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
