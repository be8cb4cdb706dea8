"""The measurements on many pairs or scenes, one function each; :mod:`.suites` puts them to every method.

Everything takes a method ``magnify(reference, frame, alpha) -> magnified`` on (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from . import metrics
from .estimators import Flow, estimator
from .methods import Method, told
from .pairs import Pair, PairFilter, paper_filter, photographs, real_pairs, resize_crop
from .registration import Displacement, background_displacement, registered_displacement
from .scenes import Scene, known_motion_scenes
from .subpixel import subpixel

__all__ = [
    "Displacement", "Pair", "PairFilter", "Scene", "background_displacement", "known_motion",
    "known_motion_scenes", "motion_error", "paper_filter", "photographs", "real_errors", "real_pairs",
    "registered_displacement", "still_displacement", "still_noise_ratio", "subpixel",
]  # fmt: skip


def motion_error(
    a: np.ndarray,
    b: np.ndarray,
    magnified: np.ndarray,
    alpha: float,
    flow: Flow | str,
    flow_ab: np.ndarray | None = None,
) -> float:
    """The paper's motion error in pixels: mean |F(a, magnified) − alpha · F(a, b)|.

    See :func:`.metrics.motion_error`. ``flow_ab`` is F(a, b), if already known.
    """
    flow = estimator(flow) if isinstance(flow, str) else flow
    return metrics.motion_error(flow(a, magnified), flow(a, b) if flow_ab is None else flow_ab, alpha)


def real_errors(
    methods: dict[str, Method],
    pairs: Iterable[Pair],
    alphas: Sequence[float] = (2, 4, 10, 16),
    flows: Sequence[str] = ("dis", "spynet"),
) -> dict[tuple[str, str, float], np.ndarray]:
    """Motion errors of every pair: ``{(method, estimator, alpha): (pairs,) float64}``."""
    engines = {name: estimator(name) for name in flows}
    errors: dict[tuple[str, str, float], list[float]] = {
        (m, f, float(alpha)): [] for m in methods for f in flows for alpha in alphas
    }
    for _, a, b in pairs:
        due = {name: engine(a, b) for name, engine in engines.items()}
        for method, magnify in methods.items():
            for alpha in alphas:
                # `copy` gives the same picture at every alpha: its flow is the one at hand.
                magnified = magnify(a, b, float(alpha))
                same = np.array_equal(magnified, b)
                for name, engine in engines.items():
                    seen = due[name] if same else engine(a, magnified)
                    error = metrics.motion_error(seen, due[name], float(alpha))
                    errors[method, name, float(alpha)].append(error)
    return {key: np.array(values) for key, values in errors.items()}


def known_motion(
    magnify: Method,
    scenes: Sequence[Scene],
    displacements: Sequence[float] = (0.05, 0.1, 0.2, 0.5, 1.0),
    alphas: Sequence[float] = (2, 5, 10),
    *,
    noise: float = 0.0,
    longest: float = 25.0,
) -> list[dict[str, float]]:
    """Realised over due displacement of a known object, for each displacement × alpha.

    ``displacements`` in pixels (input), ``noise`` the sensor noise's deviation in 8-bit levels,
    ``longest`` the largest due displacement in pixels that is asked for. Each row holds ``d``,
    ``alpha``, ``ratio`` (median of realised/due along the motion), ``low``/``high`` (quartiles),
    ``across`` (median |displacement across the motion|, px), ``background`` (median over the scenes
    of the mean |displacement| of still tiles, px), ``psnr`` (median against the exact picture, dB)
    and ``scenes``.
    """
    rows = []
    for d in displacements:
        for alpha in alphas:
            if d * alpha > longest:
                continue
            along, across, still, psnr = [], [], [], []
            for scene in scenes:
                reference, frame = scene.reference(noise), scene.frame(d, noise)
                magnified = told(magnify, scene, d)(reference, frame, float(alpha))
                due = d * alpha * scene.direction
                seen = registered_displacement(reference, magnified, scene.mask(), due)
                along.append(float(seen.vector @ scene.direction) / (d * alpha))
                normal = np.array([-scene.direction[1], scene.direction[0]])
                across.append(abs(float(seen.vector @ normal)))
                still.append(background_displacement(reference, magnified, scene.mask(), due))
                psnr.append(metrics.psnr(magnified, scene.render(due)))
            low, middle, high = np.percentile(along, (25, 50, 75))
            rows.append(
                {
                    "d": float(d), "alpha": float(alpha), "ratio": float(middle), "low": float(low),
                    "high": float(high), "across": float(np.median(across)),
                    "background": float(np.nanmedian(still)), "psnr": float(np.median(psnr)),
                    "scenes": float(len(scenes)),
                }
            )  # fmt: skip
    return rows


def still_noise_ratio(
    magnify: Method,
    photos: Sequence[np.ndarray] | None = None,
    *,
    alpha: float = 10.0,
    std: float = 2.0,
    frames: int = 2,
    size: int = 384,
    seed: int = 0,
) -> float:
    """How much noise a method adds to a still clip: std(output − input) / std(noise).

    ``photos`` (default: eight evaluation photographs) are cropped to ``size`` pixels and get fresh
    Gaussian noise of ``std`` 8-bit levels (2/255) in each frame, the reference included; the mean
    over photographs and ``frames`` is returned. 0: output is input. A method that magnifies noise
    as if it were motion of brightness would score (alpha − 1)·√2.
    """
    ratios = []
    for clean, reference, frame in _still_shots(photos, std, frames, size, seed):
        added = magnify(reference, frame, alpha).astype(np.float64) - frame
        ratios.append(float(added.std() / (frame - clean).std()))
    return float(np.mean(ratios))


def still_displacement(
    magnify: Method,
    photos: Sequence[np.ndarray] | None = None,
    *,
    alpha: float = 20.0,
    std: float = 2.0,
    frames: int = 1,
    size: int = 384,
    seed: int = 0,
) -> tuple[float, float]:
    """How far a method moves what stands still: mean |displacement| in pixels ``(applied, registered)``.

    The clip is that of :func:`still_noise_ratio`. ``applied`` is the mean over all pixels of what the
    method says that it moved them by; NaN if it has no ``displacement()`` to say so. ``registered``
    is the mean over textured tiles of the output, registered against the unmagnified frame.
    """
    applied, registered = [], []
    for _, reference, frame in _still_shots(photos, std, frames, size, seed):
        magnified = magnify(reference, frame, alpha)
        moved = magnify.displacement() if hasattr(magnify, "displacement") else None
        if moved is not None:
            applied.append(float(np.hypot(*moved).mean()))
        registered.append(background_displacement(frame, magnified, np.zeros(frame.shape[:2]), np.zeros(2)))
    return float(np.mean(applied)) if applied else float("nan"), float(np.nanmean(registered))


def _still_shots(
    photos: Sequence[np.ndarray] | None, std: float, frames: int, size: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """``(clean, reference, frame)`` for each photograph, ``frames`` times: the same picture under fresh noise."""
    rng = np.random.default_rng(seed)
    for photo in photographs(8) if photos is None else photos:
        clean = resize_crop(photo, size).astype(np.float64)
        # Into the range first: clipping would make the noise smaller in the highlights and shadows.
        clean = 8 + clean * (239 / 255)

        def shot(clean: np.ndarray = clean) -> np.ndarray:
            return np.clip(np.rint(clean + rng.normal(0, std, clean.shape)), 0, 255).astype(np.uint8)

        reference = shot()
        for _ in range(frames):
            yield clean, reference, shot()
