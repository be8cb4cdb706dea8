"""Moving the picture on a device, with torch: what `magfilter.displace` and the CPU's resampler do elsewhere.

Importing this package imports no torch; its modules do. It is tested on torch's CPU device against the NumPy
version, and has not run on a GPU yet.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from magfilter.backends import Renderer

__all__ = ["cuda_renderer"]


def cuda_renderer(device: str) -> Renderer | None:
    """What renders on a GPU, for engines that are no torch of their own; None where no torch with CUDA is installed.

    Args:
        device: "cuda:0", as torch counts them.
    """
    if find_spec("torch") is None:
        return None
    try:
        import torch

        from magfilter.device.render import TorchRenderer
    except (ImportError, OSError):  # OSError: one of its libraries does not load
        return None
    if not torch.cuda.is_available() or torch.device(device).index >= torch.cuda.device_count():
        return None
    return TorchRenderer(torch.device(device))
