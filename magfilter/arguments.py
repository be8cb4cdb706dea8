"""What the command line's arguments are made of: times, pairs, and options that say what is to be magnified."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import click

from magfilter.backends import BACKENDS
from magfilter.compare import COMPARISONS
from magfilter.magnifier import DEFAULT_PROXY
from magfilter.models import DEFAULT_MODEL, shipped_models

__all__ = [
    "CHOOSING",
    "RAMPING",
    "SHOWING",
    "TARGETING",
    "Chosen",
    "choosing_options",
    "engine_options",
    "factor",
    "line",
    "pairs",
    "proxy_option",
    "ramping_options",
    "scale",
    "scale_options",
    "seconds",
    "showing_options",
    "stretch_options",
    "targeting_options",
]

TARGETING = ("mask", "roi", "alpha_map", "mask_invert", "mask_grow", "mask_feather", "segment", "segment_weights")
CHOOSING = ("band", "notch", "fps", "detrend", "max_shift", "smooth")
RAMPING = ("alpha_end", "alpha_keys")
SHOWING = ("compare", "show_flow")
Command = TypeVar("Command", bound=Callable[..., Any])


class Chosen(NamedTuple):
    """A factor that is chosen by the clip: so that its largest motion becomes `size` px, or None for the usual."""

    size: float | None


def seconds(text: str | float) -> float:
    """A time as ffmpeg takes it: 12.5, 1:30 or 0:01:30.5."""
    digits = str(text).removeprefix("-")
    *units, last = digits.split(":")
    try:
        time = float(last) + sum(int(unit) * 60.0**n for n, unit in enumerate(reversed(units), 1))
    except (ValueError, OverflowError):
        time = None
    if time is None or len(units) > 2:
        raise click.BadParameter(f"{text!r} is not a time; give seconds (12.5) or [HH:]MM:SS (1:30)")
    return -time if str(text).startswith("-") else time


def factor(text: str | float) -> float | Chosen:
    """A magnification factor: a number, or "auto" or a size such as "12px", for which the clip decides."""
    digits = str(text).strip()
    if digits == "auto":
        return Chosen(None)
    try:
        number = float(digits.removesuffix("px"))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no factor; give a number such as 10, auto, or the largest motion's size to be, such as 12px"
        ) from None
    return Chosen(number) if digits.endswith("px") else number


def pairs(_: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Values KEY=VALUE as (key, value)."""
    out = []
    for value in values:
        key, sign, rest = value.partition("=")
        if not sign or not key:
            raise click.BadParameter(f"{value!r} is not KEY=VALUE (for example tune=film)", param=param)
        out.append((key, rest))
    return tuple(out)


def keyframes(_: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[float, float], ...]:
    """Values TIME=ALPHA as (seconds, alpha)."""
    out = []
    for value in values:
        time, _sign, alpha = value.partition("=")
        try:
            out.append((seconds(time), float(alpha)))
        except ValueError:
            raise click.BadParameter(f"{value!r} is not TIME=ALPHA (for example 2.5=20)", param=param) from None
    return tuple(out)


def line(_: click.Context, __: click.Parameter, text: str) -> tuple[float, float, float, float]:
    """A line as X0,Y0,X1,Y1."""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        x0 = y0 = x1 = y1 = math.nan
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise click.BadParameter(f"{text!r} is not X0,Y0,X1,Y1 in px, such as 320,40,320,200")
    return x0, y0, x1, y1


def scale(_: click.Context, __: click.Parameter, text: str) -> tuple[int, int]:
    """How often a pixel is repeated in time and along a line: T or T,L."""
    try:
        factors = [int(part) for part in text.split(",")]
    except ValueError:
        factors = []
    if len(factors) not in (1, 2) or min(factors) < 1:
        raise click.BadParameter(f"{text!r} is not T or T,L in whole numbers of 1 or more, such as 2 or 4,2")
    return factors[0], factors[-1]


def _given(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """The command with these options, in their order."""
    for option in reversed(options):
        command = option(command)
    return command


_ENGINE_OPTIONS = (
    click.option(
        "--model",
        default=DEFAULT_MODEL,
        show_default=True,
        help=f"A shipped model ({', '.join(shipped_models()) or 'none'}) or the path of an .onnx file.",
    ),
    click.option(
        "--backend",
        type=click.Choice(BACKENDS),
        default="auto",
        show_default=True,
        help="Engine of the network. An explicit choice never falls back.",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."),
)


def engine_options(command: Command) -> Command:
    """Give a command the options that say which network runs where."""
    return _given(command, _ENGINE_OPTIONS)


def proxy_option(what: str) -> Callable[[Command], Command]:
    """The option that says how large a copy the network looks at; `what` is its help."""
    return click.option(
        "--proxy", type=float, default=DEFAULT_PROXY, show_default=True, metavar="MEGAPIXELS", help=what
    )


def stretch_options(what: str, true_rate: bool = False) -> Callable[[Command], Command]:
    """The options that say which stretch is read; `what` is done with it.

    Args:
        true_rate: the command has --fps, which these do not go by.
    """
    clock = "; as -ss, of the container's time, whatever --fps says" if true_rate else ""
    options = (
        click.option(
            "-ss", "--start", type=seconds, metavar="TIME", help="Begin here: seconds, 1e9 at most, or [HH:]MM:SS."
        ),
        click.option(
            "-t",
            "--duration",
            type=seconds,
            metavar="TIME",
            help=f"{what} this much: seconds, or [HH:]MM:SS{clock}.",
        ),
    )
    return lambda command: _given(command, options)


def scale_options(what: str) -> Callable[[Command], Command]:
    """The options that say how large a pixel is; `what` begins their help: "Results are in" mm, or um, as well."""
    options = [
        click.option(f"--{unit}-per-px", type=float, metavar=unit.upper(), help=f"{what} {shown} as well.")
        for unit, shown in (("mm", "mm"), ("um", "um (micrometres)"))
    ]
    return lambda command: _given(command, options)


_TARGETING_OPTIONS = (
    click.option(
        "--mask",
        metavar="FILE",
        help="Magnify only this: a picture (what is not black), a .npy array, or a video of masks. "
        "Everything else keeps alpha 1. It is drawn on the reference; what leaves its outline stays whole.",
    ),
    click.option(
        "--roi",
        multiple=True,
        metavar="X,Y,W,H[:ALPHA]",
        help="Magnify this rectangle, px of the picture; with an ALPHA of its own if given. Repeatable; "
        "wins over --mask and --alpha-map inside.",
    ),
    click.option(
        "--alpha-map",
        metavar="FILE",
        help="Factor of every pixel in place of --alpha: a .npy array (H, W). --mask and --roi are painted over it.",
    ),
    click.option(
        "--mask-invert",
        is_flag=True,
        help="Magnify what the mask leaves out. It is inverted first, then grown, then its edge is softened.",
    ),
    click.option(
        "--mask-grow",
        type=float,
        default=0.0,
        metavar="PX",
        help="Make the mask larger all around, by a million px at most; one drawn along the outline needs about 8.",
    ),
    click.option(
        "--mask-feather",
        type=float,
        default=0.0,
        metavar="PX",
        help="Soft edge: outside mask and regions alpha fades over so many px, a million at most.",
    ),
    click.option(
        "--segment",
        multiple=True,
        metavar="X,Y",
        help="Magnify what lies at this pixel of the reference; Segment Anything makes the mask "
        '(pip install ".[segment]"). Repeat to name more points of the same thing.',
    ),
    click.option(
        "--segment-weights",
        metavar="FILE",
        help="Weights of Segment Anything, such as sam_vit_b_01ec64.pth, from "
        "https://github.com/facebookresearch/segment-anything (Model Checkpoints).",
    ),
)


def targeting_options(command: Command) -> Command:
    """Give a command the options that say what to magnify."""
    return _given(command, _TARGETING_OPTIONS)


_CHOOSING_OPTIONS = (
    click.option(
        "--band",
        metavar="LOW:HIGH",
        help="Magnify motion of these frequencies, in Hz. Far from them motion is left as it is; within about two "
        "octaves it changes as well, the more the larger --alpha, and may come out smaller or upside down.",
    ),
    click.option(
        "--notch", multiple=True, metavar="LOW:HIGH", help="Leave motion of these frequencies as it is; repeatable."
    ),
    click.option(
        "--fps",
        type=float,
        metavar="RATE",
        help="True frames a second, 1e-9 to 1e12, for --band and --notch, where the input says otherwise "
        "(high-speed footage).",
    ),
    click.option(
        "--detrend",
        is_flag=True,
        help="Leave drift and shake of the camera as they are; only what moves against the ground is magnified.",
    ),
    click.option(
        "--max-shift",
        type=float,
        metavar="PX",
        help="Show nothing farther than this from where it is in the frame, a millionth px to a million; the "
        "limit is soft from half of it on.",
    ),
    click.option(
        "--smooth",
        type=float,
        metavar="PX",
        help="Average the measured motion over so many px within things, not across their outlines: against the "
        "ripples that compression leaves along straight edges. 16 to 32 for rods and beams.",
    ),
)


_RAMPING_OPTIONS = (
    click.option(
        "--alpha-end",
        type=float,
        metavar="ALPHA",
        help="Let the factor go from --alpha at the first frame to this at the last, in a straight line.",
    ),
    click.option(
        "--alpha-key",
        "alpha_keys",
        multiple=True,
        metavar="TIME=ALPHA",
        callback=keyframes,
        help="Keyframe in place of --alpha, TIME from the first frame; repeatable, straight lines between.",
    ),
)


def ramping_options(command: Command) -> Command:
    """Give a command the options that say how the factor changes over time."""
    return _given(command, _RAMPING_OPTIONS)


def choosing_options(command: Command) -> Command:
    """Give a command the options that say which part of the motion to magnify."""
    return _given(command, _CHOOSING_OPTIONS)


_SHOWING_OPTIONS = (
    click.option(
        "--compare",
        type=click.Choice(COMPARISONS),
        help="Write the input too, labelled: beside the output, above it, or the left half of the one and the right "
        "half of the other, with a line between them.",
    ),
    click.option(
        "--flow",
        "show_flow",
        is_flag=True,
        help="Draw the measured motion over the output, as arrows; with --band, --notch or --detrend the part "
        "of it that is magnified.",
    ),
)


def showing_options(command: Command) -> Command:
    """Give a command the options that say what to show besides the output."""
    return _given(command, _SHOWING_OPTIONS)
