"""Cuts between shots, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter.cuts import SIDE, CutDetector, thumbnail


def scene(seed: int, height: int = 180, width: int = 320) -> np.ndarray:
    """A smooth random picture in 0..1, with its own share of dark and light; twice as wide, to pan in."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, : 2 * width].astype(np.float32)
    picture = np.zeros((height, 2 * width), np.float32)
    for _ in range(12):
        kx, ky = rng.normal(0, 0.05, 2)
        picture += np.sin(kx * x + ky * y + rng.uniform(0, 7)).astype(np.float32)
    picture = (picture - picture.min()) / np.ptp(picture)
    return picture ** rng.uniform(0.5, 2)


def patches(seed: int) -> np.ndarray:
    """A picture that is like no other, however shifted: (180, 320)."""
    return np.kron(np.random.default_rng(seed).random((12, 20)), np.ones((15, 16)))


def cuts(frames) -> list[int]:
    detector = CutDetector()
    return [k for k, frame in enumerate(frames) if detector(np.ascontiguousarray(frame, np.float32))]


def test_noise_is_no_cut():
    rng = np.random.default_rng(0)
    still = scene(1)[:, :320]
    assert cuts(still + rng.normal(0, 0.05, still.shape) for _ in range(12)) == []


@pytest.mark.parametrize("speed", [3, 12])
def test_a_fast_pan_is_no_cut(speed):
    """12 px of 320 a frame: at 25 frames a second the picture's width in a second."""
    for seed in range(6):
        wide = scene(seed)
        assert cuts(wide[:, k * speed : k * speed + 320] for k in range(min(13, 320 // speed))) == []


def test_a_flash_is_no_cut():
    still = scene(2)[:, :320]
    frames = [np.clip(still + (0.4 if k in (3, 4) else 0), 0, 1.4) for k in range(8)]
    assert cuts(frames) == []


def test_a_cut_between_two_pictures_is_found_once():
    found = 0
    for seed in range(8):
        one, two = scene(seed)[:, :320], scene(seed + 100)[:, :320]
        where = cuts([one] * 4 + [two] * 4)
        assert where in ([4], []), where
        found += where == [4]
    assert found >= 7, f"{found} of 8 cuts"


@pytest.mark.parametrize("light", [1.0, 0.3])
def test_a_cut_between_shots_of_like_light_is_found(light):
    """The same picture upside down has every statistic of it; and a dark shot little of anything."""
    for seed in range(8):
        one = scene(seed)[:, :320] * light
        where = cuts([one] * 3 + [one[::-1, ::-1]] * 3)
        alike = float(np.corrcoef(one.ravel(), one[::-1, ::-1].ravel())[0, 1])
        assert where == [3] or alike > 0.2, (seed, where, alike)


def test_a_cut_out_of_noise_is_found():
    rng = np.random.default_rng(0)
    one, two = scene(1)[:, :320], 1 - scene(1)[:, :320] ** 2
    frames = [np.clip(p + rng.normal(0, 0.03, p.shape), 0, 1) for p in [one] * 5 + [two] * 5]
    assert cuts(frames) == [5]


def test_two_cuts_in_a_row_are_both_found():
    a, b = scene(1)[:, :320], 1 - scene(1)[:, :320]
    assert cuts([a, a, b, a, a]) == [2, 3]


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("count", [1, 4])
def test_a_shot_begins_after_pictures_with_nothing_in_them(level, count):
    """A leader of black, or a title's ground: what follows has nothing to do with it."""
    blank = np.full((180, 320), level, np.float32)
    for seed in range(6):
        assert cuts([blank] * count + [scene(seed)[:, :320]] * 4) == [count]


def test_a_shutter_that_blinks_is_no_cut():
    """Neither black frames within a shot nor what comes after them; unless that is another shot."""
    one, two = scene(1)[:, :320], 1 - scene(1)[:, :320]
    blank = np.zeros_like(one)
    assert cuts([one, one, blank, one, one, blank, blank, one]) == []
    assert cuts([one, one, blank, blank, two, two]) == [4]


@pytest.mark.parametrize("light", [0.2, 0.05])
def test_cuts_between_dark_shots_are_found(light):
    """In steps of 8 bits, of which these use a fifth and a twentieth."""
    for seed in range(8):
        one, two = (np.rint(scene(s)[:, :320] * light * 255) / 255 for s in (seed, seed + 100))
        bright = cuts([scene(seed)[:, :320]] * 3 + [scene(seed + 100)[:, :320]] * 3)
        assert cuts([one] * 3 + [two] * 3) == bright == [3]


@pytest.mark.parametrize("white", [65535, 5000, 600])
def test_cuts_are_found_in_16_bits_of_which_few_are_used(white):
    one, two = (np.rint(scene(s)[:, :320] * white).astype(np.float32) / 65535 for s in (3, 103))
    detector = CutDetector()
    assert [detector(x, 16) for x in [one] * 3 + [two] * 3] == [False] * 3 + [True] + [False] * 2
    still = CutDetector()
    grain = np.random.default_rng(0).normal(0, 0.02 * white / 65535, (8, 180, 320)).astype(np.float32)
    assert not any(still(one + more, 16) for more in grain)


@pytest.mark.parametrize("noise", [0.5, 4.0])
def test_the_dark_itself_is_no_cut(noise):
    """Black and grey of 8 bits with grain: there is nothing in them that could change."""
    rng = np.random.default_rng(0)
    for level in (0, 100):
        still = np.clip(np.rint(rng.normal(level, noise, (10, 180, 320))), 0, 255) / 255
        assert cuts(still) == []


def test_a_shot_that_comes_up_out_of_the_dark_begins_where_there_is_something_to_see():
    picture = scene(4)[:, :320]
    frames = [np.rint(picture * min(k / 25, 1) * 255) / 255 for k in range(40)]
    found = cuts(frames)
    assert found[0] == 1
    assert float(frames[found[-1]].std()) > 0.03
    assert found[-1] < 10, "and not later"
    assert cuts(frames[::-1]) == []  # it may go down as it likes


@pytest.mark.parametrize("length", [8, 25])
def test_a_shot_that_dissolves_into_another_is_left_behind(length):
    """Once when the first has nothing to do with it any more, and once when nothing of the first is left."""
    rng = np.random.default_rng(0)
    one, two = patches(1), patches(2)
    shares = np.clip((np.arange(length + 24) - 12) / length, 0, 1)
    frames = [(1 - s) * one + s * two + rng.normal(0, 0.01, one.shape) for s in shares]
    found = cuts(frames)
    assert len(found) == 2
    assert 12 < found[0] < 12 + length
    assert found[1] in (12 + length, 13 + length)
    assert cuts(frames[: found[0]]) == []
    neighbours = CutDetector(sudden=True)
    assert not any(neighbours(frame.astype(np.float32)) for frame in frames)


def test_what_comes_into_view_is_no_new_shot():
    """Of an even ground little is left to correlate with, once something stands before it; but it is there."""
    rng = np.random.default_rng(1)
    ground = 0.4 + 0.02 * scene(5)[:, :320]
    frames = []
    for k in range(30):
        frame = ground + rng.normal(0, 0.005, ground.shape)
        frame[60:120, 10 * k - 60 if 10 * k > 60 else 0 : max(10 * k, 1)] = 0.9
        frames.append(frame)
    assert cuts(frames) == []


def test_a_frame_that_became_the_reference_is_what_others_are_compared_with():
    """A pan leaves its first frame far behind, which does not matter where the reference is replaced on the way."""
    wide = np.concatenate([scene(k) for k in (0, 7)], 1)
    views = [np.ascontiguousarray(wide[:, 4 * k : 4 * k + 320]) for k in range(200)]
    followed, left = CutDetector(), CutDetector()
    both = []
    for k, view in enumerate(views):
        both.append((left(view), followed(view)))
        if k % 10 == 0:
            followed.anchor()
    assert any(a for a, _ in both)
    assert sum(b for _, b in both) < sum(a for a, _ in both)


def test_the_first_frame_and_a_change_of_size_are_no_cuts():
    assert cuts([scene(1)]) == []
    assert cuts([scene(1)[:, :320], scene(3)[:100, :200]]) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (31, 33), (1080, 7)])
def test_any_size_has_a_thumbnail(size):
    rng = np.random.default_rng(0)
    luma = rng.random(size, np.float32)
    small = thumbnail(luma)
    assert min(small.shape) >= 1
    assert max(small.shape) < 2 * SIDE + 1
    assert abs(float(small.mean()) - float(luma.mean())) < 0.05
