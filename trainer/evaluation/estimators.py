"""Optical flow estimators by name, all with one signature.

``flow(a, b)`` takes two ``(H, W, 3)`` uint8 RGB frames and returns ``(H, W, 2)`` float32 pixels
``(u, v)`` on a's grid: the point p of a is seen at ``p + flow[p]`` in b.

- ``dis``: Dense Inverse Search (Kroeger et al., ECCV 2016) as in OpenCV, on luma. Hand-made, thus
  independent of any network under test.
- ``spynet``: Spatial Pyramid Network (Ranjan and Black, CVPR 2017) with the weights that BasicVSR
  fine-tuned on REDS. Research weights: they judge here, and are never shipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]

SHARED = Path(os.environ.get("MAGFILTER_SHARED", Path(__file__).resolve().parents[3] / "shared"))
"""Where the project's data lies; ``MAGFILTER_SHARED`` overrides it."""

SPYNET_WEIGHTS = SHARED / "data/weights/spynet_reds4.pth"


def dis(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Flow ``(H, W, 2)`` float32 pixels by OpenCV's DIS, preset MEDIUM.

    A fresh object each call: DIS keeps its last flow as a start for the next call, which would
    make a result depend on the pair measured before.
    """
    engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in (a, b)]
    return np.asarray(engine.calc(grey[0], grey[1], None), dtype=np.float32)


@cache
def spynet(weights: str | os.PathLike[str] | None = None, device: str = "cpu") -> Flow:
    """An estimator with SPyNet's weights from ``weights`` (a state dict; default ``SPYNET_WEIGHTS``)."""
    import torch

    from .spynet import SPyNet

    path = Path(weights) if weights is not None else SPYNET_WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"SPyNet weights not found: {path}; pass weights=... or set MAGFILTER_SHARED")
    network = SPyNet()
    network.load_state_dict(_strip(torch.load(path, map_location="cpu", weights_only=True)))
    network = network.eval().to(device)

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float() / 255

    def flow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            result = network(tensor(a), tensor(b))[0].permute(1, 2, 0)  # (H, W, 2)
        return np.ascontiguousarray(result.float().cpu().numpy())

    return flow


def _strip(state: dict[str, Any]) -> dict[str, Any]:
    """Only the pyramid's convolutions: some files wrap the dict or carry the normalisation beside it."""
    state = state.get("state_dict", state)
    return {key: value for key, value in state.items() if key.startswith("basic_module.")}


ESTIMATORS: dict[str, Callable[[], Flow]] = {"dis": lambda: dis, "spynet": lambda: spynet()}
"""Name → factory; a factory loads its weights when called. Add an entry to judge by another estimator."""


def estimator(name: str) -> Flow:
    """The estimator called ``name``, ready to use."""
    if name not in ESTIMATORS:
        raise ValueError(f"Unknown flow estimator {name!r}; known: {', '.join(sorted(ESTIMATORS))}")
    return ESTIMATORS[name]()
