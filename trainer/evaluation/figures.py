"""Figures for reports: stills with enlarged details, x–t slices, optical flow in colours, curves.

Each but the curves is a function from arrays to one picture, (H, W, 3) uint8 RGB, and ``save`` writes it.
Nothing depends on the clock or the machine: the same arrays give the same bytes (with the same Pillow
and matplotlib), so that a figure in a repository changes only when what it shows does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from .canvas import (
    PAPER,
    checked,
    font_size,
    framed,
    joined,
    margin,
    outline,
    reduced,
    repeated,
    text,
    titled,
    wrapped,
)

__all__ = ["curves", "flow_colour", "flow_legend", "flows", "save", "slices", "stills"]

Box = tuple[int, int, int, int]
"""``(x, y, width, height)`` in whole pixels of the picture."""

# Okabe and Ito's palette: told apart by every kind of colour vision. Its yellow comes last: pale on white.
COLOURS = ((213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (240, 228, 66))
RULE = (170, 170, 170)
# Baker et al., "A Database and Evaluation Methodology for Optical Flow" (IJCV 2011): from each of these
# colours to the next in so many steps, closer together where the eye tells hues apart less well.
WHEEL = (
    ((255, 0, 0), 15), ((255, 255, 0), 6), ((0, 255, 0), 4), ((0, 255, 255), 11), ((0, 0, 255), 13), ((255, 0, 255), 6),
)  # fmt: skip
Column = TypeVar("Column")


def _some(columns: Mapping[str, Column]) -> Mapping[str, Column]:
    if not columns:
        raise ValueError("A figure needs something to show")
    return columns


# --- optical flow ---------------------------------------------------------------------------------


@cache
def _wheel() -> np.ndarray:
    """The 55 colours (55, 3) of the wheel, from red on, 0–255."""
    ends = [np.array(colour, float) for colour, _ in WHEEL]
    steps = [
        start + (end - start) * np.floor(255 * np.arange(count) / count)[:, None] / 255
        for start, end, (_, count) in zip(ends, [*ends[1:], ends[0]], WHEEL, strict=True)
    ]
    return np.concatenate(steps)


def _speed(flow: np.ndarray) -> np.ndarray:
    if flow.ndim != 3 or flow.shape[2] != 2 or not flow.size:
        raise ValueError(f"A flow is (H, W, 2) px, not {flow.shape}")
    return np.hypot(flow[..., 0], flow[..., 1], dtype=np.float64)


def _largest(speeds: Sequence[np.ndarray]) -> float:
    """The speed of full saturation: the 99th percentile, so that a few stray vectors do not bleach the rest."""
    known = np.concatenate([speed[np.isfinite(speed)] for speed in speeds])
    if not known.size:
        return 1.0
    return float(np.percentile(known, 99)) or float(known.max()) or 1.0


def flow_colour(flow: np.ndarray, largest: float | None = None) -> np.ndarray:
    """A flow (H, W, 2) px in the colours of Baker et al.: (H, W, 3) uint8 RGB.

    Direction is hue (to the right red, to the left cyan), speed is saturation: what stands still is
    white, ``largest`` px (``None``: the 99th percentile) fully coloured, what is faster darkened as a
    sign that it lies off the scale. What is not a number is black.

    Raises:
        ValueError: not a flow, or ``largest`` not above 0.
    """
    speed = _speed(flow)
    largest = _largest([speed]) if largest is None else largest
    if not largest > 0:
        raise ValueError(f"The speed of full colour must be above 0 px, not {largest}")
    known = np.isfinite(speed)
    u, v = (np.where(known, flow[..., axis], 0).astype(np.float64) for axis in (0, 1))
    radius = np.where(known, speed, 0) / largest
    place = (np.arctan2(-v, -u) / np.pi + 1) / 2 * (len(_wheel()) - 1)
    place[(v == 0) & (u > 0)] = 0  # both ends of the wheel meet here; which one must not hang on the sign of a 0
    low = np.floor(place).astype(int)
    share = (place - low)[..., None]
    hue = ((1 - share) * _wheel()[low] + share * _wheel()[(low + 1) % len(_wheel())]) / 255
    radius = radius[..., None]
    colour = np.where(radius <= 1, 1 - radius * (1 - hue), 0.75 * hue)
    return np.where(known[..., None], np.floor(255 * colour), 0).astype(np.uint8)


def flow_legend(size: int) -> np.ndarray:
    """The wheel: what each vector from the centre looks like, ``largest`` px at the rim; (size, size, 3) uint8."""
    fine = 4 * size  # drawn larger, reduced: a smooth rim
    y, x = (np.mgrid[:fine, :fine] + 0.5) * 2 / fine - 1
    disc = flow_colour(np.stack([x, y], -1), 1.0)
    disc[np.hypot(x, y) > 1] = PAPER
    return reduced(disc, size)


def flows(columns: Mapping[str, np.ndarray], *, largest: float | None = None, width: int | None = None) -> np.ndarray:
    """Flows {title: (H, W, 2) px} in colours side by side, on one common scale, with the wheel as legend.

    ``largest`` px is fully coloured (``None``: the 99th percentile of all); the legend says it.
    ``width``: plots wider than this are reduced to it.
    """
    speeds = [_speed(flow) for flow in _some(columns).values()]
    largest = _largest(speeds) if largest is None else largest
    plots = [reduced(flow_colour(flow, largest), width) for flow in columns.values()]
    size = font_size(max(plot.shape[1] for plot in plots))
    # A frame, since what stands still is as white as the paper.
    drawn = [titled(title, framed(plot, RULE, 1), size) for title, plot in zip(columns, plots, strict=True)]
    wheel = flow_legend(int(np.clip(min(plot.shape[0] for plot in plots) // 3, 64, 160)))
    key = [wheel, *(text(line, size) for line in ("hue: direction", f"rim: {largest:.3g} px"))]
    return margin(joined([*drawn, titled("", joined(key, 0, gap=2, centred=True), size)], 1))


# --- pictures -------------------------------------------------------------------------------------


def stills(
    columns: Mapping[str, np.ndarray], boxes: Sequence[Box], zoom: int = 3, *, width: int | None = None
) -> np.ndarray:
    """Pictures {title: (H, W, 3) uint8} side by side, with ``boxes`` outlined and, below, enlarged.

    Each detail is every pixel repeated ``zoom`` times: what one sees is what is there. ``width``: the
    whole pictures, not the details, are reduced to it when they are wider.

    Raises:
        ValueError: pictures of different sizes, or a box that leaves them.
    """
    shapes = {checked(picture).shape[:2] for picture in _some(columns).values()}
    if len(shapes) > 1:
        raise ValueError(f"Pictures of one size, not {', '.join(f'{w}x{h}' for h, w in sorted(shapes))}")
    high, wide = shapes.pop()
    for x, y, w, h in boxes:
        if min(x, y) < 0 or min(w, h) < 1 or x + w > wide or y + h > high:
            raise ValueError(f"Box {x},{y},{w},{h} leaves the picture of {wide}x{high}")
    drawn = []
    for title, picture in columns.items():
        whole = reduced(picture, width).copy()
        scale = whole.shape[1] / wide
        details = []
        for index, (x, y, w, h) in enumerate(boxes):
            colour = COLOURS[-1 - index % len(COLOURS)]  # from the light end: pictures are darker than paper
            left, top, right, bottom = (round(scale * end) for end in (x, y, x + w, y + h))
            outline(whole, (left, top, right, bottom), colour, max(2, whole.shape[1] // 320))
            details.append(framed(repeated(picture[y : y + h, x : x + w], zoom, zoom), colour, 3))
        column = joined([whole, *wrapped(details, whole.shape[1])], 0)
        drawn.append(titled(title, column, font_size(whole.shape[1])))
    return margin(joined(drawn, 1))


def slices(columns: Mapping[str, np.ndarray], *, side_by_side: bool = False) -> np.ndarray:
    """x–t slices {title: (length, time, 3) uint8} under each other, pixel for pixel, time to the right.

    One above the other, the same moment stands in the same column. ``side_by_side``: for slices that
    are longer along the line than in time.
    """
    size = font_size(max(checked(picture).shape[1] for picture in _some(columns).values()))
    parts = [titled(title, picture, size) for title, picture in columns.items()]
    return margin(joined(parts, int(side_by_side)))


def save(picture: np.ndarray, path: Path | str, most: int | None = None, colours: int | None = None) -> None:
    """Write (H, W, 3) uint8 RGB as a PNG.

    Args:
        most: reduced to this width in px, by areas, if it is wider.
        colours: 2 to 256: only so many, the nearest to those there; a third of the size, for figures that are kept.

    Raises:
        ValueError: not such a picture.
        OSError: cannot be written.
    """
    image = Image.fromarray(reduced(checked(picture), most))
    if colours:
        image = image.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(path, format="PNG", optimize=True)


# --- curves ---------------------------------------------------------------------------------------


def curves(
    path: Path | str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    title: str,
    log_x: bool = True,
    log_y: bool = False,
) -> None:
    """Draw ``series`` {name: (x, y)} as lines and write the plot to ``path``: PNG, 720×450.

    Lines differ in colour, marker and dash, so that they are told apart without colours too. Points
    whose y is not a number leave a gap.

    Raises:
        ValueError: no series, x and y of different lengths, or nothing above 0 where an axis is logarithmic.
        OSError: cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    points = {name: (np.asarray(x, float), np.asarray(y, float)) for name, (x, y) in _some(series).items()}
    for name, (x, y) in points.items():
        if x.shape != y.shape or x.ndim != 1:
            raise ValueError(f"{name}: x and y of one length, not {x.shape} and {y.shape}")
        if (log_x and (x <= 0).any()) or (log_y and (y <= 0).any()):
            raise ValueError(f"{name}: a logarithmic axis shows only what is above 0")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not the user's matplotlibrc: the same plot everywhere
        figure = Figure(figsize=(7.2, 4.5), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)  # draws to memory: no display, no global state
        axes = figure.add_subplot()
        for index, (name, (x, y)) in enumerate(points.items()):
            style = {"marker": "osD^vPX"[index % 7], "linestyle": ("-", "--", "-.", ":")[index % 4]}
            colour = [part / 255 for part in COLOURS[index % len(COLOURS)]]
            axes.plot(x, y, label=name, color=colour, markersize=5, linewidth=1.8, **style)
        for axis, log, scale, place in (
            (axes.xaxis, log_x, axes.set_xscale, 0),
            (axes.yaxis, log_y, axes.set_yscale, 1),
        ):
            if log:
                scale("log")
                values = np.concatenate([xy[place][np.isfinite(xy[place])] for xy in points.values()])
                few = values.size == 0 or values.max() <= 300 * values.min()
                axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # 0.05, not 5×10⁻²
                axis.set_minor_formatter(NullFormatter())
        axes.set(xlabel=x_label, ylabel=y_label, title=title)
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if len(points) > 1:
            axes.legend(frameon=False)
        canvas.draw()
        save(np.asarray(canvas.buffer_rgba())[..., :3], path)
