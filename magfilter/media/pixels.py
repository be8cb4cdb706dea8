"""Choosing the pixel format to encode, and turning native planes into it."""

from __future__ import annotations

import difflib
from functools import cache

import av
import numpy as np
from av.video import format as av_format
from av.video.reformatter import VideoReformatter

from ..errors import OptionError, OutputError
from .colour import is_full_range, luma, resolved_matrix
from .convert import ACCURATE, Cousin, allocate, cousin, fill_planes, packed_twins
from .frame import Colour, Frame, PixelLayout, Plane

__all__ = ["Packer", "check_name", "choose", "cousin", "output_colour", "y4m_formats"]


def check_name(pix_fmt: str) -> None:
    """Raise OptionError unless `pix_fmt` is a pixel format that frames can be converted to."""
    if cousin(pix_fmt) is None:
        names = [n for n in getattr(av_format, "names", ()) if cousin(n)]
        close = difflib.get_close_matches(pix_fmt, names, 2)
        hint = f"did you mean {' or '.join(close)}?" if close else "yuv420p is the most widely played"
        raise OptionError(f"unknown pixel format '{pix_fmt}'; {hint}")


@cache
def y4m_formats() -> tuple[str, ...]:
    """What the YUV4MPEG2 header can name."""
    bases = ("yuv420p", "yuv422p", "yuv444p")
    deep = [f"{base}{depth}le" for base in bases for depth in (9, 10, 12, 14, 16)]
    return (
        "yuv420p",
        "yuv422p",
        "yuv444p",
        "yuv411p",
        "gray",
        *deep,
        *(f"gray{d}le" for d in (9, 10, 12, 16)),
    )


def choose(
    layout: PixelLayout, supported: tuple[str, ...] | list[str], asked: str | None, codec: str
) -> tuple[str, str]:
    """(pixel format to encode, what it loses or ""): the layout itself, else the nearest that loses least.

    Args:
        layout: of the frames.
        supported: what the encoder takes; empty for anything.
        asked: the user's choice, or None.
        codec: its name, for the message.

    Raises:
        OutputError: the encoder takes nothing like `asked`, or nothing at all.
    """
    if asked is not None:
        if supported and asked not in supported:
            known = ", ".join(name for name in supported[:12])
            raise OutputError(f"{codec} does not take pixel format {asked}; it takes {known}")
        return asked, ""
    if not supported or layout.name in supported:
        return layout.name, ""
    for twin in packed_twins(layout.name):
        if twin in supported:
            return twin, ""
    ranked = [(_cost(layout, how.layout), name) for name in supported if (how := _plain(name)) is not None]
    if not ranked:
        raise OutputError(f"{codec} takes no pixel format like {layout.name}; use -c:v ffv1")
    (_, loss), name = min(ranked, key=lambda entry: entry[0][0])
    return name, loss


def _plain(name: str) -> Cousin | None:
    """How the format holds samples, if it holds them exactly."""
    how = cousin(name)
    return how if how and how.lossless else None


def _cost(source: PixelLayout, target: PixelLayout) -> tuple[float, str]:
    """(how bad, in words what is lost) for encoding `source` as `target`; below 1 nothing is lost."""
    cost, losses = 0.0, []
    if target.kind == "gray" and source.kind != "gray":
        cost += 100
        losses.append("colour is lost")
    elif source.kind != target.kind and source.kind != "gray":
        cost += 6
        losses.append("RGB becomes YUV" if source.kind == "rgb" else "YUV becomes RGB")
    elif source.kind != target.kind:
        cost += 0.3
    if source.alpha and not target.alpha:
        cost += 13  # more than RGB to 4:2:0: what was cut out should stay so
        losses.append("opacity is lost")
    cost += 0.05 * (target.alpha and not source.alpha)
    if target.depth < source.depth:
        cost += 10 * (source.depth - target.depth)
        losses.append(f"{source.depth} bit become {target.depth}")
    cost += 0.02 * max(0, target.depth - source.depth)
    if source.kind != "gray" and target.kind != "gray":
        fewer = max(0, target.log2_chroma_w - source.log2_chroma_w) + max(
            0, target.log2_chroma_h - source.log2_chroma_h
        )
        if fewer:
            cost += 3 * fewer
            losses.append("chroma is made coarser")
    cost += 0.1 * (
        max(0, source.log2_chroma_w - target.log2_chroma_w) + max(0, source.log2_chroma_h - target.log2_chroma_h)
    )
    return cost, ", ".join(losses)


def output_colour(layout: PixelLayout, pix_fmt: str, colour: Colour, matrix: int) -> Colour:
    """The tags that are true after conversion to `pix_fmt`; without a change of kind, the frame's own."""
    how = cousin(pix_fmt)
    if how is None:
        return colour
    kind = how.layout.kind
    if how.full_range:
        colour = Colour(2, colour.matrix, colour.primaries, colour.transfer)
    if kind == layout.kind:
        return colour
    if kind == "rgb":
        return Colour(2, 0, colour.primaries, colour.transfer)
    if layout.kind == "rgb":
        yuv = matrix if matrix != 0 else 6
        return Colour(1 if not how.full_range else 2, yuv, colour.primaries, colour.transfer)
    full = is_full_range(colour, layout)
    return Colour(2 if full else colour.range, colour.matrix, colour.primaries, colour.transfer)


def _swscale(colour: Colour, height: int) -> int:
    """The matrix to compute with, by swscale's names."""
    matrix = resolved_matrix(colour, height)
    return {0: 1, 6: 5, 10: 9, 8: 5}.get(matrix, matrix)


def _widened(frame: Frame) -> Plane:
    """Grey of limited range as full range, in the same layout."""
    layout = frame.layout
    plane: Plane = np.rint(luma(frame).clip(0, 1) * np.float32(layout.peak)).astype(layout.dtype)
    return plane


class Packer:
    """Turns frames of one layout into libav frames of one pixel format.

    Args:
        layout: of the frames to come.
        pix_fmt: what the encoder takes.
        colour: the tags of the output, from `output_colour`.
    """

    def __init__(self, layout: PixelLayout, pix_fmt: str, colour: Colour) -> None:
        how = cousin(pix_fmt)
        assert how is not None
        self._pix_fmt = pix_fmt
        self._layout = layout
        self._colour = colour
        self._target = how
        self._direct = how.layout == layout and not how.repack
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Frame, carrier: av.VideoFrame | None = None) -> av.VideoFrame:
        """The frame as libav's, tagged but without time.

        Args:
            frame: of the layout this packer was made for.
            carrier: the frame it was decoded from; its captions are kept.
        """
        if carrier is not None and carrier.format.name == self._layout.name:
            if (carrier.width, carrier.height) == (frame.width, frame.height):
                carrier.make_writable()
                packed = carrier
            else:
                packed = carrier.reformat(width=frame.width, height=frame.height)  # a new one with its captions
        else:
            packed = allocate(
                frame.width, frame.height, self._pix_fmt if self._same_range(frame) else self._layout.name
            )
        fill_planes(packed, (_widened(frame),) if self._widens(frame) else frame.planes, self._layout)
        if packed.format.name != self._pix_fmt or self._narrows(frame) or self._recodes(frame):
            packed = self._reformat(packed, frame)
        packed.color_range = self._colour.range
        packed.colorspace = self._colour.matrix
        packed.color_primaries = self._colour.primaries
        packed.color_trc = self._colour.transfer
        packed.pict_type = 0  # let the encoder place its own key frames
        return packed

    def _same_range(self, frame: Frame) -> bool:
        """Whether planes can be written as they are; limited range into a yuvj format cannot."""
        return self._direct and (not self._target.full_range or is_full_range(frame.colour, self._layout))

    def _narrows(self, frame: Frame) -> bool:
        """Whether full range becomes limited range."""
        if self._layout.kind != "yuv" or self._target.full_range:
            return False
        return is_full_range(frame.colour, self._layout) and not is_full_range(self._colour, self._target.layout)

    def _widens(self, frame: Frame) -> bool:
        """Whether limited grey becomes full range: swscale takes all grey for full, whatever it is told."""
        full = self._target.full_range or is_full_range(self._colour, self._target.layout)
        return self._layout.kind == "gray" and full and not is_full_range(frame.colour, self._layout)

    def _recodes(self, frame: Frame) -> bool:
        """Whether YUV is computed by another matrix."""
        if (
            self._layout.kind != "yuv"
            or self._target.layout.kind != "yuv"
            or self._colour.matrix == frame.colour.matrix
        ):
            return False
        return _swscale(frame.colour, frame.height) != _swscale(self._colour, frame.height)

    def _reformat(self, packed: av.VideoFrame, frame: Frame) -> av.VideoFrame:
        target = self._target.layout
        source_full = is_full_range(frame.colour, self._layout)
        target_full = is_full_range(self._colour, target) or self._target.full_range
        if self._layout.kind == "gray" and (source_full == target_full or self._widens(frame)):
            source_full = target_full = True  # between these swscale leaves luma alone
        same = target.kind == self._layout.kind and source_full == target_full
        matrix = _swscale(self._colour if self._layout.kind == "rgb" else frame.colour, frame.height)
        return self._reformatter.reformat(
            packed,
            format=self._pix_fmt,
            src_colorspace=matrix,
            dst_colorspace=_swscale(self._colour, frame.height) if self._recodes(frame) else matrix,
            src_color_range=1 if same else 1 + source_full,
            dst_color_range=1 if same else 1 + target_full,
            interpolation=ACCURATE,
        )
