"""Methods by name: what ``--method`` accepts. Each is ``magnify(reference, frame, alpha) -> magnified``.

Add one with ``METHODS["name"] = factory``; a factory takes the text after the name's colon (empty
without one) and returns the callable. A method that does a whole clip at once has ``clip(frames,
alpha)`` as well; :func:`clip` uses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from .estimators import Flow, dis, estimator

if TYPE_CHECKING:
    from magfilter import Magnifier

    from .scenes import Scene

Method = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


class Known(Protocol):
    """A scene whose motion is known."""

    def magnified(self, d: float, alpha: float) -> np.ndarray:
        """The exact frame after a motion of ``d`` px made ``alpha`` times larger, (H, W, 3) uint8 RGB."""
        ...


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


def _magnifier(alpha: float, model: str, **options: Any) -> Magnifier:
    """A filter for single pairs, ``model`` being a shipped model's name, a path, or empty for the default."""
    import magfilter

    if model:
        options |= {"model": model}
    try:
        # As many threads as OpenCV has here: where items are measured side by side, each has its share of the cores.
        return magfilter.Magnifier(alpha=alpha, shot_cuts=False, threads=cv2.getNumThreads(), **options)
    except (magfilter.MagfilterError, TypeError) as error:  # the command knows ValueError: it must not import magfilter
        raise ValueError(str(error)) from error


OPTIONS = re.compile(r"@((?:\w+=[^,@]*)(?:,\w+=[^,@]*)*)$")


class Model:
    """The project's own filter, ``name`` being a shipped model's name or a path to one.

    Behind an @ stand options of `magfilter.Magnifier` that are numbers: ``warp-light@smooth=8,max_shift=20``.
    """

    def __init__(self, name: str) -> None:
        found = OPTIONS.search(name)
        self.name = name[: found.start()] if found else name
        if not self.name:
            raise ValueError("Write model:NAME or model:PATH, for example model:models/warp.onnx")
        self.options: dict[str, float] = {}
        for pair in found[1].split(",") if found else ():
            option, _, value = pair.partition("=")
            try:
                self.options[option] = float(value)
            except ValueError:
                raise ValueError(f"Expected a number for {option} in model:{name}, got {value!r}.") from None
        self._opened: dict[float, Magnifier] = {}  # a network is read once for each alpha
        self._last: tuple[Magnifier, np.ndarray] | None = None

    def __call__(self, reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        if alpha not in self._opened:
            self._opened[alpha] = _magnifier(alpha, self.name, **self.options)
        magnifier = self._opened[alpha]
        magnifier.reset()
        magnifier.push(reference)
        self._last = magnifier, frame
        return np.asarray(magnifier.push(frame))

    def displacement(self) -> np.ndarray | None:
        """(2, h, w) px of the full picture by which the last call moved it, if it did so by a field."""
        from magfilter.displace import magnified_displacement

        if self._last is None or self._last[0].flow is None:
            return None
        magnifier, frame = self._last
        return magnified_displacement(magnifier.flow, magnifier.alpha, round(frame.shape[0] / magnifier.flow.shape[1]))


class ExactFlow:
    """The filter with its network's answer replaced by the exact flow: what its rendering alone can reach.

    What it lacks against the exact picture is the renderer's and the flow grid's doing (and what no
    frame shows); what a ``model:`` lacks against this is the network's. Knows only scenes of known
    motion: :func:`told` gives it the truth.
    """

    def __init__(self, model: str = "") -> None:
        self.model = model
        self._opened: dict[float, Magnifier] = {}

    def __call__(self, reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        raise ValueError("exact knows the motion of known objects alone: known or subpixel")

    def given(self, scene: Scene, d: float) -> Method:
        """The method that knows the frame to be ``scene`` after ``d`` px."""

        def magnify(reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
            from magfilter.measured import Measured
            from magfilter.media.frame import Frame

            if alpha not in self._opened:
                # proxy=0: the flow is the network's own grid, not one of a reduced copy
                self._opened[alpha] = _magnifier(alpha, self.model, proxy=0)
            magnifier = self._opened[alpha]
            flow = grid_flow(scene, d, magnifier.engine.model.descriptor.output_stride)
            return np.asarray(magnifier.render(Measured(Frame.from_rgb(frame), flow)).to_rgb())

        return magnify


def grid_flow(scene: Scene, d: float, stride: int) -> np.ndarray:
    """The exact flow (2, h, w) float32 px, x first, of a motion by ``d`` px, on a grid of ``stride`` px.

    A point belongs to the object when that covers half of its cell: in the flow there is no
    half-way between a mover and its ground, whatever the pixels mix.
    """
    cover = scene.mask()
    rows, cols = -cover.shape[0] % stride, -cover.shape[1] % stride
    cover = np.pad(cover, ((0, rows), (0, cols)), mode="edge")
    cells = cover.reshape(cover.shape[0] // stride, stride, cover.shape[1] // stride, stride).mean((1, 3))
    ours, ground = (np.float32(d) * way.astype(np.float32)[:, None, None] for way in (scene.direction, scene.drift))
    return np.where(cells >= 0.5, ours, ground)


class Perfect:
    """The exact magnified picture of a scene that is known: what is measured of it is the measure's own error."""

    def __call__(self, reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        raise ValueError("perfect knows the motion of known scenes alone")

    def given(self, scene: Known, d: float) -> Method:
        """The method that knows the frame to be ``scene`` after ``d`` px."""
        return lambda reference, frame, alpha: scene.magnified(d, alpha)


def told(magnify: Method, scene: Known, d: float) -> Method:
    """``magnify``, told the truth if it wants to know: for methods with ``given(scene, d)``."""
    given: Callable[[Any, float], Method] | None = getattr(magnify, "given", None)
    return given(scene, d) if given else magnify


def clip(magnify: Method, frames: Sequence[np.ndarray], alpha: float) -> list[np.ndarray]:
    """``frames`` (H, W, 3) uint8 RGB magnified against the first: in one run if ``magnify`` has ``clip``, or by pairs.

    By pairs the first frame stays as it is. A method's own ``clip`` gives as many frames as it got.
    """
    if not frames:
        return []
    whole: Callable[[Sequence[np.ndarray], float], list[np.ndarray]] | None = getattr(magnify, "clip", None)
    if whole:
        return whole(frames, alpha)
    return [frames[0], *(magnify(frames[0], frame, alpha) for frame in frames[1:])]


def _forward_warp(splat: str, inpaint: bool, flow: str) -> Method:
    """``splat`` is nearest or bilinear, ``flow`` an estimator's name; empty is DIS."""
    from . import forward_warp

    return forward_warp.forward_warp(estimator(flow or "dis"), getattr(forward_warp, splat), inpaint=inpaint)


def _phase(smooth: str) -> Method:
    from .phase import Phase

    return Phase(smooth) if smooth else Phase()


def _command(text: str) -> Method:
    from .external import Command

    return Command(text)


METHODS: dict[str, Callable[[str], Method]] = {
    "copy": lambda _: copy,
    "exact": ExactFlow,
    "perfect": lambda _: Perfect(),
    "warp-dis": lambda _: warp_by_flow(dis),
    "warp-nearest": partial(_forward_warp, "nearest", True),
    "warp-bilinear": partial(_forward_warp, "bilinear", True),
    "warp-nearest-holes": partial(_forward_warp, "nearest", False),
    "warp-bilinear-holes": partial(_forward_warp, "bilinear", False),
    "phase": _phase,
    "command": _command,
    "model": Model,
}


def method(spec: str) -> Method:
    """The method that ``name`` or ``name:argument`` describes."""
    name, _, argument = spec.partition(":")
    if name not in METHODS:
        raise ValueError(f"Unknown method {spec!r}; known: {', '.join(sorted(METHODS))}")
    return METHODS[name](argument)
