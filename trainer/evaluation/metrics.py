"""What a magnifier is judged by, each as a function of its own. Flows are (H, W, 2) px, pictures (H, W, 3) uint8 RGB.

``due`` = F(I0, I1), the motion that is there, and ``seen`` = F(I0, Î), the motion that the magnified frame
shows, both on the reference's grid and by the same estimator F. Where the exact motion is known it takes
the place of F(I0, I1).
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "endpoint_error", "identity_error", "jitter", "leakage", "magnification_error", "motion_error", "psnr",
    "realised_gain",
]  # fmt: skip

EPSILON = 1e-4  # px; the reference implementation's, beside |F(I0, I1)|
MOVES = 0.2  # px; below this a pixel counts as still in the restricted magnification error
STILL = 0.05  # px; below this a pixel is still ground in `leakage`


def motion_error(seen: np.ndarray, due: np.ndarray, alpha: float) -> float:
    """Mean |seen − alpha·due| over all pixels and both components, px: the paper's motion error (§4.2).

    An L1 error, though the text says end-point error: the published code averages u and v.
    """
    return float(np.mean(np.abs(seen - alpha * due)))


def endpoint_error(seen: np.ndarray, due: np.ndarray, alpha: float) -> float:
    """Mean length of seen − alpha·due, px: the motion error as the paper's text has it."""
    return float(np.mean(np.linalg.norm(seen - alpha * due, axis=-1)))


def magnification_error(seen: np.ndarray, due: np.ndarray, alpha: float, above: float | None = None) -> float:
    """Mean | |seen| / (|due| + 1e-4) − alpha |, a difference of factors (paper §4.2 and its published code).

    Args:
        above: count pixels with |due| above this many px alone. None counts all, as published: still
            ground, where the estimator's noise is divided by nearly nothing, then outweighs the motion.

    Returns:
        NaN where no pixel counts.
    """
    size = np.linalg.norm(due, axis=-1)
    ratio = np.abs(np.linalg.norm(seen, axis=-1) / (size + EPSILON) - alpha)
    if above is not None:
        ratio = ratio[size > above]
    return float(ratio.mean()) if ratio.size else float("nan")


def realised_gain(seen: np.ndarray, due: np.ndarray, alpha: float) -> float:
    """The factor that fits best, Σ seen·due / Σ due·due, over alpha: 1 is right, 1/alpha is the unmagnified frame.

    Least squares: weighted by the square of the motion, so that still ground does not count. NaN without motion.
    """
    energy = float(np.sum(due * due))
    return float(np.sum(seen * due)) / energy / alpha if energy > 0 else float("nan")


def leakage(seen: np.ndarray, due: np.ndarray) -> float:
    """Mean |seen| where |due| is below 0.05 px: how far still ground is moved, px. NaN where nothing is still."""
    still = np.linalg.norm(due, axis=-1) < STILL
    return float(np.linalg.norm(seen, axis=-1)[still].mean()) if still.any() else float("nan")


def psnr(picture: np.ndarray, exact: np.ndarray) -> float:
    """Peak signal-to-noise ratio, dB, range 255; infinite for equal pictures."""
    from skimage.metrics import peak_signal_noise_ratio

    if np.array_equal(picture, exact):
        return float("inf")
    return float(peak_signal_noise_ratio(exact, picture, data_range=255))


def identity_error(magnified: np.ndarray, frame: np.ndarray) -> float:
    """Mean |magnified − frame|, code values, of a frame magnified by 1: what a method does when nothing is asked."""
    return float(np.mean(np.abs(magnified.astype(np.float64) - frame)))


def jitter(positions: np.ndarray) -> float:
    """Root mean square of the second difference of a still point's position over time, px.

    Args:
        positions: (T, 2) px, T ≥ 3. Steady drift does not count; flicker does, whatever its direction.

    Raises:
        ValueError: with fewer than three positions.
    """
    if len(positions) < 3:
        raise ValueError(f"Jitter is a second difference: it needs 3 positions, got {len(positions)}.")
    second = np.diff(np.asarray(positions, np.float64), n=2, axis=0)
    return float(np.sqrt(np.mean(np.sum(second * second, axis=-1))))
