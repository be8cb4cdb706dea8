"""Inputs that only name other files, such as concat scripts and HLS playlists: opened where that is meant.

Whoever may hand in a video could otherwise hand in a few lines of text of that name, and get back what else can be read
from here. libav goes by what a file holds, not by how it is called.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from functools import cache

import av

from ..errors import InputError
from ..printable import quoted

__all__ = ["refused", "whole_in_one"]

# Demuxers that open what their input names, of all builds of libav: files, URLs, ports.
_NAME_OTHERS = {"avisynth", "concat", "dash", "dvdvideo", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vapoursynth"}
_NAME_OTHERS |= {"vobsub", "webm_dash_manifest"}
_STREAMED = {"dash", "hls", "rtp", "rtsp", "sap", "sdp"}  # what an address on the net stands for
# What they begin with, as far as that is needed to say how to ask for them.
_MARKS = {b"ffconcat version": "concat", b"#EXTM3U": "hls", b"<?xml": "dash", b"<MPD": "dash", b"v=0": "sdp"}
_MARKS[b"# VobSub"] = "vobsub"


def whole_in_one(source: str) -> str:
    """The formats, as libav's `format_whitelist`, in which `source` may be that have all in one file."""
    return _listed(_on_the_net(source))


@cache
def _listed(net: bool) -> str:
    no = _NAME_OTHERS - _STREAMED if net else _NAME_OTHERS
    return ",".join(sorted(av.formats_available - no))


def _on_the_net(source: str) -> bool:
    return "://" in source and not source.lower().startswith("file:")


def refused(source: str, error: Exception) -> InputError | None:
    """What to tell if `source` could not be opened because it names other files; None if that is not why."""
    if getattr(error, "errno", None) != errno.EINVAL:  # which libav says of what is not listed, and of little else
        return None
    head = b""
    with suppress(OSError, ValueError):
        if os.path.isfile(source):
            with open(source, "rb") as file:
                head = file.read(64)
    name = next((format for mark, format in _MARKS.items() if head.startswith(mark)), None)
    if name is None:
        return None
    return InputError(
        f"{source} is no video but names other files or addresses, which are not opened unless that is asked for, "
        f"by --input-format {name} of magfilter and magfilter-measure; for others make it one file first, with "
        f"ffmpeg -i {quoted(source)} -c copy whole.mkv"
    )
