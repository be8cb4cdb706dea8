"""Measuring motion: displacement over time of regions of a video, its spectrum, and how far either can be trusted."""

from __future__ import annotations

from magfilter.measure.motion import measure_motion
from magfilter.measure.options import MeasureOptions
from magfilter.measure.peaks import Peak
from magfilter.measure.result import Motion, RegionMotion
from magfilter.measure.spectrum import Spectrum

__all__ = ["MeasureOptions", "Motion", "Peak", "RegionMotion", "Spectrum", "measure_motion"]
