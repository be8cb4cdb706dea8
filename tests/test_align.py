"""Measuring against a ground that moves: what is looked at again, and that it comes out right."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from benchmarks.shaking import CAMERAS, frames, gain
from magfilter import Magnifier
from magfilter.align import Aligned, _filled, ground_of, moved
from magfilter.backends.resample import Resampler
from magfilter.media.frame import Frame
from magfilter.models import DEFAULT_MODEL

SIZE = (60, 80)  # points of the flow


def affine(size: tuple[int, int] = SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return np.stack([0.4 + 0.004 * x - 0.002 * y, -0.3 + 0.001 * x + 0.003 * y])


def test_the_ground_that_most_of_the_rim_follows():
    flow = affine()
    flow[:, 20:40, 30:50] += 0.2
    flow[:, :30, :5] = 3  # something passes through the rim, too
    np.testing.assert_allclose(ground_of(flow), affine(), atol=2e-3)


def test_beyond_the_picture_the_ground_goes_on():
    flow = affine()
    flow[:, 50:], flow[:, :, 70:] = 7, 7  # what a network says of a border that is repeated
    np.testing.assert_allclose(ground_of(flow, (50 / 60, 70 / 80)), affine(), atol=2e-3)
    image = np.random.default_rng(0).random((1, 50, 70), np.float32)
    assert _filled(np.pad(image, ((0, 0), (0, 10), (0, 10)), mode="edge")) == (50 / 60, 70 / 80)


@pytest.mark.parametrize("case", ["rest", "noise", "slow", "half at rest", "all ways", "tiny"])
def test_what_is_no_moving_ground(case):
    random = np.random.default_rng(0)
    flow = affine((6, 6)) if case == "tiny" else affine()
    if case == "rest":
        flow *= 0
    elif case == "noise":
        flow = random.normal(0, 0.02, flow.shape).astype(np.float32)
    elif case == "slow":
        flow *= 0.05
    elif case == "half at rest":
        flow[:, :, :40] = 0
    elif case == "all ways":
        flow = random.normal(0, 3, flow.shape).astype(np.float32)
    assert ground_of(flow) is None


def test_both_looks_add_up_where_things_come_to():
    """What is `rest` away in the moved frame lies at rest + ground(x + rest) in the frame."""
    stride, rest = 2, np.zeros((2, *SIZE), np.float32)
    rest[0, 20:40, 30:50], rest[1, 20:40, 30:50] = 6, -4
    looks = []

    def run(reference: np.ndarray, image: np.ndarray) -> np.ndarray:
        looks.append(image)
        return affine() if len(looks) == 1 else rest

    image = np.random.default_rng(0).random((1, SIZE[0] * stride, SIZE[1] * stride), np.float32)
    resample = Resampler(1)
    flow = Aligned(run, resample)(image, image)
    assert looks[0] is image
    np.testing.assert_allclose(looks[1], moved(image, affine(), resample), atol=1e-3)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    x, y = x + rest[0] / stride, y + rest[1] / stride
    there = np.stack([0.4 + 0.004 * x - 0.002 * y, -0.3 + 0.001 * x + 0.003 * y])
    np.testing.assert_allclose(flow, rest + there, atol=5e-3)


def test_a_ground_at_rest_costs_no_second_look():
    looks = []

    def run(_: np.ndarray, image: np.ndarray) -> np.ndarray:
        looks.append(image)
        return affine() * 0

    image = np.zeros((1, 120, 160), np.float32)
    assert not Aligned(run, Resampler(1))(image, image).any()
    assert len(looks) == 1


def test_what_moves_against_a_shaking_ground_keeps_its_outline():
    rests, shakes = CAMERAS["rests"], CAMERAS["shakes by 0.8 and 0.5 px"]
    at_rest = gain(rests, DEFAULT_MODEL, True)
    assert gain(shakes, DEFAULT_MODEL, False) < at_rest - 0.05  # or there is nothing to test
    assert gain(shakes, DEFAULT_MODEL, True) > at_rest - 0.02


def last_flow(camera: str, at_once: int = 1, **options: bool) -> np.ndarray:
    magnifier = Magnifier(10, threads=at_once, at_once=at_once, **options)
    for picture in islice(frames(CAMERAS[camera]), 8):
        frame = Frame.from_rgb(np.repeat(picture[..., None], 3, 2))
        if at_once > 1:
            magnifier.foresee(frame)
        flow = magnifier.measure(frame).flow
    return flow


def test_it_goes_with_detrend_unless_told_otherwise():
    shakes = "shakes by 0.8 and 0.5 px"
    once, twice = last_flow(shakes, align=False), last_flow(shakes, align=True)
    assert np.abs(once - twice).max() > 0.01
    np.testing.assert_array_equal(last_flow(shakes), once)
    np.testing.assert_array_equal(last_flow(shakes, detrend=True), twice)
    np.testing.assert_array_equal(last_flow(shakes, detrend=True, align=False), once)
    np.testing.assert_array_equal(last_flow(shakes, at_once=2, align=True), twice)  # also where measured ahead
    np.testing.assert_array_equal(last_flow("rests", align=True), last_flow("rests"))
