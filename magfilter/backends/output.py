"""What a network gives back, looked at before anything is done with it.

A model file may be anybody's. What is compiled goes by the shape that its descriptor promises and would read beyond an
array that is smaller; and pixels moved by what is no number are a wrong picture without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import ModelError
from magfilter.models import ModelInfo

if TYPE_CHECKING:
    from magfilter.backends import Engine

__all__ = ["check_output", "run_checked"]

Array = NDArray[np.float32]

LARGEST = 1e6  # px of motion, or times as bright as white


def run_checked(engine: Engine, reference: Array, frame: Array, alpha: float | Array) -> Array:
    """`Engine.run`, whose result is what the model's descriptor says.

    Raises:
        ModelError: it is not; and as `Engine.run`.
    """
    output = np.asarray(engine.run(reference, frame, alpha))
    if output.dtype in (np.float16, np.float64):  # an engine of somebody's own need not know
        output = output.astype(np.float32)
    height, width = frame.shape[1:]
    check_output(engine.model, output, (height, width))
    return output


def check_output(model: ModelInfo, output: Array, size: tuple[int, int]) -> None:
    """Refuse what is not the flow or the picture that the descriptor promises.

    Args:
        output: the network's.
        size: (H, W) of its input.

    Raises:
        ModelError: another shape or type, or numbers that are not finite.
    """
    descriptor = model.descriptor
    flow = descriptor.output == "flow"
    stride = descriptor.output_stride if flow else 1
    expected = (2 if flow else 3, *(-(-side // stride) for side in size))
    if output.shape != expected or output.dtype != np.float32:
        raise ModelError(
            f"{model.path}: gives {output.dtype} of shape {output.shape} for a picture of {size[1]}x{size[0]}, and its "
            f"descriptor promises float32 of shape {expected}; export it again"
        )
    if not np.abs(output).max() <= LARGEST:  # NaN is not, either
        what = "motion" if flow else "a picture"
        raise ModelError(
            f"{model.path}: gives {what} in numbers that are not finite, or beyond {LARGEST:.0e}; "
            "train or export it again"
        )
