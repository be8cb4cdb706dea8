"""Rendering on a device: planes and flow go up, the field and the moved planes are computed there and come back.

Between the copies nothing leaves the device. On CUDA it has a stream of its own, so that a network in another
thread and it can share the device. That has not run on a GPU yet; on torch's CPU device all else is tested.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from magfilter.device.displace import magnified_displacement
from magfilter.device.resample import moved
from magfilter.device.transfer import Transfer
from magfilter.errors import BackendError
from magfilter.media.frame import Frame

__all__ = ["TorchRenderer"]

Array = NDArray[np.float32]


class TorchRenderer:
    """Moves pictures on a torch device. See `magfilter.backends.Renderer`.

    Args:
        device: "cpu" or "cuda", with or without a number; it must know float64, as mps does not.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._transfer = Transfer(device)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()  # there is one set of page-locked memory

    @torch.inference_mode()
    def render(
        self,
        frame: Frame,
        flow: Array,
        factor: float | Array,
        stride: float,
        part: Array | None = None,
        limit: float | None = None,
    ) -> Frame:
        queue: AbstractContextManager[Any] = (
            torch.cuda.stream(self._stream) if self._stream is not None else nullcontext()
        )
        try:
            with self._lock, queue:
                planes = self._planes(frame, flow, factor, stride, part, limit)
        except torch.cuda.OutOfMemoryError:
            raise BackendError(
                f"{self.device}: not enough memory to move pictures of {frame.width}x{frame.height}; "
                "free some, or choose --device cpu"
            ) from None
        return frame if planes is None else frame.replace(planes=planes)

    def _planes(
        self,
        frame: Frame,
        flow: Array,
        factor: float | Array,
        stride: float,
        part: Array | None,
        limit: float | None,
    ) -> tuple[NDArray[Any], ...] | None:
        """The planes moved, or None where nothing moves."""
        gain = np.asarray(factor, np.float32)
        fields = [flow, *([] if part is None else [part]), *([gain] if gain.ndim else [])]
        sent = self._transfer.up([*frame.planes, *(np.asarray(value, np.float32) for value in fields)])
        planes, rest = sent[: len(frame.planes)], iter(sent[len(frame.planes) :])
        motion = next(rest)
        share = None if part is None else next(rest)
        alpha = next(rest) if gain.ndim else float(gain)
        field = magnified_displacement(motion, alpha, stride, share, limit)
        if not field.any():
            return None
        # Planes of one size are moved together.
        alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for number, plane in enumerate(frame.planes):
            alike[frame.step(plane)].append(number)
        out = list(planes)
        for step, numbers in alike.items():
            together = torch.stack([planes[number] for number in numbers])
            for number, plane in zip(numbers, self._move(together, field, stride, step, frame), strict=True):
                out[number] = plane
        arrays = self._transfer.down(out)
        return tuple(array.view(frame.layout.dtype) for array in arrays)

    @staticmethod
    def _move(planes: Tensor, field: Tensor, stride: float, step: tuple[int, int], frame: Frame) -> Tensor:
        """Planes (n, h, w) uint8 or int16 of one size, as `Magnifier` moves them: the grid may reach beyond them."""
        _, height, width = planes.shape
        values = planes.float() if planes.dtype == torch.uint8 else (planes.int() & 0xFFFF).float()
        below = max(0, int(field.shape[1] * stride) // step[1] - height)
        beside = max(0, int(field.shape[2] * stride) // step[0] - width)
        if below or beside:
            values = F.pad(values[None], (0, beside, 0, below), mode="replicate")[0]
        out = moved(values, field, (float(step[0]), float(step[1])), frame.layout.peak)[:, :height, :width]
        return out.to(torch.uint8) if planes.dtype == torch.uint8 else out.int().to(torch.int16)
