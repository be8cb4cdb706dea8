"""The pictures of RESULTS.md: `python -m trainer gallery -o docs/results`. What is there is not made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from magfilter.errors import MagfilterError

from .command import METHODS

__all__ = ["CLIPS", "STILLS", "gallery"]

ALPHA = 10.0
WIDTH = 200  # px of a whole picture in a row of stills
COLOURS = 200  # of a photograph or slice, which is kept in the repository
NEAR = 96  # px of picture around a slice's line
Picture = np.ndarray
Line = tuple[float, float, float, float]


@dataclass(frozen=True)
class Still:
    """A real pair (see `pairs.real_pairs`) and what to look at closely, boxes (x, y, w, h) px of its 512."""

    pair: str
    boxes: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class Clip:
    """A clip (a video, or a folder of frames), the line (x0, y0, x1, y1) px, the frames and the factor."""

    path: str
    line: Line
    first: int
    frames: int
    alpha: float


STILLS = {
    "cows": Still("pairs/cows#9+1", ((150, 190, 90, 60), (330, 170, 90, 60))),
    "cats": Still("clips/cats#0+15", ((190, 130, 90, 60), (330, 110, 90, 60))),
}
CLIPS = {
    "baby": Clip("baby.mp4", (480, 150, 480, 420), 0, 60, 10.0),
    "guitar": Clip("guitar.mp4", (215, 20, 215, 170), 0, 60, 25.0),
    "cats": Clip("cats", (690, 150, 690, 420), 0, 20, 10.0),
    "fork": Clip("tuning_hz128_fps1000_50-1_640x420.mp4", (270, 160, 390, 160), 0, 48, 10.0),
}


def _still(still: Still, methods: Mapping[str, Callable[..., Picture]]) -> tuple[Picture, Picture]:
    """Stills with close-ups, and the flow of the same pictures by DIS."""
    from . import figures
    from .estimators import dis
    from .pairs import real_pairs

    found = {name: (a, b) for name, a, b in real_pairs()}
    reference, frame = found[still.pair]
    shown = {"reference": reference, "frame": frame}
    shown |= {name: magnify(reference, frame, ALPHA) for name, magnify in methods.items() if name != "copy"}
    seen = {name: dis(reference, picture) for name, picture in shown.items() if name not in ("reference", "frame")}
    due = {f"due: {ALPHA:g} × input": ALPHA * dis(reference, frame)}
    return (
        figures.stills(shown, list(still.boxes), zoom=2, width=WIDTH),
        figures.flows({**due, **seen}, width=WIDTH),
    )


def _around(line: Line, height: int, width: int) -> tuple[tuple[int, int, int, int], Line]:
    """The part of the picture (left, top, right, bottom) near a line, and the line in it: some methods are slow."""
    x0, y0, x1, y1 = line
    left, top = max(0, int(min(x0, x1)) - NEAR), max(0, int(min(y0, y1)) - NEAR)
    right, bottom = min(width, int(max(x0, x1)) + NEAR), min(height, int(max(y0, y1)) + NEAR)
    return (left, top, right, bottom), (x0 - left, y0 - top, x1 - left, y1 - top)


def _slices(clip: Clip, root: Path, methods: Mapping[str, Callable[..., Picture]]) -> Picture:
    """The line over time: of the input, and of what each method makes of the clip against its first frame."""
    from . import figures
    from .pairs import read_image, read_video
    from .slices import method_slices

    path = root / "clips" / clip.path
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".png", ".jpg"))
        frames = [read_image(p) for p in files[clip.first : clip.first + clip.frames]]
    else:
        frames = list(read_video(path, clip.first, clip.frames))
    (left, top, right, bottom), line = _around(clip.line, *frames[0].shape[:2])
    frames = [np.ascontiguousarray(frame[top:bottom, left:right]) for frame in frames]
    longer = max(2, round(600 / len(frames)))  # a frame is repeated, so that a short clip is seen at all
    shown = {name: magnify for name, magnify in methods.items() if name != "copy"}
    columns = method_slices(lambda: frames, line, shown, clip.alpha, clip.path)
    return figures.slices({name: np.repeat(part, longer, 1) for name, part in columns.items()})


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-m", "--methods", multiple=True, help=f"May be repeated; LABEL=METHOD. Default: {', '.join(METHODS)}.")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder.")
@click.option("--only", multiple=True, help=f"Of {', '.join((*STILLS, *CLIPS))}; may be repeated.")
def gallery(methods: tuple[str, ...], out: Path, only: tuple[str, ...]) -> None:
    """Stills with close-ups, flow plots and x–t slices of the evaluation's clips, for every method."""
    from . import figures
    from .methods import method
    from .pairs import EVAL_ROOT
    from .runner import labelled

    unknown = set(only) - {*STILLS, *CLIPS}
    if unknown:
        raise click.ClickException(f"Unknown picture {sorted(unknown)[0]!r}; known: {', '.join((*STILLS, *CLIPS))}")
    try:
        named = {label: method(spec) for label, spec in map(labelled, methods or METHODS)}
        out.mkdir(parents=True, exist_ok=True)
        for name, still in STILLS.items():
            files = out / f"still-{name}.png", out / f"flow-{name}.png"
            if (not only or name in only) and not all(file.exists() for file in files):
                pictures = _still(still, named)
                figures.save(pictures[0], files[0], colours=COLOURS)
                figures.save(pictures[1], files[1])  # fewer colours would make patches of the wheel
                click.echo("\n".join(map(str, files)))
        for name, clip in CLIPS.items():
            file = out / f"slice-{name}.png"
            if (not only or name in only) and not file.exists():
                figures.save(_slices(clip, EVAL_ROOT, named), file, 1200, COLOURS)
                click.echo(file)
    except (MagfilterError, ValueError, OSError, KeyError) as error:
        raise click.ClickException(str(error)) from None
