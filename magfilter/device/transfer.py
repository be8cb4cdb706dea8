"""Arrays to a device and back: through page-locked memory on CUDA, which the copies need to run beside other work.

The part for CUDA has not run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Transfer"]

Kind = tuple[str, int, tuple[int, ...], torch.dtype]


class Transfer:
    """Copies between arrays and tensors of a device. Not for two threads at once.

    Args:
        device: of the tensors.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.staged = device.type == "cuda"
        self._stages: dict[Kind, Tensor] = {}

    def up(self, arrays: Sequence[NDArray[Any]]) -> list[Tensor]:
        """Tensors on the device; samples of 16 bits come as int16 of the same bits.

        On CUDA the copies are in the current stream's queue, and the next `up` must wait until they are done: call
        it after `down`.
        """
        tensors = []
        for number, array in enumerate(arrays):
            if array.dtype == np.uint16:  # torch hardly knows the type
                array = array.view(np.int16)
            if not array.flags.writeable:
                array = array.copy()  # torch would warn
            tensor = torch.from_numpy(np.ascontiguousarray(array))
            if self.staged:
                stage = self._stage("up", number, tensor)
                stage.copy_(tensor)
                tensor = stage.to(self.device, non_blocking=True)
            tensors.append(tensor.to(self.device))
        return tensors

    def down(self, tensors: Sequence[Tensor]) -> list[NDArray[Any]]:
        """Tensors on the device as arrays, when all in the current stream's queue is done.

        On the CPU an array is the tensor's own memory.
        """
        if not self.staged:
            return [tensor.cpu().numpy() for tensor in tensors]
        stages = [self._stage("down", number, tensor) for number, tensor in enumerate(tensors)]
        for stage, tensor in zip(stages, tensors, strict=True):
            stage.copy_(tensor, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        return [stage.numpy().copy() for stage in stages]

    def _stage(self, way: str, number: int, like: Tensor) -> Tensor:
        """The page-locked memory that the n-th copy of this shape and type always goes through."""
        kind = (way, number, tuple(like.shape), like.dtype)
        if kind not in self._stages:
            if len(self._stages) >= 32:  # another video, of another size
                self._stages.clear()
            self._stages[kind] = torch.empty(like.shape, dtype=like.dtype, pin_memory=True)
        return self._stages[kind]
