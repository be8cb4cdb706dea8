"""Replacing the reference: arithmetic on flows."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter.anchor import Carry, RunningMean, advected, outgrown
from magfilter.backends import open_engine


def uniform(x: float, y: float, size: tuple[int, int] = (40, 60)) -> np.ndarray:
    return np.broadcast_to(np.array([x, y], np.float32).reshape(2, 1, 1), (2, *size)).copy()


def test_a_hundredth_of_the_picture_decides():
    flow = uniform(3, 4)
    assert outgrown(flow, 4.9)
    assert not outgrown(flow, 5.1)
    flow[:] = 0
    flow[0, 0, :20] = 50  # 20 of 2400 points
    assert not outgrown(flow, 5)
    flow[0, 1, :20] = 50
    assert outgrown(flow, 5)


def test_a_field_goes_where_its_points_went():
    y, x = np.mgrid[:40, :60].astype(np.float32)
    field = np.stack([np.sin(x / 7), np.cos(y / 5)])
    moved = advected(field, uniform(6, -4), 2)  # 3 points right, 2 up
    np.testing.assert_allclose(moved[:, :-2, 3:], field[:, 2:, :-3], atol=1e-4)


def test_a_field_goes_where_uneven_motion_takes_it():
    """Stretched by a tenth about the middle."""
    y, x = np.mgrid[:40, :60].astype(np.float32)
    flow = np.stack([(x - 30) * 0.1, (y - 20) * 0.1])
    moved = advected(np.stack([x, y]), flow, 1)
    inside = (slice(3, -3), slice(4, -4))
    np.testing.assert_allclose(moved[0][inside], ((x - 30) / 1.1 + 30)[inside], atol=1e-2)
    np.testing.assert_allclose(moved[1][inside], ((y - 20) / 1.1 + 20)[inside], atol=1e-2)


def test_what_is_carried_fades_from_all_to_nothing():
    carry = Carry(0.5)
    assert carry.at(0) is None
    carry.take(uniform(2, 0), uniform(0, 0), 2, 10.0)
    shares = [float(carry.at(10 + t)[0, 5, 5]) / 2 for t in (0, 0.125, 0.25, 0.375, 0.499)]
    np.testing.assert_allclose(shares, [1, 0.854, 0.5, 0.146, 0], atol=1e-3)
    assert carry.at(10.5) is None
    assert carry.at(10.1) is None, "what has faded does not come back"


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_nothing_is_carried_when_dropped_or_never_to_be(seconds):
    carry = Carry(seconds)
    carry.take(uniform(2, 0), uniform(0, 0), 2, 0.0)
    if seconds:
        carry.drop()
    assert carry.at(0) is None


def test_time_that_runs_backwards_ends_the_fade():
    carry = Carry(1)
    carry.take(uniform(2, 0), uniform(0, 0), 2, 5.0)
    assert carry.at(4.9) is None


def texture(shift: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:64, :128].astype(np.float32)
    picture = 0.5 + 0.2 * np.sin((x - shift) / 5) + 0.2 * np.sin(y / 4)
    picture += np.random.default_rng(seed).normal(0, noise, picture.shape)
    return picture[None].astype(np.float32)


@pytest.fixture(scope="module")
def resample():
    return open_engine("warp", "onnxruntime", "cpu", 1).resample


def test_the_average_has_less_noise_than_a_frame(resample):
    mean = RunningMean(10, resample)
    mean.start(texture(0, 0.02, 0), 0.0)
    for n in range(1, 25):
        found = mean.follow(texture(0, 0.02, n), uniform(0, 0, (32, 64)), n / 25)
    assert found.std() > 0.1
    assert np.abs(found - texture(0)).std() < 0.02 / 4


def test_the_average_stands_where_things_are_on_average(resample):
    """A square wave of one px about 0.5: the picture comes to rest in the middle, and stays sharp."""
    mean = RunningMean(1, resample)
    mean.start(texture(0), 0.0)
    shifts = np.linspace(-0.5, 1.5, 41)
    shown = [texture(shift) for shift in shifts]
    at = 0.0
    for n in range(1, 60):
        now = float(n % 2)
        found = mean.follow(texture(now), uniform(now - at, 0, (32, 64)), n / 25)
        # where the reference stands, told by the picture itself
        off = [float(np.abs(found - picture)[..., 10:-10].mean()) for picture in shown]
        at = float(shifts[int(np.argmin(off))])
    assert at == pytest.approx(0.5, abs=0.06)
    assert min(off) < 0.01, "of a contrast of 0.2"


def test_the_average_forgets(resample):
    """A step is followed with the time constant: two thirds of it within `seconds`."""
    mean = RunningMean(0.4, resample)
    mean.start(texture(0), 0.0)
    for n in range(1, 40):
        mean.follow(texture(0), uniform(0, 0, (32, 64)), n / 25)
    left = 1.0
    for n in range(40, 50):
        mean.follow(texture(1), uniform(left, 0, (32, 64)), n / 25)
        left *= np.exp(-1 / 25 / 0.4)
    assert left == pytest.approx(np.exp(-1), abs=1e-6)
    found = mean.follow(texture(1), uniform(left, 0, (32, 64)), 2.0)
    assert np.abs(found - texture(1 - left * np.exp(-0.1)))[..., 10:-10].mean() < 0.01
