"""Structural similarity (SSIM, Wang et al. 2004) of two pictures, and where in the picture it is lost."""

from __future__ import annotations

import cv2
import numpy as np

BORDER = 8  # px cut off before comparing, as the public protocol of Axial-mm (ECCV 2024) does to hide border effects
REACH = 5  # px; half the window of SSIM's Gaussian: skimage cuts 1.5 px of deviation off at 3.5 deviations
REGIONS = ("inside", "rim", "uncovered", "background")


def similarity_map(picture: np.ndarray, exact: np.ndarray, border: int = BORDER) -> np.ndarray:
    """SSIM of every window that lies wholly within the picture less its ``border``, (h, w) float64, mean of R, G, B.

    ``picture`` and ``exact`` are (H, W, 3) uint8 RGB; h = H − 2·(border + REACH), w likewise; the
    mean over it is the SSIM. Parameters as in Wang et al.: Gaussian window of 11 px with deviation
    1.5 px, biased covariance, K1 = 0.01, K2 = 0.03, range 255, each channel by itself. They are also
    those of pytorch_msssim, by which the public protocol measures; scikit-image's own default (a
    flat window of 7 px) gives slightly different numbers.
    """
    from skimage.metrics import structural_similarity

    if picture.shape != exact.shape:
        raise ValueError(f"Pictures of two sizes: {picture.shape} and {exact.shape}")
    inner = np.s_[border : picture.shape[0] - border, border : picture.shape[1] - border]
    _, full = structural_similarity(
        picture[inner], exact[inner], data_range=255, channel_axis=2, full=True,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    return np.asarray(full, np.float64)[REACH:-REACH, REACH:-REACH].mean(-1)


def ssim(picture: np.ndarray, exact: np.ndarray, border: int = BORDER) -> float:
    """SSIM −1…1 of two (H, W, 3) uint8 RGB pictures; see :func:`similarity_map`."""
    return float(similarity_map(picture, exact, border).mean())


def regions(before: np.ndarray, after: np.ndarray, border: int = BORDER) -> dict[str, np.ndarray]:
    """The picture in parts by what their SSIM windows see: ``{name: (h, w) bool}`` on the map's grid.

    ``before`` and ``after`` (H, W) in 0…1 are the object's mask in the reference and in the exact
    magnified frame. ``inside``: windows filled by the object at its magnified place. ``uncovered``:
    windows that see ground that the object left, which no frame shows. ``rim``: the remaining
    windows across the object's outline. ``background``: all others.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH + 1, 2 * REACH + 1))
    solid, touched = ((after > bound).astype(np.uint8) for bound in (0.99, 0.01))
    left = ((before > 0.01) & (after < 0.99)).astype(np.uint8)
    inside = cv2.erode(solid, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)
    rim = cv2.dilate(touched, disc).astype(bool) & ~inside
    # Opened first: around the whole outline the two soft edges differ by slivers that nobody sees.
    left = cv2.morphologyEx(left, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    uncovered = cv2.dilate(left, disc).astype(bool) & ~inside
    parts = {
        "inside": inside,
        "rim": rim & ~uncovered,
        "uncovered": uncovered,
        "background": ~(inside | rim | uncovered),
    }
    cut = border + REACH
    return {name: part[cut:-cut, cut:-cut] for name, part in parts.items()}
