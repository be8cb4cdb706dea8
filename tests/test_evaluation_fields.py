"""Turning discs and flowing pictures are exactly what they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
import cv2
from test_evaluation import texture  # puts the repository on the path, too

from trainer.evaluation import fields

SIDE = 160
LARGEST = 10.0  # px that the suites may ask for, and the margin holds


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [texture(seed, (300, 320)) for seed in range(3)]


@pytest.fixture(scope="module")
def scenes(photos) -> dict[str, list[fields.FieldScene]]:
    return {kind: fields.field_scenes(kind, 2, SIDE, photos=photos) for kind in fields.KINDS}


def grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    return x, y


def from_centre(scene: fields.FieldScene) -> np.ndarray:
    """(S, S) px from a disc's centre."""
    x, y = grid()
    return np.hypot(x - scene.centre[0], y - scene.centre[1])


@pytest.mark.parametrize("kind", fields.KINDS)
def test_magnified_is_the_motion_made_larger(scenes, kind):
    scene = scenes[kind][0]
    assert np.array_equal(scene.magnified(0.3, 8.0), scene.render(0.3 * 8.0))
    assert np.array_equal(scene.magnified(0.3, 1.0), scene.render(0.3))
    assert not np.array_equal(scene.render(0.3), scene.render(0))


def test_disc_turns_by_its_rim_and_the_rest_stands_still(scenes):
    for scene in scenes["rotation"]:
        away, flow = from_centre(scene), scene.flow()
        speed = np.linalg.norm(flow, axis=-1)
        assert speed[away < scene.radius - 1] == pytest.approx(away[away < scene.radius - 1] / scene.radius)
        assert speed.max() == pytest.approx(1, abs=1 / scene.radius)  # a pixel on the rim
        assert not flow[away > scene.radius + fields.EDGE].any()
        x, y = grid()
        radial = flow[..., 0] * (x - scene.centre[0]) + flow[..., 1] * (y - scene.centre[1])
        assert np.abs(radial).max() < 1e-9
        still, moved = scene.render(0), scene.render(5.0)
        outside = away > scene.radius + 2 * fields.EDGE
        assert np.array_equal(still[outside], moved[outside])
        assert np.abs(still[~outside].astype(int) - moved[~outside]).mean() > 5


def test_flowing_picture_moves_by_1_px_at_most(scenes):
    for scene in scenes["nonrigid"]:
        speed = np.linalg.norm(scene.flow(), axis=-1)
        assert 0.5 < speed.max() <= 1
        assert scene.ground is None


@pytest.mark.parametrize("kind", fields.KINDS)
@pytest.mark.parametrize("d", [0.5, LARGEST])
def test_picture_agrees_with_its_flow(scenes, kind, d):
    """The point p of the reference is seen at p + d·flow(p)."""
    for scene in scenes[kind]:
        reference, moved = scene.render(0).astype(np.float32), scene.render(d).astype(np.float32)
        x, y = grid()
        at = (np.stack([x, y], -1) + d * scene.flow()).astype(np.float32)
        seen = cv2.remap(moved, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        inner = np.zeros((SIDE, SIDE), bool)
        inner[12:-12, 12:-12] = True
        if kind == "rotation":
            inner &= from_centre(scene) < scene.radius - 4
        error, unmoved = (np.abs(p - reference)[inner].mean() for p in (seen, moved))
        assert error < 0.9  # rounding to 8 bits twice, and interpolation between pixels: the same at 0.5 and at 10 px
        assert unmoved > 3 * error


@pytest.mark.parametrize("kind", fields.KINDS)
def test_picture_shows_the_right_point_everywhere(scenes, kind):
    """With coordinates for a texture: p, read off the picture at q, has p + a·f(p) = q."""
    scene = scenes[kind][0]
    size = scene.texture.shape[0]
    fine = (np.arange(size) + 0.5) / fields.FINER - 0.5 - scene.margin  # px of the reference
    slope, middle = 4.0, SIDE / 2
    ramp = np.zeros((size, size, 3))
    ramp[..., 0], ramp[..., 1] = fine, fine[:, None]
    ruled = dataclasses.replace(scene, texture=(128 + slope * (ramp - middle)).astype(np.float32), ground=None)
    for amount in (1.0, LARGEST):
        shown = ruled.render(amount).astype(np.float64)
        known = ((shown[..., :2] > 2) & (shown[..., :2] < 253)).all(-1)
        px, py = (middle + (shown[known, axis] - 128) / slope for axis in (0, 1))
        u, v = scene.motion(px, py)
        x, y = grid()
        assert known.sum() > 2000
        assert np.abs(px + amount * u - x[known]).max() < 0.2  # half a level is 1/8 px
        assert np.abs(py + amount * v - y[known]).max() < 0.2


def test_map_stays_one_to_one(photos):
    """Its determinant is positive wherever a texture is, and so steep that the iteration finds the way back."""
    for kind in fields.KINDS:
        for scene in fields.field_scenes(kind, 4, SIDE, photos=photos):
            y, x = np.mgrid[-scene.margin : SIDE + scene.margin, -scene.margin : SIDE + scene.margin].astype(float)
            u, v = scene.motion(x, y)
            (uy, ux), (vy, vx) = np.gradient(u), np.gradient(v)
            determinant = (1 + LARGEST * ux) * (1 + LARGEST * vy) - LARGEST**2 * uy * vx
            assert determinant.min() > 0.2
            assert np.hypot(u, v)[scene.inside(x, y) > 0.5].max() < 1 + fields.EDGE / scene.radius
            assert scene.margin > LARGEST


@pytest.mark.parametrize("kind", fields.KINDS)
def test_scenes_repeat_and_seeds_differ(scenes, photos, kind):
    again = fields.field_scenes(kind, 2, SIDE, photos=photos)
    other = fields.field_scenes(kind, 1, SIDE, seed=1, photos=photos)[0]
    for one, two in zip(scenes[kind], again, strict=True):
        assert np.array_equal(one.render(2.0), two.render(2.0))
    assert not np.array_equal(scenes[kind][0].render(0), scenes[kind][1].render(0))
    assert not np.array_equal(scenes[kind][0].render(0), other.render(0))
    # The first scenes of many are those of few: the quick form asks the same questions.
    assert np.array_equal(fields.field_scenes(kind, 1, SIDE, photos=photos)[0].flow(), scenes[kind][0].flow())


def test_noise_is_as_asked_and_of_its_own_in_each_shot(scenes):
    scene = scenes["nonrigid"][0]
    clean, first, again, second = (scene.render(0, *noise) for noise in ((), (3.0, 0), (3.0, 0), (3.0, 1)))
    middle = (clean > 20) & (clean < 235)
    assert (first.astype(float) - clean)[middle].std() == pytest.approx(3, rel=0.05)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


def test_what_cannot_be_made(photos):
    with pytest.raises(ValueError, match=r"'shear'; known: rotation, nonrigid"):
        fields.field_scenes("shear", 1, photos=photos)
    with pytest.raises(ValueError, match="2 photographs, got 1"):
        fields.field_scenes("rotation", 1, photos=photos[:1])
