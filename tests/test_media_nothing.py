"""Where libav cannot decode or write, the message says why, and not that the file is damaged."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction

import pytest

from magfilter import InputError, MagnifyOptions, OutputError, magnify_video
from magfilter.media import VideoReader, nothing
from magfilter.targets import Targets


def huge(path, side: int = 16384) -> str:
    """A PNG of one grey, too large for libav."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(side + 1) * 16)  # the first rows: it is refused for its head
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return str(path)


def test_a_picture_too_large_for_libav_is_named_so(tmp_path):
    name = huge(tmp_path / "big.png")
    with pytest.raises(InputError, match="libav reads no pictures of 16384x16384; make it smaller"):
        VideoReader(name)
    with pytest.raises(InputError, match="16384x16384"):
        Targets(MagnifyOptions(mask=name))


def test_what_libav_has_not_learnt_is_no_damage(monkeypatch):
    said = "slice count unsupported: Not yet implemented in FFmpeg, patches welcome"
    monkeypatch.setattr(nothing, "decoders_words", lambda *_: said)
    container = type("C", (), {"format": type("F", (), {"name": "matroska"})})
    error = nothing.no_frame("a.mkv", "a.mkv", container, type("S", (), {"index": 0}), 1, None)
    assert f"libav says: {said}; convert it first" in str(error)
    assert "damaged" not in str(error)


def test_a_damaged_file_is_called_so_in_libavs_words(clips):
    name = clips("in.avi", codec="mjpeg", pix_fmt="yuvj420p", frames=3)
    with open(name, "rb") as file:
        data = file.read()
    begin = data.index(b"movi") + 4
    with open(name, "wb") as file:  # the packets' sizes stay, what is in them goes
        out = bytearray(data)
        at = begin
        while out[at : at + 4] == b"00dc":
            size = int.from_bytes(out[at + 4 : at + 8], "little")
            out[at + 8 : at + 8 + size] = bytes(size)
            at += 8 + size + size % 2
        file.write(out)
    with pytest.raises(InputError, match=r"errors.*; the file is damaged"):
        VideoReader(name)


def test_times_that_mp4_cannot_hold_are_the_inputs(clips, tmp_path):
    jump = [0, 40, 80, 1 << 40, (1 << 40) + 40]
    name = clips("in.mkv", frames=5, time_base=Fraction(1, 1000), pts=jump)
    with pytest.raises(OutputError, match=r"mp4 does not hold the input's times, which jump to 1\.1e\+09 seconds"):
        magnify_video(name, tmp_path / "o.mp4")
    assert magnify_video(name, tmp_path / "o.mkv").frames == 5
