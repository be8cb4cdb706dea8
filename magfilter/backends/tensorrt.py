"""TensorRT through its own Python API: no torch, the reference kept on the device.

Written after NVIDIA's documentation; its calls are tested against a fake, and none of it has run on a GPU yet.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorrt as trt
from numpy.typing import NDArray

from magfilter.backends import Renderer
from magfilter.backends.cuda import Buffer, Gpu
from magfilter.backends.resample import Resampler
from magfilter.backends.sessions import describe
from magfilter.backends.tensorrt_build import Shapes, engine_path, load_engine
from magfilter.device import cuda_renderer
from magfilter.errors import BackendError

__all__ = ["TensorRTEngine"]

Array = NDArray[np.float32]


class TensorRTEngine:
    """A model as a TensorRT engine for the size at hand, built at the first frame. See `magfilter.backends.Engine`."""

    name = "tensorrt"
    why = ""
    at_once = 1

    def __init__(self, path: Path, device: str, threads: int) -> None:
        kind, _, number = device.partition(":")
        if kind not in ("auto", "cuda") or (number and not number.isdecimal()):
            raise BackendError(f"tensorrt runs on cuda, not on {device!r}; choose --device cuda:0")
        self.model, self._signature = describe(path)
        self._gpu = Gpu(int(number or 0))
        self.device = f"cuda:{self._gpu.number}"
        self.resample = Resampler(threads)
        self._shapes: Shapes = {}
        self._buffers: dict[str, Buffer] = {}
        self._context: Any = None
        self._reference: Array | None = None

    @cached_property
    def renderer(self) -> Renderer | None:
        return cuda_renderer(self.device)

    def run(self, reference: Array, frame: Array, alpha: float | Array) -> Array:
        feeds = self._signature.feeds(reference, frame, alpha)
        self._gpu.activate()
        self._prepare({name: value.shape for name, value in feeds.items()})
        if reference is self._reference:
            del feeds["reference"]
        for name, value in feeds.items():
            self._buffers[name].upload(value)
        self._reference = reference
        if not self._context.execute_async_v3(self._gpu.stream):
            raise BackendError("TensorRT: execution failed; choose --backend onnxruntime-cuda or onnxruntime-cpu")
        output = self._buffers[self._signature.output]
        output.download()
        self._gpu.wait()
        result: Array = output.host[0].copy()
        return result

    def build(self, size: tuple[int, int]) -> Path:
        """Have an engine in the cache for images of (height, width), rounded up to the pad multiple; returns it."""
        descriptor = self.model.descriptor
        m = descriptor.pad_multiple
        image = np.zeros((descriptor.channels, -(-size[0] // m) * m, -(-size[1] // m) * m), np.float32)
        shapes = {name: value.shape for name, value in self._signature.feeds(image, image, 1).items()}
        load_engine(self.model.path, self.model.precision, shapes, self._gpu)
        return engine_path(self.model.path, self.model.precision, shapes, self._gpu)

    def _prepare(self, shapes: Shapes) -> None:
        """Have the engine for inputs of these shapes, and buffers for them."""
        if shapes == self._shapes:
            return
        self._shapes, self._buffers, self._reference = {}, {}, None  # until all of it is there
        engine = load_engine(self.model.path, self.model.precision, shapes, self._gpu)
        context = engine.create_execution_context()
        if context is None:
            raise BackendError(
                "TensorRT: no execution context, most likely for want of memory; choose a smaller --proxy"
            )
        buffers = {}
        for name in [engine.get_tensor_name(k) for k in range(engine.num_io_tensors)]:
            if engine.get_tensor_dtype(name) != trt.float32:
                raise BackendError(f"TensorRT: {name} is not float32; export {self.model.path} again")
            if name in shapes and not context.set_input_shape(name, shapes[name]):
                raise BackendError(f"TensorRT: the engine refuses {name} of {shapes[name]}; export the model again")
        for name in [*shapes, self._signature.output]:  # outputs have shapes once inputs have
            buffers[name] = Buffer(self._gpu, tuple(context.get_tensor_shape(name)))
            if not context.set_tensor_address(name, buffers[name].address):
                raise BackendError(f"TensorRT: the engine has no {name}; export {self.model.path} again")
        self._engine, self._context, self._buffers, self._shapes = engine, context, buffers, dict(shapes)
