"""Opening an input: every way it can fail, said in one line that names the fix."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import av
import av.error
from av.stream import Disposition

from ..errors import InputError, OptionError
from .playlists import refused, whole_in_one
from .probe import describe_streams
from .sequence import ImageSequence
from .tiff import look

__all__ = ["TAG_ERRORS", "is_live", "is_pipe", "open_input", "pick_video", "reason"]

# Tags that are not UTF-8 must survive; PyAV 19 has no such option any more.
TAG_ERRORS: dict[str, Any] = {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}
# libav reads any text file as ANSI art; nobody means that.
_NOT_MEDIA = {"tty", "bin", "idf", "xbin", "adf"}


def is_pipe(source: str) -> bool:
    """Whether `source` names the process's own stdin or stdout."""
    return source in ("-", "pipe:", "pipe:0", "pipe:1")


def is_live(source: str) -> bool:
    """Whether it can be read only once: stdin, a named pipe, a device."""
    return is_pipe(source) or (os.path.exists(source) and not os.path.isfile(source))


def reason(error: BaseException) -> str:
    """libav's own words, without its codes and addresses."""
    log = getattr(error, "log", None)
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{text} ({log[2].strip()})" if log else str(text)


def _libav_name(source: str) -> str:
    """The name libav opens: files as file:…, so that a colon in a name is no protocol."""
    if "://" in source or ("%" in source and not os.path.exists(source)):
        return source
    return "file:" + source


def open_input(
    source: str, format: str | None, accelerator: Any | None = None, pictures: ImageSequence | None = None
) -> Any:
    """Open `source` for reading.

    Args:
        pictures: the image sequence that it names, if it is one; accelerator: see `magfilter.media.hwaccel.hardware`.

    Raises:
        InputError: missing, a directory, not readable, not media, or not for the accelerator.
        OptionError: `format` is not a format libav can read.
    """
    if format is not None:
        try:
            known = av.format.ContainerFormat(format, "r").is_input
        except ValueError:
            known = False
        if not known:
            raise OptionError(f"unknown input format '{format}'; use one that `ffmpeg -demuxers` lists, such as nut")
    options = {"format_whitelist": whole_in_one(source)} if format is None else {}
    if pictures is not None:
        name, options = "file:" + source, {**options, **pictures.options}
    elif is_pipe(source):
        # A live pipe must not wait for 20 frames only to guess a frame rate.
        name, options = "pipe:0", {**options, "fpsprobesize": "0"}
    else:
        name = _libav_name(source)
        path = Path(source)
        if name.startswith("file:"):
            if path.is_dir():
                raise InputError(
                    f"{source} is a directory; name the video file inside it, or its pictures as in {path / '%04d.png'}"
                )
            if not path.exists():
                raise InputError(f"{source} does not exist; check the path")
            if path.is_file() and path.stat().st_size == 0:
                raise InputError(f"{source} is empty; record or copy it again")
    if (format is None or "tiff" in format) and not is_pipe(source):
        _check_tiff(source, pictures)
    try:
        container = av.open(name, "r", format=format, options=options, hwaccel=accelerator, **TAG_ERRORS)
    except RuntimeError as error:
        if accelerator is None:
            raise
        raise InputError(f"{source} cannot be decoded on the GPU: {error}; use --hwaccel none, or auto") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise refused(source, error) or _open_failed(source, error) from error
    if format is None and container.format.name in _NOT_MEDIA:
        container.close()
        raise InputError(f"{source} is not media that libav can read; give a video file")
    return container


def _check_tiff(source: str, pictures: ImageSequence | None) -> None:
    """Refuse TIFFs that libav would read wrongly or not at all, where that shows before it tries.

    Of a stack it reads the first page without a word, half floats as integers, and BigTIFF it does not know.

    Raises:
        InputError: it is one.
    """
    tiff = look(source if pictures is None else pictures.name(pictures.first))
    if tiff is None:
        return
    if tiff.pages > 1 and pictures is None:
        raise InputError(
            f"{source} is a TIFF of {tiff.pages} pages, of which only the first could be read; save it as numbered "
            f"pictures (in ImageJ File > Save As > Image Sequence) and name them as in {Path(source).stem}%04d.tif"
        )
    if tiff.big or (tiff.floating and tiff.bits == 16):
        raise InputError(f"{source}: {tiff.unreadable}")


def _open_failed(source: str, error: Exception) -> InputError:
    code = getattr(error, "errno", None)
    if isinstance(error, PermissionError) or code == errno.EACCES:
        return InputError(f"{source} cannot be read: permission denied; change its permissions")
    if isinstance(error, FileNotFoundError):
        return InputError(f"{source} does not exist; check the path")
    if isinstance(error, EOFError):
        return InputError(f"{source} holds no frame: it ended before any media came; check what wrote it")
    if isinstance(error, av.error.InvalidDataError):
        hint = "give a video file, or name the format with --input-format" if is_pipe(source) else "give a video file"
        if is_pipe(source) and os.name == "nt":
            hint += "; PowerShell before 7.4 takes what it pipes for text and changes it, cmd does not"
        if _is_mp4(source):  # only its index can be what is missing
            hint = "the recording was cut before its index was written; recover it with a tool such as untrunc"
        return InputError(f"{source} is not media that libav can read: {reason(error)}; {hint}")
    return InputError(f"{source} cannot be opened: {reason(error)}; check that it is a whole video file")


def _is_mp4(source: str) -> bool:
    try:
        with open(source, "rb") as file:
            return file.read(8)[4:] == b"ftyp"
    except OSError:
        return False


def pick_video(source: str, container: Any) -> Any:
    """The best video stream that is not cover art.

    Raises:
        InputError: there is none; the message names the streams that are there.
    """
    usable = [
        s
        for s in container.streams.video
        if not s.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails)
    ]
    if not usable:
        there = ", ".join(str(s) for s in describe_streams(container.streams)) or "none"
        raise InputError(f"{source} has no video stream (streams: {there}); give a file with video")
    best = container.streams.best("video")
    chosen = next((s for s in usable if best is not None and s.index == best.index), usable[0])
    if chosen.codec_context is None:
        raise InputError(
            f"{source}: no decoder for video stream #{chosen.index} in this build of libav; "
            f"convert it first, e.g. with ffmpeg -c:v ffv1"
        )
    return chosen
