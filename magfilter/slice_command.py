"""`magfilter-slice CLIP --line X0,Y0,X1,Y1 -o slice.png`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any, NoReturn

import click
import numpy as np

from magfilter._version import __version__
from magfilter.arguments import CHOOSING, Chosen, choosing_options, factor, line, scale, stretch_options
from magfilter.command import compile_ahead, run_command, told_in_a_line
from magfilter.errors import OptionError
from magfilter.magnifier import Magnifier
from magfilter.media import Frame, VideoReader
from magfilter.media.descriptors import descriptor
from magfilter.media.orientation import Orientation
from magfilter.media.png import write_png
from magfilter.media.source import is_pipe
from magfilter.media.target import check_target
from magfilter.models import DEFAULT_MODEL
from magfilter.options import MagnifyOptions
from magfilter.printable import printable
from magfilter.progress import ProgressPrinter
from magfilter.report import Progress
from magfilter.slices import Picture, Sampler, enlarged, sheet
from magfilter.stages import patiently
from magfilter.suggest import suggest_alpha
from magfilter.threads import thread_budget

__all__ = ["main"]

EPILOG = """
\b
Exit codes
  0    done
  1    failed: unreadable input, unwritable picture, model not there
  2    wrong usage
  130  stopped by Ctrl-C; nothing is written

\b
Examples
  magfilter-slice in.mp4 --line 320,40,320,200 -o slice.png
  magfilter-slice in.mp4 --line 320,40,320,200 --alpha 10 --scale 2 -o slice.png
  magfilter-slice in.mp4 --beside out.mp4 --line 320,40,320,200 -ss 2 -t 5 -o slice.png
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EPILOG)
@click.argument("clip")
@click.option(
    "--line",
    required=True,
    callback=line,
    metavar="X0,Y0,X1,Y1",
    help="From one point to another, px of the picture as a player shows it, from the top left.",
)
@click.option("-o", "--out", "target", required=True, metavar="PNG", help="The picture to write.")
@click.option("--beside", multiple=True, metavar="CLIP", help="Another clip, shown below; may be repeated.")
@click.option(
    "-a",
    "--alpha",
    type=factor,
    metavar="ALPHA",
    help="Also CLIP with its motion magnified by this factor, against the first frame; auto or a size such as 12px "
    "looks through the clip and chooses, as magfilter does.",
)
@choosing_options
@click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, help="For --alpha: a shipped model or an .onnx file."
)
@stretch_options("Show")
@click.option("--frames", type=click.IntRange(1), help="Show this many frames; all by default.")
@click.option(
    "--scale",
    default="1",
    callback=scale,
    metavar="T[,L]",
    help="Enlarge the slice: make a frame T px wide, and a pixel of the line L px high (as T if left out).",
)
@click.option("--threads", type=int, default=0, help="Cores to use; 0 is all.")
@click.option("-y", "overwrite", is_flag=True, help="Replace the picture if it exists.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Show where an internal error came from.")
@click.version_option(__version__, prog_name="magfilter-slice")
def command(clip: str, target: str, beside: tuple[str, ...], **o: Any) -> None:
    """One line of CLIP's picture over time: how far what lies on it moves, at a glance.

    Time runs to the right, the line from its first point downwards. With --alpha the clip is magnified
    in memory and shown below itself; several slices have their names above them, a single one is
    written bare. "-" is stdin.
    """
    clips = list(dict.fromkeys([clip, *beside]))
    if descriptor(target) is not None:
        raise OptionError("the picture is written to a file; name it with -o slice.png")
    if sum(map(is_pipe, clips)) and sys.stdin.isatty():
        raise OptionError("stdin is a terminal; pipe a video into it, or name a file")
    if o["threads"] < 0:
        raise OptionError(f"threads must be 0 (all cores) or more, got {o['threads']}")
    for source in clips:
        check_target(target, source, o["overwrite"])
    printer = ProgressPrinter(sys.stderr, quiet=o["quiet"])
    try:
        with told_in_a_line(o["verbose"]):
            # In a thread of its own, so that Ctrl-C is heard while libav waits for a pipe.
            stop = threading.Event()
            picture = patiently(lambda: _picture(clips, o, printer, stop), stop)
            write_png(target, picture, clip, o["overwrite"])
    finally:
        printer.clear()
    printer.line(f"{printable(target)}: {picture.shape[1]}x{picture.shape[0]}")


def _picture(clips: list[str], o: dict[str, Any], printer: ProgressPrinter, stop: threading.Event) -> Picture:
    """The slice, or a sheet of them."""
    chosen = {name: o[name] for name in CHOOSING if o[name] is not None and o[name] is not False and o[name] != ()}
    if isinstance(o["alpha"], Chosen):
        compile_ahead(printer.line)
        wanted = MagnifyOptions(
            model=o["model"], start=o["start"], duration=o["duration"], threads=o["threads"], **chosen
        )
        suggested = suggest_alpha(clips[0], wanted, size=o["alpha"].size, progress=printer.update, stop=stop)
        printer.line(str(suggested))
        o = {**o, "alpha": suggested.alpha}
    magnifier = _magnifier(o, chosen)
    if magnifier is not None and magnifier.moves_here:
        compile_ahead(printer.line)
    found: dict[str, Picture] = {}
    with ExitStack() as opened:  # all of them, before time is spent on the first
        cuts = [opened.enter_context(Cut(source, o)) for source in clips]
        for number, cut in enumerate(cuts):
            plain, magnified = cut.run(magnifier if number == 0 else None, printer)
            found[cut.source] = enlarged(plain, *o["scale"])
            if magnified is not None:
                found[f"× {o['alpha']:g}"] = enlarged(magnified, *o["scale"])
    return sheet(found) if len(found) > 1 else found[clips[0]]


def _magnifier(o: dict[str, Any], chosen: dict[str, Any]) -> Magnifier | None:
    if o["alpha"] is None:
        if chosen:
            raise OptionError(
                f"{next(iter(chosen))} says what is magnified, and nothing is; add --alpha, or leave it out"
            )
        return None
    _, network, _, at_once = thread_budget(o["threads"])
    return Magnifier(o["alpha"], model=o["model"], threads=network, at_once=at_once, **chosen)


class Cut:
    """A line to be cut out of a clip, which is open.

    Args:
        source: path, or "-" for stdin.
        o: the command's options, of which line, start, duration, frames and threads count here.

    Raises:
        OptionError, InputError: the clip cannot be read, or the line leaves its picture.
    """

    def __init__(self, source: str, o: dict[str, Any]) -> None:
        self.source, self._frames = source, o["frames"]
        self.reader = VideoReader(source, start=o["start"], duration=o["duration"], threads=o["threads"])
        try:
            info = self.reader.info
            self._sample = Sampler(o["line"], (info.width, info.height), Orientation.of(info), source)
        except BaseException:
            self.reader.close()
            raise

    def run(self, magnifier: Magnifier | None, printer: ProgressPrinter) -> tuple[Picture, Picture | None]:
        """The line over time, (length, frames, 3) RGB: as it is, and magnified if there is a magnifier.

        Raises:
            OptionError, InputError: as `VideoReader` and `Magnifier`.
        """
        reader, began = self.reader, time.perf_counter()
        plain: list[Picture] = []
        magnified: list[Picture] = []
        if magnifier is not None:
            magnifier.part.fit(reader.info.rate, reader.name)
        expected = min((n for n in (self._frames, reader.expected_frames) if n), default=None)

        def frames() -> Iterator[Frame]:
            for item in islice((item for item in reader if isinstance(item, Frame)), self._frames):
                plain.append(self._sample(item))
                yield item

        for number, item in enumerate(magnifier.stream(frames()) if magnifier is not None else frames(), 1):
            if magnifier is not None:
                magnified.append(self._sample(item))
            printer.update(Progress(number, expected, time.perf_counter() - began, item.time))
        printer.warn(reader.warnings)
        return np.stack(plain, 1), np.stack(magnified, 1) if magnified else None

    def __enter__(self) -> Cut:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of the console script."""
    run_command(command, "magfilter-slice", arguments)


if __name__ == "__main__":
    main()
