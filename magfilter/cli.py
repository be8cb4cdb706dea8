"""`magfilter IN OUT`: options into a job, signals, progress, exit codes."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NoReturn

import click

from magfilter._version import __version__
from magfilter.adaptation import ADAPT_MINUTES, adapted_model
from magfilter.arguments import (
    CHOOSING,
    RAMPING,
    SHOWING,
    TARGETING,
    Chosen,
    choosing_options,
    engine_options,
    factor,
    pairs,
    proxy_option,
    ramping_options,
    showing_options,
    stretch_options,
    targeting_options,
)
from magfilter.command import (
    EXIT_INTERRUPTED,
    compile_ahead,
    compile_for,
    pipe_closed,
    run_command,
    stopping_signals,
    told_in_a_line,
)
from magfilter.errors import CorruptInput, OptionError, Stopped
from magfilter.info import describe_job
from magfilter.magnifier import CROSS_FADE
from magfilter.media import EncodeOptions
from magfilter.media.descriptors import descriptor, is_terminal
from magfilter.media.hwaccel import HWACCELS
from magfilter.media.source import is_pipe
from magfilter.options import MagnifyOptions
from magfilter.pipeline import Job
from magfilter.progress import ProgressPrinter
from magfilter.report import Report
from magfilter.stdout import require_stdout
from magfilter.suggest import suggest_alpha

__all__ = ["main"]

EPILOG = """
\b
Exit codes
  0    done
  1    failed: unreadable input, unwritable output, model or device not there
  2    wrong usage
  69   too much of the input was unreadable; what could be read was written
  130  stopped by Ctrl-C, SIGTERM or SIGHUP; the output is whole as far as it goes

\b
Examples
  magfilter in.mp4 out.mp4 --alpha 10
  magfilter in.mp4 out.mp4 --alpha auto
  magfilter in.mov out.mkv -a 20 -c:v ffv1
  magfilter in.mp4 out.mp4 -a 20 --mask cat.png --mask-grow 8
  magfilter in.mp4 out.mp4 -a 50 --band 8:12 --detrend
  magfilter in.mp4 out.mp4 --compare side --flow
  magfilter shot.%04d.dpx big.%04d.dpx --framerate 24
  ffmpeg -i in.mp4 -f nut -c:v rawvideo - | magfilter - - -f nut | ffplay -
"""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT", required=False)
@click.option(
    "-a",
    "--alpha",
    type=factor,
    default=10.0,
    show_default=True,
    metavar="ALPHA|auto|SIZEpx",
    help="Magnification factor: output motion = ALPHA × input motion. 1 changes nothing, 0 freezes. 12px: the factor "
    "that makes the largest motion 12 px large; auto: 3 % of the picture's shorter side. "
    "IN is then looked through first.",
)
@ramping_options
@targeting_options
@choosing_options
@showing_options
@click.option(
    "--reference",
    default="first",
    show_default=True,
    metavar="first|previous|every:SECONDS|mean:SECONDS|frame:N",
    help="What motion is measured against: a frame, or the average over the last SECONDS.",
)
@click.option(
    "--shot-cuts/--no-shot-cuts", default=True, show_default=True, help="Take a new reference at every shot cut."
)
@click.option(
    "--reanchor",
    metavar="PX|auto",
    help="Take a new reference once a hundredth of the picture has moved farther; auto: than can be followed.",
)
@click.option(
    "--cross-fade",
    type=float,
    default=CROSS_FADE,
    show_default=True,
    metavar="SECONDS",
    help="Let the displacement fade when every:SECONDS or --reanchor replaces the reference; 0 jumps.",
)
@engine_options
@click.option(
    "--align/--no-align",
    default=None,
    help="Where the camera moves, measure every frame twice, the second time with the ground brought to rest: what "
    "moves a little against it keeps its outline. With --detrend unless told otherwise; takes up to twice the time.",
)
@proxy_option("Measure motion on a copy of at most this size; 0 measures at full size.")
@click.option(
    "--adapt",
    is_flag=True,
    help="Fit the network to this clip first, for --adapt-minutes; kept only if better on held-out frames. "
    "Needs a checkout with the train extra.",
)
@click.option("--adapt-minutes", type=float, default=ADAPT_MINUTES, show_default=True, help="How long --adapt trains.")
@stretch_options("Work on")
@click.option(
    "--framerate",
    metavar="RATE",
    help="Frames a second of an image sequence (24, 24000/1001), which does not say; 25 where this is left out.",
)
@click.option(
    "--progressive",
    is_flag=True,
    help="Take IN for progressive though its flags say interlaced, as of film in broadcast files (PsF).",
)
@click.option("-c:v", "--codec", "codec", help="Video encoder, by FFmpeg's name (libx264, libx265, ffv1, prores_ks …).")
@click.option("--crf", type=float, help="Constant quality of the encoder; libx264's default here is 18.")
@click.option("--preset", help="Speed preset of the encoder.")
@click.option(
    "-x",
    "extra",
    multiple=True,
    metavar="KEY=VALUE",
    callback=pairs,
    help="Further option of the encoder; repeatable.",
)
@click.option("--pix-fmt", help="Pixel format to encode; the input's by default.")
@click.option(
    "-f",
    "--format",
    "format_",
    help="Container of the output, else told by the suffix; for pipes nut (the default), matroska or y4m.",
)
@click.option("--input-format", help="Container of the input, for raw streams and pipes that cannot be probed.")
@click.option(
    "--hwaccel",
    type=click.Choice(HWACCELS),
    default="none",
    show_default=True,
    help="Decode IN on the GPU; auto: where that works.",
)
@click.option("-an", "no_audio", is_flag=True, help="Leave out the sound.")
@click.option("-y", "overwrite", is_flag=True, help="Replace OUT if it exists.")
@click.option("-n", "keep", is_flag=True, help="Never replace OUT (the default; given for scripts).")
@click.option("--threads", type=int, default=0, help="Cores to use; 0 is all.")
@click.option(
    "--max-error-rate",
    type=float,
    default=0.1,
    show_default=True,
    help="Share of unreadable frames beyond which the exit code is 69.",
)
@click.option("--info", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Say which model, engine and encoder were chosen, and where time went."
)
@click.version_option(__version__, prog_name="magfilter")
def command(source: str, target: str | None, **o: Any) -> None:
    """Magnify the motion in video IN and write it to OUT.

    Sound, subtitles, chapters, timestamps and colours are carried over. "-" is stdin or stdout.
    """
    if o["overwrite"] and o["keep"]:
        raise OptionError("-y and -n contradict each other; give one")
    options = MagnifyOptions(
        **({} if isinstance(o["alpha"], Chosen) else {"alpha": o["alpha"]}),
        model=o["model"],
        backend=o["backend"],
        device=o["device"],
        reference=o["reference"],
        shot_cuts=o["shot_cuts"],
        reanchor=o["reanchor"],
        cross_fade=o["cross_fade"],
        proxy=o["proxy"],
        align=o["align"],
        **{key: o[key] for key in (*TARGETING, *CHOOSING, *RAMPING, *SHOWING)},
        start=o["start"],
        duration=o["duration"],
        encode=EncodeOptions(
            codec=o["codec"],
            crf=o["crf"],
            preset=o["preset"],
            options=o["extra"],
            pix_fmt=o["pix_fmt"],
            format=_format(o["format_"]),
        ),
        framerate=o["framerate"],
        progressive=o["progressive"],
        input_format=_format(o["input_format"]),
        hwaccel=o["hwaccel"],
        overwrite=o["overwrite"],
        threads=o["threads"],
        max_error_rate=o["max_error_rate"],
        exclude=frozenset({"audio"}) if o["no_audio"] else frozenset(),
    )
    if target is None and not o["info"]:
        raise OptionError("no output was given; write magfilter IN OUT, or add --info to look at IN only")
    if is_pipe(source) and sys.stdin.isatty():
        raise OptionError("stdin is a terminal; pipe a video into it, or name a file")
    if target is not None and is_terminal(target) and not o["info"]:
        raise OptionError("stdout is a terminal; pipe it into a player or encoder, or name a file")
    if o["info"] or (target is not None and descriptor(target) == 1):
        require_stdout()
    with ExitStack() as held:
        if o["adapt"] and not o["info"]:
            adapted = adapted_model(source, options, o["adapt_minutes"], quiet=o["quiet"])
            options = replace(options, model=held.enter_context(adapted))
        _run_job(source, target, options, o)


def _run_job(source: str, target: str | None, options: MagnifyOptions, o: dict[str, Any]) -> None:
    """The job itself, under signals; failures become exceptions with an exit code."""
    printer = ProgressPrinter(sys.stderr, quiet=o["quiet"], verbose=o["verbose"])
    stop = threading.Event()
    try:
        with stopping_signals(stop, target, quiet=o["quiet"]), told_in_a_line(o["verbose"]):
            report = _work(source, target, options, printer, stop, o)
    except Stopped:
        report = Report(interrupted=True)
        printer.finish(report)
    except BrokenPipeError:
        # Ctrl-C reaches a whole pipeline: the reader may be gone before we are.
        raise SystemExit(EXIT_INTERRUPTED if stop.is_set() else pipe_closed()) from None
    finally:
        printer.clear()
    if report.interrupted:
        raise SystemExit(EXIT_INTERRUPTED)


def _work(
    source: str,
    target: str | None,
    options: MagnifyOptions,
    printer: ProgressPrinter,
    stop: threading.Event,
    o: dict[str, Any],
) -> Report:
    """Open the job, and describe or run it."""
    if isinstance(o["alpha"], Chosen):
        compile_for(options.backend, printer.line)
        found = suggest_alpha(source, options, size=o["alpha"].size, progress=printer.update, stop=stop)
        printer.line(str(found))
        options = replace(options, alpha=found.alpha)
    with Job(source, target, options, stop=stop, dry=o["info"]) as job:
        if o["info"]:
            click.echo(describe_job(job))
            return job.report
        if job.magnifier.moves_here:
            compile_ahead(printer.line)
        if o["verbose"]:
            printer.line(describe_job(job))
        printer.warn(job.warnings)  # now rather than after an hour
        try:
            report = job.run(printer.update)
        except CorruptInput:
            printer.finish(job.report)
            raise
        printer.finish(report)
        return report


def _format(name: str | None) -> str | None:
    """y4m and mkv are what people say."""
    return {"y4m": "yuv4mpegpipe", "mkv": "matroska"}.get(name or "", name)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of the console script: runs the command and turns errors into exit codes."""
    run_command(command, "magfilter", arguments)


if __name__ == "__main__":
    main()
