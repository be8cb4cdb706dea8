"""Seconds of a piece of work: warmed up, repeated, the median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

__all__ = ["median_seconds"]


def median_seconds(
    work: Callable[[], Any],
    seconds: float = 3.0,
    *,
    device: str = "cpu",
    warm_up: int = 3,
    least: int = 3,
    most: int = 200,
) -> tuple[float, int]:
    """Median seconds of `work`, and how often it was timed.

    Args:
        work: on CUDA it may return before the device is done.
        seconds: to spend on timing; the warm-up comes on top.
        device: "cuda…" is timed by events on the device's own clock.
        warm_up: times it is run before.
        least, most: times it is run at least and at most, whatever the seconds.
    """
    cuda = device.startswith("cuda")
    if cuda:
        import torch
    for _ in range(warm_up):
        work()
    if cuda:
        torch.cuda.synchronize()
    spans: list[float] = []
    begun = time.perf_counter()
    while len(spans) < least or (len(spans) < most and time.perf_counter() - begun < seconds):
        if cuda:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            end.synchronize()
            spans.append(start.elapsed_time(end) / 1000)
        else:
            start_ = time.perf_counter()
            work()
            spans.append(time.perf_counter() - start_)
    return statistics.median(spans), len(spans)
