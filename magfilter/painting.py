"""Networks that paint the magnified frame itself, as the paper's does, instead of measuring motion."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from magfilter.backends import Engine
from magfilter.backends.output import run_checked
from magfilter.errors import OptionError
from magfilter.media.colour import from_rgb_float
from magfilter.media.frame import Frame
from magfilter.models import DEFAULT_MODEL
from magfilter.networks.descriptor import Descriptor

__all__ = ["painted", "passes", "refuse"]

Array = NDArray[np.float32]


def passes(network: Descriptor, alpha: float) -> int:
    """Passes of alpha^(1/n) that keep each within what the network was trained for (paper §4.1).

    Raises:
        OptionError: alpha is below that.
    """
    low, high = network.alpha_range
    if alpha == 1 or low <= alpha <= high:
        return 1
    if alpha < low:
        raise OptionError(
            f"model {network.name} takes alpha {low:g} to {high:g}, got {alpha:g}; "
            f"use --model {DEFAULT_MODEL}, which attenuates motion too"
        )
    return math.ceil(math.log(alpha) / math.log(high) - 1e-9)


def refuse(name: str, *, mapped: bool, filtered: bool, renewed: bool) -> None:
    """Such networks measure no motion, and take one alpha.

    Args:
        name: the network's.
        mapped: an alpha map is asked for; filtered: a part of the motion, or a changed one; renewed: a reference that
            depends on it.

    Raises:
        OptionError: any of these is.
    """
    use = f"use --model {DEFAULT_MODEL}"
    if mapped:
        raise OptionError(f"model {name} takes one alpha for the whole picture, no mask, region or alpha map; {use}")
    if filtered:
        needs = "band, notch, detrend, max_shift and smooth"
        raise OptionError(f"model {name} measures no motion, which {needs} need; {use}")
    if renewed:
        raise OptionError(f"model {name} measures no motion, which reanchor and reference mean need; {use}")


def painted(engine: Engine, reference: Array, seen: Array, frame: Frame, alpha: float) -> Frame:
    """The frame as the engine's network magnifies it.

    Args:
        reference, seen: (3, H, W) in 0..1, padded as the network wants them: the reference's picture and the frame's.
        frame: the frame itself, whose size, depth and colour are kept.
    """
    if alpha == 1:
        return frame
    count = passes(engine.model.descriptor, alpha)
    for _ in range(count):  # each against the same reference
        seen = run_checked(engine, reference, np.clip(seen, 0, 1), alpha ** (1 / count))
    return from_rgb_float(seen[:, : frame.height, : frame.width], frame)
