"""What a measurement may be told, checked before anything is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from magfilter.checks import check_duration, check_rate, check_start
from magfilter.errors import OptionError
from magfilter.magnifier import DEFAULT_PROXY
from magfilter.masks import Region
from magfilter.measure.scale import scale_of
from magfilter.models import DEFAULT_MODEL
from magfilter.reference import ReferencePolicy
from magfilter.settings import changed

__all__ = ["MeasureOptions"]


@dataclass(frozen=True)
class MeasureOptions:
    """Options of `measure_motion`; the command's, by the same names.

    Attributes:
        roi: rectangles "x,y,width,height" px of the picture as a player shows it, or the same as numbers, one or
            several; none for the whole picture.
        still: a rectangle of background that rests; None to look for it.
        fps: true frames a second, 1e-9 to 1e12, where the input says otherwise.
        mm_per_px, um_per_px: millimetres or micrometres a pixel, for results in that as well; one of them.
        detrend: take the motion of the still background, a camera's, off.
        reference: "first" or "frame:N", the frame that motion is measured against.
        start, duration: seconds of the input to work on, 1e9 at most, in the container's time.
        model, backend, device, proxy, threads: as `magfilter.Magnifier`'s.
        input_format: container of the input, for raw streams and pipes.

    Raises:
        OptionError: a value is out of range.
    """

    roi: Any = ()
    still: Any = None
    fps: float | None = None
    mm_per_px: float | None = None
    detrend: bool = False
    reference: str = "first"
    start: float | None = None
    duration: float | None = None
    model: str | os.PathLike[str] = DEFAULT_MODEL
    backend: str = "auto"
    device: str = "auto"
    proxy: float = DEFAULT_PROXY
    threads: int = 0
    input_format: str | None = None
    um_per_px: float | None = None

    def __post_init__(self) -> None:
        if self.fps is not None:
            check_rate(self.fps)
        scale_of(self.mm_per_px, self.um_per_px)
        if self.start is not None:
            check_start(self.start)
        if self.duration is not None:
            check_duration(self.duration)
        if self.threads < 0:
            raise OptionError(f"threads must be 0 (all cores) or more, got {self.threads}")
        if self.policy.kind not in ("first", "frame"):
            raise OptionError(
                f"reference {self.reference} has no fixed position to measure against; use first or frame:N"
            )
        for region in (*self.regions, *([] if self.still_region is None else [self.still_region])):
            if region.alpha is not None:
                raise OptionError(f"roi {region} has a factor, and nothing is magnified here; give x,y,width,height")

    @property
    def settings(self) -> str:
        """The model, and what else makes the result another one and is not its default, as key=value.

        Regions, reference, scale, start and detrend are not among them: tables tell them in lines of their own.
        """
        names = ("still", "fps", "duration", "proxy", "input_format")
        values = {name: getattr(self, name) for name in names} | {"still": self.still_region}
        defaults = {item.name: item.default for item in fields(self)}
        return f"model={Path(self.model).stem} {changed(values, defaults)}".rstrip()

    @property
    def policy(self) -> ReferencePolicy:
        return ReferencePolicy.parse(self.reference)

    @property
    def regions(self) -> tuple[Region, ...]:
        """The rectangles; none for the whole picture."""
        roi = self.roi
        one = isinstance(roi, (str, Region)) or (
            isinstance(roi, Sequence) and len(roi) > 0 and not isinstance(roi[0], (str, Region, Sequence))
        )
        return tuple(Region.parse(value) for value in ([roi] if one else roi or ()))

    @property
    def still_region(self) -> Region | None:
        return None if self.still is None else Region.parse(self.still)
