"""What share of an exactly known shift a model of flow measures: ``python -m trainer.evaluation.shifts MODEL…``.

Photographs no network was trained on are shifted as wholes, by the Fourier theorem and so without an
interpolation that has an error of its own, without noise and without rounding to 8 bits. What is left is
what the network itself gets wrong: a share that differs from texture to texture magnifies one part of a
picture more than the other. ``--reduce 2`` measures on a proxy of half the resolution, as the filter does
from 1080p on.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from magfilter.backends import open_engine
from magfilter.blocks import reduced
from magfilter.models import DEFAULT_MODEL, find_model

from .pairs import photographs
from .registration import luma
from .scenes import fourier_shifted

__all__ = ["main", "shares", "shifted"]

SHIFTS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # px
SEEN = 0.6  # a smaller share: taken for noise, for there is hardly any texture
MARGIN = 16  # px of the original; what lies beyond the picture comes in from there


def shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """``image`` (H, W), float, moved by (dx, dy) px without loss; beyond its border it is mirrored."""
    height, width = image.shape
    whole = np.pad(image, ((0, height), (0, width)), mode="symmetric")
    moved = fourier_shifted(np.fft.rfft2(whole)[..., None], whole.shape, np.array([dx, dy]))
    return moved[:height, :width, 0]


def shares(model: str | Path, photos: Sequence[np.ndarray], size: float, reduce: int = 1) -> dict[str, float]:
    """How a shift of ``size`` px is measured, its direction another one for each photograph.

    Args:
        model: name of a shipped model or file, of a network that returns flow.
        photos: (H, W, 3) uint8.
        size: px of what the network sees.
        reduce: side of the blocks of pixels that become one before it looks.

    Returns:
        ``share``: of the shift, mean over photographs of the median in them, 1 is exact; ``between``: its
        standard deviation from photograph to photograph; ``within``: mean over photographs of the standard
        deviation in one; ``seen``: share of photographs whose median is at least ``SEEN``, which alone count.
    """
    engine = open_engine(find_model(model), "onnxruntime-cpu")
    multiple = engine.model.descriptor.pad_multiple
    found = []
    for n, photo in enumerate(photos):
        angle = 2.4 * n  # the golden angle, nearly: no two directions alike
        dx, dy = size * math.cos(angle), size * math.sin(angle)
        light = luma(photo) / 255
        side = [length // (multiple * reduce) * multiple * reduce for length in light.shape]
        if min(side) == 0:
            continue
        light = light[: side[0], : side[1]]
        pair = [light, shifted(light, reduce * dx, reduce * dy)]
        one, two = (reduced(plane[None].astype(np.float32), reduce) if reduce > 1 else plane[None] for plane in pair)
        one, two = (np.ascontiguousarray(plane, np.float32) for plane in (one, two))
        flow = engine.run(one, two, 1.0)
        edge = max(1, MARGIN // reduce)
        inner = flow[:, edge:-edge, edge:-edge]
        share = (inner[0] * dx + inner[1] * dy) / size**2
        found.append((float(np.median(share)), float(share.std())))
    seen = [item for item in found if item[0] >= SEEN]
    medians, spreads = ([item[k] for item in seen] for k in (0, 1))
    if not seen:
        return {"share": math.nan, "between": math.nan, "within": math.nan, "seen": 0.0}
    return {
        "share": float(np.mean(medians)),
        "between": float(np.std(medians)),
        "within": float(np.mean(spreads)),
        "seen": len(seen) / len(found),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a Markdown table, a row for each shift and model."""
    parser = argparse.ArgumentParser(prog="python -m trainer.evaluation.shifts", description=__doc__)
    parser.add_argument(
        "models", nargs="*", default=[DEFAULT_MODEL], help=f"shipped models or ONNX files (default {DEFAULT_MODEL})"
    )
    parser.add_argument("--shift", nargs="+", type=float, default=SHIFTS, metavar="PX")
    parser.add_argument("--reduce", type=int, default=1, help="blocks of so many pixels squared become one")
    parser.add_argument("--photos", type=int, default=16, help="how many of them at most")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args(argv)
    photos = photographs(options.photos)
    if not photos:
        parser.error("No photographs found: MAGFILTER_SHARED names the folder that holds data/eval.")
    rows: list[dict[str, Any]] = []
    for size in options.shift:
        for model in options.models:
            rows.append({"shift, px": size, "model": model} | shares(model, photos, size, options.reduce))
    print("| shift, px | model | share | between photographs | within one | photographs seen |\n" + "|---" * 6 + "|")
    for row in rows:
        figures = " | ".join(f"{row[name]:.3f}" for name in ("share", "between", "within"))
        print(f"| {row['shift, px']:g} | {row['model']} | {figures} | {row['seen']:.0%} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
