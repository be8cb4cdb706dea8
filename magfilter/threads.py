"""How a machine's cores are shared out."""

from __future__ import annotations

import os

from magfilter.checks import MOST_THREADS

__all__ = ["thread_budget"]

MOST_AT_ONCE = 4  # frames that the network measures side by side


def thread_budget(threads: int) -> tuple[int, int, int, int]:
    """Threads of decoder, network and encoder; and how many frames the network measures at once.

    All three get every core: they take turns rather than work at once, since each waits for
    the one before it, and none of them spins while it waits. Several frames at once take more memory, of
    which there is less to spare than of cores.
    """
    # What a scheduler or container gave us, rather than what the machine has.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = min(threads or allowed or 1, MOST_THREADS)
    return min(cores, 4), cores, cores, min(cores, MOST_AT_ONCE)
