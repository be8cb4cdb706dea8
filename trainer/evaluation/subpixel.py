"""The subpixel test: motion of 0.04 to 1 px, magnified to 10 px, compared with the exact picture by SSIM.

After Oh et al. (ECCV 2018) and the paper (§4.2): the slower the motion, the larger the factor, so
that the exact output is the same at each level and only the input gets harder. Levels, factors, the
cut-off border and SSIM's parameters are those of the public protocol (Axial-mm, ECCV 2024), whose
pictures are not at hand.

What departs from it: the pictures are ours (:mod:`.scenes`: one blob cut out of a photograph over
another photograph, both never trained on), where Oh et al. composite objects of PASCAL VOC over
COCO. The background moves as theirs does, as far as the object and another way; over still ground,
which is easier to draw and weighs in SSIM with most of the picture, the unmagnified copy alone
reaches 0.91. The copy is rated beside every method, and the numbers compare with the paper's in
their order of magnitude alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .methods import Method, copy, told
from .metrics import psnr
from .registration import background_displacement, registered_displacement
from .scenes import Scene
from .ssim import REGIONS, regions, similarity_map

MAGNIFIED = 10.0  # px; displacement in the exact output at every level
LEVELS = (0.04, 0.1, 0.2, 0.5, 1.0)  # px
ALL_LEVELS = (0.04, 0.05, 0.063, 0.079, 0.1, 0.13, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.79, 1.0)
"""The public protocol's 15 levels in px, geometric with ten to a decade, rounded as published."""


def subpixel(
    magnify: Method, scenes: Sequence[Scene], levels: Sequence[float] = LEVELS, *, noise: float = 0.0
) -> list[dict[str, float]]:
    """One row for each level, statistics over ``scenes``; alpha = 10 px / level.

    ``noise`` is the sensor noise's deviation in 8-bit levels, in both frames; the exact frame has
    none. A row holds ``d`` and ``alpha``; ``ssim`` and ``ssim_mean`` (median, mean) and the same of
    the unmagnified frame, ``copy`` and ``copy_mean``; ``psnr`` (median, dB); ``gain``, ``low`` and
    ``high``: the object's registered displacement along its motion over 10 px (median, quartiles);
    ``background``: median of the mean distance of the background's tiles from where they should be,
    px; and for each of ``REGIONS`` ``ssim_<region>``, the mean SSIM there over all scenes, and
    ``lost_<region>``, its share 0…1 of all SSIM that is lost.
    """
    rows = []
    parts = [regions(scene.hidden(MAGNIFIED), scene.mask(MAGNIFIED)) for scene in scenes]
    for d in levels:
        alpha = MAGNIFIED / d
        found: dict[str, list[float]] = {name: [] for name in ("ssim", "psnr", "copy", "gain", "background")}
        lost, area = dict.fromkeys(REGIONS, 0.0), dict.fromkeys(REGIONS, 0)
        for scene, part in zip(scenes, parts, strict=True):
            reference, frame, exact = scene.reference(noise), scene.frame(d, noise), scene.magnified(d, alpha)
            magnified = told(magnify, scene, d)(reference, frame, alpha)
            similar = similarity_map(magnified, exact)
            due = MAGNIFIED * scene.direction
            seen = registered_displacement(reference, magnified, scene.mask(), due)
            found["ssim"].append(float(similar.mean()))
            found["psnr"].append(psnr(magnified, exact))
            found["copy"].append(float(similarity_map(copy(reference, frame, alpha), exact).mean()))
            found["gain"].append(float(seen.vector @ scene.direction) / MAGNIFIED)
            # Against the exact picture, seen from which the object's way leads back.
            found["background"].append(background_displacement(exact, magnified, scene.mask(due), -due))
            for name, chosen in part.items():
                lost[name] += float(np.sum(1 - similar[chosen]))
                area[name] += int(chosen.sum())
        low, middle, high = np.percentile(found["gain"], (25, 50, 75))
        row = {
            "d": float(d), "alpha": alpha,
            "ssim": float(np.median(found["ssim"])), "ssim_mean": float(np.mean(found["ssim"])),
            "psnr": float(np.median(found["psnr"])),
            "copy": float(np.median(found["copy"])), "copy_mean": float(np.mean(found["copy"])),
            "gain": float(middle), "low": float(low), "high": float(high),
            "background": float(np.nanmedian(found["background"])), "scenes": float(len(scenes)),
        }  # fmt: skip
        every = max(sum(lost.values()), 1e-12)  # a perfect method loses nothing anywhere
        row |= {f"ssim_{name}": 1 - lost[name] / max(area[name], 1) for name in REGIONS}
        row |= {f"lost_{name}": lost[name] / every for name in REGIONS}
        rows.append(row)
    return rows
