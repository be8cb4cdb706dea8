"""End-point errors of flow estimators where the flow is known: `python -m trainer flow-errors`.

Three tests, none on pictures that anything here was trained on: Middlebury's RubberWhale
(small real motion with measured ground truth), photographs shifted by the Fourier theorem
(exact to rounding), and layered scenes painted from photographs of the evaluation clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from trainer.evaluation.estimators import Flow, estimator, network
from trainer.evaluation.pairs import EVAL_ROOT, photographs, read_image
from trainer.evaluation.scenes import fourier_shifted
from trainer.scenes import LayeredScenes, add_capture

__all__ = ["SHIFTS", "known_shifts", "read_flo", "rubberwhale", "scenes", "table"]

SHIFTS = (0.1, 0.2, 0.5, 1.0, 2.0, 8.0, 16.0)  # px
BORDER = 24  # px left out where a shift brings in the other side of the picture
CROP = 384  # px
UNKNOWN = 1e9  # Middlebury marks points without ground truth by larger values
BANDS = ((0.0, 0.1), (0.1, 1.0), (1.0, 4.0), (4.0, 24.0))  # px, of the layered scenes' motion


def read_flo(path: Path) -> np.ndarray:
    """A Middlebury .flo file: (H, W, 2) float32, px.

    Raises:
        ValueError: if the file is none.
    """
    data = path.read_bytes()
    if len(data) < 12 or np.frombuffer(data[:4], "<f4")[0] != np.float32(202021.25):
        raise ValueError(f"{path}: not a Middlebury .flo file.")
    width, height = (int(n) for n in np.frombuffer(data[4:12], "<i4"))
    if min(width, height) < 1 or len(data) != 12 + 8 * width * height:
        raise ValueError(f"{path}: damaged; {width} × {height} points do not take {len(data)} bytes.")
    return np.frombuffer(data[12:], "<f4").reshape(height, width, 2)


def rubberwhale(flow: Flow, root: Path = EVAL_ROOT) -> float:
    """Mean end-point error, px, over the points with ground truth."""
    folder = root / "flow"
    a, b = (read_image(next(iter(sorted(folder.rglob(f"*frame{n}*"))))) for n in (10, 11))
    truth = read_flo(next(iter(sorted(folder.rglob("*.flo")))))
    known = np.abs(truth).max(-1) < UNKNOWN
    return float(np.linalg.norm(flow(a, b) - truth, axis=-1)[known].mean())


def _shifted(photo: np.ndarray, x: float, y: float) -> np.ndarray:
    moved = fourier_shifted(np.fft.rfft2(photo.astype(np.float64), axes=(0, 1)), photo.shape[:2], np.array([x, y]))
    return np.clip(np.rint(moved), 0, 255).astype(np.uint8)


def known_shifts(flow: Flow, count: int = 6, seed: int = 0, root: Path = EVAL_ROOT) -> dict[float, float]:
    """Median end-point error, px, over `count` photographs, for every shift of `SHIFTS`."""
    rng = np.random.default_rng(seed)
    photos = [cv2.GaussianBlur(photo[:CROP, :CROP], (0, 0), 0.6) for photo in photographs(count, root)]
    angles = rng.uniform(0, 2 * np.pi, len(photos))
    found = {}
    for shift in SHIFTS:
        errors = []
        for photo, angle in zip(photos, angles, strict=True):
            d = shift * np.array([np.cos(angle), np.sin(angle)])
            seen = flow(photo, _shifted(photo, *d))[BORDER:-BORDER, BORDER:-BORDER]
            errors.append(float(np.median(np.linalg.norm(seen - d, axis=-1))))
        found[shift] = float(np.median(errors))
    return found


def _held_out(count: int, seed: int, root: Path) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    tiles = [cv2.resize(photo, (512, 512), interpolation=cv2.INTER_AREA) for photo in photographs(12, root)]
    bank = torch.from_numpy(np.stack(tiles).transpose(0, 3, 1, 2).copy())
    painter = LayeredScenes(bank, torch.zeros(0, 4, 192, 192, dtype=torch.uint8), 256, seed, speeds=(0.05, 24.0))
    for _ in range(count // 4):
        with torch.no_grad():
            scene = painter(4)
            reference, frame = add_capture(scene.reference, scene.frame, painter.g)
        a, b = ((x * 255).round().byte().permute(0, 2, 3, 1).numpy() for x in (reference, frame))
        yield from zip(a, b, scene.flow.permute(0, 2, 3, 1).numpy(), strict=True)


def scenes(flow: Flow, count: int = 24, seed: int = 4321, root: Path = EVAL_ROOT) -> dict[tuple[float, float], float]:
    """Mean end-point error, px, by the true motion's size, on layered scenes of held-out photographs."""
    sums = {band: [0.0, 0] for band in BANDS}
    for a, b, exact in _held_out(count, seed, root):
        seen = flow(a, b)
        seen = seen.reshape(seen.shape[0] // 2, 2, seen.shape[1] // 2, 2, 2).mean((1, 3))
        size, error = np.linalg.norm(exact, axis=-1), np.linalg.norm(seen - exact, axis=-1)
        for low, high in BANDS:
            here = (size >= low) & (size < high)
            sums[low, high][0] += float(error[here].sum())
            sums[low, high][1] += int(here.sum())
    return {band: total / max(number, 1) for band, (total, number) in sums.items()}


def table(names: list[str], root: Path = EVAL_ROOT, updates: int = 20) -> Iterator[str]:
    """Markdown lines, one estimator a row; errors in px.

    Raises:
        ValueError: if an estimator is unknown, its weights cannot be had, or the data are missing.
    """
    # All of them first: a name that is none is told before anything is measured, and whether or not there are data.
    flows = [estimator(name) if name == "dis" or updates == 20 else network(name, updates=updates) for name in names]
    lacking = [str(root / name) for name in ("flow", "pairs", "clips") if not (root / name).is_dir()]
    if lacking:
        raise ValueError(f"{', '.join(lacking)}: no such folder; set MAGFILTER_SHARED to the project's data.")
    heads = [f"shift {shift:g}" for shift in SHIFTS] + [f"scenes {low:g}–{high:g}" for low, high in BANDS]
    yield "| estimator | RubberWhale | " + " | ".join(heads) + " |"
    yield "|---|---|" + "---|" * len(heads)
    for name, flow in zip(names, flows, strict=True):
        values = [rubberwhale(flow, root), *known_shifts(flow, root=root).values(), *scenes(flow, root=root).values()]
        yield f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |"
