"""What a job shows of itself: the input beside the output, labels, the measured motion."""

from __future__ import annotations

from typing import Literal

import numpy as np

from magfilter.compare import Composer
from magfilter.label import draw_label
from magfilter.measured import Measured
from magfilter.media import Frame, MediaInfo
from magfilter.media.frame import Colour
from magfilter.media.orientation import Orientation
from magfilter.options import MagnifyOptions
from magfilter.overlay import FlowOverlay
from magfilter.ramp import Ramp

__all__ = ["View"]


class View:
    """Makes the frames that are written of those that were read and magnified, in order.

    Args:
        options: of the job.
        info: the input.
        ramp: of alpha over time, if there is one.

    Attributes:
        size: (width, height) of what is written, as stored.
        colour: its tags.
    """

    def __init__(self, options: MagnifyOptions, info: MediaInfo, ramp: Ramp | None = None) -> None:
        self.options, self.ramp = options, ramp
        self.orientation = Orientation.of(info)
        self.size: tuple[int, int] = (info.width, info.height)
        self.colour: Colour = info.colour
        self._composer: Composer | None = None
        if options.compare is not None:
            self._composer = Composer(options.compare, self.orientation, self.size, info.layout, info.colour)
            self.size, self.colour = self._composer.size, self._composer.colour
        self._overlay: FlowOverlay | None = None
        if options.show_flow:
            parts = [name for name in ("band", "notch", "detrend") if getattr(options, name)]
            note = f"({', '.join(parts)})" if parts else ""
            self._overlay = FlowOverlay(self.orientation, note, steady=options.reference.startswith("every"))

    def __call__(self, frame: Frame, measured: Measured, magnified: Frame, alpha: float) -> Frame:
        """The frame to be written.

        Args:
            frame: as it was read; it is not written to.
            measured: what `Magnifier.measure` made of it.
            magnified: what `Magnifier.render` made of that; not written to either.
            alpha: the factor it was magnified by.
        """
        after = magnified.replace(planes=tuple(plane.copy() for plane in magnified.planes))
        side: Literal["left", "right"] = "right" if self.options.compare == "split" else "left"
        if self._overlay is not None:
            motion = measured.flow if measured.part is None else measured.part
            stride = 1 if motion is None else -(-frame.width // motion.shape[2])  # the grid covers the picture
            self._overlay.draw(after.planes, frame, motion, stride, ("bottom", side))
        if self._composer is None:
            return after
        before = frame.replace(planes=tuple(plane.copy() for plane in frame.planes))
        draw_label(before.planes, before, self.orientation, "input", ("top", "left"))
        draw_label(after.planes, after, self.orientation, self.factors(alpha), ("top", side))
        return self._composer(before, after)

    def factors(self, alpha: float) -> str:
        """What the output's label says: "× 10", with the factors of regions that have their own, "× 10, 30".

        Args:
            alpha: the factor in force, which regions follow where it is on a ramp.
        """
        o = self.options
        regions = [None if region.alpha is None else self._now(region.alpha, alpha) for region in o.regions]
        values = [alpha] if o.mask is not None or o.segment or None in regions or not (regions or o.alpha_map) else []
        values = list(dict.fromkeys([*values, *(value for value in regions if value is not None)]))
        text = "× " + ", ".join(f"{value:.4g}" for value in values) if values else ""
        return ", ".join(part for part in ("alpha map" if o.alpha_map is not None else "", text) if part)

    def _now(self, factor: float, alpha: float) -> float:
        """What is in force of a region's factor while the job's is `alpha`."""
        if self.ramp is None:
            return factor
        return float(self.ramp.scaled(np.array([[factor]], np.float32), self.options.painted, alpha)[0, 0])
