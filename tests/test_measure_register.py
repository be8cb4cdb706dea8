"""Registration of a patch on pictures that were moved exactly; no network, no video."""

from __future__ import annotations

import numpy as np
import pytest
from vibrations import SIZE, moved, texture

from magfilter.measure.register import Patch

SPECTRUM = texture(0, SIZE)
WAYS = [(0.05, 0.0), (0.0, 0.1), (-0.3, 0.25), (0.5, -0.5), (1.3, 2.7), (-4.6, 0.0)]


def picture(way: tuple[float, float], noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Luma 0..1; noise in levels of 255."""
    grain = np.random.default_rng(seed).normal(0, noise, SIZE) if noise else 0
    return ((moved(SPECTRUM, SIZE, way) + grain) / 255).astype(np.float32)


def patch(reference: np.ndarray, noise: float = 0.0) -> Patch:
    return Patch(reference, (30, 40), np.ones((60, 80)), noise / 255)


@pytest.mark.parametrize("way", WAYS)
def test_an_exact_shift_is_found(way):
    found = patch(picture((0, 0))).find(picture(way), np.round(way))
    np.testing.assert_allclose(found.vector, way, atol=0.002)
    assert found.likeness > 0.999


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_noise_does_not_bias(share):
    """Of 4 levels, where the slopes of the reference are noisy too; each frame with its own reference."""
    ratios = []
    for seed in range(30):
        reference, frame = picture((0, 0), 4, 2 * seed), picture((share, 0), 4, 2 * seed + 1)
        ratios.append(patch(reference, 4).find(frame, np.zeros(2)).vector[0] / share)
    off = np.std(ratios) / np.sqrt(len(ratios))
    assert np.mean(ratios) == pytest.approx(1, abs=max(0.01, 3 * off))
    assert off < 0.04


def test_the_scatter_is_what_is_said():
    reference = picture((0, 0))
    fits = [patch(reference, 2).find(picture((0.2, 0.1), 2, seed), np.zeros(2)) for seed in range(40)]
    scatter = np.std([fit.vector for fit in fits], axis=0)
    said = np.sqrt(np.diag(patch(reference, 2).sigma)) * np.mean([fit.noise for fit in fits])
    np.testing.assert_allclose(said, scatter, rtol=0.3)
    assert np.mean([fit.noise for fit in fits]) * 255 == pytest.approx(2, rel=0.1)


def test_light_is_no_motion():
    reference = picture((0, 0))
    found = patch(reference).find(picture((0.1, -0.2)) * np.float32(0.7) + np.float32(0.1), np.zeros(2))
    np.testing.assert_allclose(found.vector, (0.1, -0.2), atol=0.003)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_where_there_is_no_texture_there_is_no_answer(noise):
    flat = (np.full(SIZE, 0.5) + np.random.default_rng(0).normal(0, noise / 255, SIZE)).astype(np.float32)
    nothing = patch(flat, max(noise, 0.3))
    assert len(nothing.axes) == 0
    assert not nothing.told.any()
    assert np.isnan(nothing.find(flat, np.zeros(2)).vector).all()


def stripes(shift: float, angle: float) -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    across = x * np.cos(angle) + y * np.sin(angle) - shift
    return (0.5 + 0.3 * np.sin(0.4 * across)).astype(np.float32)


def test_an_edge_tells_only_what_crosses_it():
    upright = patch(stripes(0, 0), 0.3)
    assert upright.told.tolist() == [True, False]
    vector = upright.find(stripes(0.3, 0), np.zeros(2)).vector
    assert vector[0] == pytest.approx(0.3, abs=0.002)
    assert np.isnan(vector[1])
    slanted = patch(stripes(0, 0.8), 0.3)
    assert slanted.told.tolist() == [False, False]
    along = slanted.find(stripes(0.3, 0.8), np.zeros(2)).vector @ slanted.axes[0]
    assert abs(along) == pytest.approx(0.3, abs=0.002)
    again = upright.find(stripes(0.5, 0), vector).vector
    assert again[0] == pytest.approx(0.5, abs=0.002), "from where it was, of which y is not known"


def test_a_large_patch_is_thinned_out_where_nothing_is_told():
    reference, frame = picture((0, 0)).copy(), picture((0.3, 0.1)).copy()
    for flat in (reference, frame):
        flat[:, 70:] = 0.5
    whole = Patch(reference, (0, 0), np.ones(SIZE), 0.3 / 255)
    assert sum(rows * cols for *_, rows, cols in whole._boxes) < 0.6 * reference.size
    assert len(whole._boxes) > 1
    # The seam between texture and flat rests, so it is not exact.
    np.testing.assert_allclose(whole.find(frame, np.zeros(2)).vector, (0.3, 0.1), atol=0.03)


RIGHT = ((0, SIZE[1] - 40), (SIZE[0], 40))


@pytest.mark.parametrize("way", [(0.5, 0.0), (3.0, 0.0), (-2.6, 1.3), (0.4, -5.2)])
@pytest.mark.parametrize(("corner", "size"), [RIGHT, ((0, 0), SIZE), ((SIZE[0] - 30, 60), (30, 80))])
def test_what_comes_from_outside_the_picture_does_not_count(way, corner, size):
    rim = Patch(picture((0, 0)), corner, np.ones(size), 0.3 / 255)
    found = rim.find(picture(way), np.round(way))
    np.testing.assert_allclose(found.vector, way, atol=0.002)
    assert found.likeness > 0.999


def test_what_has_left_the_picture_is_less_certain_and_then_lost():
    rim = Patch(picture((0, 0)), RIGHT[0], np.ones(RIGHT[1]), 0.3 / 255)
    here, partly = (rim.find(picture((far, 0), 2, 1), np.array([far, 0])) for far in (0, 18))
    assert partly.vector[0] == pytest.approx(18, abs=0.02)
    assert partly.noise > 1.3 * here.noise
    assert partly.centre[0] < here.centre[0] - 5
    assert rim.find(picture((38, 0)), np.array([38, 0])).likeness == 0


def test_of_the_rim_alone_nothing_is_told():
    assert len(Patch(picture((0, 0)), (0, 0), np.ones((7, SIZE[1])), 0.3 / 255).axes) == 0


@pytest.mark.parametrize("angle", [0.0, 0.1, 0.8])
def test_an_edge_at_the_rim_is_followed_too(angle):
    rim = Patch(stripes(0, angle), RIGHT[0], np.ones(RIGHT[1]), 0.3 / 255)
    found = rim.find(stripes(2.2, angle), 2 * rim.axes[0] * np.sign(rim.axes[0][0]))
    across = np.array([np.cos(angle), np.sin(angle)])
    due = 2.2 / across[0] if rim.told[0] else 2.2
    assert abs(np.nan_to_num(found.vector) @ rim.axes[0]) == pytest.approx(due, abs=0.002)
