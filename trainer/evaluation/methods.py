"""Methods by name: what ``--method`` accepts. Each is ``magnify(reference, frame, alpha) -> magnified``.

Add one with ``METHODS["name"] = factory``; a factory takes the text after the name's colon (empty
without one) and returns the callable.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .estimators import Flow, dis

Method = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def copy(reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
    """The frame itself: what doing nothing scores. Every table shows it."""
    return frame


def warp_by_flow(flow: Flow | Callable[..., np.ndarray], *, warp: Callable[..., np.ndarray] | None = None) -> Method:
    """Magnify by moving the frame's pixels along ``flow(reference, frame)``: a diagnostic.

    ``flow`` gives (H, W, 2) pixels on the reference's grid. ``warp(reference, frame, flow, alpha)``
    renders the result; the default inverts p + alpha · flow(p) by fixed point and samples the frame
    bicubically. With a network's flow it tells the error of its motion from that of its rendering.
    """

    def magnify(reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        return (warp or backward_warp)(reference, frame, flow(reference, frame), alpha)

    return magnify


def backward_warp(reference: np.ndarray, frame: np.ndarray, flow: np.ndarray, alpha: float) -> np.ndarray:
    """The magnified frame from ``flow`` (H, W, 2) px, reference → frame, on the reference's grid."""
    height, width = frame.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    motion = flow.astype(np.float32)

    def at(field: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return cv2.remap(field, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    # The output's pixel q shows the reference's point p with p + alpha · flow(p) = q.
    u, v = x, y
    for _ in range(20):
        seen = at(motion, u, v)
        u, v = 0.5 * (u + x - alpha * seen[..., 0]), 0.5 * (v + y - alpha * seen[..., 1])
    seen = at(motion, u, v)  # the frame shows that point at p + flow(p)
    u, v = u + seen[..., 0], v + seen[..., 1]
    return cv2.remap(frame, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _model(name: str) -> Method:
    """The project's own filter, ``name`` being a shipped model's name or a path to one."""
    if not name:
        raise ValueError("Write model:NAME or model:PATH, for example model:models/warp.onnx")
    from magfilter import MagfilterError, Magnifier

    opened: dict[float, Magnifier] = {}  # a network is read once for each alpha

    def magnify(reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        if alpha not in opened:
            try:
                opened[alpha] = Magnifier(alpha=alpha, model=name, shot_cuts=False)
            except MagfilterError as error:  # the command knows ValueError: it must not import magfilter
                raise ValueError(str(error)) from error
        magnifier = opened[alpha]
        magnifier.reset()
        magnifier.push(reference)
        return np.asarray(magnifier.push(frame))

    return magnify


METHODS: dict[str, Callable[[str], Method]] = {
    "copy": lambda _: copy,
    "warp-dis": lambda _: warp_by_flow(dis),
    "model": _model,
}


def method(spec: str) -> Method:
    """The method that ``name`` or ``name:argument`` describes."""
    name, _, argument = spec.partition(":")
    if name not in METHODS:
        raise ValueError(f"Unknown method {spec!r}; known: {', '.join(sorted(METHODS))}")
    return METHODS[name](argument)
