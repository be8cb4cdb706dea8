"""RAFT (Teed and Deng, ECCV 2020) as torchvision builds it, for images in 0..1 of any size."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.checkpoint import fill, load_weights, unpickle

__all__ = ["Raft", "build_raft", "load_raft_weights", "optical_flow_models"]

STRIDE = 8  # px per point of RAFT's features
SHORTEST = 128  # px; below, a level of its correlation pyramid is empty and torchvision refuses


def optical_flow_models() -> ModuleType:
    """`torchvision.models.optical_flow`.

    torchvision's binary part is linked against CUDA and does not load beside torch's CPU build; then
    the import fails over two operators that RAFT never calls. Declaring them lets it pass.

    Raises:
        ValueError: if torchvision is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the binary part, which is not used
            try:
                import torchvision  # noqa: F401
            except RuntimeError:
                library = torch.library.Library("torchvision", "DEF")
                for name in ("nms", "qnms"):
                    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
                _kept.append(library)  # what it declared goes with it
            from torchvision.models import optical_flow
    except ModuleNotFoundError:
        raise ValueError(
            "RAFT needs torchvision, which is not installed; `pip install --no-deps torchvision==0.28.0` "
            "goes with torch 2.13.0."
        ) from None
    return optical_flow


_kept: list[Any] = []


def build_raft(kind: str, official: bool = False) -> nn.Module:
    """torchvision's `raft_small` (990,162 parameters) or `raft_large` (5,257,536).

    Args:
        kind: "raft_small" or "raft_large".
        official: with torchvision's default weights, fetched from the network or from torch's cache.

    Raises:
        ValueError: if they are wanted and cannot be had.
    """
    models = optical_flow_models()
    weights = "DEFAULT" if official else None
    try:
        net: nn.Module = getattr(models, kind)(weights=weights, progress=False)
    except OSError as error:  # urllib's errors are OSErrors
        raise ValueError(
            f"{kind}'s official weights cannot be fetched ({error}); give a local file with {kind}:PATH, "
            "or use the estimator trained here: own"
        ) from None
    return net


class Raft(nn.Module):
    """RAFT for two (B, 3, H, W) RGB batches in 0..1 → flow (B, 2, H, W), px.

    Args:
        net: what `build_raft` returned.
        updates: iterations; the paper trains with 5 and evaluates with 20.
    """

    def __init__(self, net: nn.Module, updates: int = 12) -> None:
        super().__init__()
        self.net, self.updates = net, updates

    def iterates(self, one: Tensor, two: Tensor) -> list[Tensor]:
        """The flow after every update, each (B, 2, H, W) px."""
        height, width = one.shape[-2:]
        extra = [max(SHORTEST, -(-n // STRIDE) * STRIDE) - n for n in (width, height)]
        pad = (extra[0] // 2, extra[0] - extra[0] // 2, extra[1] // 2, extra[1] - extra[1] // 2)
        pair = [F.pad(image, pad, mode="replicate") * 2 - 1 for image in (one, two)]
        flows: list[Tensor] = self.net(*pair, num_flow_updates=self.updates)
        return [flow[..., pad[2] : pad[2] + height, pad[0] : pad[0] + width] for flow in flows]

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        return self.iterates(one, two)[-1]


def load_raft_weights(net: nn.Module, path: Path) -> None:
    """A state dict from a run of `python -m trainer flow`, a safetensors file, or a pickle of tensors alone
    (torchvision's own format).

    Raises:
        ValueError: if the file is not readable as such, would run code, or is not of this network.
    """
    run = path.is_dir() or path.suffix == ".safetensors"
    state = load_weights(path)[0] if run else unpickle(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: not RAFT weights, which are tensors by name.")
    fill(net, {name.removeprefix("net."): value for name, value in state.items()}, path)  # a run's are a `Raft`'s
