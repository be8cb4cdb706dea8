"""Masks, regions and alpha maps: known answers for what is grown, faded, joined and reduced."""

from __future__ import annotations

import time

import numpy as np
import pytest

from magfilter import Frame, InputError, OptionError
from magfilter.masks import (
    Region,
    as_factors,
    as_mask,
    combine,
    distance,
    fit_factors,
    fit_mask,
    grow,
    load_array,
    mask_of,
    reduce_factors,
)
from magfilter.media.frame import Colour, PixelLayout


def point(size: tuple[int, int], *places: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, bool)
    for place in places:
        mask[place] = True
    return mask


def brute(mask: np.ndarray) -> np.ndarray:
    """Px to the nearest pixel of the mask, by trying them all."""
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    rows, cols = np.nonzero(mask)
    return np.sqrt(((y[..., None] - rows) ** 2 + (x[..., None] - cols) ** 2).min(-1))


# -- distances


@pytest.mark.parametrize("size", [(31, 47), (1, 40), (40, 1), (1, 1), (64, 33)])
@pytest.mark.parametrize("share", [0.002, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("limit", [0, 0.5, 1, 2.5, 7, 20.3, 400])
def test_distance_is_exact_up_to_the_limit(size, share, limit):
    mask = np.random.default_rng(3).random(size) < share
    mask[size[0] // 2, size[1] // 3] = True
    due, found = brute(mask), distance(mask, limit)
    assert found.dtype == np.float32
    near = due <= limit
    np.testing.assert_allclose(found[near], due[near], rtol=1e-6)
    assert np.isinf(found[~near]).all()


@pytest.mark.parametrize("limit", [180, 181, 250])
def test_distance_is_exact_where_16_bits_do_not_suffice(limit):
    """Squares of 181 and more, added, are more than 16 bits hold."""
    mask = point((260, 270), (3, 5), (255, 200))
    due, found = brute(mask), distance(mask, limit)
    np.testing.assert_allclose(found[due <= limit], due[due <= limit], rtol=1e-6)
    assert np.isinf(found[due > limit]).all()


def test_nothing_is_near_an_empty_mask():
    assert np.isinf(distance(np.zeros((9, 12), bool), 5)).all()
    assert not grow(np.zeros((9, 12), bool), 5).any()


@pytest.mark.parametrize("radius", [0, 0.9, 1, 1.5, 3, 5.2, 12])
def test_growing_makes_a_point_a_disc(radius):
    y, x = np.mgrid[:31, :41]
    np.testing.assert_array_equal(grow(point((31, 41), (14, 20)), radius), np.hypot(y - 14, x - 20) <= radius)


def test_growing_stops_at_the_border_and_leaves_the_mask_alone():
    mask = point((10, 12), (0, 0), (9, 11))
    before = mask.copy()
    grown = grow(mask, 2)
    np.testing.assert_array_equal(mask, before)
    assert grown[:3, 0].all()
    assert grown.sum() == 12


@pytest.mark.slow
def test_a_mask_of_1080p_is_ready_in_half_a_second():
    y, x = np.mgrid[:1080, :1920]
    mask = np.hypot(y - 500, x - 900) < 300
    spent = []
    for _ in range(5):  # the fastest: other programs have the cores as well
        begun = time.perf_counter()
        combine((1080, 1920), 10, mask=mask, grow=20, feather=10)
        spent.append(time.perf_counter() - begun)
    assert min(spent) < 0.5


# -- regions


@pytest.mark.parametrize(
    ("value", "due"),
    [
        ("10,20,300,200", Region(10, 20, 300, 200)),
        ("10,20,300,200:5", Region(10, 20, 300, 200, 5.0)),
        (" 0, 0, 1, 1:0.5", Region(0, 0, 1, 1, 0.5)),
        ("0,0,1,1:0", Region(0, 0, 1, 1, 0.0)),
        ((1, 2, 3, 4), Region(1, 2, 3, 4)),
        ([1, 2, 3, 4, 7], Region(1, 2, 3, 4, 7.0)),
        ((np.int64(1), 2, 3, 4, np.float32(1.5)), Region(1, 2, 3, 4, 1.5)),
        (Region(1, 2, 3, 4, 9.0), Region(1, 2, 3, 4, 9.0)),
        (Region(1, 2, 3, 4), Region(1, 2, 3, 4)),
    ],
)
def test_regions_are_read(value, due):
    assert Region.parse(value) == due
    assert Region.parse(str(due)) == due


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", "'' is not x,y,width,height"),
        ("1,2,3", "'1,2,3' is not x,y,width,height.*10,20,300,200:5"),
        ("1,2,3,4,5", "is not x,y,width,height"),
        ("1,2,3,4:", "is not x,y,width,height"),
        ("1,2,3,4:five", "is not x,y,width,height"),
        ("1.5,2,3,4", "in whole pixels"),
        ("10x20+3+4", "is not x,y,width,height"),
        ((1, 2, 3), "is not x,y,width,height"),
        ((1, 2, 3, 4, 5, 6), "is not x,y,width,height"),
        ((1, 2, 3.5, 4), "in whole pixels"),
        ((1, 2, 3, 4, "5"), "is not x,y,width,height"),
        (7, "7 is not x,y,width,height"),
        (None, "None is not x,y,width,height"),
        ("-1,2,3,4", "roi -1,2,3,4 is no part of a picture"),
        ("1,2,0,4", "roi 1,2,0,4 is no part of a picture: .* width and height 1 or more"),
        ("1,2,3,-4", "no part of a picture"),
        ("1,2,3,4:-1", "roi 1,2,3,4 has alpha -1; give a number of 0 or more"),
        ("1,2,3,4:nan", "has alpha nan"),
        ("1,2,3,4:inf", "has alpha inf"),
        ("1,2,3,4:1e20", r"has alpha 1e\+20; give a number of 0 or more, at most 1000000"),
        (Region(-1, 2, 3, 4), "roi -1,2,3,4 is no part"),
    ],
)
def test_wrong_regions(value, text):
    with pytest.raises(OptionError, match=text) as caught:
        Region.parse(value)
    assert "\n" not in str(caught.value)


def test_regions_lie_within_the_picture():
    Region(0, 0, 64, 48).check((48, 64))
    Region(63, 47, 1, 1).check((48, 64))
    with pytest.raises(
        OptionError, match="roi 60,0,5,48 reaches to column 65 and row 48, outside the picture of 64x48"
    ):
        Region(60, 0, 5, 48).check((48, 64))
    with pytest.raises(OptionError, match="outside the picture of 64x48"):
        Region(0, 40, 5, 9, 3.0).check((48, 64))


def test_distance_of_a_region_is_that_of_its_pixels():
    region, mask = Region(5, 3, 7, 2), np.zeros((20, 25), bool)
    mask[3:5, 5:12] = True
    np.testing.assert_allclose(region.distance((20, 25)), brute(mask), rtol=1e-6)


# -- joining


def test_mask_takes_alpha_and_the_rest_keeps_1():
    mask = point((12, 16), (5, 7), (5, 8))
    factors = combine((12, 16), 20, mask=mask)
    assert factors.dtype == np.float32
    np.testing.assert_array_equal(factors, np.where(mask, 20, 1))


def test_mask_is_grown_before_it_takes_alpha():
    mask = point((21, 21), (10, 10))
    np.testing.assert_array_equal(combine((21, 21), 20, mask=mask, grow=4), np.where(grow(mask, 4), 20, 1))


@pytest.mark.parametrize("alpha", [20, 0, 0.5])
def test_feather_fades_linearly_outside_what_was_grown(alpha):
    mask = point((41, 41), (20, 20))
    factors = combine((41, 41), alpha, mask=mask, grow=3, feather=8)
    due = 1 + (alpha - 1) * np.clip(1 - (brute(mask) - 3) / 8, 0, 1)
    np.testing.assert_allclose(factors, due, rtol=1e-5, atol=1e-6)
    inside, outside = brute(mask) <= 3, brute(mask) >= 11
    assert (factors[inside] == np.float32(alpha)).all()
    assert (factors[outside] == 1).all(), "exactly, or the picture would change there"


def test_regions_take_their_own_alpha_or_the_job_s_and_the_last_one_wins():
    factors = combine((10, 20), 20, regions=[Region(0, 0, 6, 6), Region(4, 4, 6, 3, 5.0), Region(18, 9, 2, 1, 0.0)])
    due = np.ones((10, 20))
    due[:6, :6] = 20
    due[4:7, 4:10] = 5
    due[9, 18:] = 0
    np.testing.assert_array_equal(factors, due)


def test_regions_are_painted_over_the_mask_and_both_over_the_alpha_map():
    under = np.full((8, 12), 3, np.float32)
    before = under.copy()
    mask = np.zeros((8, 12), bool)
    mask[2:6, 2:8] = True
    factors = combine((8, 12), 20, factors=under, mask=mask, regions=[Region(6, 0, 3, 8, 1.0)])
    due = np.full((8, 12), 3.0)
    due[2:6, 2:8] = 20
    due[:, 6:9] = 1
    np.testing.assert_array_equal(factors, due)
    np.testing.assert_array_equal(under, before)


def test_a_region_s_soft_edge_does_not_weaken_the_mask_beside_it():
    mask = np.zeros((9, 40), bool)
    mask[:, :10] = True
    factors = combine((9, 40), 20, mask=mask, regions=[Region(12, 0, 8, 9, 2.0)], feather=10)
    assert (factors[:, :10] == 20).all()
    assert (factors[:, 12:20] == 2).all()
    np.testing.assert_allclose(factors[0, 10:12], [1 + 19 * 0.9, 1 + 19 * 0.8], rtol=1e-5)
    np.testing.assert_allclose(factors[0, 20:30], 1 + np.arange(9, -1, -1) / 10, rtol=1e-5)
    assert (factors[:, 30:] == 1).all()


def test_feather_fades_into_the_alpha_map():
    factors = combine((1, 20), 10, factors=np.full((1, 20), 2, np.float32), regions=[Region(0, 0, 5, 1)], feather=4)
    np.testing.assert_allclose(factors[0], [10] * 5 + [8, 6, 4] + [2] * 12, rtol=1e-6)


# -- sizes


def test_a_mask_of_like_aspect_is_resized_by_nearest_pixels():
    mask = point((4, 6), (1, 2))
    np.testing.assert_array_equal(fit_mask(mask, (8, 12), "m.png"), mask.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(fit_mask(mask.repeat(3, 0).repeat(3, 1), (4, 6), "m.png"), mask)
    assert fit_mask(mask, (4, 6), "m.png") is mask
    assert fit_mask(np.ones((100, 100), bool), (200, 201), "m.png").shape == (200, 201), "0.5 % off is rounding"


@pytest.mark.parametrize("fit", [fit_mask, fit_factors])
def test_another_aspect_is_refused_with_both_sizes(fit):
    with pytest.raises(OptionError, match=r"m\.png is 100x100 and the picture 102x100, another aspect"):
        fit(np.ones((100, 100), np.float32), (100, 102), "m.png")
    with pytest.raises(OptionError, match="48x64 and the picture 64x48"):  # turned
        fit(np.ones((64, 48), np.float32), (48, 64), "m.png")


def test_a_mask_that_vanishes_on_the_way_is_refused():
    with pytest.raises(OptionError, match=r"m\.png of 400x400 has nothing left at the picture's 40x40"):
        fit_mask(point((400, 400), (1, 1)), (40, 40), "m.png")


def test_an_alpha_map_is_resized_bilinearly_and_keeps_what_is_even_exactly():
    ramp = np.tile(np.arange(10, dtype=np.float32), (5, 1))
    wide = fit_factors(ramp, (10, 20), "a.npy")
    np.testing.assert_allclose(wide[3, 1:-1], np.arange(1, 19) / 2 - 0.25)
    ones = np.full((33, 47), np.float32(1.1))
    assert (fit_factors(ones, (99, 141), "a.npy") == np.float32(1.1)).all()
    assert fit_factors(ramp, (5, 10), "a.npy") is ramp


# -- the flow's grid


@pytest.mark.parametrize("stride", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(12, 18), (13, 17), (1, 1), (5, 2)])
def test_reduced_to_blocks_by_the_factor_farthest_from_1(size, stride):
    factors = np.random.default_rng(0).choice(np.array([1, 1, 1, 0, 0.5, 7], np.float32), size)
    found = reduce_factors(factors, stride)
    assert found.shape == (-(-size[0] // stride), -(-size[1] // stride))
    assert found.dtype == np.float32
    for row, col in np.ndindex(found.shape):
        block = factors[row * stride : (row + 1) * stride, col * stride : (col + 1) * stride].ravel()
        assert np.abs(found[row, col] - 1) == np.abs(block - 1).max()
        assert found[row, col] in block


def test_nothing_thin_is_lost_and_nothing_else_touched():
    factors = np.ones((24, 24), np.float32)
    factors[:, 13] = 20
    reduced = reduce_factors(factors, 6)
    assert (reduced[:, 2] == 20).all()
    assert (reduced[:, [0, 1, 3]] == 1).all()


# -- what arrays and pictures say


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_what_is_not_zero_is_the_mask(dtype):
    array = np.zeros((4, 5), dtype)
    array[1, 2] = 1
    mask = as_mask(array, "m.npy")
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, point((4, 5), (1, 2)))


BAD_PICTURES = [
    (np.zeros((4, 5, 3)), r"holds float64 of shape \(4, 5, 3\)"),
    (np.zeros(4), r"shape \(4,\)"),
    (np.zeros((4, 5), complex), "holds complex128"),
    (np.array([["a"]]), "holds <U1"),
    (np.zeros((0, 5)), "is empty: 5x0"),
    (np.full((4, 5), np.nan), "nan|NaN"),
]


@pytest.mark.parametrize(("array", "text"), [*BAD_PICTURES, (np.zeros((4, 5)), r"m\.npy is empty: none of its 5x4")])
def test_arrays_that_are_no_mask(array, text):
    with pytest.raises(OptionError, match=text):
        as_mask(array, "m.npy")


@pytest.mark.parametrize(
    ("array", "text"),
    [
        *BAD_PICTURES,
        (np.array([[1, 2], [3, -0.5]]), r"a\.npy holds -0.5 at column 1, row 1, which is negative"),
        (np.array([[1, np.inf]]), "holds inf at column 1, row 0, which is no finite number"),
        (np.array([[1e300]]), "no finite number"),
        (np.array([[1e20]]), "which is more than 1000000"),
    ],
)
def test_arrays_that_are_no_alpha_map(array, text):
    with pytest.raises(OptionError, match=text):
        as_factors(array, "a.npy")


def test_factors_are_float32():
    factors = as_factors(np.array([[0, 1], [20, 3]]), "a.npy")
    assert factors.dtype == np.float32
    np.testing.assert_array_equal(factors, [[0, 1], [20, 3]])


def test_load_array_names_the_file(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(load_array(tmp_path / "a.npy"), [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(InputError, match=r"none\.npy does not exist; check the path"):
        load_array(tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "void.npy").write_bytes(b"")
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-8])
    (tmp_path / "folder.npy").mkdir()
    for name in ("text", "void", "pickle", "cut", "folder"):
        with pytest.raises(InputError, match=rf"{name}\.npy is no readable .npy array") as caught:
            load_array(tmp_path / f"{name}.npy")
        assert "\n" not in str(caught.value)


def frame(name: str, planes: list[list[list[int]]], range_: int = 0) -> Frame:
    layout = PixelLayout.from_name(name)
    return Frame(tuple(np.array(p, layout.dtype) for p in planes), layout, Colour(range=range_))


def test_what_is_not_black_is_the_mask():
    # labels count, in every colour; video black is 16 in limited range
    assert mask_of(frame("gray", [[[0, 1, 255]]]), False).tolist() == [[False, True, True]]
    assert mask_of(frame("gray10le", [[[0, 1, 1023]]]), False).tolist() == [[False, True, True]]
    rgb = frame("gbrp", [[[0, 0, 9]], [[0, 1, 0]], [[0, 0, 0]]])
    assert mask_of(rgb, False).tolist() == [[False, True, True]]
    uv = [[[128, 128]]] * 2
    assert mask_of(frame("yuv420p", [[[15, 16, 17]], *uv]), False).tolist() == [[False, False, True]]
    assert mask_of(frame("yuv420p", [[[0, 16, 17]], *uv], 2), False).tolist() == [[False, True, True]]
    assert mask_of(frame("yuv420p10le", [[[64, 65, 940]], *uv]), False).tolist() == [[False, True, True]]


def test_what_is_transparent_is_not_the_mask():
    clear = frame("gbrap", [[[255, 255]], [[255, 255]], [[255, 255]], [[0, 255]]])
    assert mask_of(clear, False).tolist() == [[False, True]]


def test_in_lossy_pictures_brighter_than_half_is_the_mask():
    assert mask_of(frame("gray", [[[0, 9, 127, 128, 255]]]), True).tolist() == [[False, False, False, True, True]]
