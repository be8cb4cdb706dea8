"""What a job magnifies: mask, regions and alpha map from their files, as a map for every reference.

Coordinates are those of the picture as a player shows it, and as `ffmpeg -i IN frame.png` writes it:
where the input is stored turned, the map is turned with it.
"""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import InputError, OptionError
from magfilter.masks import as_factors, as_mask, combine, fit_factors, fit_mask, load_array, mask_of
from magfilter.media import Frame, VideoReader
from magfilter.media.probe import MediaInfo
from magfilter.media.sequence import ASSUMED_RATE, is_pattern
from magfilter.options import MagnifyOptions
from magfilter.segment import check_segmenter, segment

__all__ = ["Targets"]

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_MOST = 0.8  # share of the picture; few mean a mask that covers more of it and not all


class Targets:
    """The alpha map of every frame that becomes the reference.

    A picture or array is one mask for the whole job, fixed in the picture. Of a video of masks the
    frame counts that has the reference's number in the stretch worked on; `start` applies to both.

    Args:
        options: of the job; at least one of mask, segment, roi and alpha_map is given.

    Attributes:
        warnings: lines for the user, added to while masks are read.

    Raises:
        InputError: a file is missing or unreadable.
        OptionError: what it holds is no mask or no alpha map.
        BackendError: a click is to be segmented, and Segment Anything is not installed.
    """

    def __init__(self, options: MagnifyOptions) -> None:
        self.options = options
        self._warnings: list[str] = []
        self._video: _MaskVideo | None = None
        self._mask: Mask | None = None
        self._under: Array | None = None
        self._size = (0, 0)  # (H, W) as shown
        self._turns = 0  # quarters, counter-clockwise, from stored to shown
        self._map: Array | None = None
        if options.segment:
            check_segmenter(options.segment_weights)
        if options.alpha_map is not None:
            self._under = as_factors(load_array(options.alpha_map), os.fspath(options.alpha_map))
            if ramp := options.ramp(1.0):
                for factor in (self._under.min(), self._under.max()):
                    ramp.check(float(factor), f"alpha_map {os.fspath(options.alpha_map)}")
        if options.mask is not None and _is_array(options.mask):
            self._mask = as_mask(load_array(options.mask), os.fspath(options.mask), options.mask_invert)
        elif options.mask is not None:
            video = _MaskVideo(os.fspath(options.mask), options.start, options.mask_invert)
            if video.moves:
                self._video = video
            else:
                self._mask = as_mask(video.mask, video.name + (", inverted," if options.mask_invert else ""))
                video.close()

    @property
    def warnings(self) -> list[str]:
        """Lines for the user so far."""
        return self._warnings + (self._video.warnings if self._video else [])

    def fit(self, info: MediaInfo) -> None:
        """Bring everything to the size of the input.

        Raises:
            OptionError: a region lies outside, or a mask or map has another aspect.
        """
        o = self.options
        self._turns = info.rotation // 90 % 4 if info.rotation % 90 == 0 else 0
        self._size = (info.width, info.height) if self._turns % 2 else (info.height, info.width)
        for region in o.regions:
            region.check(self._size)
        for x, y in o.clicks:
            if y >= self._size[0] or x >= self._size[1]:
                raise OptionError(
                    f"segment {x},{y} lies outside the picture of {self._size[1]}x{self._size[0]}; "
                    f"x goes from 0 to {self._size[1] - 1}, y to {self._size[0] - 1}"
                )
        if self._under is not None:
            self._under = fit_factors(self._under, self._size, os.fspath(o.alpha_map or ""))
        if self._mask is not None:
            self._mask = fit_mask(self._mask, self._size, os.fspath(o.mask or ""))
            self._doubt(self._mask)
        if self._video is not None:
            self._video.fit(self._size, info.rate)
            self._doubt(self._video.mask)
            if self._video.rate and info.rate and abs(self._video.rate / info.rate - 1) > 0.01:
                self._warnings.append(
                    f"{self._video.name} has {float(self._video.rate):g} frames a second and the input "
                    f"{float(info.rate):g}; masks are matched by number, not by time"
                )

    def _doubt(self, mask: Mask) -> None:
        """Warn of a mask that may be the wrong way round, as of programs that show what is marked in black."""
        share = float(mask.mean())
        if _MOST < share < 1 and not self.options.mask_invert:
            self._warnings.append(
                f"{os.fspath(self.options.mask or '')} has {math.floor(100 * share)} % of the picture magnified, "
                "whatever is not black or 0, and the rest left as it is; --mask-invert turns that round"
            )

    def click(self, reference: Frame) -> None:
        """Make the mask of what was clicked on in the reference, if anything was.

        Raises:
            OptionError, InputError, BackendError: as `magfilter.segment.segment`.
        """
        o = self.options
        if o.segment and o.segment_weights is not None:
            rgb = reference.to_rgb()
            rgb = (rgb >> 8).astype(np.uint8) if rgb.dtype == np.uint16 else rgb
            found = segment(np.rot90(rgb, self._turns), o.clicks, o.segment_weights, o.device)
            self._mask = ~found if o.mask_invert else found

    def follow(self, number: int) -> None:
        """Read on to the mask of frame `number`, so that a shot cut after an hour need not catch up."""
        o = self.options
        cuts = o.reference == "first" and (o.shot_cuts or o.reanchor is not None)
        again = not o.reference.startswith(("first", "frame")) or cuts
        if self._video is not None and again:
            self._video.forward(number)

    def alpha_map(self, number: int) -> Array:
        """The map for reference `number`, (H, W) float32 in stored pixels, not to be written to.

        Raises:
            OptionError: the mask of a reference that stays is empty.
            InputError: a video of masks cannot be read on.
        """
        o = self.options
        if self._video is not None:
            self._video.forward(number)
            if not self._video.mask.any() and not o.regions and self._under is None:
                self._empty(self._video.name, number)
            self._mask, self._map = self._video.mask, None
        if self._map is None:
            shown = combine(
                self._size,
                o.painted,
                factors=self._under,
                mask=self._mask,
                regions=o.regions,
                grow=o.mask_grow,
                feather=o.mask_feather,
            )
            self._map = np.ascontiguousarray(np.rot90(shown, -self._turns))
            self._map.flags.writeable = False  # which tells the magnifier that it need not look again
        return self._map

    def _empty(self, name: str, number: int) -> None:
        if self.options.reference.startswith(("first", "frame")) and self._map is None:
            raise OptionError(
                f"{name} is empty in frame {number}, the reference; "
                "nothing would be magnified: choose --reference frame:N with a frame that shows the object"
            )
        line = f"{name} is empty in some frames; nothing is magnified against those"
        if line not in self._warnings:
            self._warnings.append(line)

    def describe(self) -> str:
        """What is magnified, for `--info`; after `fit`."""
        o, parts = self.options, []
        if o.mask is not None:
            parts.append(f"mask {os.fspath(o.mask)}" + (" (a video)" if self._video else ""))
        elif o.segment:
            parts.append("what Segment Anything finds at " + " and ".join(f"{x},{y}" for x, y in o.clicks))
        if o.mask_invert:
            parts[-1] += ", inverted"
        if o.mask_grow:
            parts[-1] += f", grown by {o.mask_grow:g} px"
        parts += [f"region {region}" for region in o.regions]
        if o.alpha_map is not None:
            parts.append(f"alpha map {os.fspath(o.alpha_map)}")
        if o.mask_feather:
            parts.append(f"soft edge of {o.mask_feather:g} px")
        if self._map is not None:
            share = np.count_nonzero(self._map != 1) / self._map.size
            parts.append(
                f"alpha {self._map.min():g} to {self._map.max():g}, other than 1 on {share:.1%} of the picture"
            )
        return "; ".join(parts)

    def close(self) -> None:
        """Close a video of masks; may be called again."""
        if self._video is not None:
            self._video.close()


class _MaskVideo:
    """Masks read frame by frame; a single picture is one that does not move."""

    def __init__(self, name: str, start: float | None, invert: bool) -> None:
        numbered = is_pattern(name)
        if not numbered and not Path(name).is_file():
            fix = "is no file; masks are read from files" if os.path.exists(name) else "does not exist; check the path"
            raise InputError(f"{name} {fix}")
        self.name = name
        self._invert = invert
        self.number = 0
        self.ended = False
        self._size: tuple[int, int] | None = None
        self._told: list[str] = []
        # Numbered pictures are counted, not timed: theirs is the input's rate, which `fit` is told.
        self._reader = VideoReader(name, threads=1, framerate=ASSUMED_RATE if numbered else None)
        self._skipped = start if numbered else None  # seconds
        self._ahead = [frame for frame in (self._next(), self._next()) if frame is not None]
        self.moves = len(self._ahead) > 1
        if self.moves and start and not numbered:
            self._reader.close()
            self._reader = VideoReader(name, start=start, threads=1)
            self._ahead = []
        self.rate = None if numbered else self._reader.info.rate
        # PNG, FFV1 and the like keep black black.
        self._lossy = bool(self._reader.stream.codec_context.codec.lossy)
        first = self._ahead.pop(0) if self._ahead else self._next()
        assert first is not None  # a reader that opens has a frame
        self.mask = self._see(first)

    @property
    def warnings(self) -> list[str]:
        return [*self._reader.warnings, *self._told]

    def _next(self) -> Frame | None:
        return next((item for item in self._reader if isinstance(item, Frame)), None)

    def _see(self, frame: Frame) -> Mask:
        turns = self._reader.info.rotation // 90 % 4 if self._reader.info.rotation % 90 == 0 else 0
        found = mask_of(frame, self._lossy)
        mask: Any = np.rot90(~found if self._invert else found, turns)
        return mask if self._size is None else fit_mask(mask, self._size, self.name)

    def fit(self, size: tuple[int, int], rate: Fraction | None) -> None:
        self._size = size
        self.mask = fit_mask(self.mask, size, self.name)
        if self._skipped:
            self.forward(round(self._skipped * (rate or ASSUMED_RATE)))
            self.number, self._skipped = 0, None

    def forward(self, number: int) -> None:
        """Go on to mask `number`; where the video has ended, the last one stays."""
        frame = None
        while self.number < number and not self.ended:
            found = self._ahead.pop(0) if self._ahead else self._next()
            if found is None:
                self.ended = True
                self._told.append(
                    f"{self.name} ends after {self.number + 1} frames; its last mask is kept for those that follow"
                )
            else:
                self.number, frame = self.number + 1, found
        if frame is not None:
            self.mask = self._see(frame)

    def close(self) -> None:
        self._reader.close()


def _is_array(path: str | os.PathLike[str]) -> bool:
    return os.fspath(path).lower().endswith(".npy")
