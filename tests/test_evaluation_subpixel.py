"""The subpixel test: SSIM as published, its parts, and methods whose score is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
pytest.importorskip("skimage", reason="SSIM is scikit-image's")
from test_evaluation import flat, texture  # puts the repository on the path, too

from trainer.evaluation import methods, protocol, ssim, subpixel


@pytest.fixture(scope="module")
def scenes() -> list[protocol.Scene]:
    return protocol.known_motion_scenes(2, (256, 256), seed=3, photos=[texture(seed) for seed in range(4)])


@pytest.fixture(scope="module")
def moving() -> list[protocol.Scene]:
    photos = [texture(seed, (420, 460)) for seed in range(4)]
    return protocol.known_motion_scenes(2, (256, 256), seed=3, photos=photos, background="moving")


class Perfect:
    """Paints the exact magnified frame."""

    def given(self, scene: protocol.Scene, d: float) -> methods.Method:
        return lambda reference, frame, alpha: scene.magnified(d, alpha)


# --- SSIM -----------------------------------------------------------------------------------------


def test_ssim_is_wang_s_on_whole_windows():
    picture, exact = texture(0, (60, 70)), texture(0, (60, 70), shift=(1, 0))
    found = ssim.similarity_map(picture, exact)
    assert found.shape == (60 - 26, 70 - 26)
    # One window by hand: Gaussian of 11 px and deviation 1.5 px around pixel (30, 40), then RGB's mean.
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = (np.outer(bell, bell) / bell.sum() ** 2)[..., None]
    a, b = (image[25:36, 35:46].astype(np.float64) for image in (picture, exact))
    mean_a, mean_b = ((weights * w).sum((0, 1)) for w in (a, b))
    squares = (a * a - mean_a**2, b * b - mean_b**2, a * b - mean_a * mean_b)
    var_a, var_b, both = ((weights * square).sum((0, 1)) for square in squares)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    due = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    assert found[30 - 13, 40 - 13] == pytest.approx(due.mean(), abs=1e-6)
    assert ssim.ssim(picture, exact) == found.mean()


def test_ssim_does_not_see_the_border():
    picture = texture(0, (60, 70))
    framed = picture.copy()
    framed[:8], framed[-8:], framed[:, :8], framed[:, -8:] = 0, 0, 0, 0
    assert ssim.ssim(picture, picture) == pytest.approx(1)
    assert ssim.ssim(framed, picture) == pytest.approx(1)
    framed[8:-8, 8] = 255  # the first column that counts, if only at the rim of the outermost windows
    assert (ssim.similarity_map(framed, picture)[:, 0] < 0.999).all()
    assert (ssim.similarity_map(framed, picture)[:, 1:] > 0.9999).all()


def test_ssim_refuses_pictures_of_two_sizes():
    with pytest.raises(ValueError, match="two sizes"):
        ssim.ssim(flat(3), flat(3)[:-1])


def test_regions_part_the_picture_by_what_a_window_sees(scenes):
    scene = scenes[0]
    before, after = scene.mask(), scene.mask(subpixel.MAGNIFIED)
    parts = ssim.regions(before, after)
    assert list(parts) == list(ssim.REGIONS)
    assert (sum(part.astype(int) for part in parts.values()) == 1).all()
    assert parts["inside"].shape == ssim.similarity_map(scene.reference(), scene.frame(1)).shape

    def hurt(place: np.ndarray) -> dict[str, float]:
        """Lowest SSIM of each region when the pixels at ``place`` (H, W) are wrong."""
        exact = scene.render(subpixel.MAGNIFIED)
        similar = ssim.similarity_map(np.where(place[..., None], 255 - exact, exact).astype(np.uint8), exact)
        return {name: float(similar[part].min()) for name, part in parts.items()}

    # What the object left, and the far background, each spoil no region but their own and the rim.
    left = (before > 0.99) & (after < 0.005)
    found = hurt(left)
    assert found["uncovered"] < 0.5
    assert found["inside"] > 0.9999
    assert found["background"] > 0.9999
    found = hurt((before < 0.01) & (after < 0.01) & (parts_on(parts["background"], before.shape)))
    assert found["inside"] > 0.9999
    assert found["background"] < 0.5


def parts_on(part: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A region on the picture's own grid."""
    cut = ssim.BORDER + ssim.REACH
    whole = np.zeros(shape, bool)
    whole[cut:-cut, cut:-cut] = part
    return whole


# --- the test -------------------------------------------------------------------------------------


def test_levels_are_the_published_ones():
    assert len(subpixel.ALL_LEVELS) == 15
    assert list(subpixel.ALL_LEVELS) == pytest.approx(np.geomspace(0.04, 1, 15), rel=0.03)  # rounded to two digits
    assert set(subpixel.LEVELS) <= set(subpixel.ALL_LEVELS)


def test_perfect_magnifier_has_ssim_and_gain_of_one(scenes):
    for row in protocol.subpixel(Perfect(), scenes, (0.04, 1)):
        assert row["alpha"] * row["d"] == 10
        assert row["ssim"] == row["ssim_mean"] == pytest.approx(1)
        assert row["gain"] == pytest.approx(1, abs=0.003)
        assert row["background"] < 1e-3
        assert all(row[f"ssim_{name}"] == pytest.approx(1) for name in ssim.REGIONS)


def test_unmagnified_copy_loses_only_where_the_object_was_or_should_be(scenes):
    (row,) = protocol.subpixel(methods.copy, scenes, (0.5,))
    assert row["ssim"] == row["copy"] < 0.95
    assert row["gain"] == pytest.approx(0.05, abs=0.003)
    assert row["ssim_background"] == pytest.approx(1)
    assert row["ssim_inside"] < 0.5
    assert sum(row[f"lost_{name}"] for name in ssim.REGIONS) == pytest.approx(1)


def test_noise_costs(scenes):
    clean, noisy = (protocol.subpixel(Perfect(), scenes[:1], (1,), noise=noise)[0] for noise in (0, 8))
    assert noisy["ssim"] == clean["ssim"]  # the exact picture has none
    assert noisy["copy"] < clean["copy"] - 0.02


# --- moving background ----------------------------------------------------------------------------


def test_moving_background_moves_as_far_and_elsewhere(moving, scenes):
    for one, still in zip(moving, scenes, strict=True):
        assert np.hypot(*one.drift) == pytest.approx(1)
        assert one.drift @ one.direction < 0.5 + 1e-9
        assert (one.direction == still.direction).all()
        assert (one.mask(3.0) == still.mask(3.0)).all()
        assert not still.drift.any()
        assert (still.ground(5.0) == still.background).all()
        assert (still.hidden(5.0) == still.mask()).all()
        assert (one.hidden(5.0) == one.mask(5.0 * one.drift)).all()


def test_moving_background_is_exact_and_its_margin_unseen(moving):
    scene = dataclasses.replace(moving[0], drift=np.array([0.0, 1.0]))
    rest = scene.ground()
    for d in (1, 10, 12):
        np.testing.assert_allclose(scene.ground(d)[d:], rest[:-d], atol=1e-9)
    # Halves add up; and what comes in at the border is as textured as the rest, with nothing of the other side.
    half = dataclasses.replace(scene, drift=np.array([0.0, 0.5])).ground(9.0)  # 4.5 px
    np.testing.assert_allclose(half, scene.ground(4.5), atol=1e-9)
    entered = scene.ground(12)[:12]
    assert entered.std() > 0.4 * rest.std()
    assert np.abs(np.diff(scene.ground(12), axis=0)[8:16]).mean() < 2 * np.abs(np.diff(rest, axis=0)).mean()
    with pytest.raises(ValueError, match="12 px"):
        scene.ground(12.1)


def test_registration_measures_the_moving_background(moving):
    for scene in moving:
        found = protocol.background_displacement(
            scene.reference(), scene.frame(2), scene.mask(), 2 * scene.direction, reach=4
        )
        assert found == pytest.approx(2, abs=0.03)


def test_moving_scenes_repeat_and_others_are_unknown(moving):
    photos = [texture(seed, (420, 460)) for seed in range(4)]
    again = protocol.known_motion_scenes(2, (256, 256), seed=3, photos=photos, background="moving")
    assert all(np.array_equal(a.frame(0.3, 2.0), b.frame(0.3, 2.0)) for a, b in zip(moving, again, strict=True))
    with pytest.raises(ValueError, match="still, moving"):
        protocol.known_motion_scenes(1, photos=photos, background="swaying")


def test_copy_and_perfect_magnifier_over_moving_background(moving):
    (row,) = protocol.subpixel(Perfect(), moving, (0.04,))
    assert row["ssim"] == pytest.approx(1)
    assert row["gain"] == pytest.approx(1, abs=0.003)
    assert row["background"] < 1e-3
    assert row["copy"] < 0.6  # against 0.9 over still ground
    (row,) = protocol.subpixel(methods.copy, moving, (0.5,))
    assert row["ssim_background"] < 0.6
    assert row["background"] > 3  # it should have moved 9.5 px farther; few tiles are found so far off


def test_filter_told_the_exact_flow_over_moving_background(moving):
    """What of the renderer's doing SSIM may cost: the outline and the ground that was never filmed."""
    (row,) = protocol.subpixel(methods.method("exact"), moving, (0.1,))
    assert row["gain"] == pytest.approx(1, abs=0.005)
    assert row["ssim_inside"] > 0.99
    assert row["ssim_background"] > 0.98
    assert row["ssim_rim"] > 0.6
    assert row["ssim"] > 0.95
    flow = methods.grid_flow(moving[0], 0.3, 2)
    np.testing.assert_allclose(flow[:, 0, 0], 0.3 * moving[0].drift, atol=1e-6)


# --- the exact flow -------------------------------------------------------------------------------


def test_exact_flow_is_the_object_s_on_the_filter_s_grid(scenes):
    scene = scenes[0]
    for stride in (1, 2, 3):
        flow = methods.grid_flow(scene, 0.3, stride)
        assert flow.dtype == np.float32
        assert flow.shape == (2, -(-256 // stride), -(-256 // stride))
        moving = flow.any(0)
        np.testing.assert_allclose(flow[:, moving].T - 0.3 * scene.direction, 0, atol=1e-6)
        assert moving.sum() * stride**2 == pytest.approx(scene.mask().sum(), rel=0.01)


def test_filter_told_the_exact_flow_moves_the_object_exactly(scenes):
    (row,) = protocol.subpixel(methods.method("exact"), scenes, (0.1,))
    assert row["gain"] == pytest.approx(1, abs=0.005)
    assert row["ssim_inside"] > 0.99
    assert row["ssim_background"] > 0.999
    assert row["copy"] < row["ssim"] < 1  # the ground it uncovers was never filmed
    assert row["lost_uncovered"] > row["lost_inside"]
    (known,) = protocol.known_motion(methods.method("exact"), scenes[:1], (0.2,), (10,))
    assert known["ratio"] == pytest.approx(1, abs=0.01)


def test_exact_flow_of_a_real_pair_is_not_known():
    with pytest.raises(ValueError, match="known objects"):
        methods.method("exact")(flat(1), flat(2), 4)


def test_others_are_not_told(scenes):
    assert methods.told(methods.copy, scenes[0], 1) is methods.copy
