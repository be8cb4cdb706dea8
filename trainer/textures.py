"""Banks of pictures that the layered scenes are painted with.

Photographs and frames of real clips become square luma or RGB tiles at two scales;
cut-outs become tiles with opacity. Everything is uint8 and lies on the training
device, so that a GPU never waits for a disk or a CPU.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer.clips import clip_frames, clip_seconds
from trainer.data.clips import READ_ERRORS

__all__ = [
    "CUTOUT",
    "LUMA",
    "TILE",
    "load_cutouts",
    "load_tiles",
    "luma709",
    "open_picture",
    "picture_files",
    "video_stills",
]

TILE = 512  # px, side of a photographic tile
CUTOUT = 192  # px, side of a cut-out
LUMA = (0.2126, 0.7152, 0.0722)  # BT.709
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def luma709(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 → (H, W) float32 in 0..255, BT.709 weights."""
    return rgb.astype(np.float32) @ np.array(LUMA, np.float32)


def picture_files(folder: Path) -> list[Path]:
    """Every picture below `folder`, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """The same with 8 bits, where `convert` would clip: greys of 16 and 32 bits, and floats, which are 0..1 or more."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture).astype(np.float32)
    highest = float(np.nanmax(values, initial=0.0))
    least = 1.0 if picture.mode == "F" else 65535.0
    white = 255.0 if picture.mode == "I" and highest <= 255 else max(highest, least)
    return Image.fromarray(np.rint(np.nan_to_num(values / white).clip(0, 1) * 255).astype(np.uint8))


def open_picture(path: Path, mode: str) -> Image.Image | None:
    """A picture file in Pillow's `mode`, "RGB" or "RGBA"; None if it cannot be read, or is too large for Pillow."""
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(path) as picture,
        ):
            return _eight_bits(picture).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # what damaged files raise
        return None


def video_stills(path: Path, count: int) -> list[Image.Image]:
    """`count` frames spread over the clip, as RGB pictures; fewer if it is short or damaged."""
    stills: list[Image.Image] = []
    with contextlib.suppress(*READ_ERRORS, IndexError):  # a damaged clip contributes what it gave so far
        length = clip_seconds(path)
        for k in range(count if length > 0 else 1):
            frame = next(clip_frames(path, length * (k + 0.5) / count), None)
            if frame is not None:
                stills.append(frame.to_image())
    return stills


def _tiles(picture: Image.Image, channels: int) -> list[np.ndarray]:
    """The whole picture at tile height, and up to two tiles at about twice that scale."""
    tiles = []
    short = min(picture.size)
    if short < 200:
        return tiles
    for scale, take in ((TILE, 2), (2 * TILE, 2)):
        if scale > TILE and short < 1.3 * TILE:
            continue
        factor = scale / short
        size = (max(round(picture.width * factor), scale), max(round(picture.height * factor), scale))
        resized = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
        height, width = resized.shape[:2]
        for k in range(take):
            y = 0 if height == TILE else (height - TILE) * (k + 1) // (take + 1)
            x = (width - TILE) * (k + 1) // (take + 1)
            if take == 2 and k == 1 and (height, width) == (TILE, TILE):
                break  # a square picture has one tile at this scale
            tile = resized[y : y + TILE, x : x + TILE]
            plane = np.rint(luma709(tile)).astype(np.uint8)[None] if channels == 1 else tile.transpose(2, 0, 1)
            if plane.astype(np.float32).std() > 8:  # a flat tile teaches nothing and hides errors
                tiles.append(np.ascontiguousarray(plane))
    return tiles


def load_tiles(
    pictures: Iterable[Path], clips: Sequence[Path] = (), channels: int = 1, per_clip: int = 2
) -> tuple[Tensor, int]:
    """Photographic tiles (N, channels, TILE, TILE) uint8, and how many pictures gave none: unreadable, small or flat.

    Raises:
        ValueError: if nothing usable was found.
    """
    tiles: list[np.ndarray] = []
    skipped = 0
    for path in pictures:
        picture = open_picture(path, "RGB")
        found = _tiles(picture, channels) if picture else []
        tiles += found
        skipped += not found
    for path in clips:
        for still in video_stills(path, per_clip):
            tiles += _tiles(still, channels)[:2]
    if not tiles:
        raise ValueError(
            "Expected at least one readable picture of 200 px or more to paint scenes with; give --photos."
        )
    return torch.from_numpy(np.stack(tiles)), skipped


def load_cutouts(pictures: Iterable[Path], channels: int = 1) -> tuple[Tensor, int]:
    """Objects with opacity, centred: (M, channels + 1, CUTOUT, CUTOUT) uint8, M may be 0; and how many pictures
    gave none: unreadable, or without both opaque and transparent parts."""
    objects: list[np.ndarray] = []
    skipped = 0
    for path in pictures:
        rgba = open_picture(path, "RGBA")
        if rgba is None:
            skipped += 1
            continue
        box = rgba.getchannel("A").point(lambda v: 255 * (v > 127)).getbbox()
        if box is None or rgba.getchannel("A").getextrema()[0] > 200:
            skipped += 1
            continue  # nothing opaque, or nothing transparent: not a cut-out
        rgba = rgba.crop(box)
        room = CUTOUT - 16  # a transparent margin, so that sampling beyond the edge finds nothing
        factor = room / max(rgba.size)
        rgba = rgba.resize(
            (max(1, round(rgba.width * factor)), max(1, round(rgba.height * factor))), Image.Resampling.LANCZOS
        )
        canvas = np.zeros((CUTOUT, CUTOUT, 4), np.uint8)
        y, x = (CUTOUT - rgba.height) // 2, (CUTOUT - rgba.width) // 2
        canvas[y : y + rgba.height, x : x + rgba.width] = np.asarray(rgba)
        colour = (
            np.rint(luma709(canvas[..., :3])).astype(np.uint8)[None]
            if channels == 1
            else canvas[..., :3].transpose(2, 0, 1)
        )
        objects.append(np.concatenate([colour, canvas[None, ..., 3]]))
    if not objects:
        return torch.zeros(0, channels + 1, CUTOUT, CUTOUT, dtype=torch.uint8), skipped
    return torch.from_numpy(np.stack(objects)), skipped
