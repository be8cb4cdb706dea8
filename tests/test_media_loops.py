"""Animations play as often as the input's."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from test_media_writer import frames, other, rewrite

from magfilter.media.loops import loop_options, plays


def animation(path: Path, option: dict[str, str]) -> str:
    kind = path.suffix[1:]
    with av.open(str(path), "w", format=kind, container_options=option) as out:
        video = out.add_stream(kind, rate=10)
        video.width, video.height, video.pix_fmt = 32, 24, "rgb8" if kind == "gif" else "rgb24"
        for number in range(3):
            frame = av.VideoFrame(32, 24, video.pix_fmt)
            frame.pts = number
            for plane in frame.planes:
                plane.update(bytes([70 * number]) * plane.buffer_size)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return str(path)


@pytest.mark.parametrize("target", ["out.gif", "out.apng"])
@pytest.mark.parametrize(("name", "option", "times"), [
    ("in.gif", {"loop": "3"}, 4), ("in.gif", {"loop": "-1"}, 1), ("in.gif", {"loop": "0"}, 0),
    ("in.apng", {"plays": "3"}, 3), ("in.apng", {"plays": "1"}, 1), ("in.apng", {"plays": "0"}, 0),
])  # fmt: skip
def test_an_animation_plays_as_often(tmp_path, name, option, times, target):
    """A GIF that plays once became one that plays for ever, an APNG that does one that plays once."""
    source = animation(tmp_path / name, option)
    assert plays(source, name[3:]) == times
    rewrite(source, other(source, target))
    assert plays(other(source, target), target[4:]) == times
    assert len(frames(other(source, target))) == 3


def test_what_says_nothing_of_it(clips, tmp_path):
    source = clips("in.mp4", frames=2)
    assert plays(source, "mov,mp4,m4a,3gp,3g2,mj2") is None
    assert plays(source, "gif") is None
    assert plays(source, "apng") is None
    assert plays("-", "gif") is None
    whole = Path(animation(tmp_path / "in.gif", {"loop": "3"})).read_bytes()
    (tmp_path / "cut.gif").write_bytes(whole[: whole.index(b"NETSCAPE") + 4])
    assert plays(str(tmp_path / "cut.gif"), "gif") is None
    assert loop_options("gif", None) == loop_options("mp4", 3) == {}
    assert loop_options("gif", 70000) == {"loop": "65535"}
    assert loop_options("webp", 2) == {"loop": "2"}
