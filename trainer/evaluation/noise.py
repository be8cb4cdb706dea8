"""Photon noise, which is what remains when everything else of a camera is perfect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["FACTORS", "QUICK_FACTORS", "photon_noise"]

PHOTONS = 2000.0  # that make a white pixel at factor 1: a small sensor in a room
FACTORS = tuple(round(10 ** (-2 + k / 5), 2) for k in range(21))
"""The 21 levels of the noise test of Oh et al. (ECCV 2018) as the paper lists them (Table A6), 0.01 to 100."""
QUICK_FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0)


def photon_noise(picture: np.ndarray, factor: float, seed: Sequence[int]) -> np.ndarray:
    """The picture as so many fewer photons show it: uint8, of a picture 0…255.

    The variance of a pixel is its brightness times ``factor`` over 2000: 4 code values of deviation in
    mid-grey at factor 1, 40 at 100. What Oh et al. call factor 1 their paper does not say.
    """
    photons = PHOTONS / factor
    counted = np.random.default_rng(tuple(seed)).poisson(np.clip(picture, 0, 255) / 255 * photons)
    return np.clip(np.rint(counted * (255 / photons)), 0, 255).astype(np.uint8)
