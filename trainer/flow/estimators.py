"""Estimators by name: what `--flow` accepts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from magfilter.models import find_model
from trainer.checkpoint import fill, unpickle

__all__ = ["FLOWS", "OWN", "SHARED", "FlowEstimator", "load_flow", "weights_file"]

SHARED = Path(os.environ.get("MAGFILTER_SHARED", Path(__file__).resolve().parents[3] / "shared"))
"""Where the project's data lies; ``MAGFILTER_SHARED`` overrides it."""

OWN = Path(__file__).parent / "raft-small.safetensors"
"""RAFT-small's architecture, trained by `python -m trainer flow`; see the model card beside it."""

FLOWS = ("own", "warp", "raft_small", "raft_large", "spynet")


class FlowEstimator(Protocol):
    """Flow from one batch of images to another; gradients pass into both, none into its weights."""

    def __call__(self, one: Tensor, two: Tensor) -> Tensor:
        """`one`, `two`: (B, 3, H, W) RGB in 0..1. Returns (B, 2, H, W) in px, x first: what `one` shows
        at p, `two` shows at p + flow(p)."""
        ...


def weights_file(name: str) -> Path | None:
    """The weights that a name without a path stands for, or None where torchvision provides them."""
    return {"own": OWN, "warp": find_model("warp"), "spynet": SHARED / "data/weights/spynet_reds4.pth"}.get(name)


def load_flow(name: str, device: str | torch.device = "cpu", updates: int = 5) -> nn.Module:
    """A frozen estimator (see `FlowEstimator`) in evaluation mode.

    Args:
        name: `own` (RAFT-small trained here, shipped), `warp` (the filter's own network), `raft_small`
            or `raft_large` (torchvision's official weights), `spynet` (weights not shipped); each also as
            NAME:PATH with a local file, `own` and `warp` with a run's folder as well.
        updates: RAFT's iterations: the paper takes 5 in training and 20 in evaluation.

    Raises:
        ValueError: if the name is unknown, updates are none, or weights cannot be had or are of another network.
    """
    kind, _, given = name.partition(":")
    if kind not in FLOWS:
        raise ValueError(f"Expected a flow estimator among {', '.join(FLOWS)}, or NAME:PATH, got {name!r}.")
    if updates < 1:
        raise ValueError(f"Expected updates of 1 or more, got {updates}.")
    path = Path(given) if given else weights_file(kind)
    if path is not None and not path.exists():
        raise ValueError(f"{path}: no such weights; give {kind}:PATH or set MAGFILTER_SHARED.")
    net: nn.Module
    if kind == "spynet":
        from trainer.flow.spynet import SPyNet

        assert path is not None
        net = SPyNet()
        state = unpickle(path)
        if not isinstance(state, dict):
            raise ValueError(f"{path}: not SPyNet weights, which are tensors by name.")
        state = state.get("state_dict", state)  # some files wrap it, or carry the normalisation beside it
        fill(net, {key: value for key, value in state.items() if key.startswith("basic_module.")}, path)
    elif kind == "warp":
        from trainer.flow.warp import load_warp_flow

        assert path is not None
        net = load_warp_flow(path)
    else:
        from trainer.flow.raft import Raft, build_raft, load_raft_weights

        net = Raft(build_raft("raft_small" if kind == "own" else kind, official=path is None), updates)
        if path is not None:
            load_raft_weights(net.net, path)
    # Evaluation mode matters: batch statistics of the pictures in training would drift into the estimate.
    return net.eval().requires_grad_(False).to(device)
