"""Files that only name others: refused before those are opened, whatever their name; read where that is asked for."""

from __future__ import annotations

import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from magfilter.errors import InputError
from magfilter.media import Frame, VideoReader
from magfilter.media.playlists import whole_in_one

CONCAT = "ffconcat version 1.0\nfile {}\n"
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-VERSION:3\n#EXTINF:1.0,\n{}\n#EXT-X-ENDLIST\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"


def frames(path: str, **options) -> int:
    with VideoReader(path, **options) as reader:
        return sum(isinstance(item, Frame) for item in reader)


@pytest.mark.timeout(60, method="thread")
@pytest.mark.skipif(os.name == "nt", reason="no named pipes there")
@pytest.mark.parametrize(
    ("name", "text", "format"),
    [
        ("a.mp4", CONCAT, "concat"),
        ("a.ffconcat", CONCAT, "concat"),
        ("a.m3u8", HLS, "hls"),
        ("a", SDP, "sdp"),
    ],
)
def test_what_names_other_files_is_refused_before_they_are_opened(tmp_path, monkeypatch, name, text, format):
    """An upload that was 36 bytes of text read any video that the program may read."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("segment.ts")  # whoever opens it waits for ever
    (tmp_path / name).write_text(text.format("segment.ts"), "utf-8")
    with pytest.raises(
        InputError, match=rf"^{name} is no video but names other .*--input-format {format} of magfilter"
    ):
        VideoReader(name)


def test_it_is_read_where_that_is_asked_for(clips, tmp_path):
    clips("segment.ts")
    for name, text, format in (("a.mp4", CONCAT, "concat"), ("a.m3u8", HLS, "hls")):
        (tmp_path / name).write_text(text.format("segment.ts"))
        assert frames(str(tmp_path / name), format=format) == 10


def test_a_file_by_its_address_is_a_file(tmp_path):
    (tmp_path / "a.m3u8").write_text(HLS.format("segment.ts"))
    with pytest.raises(InputError):
        VideoReader((tmp_path / "a.m3u8").as_uri())


def test_a_playlist_on_the_net_is_what_is_meant(clips, tmp_path):
    clips("segment.ts")
    (tmp_path / "a.m3u8").write_text(HLS.format("segment.ts"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert frames(f"http://127.0.0.1:{server.server_port}/a.m3u8") == 10
    finally:
        server.shutdown()
        server.server_close()


def test_all_others_may_be_read():
    listed = set(whole_in_one("in.mp4").split(","))
    assert not listed & {"concat", "hls", "sdp", "rtsp", "vobsub"}
    assert {"mov", "matroska", "mpegts", "image2", "png_pipe", "nut", "avi", "rawvideo"} <= listed
    assert {"hls", "rtsp"} <= set(whole_in_one("http://localhost/a.m3u8").split(","))
    assert "concat" not in whole_in_one("http://localhost/a.ffconcat")
