"""magfilter: a video filter that makes invisible motion visible.

    magfilter in.mp4 out.mp4 --alpha 10

In Python, `magnify_video` does what the command does, and `Magnifier` works frame by
frame for programs that have frames of their own. `measure_motion` says how far things move, and how
often. Importing magfilter imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magfilter._version import __version__
from magfilter.errors import (
    BackendError,
    CorruptInput,
    InputError,
    MagfilterError,
    ModelError,
    OptionError,
    OutputError,
)
from magfilter.magnifier import Magnifier
from magfilter.media import EncodeOptions, Frame, VideoReader, VideoWriter
from magfilter.options import MagnifyOptions
from magfilter.pipeline import Progress, Report, magnify_video

if TYPE_CHECKING:
    from magfilter.measure import MeasureOptions, Motion, measure_motion

__all__ = [
    "BackendError",
    "CorruptInput",
    "EncodeOptions",
    "Frame",
    "InputError",
    "MagfilterError",
    "Magnifier",
    "MagnifyOptions",
    "MeasureOptions",
    "ModelError",
    "Motion",
    "OptionError",
    "OutputError",
    "Progress",
    "Report",
    "VideoReader",
    "VideoWriter",
    "__version__",
    "magnify_video",
    "measure_motion",
]


def __getattr__(name: str) -> Any:
    """Measuring is imported when it is asked for, so that the filter starts without it."""
    if name in ("MeasureOptions", "Motion", "measure_motion"):
        from magfilter import measure

        return getattr(measure, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
