"""Optical flow estimators by name, all with one signature.

``flow(a, b)`` takes two ``(H, W, 3)`` uint8 RGB frames and returns ``(H, W, 2)`` float32 pixels
``(u, v)`` on a's grid: the point p of a is seen at ``p + flow[p]`` in b.

- ``dis``: Dense Inverse Search (Kroeger et al., ECCV 2016) as in OpenCV, on luma. Hand-made, thus
  independent of any network under test.
- ``spynet``: Spatial Pyramid Network (Ranjan and Black, CVPR 2017) with the weights that BasicVSR
  fine-tuned on REDS. Research weights: they judge here, and are never shipped.
- ``own``: RAFT-small trained here (``python -m trainer flow``). It trains our networks, so it never
  judges them alone.
- ``warp``: the filter's own network. Where it made the pictures, it does not judge them.
- ``raft_small``, ``raft_large``: torchvision's official weights, where they can be fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import cv2
import numpy as np

from trainer.flow.estimators import SHARED

__all__ = ["ESTIMATORS", "SHARED", "Flow", "dis", "estimator", "network"]

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]


def dis(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Flow ``(H, W, 2)`` float32 pixels by OpenCV's DIS, preset MEDIUM.

    A fresh object each call: DIS keeps its last flow as a start for the next call, which would
    make a result depend on the pair measured before.
    """
    engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in (a, b)]
    return np.asarray(engine.calc(grey[0], grey[1], None), dtype=np.float32)


@cache
def network(name: str, device: str = "cpu", updates: int = 20) -> Flow:
    """A network of `trainer.flow` (`own`, `spynet`, `raft_large`, … or NAME:PATH) with one signature.

    ``updates``: RAFT's iterations; the paper evaluates with 20.

    Raises:
        ValueError: if its weights cannot be had.
    """
    import torch

    from trainer.flow import load_flow

    net = load_flow(name, device, updates)

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float() / 255

    def flow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            result = net(tensor(a), tensor(b))[0].permute(1, 2, 0)  # (H, W, 2)
        return np.ascontiguousarray(result.float().cpu().numpy())

    return flow


ESTIMATORS: dict[str, Callable[[], Flow]] = {
    "dis": lambda: dis,
    **{name: partial(network, name) for name in ("spynet", "own", "warp", "raft_small", "raft_large")},
}
"""Name → factory; a factory loads its weights when called. Add an entry to judge by another estimator."""


def estimator(name: str) -> Flow:
    """The estimator called ``name`` (or NAME:PATH for a network's weights in a file), ready to use."""
    if name not in ESTIMATORS and name.partition(":")[0] not in ESTIMATORS:
        raise ValueError(f"Unknown flow estimator {name!r}; known: {', '.join(sorted(ESTIMATORS))}")
    return ESTIMATORS[name]() if name in ESTIMATORS else network(name)
