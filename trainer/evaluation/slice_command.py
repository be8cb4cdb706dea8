"""`python -m trainer slice`."""

from __future__ import annotations

from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .slices import Line

__all__ = ["slice_command"]

CLIP = click.Path(exists=True, dir_okay=False, path_type=Path)


def _line(_: click.Context, __: click.Parameter, text: str) -> Line:
    try:
        ends = [float(part) for part in text.split(",")]
    except ValueError:
        ends = []
    if len(ends) != 4 or not all(map(isfinite, ends)):
        raise click.BadParameter(f"expected x0,y0,x1,y1 in pixels, got {text!r}")
    x0, y0, x1, y1 = ends
    return x0, y0, x1, y1


def _scale(_: click.Context, __: click.Parameter, text: str) -> tuple[int, int]:
    try:
        factors = [int(part) for part in text.split(",")]
    except ValueError:
        factors = []
    if len(factors) not in (1, 2) or min(factors) < 1:
        raise click.BadParameter(f"expected whole factors of 1 or more as T or T,L, got {text!r}")
    return factors[0], factors[-1]


@click.command("slice", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("clip", type=CLIP)
@click.option("--line", required=True, callback=_line, metavar="X0,Y0,X1,Y1", help="In pixels, from the top left.")
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="PNG to write.")
@click.option("--beside", multiple=True, type=CLIP, help="Another clip, shown below; may be repeated.")
@click.option("--method", metavar="NAME", help="Also CLIP magnified by it: model:warp, model:my.onnx, warp-dis, copy.")
@click.option("--alpha", type=float, help="The method's factor; 1 is the identity.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="First frame.")
@click.option("--frames", type=click.IntRange(1), help="Number of frames; default: all.")
@click.option(
    "--scale", default="1", callback=_scale, metavar="T[,L]", help="Show a pixel so often in time, along the line."
)
def slice_command(
    clip: Path,
    line: Line,
    out: Path,
    beside: tuple[Path, ...],
    method: str | None,
    alpha: float | None,
    first: int,
    frames: int | None,
    scale: tuple[int, int],
) -> None:
    """One line of CLIP's picture over time: how far what lies on it moves, at a glance.

    Time runs to the right, the line from its first point downwards. With --method and --alpha the
    clip is magnified in memory, against its first frame (--first), and shown below itself; several
    slices have their names above them, a single one is written bare.

    \b
      python -m trainer slice in.mp4 --line 320,40,320,200 --method model:warp --alpha 10 -o x.png
      python -m trainer slice in.mp4 --beside out.mp4 --line 320,40,320,200 --scale 2 -o slice.png
    """
    if (method is None) != (alpha is None):
        raise click.UsageError("--method and --alpha go together.")

    from . import figures
    from .canvas import repeated
    from .methods import method as find_method
    from .slices import line_slice, magnified

    clips = list(dict.fromkeys([clip, *beside]))
    names = [path.name for path in clips]
    titles = [path.name if names.count(path.name) == 1 else str(path) for path in clips]
    cut = partial(line_slice, line=line, first=first, frames=frames)
    try:
        found = {titles[0]: cut(clip)}
        if method is not None and alpha is not None:
            change = partial(magnified, magnify=find_method(method), alpha=alpha)
            found[f"{method} × {alpha:g}"] = cut(clip, change=change)
        found.update((title, cut(other)) for title, other in zip(titles[1:], clips[1:], strict=True))
        found = {title: repeated(picture, *scale) for title, picture in found.items()}
        picture = figures.slices(found) if len(found) > 1 else found[titles[0]]
        figures.save(picture, out)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{out}: {picture.shape[1]}x{picture.shape[0]}")
