"""What figures are laid out with: text, frames, rows and columns of pictures, all (H, W, 3) uint8 RGB arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
INK, PAPER = (30, 30, 30), (255, 255, 255)
GAP = 8  # px between the parts of a figure


def checked(picture: np.ndarray) -> np.ndarray:
    """``picture``, if it is (H, W, 3) uint8 and not empty; else ValueError."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ValueError(f"A picture is (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
    return picture


def reduced(picture: np.ndarray, most: int | None) -> np.ndarray:
    """``picture`` at most ``most`` px wide, by the mean of the areas that its pixels cover; its aspect stays."""
    high, wide, _ = picture.shape
    if most is None or wide <= most:
        return picture
    if most < 1:
        raise ValueError(f"A picture is at least 1 px wide, not {most}")
    return cv2.resize(picture, (most, max(1, round(high * most / wide))), interpolation=cv2.INTER_AREA)


def repeated(picture: np.ndarray, across: int, down: int) -> np.ndarray:
    """Every pixel ``across`` times in x and ``down`` times in y: no interpolation, nothing that was not there."""
    return np.repeat(np.repeat(picture, down, 0), across, 1)


def framed(picture: np.ndarray, colour: Colour, thickness: int) -> np.ndarray:
    """``picture`` inside a frame of ``thickness`` px, all of its pixels kept."""
    high, wide, _ = picture.shape
    frame = np.empty((high + 2 * thickness, wide + 2 * thickness, 3), np.uint8)
    frame[:] = colour
    frame[thickness : thickness + high, thickness : thickness + wide] = picture
    return frame


def outline(picture: np.ndarray, corners: tuple[int, int, int, int], colour: Colour, thickness: int) -> None:
    """Draw a rectangle into ``picture``, around the pixels left ≤ x < right, top ≤ y < bottom of ``corners``.

    The line lies outside these pixels, except at the picture's edges, where there is no outside. A
    dark rim of 1 px keeps a light line visible on light ground.
    """
    high, wide, _ = picture.shape
    left, top, right, bottom = corners
    left, top = max(left, thickness), max(top, thickness)
    right, bottom = min(right, wide - thickness), min(bottom, high - thickness)
    line = np.zeros((high, wide), bool)
    line[top - thickness : bottom + thickness, left - thickness : right + thickness] = True
    line[top:bottom, left:right] = False
    rim = cv2.dilate(line.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~line
    rim[top:bottom, left:right] = False
    picture[rim], picture[line] = INK, colour


def joined(parts: Sequence[np.ndarray], axis: int, *, gap: int = GAP, centred: bool = False) -> np.ndarray:
    """``parts`` under each other (``axis`` 0) or side by side (1) on white, aligned left or top, or ``centred``."""
    other = 1 - axis
    most = max(part.shape[other] for part in parts)
    sheets = []
    for index, part in enumerate(parts):
        before = [0, 0, 0]
        after = [0, 0, 0]
        before[axis] = gap if index else 0
        spare = most - part.shape[other]
        before[other] = spare // 2 if centred else 0
        after[other] = spare - before[other]
        sheets.append(np.pad(part, tuple(zip(before, after, strict=True)), constant_values=255))
    return np.concatenate(sheets, axis)


def wrapped(parts: Sequence[np.ndarray], width: int) -> list[np.ndarray]:
    """``parts`` side by side in as many rows as it takes for each to be ``width`` px wide or a single part."""
    rows: list[list[np.ndarray]] = []
    used = 0
    for part in parts:
        used += GAP + part.shape[1]
        if not rows or used > width:
            rows.append([])
            used = part.shape[1]
        rows[-1].append(part)
    return [joined(row, 1) for row in rows]


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font of ``size`` px: matplotlib's DejaVu Sans where that is installed, else Pillow's own.

    Pillow's lacks ×, α and –, and shows a box instead.
    """
    try:
        from matplotlib import get_data_path
    except ImportError:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(Path(get_data_path(), "fonts/ttf/DejaVuSans.ttf")), size)


def font_size(width: int) -> int:
    """px; grows with the ``width`` of what is labelled, so that labels stay readable when a figure is reduced."""
    return int(np.clip(width // 28, 13, 32))


def text(line: str, size: int) -> np.ndarray:
    """``line`` in dark grey on white; of one height for one ``size``, whatever the letters."""
    face = font(size)
    left, _, right, _ = face.getbbox(line)
    sheet = Image.new("RGB", (max(1, int(np.ceil(right - left)) + 1), round(1.35 * size)), PAPER)
    ImageDraw.Draw(sheet).text((-left, 1.05 * size), line, fill=INK, font=face, anchor="ls")
    return np.array(sheet)


def titled(title: str, picture: np.ndarray, size: int) -> np.ndarray:
    """``picture`` below its title; the sheet is as wide as the wider of the two."""
    return joined([text(title, size), picture], 0, gap=2)


def margin(picture: np.ndarray) -> np.ndarray:
    """``picture`` with white around it."""
    return framed(picture, PAPER, GAP)
