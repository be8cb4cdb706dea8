"""Catmull-Rom at any positions."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter.interpolate import AT_ONCE, Curved, mirrored


def kernel(t: np.ndarray) -> np.ndarray:
    """Catmull and Rom's, as Keys (1981) gives it with a = −0.5."""
    t = np.abs(t)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0))


def by_hand(plane: np.ndarray, y: float, x: float) -> float:
    height, width = plane.shape
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    rows, columns = np.floor(y) + np.arange(-1, 3), np.floor(x) + np.arange(-1, 3)
    around = plane[np.ix_(np.clip(rows, 0, height - 1).astype(int), np.clip(columns, 0, width - 1).astype(int))]
    return float(kernel(rows - y) @ around @ kernel(columns - x))


@pytest.mark.parametrize(("dtype", "peak"), [(np.uint8, 255), (np.uint16, 4095), (np.float32, 1)])
def test_it_is_the_textbook_s_sum_over_sixteen_samples(dtype, peak):
    rng = np.random.default_rng(0)
    plane = (rng.random((13, 17)) * peak).astype(dtype)
    y, x = rng.uniform(-3, 15, 200).astype(np.float32), rng.uniform(-3, 19, 200).astype(np.float32)
    # One sample further out the textbook repeats the border; so does this.
    due = [by_hand(plane.astype(float), *at) for at in zip(y, x, strict=True)]
    np.testing.assert_allclose(Curved(plane)(y, x), due, atol=2e-5 * peak)


def test_at_samples_it_is_the_samples_also_in_the_last_corner():
    plane = np.random.default_rng(0).integers(0, 256, (9, 7)).astype(np.uint8)
    y, x = np.mgrid[:9, :7].astype(np.float32)
    np.testing.assert_array_equal(Curved(plane)(y, x), plane)


def test_lines_are_whole_however_many_positions_there_are():
    plane = np.broadcast_to(np.arange(400, dtype=np.float32), (60, 400))
    y, x = np.mgrid[2:58:100j, 2:397:201j].astype(np.float32)
    assert y.size > 2 * AT_ONCE
    np.testing.assert_allclose(Curved(plane)(y, x), x, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1), (2, 2)])
def test_small_planes(size):
    plane = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)
    y, x = np.array([-1, 0, 9], np.float32), np.array([-1, 0, 9], np.float32)
    np.testing.assert_array_equal(Curved(plane)(y, x), [plane[0, 0], plane[0, 0], plane[-1, -1]])


def test_prepared_for_some_rows_it_is_the_same_there_and_stays_within():
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 256, (40, 23)).astype(np.uint8)
    y, x = rng.uniform(12.25, 19.5, 300).astype(np.float32), rng.uniform(-2, 25, 300).astype(np.float32)
    np.testing.assert_array_equal(Curved(plane, y.min(), y.max())(y, x), Curved(plane)(y, x))
    for first, last in ((-9, -4), (60, 70), (39, 39)):
        at = np.full(300, (first + last) / 2, np.float32)
        np.testing.assert_array_equal(Curved(plane, first, last)(at, x), Curved(plane)(at, x))
    beyond = Curved(plane, 12.25, 19.5)(np.full(300, 30, np.float32), x)
    np.testing.assert_array_equal(beyond, Curved(plane)(np.full(300, 19.5, np.float32), x))


def test_positions_beyond_an_axis_are_mirrored_half_a_sample_beyond_its_ends():
    within = np.array([-0.5, -0.2, 0, 3.25, 9, 9.4, 9.5], np.float32)
    np.testing.assert_array_equal(mirrored(within, 10), within, err_msg="to the bit")
    beyond = np.array([-0.75, -1, -3.5, -10, 10, 12.25, 19], np.float32)
    np.testing.assert_array_equal(mirrored(beyond, 10), [-0.25, 0, 2.5, 9, 9, 6.75, 0])
    far = mirrored(np.linspace(-500, 500, 4001, dtype=np.float32), 10)
    assert np.abs(np.diff(far)).max() <= 0.25, "without a jump"
    assert far.max() <= 9.5
