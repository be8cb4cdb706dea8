"""The networks to be timed, and what one of them costs alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.reference import padded
from benchmarks.timing import median_seconds
from magfilter.blocks import block_side

if TYPE_CHECKING:
    from magfilter.backends import Engine

__all__ = ["Alone", "random_model", "rate_used", "seen_size", "time_alone"]

SMALL = (256, 256)  # (height, width): what is timed first, and scaled where the whole would take too long


@dataclass(frozen=True)
class Alone:
    """What a network costs alone.

    Attributes:
        seconds: a frame, with the copies to a device and back.
        timed: (height, width) that was timed; `seconds` is scaled by pixels where that is another.
    """

    seconds: float
    timed: tuple[int, int]


def random_model(name: str, folder: Path, precision: str = "fp32", width: int = 0) -> Path:
    """An ONNX file of a network with random weights, for timing. The file's name says so.

    Raises:
        ImportError: without torch, onnx or what exports.
    """
    import torch

    from export.onnx import export_network
    from magfilter.networks.build import build_network

    torch.manual_seed(0)
    target = folder / f"{name}-random-{precision}.onnx"
    net = build_network(name, width).eval()
    export_network(net, name, target, {"network": name, "width": width, "note": "random weights"}, precision)
    return target


def seen_size(size: tuple[int, int], paints: bool, multiple: int, megapixels: float) -> tuple[int, int]:
    """(height, width) that the filter gives a network of a picture (height, width): reduced and padded.

    Args:
        paints: the network makes the picture, and gets all of it.
        megapixels: of the proxy; 0 is no limit.
    """
    k = 1 if paints else block_side(*size, megapixels)
    return padded((-(-size[0] // k), -(-size[1] // k)), multiple)


def rate_used(backend: str, device: str, precision: str) -> str:
    """In which precision an engine multiplies: the name of the matrix rate it is held against."""
    if not device.startswith("cuda"):
        return "fp32"
    if backend == "torch" or precision == "fp16":
        return "fp16"
    return "tf32" if backend == "tensorrt" else "fp32"  # ONNX Runtime is told not to


def time_alone(engine: Engine, size: tuple[int, int], seconds: float, patience: float) -> Alone:
    """Time an engine on images of (height, width), a multiple of the network's.

    Args:
        seconds: to spend on timing.
        patience: seconds that one run may take; on a CPU a small image is timed first, to know.
    """
    if engine.device == "cpu" and size[0] * size[1] > SMALL[0] * SMALL[1]:
        spent = _time(engine, SMALL, min(1.0, seconds))
        whole = spent * (size[0] * size[1]) / (SMALL[0] * SMALL[1])
        if whole > patience:
            return Alone(whole, SMALL)
    return Alone(_time(engine, size, seconds), size)


def _time(engine: Engine, size: tuple[int, int], seconds: float) -> float:
    rng = np.random.default_rng(0)
    reference, frame = (rng.random((engine.model.descriptor.channels, *size), np.float32) for _ in range(2))
    alpha = min(4.0, engine.model.descriptor.alpha_range[1])
    # An engine hands over a NumPy array: whatever its device, it is done when it returns.
    return median_seconds(lambda: engine.run(reference, frame, alpha), seconds, warm_up=2)[0]
