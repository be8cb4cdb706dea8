"""Writing a measurement: CSV tables, Universal File Format, a plot."""

from __future__ import annotations

import csv
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter._version import __version__
from magfilter.errors import MagfilterError, OptionError, OutputError
from magfilter.measure.result import AXES, Motion
from magfilter.measure.scale import PX, Scale
from magfilter.media.descriptors import descriptor
from magfilter.media.target import PartFile, write_failed

__all__ = [
    "TABLE",
    "check_extra",
    "check_suffix",
    "write_motion",
    "write_peaks",
    "write_plot",
    "write_spectrum",
    "write_table",
    "write_uff",
]

Floats = NDArray[np.float64]

TABLE = (".csv", ".txt", ".dat")  # what the name of a table may end in

NUMBER = "%.9g"  # times of a long recording need so many digits
TALL = 3.2  # inches of plot a region


def check_extra(module: str, option: str) -> None:
    """Raise MagfilterError, naming the pip command, unless an optional package can be imported."""
    extra = {"matplotlib": "plot", "pyuff": "uff"}[module]
    try:
        __import__(module)
    except ImportError as error:
        raise MagfilterError(
            f'{option} needs {module} ({error}); install it with: pip install "magfilter[{extra}]"'
        ) from None


def _units(motion: Motion) -> list[Scale]:
    return [PX, *filter(None, [motion.scale])]


def _header(motion: Motion, what: str) -> list[str]:
    lines = [
        f"{what} by magfilter {__version__} of {motion.source}",
        f"frames: {motion.frames}, frame rate: {motion.rate:.10g} Hz" + ("" if motion.timing.even else " on average"),
        f"reference: {motion.reference}; x to the right, y down, in the picture as a player shows it",
    ]
    if motion.settings:
        lines.append(f"settings: {motion.settings}")
    if motion.start:
        lines.append(f"begins {motion.start:g} s into the clip: frame and time count from there")
    if motion.scale:
        lines.append(f"scale: {motion.scale}")
    if motion.detrended:
        lines.append("the motion of the still background was taken off")
    lines.append(
        f"uncertainty from {motion.still} patches of still background"
        if motion.still
        else "uncertainty from the fit alone: no still background"
    )
    for number, region in enumerate(motion.regions):
        lines.append(
            f"r{number}: roi {region.region}; along: {region.angle:.1f} degrees, counter-clockwise from the right; "
            f"measured share of its pixels {region.share:.3f}" + (f"; {region.note}" if region.note else "")
        )
    return lines


def check_suffix(name: str, what: str, *suffixes: str) -> None:
    """Raise OptionError if a file's name says that it is something else: names end in one of `suffixes` or in none."""
    suffix = Path(name).suffix.lower()
    if suffix and descriptor(name) is None and suffix not in suffixes:
        raise OptionError(f"{name} would hold {what}; end the name in {suffixes[0]}")


def write_table(
    target: str | os.PathLike[str],
    source: str,
    head: Sequence[str],
    columns: Mapping[str, Sequence[Any] | Floats | NDArray[np.intp]],
    *,
    overwrite: bool = False,
) -> None:
    """Columns of as many numbers or texts each, by their names, as CSV; lines of `head` begin with #. NaN is empty.

    Raises:
        OutputError: the file exists or cannot be written.
    """

    def shown(value: Any) -> str:
        return value if isinstance(value, str) else "" if np.isnan(value) else NUMBER % value

    def write(file: Any) -> None:
        for line in head:
            file.write(f"# {' '.join(line.split())}\n")
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            rows.writerow([shown(value) for value in row])

    _save(os.fspath(target), source, overwrite, write)


def _save(target: str, source: str, overwrite: bool, write: Callable[[Any], None], *, binary: bool = False) -> None:
    """Write beside `target`, and give it its name when it is whole; or to stdout, the same bytes."""
    part = PartFile(target, source, overwrite)
    if part.descriptor is not None:
        if part.descriptor != 1:
            _write_open(part.descriptor, write)
            return
        raw = getattr(sys.stdout, "buffer", None)
        if raw is None:  # a notebook's
            write(sys.stdout)
            return
        text = io.StringIO(newline="")
        write(text)
        sys.stdout.flush()
        raw.write(text.getvalue().encode("utf-8", "backslashreplace"))
        raw.flush()
        return
    try:
        path = Path(part.name.removeprefix("file:"))
        with path.open("wb") as raw:
            file = raw if binary else io.TextIOWrapper(raw, "utf-8", "backslashreplace", newline="")
            write(file)
            file.flush()
        part.commit()
    except OSError as error:
        part.discard()
        raise write_failed(target, error) from error
    except BaseException:
        part.discard()
        raise


def _write_open(number: int, write: Callable[[Any], None]) -> None:
    """Write to an open descriptor, and leave it open."""
    with open(number, "w", encoding="utf-8", errors="backslashreplace", newline="", closefd=False) as file:
        write(file)


def write_motion(motion: Motion, target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Displacement over time as CSV: a line a frame; lines that begin with # say what it is.

    Columns: frame, time_s, and of region number K rK_dx_px, rK_dy_px, rK_along_px, their standard deviations
    rK_dx_sigma_px and so on, and the same in mm or um if the scale is known. Empty is not known.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    columns: dict[str, Any] = {"frame": motion.timing.numbers, "time_s": motion.times}
    for number, region in enumerate(motion.regions):
        for unit, scale in _units(motion):
            values = [*region.displacement.T, region.along, *region.sigma.T, region.along_sigma]
            kinds = ("dx", "dy", "along", "dx_sigma", "dy_sigma", "along_sigma")
            columns |= {f"r{number}_{kind}_{unit}": value * scale for kind, value in zip(kinds, values, strict=True)}
    write_table(target, motion.source, _header(motion, "displacement"), columns, overwrite=overwrite)


def write_spectrum(motion: Motion, target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Amplitude spectra as CSV: frequency_hz, and of region number K rK_x_px, rK_y_px, rK_along_px, and the noise
    floors rK_x_floor_px and so on; in mm or um too if the scale is known. Of all regions but the first also
    rK_x_phase_deg and so on, by which the motion is ahead of the first region's. Without a spectrum, the head alone.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    first = motion.regions[0].spectrum
    columns = {"frequency_hz": np.zeros(0) if first is None else first.frequency}
    for number, region in enumerate(motion.regions):
        for unit, scale in _units(motion):
            for kind in ("amplitude", "floor"):
                for axis in AXES:
                    name = f"r{number}_{axis}{'_floor' if kind == 'floor' else ''}_{unit}"
                    spectrum = region.spectrum
                    columns[name] = np.zeros(0) if spectrum is None else getattr(spectrum, kind)[axis] * scale
        if number:
            columns |= {f"r{number}_{axis}_phase_deg": region.phase(axis) for axis in AXES}
    what = "amplitude spectrum (single-sided, Hann window, coherent gain corrected, four times zero-padded)"
    write_table(target, motion.source, _header(motion, what), columns, overwrite=overwrite)


def write_peaks(motion: Motion, target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """The peaks of every region as CSV, a line each: region (r0), axis, frequency and amplitude with their standard
    deviations, amplitudes along x and y, phase against the first region, amplitude over noise; in mm or um too if the
    scale is known. Empty is not known.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    peaks = [(f"r{number}", peak) for number, region in enumerate(motion.regions) for peak in region.peaks]
    columns: dict[str, list[Any]] = {
        "region": [region for region, _ in peaks],
        "axis": [peak.axis for _, peak in peaks],
        "frequency_hz": [peak.frequency for _, peak in peaks],
        "frequency_sigma_hz": [peak.frequency_sigma for _, peak in peaks],
    }
    for unit, scale in _units(motion):
        for kind in ("amplitude", "amplitude_sigma", "x", "y"):
            columns[f"{kind}_{unit}"] = [getattr(peak, kind) * scale for _, peak in peaks]
    columns["phase_deg"] = [peak.phase for _, peak in peaks]
    columns["over_noise"] = [peak.over_noise for _, peak in peaks]
    write_table(target, motion.source, _header(motion, "peaks"), columns, overwrite=overwrite)


def write_uff(motion: Motion, target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Displacements and spectra as Universal File Format, data sets 58: node K + 1 is region K, direction 1 is x and
    2 is y. Metres if the scale is known, else px. What is not known is left out.

    Raises:
        MagfilterError: pyuff is not installed. OutputError: the file exists or cannot be written.
    """
    check_extra("pyuff", "--uff")
    import pyuff

    if motion.frames < 2:
        raise OutputError(f"{os.fspath(target)}: a data set 58 has two frames or more, and {motion.source} gave one")

    unit, scale = ("m", motion.scale.metres) if motion.scale else PX
    sets = []
    for number, region in enumerate(motion.regions, 1):
        for axis in (0, 1):
            values = region.displacement[:, axis]
            if not np.isfinite(values).all():
                continue
            common = {
                "type": 58,
                "binary": 0,
                "id1": f"magfilter roi {region.region}",
                "rsp_node": number,
                "rsp_dir": axis + 1,
                "ref_node": 0,
                "ref_dir": 0,
                "ordinate_spec_data_type": 8,
                "orddenom_spec_data_type": 0,
                "orddenom_axis_units_lab": "NONE",
                "ordinate_axis_units_lab": unit,
            }
            even = motion.timing.even
            step = 1 / motion.rate
            sets.append(
                {
                    **common,
                    "func_type": 1,
                    "ord_data_type": 4,
                    "abscissa_spacing": 1 if even else 0,
                    "abscissa_min": 0.0,
                    "abscissa_inc": step if even else 0.0,
                    "abscissa_spec_data_type": 17,
                    "abscissa_axis_units_lab": "s",
                    "x": motion.times,
                    "data": values * scale,
                }
            )
            spectrum = region.spectrum
            if spectrum is not None:
                sets.append(
                    {
                        **common,
                        "func_type": 0,  # pyuff writes no spectra; this is general
                        "id2": "amplitude spectrum, single-sided",
                        "ord_data_type": 4,
                        "abscissa_spacing": 1,
                        "abscissa_min": 0.0,
                        "abscissa_inc": float(spectrum.frequency[1]),
                        "abscissa_spec_data_type": 18,
                        "abscissa_axis_units_lab": "Hz",
                        "x": spectrum.frequency,
                        "data": spectrum.amplitude[AXES[axis]] * scale,
                    }
                )

    part = PartFile(os.fspath(target), motion.source, overwrite)
    try:
        if sets:
            with tempfile.TemporaryDirectory() as folder:  # pyuff takes an empty file for a broken one
                path = Path(folder) / "sets.uff"
                pyuff.UFF(str(path)).write_sets(sets, "overwrite")
                Path(part.name.removeprefix("file:")).write_bytes(path.read_bytes())
        part.commit()
    except OSError as error:
        part.discard()
        raise write_failed(os.fspath(target), error) from error
    except BaseException:
        part.discard()
        raise


def write_plot(motion: Motion, target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Displacement over time and amplitude spectrum of every region, as a picture (its format by the suffix).

    Raises:
        MagfilterError: matplotlib is not installed. OutputError: the file exists or cannot be written.
    """
    check_extra("matplotlib", "--plot")
    from matplotlib.figure import Figure

    unit, scale = motion.scale or PX
    unit = {"um": "µm"}.get(unit, unit)
    figure = Figure(figsize=(12, TALL * len(motion.regions) + 0.3), layout="constrained")
    grid: Any = figure.subplots(len(motion.regions), 2, squeeze=False)
    for number, (region, (left, right)) in enumerate(zip(motion.regions, grid, strict=True)):
        for axis, colour in zip(AXES, ("C0", "C1", "k"), strict=True):
            values = region.axis(axis)
            if not np.isfinite(values).any():
                continue
            thick = 1.0 if axis == "along" else 0.7
            label = f"along {region.angle:.0f}°" if axis == "along" else axis
            left.plot(motion.times, values * scale, colour, lw=thick, label=label, zorder=1 if axis == "along" else 2)
            if region.spectrum is not None:
                spectrum = region.spectrum
                hertz, tall = spectrum.frequency[1:], spectrum.amplitude[axis][1:] * scale
                right.semilogy(hertz, np.maximum(tall, 1e-12), colour, lw=thick, label=axis)
        along, sigma = region.along * scale, region.along_sigma * scale
        left.fill_between(motion.times, along - sigma, along + sigma, color="k", alpha=0.2, lw=0)
        if region.spectrum is not None and np.isfinite(region.spectrum.floor["along"]).any():
            floor = region.spectrum.floor["along"] * scale
            right.semilogy(region.spectrum.frequency[1:], floor[1:], "r--", lw=1, label="noise floor, along")
            right.set_ylim(bottom=max(float(floor[1:].min()) / 10, 1e-9))
        _name_peaks(right, sorted(region.peaks, key=lambda peak: -peak.amplitude), scale, unit)
        left.set_title(f"r{number}: roi {region.region}", loc="left")
        left.set(xlabel="time, s", ylabel=f"displacement, {unit}")
        right.set(xlabel="frequency, Hz", ylabel=f"amplitude, {unit}")
        for side in (left, right):
            side.grid(alpha=0.3)
            if side.get_legend_handles_labels()[0]:
                side.legend(loc="lower right", bbox_to_anchor=(1, 1), ncol=4, fontsize=8, frameon=False)
    suffix = Path(os.fspath(target)).suffix.lower().lstrip(".") or "png"
    if suffix not in figure.canvas.get_supported_filetypes():
        raise MagfilterError(f"{os.fspath(target)}: matplotlib writes no .{suffix}; end the name in .png, .svg or .pdf")

    def write(file: Any) -> None:
        figure.savefig(file, format=suffix, dpi=110)

    _save(os.fspath(target), motion.source, overwrite, write, binary=True)


def _name_peaks(axes: Any, peaks: Iterable[Any], scale: float, unit: str) -> None:
    for peak in list(peaks)[:5]:
        axes.plot(peak.frequency, peak.amplitude * scale, "rv", ms=5)
        axes.annotate(
            f"{peak.frequency:.5g} Hz, {peak.amplitude * scale:.3g} {unit}",
            (peak.frequency, peak.amplitude * scale),
            xytext=(6, 2),
            textcoords="offset points",
            fontsize=8,
        )
