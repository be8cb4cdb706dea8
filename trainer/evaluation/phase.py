"""Phase-based magnification of a pair (Wadhwa, Rubinstein, Durand and Freeman, SIGGRAPH 2013): an Eulerian baseline.

Reference and frame are split into the bands of a complex steerable pyramid. A small motion turns
the phase of a band's coefficients; the turn from reference to frame is multiplied, no flow is
estimated, and no pixel is moved.

What departs from the paper: a pair has no temporal band to pass, so that all of the difference is
magnified, sensor noise included; and the bands are one octave wide, as in the pyramid of the package
pyrtools, where the paper has half octaves, too, which carry a motion farther. A turn is known to within
a whole one only, and a band's amplitudes stay where they were: what is to move by much of a band's
wavelength breaks up there. That is the method's nature, not an error to be repaired.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

ORIENTATIONS = 8
SMOOTH = 1.0  # samples of a band; deviation of the Gaussian by which phases are averaged. More mixes the motions of
# an object and its ground: of 1 px due to an object it realises 0.93 px at 0, 0.91 at 1, 0.87 at 2 and 0.78 at 4.
COARSEST = 8  # samples; least size of the coarsest band of a picture
MARGIN = 16  # px; least width by which the picture is mirrored outwards, since a Fourier transform wraps around
TINY = 1e-6  # levels; amplitudes below it have no phase

YIQ = np.array([[0.299, 0.587, 0.114], [0.595901, -0.274557, -0.321344], [0.211537, -0.522736, 0.311200]])
"""RGB → YIQ (NTSC): the planes that the paper works on, each by itself."""


class Phase:
    """The method ``magnify(reference, frame, alpha)``; ``smooth`` is the phases' blur in samples of each band.

    Phases are averaged with the amplitudes as weights, as the paper does against noise: where a band
    has no contrast its phase is chance. 0 leaves them as they are.

    Raises:
        ValueError: if ``smooth`` is not a number of 0 or more, or pyrtools is not installed.
    """

    def __init__(self, smooth: float | str = SMOOTH) -> None:
        try:
            self.smooth = float(smooth)
        except ValueError:
            raise ValueError(f"Write phase or phase:DEVIATION, for example phase:2, not phase:{smooth}") from None
        if not 0 <= self.smooth < 1e3:
            raise ValueError(f"The phases' blur must be 0 or more samples, got {smooth}")
        self._pyramid = _pyramid()

    def __call__(self, reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        before, after = (image.astype(np.float64) @ YIQ.T for image in (reference, frame))
        planes = [self._plane(before[..., k], after[..., k], alpha) for k in range(3)]
        rgb = np.stack(planes, -1) @ np.linalg.inv(YIQ).T
        return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)

    def _plane(self, before: np.ndarray, after: np.ndarray, alpha: float) -> np.ndarray:
        """One plane (H, W) of the result."""
        height, width = after.shape
        levels = max(int(np.log2(min(height, width) / COARSEST)), 1)
        # Only sizes that can be halved at every level are put together again exactly.
        grid = 2**levels
        rows, cols = (-(-(size + 2 * MARGIN) // grid) * grid - size for size in (height, width))
        border = (rows // 2, rows - rows // 2), (cols // 2, cols - cols // 2)
        still, moved = (
            self._pyramid(np.pad(plane, border, "symmetric"), levels, ORIENTATIONS - 1, is_complex=True)
            for plane in (before, after)
        )
        # The two residuals have no phase: the frame's stay.
        for key in (key for key in moved.pyr_coeffs if not isinstance(key, str)):
            moved.pyr_coeffs[key] = self._turned(still.pyr_coeffs[key], moved.pyr_coeffs[key], alpha)
        whole = moved.recon_pyr()
        return whole[border[0][0] : border[0][0] + height, border[1][0] : border[1][0] + width]

    def _turned(self, before: np.ndarray, after: np.ndarray, alpha: float) -> np.ndarray:
        """Coefficients (h, w) complex of one band: the frame's, turned by (alpha − 1) times the turn so far."""
        turn = np.angle(after * before.conj())  # −π…π
        if self.smooth:
            amplitude = np.abs(after) + TINY
            turn = self._blur(amplitude * turn) / self._blur(amplitude)
        return after * np.exp(1j * (alpha - 1) * turn)

    def _blur(self, plane: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(plane, (0, 0), self.smooth, borderType=cv2.BORDER_REFLECT)


def _pyramid() -> Any:
    """pyrtools' pyramid, imported when it is wanted: the package brings matplotlib along."""
    try:
        from pyrtools.pyramids import SteerablePyramidFreq
    except ImportError as error:
        raise ValueError(f"The method phase needs pyrtools ({error}): pip install pyrtools") from None
    return SteerablePyramidFreq
