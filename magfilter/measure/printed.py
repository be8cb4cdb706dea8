"""What a measurement says to people: a table of the vibrations of every region."""

from __future__ import annotations

import numpy as np

from magfilter.measure.result import Motion
from magfilter.measure.scale import PX
from magfilter.measure.spectrum import CLEAR, LOWEST, Spectrum

__all__ = ["peak_table"]


def peak_table(motion: Motion) -> str:
    """The peaks of every region, for people."""
    unit, scale = motion.scale or PX
    lines = []
    for number, region in enumerate(motion.regions):
        sigma = float(np.sqrt(np.nanmean(region.along_sigma**2))) if np.isfinite(region.along_sigma).any() else np.nan
        lines.append(
            f"r{number}  roi {region.region}  main direction {region.angle:.1f}°  "
            f"1-sigma {sigma * scale:.2g} {unit} a frame"
            + ("" if region.spectrum is None else f"  resolution {region.spectrum.resolution:.4g} Hz")
        )
        if not region.peaks:
            lines.append(f"    {_no_peak(region.spectrum, unit, scale)}")
            continue
        heads = ("axis", "Hz", "+-", f"amplitude {unit}", "+-", f"x {unit}", f"y {unit}", "over noise")
        several = len(motion.regions) > 1
        rows: list[tuple[str, ...]] = [(*heads, "phase°") if several else heads]
        for p in region.peaks:
            shown = [f"{size * scale:.3g}" for size in (p.amplitude, p.amplitude_sigma, p.x, p.y)]
            row = (p.axis, f"{p.frequency:.6g}", f"{p.frequency_sigma:.2g}", *shown, f"{p.over_noise:.1f}")
            rows.append((*row, "-" if np.isnan(p.phase) else str(round(p.phase))) if several else row)
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines += ["    " + "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
        if any(np.isnan(peak.phase) for peak in region.peaks):
            lines.append("    phase -: r0 does not show it, or does not move in the same way (one goes round)")
    return "\n".join(lines)


def _no_peak(spectrum: Spectrum | None, unit: str, scale: float) -> str:
    """Why there is none: what moves at many frequencies is not noise, nor is what lies beyond the ends."""
    if spectrum is None:
        return "too few frames for a spectrum"
    hertz, bin_ = spectrum.frequency, spectrum.resolution
    amplitude = np.where(hertz > LOWEST * bin_, np.nan_to_num(spectrum.amplitude["along"]), 0)
    most = int(np.argmax(amplitude))
    if not amplitude[most] > CLEAR * spectrum.floor["along"][most]:
        return "no vibration above the noise"
    slow, rest = f"{LOWEST * bin_:.3g} Hz", "no vibration stands clear of the rest; what moves the most is"
    if spectrum.amplitude["along"][most - 1] > amplitude[most]:
        return f"{rest} slower than {slow}, which is not told from drift"
    if hertz[most] > hertz[-1] - LOWEST * bin_:
        return f"{rest} close to {hertz[-1]:.4g} Hz, where the spectrum ends"
    return (
        f"no vibration stands clear of what moves at other frequencies; "
        f"the most is {amplitude[most] * scale:.2g} {unit} at {hertz[most]:.4g} Hz"
    )
