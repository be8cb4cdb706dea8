"""Decoding on a GPU, where libav, the driver and the codec allow it: asked of libav, never assumed.

Frames come back to memory, as libav's semi-planar formats (nv12, p010), without loss. What happens where a GPU is
missing or fails is tested; that one decodes has not been tried yet.
"""

from __future__ import annotations

from typing import Any

import av
import av.error

from ..errors import BackendError

__all__ = ["HWACCELS", "hardware", "lacking"]

HWACCELS = ("none", "auto", "cuda")
_KINDS = HWACCELS[2:]
_ASKED = "h264"  # what every such decoder knows; a device is opened for some codec


def hardware(name: str) -> Any | None:
    """What `av.open` takes as its hwaccel, or None for the CPU.

    Args:
        name: one of `HWACCELS`. "auto" leaves to the CPU what the GPU cannot do.

    Raises:
        BackendError: if the device was named and does not open.
    """
    if name == "none":
        return None
    kinds = _KINDS if name == "auto" else (name,)
    lacks = {kind: lacking(kind) for kind in kinds}
    for kind, why in lacks.items():
        if not why:
            from av.codec.hwaccel import HWAccel

            return HWAccel(kind, allow_software_fallback=name == "auto")
    if name == "auto":
        return None
    raise BackendError(f"video cannot be decoded on {name} here: {lacks[name]}; use --hwaccel none, or auto")


def lacking(kind: str) -> str:
    """Why no decoder of this kind ("cuda") opens here; "" where one does."""
    try:
        from av.codec.hwaccel import HWAccel, hwdevices_available
    except ImportError:
        return f"PyAV {av.__version__} has no decoders on GPUs"
    if kind not in hwdevices_available():
        return "this build of libav does not know it"
    try:
        HWAccel(kind).create(av.Codec(_ASKED, "r"))
    except (av.error.FFmpegError, OSError, RuntimeError, ValueError) as error:
        return f"no device opens ({getattr(error, 'strerror', None) or error})"
    return ""
