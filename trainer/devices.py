"""Torch devices by name."""

from __future__ import annotations

import torch

__all__ = ["find_device"]


def find_device(name: str = "", local: int = 0) -> torch.device:
    """The device of that name, which is there.

    Args:
        name: as torch's; empty picks CUDA where there is one, else the CPU.
        local: which CUDA device an empty name picks.

    Raises:
        ValueError: if there is no such device.
    """
    name = name or (f"cuda:{local}" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"Expected a torch device such as cpu, cuda or cuda:1, got {name!r}.") from None
    try:
        torch.zeros(1, device=device).cpu()  # "meta", for one, has no numbers
    except (RuntimeError, AssertionError, NotImplementedError):  # each kind says so in its own way
        raise ValueError(f"Expected a device that is there, got {name!r}: torch finds none here.") from None
    return device
