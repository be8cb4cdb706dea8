"""Which patches of a picture rest, or move with the camera alone: by the survey, before any is registered."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import Stopped
from magfilter.masks import Region
from magfilter.measure.camera import AFFINE, camera_of, moves_by
from magfilter.measure.register import Patch, flat, margins
from magfilter.measure.survey import LEAST, RESTS, Survey, unrest_of

__all__ = ["still_patches"]

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

TILE, SMALLEST = 32, 12  # px, sides of the still patches
TILES = 12
APART = 8  # px between what moves and what is said to rest
SPARED = 8  # of the picture's sides the part that is kept free along the rim at most
ASTRAY = 0.01  # of the camera's motion: as much the network is off, of ground that follows it


def still_patches(
    survey: Survey,
    reference: Array,
    noise: float,
    moving: NDArray[np.bool_],
    motion: float,
    within: Region | None,
    stop: threading.Event,
) -> list[Patch]:
    """Textured patches of what rests, at most TILES of them.

    With a survey that detrends, of what moves with the camera. Whose turn and zoom take AFFINE patches, so where there
    are fewer, smaller ones are looked for.

    Args:
        reference: (H, W) luma 0..1; `noise` is its noise.
        moving: (H, W) where the regions' things are; patches keep APART px off.
        motion: px, the smallest of the regions' motions; 0 if none stands out.
        within: take all of this rectangle instead, whatever the survey says.
        stop: set it to end early.

    Raises:
        Stopped: `stop` was set.
    """
    height, width = reference.shape
    whole = Region(0, 0, width, height)
    area = within or (_off_the_rim(survey.reach, (height, width)) if survey.detrend else whole)
    side = max(SMALLEST, min(TILE, height // 4, width // 4))
    # What a small rectangle tells of a turn would be stretched over all of the picture: it is asked for a shift alone.
    small = survey.detrend and within is not None and not _is_wide(within, whole)
    enough = AFFINE - 1 if small else AFFINE
    while True:
        found = _textured(survey, reference, noise, moving, area, side, within is not None, stop)
        if within is None and found:
            found = _resting(survey, found, motion)
        if not survey.detrend or side <= SMALLEST or (len(found) >= enough and (small or _wide(found, area))):
            break
        side = max(SMALLEST, side * 2 // 3)
    patches = [patch for _, patch in found]
    most = enough if small else TILES
    if len(patches) > most:
        spread = _scattered(np.array([patch.centre for patch in patches]), most) if survey.detrend else None
        chosen = np.linspace(0, len(patches) - 1, most).round().astype(int) if spread is None else spread
        patches = [patches[k] for k in chosen]
    return patches


def _is_wide(area: Region, whole: Region) -> bool:
    """Whether an area reaches over half of the picture, both ways."""
    return 2 * area.width >= whole.width and 2 * area.height >= whole.height


def _wide(found: list[tuple[Region, Patch]], area: Region) -> bool:
    """Whether patches lie far enough apart, both ways, to tell how an area turns and zooms."""
    at = np.array([patch.centre for _, patch in found])
    return bool((np.ptp(at, axis=0) > np.array([area.width, area.height]) / 2).all())


def _scattered(at: Floats, most: int) -> NDArray[np.intp]:
    """So many of the points (p, 2), as far apart as can be: each the farthest from those before it."""
    chosen = [int(np.argmax(np.hypot(*(at - at.mean(0)).T)))]
    far = np.hypot(*(at - at[chosen[0]]).T)
    while len(chosen) < most:
        chosen.append(int(np.argmax(far)))
        far = np.minimum(far, np.hypot(*(at - at[chosen[-1]]).T))
    return np.sort(np.array(chosen, np.intp))


def _off_the_rim(reach: float, size: tuple[int, int]) -> Region:
    """The picture without what tells no motion, and without what leaves it with a camera that goes `reach` px."""
    spared = [
        min(side // SPARED, margin + int(np.ceil(reach))) for side, margin in zip(size, margins(size), strict=True)
    ]
    return Region(spared[1], spared[0], size[1] - 2 * spared[1], size[0] - 2 * spared[0])


def _textured(
    survey: Survey,
    reference: Array,
    noise: float,
    moving: NDArray[np.bool_],
    area: Region,
    side: int,
    named: bool,
    stop: threading.Event,
) -> list[tuple[Region, Patch]]:
    """The patches of an area, `side` px large, that tell both ways; where it was not named, off what moves."""
    side_y, side_x = min(side, area.height), min(side, area.width)
    found = []
    for top in range(area.y, area.y + area.height - side_y + 1, side_y):
        if stop.is_set():
            raise Stopped
        for left in range(area.x, area.x + area.width - side_x + 1, side_x):
            near = moving[max(0, top - APART) : top + side_y + APART, max(0, left - APART) : left + side_x + APART]
            if flat(reference, (top, left), (side_y, side_x), noise) or (not named and near.any()):
                continue
            patch = Patch(reference, (top, left), np.ones((side_y, side_x), np.float32), noise)
            if len(patch.axes) == 2:
                found.append((Region(left, top, side_x, side_y), patch))
    return found


def _resting(survey: Survey, found: list[tuple[Region, Patch]], motion: float) -> list[tuple[Region, Patch]]:
    """The quietest quarter is what rests, and what is not much louder; but nothing that moves as the thing does."""
    motions = np.array([survey.motion(place) for place, _ in found])  # (p, n, 2)
    if survey.detrend and len(found) >= AFFINE:
        # The picture's rim, which the survey goes by, may be half seen or hidden; these say themselves what they share.
        at = np.array([patch.centre for _, patch in found])
        for k in range(motions.shape[1]):
            motions[:, k] -= moves_by(camera_of(at, motions[:, k], np.ones(len(found))), at)
    unrest = np.array([unrest_of(way) for way in motions])
    limit = max(2 * float(np.percentile(unrest, 25)), LEAST)
    limit = min(limit, RESTS * motion) if motion else limit
    limit = max(limit, ASTRAY * survey.reach)
    return [item for item, by in zip(found, unrest, strict=True) if by <= limit]
