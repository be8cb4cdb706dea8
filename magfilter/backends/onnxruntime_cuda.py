"""ONNX Runtime on CUDA: buffers bound once, the reference kept on the device, a CUDA graph where the size is fixed.

Written after ONNX Runtime's documentation; its calls are tested on the CPU, and none of it has run on a GPU yet.
"""

from __future__ import annotations

import contextlib
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from magfilter.backends import Renderer
from magfilter.backends.resample import Resampler
from magfilter.backends.sessions import describe, open_session, require_cuda
from magfilter.device import cuda_renderer
from magfilter.errors import BackendError

__all__ = ["OnnxRuntimeCudaEngine"]

Array = NDArray[np.float32]


class OnnxRuntimeCudaEngine:
    """A model in an ONNX Runtime session on a GPU. See `magfilter.backends.Engine`."""

    name = "onnxruntime-cuda"
    why = ""
    at_once = 1
    KIND = "cuda"  # what ONNX Runtime calls the memory

    def __init__(self, path: Path, device: str, threads: int) -> None:
        kind, _, number = device.partition(":")
        if kind not in ("auto", "cuda") or (number and not number.isdecimal()):
            raise BackendError(f"onnxruntime runs on cpu or cuda, not on {device!r}; choose --device cpu or cuda:0")
        require_cuda()
        self._number = int(number or 0)
        self.device = f"cuda:{self._number}"
        self.model, self._signature = describe(path)
        self._graph = self._signature.size is not None
        if hasattr(ort, "preload_dlls"):
            # Those of pip's nvidia-* wheels, which the loader would not find. It prints what it misses, and
            # stdout may be the video.
            with contextlib.redirect_stdout(sys.stderr):
                ort.preload_dlls()
        self._session = open_session(path, self._providers(), threads or os.cpu_count() or 1)
        self.resample = Resampler(threads)
        self._binding: ort.IOBinding | None = None
        self._values: dict[str, ort.OrtValue] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._options = ort.RunOptions()
        self._bound = 0
        self._reference: Array | None = None

    def _providers(self) -> list[Any]:
        options = {
            "device_id": str(self._number),
            "use_tf32": "0",  # it keeps ten bits: a file in fp32 is there for whoever wants more
            "enable_cuda_graph": "1" if self._graph else "0",
        }
        return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]

    @cached_property
    def renderer(self) -> Renderer | None:
        return cuda_renderer(self.device)

    def run(self, reference: Array, frame: Array, alpha: float | Array) -> Array:
        feeds = self._signature.feeds(reference, frame, alpha)
        shapes = {name: value.shape for name, value in feeds.items()}
        if shapes != self._shapes:
            self._bind(shapes)
        if reference is self._reference:
            del feeds["reference"]
        for name, value in feeds.items():
            self._values[name].update_inplace(value)
        self._reference = reference
        self._session.run_with_iobinding(self._binding, self._options)
        output = np.array(self._values[self._signature.output].numpy()[0])  # on the CPU, numpy() is a view
        return output

    def _bind(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Buffers of these shapes, at addresses that stay: a graph is recorded with them."""
        descriptor = self.model.descriptor
        stride = descriptor.output_stride
        rows, cols = (n // stride for n in shapes["frame"][2:])
        result = (1, 2 if descriptor.output == "flow" else 3, rows, cols)

        def make(shape: tuple[int, ...]) -> ort.OrtValue:
            return ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, self.KIND, self._number)

        self._binding = self._session.io_binding()
        self._values = {name: make(shape) for name, shape in shapes.items()}
        for name, value in self._values.items():
            self._binding.bind_ortvalue_input(name, value)
        self._values[self._signature.output] = make(result)
        self._binding.bind_ortvalue_output(self._signature.output, self._values[self._signature.output])
        self._shapes, self._reference = shapes, None
        self._options = ort.RunOptions()
        if self._graph:  # another set of addresses is another graph
            self._options.add_run_config_entry("gpu_graph_id", str(self._bound))
        self._bound += 1
