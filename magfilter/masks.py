"""Where to magnify, and by how much: masks, regions and alpha maps as one factor for every pixel.

Pure functions on arrays (H, W). The rule by which `combine` joins what a job names:

1. Underneath lies the alpha map, or alpha 1 everywhere if there is none.
2. The mask, inverted first if that is asked, then grown, is painted over it with the job's alpha.
3. The regions are painted over that in the order given, each with its own alpha or else the job's.

So inside a region its alpha counts, elsewhere inside the mask the job's, and outside both what lies
underneath, which nothing but the soft edge of mask and regions changes.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.checks import MOST_ALPHA
from magfilter.errors import InputError, OptionError
from magfilter.media import Frame
from magfilter.media.colour import is_full_range, luma

__all__ = [
    "Region",
    "as_factors",
    "as_mask",
    "combine",
    "distance",
    "fit_factors",
    "fit_mask",
    "grow",
    "load_array",
    "mask_of",
    "reduce_factors",
]

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

ASPECT = 0.01  # by how much the aspect of a mask may differ from the picture's
SHOWN = 200  # characters of what is wrong with a file
BAND = 16  # rows whose distances are found together: so many stay in the processor's cache


@dataclass(frozen=True)
class Region:
    """A rectangle of the picture and its magnification factor.

    Attributes:
        x, y: its upper left pixel, counted from 0.
        width, height: px, 1 or more.
        alpha: factor of 0 or more, or None for the job's.
    """

    x: int
    y: int
    width: int
    height: int
    alpha: float | None = None

    @staticmethod
    def parse(value: Any) -> Region:
        """Read "x,y,width,height" or "x,y,width,height:alpha", or the same as 4 or 5 numbers, or a Region.

        Raises:
            OptionError: if it is neither, or a number is out of range.
        """
        if isinstance(value, Region):
            value = (value.x, value.y, value.width, value.height, *(() if value.alpha is None else (value.alpha,)))
        try:
            if isinstance(value, str):
                corner, colon, factor = value.partition(":")
                sides = [int(part) for part in corner.split(",")]
                alpha = float(factor) if colon else None
            else:
                sides = [operator.index(part) for part in value[:4]]
                alpha = value[4] if len(value) == 5 else None
                if len(value) > 5 or isinstance(alpha, bool) or not (alpha is None or isinstance(alpha, Real)):
                    raise ValueError
            x, y, width, height = sides
        except (TypeError, ValueError):
            raise OptionError(
                f"roi {value!r} is not x,y,width,height[:alpha] in whole pixels, such as 10,20,300,200:5"
            ) from None
        if x < 0 or y < 0 or width < 1 or height < 1:
            raise OptionError(
                f"roi {x},{y},{width},{height} is no part of a picture: "
                "x and y are 0 or more, width and height 1 or more"
            )
        if alpha is not None and not 0 <= alpha <= MOST_ALPHA:
            raise OptionError(
                f"roi {x},{y},{width},{height} has alpha {alpha:g}; give a number of 0 or more, at most {MOST_ALPHA}"
            )
        return Region(x, y, width, height, None if alpha is None else float(alpha))

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}" + ("" if self.alpha is None else f":{self.alpha:g}")

    def check(self, size: tuple[int, int]) -> None:
        """Raise OptionError unless the region lies within a picture of `size` (H, W)."""
        if self.x + self.width > size[1] or self.y + self.height > size[0]:
            raise OptionError(
                f"roi {self} reaches to column {self.x + self.width} and row {self.y + self.height}, "
                f"outside the picture of {size[1]}x{size[0]}; make it smaller"
            )

    def distance(self, size: tuple[int, int]) -> Array:
        """Px from every pixel (H, W) float32 to the nearest of the region, 0 inside."""
        rows, cols = (np.arange(count, dtype=np.float32) for count in size)
        down = np.maximum(self.y - rows, rows - (self.y + self.height - 1)).clip(0)
        along = np.maximum(self.x - cols, cols - (self.x + self.width - 1)).clip(0)
        apart: Array = np.hypot(down[:, None], along)
        return apart


# -- what files hold


def load_array(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array of a .npy file, whatever its shape.

    Raises:
        InputError: naming the file, if it cannot be read.
    """
    try:
        return np.asarray(np.load(Path(path), allow_pickle=False))
    except FileNotFoundError:
        raise InputError(f"{os.fspath(path)} does not exist; check the path") from None
    except (OSError, ValueError, EOFError, MemoryError) as error:
        line = " ".join(str(error)[:SHOWN].split()) or type(error).__name__  # NumPy shows all of a header
        raise InputError(f"{os.fspath(path)} is no readable .npy array ({line}); write it with numpy.save") from None


def as_mask(array: NDArray[Any], name: str, invert: bool = False) -> Mask:
    """What of an array (H, W) of bools or numbers is not zero; with `invert` what is.

    Raises:
        OptionError: naming `name`, for another shape or type, NaN, or if nothing is set.
    """
    _check_picture(array, name, "a mask")
    mask: Mask = array == 0 if invert else array != 0
    if not mask.any():
        name += ", inverted," if invert else ""
        raise OptionError(f"{name} is empty: none of its {_size(array)} pixels is set; nothing would be magnified")
    return mask


def as_factors(array: NDArray[Any], name: str) -> Array:
    """An array (H, W) of magnification factors as float32.

    Raises:
        OptionError: naming `name`, for another shape or type, and for NaN, infinite, negative or huge factors.
    """
    _check_picture(array, name, "an alpha map")
    with np.errstate(over="ignore"):
        factors = array.astype(np.float32)
    for bad, what in (
        (~np.isfinite(factors), "no finite number"),
        (factors < 0, "negative"),
        (factors > MOST_ALPHA, f"more than {MOST_ALPHA}"),
    ):
        if bad.any():
            row, col = (int(at[0]) for at in np.nonzero(bad))
            raise OptionError(
                f"{name} holds {array[row, col]:g} at column {col}, row {row}, which is {what}; "
                "an alpha map holds factors of 0 or more, 1 where motion stays as it is"
            )
    return factors


def _check_picture(array: NDArray[Any], name: str, what: str) -> None:
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise OptionError(f"{name} holds {array.dtype} of shape {array.shape}; {what} is (H, W) bools or real numbers")
    if not array.size:
        raise OptionError(f"{name} is empty: {_size(array)}; {what} covers the picture")
    if what == "a mask" and array.dtype.kind == "f" and np.isnan(array).any():
        raise OptionError(f"{name} holds NaN in {int(np.isnan(array).sum())} pixels; a mask is 0 or not 0 everywhere")


def mask_of(frame: Frame, lossy: bool) -> Mask:
    """The mask (H, W) that a picture shows: whatever is not black and not transparent.

    Args:
        frame: the picture, in any layout.
        lossy: it was compressed with loss, so that black is never quite black: brighter than half counts.
    """
    if lossy:
        return np.asarray(luma(frame) > 0.5)
    layout = frame.layout
    black = 0 if is_full_range(frame.colour, layout) else 16 << (layout.depth - 8)
    mask: Mask = frame.planes[0] > black
    if layout.kind == "rgb":
        mask |= (frame.planes[1] > black) | (frame.planes[2] > black)
    if layout.alpha:
        mask &= frame.planes[-1] > 0
    return mask


# -- onto the picture's grid


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def _check_aspect(array: NDArray[Any], size: tuple[int, int], name: str) -> None:
    height, width = array.shape
    if abs(width * size[0] / (height * size[1]) - 1) > ASPECT:
        raise OptionError(
            f"{name} is {width}x{height} and the picture {size[1]}x{size[0]}, another aspect; "
            "make it of the picture it is for, as a player shows it"
        )


def fit_mask(mask: Mask, size: tuple[int, int], name: str) -> Mask:
    """The mask at `size` (H, W), by its nearest pixels.

    Raises:
        OptionError: naming `name` and both sizes, if the aspects differ by more than 1 %; or if nothing
            of the mask is left.
    """
    if mask.shape == size:
        return mask
    _check_aspect(mask, size, name)
    rows, cols = (((np.arange(n) + 0.5) * (m / n)).astype(np.intp) for n, m in zip(size, mask.shape, strict=True))
    fitted: Mask = mask[np.ix_(rows, cols)]
    if mask.any() and not fitted.any():
        raise OptionError(
            f"{name} of {_size(mask)} has nothing left at the picture's {size[1]}x{size[0]}; draw it larger"
        )
    return fitted


def fit_factors(factors: Array, size: tuple[int, int], name: str) -> Array:
    """The alpha map at `size` (H, W), bilinearly; where neighbours are equal their value is kept exactly.

    Raises:
        OptionError: naming `name` and both sizes, if the aspects differ by more than 1 %.
    """
    if factors.shape == size:
        return factors
    _check_aspect(factors, size, name)
    for axis, (n, m) in enumerate(zip(size, factors.shape, strict=True)):
        at = np.clip((np.arange(n) + 0.5) * (m / n) - 0.5, 0, m - 1)
        low = np.floor(at).astype(np.intp)
        share = (at - low).astype(np.float32)
        near, far = factors.take(low, axis), factors.take(np.minimum(low + 1, m - 1), axis)
        factors = near + (far - near) * (share[:, None] if axis == 0 else share)
    return factors


# -- growing, fading, joining


def distance(mask: Mask, limit: float) -> Array:
    """Px from every pixel to the nearest pixel of the mask, (H, W) float32.

    Exact (Euclidean, centre to centre) up to `limit` px, and infinite beyond it.
    """
    height, width = mask.shape
    reach = math.floor(min(limit, math.hypot(height, width)))
    squares = _down_columns(mask, reach)
    # The nearest pixel lies in some column, d away along the row: the smallest of d² + (the distance down
    # that column)². Bands of rows fit into the cache, where these passes cost next to nothing.
    out = squares.copy()
    for top in range(0, height, BAND):
        best, down = out[top : top + BAND], squares[top : top + BAND]
        if down.min() > reach * reach:
            continue
        for d in range(1, min(reach, width - 1) + 1):
            if d % 8 == 1 and d * d >= best.max():
                break  # every pixel has one nearer by
            far = down + out.dtype.type(d * d)
            np.minimum(best[:, d:], far[:, :-d], out=best[:, d:])
            np.minimum(best[:, :-d], far[:, d:], out=best[:, :-d])
    found: Array = np.sqrt(out, dtype=np.float32)
    found[out > limit * limit] = np.inf
    return found


def _down_columns(mask: Mask, reach: int) -> NDArray[Any]:
    """Squared px to the nearest pixel of the mask in the same column, (H, W); beyond `reach` that of reach + 1."""
    height = mask.shape[0]
    rows = np.arange(height, dtype=np.int32)[:, None]
    away = np.int32(2 * height + reach + 2)
    above = np.maximum.accumulate(np.where(mask, rows, -away), 0)
    below = np.minimum.accumulate(np.where(mask, rows, away)[::-1], 0)[::-1]
    apart = np.minimum(rows - above, below - rows)
    np.minimum(apart, reach + 1, out=apart)
    # Sums of two squares must fit: 16 bits are twice as fast.
    squares: NDArray[Any] = np.square(apart.astype(np.uint16 if reach <= 180 else np.uint32))
    return squares


def grow(mask: Mask, px: float) -> Mask:
    """The mask and everything within `px` of it: a point becomes a disc."""
    return mask if px < 1 else np.asarray(distance(mask, px) <= px)


def combine(
    size: tuple[int, int],
    alpha: float,
    *,
    factors: Array | None = None,
    mask: Mask | None = None,
    regions: Sequence[Region] = (),
    grow: float = 0.0,
    feather: float = 0.0,
) -> Array:
    """One factor for every pixel, (H, W) float32; the module's docstring has the rule.

    Args:
        size: (H, W) of the picture; all arrays have it.
        alpha: factor of the mask, and of regions without one of their own.
        factors: what lies underneath; 1 everywhere if None.
        mask: px of it, and those within `grow` of it, take alpha.
        regions: rectangles within the picture.
        feather: px outside mask and regions over which factors fade linearly into what lies underneath.
            Where several fade, the one counts that changes most.
    """
    under = np.ones(size, np.float32) if factors is None else factors
    painted: list[tuple[Array, np.float32]] = []  # px beyond each outline, and the factor inside
    if mask is not None:
        painted.append((distance(mask, grow + feather) - np.float32(grow), np.float32(alpha)))
    for region in regions:
        painted.append((region.distance(size), np.float32(alpha if region.alpha is None else region.alpha)))
    out = under.copy()
    if feather > 0:
        most = np.zeros(size, np.float32)
        for beyond, factor in painted:
            change = (factor - under) * (1 - beyond / np.float32(feather)).clip(0, 1)
            stronger = np.abs(change) > np.abs(most)
            most[stronger] = change[stronger]
        out += most
    for beyond, factor in painted:
        out[beyond <= 0] = factor
    return out


def reduce_factors(factors: Array, stride: int) -> Array:
    """A map (H, W) on the flow's grid, (⌈H/stride⌉, ⌈W/stride⌉): of every block the factor farthest from 1.

    So nothing of a mask is lost, however thin, what touches none of it stays exactly 1, and its outline
    stays sharp: a mean would throw the points on it half as far and tear them off.
    """
    if stride == 1:
        return factors
    height, width = factors.shape
    rows, cols = -height % stride, -width % stride
    whole = np.pad(factors, ((0, rows), (0, cols)), mode="edge") if rows or cols else factors
    for axis in (0, 1):
        parts = [whole[k::stride] if axis == 0 else whole[:, k::stride] for k in range(stride)]
        out = parts[0].copy()
        for part in parts[1:]:
            np.copyto(out, part, where=np.abs(part - 1) > np.abs(out - 1))
        whole = out
    return whole
