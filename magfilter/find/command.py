"""`magfilter-find CLIP`: what vibrates in it, where, how often, and how to magnify that."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import click

from magfilter._version import __version__
from magfilter.arguments import engine_options, proxy_option, scale_options, stretch_options
from magfilter.command import (
    EXIT_INTERRUPTED,
    compile_for,
    run_command,
    stopped_early,
    stopping_signals,
    told_in_a_line,
)
from magfilter.errors import OptionError
from magfilter.find.harmonics import multiple
from magfilter.find.picture import PICTURED, draw_vibrations
from magfilter.find.vibrations import Found, Vibration, find_vibrations
from magfilter.measure.output import TABLE, check_suffix, write_table
from magfilter.measure.scale import PX, Scale, scale_of
from magfilter.media.descriptors import descriptor
from magfilter.media.png import write_png
from magfilter.media.source import is_pipe
from magfilter.media.target import check_target
from magfilter.pipeline import PATIENCE
from magfilter.printable import printable, quoted
from magfilter.progress import ProgressPrinter
from magfilter.report import Report
from magfilter.settings import changed
from magfilter.stages import patiently
from magfilter.stdout import require_stdout
from magfilter.suggest import SIZE, alpha_for
from magfilter.temporal import SLOWEST

__all__ = ["main"]

NAME = "magfilter-find"
WIDE = 0.1  # of the frequency: the band that is suggested reaches so far to either side,
BINS = 2.0  # or so many times what can be told apart,
HIGHEST = 0.99  # of half the rate at most: `magfilter` refuses a band that reaches it
NOTHING: Mapping[str, Any] = MappingProxyType({})

EPILOG = """
\b
Exit codes
  0    done, whether anything was found or not
  1    failed: unreadable input, unwritable output, model or device not there
  2    wrong usage
  130  stopped by Ctrl-C, SIGTERM or SIGHUP; what was found until then is printed

\b
Examples
  magfilter-find bridge.mp4
  magfilter-find fork.mp4 --fps 1000 -o fork.png
  magfilter-find pump.mp4 --detrend -ss 10 -t 20
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EPILOG)
@click.argument("source", metavar="IN")
@click.option(
    "-o",
    "--out",
    "target",
    metavar="PNG",
    help=f"Draw the first {PICTURED}: how the parts of the scene are displaced when they are displaced the most.",
)
@click.option("--table", metavar="FILE", help="CSV of the vibrations found, a line each.")
@click.option(
    "--fps",
    type=float,
    metavar="RATE",
    help="True frames a second, 1e-9 to 1e12, where the input says otherwise (high-speed footage).",
)
@scale_options("Scale at what vibrates; amplitudes are in")
@click.option("--detrend", is_flag=True, help="Leave out the camera's own motion.")
@stretch_options("Look at", true_rate=True)
@engine_options
@proxy_option("Look at a copy of at most this size; 0 looks at full size.")
@click.option("--threads", type=int, default=0, help="Cores to use; 0 is all.")
@click.option("-y", "overwrite", is_flag=True, help="Replace files that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Results and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Show where an internal error came from.")
@click.version_option(__version__, prog_name=NAME)
def command(source: str, target: str | None, **o: Any) -> None:
    """Find what vibrates in video IN: at which frequencies, where in the picture, and about how far.

    Rectangles are X,Y,W,H in px of the picture as a player shows it, as --roi takes them; amplitudes are half of peak
    to peak. magfilter-measure measures them exactly, magfilter --band magnifies them. "-" is stdin.
    """
    if is_pipe(source) and sys.stdin.isatty():
        raise OptionError("stdin is a terminal; pipe a video into it, or name a file")
    if target is not None:
        if descriptor(target) is not None:
            raise OptionError("the picture is written to a file; name it with -o shapes.png")
        check_suffix(target, "a picture, as PNG", ".png")
        check_target(target, source, o["overwrite"])
    if o["table"] is not None:
        if descriptor(o["table"]) is not None:
            raise OptionError("the table is written to a file; name it with --table found.csv")
        check_suffix(o["table"], "a table, as CSV", *TABLE)
        check_target(o["table"], source, o["overwrite"])
    scale = scale_of(o["mm_per_px"], o["um_per_px"])
    require_stdout()
    printer = ProgressPrinter(sys.stderr, quiet=o["quiet"])
    stop = threading.Event()
    begun = time.perf_counter()
    names = ("fps", "detrend", "start", "duration", "model", "backend", "device", "proxy", "threads")
    chosen = {name: o[name] for name in names}
    with stopped_early(printer), stopping_signals(stop, None, quiet=o["quiet"]), told_in_a_line(o["verbose"]):
        compile_for(o["backend"], printer.line)
        found = patiently(
            lambda: find_vibrations(source, progress=printer.update, stop=stop, **chosen), _some_time_after(stop)
        )
        printer.clear()
        drawn = found.vibrations or ([found.faint] if found.faint else [])
        if target is not None and drawn:
            write_png(target, draw_vibrations(found, drawn, scale), source, o["overwrite"])
        if o["table"] is not None:
            write_found(found, o["table"], source, o["overwrite"], scale, settings(chosen))
        seen = Report(found.frames, time.perf_counter() - begun, interrupted=found.interrupted)
        seen.warnings = found.warnings
        printer.finish(seen)
        click.echo("\n".join(map(printable, described(found, chosen, scale).split("\n"))))
        if target is not None and not drawn:
            printer.line(f"{printable(target)} was not written: there is nothing to draw")
    if found.interrupted:
        raise SystemExit(EXIT_INTERRUPTED)


def _some_time_after(stop: threading.Event) -> threading.Event:
    """Set when a stop was asked for and whoever should hear it has had time to."""
    late = threading.Event()

    def wait() -> None:
        stop.wait()
        time.sleep(PATIENCE)
        late.set()

    threading.Thread(target=wait, daemon=True).start()
    return late


def described(found: Found, chosen: Mapping[str, Any] = NOTHING, scale: Scale | None = None) -> str:
    """What was found, as a table for people, and the command that magnifies the first of it; see `suggested`."""
    unit, per_px = scale or PX
    lines = [f"{found.frames} frames at {found.rate:.6g} a second, resolution {found.resolution:.3g} Hz"]
    if not found.vibrations:
        if found.faint is None:
            return "\n".join([*lines, "nothing vibrates"])
        faint = found.faint
        lines.append(
            f"nothing stands clear of what moves at other frequencies; what comes nearest is {faint.frequency:.4g} Hz, "
            f"{faint.amplitude * per_px:.2g} {unit}, {faint.over_noise:.1f} times what is around it, at {faint.region}"
        )
        return "\n".join(lines)
    rows = [("Hz", f"amplitude {unit}", "over noise", "x,y,w,h")]
    for each in found.vibrations:
        rows.append(
            (f"{each.frequency:.6g}", f"{each.amplitude * per_px:.2g}", f"{each.over_noise:.0f}", str(each.region))
        )
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    for each in found.vibrations:
        if times := multiple(each, found.vibrations, found.resolution):
            lines.append(
                f"{each.frequency:.6g} Hz is {times[0]} times {times[1].frequency:.6g} Hz, and small: an overtone, or "
                f"made by measuring; magfilter-measure --roi {each.region} tells"
            )
    return "\n".join([*lines, "magnify the first: " + suggested(found, found.vibrations[0], chosen)])


def settings(chosen: Mapping[str, Any]) -> str:
    """The model, and what else makes the result another one and is not its default, as key=value."""
    names = ("fps", "detrend", "start", "duration", "proxy")
    return f"model={Path(chosen['model']).stem} {changed({name: chosen[name] for name in names}, defaults())}".rstrip()


def defaults() -> dict[str, Any]:
    """What `find_vibrations`' arguments are unless they are given."""
    return {name: known.default for name, known in signature(find_vibrations).parameters.items()}


def write_found(
    found: Found, target: str, source: str, overwrite: bool, scale: Scale | None = None, settings: str = ""
) -> None:
    """The vibrations as CSV, strongest first: frequency, amplitude (in px, and in the scale's unit), how far it stands
    above the noise, of which other it may be an overtone (see `magfilter.find.harmonics`), rectangle."""
    each = found.vibrations
    multiples = [multiple(one, each, found.resolution) for one in each]
    columns: dict[str, list[Any]] = {
        "frequency_hz": [one.frequency for one in each],
        **{f"amplitude_{u}": [one.amplitude * per_px for one in each] for u, per_px in (PX, *filter(None, [scale]))},
        "over_noise": [one.over_noise for one in each],
        **{name: [getattr(one.region, name) for one in each] for name in ("x", "y", "width", "height")},
        "multiple_of_hz": [times[1].frequency if times else "" for times in multiples],
    }
    head = [f"vibrations found by magfilter {__version__} in {source}", described(found).splitlines()[0]]
    head += [f"settings: {settings}"] if settings else []
    head += [f"scale: {scale}"] if scale else []
    write_table(target, source, head, columns, overwrite=overwrite)


def suggested(found: Found, vibration: Vibration, chosen: Mapping[str, Any] = NOTHING) -> str:
    """The command line that magnifies a vibration.

    Args:
        chosen: `find_vibrations`' arguments, of which those that decide what motion is measured are passed on.
    """
    low, high = band_around(vibration.frequency, found)
    alpha = alpha_for(vibration.amplitude, SIZE * min(found.picture.shape[:2]))
    words = [f"magfilter IN OUT --alpha {alpha:g} --band {low}:{high}"]
    words += ["--detrend"] if chosen.get("detrend") else []
    given = {name: chosen[name] for name, usual in defaults().items() if chosen.get(name, usual) != usual}
    words += [f"--model {quoted(str(given['model']))}"] if "model" in given else []
    words += [f"--proxy {given['proxy']:g}"] if "proxy" in given else []
    # Where the input says no rate, or says one that is too low for what was found at the frames' own times.
    rate = chosen.get("fps") or (None if found.told and float(high) < found.told / 2 else 2 * half_rate(found))
    return " ".join([*words, *([f"--fps {rate:.10g}"] if rate else [])])


def half_rate(found: Found) -> float:
    """Hz, above which nothing was looked for."""
    return found.top or found.rate / 2


def band_around(frequency: float, found: Found) -> tuple[str, str]:
    """LOW and HIGH of a band in Hz, in as few digits as have the frequency between them, HIGH below half the rate."""
    half = half_rate(found)
    # A maximum of the spectrum may be its last line.
    frequency = min(frequency, (1 + HIGHEST) / 2 * half)
    reach = max(WIDE * frequency, BINS * found.resolution)
    low = frequency - reach if frequency - reach > 2 * SLOWEST * 2 * half else 0.0  # as `design` takes it
    high = min(frequency + reach, max(HIGHEST * half, (frequency + half) / 2))
    return _rounded(low, -1.0, frequency), _rounded(high, frequency, half)


def _rounded(value: float, above: float, below: float) -> str:
    """A number between two others in three digits, or as many more as keep it there."""
    texts = (f"{value:.{digits}g}" for digits in range(3, 18))
    return next(text for text in texts if above < float(text) < below)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of the console script."""
    run_command(command, NAME, arguments)


if __name__ == "__main__":
    main()
