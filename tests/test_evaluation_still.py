"""What stands still: how much noise a method adds to it, and how far it moves it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
from test_evaluation import texture  # puts the repository on the path, too

from trainer.evaluation import methods, protocol


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [texture(seed) for seed in range(4)]


def test_still_noise_ratio(photos):
    assert protocol.still_noise_ratio(methods.copy, photos[:2]) == 0

    def linear(reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        out = reference + alpha * (frame.astype(np.float64) - reference)
        return np.clip(np.rint(out), 0, 255).astype(np.uint8)

    ratio = protocol.still_noise_ratio(linear, photos[:2], alpha=4.0)
    assert ratio == pytest.approx(3 * np.sqrt(2), rel=0.05)


def test_still_displacement(photos):
    applied, registered = protocol.still_displacement(methods.copy, photos[:2])
    assert np.isnan(applied)
    assert registered == pytest.approx(0, abs=1e-9)

    class Shaken:
        def __call__(self, reference, frame, alpha):
            return np.roll(frame, 1, axis=1)

        def displacement(self):
            return np.stack([np.full((5, 5), -0.6), np.full((5, 5), 0.8)])

    applied, registered = protocol.still_displacement(Shaken(), photos[:1])
    assert applied == pytest.approx(1)
    assert registered == pytest.approx(1, abs=0.05)


def test_filter_says_by_how_much_it_moved_what(photos):
    magnify = methods.method("model:warp")
    assert magnify.displacement() is None
    a, b = (texture(1, (131, 160), shift=(u, 0)) for u in (0, 0.5))
    magnify(a, b, 3.0)
    moved = magnify.displacement()
    assert moved.shape == (2, 66, 80)
    assert np.median(moved[0]) == pytest.approx(-1, abs=0.15)  # (1 − alpha) · 0.5 px
    assert abs(np.median(moved[1])) < 0.1


def test_shipped_filter_leaves_what_stands_still(photos):
    """Acceptance: sensor noise of 2/255 moves a still picture by less than 0.1 px at alpha 20."""
    applied, registered = protocol.still_displacement(methods.method("model:warp"), photos[:2], size=256)
    assert applied < 0.1
    assert registered < 0.1
