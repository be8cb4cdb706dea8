"""What a measurement gives: arrays of displacement, their uncertainty, spectra and peaks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.masks import Region
from magfilter.measure.noise import StillNoise
from magfilter.measure.peaks import Peak, find_peaks, merged, sines_of
from magfilter.measure.phase import ahead
from magfilter.measure.scale import Scale, scale_of
from magfilter.measure.spectrum import FEWEST, Spectrum, frequencies, power, rms_of_white, waves
from magfilter.measure.timing import Timing

__all__ = ["AXES", "Motion", "RegionMotion"]

Floats = NDArray[np.float64]

AXES = ("x", "y", "along")
STANDS_OUT = 2.0  # times the uncertainty from which motion beside the drift has a direction of its own
SIDES = ("x", "y", "along")
BESIDE = 0.9  # times the resolution, from which on another region's peak is another vibration
SHOWN = 2.0  # times the noise from which on a motion has a phase that others can be held against


@dataclass(frozen=True)
class RegionMotion:
    """The motion of what moves in a region. px of the picture as a player shows it, x to the right, y down.

    Attributes:
        region: the rectangle.
        displacement: (n, 2) px, x and y, against the reference. NaN where the texture tells none, or the thing
            was not found again.
        sigma: (n, 2) px, standard deviation of the displacement.
        direction: (2,) unit vector of the main direction of motion, to the right if it is level and down if it is
            upright, and the same way as the first region's if the two are less than 45 degrees apart. If only the
            motion across an edge can be told, across that.
        share: of the region's pixels that were measured: 1 where all move, less where a thing moves on a ground.
        lost: frames in which it was not found again.
        note: what the user should know about it, or "".
    """

    region: Region
    displacement: Floats = field(repr=False)
    sigma: Floats = field(repr=False)
    direction: Floats
    share: float
    lost: int
    note: str
    timing: Timing = field(repr=False)
    noise: StillNoise = field(repr=False)
    _across: Floats = field(repr=False)  # (n, 2) px, also where x and y alone are not told
    _first: RegionMotion | None = field(default=None, repr=False)  # None for itself

    @property
    def along(self) -> Floats:
        """(n,) px, displacement along `direction`."""
        return np.asarray(self._across @ self.direction)

    @property
    def along_sigma(self) -> Floats:
        """(n,) px, standard deviation of `along`."""
        return np.asarray(np.sqrt((self.noise.variance @ self.direction) @ self.direction))

    @property
    def angle(self) -> float:
        """Degrees of `direction`, counter-clockwise from the right, as drawn on paper: right is 0, down −90."""
        return float(np.degrees(np.arctan2(-self.direction[1], self.direction[0])))

    def axis(self, name: str) -> Floats:
        """(n,) px, displacement along "x", "y" or "along"."""
        return self.along if name == "along" else self.displacement[:, AXES.index(name)]

    @cached_property
    def spectrum(self) -> Spectrum | None:
        """Amplitude spectrum of each axis that is known; None with fewer than 8 frames."""
        count, timing = len(self.displacement), self.timing
        if count < FEWEST:
            return None
        grid, resolution = frequencies(count, timing.rate, timing.top)
        amplitude, floor = {}, {}
        for name in AXES:
            values = filled(self.axis(name))
            if values is None:
                amplitude[name] = floor[name] = np.full(len(grid), np.nan)
                continue
            amplitude[name] = np.sqrt(power(values, timing.times, timing.rate, even=timing.even))
            unit = self.direction if name == "along" else np.eye(2)[AXES.index(name)]
            floor[name] = self.noise.floor(unit, rms_of_white(count), len(grid))
        return Spectrum(grid, amplitude, floor, resolution)

    def phase(self, axis: str) -> Floats:
        """(k,) degrees, −180 to 180, by which the motion along "x", "y" or "along" is ahead of the first region's, at
        the frequencies of the spectrum, as `Peak.phase`. NaN if either is not known; empty without a spectrum."""
        if self.spectrum is None:
            return np.zeros(0)
        times, rate, even = self.timing.times, self.timing.rate, self.timing.even
        unknown = np.full(len(self.spectrum.frequency), np.nan, np.complex128)
        mine, theirs = (
            np.stack(
                [
                    unknown if (values := filled(region.axis(name))) is None else waves(values, times, rate, even=even)
                    for name in SIDES
                ]
            )
            for region in (self, self._first or self)
        )
        return ahead(axis, mine, theirs, leak=0.0)

    @cached_property
    def peaks(self) -> list[Peak]:
        """The vibrations found, each along the axis on which it stands out most: those along the main direction first,
        then those along x and y; strongest first. Empty without a spectrum.
        """
        spectrum = self.spectrum
        if spectrum is None:
            return []
        nothing = np.full(len(self.displacement), np.nan)
        sides = [filled(self.axis(name)) for name in ("x", "y")]
        both = (nothing if sides[0] is None else sides[0], nothing if sides[1] is None else sides[1])
        timing = self.timing
        found = merged(
            [
                find_peaks(name, values, timing.times, timing.rate, spectrum.floor[name], both, timing.even)
                for name in ("along", "x", "y")
                if (values := filled(self.axis(name))) is not None
            ],
            both,
            timing.times,
            spectrum.resolution,
        )
        return [replace(peak, phase=self._phase(peak, found)) for peak in found]

    def _phase(self, peak: Peak, found: list[Peak]) -> float:
        """See `Peak.phase`; `found` are all peaks of this region."""
        if self._first is None:
            return 0.0
        mine, theirs = self._phasors(peak, found), self._first._phasors(peak, self._first.peaks)
        if self.spectrum is None or self._first.spectrum is None:
            return np.nan
        noise = SHOWN * np.array(
            [region.spectrum.noise_at(peak.axis, peak.frequency) for region in (self, self._first) if region.spectrum]
        )
        seen = theirs[:2] if peak.axis == "along" and np.isfinite(theirs[:2]).all() else theirs[SIDES.index(peak.axis)]
        if not np.linalg.norm(seen) > noise[1]:
            return np.nan
        return float(ahead(peak.axis, mine, theirs, noise.max()))

    def _phasors(self, peak: Peak, others: list[Peak]) -> NDArray[np.complex128]:
        """(3,) px along x, y and the main direction at a peak's frequency, beside other peaks; NaN if not known."""
        times = self.timing.times
        beside = [other for other in others if abs(other.frequency - peak.frequency) > BESIDE / times[-1]]
        sines = sines_of([peak, *beside], times)
        number = sines.hertz.index(peak.frequency)
        columns = [filled(self.axis(name)) for name in SIDES]
        return np.array([np.nan if side is None else sines.phasors(side)[number] for side in columns], np.complex128)


@dataclass(frozen=True)
class Motion:
    """A measured video.

    Attributes:
        source: its name.
        regions: the motion of each, in the order given.
        timing: when the frames were taken.
        reference: the frame that motion is measured against.
        mm_per_px, um_per_px: scale, one of them or neither.
        detrended: whether the motion of the still background was taken off.
        still: patches of still background that the uncertainty is from; 0: it is from the fit alone.
        warnings: lines for the user.
        interrupted: stopped before the end on request.
        lost: frames that the input should have held and did not give.
        seconds: wall time.
        start: s of the input at which the stretch that was measured begins, as it was asked for.
        settings: the model, and what else was chosen, as key=value.
    """

    source: str
    regions: tuple[RegionMotion, ...]
    timing: Timing
    reference: str
    mm_per_px: float | None = None
    detrended: bool = False
    still: int = 0
    warnings: list[str] = field(default_factory=list)
    interrupted: bool = False
    lost: int = 0
    seconds: float = 0.0
    start: float = 0.0
    um_per_px: float | None = None
    settings: str = ""

    @property
    def scale(self) -> Scale | None:
        """Millimetres or micrometres a pixel, if they are known."""
        return scale_of(self.mm_per_px, self.um_per_px)

    @property
    def times(self) -> Floats:
        """(n,) s, the first frame's is 0."""
        return self.timing.times

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.timing.rate

    @property
    def frames(self) -> int:
        """Frames measured."""
        return len(self.timing.times)

    def __getitem__(self, number: int) -> RegionMotion:
        return self.regions[number]


def filled(values: Floats) -> Floats | None:
    """Values (n,) with single gaps bridged straight; None if a tenth or more is missing."""
    known = np.isfinite(values)
    if known.all():
        return values
    if known.mean() < 0.9:
        return None
    at = np.arange(len(values))
    return np.asarray(np.interp(at, at[known], values[known]))


def main_direction(displacement: Floats, variance: Floats, told: NDArray[Any], like: Floats | None = None) -> Floats:
    """Unit vector (2,) of the direction in which (n, 2) px vary most.

    Of the motion beside its straight drift, where there is more than noise (`variance`, (n, 2, 2) px²); else of the
    drift. `told` (k, 2) are the directions that are known, `like` (2,) is the first region's direction.
    """
    if len(told) == 1:
        return _forward(told[0], like)
    known = displacement[np.isfinite(displacement).all(1)]
    if len(known) < 3 or not len(told):
        return np.array([1.0, 0.0])
    at = np.arange(len(known))
    beside = known - np.stack([np.polyval(np.polyfit(at, side, 1), at) for side in known.T], 1)
    noise = float(np.trace(variance.mean(0)) / 2)
    for values in (beside, known - known.mean(0)):
        sizes, vectors = np.linalg.eigh(np.cov(values.T))
        if sizes[-1] > STANDS_OUT**2 * noise:
            break
    return _forward(vectors[:, -1], like)


def _forward(vector: Floats, like: Floats | None) -> Floats:
    """A unit vector or its opposite. Level and upright, which most things move, lie far from where it turns over."""
    lead = float(vector.sum())
    if like is not None and abs(vector @ like) > np.sqrt(0.5):
        lead = float(vector @ like)
    return np.asarray(vector * (1 if lead >= 0 else -1), np.float64)
