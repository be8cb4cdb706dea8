"""How fast a machine multiplies matrices, which is what a network's speed is held against."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["SIDE", "matrix_rate", "numpy_rate"]

SIDE = 2048  # of the matrices on a CPU
SIDE_GPU = 8192  # a GPU is not filled by less


def matrix_rate(device: Any, seconds: float = 3.0, precision: str = "fp32", side: int = 0) -> float:
    """Floating point operations a second of a product of two square matrices; the best of several.

    Args:
        device: of torch.
        seconds: how long to try.
        precision: "fp32"; "tf32", on CUDA; or "fp16".
        side: of the matrices; 0 is what fills the device.
    """
    import torch

    cuda = torch.device(device).type == "cuda"
    side = side or (SIDE_GPU if cuda else SIDE)
    dtype = torch.float16 if precision == "fp16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        best, begun, first = 0.0, time.perf_counter(), True
        while first or time.perf_counter() - begun < seconds:
            start = time.perf_counter()
            _ = a @ b
            if cuda:
                torch.cuda.synchronize()
            spent = time.perf_counter() - start
            # The first product loads libraries and chooses kernels; on a CPU it may be the only one.
            if not (cuda and first):
                best = max(best, 2 * side**3 / spent)
            first = False
        if not best:
            return matrix_rate(device, max(seconds, 0.2), precision, side)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return best


def numpy_rate(seconds: float = 3.0, side: int = SIDE) -> float:
    """The same in single precision with NumPy, where there is no torch; its threads are those of its BLAS."""
    import numpy as np

    a, b = (np.random.default_rng(k).standard_normal((side, side), np.float32) for k in range(2))
    best, begun = 0.0, time.perf_counter()
    while not best or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        _ = a @ b
        best = max(best, 2 * side**3 / (time.perf_counter() - start))
    return best
