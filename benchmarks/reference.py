"""The reference cost: the paper's network run the way its authors run it.

PyTorch in single precision with the switches as PyTorch sets them, batch normalisation where training left it, one
frame after another, the encoding of alpha made anew for each. Weights are random: time does not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.timing import median_seconds

__all__ = ["Reference", "padded", "reference_cost"]

CPU_PIXELS = 256 * 256  # what a CPU is given; the rest is scaled by pixels


@dataclass(frozen=True)
class Reference:
    """What it cost.

    Attributes:
        seconds: a frame at the size asked for.
        timed: (height, width) that was timed; `seconds` is scaled by pixels where that is another.
        runs: how often.
    """

    seconds: float
    timed: tuple[int, int]
    runs: int


def padded(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(height, width) rounded up to a network's multiple, as the filter pads."""
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


def reference_cost(
    size: tuple[int, int], device: str = "cpu", seconds: float = 3.0, threads: int = 0, width: int = 64
) -> Reference:
    """Time `unet` at images of (height, width).

    Args:
        device: of torch; on a CPU a smaller image is timed, since one of 1080p takes a minute.
        seconds: to spend on timing.
        threads: of torch on a CPU; 0 leaves them.
        width: channels; 64 is the paper's.

    Raises:
        ImportError: without torch.
    """
    import torch

    from magfilter.networks.build import build_network

    if threads:
        torch.set_num_threads(threads)
    whole = padded(size, 16)
    timed = whole
    if device == "cpu" and whole[0] * whole[1] > CPU_PIXELS:
        timed = (256, 256)
    torch.manual_seed(0)
    net = build_network("unet", width).eval().to(device)
    one, two = (torch.rand(1, 3, *timed, device=device) for _ in range(2))
    alpha = torch.full((1, 1, 1, 1), 4.0, device=device)

    def step() -> Any:
        with torch.no_grad():
            return net(one, two, alpha)

    spent, runs = median_seconds(step, seconds, device=device, warm_up=1 if device == "cpu" else 5, least=2)
    return Reference(spent * (whole[0] * whole[1]) / (timed[0] * timed[1]), timed, runs)
