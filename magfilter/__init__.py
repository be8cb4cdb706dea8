"""magfilter: a video filter that makes invisible motion visible.

    magfilter in.mp4 out.mp4 --alpha 10

In Python, `magnify_video` does what the command does, and `Magnifier` works frame by
frame for programs that have frames of their own. `measure_motion` says how far things move, and how
often, `find_vibrations` what vibrates where. Importing magfilter imports no torch.
"""

from __future__ import annotations

import os
from importlib import import_module
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
    Stopped,
)

if TYPE_CHECKING:
    from magfilter.find import find_vibrations
    from magfilter.magnifier import Magnifier
    from magfilter.measure import MeasureOptions, Motion, measure_motion
    from magfilter.media import EncodeOptions, Frame, VideoReader, VideoWriter
    from magfilter.options import MagnifyOptions
    from magfilter.pipeline import magnify_video
    from magfilter.report import Progress, Report
    from magfilter.suggest import Suggestion, suggest_alpha

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
    "Stopped",
    "Suggestion",
    "VideoReader",
    "VideoWriter",
    "__version__",
    "find_vibrations",
    "magnify_video",
    "measure_motion",
    "suggest_alpha",
]

# ONNX Runtime (1.29 and later) otherwise reports to Microsoft, with a number that it keeps for the machine. It looks
# when it is loaded, and everything here that loads it comes after this.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "magfilter.find": ("find_vibrations",),
    "magfilter.magnifier": ("Magnifier",),
    "magfilter.measure": ("MeasureOptions", "Motion", "measure_motion"),
    "magfilter.media": ("EncodeOptions", "Frame", "VideoReader", "VideoWriter"),
    "magfilter.options": ("MagnifyOptions",),
    "magfilter.pipeline": ("magnify_video",),
    "magfilter.report": ("Progress", "Report"),
    "magfilter.suggest": ("Suggestion", "suggest_alpha"),
}


def __getattr__(name: str) -> Any:
    """Each name is imported when it is asked for: networks and engines then need no PyAV, the filter no measuring."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
