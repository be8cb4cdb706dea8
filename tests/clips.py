"""Tiny clips, one trap each, made with PyAV; nothing is read from outside the tests."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

VFR = [0, 3000, 7001, 9000, 18000, 18500, 40000, 50000, 50100, 61000]
TICKS = Fraction(1, 90000)
CHAPTERS = [
    {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}},
    {"id": 2, "start": 200, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "two"}},
]
FONT = b"\0\1\0\0not really a font" * 8


def png(size: int = 8) -> bytes:
    """A small red PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = (b"\0" + b"\xff\0\0" * size) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def picture(index: int, width: int, height: int, pix_fmt: str = "yuv420p", noise: bool = False) -> av.VideoFrame:
    """Frame `index` of a drifting pattern (or of noise over all legal samples) in any planar format."""
    frame = av.VideoFrame(width, height, pix_fmt)
    random = np.random.default_rng(index)
    bits = frame.format.components[0].bits
    for number, plane in enumerate(frame.planes):
        dtype = np.uint8 if bits <= 8 else np.uint16
        view = np.frombuffer(plane, dtype).reshape(plane.height, -1)
        y, x = np.mgrid[0 : plane.height, 0 : view.shape[1]]
        if noise:
            view[:] = random.integers(0, 1 << bits, view.shape)
        else:
            wave = 0.5 + 0.3 * np.sin(0.3 * (x + index) + number) * np.cos(0.2 * y)
            view[:] = (wave * ((1 << bits) - 1)).astype(dtype)
    return frame


class Clips:
    """Makes clips in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        name: str,
        *,
        frames: int = 10,
        size: tuple[int, int] = (64, 48),
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        time_base: Fraction = TICKS,
        rate: int = 25,
        pts: Sequence[int] | None = None,
        options: dict[str, str] | None = None,
        colour: tuple[int, int, int, int] | None = None,
        sar: Fraction | None = None,
        rotation: int | None = None,
        audio: Sequence[str] = (),
        subtitle: str | None = None,
        chapters: bool = False,
        font: bool = False,
        cover: bool = False,
        metadata: dict[str, str] | None = None,
        noise: bool = False,
        format: str | None = None,
    ) -> str:
        """Write a clip and return its path.

        `colour` is (range, matrix, primaries, transfer), `audio` names the languages of the tracks.
        """
        path = str(self.folder / name)
        container: dict[str, str] = {}
        if name.endswith((".mp4", ".mov")):
            container["video_track_timescale"] = str(time_base.denominator)
        with av.open(path, "w", format=format, container_options=container) as out:
            video = out.add_stream(codec, rate=rate, time_base=time_base)
            video.width, video.height = size
            video.pix_fmt = pix_fmt
            context = video.codec_context
            context.options = (
                {"crf": "20", "preset": "veryfast", **(options or {})} if "264" in codec else options or {}
            )
            context.thread_count = 1
            if colour:
                context.color_range, context.colorspace, context.color_primaries, context.color_trc = colour
            if sar:
                context.sample_aspect_ratio = sar
            if rotation:
                video.set_display_rotation(rotation)
            tracks = [self._audio(out, language) for language in audio]
            text = out.add_mux_stream(subtitle, time_base=Fraction(1, 1000)) if subtitle else None
            if text is not None:
                text.metadata["language"] = "fra"
            if font:
                out.add_attachment("font.ttf", "application/x-truetype-font", FONT)
            art = None
            if cover and name.endswith(".mkv"):
                out.add_attachment("cover.png", "image/png", png())
            elif cover:
                art = out.add_mux_stream("png", width=8, height=8)
                art.disposition = Disposition.attached_pic
            out.metadata.update(metadata or {})
            if chapters:
                out.set_chapters(CHAPTERS)
            out.start_encoding()
            if art is not None:
                self._mux(out, art, png(), 0, 0)
            if text is not None:
                for start in (40, 200):
                    body = f"cue {start}".encode()
                    body = struct.pack(">H", len(body)) + body if subtitle == "mov_text" else body
                    self._mux(out, text, body, start, 100)
            times = list(pts) if pts is not None else [round(i / Fraction(rate) / time_base) for i in range(frames)]
            for i, time in enumerate(times):
                frame = picture(i, *size, pix_fmt, noise)
                frame.pts, frame.time_base = time, time_base
                out.mux(video.encode(frame))
                for track in tracks:
                    self._tone(out, track, i)
            for stream in [video, *tracks]:
                out.mux(stream.encode(None))
        return path

    @staticmethod
    def _audio(out: Any, language: str) -> Any:
        track = out.add_stream("aac", rate=48000)
        track.metadata["language"] = language
        return track

    @staticmethod
    def _tone(out: Any, track: Any, index: int) -> None:
        for part in (2 * index, 2 * index + 1):
            frame = av.AudioFrame("fltp", "stereo", 1024)
            for plane in frame.planes:
                np.frombuffer(plane, np.float32)[:] = 0.1 * np.sin(
                    0.05 * (np.arange(plane.buffer_size // 4) + 1024 * part)
                )
            frame.sample_rate, frame.pts, frame.time_base = 48000, 1024 * part, Fraction(1, 48000)
            out.mux(track.encode(frame))

    @staticmethod
    def _mux(out: Any, stream: Any, data: bytes, start: int, duration: int) -> None:
        packet = av.Packet(data)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration = duration
        packet.is_keyframe = True
        out.mux(packet)


def packets(path: str, kind: str) -> dict[int, list[bytes]]:
    """The payloads of all packets of one type of stream, by stream number among that type."""
    with av.open(path) as container:
        order = [s.index for s in container.streams if s.type == kind]
        found: dict[int, list[bytes]] = {i: [] for i in range(len(order))}
        for packet in container.demux():
            if packet.stream.index in order and packet.size:
                found[order.index(packet.stream.index)].append(bytes(packet))
        return found


def cut(path: str, share: float) -> str:
    """The file without its end; `share` is the part that stays."""
    data = Path(path).read_bytes()
    target = path.replace(".", "_cut.")
    Path(target).write_bytes(data[: int(len(data) * share)])
    return target
