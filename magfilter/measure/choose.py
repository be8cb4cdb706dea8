"""What of a picture is registered in every frame: the moving part of each region, and patches of what rests."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import OptionError, Stopped
from magfilter.masks import Region
from magfilter.measure.camera import AFFINE, unknowns
from magfilter.measure.noise import Background
from magfilter.measure.options import MeasureOptions
from magfilter.measure.register import MARGIN, Patch, flat, margins
from magfilter.measure.still import still_patches
from magfilter.measure.survey import LEAST, RESTS, Pattern, Survey, texture
from magfilter.measure.tracks import grown_by, keeps_most

__all__ = ["choose", "choose_background", "choose_patches", "place"]

Array = NDArray[np.float32]

WHITE, BLACK = 0.985, 0.005  # of 0..1: a sensor clips there
RIM = 2  # px of a thing along its ground that are left out
OVERLAP = 0.1  # share of what is said to rest that may lie on what moves
CLIPPED = 3  # px around clipped pixels that are left out
# Where the camera shakes or the stage drifts there is nothing to name, so that comes first.
ALL_MOVES = "where all of the picture moves, --detrend"


def choose(
    survey: Survey,
    light: Array,
    noise: float,
    regions: tuple[Region, ...],
    options: MeasureOptions,
    warnings: list[str],
    stop: threading.Event,
) -> tuple[list[Patch], list[Pattern], Background]:
    """What is registered: of each region its patch and what of it moves, and what rests; see the two that do it."""
    patches, patterns = choose_patches(survey, light, noise, regions, warnings, stop)
    return patches, patterns, choose_background(survey, light, noise, regions, patterns, options, warnings, stop)


def choose_patches(
    survey: Survey, light: Array, noise: float, regions: tuple[Region, ...], warnings: list[str], stop: threading.Event
) -> tuple[list[Patch], list[Pattern]]:
    """Of each region the patch that is registered, and what of it moves.

    Args:
        light: (H, W) luma of the reference, 0..1, with `noise`.
        warnings: is added to.
        stop: set it to end early.

    Raises:
        Stopped: `stop` was set.
    """
    if all(flat(light, (each.y, each.x), (each.height, each.width), noise) for each in regions):
        # Nothing to look for, in a picture that may be huge.
        even = [np.ones((each.height, each.width), np.float32) for each in regions]
        patches = [Patch(light, (each.y, each.x), w, noise) for each, w in zip(regions, even, strict=True)]
        return patches, [Pattern(weights, 0.0) for weights in even]
    slope = texture(light)
    clipped = grown_by((light >= WHITE) | (light <= BLACK), CLIPPED)
    patches, patterns = [], []
    for region in regions:
        if stop.is_set():
            raise Stopped
        pattern = survey.pattern(region, slope)
        rows, cols = place(region)
        strength = slope[rows, cols]
        # The ground shows through at the rim; but of a thin thing the rim is all there is.
        inner = pattern.weights * ~grown_by(pattern.weights < 0.5, RIM)
        weights = inner if keeps_most(inner, pattern.weights, strength) else pattern.weights
        sound = weights * ~clipped[rows, cols]
        if keeps_most(sound, weights, strength):
            weights = sound
        else:
            warnings.append(
                f"roi {region}: most of its contours are at pixels as bright or dark as the video can show; "
                "if they are overexposed, the displacement may be a little off"
            )
        if not keeps_most(weights * _inside(light.shape, region), weights, strength):
            warnings.append(
                f"roi {region}: most of its contours lie within {MARGIN} px of the picture's rim, where what comes "
                "from outside cannot be told from motion; they are left out"
            )
        patches.append(Patch(light, (region.y, region.x), weights, noise))
        patterns.append(pattern)
    return patches, patterns


def _inside(shape: tuple[int, ...], region: Region) -> NDArray[np.bool_]:
    """(h, w) which pixels of a region are far enough from the rim of a picture (H, W) to tell motion."""
    inside = np.zeros(shape, bool)
    down, across = margins(shape)
    inside[down : shape[0] - down, across : shape[1] - across] = True
    return inside[place(region)]


def choose_background(
    survey: Survey,
    light: Array,
    noise: float,
    regions: tuple[Region, ...],
    patterns: list[Pattern],
    options: MeasureOptions,
    warnings: list[str],
    stop: threading.Event,
) -> Background:
    """What rests, or is said to; arguments as `choose_patches`'.

    Raises:
        Stopped: `stop` was set;
        OptionError: there is none with texture, where some is needed.
    """
    moving = np.zeros(light.shape, bool)
    for region, pattern in zip(regions, patterns, strict=True):
        whole = (region.height, region.width) == light.shape and not pattern.motion
        if not whole:  # nothing moves in it more than the rest does, so all of it may rest
            rows, cols = place(region)
            moving[rows, cols] |= pattern.weights > 0.1
    motion = min((p.motion for p in patterns if p.motion), default=0.0)
    within = options.still_region
    if within is not None:
        warnings += _doubts(survey, within, moving, motion, options.detrend)
    still = still_patches(survey, light, noise, moving, motion, within, stop)
    if within is not None and not still:
        raise OptionError(f"still {within} has no texture to measure by; choose a rectangle with more contours")
    if not still and options.detrend:
        raise OptionError(
            "detrend finds no textured ground that moves with the camera alone; name some with "
            "--still x,y,width,height, or leave out --detrend"
        )
    if not still:
        warnings.append(
            "no still background with texture was found; the uncertainty is from the fit alone, and the camera's "
            f"own motion is not in it; {ALL_MOVES}; else name what rests with --still x,y,width,height"
        )
    if options.detrend and len(still) < AFFINE:
        warnings.append(
            f"detrend has only {len(still)} of the {AFFINE} patches of textured ground that it takes to tell how the "
            "camera turns and zooms, so its shift alone is taken off; "
            + (
                "the uncertainty is from how the patches differ"
                if len(still) > 1
                else "how well the ground follows it is not known, so where it moves counts as uncertain"
            )
            + "; name more of the ground with --still x,y,width,height"
        )
    elif options.detrend and unknowns(np.array([patch.centre for patch in still])) == 1:
        warnings.append(
            "the patches of textured ground lie in a row, which does not tell how the camera turns and zooms, so its "
            "shift alone is taken off; the uncertainty is from how the patches differ; name a wider part of the ground "
            "with --still x,y,width,height"
        )
    return Background(still, options.detrend)


def _doubts(survey: Survey, within: Region, moving: NDArray[np.bool_], motion: float, detrend: bool) -> list[str]:
    """What is wrong with a rectangle that is said to rest: it is measured itself, or moves as if it were.

    Args:
        moving: (H, W) where the regions' things are.
        motion: px, root mean square of the smallest of the regions' motions; 0 if none stands out.
    """
    if moving[place(within)].mean() > OVERLAP:
        return [
            f"still {within} lies on what is measured, whose own motion is then taken for the camera's or for "
            "noise; "
            + ("" if detrend else f"{ALL_MOVES} without --still; else ")
            + "choose a rectangle of background that rests"
        ]
    unrest = survey.unrest(within)
    # With detrend it may move, as the camera does.
    if detrend or not motion or unrest <= max(RESTS * motion, LEAST):
        return []
    return [
        f"still {within} moves itself, by {unrest:.2g} px root mean square, which is taken for uncertainty; "
        f"{ALL_MOVES}; else choose a rectangle of background that rests"
    ]


def place(region: Region) -> tuple[slice, slice]:
    """The rows and columns of a rectangle."""
    return slice(region.y, region.y + region.height), slice(region.x, region.x + region.width)
