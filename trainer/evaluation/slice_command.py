"""`python -m trainer slice`: what `magfilter-slice` shows of the filter, of the evaluation's methods."""

from __future__ import annotations

from pathlib import Path

import click

from magfilter.arguments import line as line_option
from magfilter.arguments import scale as scale_option
from magfilter.errors import MagfilterError
from magfilter.slices import Line, enlarged

__all__ = ["slice_command"]


@click.command("slice", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("clip", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--line", required=True, callback=line_option, metavar="X0,Y0,X1,Y1", help="In pixels, from the top left."
)
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="PNG to write.")
@click.option(
    "-m", "--method", "methods", multiple=True, required=True, help="May be repeated; LABEL=METHOD, as for evaluate."
)
@click.option("--alpha", type=float, required=True, help="The methods' factor; 1 is the identity.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="First frame, the reference.")
@click.option("--frames", type=click.IntRange(1), help="Number of frames; default: all.")
@click.option(
    "--scale",
    default="1",
    callback=scale_option,
    metavar="T[,L]",
    help="Show a pixel so often in time, along the line.",
)
def slice_command(
    clip: Path,
    line: Line,
    out: Path,
    methods: tuple[str, ...],
    alpha: float,
    first: int,
    frames: int | None,
    scale: tuple[int, int],
) -> None:
    """One line of CLIP's picture over time, and the same line magnified by each method.

    Time runs to the right, the line from its first point downwards. The filter itself, without torch,
    is shown by magfilter-slice.

    \b
      python -m trainer slice in.mp4 --line 320,40,320,200 -m warp-dis -m phase --alpha 10 -o x.png
    """
    import av

    from . import figures
    from .methods import method
    from .pairs import read_video
    from .runner import labelled
    from .slices import method_slices

    name = f"{clip} from frame {first} on" if first else str(clip)
    try:
        named = {label: method(spec) for label, spec in map(labelled, methods)}
        found = method_slices(lambda: read_video(clip, first, frames), line, named, alpha, name)
        picture = figures.slices({title: enlarged(part, *scale) for title, part in found.items()})
        figures.save(picture, out)
    except av.FFmpegError as error:
        raise click.ClickException(f"Cannot read {clip}: {error.strerror}") from None
    except (MagfilterError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{out}: {picture.shape[1]}x{picture.shape[0]}")
