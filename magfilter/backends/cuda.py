"""What an engine needs of the CUDA runtime, through NVIDIA's cuda-python: a device, a stream, buffers.

Written after NVIDIA's documentation; none of it has run on a GPU yet.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from cuda.bindings import runtime as cudart
from numpy.typing import NDArray

from magfilter.errors import BackendError

__all__ = ["Buffer", "Gpu", "call"]

Array = NDArray[np.float32]


def call(function: Callable[..., tuple[Any, ...]], *arguments: Any) -> Any:
    """The result of a function of the CUDA runtime, which returns (status, *results).

    Raises:
        BackendError: if the status is an error.
    """
    status, *results = function(*arguments)
    if status != cudart.cudaError_t.cudaSuccess:
        _, text = cudart.cudaGetErrorString(status)
        what = text.decode() if isinstance(text, bytes) else str(text or status)
        name = getattr(function, "__name__", "a call")
        raise BackendError(f"CUDA: {name} failed: {what}; check the driver, or choose --device cpu")
    return results[0] if results else None


class Gpu:
    """One device and a stream of its own.

    Args:
        number: of the device.

    Attributes:
        number; name: "NVIDIA H200"; capability: (major, minor); driver: CUDA version of the driver, 13050 for 13.5.
        stream: its handle, a number.

    Raises:
        BackendError: if there is no such device.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        there = call(cudart.cudaGetDeviceCount)
        if number >= there:
            raise BackendError(f"there is no GPU cuda:{number}, only {there}; choose --device cuda:0 or cpu")
        self.activate()
        about = call(cudart.cudaGetDeviceProperties, number)
        self.name = about.name.decode() if isinstance(about.name, bytes) else str(about.name)
        self.capability = (int(about.major), int(about.minor))
        self.driver = int(call(cudart.cudaDriverGetVersion))
        stream = call(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking)
        self.stream = int(stream)
        weakref.finalize(self, cudart.cudaStreamDestroy, stream)

    def activate(self) -> None:
        """Make it the calling thread's device: every thread has its own."""
        call(cudart.cudaSetDevice, self.number)

    def wait(self) -> None:
        """Until the stream has done all it was given."""
        call(cudart.cudaStreamSynchronize, self.stream)


class Buffer:
    """A float32 tensor on a device, and as large a piece of page-locked memory, which copies go through.

    Attributes:
        address: on the device.
        host: the page-locked memory as an array.
    """

    def __init__(self, gpu: Gpu, shape: tuple[int, ...]) -> None:
        self.gpu = gpu
        count = int(np.prod(shape))
        self.bytes = 4 * count
        self.address = int(call(cudart.cudaMalloc, self.bytes))
        weakref.finalize(self, cudart.cudaFree, self.address)
        locked = int(call(cudart.cudaMallocHost, self.bytes))
        weakref.finalize(self, cudart.cudaFreeHost, locked)
        memory = (ctypes.c_float * count).from_address(locked)
        self.host: Array = np.ctypeslib.as_array(memory).reshape(shape)

    def upload(self, value: Array) -> None:
        """Put `value` in the stream's queue. The copy before it must be done."""
        self.host[...] = value
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        call(cudart.cudaMemcpyAsync, self.address, self.host.ctypes.data, self.bytes, kind, self.gpu.stream)

    def download(self) -> None:
        """Ask for the device's content in `host`, which is there after `gpu.wait()`."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        call(cudart.cudaMemcpyAsync, self.host.ctypes.data, self.address, self.bytes, kind, self.gpu.stream)
