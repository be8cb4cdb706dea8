"""Engines that run a network: one file each behind one Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import OptionError
from magfilter.models import ModelInfo, find_model

if TYPE_CHECKING:
    from magfilter.media.frame import Frame

__all__ = ["BACKENDS", "Engine", "Renderer", "open_engine"]

Array = NDArray[np.float32]
Plane = NDArray[Any]

BACKENDS = ("auto", "onnxruntime", "onnxruntime-cpu", "onnxruntime-cuda", "tensorrt", "torch")


class Renderer(Protocol):
    """Moves whole pictures on a device of its own: the second half of `Magnifier.push`."""

    def render(
        self,
        frame: Frame,
        flow: Array,
        factor: float | Array,
        stride: int,
        part: Array | None = None,
        limit: float | None = None,
    ) -> Frame:
        """The frame with its motion magnified; the frame itself where nothing moves.

        Args:
            frame: planes of any layout.
            flow, factor, stride, part, limit: as `magfilter.displace.magnified_displacement` takes them.

        Raises:
            BackendError: if the device's memory does not suffice.
        """
        ...


class Engine(Protocol):
    """One loaded network on one device. One thread may call `run` while another moves pictures.

    Attributes:
        name: of the backend.
        device: as the backend calls it ("cpu", "cuda:0").
        model: the loaded file and its descriptor.
        why: how "auto" came to choose it; "" where it was named.
        at_once: threads that may call `run` at the same time.
    """

    name: str
    device: str
    model: ModelInfo
    why: str
    at_once: int

    @property
    def renderer(self) -> Renderer | None:
        """What renders frames on the device; None where the CPU does, with `resample`. The same every time."""
        ...

    def run(self, reference: Array, frame: Array, alpha: float | Array) -> Array:
        """The network's output for one pair.

        Args:
            reference, frame: (C, H, W) float32, nominally 0..1, H and W multiples of the pad multiple. The same
                array given again as reference is taken to hold what it held: engines keep it on their device.
            alpha: magnification factor, or one for every pixel (H, W) where the model takes a map; networks that
                measure flow do not look at it.

        Returns:
            (2, H/s, W/s) flow in px of the input, or the magnified frame (3, H, W); float32. Whatever it is: who uses
            it calls `magfilter.backends.output.run_checked`.

        Raises:
            ModelError: if the model was exported for another size, or takes no map; BackendError: if it fails.
        """
        ...

    def resample(self, plane: Plane, displacement: Array, step: tuple[float, float], peak: int) -> Plane:
        """Move a plane's samples: out(x) = plane(x + d(x)), Catmull-Rom; beyond it lies its mirror image.

        Args:
            plane: (h, w) uint8 or uint16.
            displacement: (2, h', w') float32 at any resolution, x first, in px of the full picture.
            step: px of the full picture per sample of the plane, (x, y): (2, 2) for 4:2:0 chroma.
            peak: largest sample value.

        Returns:
            As `plane`; samples whose displacement is zero are copied bit by bit.
        """
        ...


def open_engine(
    model: str | Path, backend: str = "auto", device: str = "auto", threads: int = 0, at_once: int = 1
) -> Engine:
    """Load a model.

    Args:
        model: a shipped model's name or the path of an ONNX file.
        backend: one of `BACKENDS`. "onnxruntime" is onnxruntime-cuda where device is a GPU, else onnxruntime-cpu;
            "auto" is the fastest that works, see `magfilter.backends.choose`.
        device: "auto", "cpu", or what the backend understands ("cuda", "cuda:1", "mps").
        threads: of the network on a CPU; 0 lets the backend choose.
        at_once: runs that shall be possible at once, see `Engine`.

    Raises:
        OptionError: unknown backend, or device is no text; ModelError: unreadable model; BackendError: the engine or
        device is not there. An explicit choice never falls back to another.
    """
    from magfilter.backends.choose import choose_engine, make_engine

    if backend not in BACKENDS:
        raise OptionError(f"unknown backend {backend!r}; choose one of: {', '.join(BACKENDS)}")
    if not isinstance(device, str):
        raise OptionError(f"device must be text such as 'auto', 'cpu' or 'cuda:0', got {device!r}")
    path = find_model(model)
    if backend == "auto":
        return choose_engine(path, device, threads, at_once)
    if backend == "onnxruntime":
        backend += "-cpu" if device in ("auto", "cpu") else "-cuda"
    return make_engine(backend, path, device, threads, at_once)
