"""Light and range of a picture do not change what is measured of its motion."""

from __future__ import annotations

import numpy as np
import pytest
import vibrations

from magfilter import Magnifier
from magfilter.exposure import Levelled, Stretch, relit
from magfilter.media.frame import Frame, PixelLayout

SIZE = (128, 192)
SHIFT = 0.5  # px


def texture(seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """(H, W) 0.2..0.8 or so, moved to the right by `shift` px."""
    return vibrations.moved(vibrations.texture(seed, SIZE), SIZE, (shift, 0.0)) / 255


def pair(shift: float = SHIFT) -> tuple[np.ndarray, np.ndarray]:
    """A picture, and the same with a rectangle in it that has moved."""
    frames = []
    for away in (0.0, shift):
        frame = texture()
        frame[32:96, 48:144] = texture(1, away)[32:96, 48:144]
        frames.append(frame)
    return frames[0], frames[1]


def image(picture: np.ndarray) -> np.ndarray:
    return picture[None].astype(np.float32)


def grey(picture: np.ndarray, peak: float) -> Frame:
    """A frame of 16 bits whose white is so many counts."""
    layout = PixelLayout.from_name("gray16le")
    assert layout is not None
    return Frame((np.rint(np.clip(picture, 0, None) * peak).astype(np.uint16),), layout)


def found(frames: list[Frame]) -> float:
    """What is measured of the rectangle's motion in the last frame, px."""
    magnifier = Magnifier(alpha=10, threads=1)
    for frame in frames:
        magnifier.push(frame)
    assert magnifier.flow is not None
    return float(np.median(magnifier.flow[0, 20:44, 30:66]))


def off(reference: np.ndarray, picture: np.ndarray) -> float:
    """How far a picture is from its reference once it is in its light; root mean square."""
    return float(np.sqrt(np.mean((relit(image(reference), image(picture))[0] - reference) ** 2)))


@pytest.mark.parametrize("gain", [0.2, 0.5, 0.9, 1.1, 2.0])
@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_the_light_of_the_reference_comes_back(gain, offset):
    reference, moved = pair(3.0)
    due = np.sqrt(np.mean((moved - reference) ** 2))
    assert off(reference, gain * reference + offset) < 0.002
    assert off(reference, gain * moved + offset) == pytest.approx(due, rel=0.03)


def test_noise_is_not_the_light():
    reference, _ = pair()
    noise = np.random.default_rng(2).normal(0, 2 / 255, SIZE)
    assert off(reference, 0.5 * reference + noise) == pytest.approx(2 * 2 / 255, rel=0.05)


def test_what_brightens_by_itself_is_not_the_light():
    reference, _ = pair()
    brighter = 0.6 * reference
    brighter[:60, :80] += 0.3
    assert off(reference[60:, 80:], relit(image(reference), image(brighter))[0][60:, 80:]) < 0.02


@pytest.mark.parametrize("shift", [0.0, 0.5, 4.0, 12.0])
def test_light_that_has_hardly_changed_is_left(shift):
    reference, moved = pair(shift)
    given = image(1.01 * moved)
    assert relit(image(reference), given) is given


def test_light_that_changes_from_place_to_place_comes_back():
    reference, moved = pair()
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] / np.array(SIZE)[:, None, None]
    spot = 1 - 0.5 * np.exp(-4 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))
    due = np.sqrt(np.mean((moved - reference) ** 2))
    assert off(reference, spot * reference) < 0.3 * np.sqrt(np.mean((spot * reference - reference) ** 2))
    assert off(reference, spot * moved) < 2 * due


@pytest.mark.parametrize("seed", range(1, 6))
def test_another_picture_is_not_the_same_in_another_light(seed):
    given = image(0.5 * texture(seed))
    assert relit(image(texture(0)), given) is given
    one, two = (np.random.default_rng(seed + k).random((1, 64, 128), np.float32) for k in (0, 10))
    assert relit(one, two) is two


def test_of_flat_pictures_brightness_tells():
    flat = np.full(SIZE, 0.5)
    assert off(flat, 0.5 * flat) < 1e-5
    black = image(0 * flat)
    given = image(flat)
    assert relit(black, given) is given


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (9, 5), (64, 64), (130, 70)])
@pytest.mark.parametrize("uneven", [False, True])
def test_any_size_will_do(size, uneven):
    small = np.random.default_rng(0).random((1, *size), np.float32)
    light = np.linspace(0.3, 1, size[1], dtype=np.float32) if uneven else np.float32(0.5)
    out = relit(small, light * small)
    assert out.shape == small.shape
    assert out.dtype == np.float32
    assert np.isfinite(out).all()


@pytest.mark.parametrize("left", [0.0, 0.001, -0.06])
@pytest.mark.parametrize("columns", [40, 96, SIZE[1]])
def test_a_picture_that_goes_black_comes_to_no_harm(left, columns):
    """As a whole or in part; limited range knows what is blacker than black."""
    reference, picture = texture(), texture(0, 0.3)
    picture[:, :columns] = left
    for one, two in ((reference, picture), (picture, reference)):
        out = relit(image(one), image(two))
        assert np.isfinite(out).all()
        assert np.abs(out).max() < 25
    noisy = left + np.random.default_rng(3).normal(0, 0.002, SIZE)
    assert np.abs(relit(image(reference), image(noisy))).max() < 1


def test_a_picture_of_eight_bits_is_not_stretched():
    assert Stretch.of(image(0.01 * texture()), 8) == Stretch()


def test_a_picture_of_usual_range_is_the_same_array():
    picture = image(texture())
    stretch = Stretch.of(picture, 16)
    assert stretch == Stretch()
    assert stretch(picture) is picture


@pytest.mark.parametrize(("depth", "most"), [(16, 256), (10, 4)])
def test_a_narrow_one_is_stretched_as_far_as_its_steps_allow(depth, most):
    picture = image(0.3 + 0.001 * (texture() - 0.5))
    stretch = Stretch.of(picture, depth)
    assert stretch.factor == pytest.approx(most)
    wide = Stretch.of(image(0.1 * texture()), 16)
    assert np.ptp(np.percentile(wide(image(0.1 * texture())), (0.5, 99.5))) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("gain", [0.3, 0.6, 1.4])
def test_what_moves_in_another_light_is_magnified_as_before(gain):
    """A dye that had bleached to a half let what moves come to rest."""
    reference, moved = pair()
    due = found([grey(reference, 40000), grey(moved, 40000)])
    assert due == pytest.approx(SHIFT, rel=0.1)
    assert found([grey(reference, 40000), grey(gain * moved, 40000)]) == pytest.approx(due, rel=0.03)


def test_light_alone_moves_nothing():
    reference, _ = pair()
    magnifier = Magnifier(alpha=10, threads=1)
    magnifier.push(grey(reference, 40000))
    magnifier.push(grey(0.5 * reference, 40000))
    assert np.abs(magnifier.flow).max() < 0.02


@pytest.mark.parametrize("peak", [300, 2000, 65535])
def test_a_camera_of_16_bits_may_use_few_of_them(peak):
    """Of a picture of 300 counts nothing was seen, without a word."""
    reference, moved = pair()
    assert found([grey(reference, peak), grey(moved, peak)]) == pytest.approx(SHIFT, rel=0.1)


def test_a_network_is_given_the_very_arrays_where_nothing_is_to_be_done():
    given = []

    def run(*images):
        given.extend(images)
        return np.zeros((2, 4, 4), np.float32)

    reference, moved = (image(picture) for picture in pair())
    Levelled(run)(reference, moved)
    assert given[0] is reference
    assert given[1] is moved
