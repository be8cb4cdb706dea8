"""How far a measured displacement is off: from the scatter of what rests, scaled to the region.

Patches of still background are registered as the regions are. What they have in common is the camera's motion, which
no size averages away. What they do not is noise; over what white noise of their own residue would give them, it
says by how much noise that hangs together (compression, flicker) is worse. A region's variance is then

    camera² + worse × (white noise of its own residue, through its own texture and size),

where worse is 1 or more, so that a background an encoder has frozen does not vouch for a region that it has not.

With the camera's motion taken off, camera² is what is not known of it at the region: what the patches scatter, and how
far they lie from there.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.measure.camera import camera_of, moves_by, uncertain, unknowns
from magfilter.measure.register import Patch
from magfilter.measure.repeats import thinned
from magfilter.measure.spectrum import FEWEST, power

__all__ = ["Background", "StillNoise"]

Floats = NDArray[np.float64]

LOST = 0.3  # correlation below which a patch was not found
SMOOTH = 9  # frequencies over which the floor is averaged: about two that can be told apart


@dataclass(frozen=True)
class StillNoise:
    """A region's noise.

    Attributes:
        variance: (n, 2, 2) px², covariance of the displacement, frame by frame.
        white: (2, 2) px², what of it varies from frame to frame, without the camera's motion.
        shape: (k,) the floor's power over frequency in units of white noise of variance 1; empty if unknown.
        camera: (2, k) px², power of the background's common motion; empty if unknown or taken off.
    """

    variance: Floats
    white: Floats
    shape: Floats = field(repr=False)
    camera: Floats = field(repr=False)

    def floor(self, unit: Floats, rms: float, count: int) -> Floats:
        """(count,) px, root mean square that noise reads in a spectrum along a unit vector (2,).

        `rms` is what white noise of standard deviation 1 reads.
        """
        level = np.full(count, rms**2)
        if len(self.shape) == count:
            level = np.maximum(self.shape, level)
        level = level * float(unit @ self.white @ unit)
        if self.camera.shape[-1] == count:
            level = level + unit**2 @ self.camera
        return np.asarray(np.sqrt(level))


class Background:
    """The still patches' tracks, and what they say about the camera and the noise.

    Args:
        patches: of what rests, with texture both ways; may be none.
        detrend: the camera's motion is taken off the regions.
    """

    def __init__(self, patches: Sequence[Patch], detrend: bool) -> None:
        self.patches, self.detrend = patches, detrend
        self._tracks = array("f")  # (n, patches, 2)
        self._noises = array("f")  # (n, patches)
        self._last = [np.zeros(2) for _ in patches]
        self._at = np.array([patch.centre for patch in patches]).reshape(-1, 2)
        self._weights = np.array([1 / np.trace(patch.sigma) for patch in patches])

    def follow(self, light: NDArray[np.float32], flow: Any) -> Floats:
        """Find the patches in a frame (H, W); the camera's motion as (3, 2): at (0, 0), per px right, per px down.

        `flow(patch)` gives a start (x, y) for one that was lost.
        """
        off, noises = np.zeros((len(self.patches), 2)), np.zeros(len(self.patches))
        for k, patch in enumerate(self.patches):
            fit = patch.find(light, self._last[k])
            if fit.likeness < 0.5 or np.abs(fit.vector - self._last[k]).max() > 0.75:
                other = patch.find(light, flow(patch))
                fit = other if other.likeness > fit.likeness else fit
            if fit.likeness < LOST:  # hidden, or out of the picture
                off[k], noises[k] = np.nan, np.nan
            else:
                off[k], noises[k] = fit.vector, fit.noise
                self._last[k] = fit.vector
        self._tracks.extend(off.ravel())
        self._noises.extend(noises)
        return camera_of(self._at, off, self._weights) if self.patches else np.zeros((3, 2))

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Forget all but some of the frames (n,)."""
        self._tracks, self._noises = thinned(self._tracks, kept), thinned(self._noises, kept)

    def noise_of(self, patch: Patch, residue: Floats, times: Floats, rate: float, even: bool) -> StillNoise:
        """The noise of a region's patch, whose residue (n,) was `Fit.noise`, frame by frame."""
        count = len(residue)
        told = residue[np.isfinite(residue)]
        typical = float(np.mean(told**2)) if len(told) else np.nan
        sigma = np.nan_to_num(patch.sigma)
        none = np.zeros(0)
        worse, shape, camera, common, off = 1.0, none, none, np.zeros((2, 2)), np.zeros((2, 2))
        if self.patches and count > 1:
            tracks, alone, unit = self._parts(count)
            # The first frame is often the reference itself, and says nothing.
            worse = max(1.0, float((alone[1:] ** 2).sum() / max((unit[1:] ** 2).sum(), 1e-20)))
            known = np.isfinite(tracks)
            counts = self._weights[:, None] * known
            middle = (np.where(known, tracks, 0) * counts).sum(1) / np.maximum(counts.sum(1), 1e-20)
            scatter = float((alone[1:] ** 2).sum() / max(int(known[1:].sum()), 1))
            # Of one patch alone it is not known how far the ground follows it.
            untold = not self.detrend or len(self.patches) == 1
            if untold:
                own = scatter / 2 / len(self.patches)  # noise of the middle itself
                seen = middle.T @ middle / count - np.eye(2) * own
                values, vectors = np.linalg.eigh(seen)
                common = (vectors * np.clip(values, 0, None)) @ vectors.T
            else:
                off = uncertain(self._at, self._weights, patch.centre) * scatter * np.eye(2)
            if count >= FEWEST:
                shape, camera = self._spectra(alone, unit, middle, times, rate, even)
                camera = camera if untold else none
        per_frame = np.where(np.isfinite(residue), residue, np.sqrt(typical))[:, None, None] ** 2
        variance = common + off + worse * per_frame * sigma
        # Half of the residue's noise, and of the patches', is the reference's, the same in every frame.
        return StillNoise(variance, (off + worse * typical * sigma) / 2, shape, camera)

    def _parts(self, count: int) -> tuple[Floats, Floats, Floats]:
        """Tracks (n, p, 2), those without what they have in common, and the scatter that white noise would give.

        Where a patch was not seen, its track is NaN and the others are 0.
        """
        tracks = np.frombuffer(self._tracks, np.float32).reshape(count, -1, 2).astype(np.float64)
        noises = np.frombuffer(self._noises, np.float32).reshape(count, -1).astype(np.float64)
        alone = np.empty_like(tracks)
        for k, off in enumerate(tracks):
            alone[k] = off - moves_by(camera_of(self._at, off, self._weights), self._at)
        spent = unknowns(self._at)  # unknowns that the camera's motion has taken
        if len(self.patches) > spent:
            alone *= np.sqrt(len(self.patches) / (len(self.patches) - spent))
        sides = np.sqrt(np.array([np.diag(patch.sigma) for patch in self.patches]))
        return tracks, np.nan_to_num(alone), np.nan_to_num(noises)[:, :, None] * sides

    def _spectra(
        self, alone: Floats, unit: Floats, middle: Floats, times: Floats, rate: float, even: bool
    ) -> tuple[Floats, Floats]:
        total: Any = 0.0
        size = max(float((alone[1:] ** 2).sum()), 1e-20) / max(1, len(alone) - 1) / 2
        for k in range(alone.shape[1]):
            for axis in (0, 1):
                total = total + power(alone[:, k, axis], times, rate, even=even)
        kernel = np.ones(SMOOTH) / SMOOTH
        shape = np.convolve(np.pad(total / size, SMOOTH // 2, mode="edge"), kernel, mode="valid")
        camera = np.stack([power(middle[:, axis], times, rate, even=even) for axis in (0, 1)])
        own = shape * (size / alone.shape[1] ** 2 / 2)
        return shape, np.clip(camera - own, 0, None)
