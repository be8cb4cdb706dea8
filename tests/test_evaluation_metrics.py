"""Each metric by itself, on cases whose answer is algebra."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
pytest.importorskip("skimage", reason="PSNR is scikit-image's")
from test_evaluation import flat  # puts the repository on the path, too

from trainer.evaluation import metrics

ALPHA = 8.0


@pytest.fixture(scope="module")
def due() -> np.ndarray:
    """Motion in all directions, 0 to 2 px."""
    rng = np.random.default_rng(0)
    angle, size = rng.uniform(0, 2 * np.pi, (40, 50)), rng.uniform(0, 2, (40, 50))
    return np.stack([size * np.cos(angle), size * np.sin(angle)], -1)


def uniform(x: float, y: float) -> np.ndarray:
    return np.full((6, 7, 2), (x, y), np.float64)


# --- flow -----------------------------------------------------------------------------------------


def test_perfect_magnifier(due):
    seen = ALPHA * due
    assert metrics.motion_error(seen, due, ALPHA) == 0
    assert metrics.endpoint_error(seen, due, ALPHA) == 0
    assert metrics.realised_gain(seen, due, ALPHA) == pytest.approx(1)
    # Beside |due| stands 1e-4 px, as in the published code: above 0.2 px that is less than 1/2000 of the factor.
    assert metrics.magnification_error(seen, due, ALPHA, metrics.MOVES) < ALPHA * 1e-4 / metrics.MOVES


def test_unmagnified_copy_scores_what_is_missing(due):
    size = np.linalg.norm(due, axis=-1)
    assert metrics.motion_error(due, due, ALPHA) == pytest.approx((ALPHA - 1) * np.abs(due).mean())
    assert metrics.endpoint_error(due, due, ALPHA) == pytest.approx((ALPHA - 1) * size.mean())
    assert metrics.realised_gain(due, due, ALPHA) == pytest.approx(1 / ALPHA)
    moving = metrics.magnification_error(due, due, ALPHA, metrics.MOVES)
    assert moving == pytest.approx(ALPHA - 1, rel=1e-3)
    assert metrics.magnification_error(due, due, ALPHA) == pytest.approx(np.mean(ALPHA - size / (size + 1e-4)))


def test_at_alpha_1_the_copy_is_perfect(due):
    assert metrics.motion_error(due, due, 1) == metrics.endpoint_error(due, due, 1) == 0
    assert metrics.realised_gain(due, due, 1) == pytest.approx(1)


def test_motion_error_is_l1_and_end_point_error_a_length():
    due = uniform(0, 0)
    assert metrics.motion_error(uniform(3, -4), due, 5) == pytest.approx(3.5)
    assert metrics.endpoint_error(uniform(3, -4), due, 5) == pytest.approx(5)


def test_magnification_error_knows_lengths_alone_and_counts_where_it_is_told():
    due = uniform(1, 0)
    turned = uniform(0, -4)
    assert metrics.magnification_error(turned, due, 4) == pytest.approx(0, abs=1e-3)
    # Still ground on which an estimator sees 0.01 px: a factor of 100, where the motion is exact.
    due[:3], seen = 0, 4 * due
    seen[:3] = 0.01, 0
    assert metrics.magnification_error(seen, due, 4) == pytest.approx((100 - 4) / 2, rel=1e-2)
    assert metrics.magnification_error(seen, due, 4, above=0.2) == pytest.approx(0, abs=1e-3)
    assert np.isnan(metrics.magnification_error(seen, due, 4, above=1.0))  # nothing is above


def test_gain_has_a_sign_and_does_not_see_still_ground(due):
    assert metrics.realised_gain(-ALPHA * due, due, ALPHA) == pytest.approx(-1)
    across = np.stack([-due[..., 1], due[..., 0]], -1)
    assert metrics.realised_gain(across, due, ALPHA) == pytest.approx(0)
    half = due.copy()
    half[:20] = 0
    seen = ALPHA * half
    seen[:20] = 3
    assert metrics.realised_gain(seen, half, ALPHA) == pytest.approx(1)
    assert np.isnan(metrics.realised_gain(seen, np.zeros_like(due), ALPHA))


def test_leakage_is_the_motion_of_what_is_still():
    due = uniform(2, 0)
    due[:3] = 0.03, 0.03  # 0.042 px: still
    seen = 4 * due
    seen[:3] = 0.3, 0.4
    assert metrics.leakage(seen, due) == pytest.approx(0.5)
    due[:3] = 0.04, 0.04  # 0.057 px: not still
    assert np.isnan(metrics.leakage(seen, due))


# --- pictures -------------------------------------------------------------------------------------


def test_psnr():
    assert metrics.psnr(flat(7), flat(7)) == np.inf
    assert metrics.psnr(flat(7), flat(8)) == pytest.approx(20 * np.log10(255))
    assert metrics.psnr(flat(0), flat(255)) == pytest.approx(0)


def test_identity_error_does_not_wrap_around():
    assert metrics.identity_error(flat(9), flat(9)) == 0
    assert metrics.identity_error(flat(0), flat(255)) == metrics.identity_error(flat(255), flat(0)) == 255
    half = flat(10)
    half[:16] = 13
    assert metrics.identity_error(half, flat(10)) == pytest.approx(1.5)


# --- time -----------------------------------------------------------------------------------------


def test_jitter_is_not_drift():
    time = np.arange(9.0)[:, None]
    drift = 5 + time * (0.3, -0.2)
    flicker = (-1.0) ** time
    assert metrics.jitter(drift) == pytest.approx(0, abs=1e-12)
    assert metrics.jitter(drift + flicker * (1, 0)) == pytest.approx(4)  # second differences of ±1 are ±4
    assert metrics.jitter(drift + flicker * (1, -1)) == pytest.approx(4 * np.sqrt(2))
    assert metrics.jitter(time**2 * (0.5, 0)) == pytest.approx(1)  # a steady acceleration is counted


def test_jitter_needs_three_positions():
    with pytest.raises(ValueError, match="3 positions, got 2"):
        metrics.jitter(np.zeros((2, 2)))
