"""`magfilter-measure IN`: displacement over time, spectrum and peaks of regions of a video."""

from __future__ import annotations

import os
import sys
import threading
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
from magfilter.errors import CorruptInput, OptionError
from magfilter.measure.motion import measure_motion
from magfilter.measure.options import MeasureOptions
from magfilter.measure.output import (
    TABLE,
    check_extra,
    check_suffix,
    write_motion,
    write_peaks,
    write_plot,
    write_spectrum,
    write_uff,
)
from magfilter.measure.printed import peak_table
from magfilter.measure.result import Motion
from magfilter.media.descriptors import descriptor
from magfilter.media.source import is_pipe
from magfilter.media.target import check_target
from magfilter.progress import ProgressPrinter
from magfilter.report import Report
from magfilter.stdout import require_stdout

__all__ = ["main"]

NAME = "magfilter-measure"
TOLERATED = 0.1  # share of unreadable frames beyond which the exit code is 69

EPILOG = """
\b
Exit codes
  0    done
  1    failed: unreadable input, unwritable output, model or device not there, optional package missing
  2    wrong usage
  69   more than a tenth of the input was unreadable; what could be read was measured
  130  stopped by Ctrl-C, SIGTERM or SIGHUP; what was measured until then is written

\b
Examples
  magfilter-measure beam.mp4 --roi 400,120,80,60 -o motion.csv --plot spectrum.png
  magfilter-measure fork.mp4 --roi 330,80,40,60 --fps 1000 --mm-per-px 0.21 -o motion.csv --spectrum spectrum.csv
  magfilter-measure cell.avi --roi 120,80,70,70 --fps 25 --um-per-px 0.108 --detrend -o motion.csv
  magfilter-measure bridge.mp4 --roi 40,60,200,120 --roi 400,60,200,120 --detrend -o motion.csv --uff motion.uff
"""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.argument("source", metavar="IN")
@click.option(
    "--roi",
    multiple=True,
    metavar="X,Y,W,H",
    help="Measure what moves in this rectangle, px of the picture as a player shows it. Repeatable; "
    "without it, the whole picture.",
)
@click.option(
    "-o",
    "--output",
    "motion_file",
    metavar="FILE",
    help="CSV of displacements over time; - is stdout, and the peaks are printed on stderr.",
)
@click.option("--spectrum", "spectrum_file", metavar="FILE", help="CSV of amplitude spectra and noise floors.")
@click.option("--peaks", "peaks_file", metavar="FILE", help="CSV of the vibrations found, a line each.")
@click.option(
    "--plot", "plot_file", metavar="FILE", help='Picture of both (.png, .svg, .pdf); needs "magfilter[plot]".'
)
@click.option("--uff", "uff_file", metavar="FILE", help='Universal File Format, data sets 58; needs "magfilter[uff]".')
@click.option(
    "--fps",
    type=float,
    metavar="RATE",
    help="True frames a second, 1e-9 to 1e12, where the input says otherwise (high-speed footage).",
)
@scale_options("Scale at the thing measured; results are in")
@click.option("--detrend", is_flag=True, help="Take off the camera's motion, which is the still background's.")
@click.option(
    "--still",
    metavar="X,Y,W,H",
    help="Background that rests, for the uncertainty, or that moves as the camera does alone, for --detrend; "
    "found by itself otherwise.",
)
@click.option(
    "--reference",
    default="first",
    show_default=True,
    metavar="first|frame:N",
    help="The frame that motion is measured against.",
)
@stretch_options("Work on", true_rate=True)
@engine_options
@proxy_option("What moves is looked for on a copy of at most this size; it is measured at full size.")
@click.option("--input-format", help="Container of the input, for raw streams and pipes that cannot be probed.")
@click.option("--threads", type=int, default=0, help="Cores to use; 0 is all.")
@click.option("-y", "overwrite", is_flag=True, help="Replace files that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Results and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Show where an internal error came from.")
@click.version_option(__version__, prog_name=NAME)
def command(source: str, **o: Any) -> None:
    """Measure the motion in video IN: displacement over time, its spectrum and peaks, with their uncertainty.

    The peaks are printed; displacement is in px (and mm or um), x to the right and y down, against the reference
    frame. Amplitudes are zero to peak: half of peak to peak, and not RMS. "-" is stdin.
    """
    options = MeasureOptions(
        roi=o["roi"],
        input_format={"y4m": "yuv4mpegpipe", "mkv": "matroska"}.get(o["input_format"] or "", o["input_format"]),
        **{
            key: o[key]
            for key in (
                *("still", "fps", "mm_per_px", "um_per_px", "detrend", "reference", "start", "duration"),
                *("model", "backend", "device", "proxy", "threads"),
            )
        },
    )
    _check_files(source, o)
    # Beside a table on stdout, for people only.
    tables = (o["motion_file"], o["spectrum_file"], o["peaks_file"])
    to_stderr = any(name is not None and descriptor(name) == 1 for name in tables)
    require_stdout()
    printer = ProgressPrinter(sys.stderr, quiet=o["quiet"])
    stop = threading.Event()
    with stopped_early(printer), stopping_signals(stop, None, quiet=o["quiet"]), told_in_a_line(o["verbose"]):
        compile_for(options.backend, printer.line)
        motion = measure_motion(source, options, progress=printer.update, stop=stop)
        printer.clear()
        _write(motion, o)
        printer.finish(Report(motion.frames, motion.seconds, 1, motion.interrupted, motion.lost, motion.warnings))
        click.echo(peak_table(motion), err=to_stderr)
    if motion.interrupted:
        raise SystemExit(EXIT_INTERRUPTED)
    share = motion.lost / max(1, motion.lost + motion.frames)
    if share > TOLERATED:
        raise CorruptInput(
            f"{motion.source}: {motion.lost} of about {motion.lost + motion.frames} frames could not be read "
            f"({share:.0%}, tolerated {TOLERATED:.0%}); what could be was measured; get the file again"
        )


def _check_files(source: str, o: dict[str, Any]) -> None:
    """Whatever can be wrong with the files and packages asked for, before an hour is spent."""
    if is_pipe(source) and sys.stdin.isatty():
        raise OptionError("stdin is a terminal; pipe a video into it, or name a file")
    tables = [o[key] for key in ("motion_file", "spectrum_file", "peaks_file") if o[key] is not None]
    names = [*tables, *(o[key] for key in ("plot_file", "uff_file") if o[key] is not None)]
    same = {os.path.abspath(name) for name in names}
    if len(same) < len(names):
        raise OptionError("two outputs have the same name; give each its own file")
    for option, name in (("--plot", o["plot_file"]), ("--uff", o["uff_file"])):
        if name is not None and descriptor(name) is not None:
            raise OptionError(f"{option} writes a file; name one instead of {name}")
    for name in tables:
        check_suffix(name, "a table, as CSV", *TABLE)
    if o["uff_file"] is not None:
        check_suffix(o["uff_file"], "Universal File Format", ".uff", ".unv", ".uf58")
    for name in names:
        check_target(name, source, o["overwrite"])
    if o["plot_file"] is not None:
        check_extra("matplotlib", "--plot")
    if o["uff_file"] is not None:
        check_extra("pyuff", "--uff")


def _write(motion: Motion, o: dict[str, Any]) -> None:
    for key, write in (
        ("motion_file", write_motion),
        ("spectrum_file", write_spectrum),
        ("peaks_file", write_peaks),
        ("plot_file", write_plot),
        ("uff_file", write_uff),
    ):
        if o[key] is not None:
            write(motion, o[key], overwrite=o["overwrite"])


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of the console script: runs the command and turns errors into exit codes."""
    run_command(command, NAME, arguments)


if __name__ == "__main__":
    main()
