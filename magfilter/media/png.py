"""One picture as a PNG file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from .target import PartFile, write_failed

__all__ = ["write_png"]


def write_png(target: str, picture: NDArray[np.uint8], source: str, overwrite: bool = False) -> None:
    """Write a picture under a hidden name beside `target`, which it takes when it is whole.

    Args:
        picture: (H, W, 3) RGB.
        source: the input, which must not be the target.
        overwrite: whether an existing target may be replaced.

    Raises:
        OutputError: the target cannot be written, or the picture is larger than a PNG can be here.
    """
    height, width = picture.shape[:2]
    try:
        encoder: Any = av.CodecContext.create("png", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        data = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        raise OutputError(
            f"{target}: a picture of {width}x{height} is too large; take fewer frames, a shorter line or a lower scale"
        ) from error
    part = PartFile(target, source, overwrite)
    try:
        Path(part.path).write_bytes(data)
        part.commit()
    except OSError as error:
        part.discard()
        raise write_failed(target, error) from error
    except BaseException:
        part.discard()
        raise
