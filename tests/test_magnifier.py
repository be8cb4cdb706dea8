"""`Magnifier`, with fake networks whose answer is known, so that its own arithmetic shows."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import magfilter.magnifier as module
from magfilter.backends import open_engine
from magfilter.blocks import _low_pass, reduced
from magfilter.errors import OptionError
from magfilter.magnifier import Magnifier
from magfilter.media.frame import Colour, Frame, PixelLayout, same_picture
from magfilter.models import ModelInfo
from magfilter.networks import DESCRIPTORS


@pytest.fixture(scope="module")
def real():
    """The default engine, for its resampler."""
    return open_engine("warp", "onnxruntime", "cpu", 2)


class FakeEngine:
    """Returns what `answer(reference, frame, alpha)` says and keeps what it was given."""

    name, device, renderer, at_once = "fake", "cpu", None, 1

    def __init__(self, real, descriptor, answer) -> None:
        self.real, self.answer = real, answer
        self.model = ModelInfo(Path("fake.onnx"), descriptor, {}, "0")
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []
        self.alphas: list[float] = []

    def run(self, reference, frame, alpha):
        self.seen.append((reference, frame))
        self.alphas.append(alpha)
        return self.answer(reference, frame, alpha)

    def resample(self, *args):
        return self.real.resample(*args)


@pytest.fixture
def fake(monkeypatch, real):
    """fake(answer, "warp") puts a FakeEngine in place of the one a Magnifier opens."""

    def install(answer, name: str = "warp", **changes) -> FakeEngine:
        engine = FakeEngine(real, dataclasses.replace(DESCRIPTORS[name], **changes), answer)
        monkeypatch.setattr(module, "open_engine", lambda *_: engine)
        return engine

    return install


def constant(x: float, y: float):
    """A flow network that sees everything move by (x, y) px of its input."""

    def answer(reference, frame, alpha):
        flow = np.empty((2, reference.shape[1] // 2, reference.shape[2] // 2), np.float32)
        flow[0], flow[1] = x, y
        return flow

    return answer


def patch(x: float, y: float, rows: slice, cols: slice):
    """One that sees only the points in rows and cols of its grid move."""

    def answer(reference, frame, alpha):
        flow = np.zeros((2, reference.shape[1] // 2, reference.shape[2] // 2), np.float32)
        flow[:, rows, cols] = np.array([x, y], np.float32)[:, None, None]
        return flow

    return answer


def paint(reference, frame, alpha):
    """A `frame` network that returns the frame."""
    return frame


def rgb(seed: int, size: tuple[int, int] = (64, 96), dtype=np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (*size, 3)).astype(dtype)


def yuv(seed: int, name: str, size: tuple[int, int] = (64, 96), time: float | None = None) -> Frame:
    layout = PixelLayout.from_name(name)
    rng = np.random.default_rng(seed)
    planes = tuple(
        rng.integers(0, layout.peak + 1, layout.plane_shape(k, *size)).astype(layout.dtype)
        for k in range(layout.plane_count)
    )
    pts = None if time is None else round(time * 1000)
    return Frame(planes, layout, Colour(1, 1, 1, 1), pts, Fraction(1, 1000), 40, extra="kept")


# -- what is promised to the bit


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gray", "gbrp", "yuva420p"])
def test_alpha_one_returns_every_frame_untouched(fake, name):
    engine = fake(constant(1, 1))
    magnifier = Magnifier(1)
    for seed in range(3):
        frame = yuv(seed, name, (33, 47))
        before = [plane.copy() for plane in frame.planes]
        out = magnifier.push(frame)
        assert same_picture(out.planes, before)
        assert (out.pts, out.colour, out.extra) == (frame.pts, frame.colour, frame.extra)
    assert not engine.seen


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_one_returns_arrays_untouched(fake, dtype):
    fake(constant(1, 1))
    magnifier = Magnifier(1.0)
    for seed in range(2):
        out = magnifier.push(rgb(seed, dtype=dtype))
        assert out.dtype == dtype
        np.testing.assert_array_equal(out, rgb(seed, dtype=dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_first_frame_is_the_reference_and_untouched(fake, dtype):
    engine = fake(constant(1, 0))
    magnifier = Magnifier(5)
    np.testing.assert_array_equal(magnifier.push(rgb(0, dtype=dtype)), rgb(0, dtype=dtype))
    assert not engine.seen
    assert magnifier.references == 1
    assert magnifier.flow is None
    assert not np.array_equal(magnifier.push(rgb(0, dtype=dtype)), rgb(0, dtype=dtype))
    assert magnifier.references == 1
    assert magnifier.flow.shape == (2, 32, 48)


def test_no_motion_returns_the_frame_untouched(fake):
    fake(constant(0, 0))
    magnifier = Magnifier(50, shot_cuts=False)
    magnifier.push(yuv(0, "yuv420p"))
    frame = yuv(1, "yuv420p")
    assert same_picture(magnifier.push(frame).planes, frame.planes)


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_what_does_not_move_is_bit_identical(fake, name):
    fake(patch(0.5, 0.0, slice(10, 16), slice(10, 16)))  # px 20..31, thrown 5 px
    magnifier = Magnifier(10, shot_cuts=False)
    magnifier.push(yuv(0, name))
    frame = yuv(1, name)
    out = magnifier.push(frame)
    for before, after in zip(frame.planes, out.planes, strict=True):
        fy, fx = 64 // before.shape[0], 96 // before.shape[1]
        changed = before != after
        assert changed.any()
        moved = np.zeros_like(changed)
        moved[14 // fy : 38 // fy, 14 // fx : 44 // fx] = True
        assert not changed[~moved].any()


# -- moving pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("alpha", "flow", "shift"), [(3, (2, 0), (4, 0)), (5, (0.5, -1), (2, -4)), (0, (3, 1), (-3, -1))]
)
def test_constant_flow_shifts_the_picture_by_alpha_minus_one(fake, alpha, flow, shift, dtype):
    fake(constant(*flow))
    magnifier = Magnifier(alpha, shot_cuts=False)
    magnifier.push(rgb(0, dtype=dtype))
    frame = rgb(1, dtype=dtype)
    out = magnifier.push(frame)
    dx, dy = shift
    edge = 14  # what comes in from outside is not known
    inner = out[edge:-edge, edge:-edge]
    wanted = frame[edge - dy : 64 - edge - dy, edge - dx : 96 - edge - dx]
    tolerance = 1 if dtype == np.uint8 else 40  # bicubic at whole pixels, up to float32 coordinates
    assert np.abs(inner.astype(int) - wanted).max() <= tolerance


@pytest.mark.parametrize(
    "name", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv440p", "yuva420p", "gbrp", "gray"]
)
def test_all_planes_move_together(fake, name):
    """Chroma moves by the same share of the picture as luma."""
    fake(constant(2, -2))
    magnifier = Magnifier(3, shot_cuts=False)  # moves by (4, -4)
    magnifier.push(yuv(0, name))
    frame = yuv(1, name)
    out = magnifier.push(frame)
    assert (out.pts, out.time_base, out.duration, out.colour, out.extra) == (
        None,
        Fraction(1, 1000),
        40,
        frame.colour,
        "kept",
    )
    for before, after in zip(frame.planes, out.planes, strict=True):
        fy, fx = 64 // before.shape[0], 96 // before.shape[1]
        dx, dy, edge = 4 // fx, -4 // fy, 8
        height, width = before.shape
        inner = after[edge:-edge, edge:-edge].astype(int)
        wanted = before[edge - dy : height - edge - dy, edge - dx : width - edge - dx].astype(int)
        assert np.abs(inner - wanted).max() <= 2 if frame.layout.depth == 8 else 4


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gray", "gbrp"])
@pytest.mark.parametrize("size", [(33, 47), (1, 1), (1, 64), (63, 2), (3, 5), (101, 64)])
@pytest.mark.parametrize("proxy", [0, 0.0005])
def test_odd_sizes_work(fake, name, size, proxy):
    engine = fake(constant(0.7, -0.4))
    magnifier = Magnifier(6, shot_cuts=False, proxy=proxy)
    for seed in range(2):
        frame = yuv(seed, name, size)
        out = magnifier.push(frame)
        out.check()
        assert [p.shape for p in out.planes] == [p.shape for p in frame.planes]
    for image in engine.seen[0]:
        assert image.shape[1] % 64 == 0
        assert image.shape[2] % 64 == 0


def test_odd_pictures_move_as_even_ones_do(fake):
    """The grid reaches beyond an odd picture's edge without stretching it."""
    fake(constant(2, 0))
    magnifier = Magnifier(3, shot_cuts=False)
    magnifier.push(rgb(0, (41, 67)))
    out = magnifier.push(rgb(1, (41, 67)))
    assert np.abs(out[:, 12:-1].astype(int) - rgb(1, (41, 67))[:, 8:-5]).max() <= 1


# -- what the network sees


def test_network_sees_luma_padded_by_repeating_the_border(fake):
    engine = fake(constant(0, 0))
    magnifier = Magnifier(2, shot_cuts=False)
    first, second = yuv(0, "gray", (50, 70)), yuv(1, "gray", (50, 70))
    magnifier.push(first)
    magnifier.push(second)
    for image, frame in zip(engine.seen[0], (first, second), strict=True):
        assert image.shape == (1, 64, 128)
        assert image.dtype == np.float32
        plane = image[0, :50, :70] * 255 if frame.colour.range == 2 else image[0, :50, :70] * 219 + 16
        np.testing.assert_allclose(plane, frame.planes[0], atol=0.01)
        np.testing.assert_array_equal(image[0, :, 70:], np.repeat(image[0, :, 69:70], 58, 1))
        np.testing.assert_array_equal(image[0, 50:], np.repeat(image[0, 49:50], 14, 0))


def test_proxy_reduces_what_the_network_sees_and_scales_its_flow_back(fake):
    engine = fake(constant(1, 0))
    magnifier = Magnifier(3, shot_cuts=False, proxy=0.01)  # 256 × 192 px are 0.049 megapixels: blocks of 3
    first = rgb(0, (192, 256))
    magnifier.push(first)
    out = magnifier.push(rgb(1, (192, 256)))
    seen = engine.seen[0][0]
    assert seen.shape == (1, 64, 128)
    light = first.astype(np.float64) @ [0.2126, 0.7152, 0.0722] / 255
    small = reduced(light[None].astype(np.float32), 3)[0]
    assert abs(float(seen[0, 10, 20]) - small[10, 20]) < 0.02  # the matrix may be BT.601's
    np.testing.assert_array_equal(magnifier.flow, np.broadcast_to([[[3.0]], [[0.0]]], (2, 32, 43)))
    inner = out[20:-20, 40:-20]
    assert np.abs(inner.astype(int) - rgb(1, (192, 256))[20:-20, 34:-26]).max() <= 1, "moves by (3 − 1) · 3 = 6 px"


@pytest.mark.parametrize(
    ("proxy", "shape"), [(0, (512, 576)), (1.0, (512, 576)), (0.29, (256, 320)), (0.05, (192, 192))]
)
def test_proxy_is_a_bound_in_megapixels_and_zero_is_full_size(fake, proxy, shape):
    engine = fake(constant(0, 0))
    magnifier = Magnifier(3, shot_cuts=False, proxy=proxy)
    for seed in range(2):
        magnifier.push(yuv(seed, "gray", (512, 576)))
    assert engine.seen[0][0].shape[1:] == shape


@pytest.mark.parametrize("k", [2, 3, 4])
def test_a_reduced_image_lies_where_the_blocks_do(k):
    y, x = np.mgrid[:150, :203].astype(np.float32)
    ramp = np.stack([x, y])
    small = reduced(ramp, k)
    assert small.shape == (2, -(-150 // k), -(-203 // k))
    inner = slice(3, -4)
    centres = np.mgrid[: small.shape[1], : small.shape[2]][::-1] * k + (k - 1) / 2
    np.testing.assert_allclose(small[:, inner, inner], centres[:, inner, inner], atol=1e-3)
    np.testing.assert_allclose(reduced(np.full((1, 31, 45), 0.4, np.float32), k), 0.4, rtol=1e-5)


def test_a_reduced_image_is_the_low_passed_one_up_to_the_border():
    image = np.random.default_rng(0).random((1, 75, 150), np.float32)
    weights = _low_pass(2)
    wide = np.pad(image, ((0, 0), (3, 4), (3, 3)), mode="edge")
    tall = sum(w * wide[:, n : n + 75 : 2] for n, w in enumerate(weights))
    wanted = sum(w * tall[:, :, n : n + 149 : 2] for n, w in enumerate(weights))
    np.testing.assert_allclose(reduced(image, 2), wanted, atol=1e-6)


@pytest.mark.parametrize("k", [2, 3])
def test_a_reduced_image_shows_no_texture_that_it_cannot_resolve(k):
    """It would move the other way, and the mean of blocks shows nearly half of it."""
    x = np.arange(240, dtype=np.float32)
    fine = np.broadcast_to(np.sin(2 * np.pi * x / (1.5 * k)), (1, 24 * k, 240))
    means = fine.reshape(1, 24, k, 240 // k, k).mean((2, 4))
    assert reduced(np.ascontiguousarray(fine), k)[:, :, 8:-8].std() < 0.4 * means.std()


# -- sizes, reset, references


def test_a_change_of_size_is_refused_with_both_sizes(fake):
    fake(constant(0, 0))
    for alpha in (1, 5):
        magnifier = Magnifier(alpha)
        magnifier.push(rgb(0, (64, 96)))
        with pytest.raises(ValueError, match=r"96x64.*80x48.*reset"):
            magnifier.push(rgb(0, (48, 80)))


def test_reset_forgets_reference_and_size(fake):
    engine = fake(constant(1, 0))
    magnifier = Magnifier(5)
    magnifier.push(rgb(0))
    magnifier.push(rgb(0))
    assert magnifier.flow is not None
    magnifier.reset()
    assert magnifier.flow is None
    np.testing.assert_array_equal(magnifier.push(rgb(1, (48, 80))), rgb(1, (48, 80)))
    assert magnifier.references == 2
    magnifier.push(rgb(1, (48, 80)))
    assert len(engine.seen) == 2


def test_set_reference_is_what_the_first_frame_is_measured_against(fake):
    engine = fake(constant(1, 0))
    magnifier = Magnifier(5, reference="frame:7")
    magnifier.set_reference(yuv(7, "gray"))
    for seed in (0, 1, 7):
        magnifier.push(yuv(seed, "gray"))
    assert magnifier.references == 1
    assert len(engine.seen) == 3
    wanted = magnifier._see(yuv(7, "gray"))
    assert all(np.array_equal(reference, wanted) for reference, _ in engine.seen)


def test_set_reference_takes_arrays_and_fixes_the_size(fake):
    fake(constant(1, 0))
    magnifier = Magnifier(5)
    magnifier.set_reference(rgb(0, (64, 96)))
    with pytest.raises(ValueError, match="96x64"):
        magnifier.push(rgb(0, (32, 32)))


def references(engine, magnifier, frames) -> list[int | None]:
    """For every frame the index of the frame it was measured against, None if it became a reference."""
    out = []
    views = [magnifier._see(frame) for frame in frames]
    for frame in frames:
        calls = len(engine.seen)
        magnifier.push(frame)
        if len(engine.seen) == calls:
            out.append(None)
        else:
            out.append(next(k for k, view in enumerate(views) if np.array_equal(view, engine.seen[-1][0])))
    return out


def test_first_measures_against_the_first(fake):
    engine = fake(constant(0, 0))
    frames = [yuv(k, "gray", time=0.5 * k) for k in range(4)]
    assert references(engine, Magnifier(5, shot_cuts=False), frames) == [None, 0, 0, 0]


def test_previous_measures_against_the_frame_before(fake):
    engine = fake(constant(0, 0))
    frames = [yuv(k, "gray", time=0.5 * k) for k in range(4)]
    magnifier = Magnifier(5, reference="previous", shot_cuts=False)
    assert references(engine, magnifier, frames) == [None, 0, 1, 2]


def test_every_takes_a_new_reference_by_the_clock(fake):
    engine = fake(constant(0, 0))
    frames = [yuv(k, "gray", time=time) for k, time in enumerate([3.0, 3.5, 4.0, 4.1, 4.9, 5.2, 6.0])]
    magnifier = Magnifier(5, reference="every:1", shot_cuts=False, cross_fade=0)
    assert references(engine, magnifier, frames) == [None, 0, None, 2, 2, None, 5]
    assert magnifier.references == 3


def test_every_counts_frames_without_a_time_by_fps(fake):
    engine = fake(constant(0, 0))
    frames = [yuv(k, "gray") for k in range(6)]
    assert frames[0].time is None
    magnifier = Magnifier(5, reference="every:1", fps=2, shot_cuts=False, cross_fade=0)
    assert references(engine, magnifier, frames) == [None, 0, None, 2, None, 4]
    with pytest.raises(OptionError, match=r"reference every:1 needs to know when a frame is, .* give fps"):
        Magnifier(5, reference="every:1").push(rgb(0))


def test_a_shot_cut_takes_a_new_reference_unless_told_not_to(fake):
    y, x = np.mgrid[:64, :96]
    one, two = (np.clip(127 + 120 * np.sin(wave), 0, 255).astype(np.uint8) for wave in (x / 20, y / 9 + 1))
    frames = [yuv(0, "gray").replace(planes=(plane,)) for plane in (one, one, two, two)]
    for plane, frame in zip((one, one, two, two), frames, strict=True):
        assert np.array_equal(frame.planes[0], plane)
    engine = fake(constant(0, 0))
    assert references(engine, Magnifier(5), frames) == [None, 0, None, 2]
    engine = fake(constant(0, 0))
    assert references(engine, Magnifier(5, shot_cuts=False), frames) == [None, 0, 0, 0]
    engine = fake(constant(0, 0))
    assert references(engine, Magnifier(5, reference="frame:0"), frames) == [None, 0, 0, 0]


# -- maps of alpha


def test_a_map_takes_alphas_place_where_the_reference_shows_the_thing(fake):
    """Two points' worth of picture move; only the one that the map names is magnified."""

    def answer(reference, frame, alpha):
        flow = np.zeros((2, 32, 64), np.float32)
        flow[0, 8:16, 8:16] = flow[0, 8:16, 30:38] = 0.5  # px 16..31 and 60..75, rows 16..31
        return flow

    fake(answer)
    factors = np.ones((64, 96))
    factors[16:32, 16:32] = 10
    magnifier = Magnifier(3, alpha_map=factors, shot_cuts=False)
    magnifier.push(yuv(0, "yuv420p10le"))
    frame = yuv(1, "yuv420p10le")
    out = magnifier.push(frame)
    for before, after in zip(frame.planes, out.planes, strict=True):
        step = 64 // before.shape[0]
        changed = before != after
        assert changed[20 // step : 28 // step, 22 // step : 32 // step].any()
        beyond = np.ones_like(changed)
        beyond[12 // step : 36 // step, 12 // step : 42 // step] = False  # thrown by 5 px, and the grid's width
        assert not changed[beyond].any()
    fake(answer)
    alone = Magnifier(10, shot_cuts=False)
    alone.push(yuv(0, "yuv420p10le"))
    both = alone.push(frame)
    np.testing.assert_array_equal(out.planes[0][:, :44], both.planes[0][:, :44])


@pytest.mark.parametrize("factors", [np.full((64, 96), 5), np.full((64, 96), 5.0), [[5] * 96] * 64])
def test_an_even_map_is_the_number(fake, factors):
    fake(patch(0.5, 0.3, slice(10, 16), slice(10, 16)))
    mapped, plain = Magnifier(2, alpha_map=factors, shot_cuts=False), Magnifier(5, shot_cuts=False)
    for seed in range(2):
        frame = yuv(seed, "yuv420p")
        one, two = mapped.push(frame), plain.push(frame)
    assert same_picture(one.planes, two.planes)
    assert not same_picture(one.planes, frame.planes)


@pytest.mark.parametrize("give", [lambda ones: ones, lambda ones: lambda number: ones], ids=["array", "function"])
def test_a_map_of_ones_does_nothing(fake, give):
    engine = fake(constant(1, 1))
    magnifier = Magnifier(10, alpha_map=give(np.ones((64, 96), np.float32)), reference="previous", shot_cuts=False)
    for seed in range(3):
        frame = yuv(seed, "yuv422p10le")
        assert magnifier.measure(frame).flow is None
        assert same_picture(magnifier.push(frame).planes, frame.planes)
    assert not engine.seen


def test_alpha_one_with_a_map_magnifies_what_the_map_names(fake):
    fake(constant(1, 0))
    magnifier = Magnifier(1, alpha_map=np.full((64, 96), 4.0), shot_cuts=False)
    magnifier.push(rgb(0))
    assert not np.array_equal(magnifier.push(rgb(1)), rgb(1))


def test_a_map_is_reduced_to_the_flow_s_grid_with_the_proxy(fake):
    fake(constant(1, 0))
    factors = np.ones((64, 96), np.float32)
    factors[33, 50] = 7
    magnifier = Magnifier(2, alpha_map=factors, proxy=0.0016, shot_cuts=False)  # 6144 px: blocks of 2, points of 4
    magnifier.push(rgb(0))
    gain = magnifier.measure(Frame.from_rgb(rgb(1))).gain
    assert gain.shape == magnifier.flow.shape[1:] == (16, 24)
    assert gain[8, 12] == 7
    assert (gain != 1).sum() == 1


@pytest.mark.parametrize(
    ("reference", "numbers"),
    [("first", [0]), ("previous", [0, 1, 2, 3]), ("every:1", [0, 2]), ("frame:0", [0])],
)
def test_a_function_is_asked_for_the_map_of_each_new_reference(fake, reference, numbers):
    fake(constant(0.5, 0))
    asked = []

    def factors(number: int) -> np.ndarray:
        asked.append(number)
        return np.full((64, 96), 2.0 + number)

    magnifier = Magnifier(9, alpha_map=factors, reference=reference, shot_cuts=False, cross_fade=0)
    gains = [magnifier.measure(yuv(k, "gray", time=0.5 * k)).gain for k in range(4)]
    assert asked == numbers
    measured_against = {"previous": [None, 0, 1, 2], "every:1": [None, 0, None, 2]}.get(reference, [None, 0, 0, 0])
    assert [None if gain is None else gain[0, 0] - 2 for gain in gains] == measured_against
    magnifier.reset()
    magnifier.push(yuv(0, "gray", time=0))
    assert asked[-1] == 0, "counted from the beginning again"


def test_a_far_reference_asks_for_the_map_of_its_number(fake):
    fake(constant(0.5, 0))
    asked = []
    magnifier = Magnifier(
        9, alpha_map=lambda number: (asked.append(number), np.full((64, 96), 3.0))[1], reference="frame:7"
    )
    magnifier.set_reference(yuv(7, "gray"))
    magnifier.push(yuv(0, "gray"))
    assert asked == [7]


def test_a_map_written_to_between_two_references_is_read_again(fake):
    fake(constant(0.5, 0))
    own = np.full((64, 96), 2.0)
    magnifier = Magnifier(9, alpha_map=lambda number: own, reference="previous", shot_cuts=False)
    magnifier.push(yuv(0, "gray"))
    own[:] = 3
    assert (magnifier.measure(yuv(1, "gray")).gain == 2).all()
    assert (magnifier.measure(yuv(2, "gray")).gain == 3).all()


def test_a_map_given_as_an_array_is_copied(fake):
    fake(constant(0.5, 0))
    own = np.full((64, 96), 2.0, np.float32)
    magnifier = Magnifier(9, alpha_map=own, shot_cuts=False)
    own[:] = 3
    magnifier.push(yuv(0, "gray"))
    assert (magnifier.measure(yuv(1, "gray")).gain == 2).all()


@pytest.mark.parametrize("size", [(33, 47), (1, 1), (63, 2)])
@pytest.mark.parametrize("proxy", [0, 0.0005])
def test_maps_of_odd_pictures(fake, size, proxy):
    fake(constant(0.7, -0.4))
    magnifier = Magnifier(2, alpha_map=np.full(size, 6), shot_cuts=False, proxy=proxy)
    for seed in range(2):
        out = magnifier.push(yuv(seed, "yuv420p", size))
        out.check()


@pytest.mark.parametrize(
    ("factors", "text"),
    [
        (np.full((64, 96), -1.0), "alpha_map holds -1 at column 0, row 0, which is negative"),
        (np.full((64, 96), np.nan), "alpha_map holds nan"),
        (np.ones((64, 96, 3)), r"alpha_map holds float64 of shape \(64, 96, 3\)"),
        (np.full((64, 96), "1"), "alpha_map holds <U1"),
        ("map.npy", "alpha_map holds <U7"),
    ],
)
@pytest.mark.parametrize("function", [False, True])
def test_maps_that_are_none(fake, factors, text, function):
    fake(constant(1, 0))
    with pytest.raises(OptionError, match=text):
        Magnifier(5, alpha_map=(lambda number: factors) if function else factors).push(rgb(0))


@pytest.mark.parametrize("function", [False, True])
def test_a_map_of_another_size_is_refused_with_both(fake, function):
    fake(constant(1, 0))
    factors = np.full((48, 64), 5.0)
    magnifier = Magnifier(5, alpha_map=(lambda number: factors) if function else factors)
    with pytest.raises(OptionError, match="alpha_map is 64x48 and the frame 96x64; give one factor for every pixel"):
        magnifier.push(rgb(0))


def test_networks_that_paint_take_no_map(fake):
    fake(paint, "unet")
    with pytest.raises(OptionError, match=r"model unet takes one alpha for the whole picture.*--model warp"):
        Magnifier(5, alpha_map=np.ones((64, 96)))


# -- a part of the motion


def swinging(hertz: float, far: float = 0.5):
    """A flow network that sees everything swing along x, px, from the first time it is asked on; 30 times a second."""
    count = iter(range(1, 10_000))

    def answer(reference, frame, alpha):
        return constant(far * np.sin(2 * np.pi * hertz * next(count) / 30), 0)(reference, frame, alpha)

    return answer


@pytest.mark.parametrize(("hertz", "due"), [(3, 1.0), (9, 0.0)])
def test_motion_outside_the_band_is_measured_and_not_magnified(fake, hertz, due):
    fake(swinging(hertz))
    magnifier = Magnifier(5, band=(2, 4), fps=30, shot_cuts=False)
    measured = [magnifier.measure(yuv(n, "gray")) for n in range(90)]
    assert (measured[0].flow, measured[0].part) == (None, None)
    flow, part = (np.array([m[k][0, 5, 5] for m in measured[30:]]) for k in (1, 3))
    assert np.abs(flow).max() > 0.45
    assert np.abs(part).max() / 0.5 == pytest.approx(due, abs=0.1)


def test_rendering_needs_no_order(fake):
    """The filter belongs to measuring: frames may be rendered in any order, and twice."""
    frames = [yuv(n, "gray") for n in range(12)]
    fake(swinging(3))
    magnifier = Magnifier(5, band="2:4", notch="8:9", fps=30, shot_cuts=False)
    due = [magnifier.push(frame) for frame in frames]
    fake(swinging(3))
    magnifier = Magnifier(5, band="2:4", notch="8:9", fps=30, shot_cuts=False)
    measured = [magnifier.measure(frame) for frame in frames]
    for k in (11, 3, 0, 7, 11):
        assert same_picture(magnifier.render(measured[k]).planes, due[k].planes)
    assert not same_picture(due[11].planes, frames[11].planes)


@pytest.mark.parametrize("renew", [{"reference": "every:1"}, {}])
def test_a_new_reference_begins_anew(fake, renew):
    """What was before it does not ring on."""
    fake(constant(3, 0))
    magnifier = Magnifier(5, band=(2, 4), fps=30, shot_cuts=False, cross_fade=0, **renew)
    for n in range(10):
        magnifier.push(yuv(n, "gray", time=0.05 * n))
    fresh = Magnifier(5, band=(2, 4), fps=30, shot_cuts=False)
    if not renew:
        magnifier.reset()
    parts = [[m.measure(yuv(n, "gray", time=2 + n / 30)).part for n in range(5)] for m in (magnifier, fresh)]
    assert parts[0][0] is None
    np.testing.assert_array_equal(parts[0][1:], parts[1][1:])


def test_against_a_far_reference_the_first_frame_does_not_jump(fake):
    """It is another frame than the reference: that it lies elsewhere is no motion in the band."""
    fake(constant(3, 0))
    magnifier = Magnifier(5, band=(2, 4), fps=30, reference="frame:7")
    magnifier.set_reference(yuv(7, "gray"))
    for n in range(5):
        np.testing.assert_allclose(magnifier.measure(yuv(n, "gray")).part, 0, atol=1e-6)


def test_the_camera_s_motion_is_not_magnified(fake):
    def answer(reference, frame, alpha):
        flow = constant(2, -1)(reference, frame, alpha)
        flow[0, 12:20, 18:30] += 0.5
        return flow

    fake(answer)
    magnifier = Magnifier(4, detrend=True, shot_cuts=False)
    magnifier.push(yuv(0, "gray"))
    frame = yuv(1, "gray")
    part = magnifier.measure(frame).part
    np.testing.assert_allclose(part[0, 12:20, 18:30], 0.5, atol=1e-3)
    part[0, 12:20, 18:30] = 0
    np.testing.assert_allclose(part, 0, atol=1e-3)
    out = magnifier.push(frame).planes[0]
    np.testing.assert_array_equal(out[:8], frame.planes[0][:8])
    assert (out[30:38, 44:56] != frame.planes[0][30:38, 44:56]).any()


def test_the_limit_holds_for_what_is_added(fake):
    fake(constant(4, 0))
    magnifier = Magnifier(11, max_shift=8, shot_cuts=False)
    magnifier.push(yuv(0, "gray"))
    frame = yuv(1, "gray")
    out = magnifier.push(frame).planes[0]
    np.testing.assert_array_equal(out[8:-8, 16:-8], frame.planes[0][8:-8, 8:-16])  # 40 px, limited to 8


@pytest.mark.parametrize("options", [{"band": (2, 4), "fps": 30}, {"detrend": True}, {"max_shift": 3}, {"smooth": 16}])
def test_alpha_one_stays_the_identity(fake, options):
    engine = fake(constant(4, 0))
    magnifier = Magnifier(1, **options)
    frames = [yuv(n, "gray") for n in range(3)]
    assert [magnifier.push(frame) for frame in frames] == frames
    assert not engine.seen


@pytest.mark.parametrize(
    "options", [{"band": (2, 4), "fps": 30}, {"notch": "2:4"}, {"detrend": True}, {"max_shift": 3}, {"smooth": 16}]
)
def test_networks_that_paint_choose_no_motion(fake, options):
    fake(paint, "unet")
    with pytest.raises(OptionError, match=r"model unet measures no motion, which band, notch, .*; use --model warp"):
        Magnifier(5, **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"band": (4, 2), "fps": 30}, "band 4:2 is empty"),
        ({"band": (2, 15), "fps": 30}, "band 2:15 reaches 15 Hz, and 30 frames"),
        ({"notch": "2:20", "fps": 30}, "notch 2:20 reaches 20 Hz"),
        ({"band": "2:4", "fps": 0}, "fps must be more than 0"),
        ({"band": "2:4", "fps": 30, "reference": "previous"}, "reference previous measures velocity"),
        ({"band": "2:4", "fps": "30"}, "fps must be more than 0 frames a second, 1e-09 to 1e[+]12; got '30'"),
        ({"max_shift": 0}, "max_shift must be more than 0 px, 1e-06 to 1e[+]06; got 0"),
        ({"max_shift": float("nan")}, "max_shift must be more than 0 px, 1e-06 to 1e[+]06; got nan"),
        ({"max_shift": "5"}, "max_shift must be more than 0 px, 1e-06 to 1e[+]06; got '5'"),
        ({"smooth": 0}, "smooth must be more than 0 px, 1e-06 to 1e[+]06; got 0"),
        ({"smooth": "16"}, "smooth must be more than 0 px, 1e-06 to 1e[+]06; got '16'"),
    ],
)
def test_parts_of_the_motion_that_are_none(fake, options, text):
    fake(constant(0, 0))
    with pytest.raises(OptionError, match=text):
        Magnifier(5, **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"alpha": 1e39}, r"alpha must be a number of 0 or more, at most 1000000; .* got 1e\+39"),
        ({"alpha": 10**400}, "alpha must be a number of 0 or more, at most 1000000"),
        ({"alpha": "10"}, "alpha must be .* got '10'"),
        ({"alpha_keys": ["1=1e20"]}, r"keyframe 1=1e\+20 is out of range; .* at most 1000000"),
        ({"alpha_map": np.full((4, 4), 2e6)}, r"alpha_map holds 2e\+06 at column 0, row 0, which is more than 1000000"),
        ({"proxy": "1"}, "proxy must be 0 .* got '1'"),
        ({"cross_fade": "1"}, "cross_fade must be 0 .* got '1'"),
        ({"threads": -1}, "threads must be 0 .all cores. to 512, got -1"),
        ({"threads": 100_000}, "threads must be 0 .all cores. to 512, got 100000"),
        ({"at_once": 0}, "at_once must be a number of frames, 1 or more; got 0"),
        ({"reference": None}, "reference must be text such as 'first' or 'every:2', got None"),
    ],
)
def test_arguments_that_are_out_of_range(fake, options, text):
    fake(constant(0, 0))
    with pytest.raises(OptionError, match=text):
        Magnifier(**{"alpha": 5, **options})


def test_a_device_that_is_no_name_is_refused():
    with pytest.raises(OptionError, match="device must be text such as 'auto', 'cpu' or 'cuda:0', got None"):
        Magnifier(5, device=None)


@pytest.mark.filterwarnings("error")
def test_the_largest_factor_is_no_trouble(fake):
    fake(constant(0.3, 0.2))
    magnifier = Magnifier(1_000_000, shot_cuts=False)
    for k in range(2):
        magnifier.push(yuv(k, "yuv420p"))


def test_frequencies_need_a_rate_from_the_first_frame_on(fake):
    fake(constant(0, 0))
    magnifier = Magnifier(5, band=(2, 4))
    with pytest.raises(OptionError, match="band and notch need the frame rate; give fps"):
        magnifier.push(yuv(0, "gray"))
    magnifier.part.tune(30)
    magnifier.push(yuv(0, "gray"))


# -- networks that paint


@pytest.mark.parametrize(
    ("alpha", "passes"),
    [(1.5, [1.5]), (4, [4]), (16, [16]), (64, [8, 8]), (256, [16, 16]), (1000, [10, 10, 10])],
)
def test_alpha_beyond_the_trained_range_takes_equal_passes_against_one_reference(fake, alpha, passes):
    engine = fake(paint, "unet")
    magnifier = Magnifier(alpha, shot_cuts=False)
    magnifier.push(rgb(0))
    magnifier.push(rgb(1))
    np.testing.assert_allclose(engine.alphas, passes, rtol=1e-6)
    assert magnifier.passes == len(passes)
    assert all(np.array_equal(reference, engine.seen[0][0]) for reference, _ in engine.seen)


def test_each_pass_goes_on_from_the_one_before(fake):
    engine = fake(lambda reference, frame, alpha: frame * 0.5, "unet")
    magnifier = Magnifier(64, shot_cuts=False)
    magnifier.push(rgb(0))
    out = magnifier.push(rgb(1))
    np.testing.assert_allclose(engine.seen[1][1], engine.seen[0][1] * 0.5)
    assert np.abs(out.astype(float) - rgb(1) * 0.25).max() <= 0.51


@pytest.mark.parametrize("alpha", [0, 0.5, 0.99])
def test_alpha_below_the_trained_range_is_refused_naming_the_way_out(fake, alpha):
    fake(paint, "unet")
    with pytest.raises(OptionError, match=r"1 to 16.*--model warp"):
        Magnifier(alpha)


def test_alpha_one_is_the_identity_with_a_painting_network_too(fake):
    engine = fake(paint, "unet")
    magnifier = Magnifier(1)
    for seed in range(2):
        np.testing.assert_array_equal(magnifier.push(rgb(seed)), rgb(seed))
    assert not engine.seen


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_painted_frame_comes_back_in_size_depth_and_colour(fake, size, dtype):
    """The network that returns its input gives the input: conversion there and back loses nothing."""
    engine = fake(paint, "unet")
    magnifier = Magnifier(4, shot_cuts=False, proxy=0.0001)
    magnifier.push(rgb(0, size, dtype))
    out = magnifier.push(rgb(1, size, dtype))
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, rgb(1, size, dtype))
    assert engine.seen[0][0].shape == (3, -(-size[0] // 16) * 16, -(-size[1] // 16) * 16), "no proxy for painters"


# -- options


@pytest.mark.parametrize("alpha", [-1, float("nan"), float("inf"), "10", None])
def test_alpha_that_is_no_number_of_0_or_more_is_refused(alpha):
    with pytest.raises(OptionError, match="alpha"):
        Magnifier(alpha)


@pytest.mark.parametrize("proxy", [-1, float("nan"), float("inf")])
def test_proxy_that_is_no_size_is_refused(proxy):
    with pytest.raises(OptionError, match="proxy"):
        Magnifier(2, proxy=proxy)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)],
    ids=["no colour", "opacity", "float"],
)
def test_arrays_of_another_shape_or_type_are_refused_with_what_they_are(fake, array):
    fake(constant(0, 0))
    with pytest.raises(ValueError, match=r"\(H, W, 3\).*shape"):
        Magnifier(2).push(array)


# -- the real thing


def test_shipped_network_moves_a_known_translation_on():
    """End to end, no fakes: a texture that moves by (0.5, 0) px moves on by alpha."""
    y, x = np.mgrid[:128, :160].astype(np.float64)

    def picture(shift: float) -> np.ndarray:
        wave = np.sin((x - shift) / 3.1 + y / 9) + np.sin((x - shift) / 5 - y / 4) + np.sin((x - shift) / 7.3 + y / 5)
        return np.repeat(np.rint(127 + 35 * wave)[..., None], 3, 2).astype(np.uint8)

    magnifier = Magnifier(6, backend="onnxruntime", device="cpu", threads=1)
    magnifier.push(picture(0))
    out = magnifier.push(picture(0.5))
    inner = np.s_[24:-24, 24:-24]
    flow = magnifier.flow[:, 12:-12, 12:-12]
    assert abs(float(np.median(flow[0])) - 0.5) < 0.1
    assert abs(float(np.median(flow[1]))) < 0.1
    error = np.abs(out[inner].astype(int) - picture(3.0)[inner]).mean()
    unmagnified = np.abs(picture(0.5)[inner].astype(int) - picture(3.0)[inner]).mean()
    assert error < 0.6 * unmagnified


# -- alpha over time, references that are replaced


def test_alpha_follows_its_keyframes_from_the_first_frame_on(fake):
    fake(constant(1, 0))
    magnifier = Magnifier(7, alpha_keys=[(0, 1), (1, 5)], shot_cuts=False)
    measured = [magnifier.measure(yuv(n, "gray", time=3 + n / 4)) for n in range(6)]
    assert [m.alpha for m in measured] == [1, 2, 3, 4, 5, 5]
    for m, moved in zip(measured[1:], (1, 2, 3, 4, 4), strict=True):
        out, given = magnifier.render(m).planes[0], m.frame.planes[0]
        np.testing.assert_array_equal(out[8:-8, 8:-8], given[8:-8, 8 - moved : -8 - moved])


def test_keyframes_scale_the_map_that_alpha_painted(fake):
    fake(constant(1, 0))
    factors = np.ones((64, 96))
    factors[:, 48:] = 5
    magnifier = Magnifier(5, alpha_map=factors, alpha_keys=["0=1", "1=5"], shot_cuts=False)
    gains = [magnifier.measure(yuv(n, "gray", time=n / 4)).gain for n in range(5)]
    assert [float(gain[0, -1]) for gain in gains[1:]] == pytest.approx([2, 3, 4, 5])
    assert all((gain[:, 0] == 1).all() for gain in gains[1:])


def test_arrays_have_no_time_of_their_own(fake):
    fake(constant(1, 0))
    with pytest.raises(OptionError, match="arrays do not say; give fps"):
        Magnifier(5, alpha_keys=["0=1", "1=5"]).push(rgb(0))
    magnifier = Magnifier(5, alpha_keys=["0=1", "1=5"], fps=4, shot_cuts=False)
    assert [magnifier.measure(Frame.from_rgb(rgb(n))).alpha for n in range(3)] == [1, 2, 3]


def test_networks_that_paint_follow_keyframes_in_as_many_passes_as_it_takes(fake):
    engine = fake(paint, "unet")
    magnifier = Magnifier(1, alpha_keys=["0=1", "1=4", "2=64"], shot_cuts=False)
    for n in range(3):
        magnifier.push(yuv(n, "gray", time=n))
    assert engine.alphas == pytest.approx([4, 8, 8])
    with pytest.raises(OptionError, match=r"takes alpha 1 to 16, got 0\.5"):
        Magnifier(1, alpha_keys=["0=0.5"])


def test_a_reference_replaced_by_the_clock_is_measured_first_and_shown_on(fake):
    fake(constant(2, 0))
    magnifier = Magnifier(3, reference="every:1", shot_cuts=False)  # fades for half a second
    frames = [yuv(n, "gray", time=n / 4) for n in range(8)]
    measured = [magnifier.measure(frame) for frame in frames]
    assert magnifier.references == 2
    assert [m.flow is None for m in measured] == [True] + [False] * 7
    shown = [2.0 if m.shown is None else float(m.shown[0, 9, 9]) for m in measured[1:]]
    np.testing.assert_allclose(shown, [2, 2, 2, 2, 2 + 1, 2, 2], atol=1e-5), "frame 4 is the new one, 5 half faded"


@pytest.mark.parametrize("band", [None, (2, 4)])
def test_what_a_reference_left_behind_is_shown_and_is_no_motion_of_the_frame(fake, band):
    """Beside the part in what is measured, and the frame to the bit as if it were one with it."""
    fake(swinging(2.5, 2))  # off its middle when the reference is replaced
    magnifier = Magnifier(3, reference="every:0.5", band=band, fps=30 if band else None, shot_cuts=False)
    measured = [magnifier.measure(yuv(n, "gray", time=n / 30)) for n in range(30)]
    (*_, behind) = fading = [m for m in measured if m.left is not None]
    assert len(fading) >= 7
    for m in fading:
        own = m.flow if m.part is None else m.part
        assert np.abs(m.left).max() > 0
        np.testing.assert_array_equal(m.shown, own + m.left)
        one = magnifier.render(m._replace(part=own + m.left, left=None))
        assert same_picture(magnifier.render(m).planes, one.planes)
        assert (m.part is None) == (band is None)
    assert not same_picture(magnifier.render(fading[1]).planes, magnifier.render(fading[1]._replace(left=None)).planes)
    assert measured[0].shown is None
    assert behind.frame is not measured[-1].frame


def test_what_outgrows_its_reference_gets_a_new_one(fake):
    at = iter([1, 3, 5, 1, 3, 5, 1])
    fake(lambda *given: constant(next(at), 0)(*given))
    magnifier = Magnifier(3, reanchor=4, cross_fade=0, shot_cuts=False)
    taken = []
    for n in range(8):
        magnifier.push(yuv(n, "gray", time=n / 4))
        taken.append(magnifier.references)
    assert taken == [1, 1, 1, 2, 2, 2, 3, 3]


def test_a_mean_reference_changes_with_every_frame(fake):
    engine = fake(constant(0, 0))
    magnifier = Magnifier(3, reference="mean:1", shot_cuts=False)
    frames = [yuv(n, "gray", time=n / 4) for n in range(4)]
    for frame in frames:
        magnifier.push(frame)
    views = [magnifier._see(frame) for frame in frames]
    np.testing.assert_array_equal(engine.seen[0][0], views[0])
    np.testing.assert_allclose(engine.seen[1][0], (views[0] + views[1]) / 2, atol=1e-4)
    np.testing.assert_allclose(engine.seen[2][0], np.mean(views[:3], 0), atol=1e-4)
    assert magnifier.references == 1


def test_a_mean_of_seconds_takes_a_rate_where_frames_have_no_time(fake):
    fake(constant(0, 0))
    with pytest.raises(OptionError, match=r"reference mean:1 needs to know when a frame is, .* give fps"):
        Magnifier(5, reference="mean:1").push(rgb(0))
    quick, slow = (Magnifier(5, reference="mean:0.5", fps=fps, shot_cuts=False) for fps in (100, 1))
    for magnifier in (quick, slow):
        for level in (0, 0, 0, 200):
            magnifier.push(np.full((32, 32, 3), level, np.uint8))
    assert quick._reference.mean() < slow._reference.mean(), "of a second each, the last frame counts for most"


def test_a_mean_begins_with_the_reference_that_was_set(fake):
    engine = fake(constant(0, 0))
    magnifier = Magnifier(3, reference="mean:1", shot_cuts=False)
    frames = [yuv(n, "gray", time=n / 4) for n in range(3)]
    magnifier.set_reference(frames[0])
    for frame in frames[1:]:
        magnifier.push(frame)
    views = [magnifier._see(frame) for frame in frames]
    np.testing.assert_array_equal(engine.seen[0][0], views[0])
    np.testing.assert_allclose(engine.seen[1][0], (views[0] + views[1]) / 2, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"reanchor": "auto"}, {"reference": "mean:1"}])
def test_networks_that_paint_cannot_tell_what_outgrew(fake, wrong):
    fake(paint, "unet")
    with pytest.raises(OptionError, match=r"measures no motion, which reanchor and reference mean need"):
        Magnifier(5, **wrong)


def test_a_cross_fade_takes_time(fake):
    fake(constant(0, 0))
    with pytest.raises(OptionError, match="cross_fade must be 0"):
        Magnifier(5, cross_fade=-1)
