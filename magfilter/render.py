"""A frame moved by its own motion, on the CPU; what `magfilter.device.render` does on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.backends import Engine
from magfilter.displace import magnified_displacement
from magfilter.media.frame import Frame

__all__ = ["PlaneRenderer"]

Array = NDArray[np.float32]


class PlaneRenderer:
    """Moves each plane of a frame by what its engine resamples with.

    Args:
        engine: whose `resample` is used.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def render(
        self,
        frame: Frame,
        flow: Array,
        factor: float | Array,
        stride: int,
        part: Array | None = None,
        limit: float | None = None,
    ) -> Frame:
        """The frame with its motion magnified; the very frame where nothing is to be moved.

        Args:
            frame: the frame.
            flow, factor, stride, part, limit: as `magfilter.displace.magnified_displacement` takes them.
        """
        field = magnified_displacement(flow, factor, stride, part, limit)
        if not field.any():
            return frame
        # The grid may reach beyond an odd picture's edge; the planes are resampled as if they did too.
        return frame.replace(planes=tuple(self._moved(plane, field, stride, frame) for plane in frame.planes))

    def _moved(self, plane: NDArray[Any], field: Array, stride: int, frame: Frame) -> NDArray[Any]:
        step_x, step_y = frame.step(plane)
        need = (field.shape[1] * stride // step_y, field.shape[2] * stride // step_x)
        lack = (max(0, need[0] - plane.shape[0]), max(0, need[1] - plane.shape[1]))
        whole = np.pad(plane, ((0, lack[0]), (0, lack[1])), mode="edge") if any(lack) else plane
        moved = self._engine.resample(whole, field, (float(step_x), float(step_y)), frame.layout.peak)
        return np.ascontiguousarray(moved[: plane.shape[0], : plane.shape[1]])
