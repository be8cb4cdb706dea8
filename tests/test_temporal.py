"""Filters of motion over time: the response known beforehand, causality, streaming, restarts, memory."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from magfilter import OptionError
from magfilter.temporal import MotionFilter, MotionPart, design, parse_band, parse_bands

BANDS = [((2, 4), 30), ((8, 10), 30), ((120, 136), 1000), ((0.1, 0.2), 30), ((1, 2), 29.97), ((6, 11.9), 24)]


def response(sections: np.ndarray, hertz: float | np.ndarray, rate: float) -> np.ndarray:
    """Complex gain at frequencies."""
    back = np.exp(-2j * np.pi * np.asarray(hertz) / rate)
    gain = np.ones_like(back)
    for b0, b1, b2, a1, a2 in sections:
        gain *= (b0 + b1 * back + b2 * back**2) / (1 + a1 * back + a2 * back**2)
    return gain


def offline(sections: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """The difference equation as textbooks have it, from rest, sample by sample."""
    for b0, b1, b2, a1, a2 in sections:
        x = np.concatenate([np.zeros((2, *samples.shape[1:])), samples])
        y = np.zeros_like(x)
        for n in range(2, len(x)):
            y[n] = b0 * x[n] + b1 * x[n - 1] + b2 * x[n - 2] - a1 * y[n - 1] - a2 * y[n - 2]
        samples = y[2:]
    return samples


def centre(band: tuple[float, float], rate: float) -> float:
    """Hz where gain is 1: the edges' geometric mean on the bent axis of the bilinear transform."""
    low, high = (math.tan(math.pi * edge / rate) for edge in band)
    return math.atan(math.sqrt(low * high)) * rate / math.pi


# ---- design


@pytest.mark.parametrize(("band", "rate"), BANDS)
def test_a_band_passes_its_centre_and_little_an_octave_away(band, rate):
    sections = design("band", band, rate)
    assert sections.shape == (2, 5)
    assert response(sections, centre(band, rate), rate) == pytest.approx(1, abs=1e-6), "in phase, too"
    np.testing.assert_allclose(np.abs(response(sections, band, rate)), math.sqrt(0.5), rtol=1e-6)
    assert np.abs(response(sections, [0, rate / 2], rate)).max() < 1e-9
    below, above = np.linspace(0, band[0] / 2, 50), np.linspace(min(2 * band[1], rate / 2), rate / 2, 50)
    # Near half the rate the axis is bent: what is one octave there is many to the filter.
    bound = 0.1 if band[1] < 0.4 * rate else 0.17
    assert np.abs(response(sections, np.concatenate([below, above]), rate)).max() < bound


def test_a_neighbour_of_the_band_changes_as_readme_says():
    """Most of it is told in docs/manual.md, *One frequency only*, and in the module's docstring."""
    band, notch = design("band", (3.5, 5.5), 30), design("notch", (1.6, 2.4), 30)
    let = response(band, 2, 30)
    assert abs(1 + 9 * let) == pytest.approx(0.46, abs=0.006)
    assert abs(1 + 29 * let) == pytest.approx(1.35, abs=0.006)
    assert abs(np.angle(1 + 29 * let, deg=True)) > 120, "the wrong way"
    assert np.abs(9 * response(band, [3.5 / 4, 10.5], 30)).max() < 0.25, "two octaves beyond; above, the axis is bent"
    assert abs(1 + 29 * let * response(notch, 2, 30)) == pytest.approx(1, abs=0.02), "a notch takes it out"


@pytest.mark.parametrize(("band", "rate"), BANDS)
def test_a_notch_stops_its_centre_and_passes_the_rest(band, rate):
    sections = design("notch", band, rate)
    assert abs(response(sections, centre(band, rate), rate)) < 1e-6
    np.testing.assert_allclose(np.abs(response(sections, band, rate)), math.sqrt(0.5), rtol=1e-6)
    np.testing.assert_allclose(np.abs(response(sections, [0, rate / 2], rate)), 1, rtol=1e-6)


def test_a_band_from_zero_is_a_low_pass_and_such_a_notch_a_high_pass():
    hertz = [0, 1, 3, 12, 15]
    low, high = (np.abs(response(design(kind, (0, 3), 30), hertz, 30)) for kind in ("band", "notch"))
    assert low[[0, 2, 4]] == pytest.approx([1, math.sqrt(0.5), 0], abs=1e-6)
    assert high[[0, 2, 4]] == pytest.approx([0, math.sqrt(0.5), 1], abs=1e-6)
    assert low[1] > 0.99
    assert low[3] < 0.05
    assert high[3] > 0.99


@pytest.mark.parametrize(("band", "rate"), [*BANDS, ((0, 3), 30), ((1e-3, 2e-3), 1000), ((0.01, 499), 1000)])
@pytest.mark.parametrize("kind", ["band", "notch"])
def test_filters_are_stable(kind, band, rate):
    for *_, a1, a2 in design(kind, band, rate):
        assert np.abs(np.roots([1, a1, a2])).max() < 1


@pytest.mark.parametrize(("band", "rate"), BANDS)
@pytest.mark.parametrize(("kind", "theirs"), [("band", "bandpass"), ("notch", "bandstop")])
def test_design_is_scipys(kind, theirs, band, rate):
    signal = pytest.importorskip("scipy.signal")
    hertz = np.linspace(0.01, 0.49, 40) * rate
    _, due = signal.sosfreqz(signal.butter(2, band, theirs, fs=rate, output="sos"), hertz, fs=rate)
    np.testing.assert_allclose(response(design(kind, band, rate), hertz, rate), due, atol=1e-6)


@pytest.mark.parametrize("band", [(2, 15), (2, 20), (15, 16), (0, 15)])
def test_what_frames_cannot_show_is_refused_with_the_numbers(band):
    text = rf"band {band[0]}:{band[1]} reaches {band[1]} Hz, and 30 frames .* below 15 Hz; lower HIGH, or .*--fps"
    with pytest.raises(OptionError, match=text):
        design("band", band, 30)


# ---- streaming


@pytest.mark.parametrize("kinds", [("band",), ("notch",), ("band", "notch")])
def test_streaming_is_the_difference_equation_at_every_point(kinds):
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(60, 2, 3, 4))
    samples[0] = 0
    sections = np.concatenate([design(kind, (2 + k, 5 + k), 30) for k, kind in enumerate(kinds)])
    stream = MotionFilter(sections)
    np.testing.assert_allclose([stream(sample) for sample in samples], offline(sections, samples), atol=1e-12)


def test_single_precision_input_is_enough_for_slow_bands():
    """A thousandth of the rate: coefficients and state in single precision would drift away."""
    time = np.arange(20_000) / 1000
    wave = np.sin(2 * np.pi * time).astype(np.float32)
    stream = MotionFilter(design("band", (0.8, 1.25), 1000))
    out = np.array([stream(sample) for sample in wave])
    assert np.abs(out[-3000:]).max() == pytest.approx(1, abs=0.01)


def test_what_comes_later_does_not_count():
    rng = np.random.default_rng(2)
    samples = rng.normal(size=(40, 5))
    other = samples.copy()
    other[25:] += 10
    first, second = MotionFilter(design("band", (3, 6), 30)), MotionFilter(design("band", (3, 6), 30))
    ours, theirs = ([stream(x) for x in data] for stream, data in ((first, samples), (second, other)))
    np.testing.assert_array_equal(ours[:25], theirs[:25])
    assert np.abs(np.subtract(ours[25:], theirs[25:])).max() > 0.1


@pytest.mark.parametrize(("kind", "due"), [("band", 0.0), ("notch", 1.0)])
def test_a_first_sample_that_was_so_for_ever_does_not_ring(kind, due):
    stream = MotionFilter(design(kind, (2, 4), 30))
    stream.restart(at_rest=False)
    level = np.array([3.0, -2.0, 0.0])
    for _ in range(50):
        np.testing.assert_allclose(stream(level), due * level, atol=1e-12)


def test_from_rest_the_first_samples_do_not_jump():
    """A motion that sets in: the output grows from nothing, and is never more than the motion to come."""
    time = np.arange(1, 90) / 30
    stream = MotionFilter(design("band", (2, 4), 30))
    out = np.array([stream(x) for x in np.sin(2 * np.pi * 3 * time)])
    assert abs(out[0]) < 0.2
    assert np.abs(out).max() < 1.2
    assert np.abs(out[-20:]).max() == pytest.approx(1, abs=0.05)


def test_restart_forgets():
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(20, 4))
    stream = MotionFilter(design("notch", (2, 4), 30))
    once = [stream(x) for x in samples]
    stream.restart()
    np.testing.assert_array_equal([stream(x) for x in samples], once)


# ---- the part of a flow


def test_all_of_the_motion_is_the_default():
    part = MotionPart()
    assert part.whole
    assert not part.timed
    flow = np.ones((2, 9, 9), np.float32)
    assert part(flow) is flow


@pytest.mark.parametrize(
    ("band", "notch", "due"),
    [((2, 4), (), (1, 0)), ((8, 10), (), (0, 1)), (None, [(2, 4)], (0, 1)), ((1, 12), [(2, 4)], (0, 1))],
)
def test_points_are_told_apart_by_frequency(band, notch, due):
    part = MotionPart(band, notch, rate=30)
    part.restart(at_rest=True)
    flow, found = np.zeros((2, 4, 6), np.float32), []
    for n in range(1, 150):
        flow[0, 1, 1], flow[1, 2, 2] = np.sin(2 * np.pi * 3 * n / 30), np.sin(2 * np.pi * 9 * n / 30)
        out = part(flow)
        assert out.shape == flow.shape
        assert out.dtype == np.float32
        found.append((out[0, 1, 1], out[1, 2, 2]))
        out[0, 1, 1] = out[1, 2, 2] = 0
        assert not out.any(), "what does not move"
    np.testing.assert_allclose(np.abs(found[60:]).max(0), due, atol=0.12)


def test_detrended_is_what_does_not_follow_the_rim():
    y, x = np.mgrid[:32, :48].astype(np.float32)
    camera = np.stack([0.4 + 0.01 * x, -0.2 + 0.004 * y])
    own = np.zeros_like(camera)
    own[0, 10:22, 14:34] = 0.3
    noise = np.random.default_rng(4).normal(0, 0.01, camera.shape).astype(np.float32)
    part = MotionPart(detrend=True)
    assert not part.whole
    np.testing.assert_allclose(part(camera + own + noise), own, atol=0.06)
    np.testing.assert_allclose(part(camera + own), own, atol=0.005)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (7, 40)])
def test_small_fields_are_detrended_too(size):
    flow = np.full((2, *size), 0.7, np.float32)
    np.testing.assert_allclose(MotionPart(detrend=True)(flow), 0, atol=1e-6)


def test_memory_does_not_grow():
    flow = np.random.default_rng(5).normal(size=(2, 64, 96)).astype(np.float32)
    part = MotionPart((2, 4), [(8, 9)], True, 30)
    part.restart(at_rest=True)

    def used(frames: int) -> int:
        tracemalloc.start()
        for _ in range(frames):
            part(flow)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return held

    used(2)
    assert used(200) < used(20) + flow.nbytes


def test_the_rate_is_needed_for_frequencies_only():
    MotionPart(detrend=True).restart(at_rest=True)
    with pytest.raises(OptionError, match="band and notch need the frame rate; give fps"):
        MotionPart((2, 4)).restart(at_rest=True)
    with pytest.raises(OptionError, match=r"in\.nut does not say its frame rate.*give --fps RATE"):
        MotionPart(None, [(2, 4)]).fit(None, "in.nut")
    part = MotionPart((2, 4), rate=100)
    part.fit(6, "in.mp4")
    assert part.rate == 100, "what was given wins"
    part = MotionPart((2, 4))
    with pytest.raises(OptionError, match="band 2:4 reaches 4 Hz, and 6 frames"):
        part.fit(6, "in.mp4")


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_rates_that_are_none(rate):
    with pytest.raises(OptionError, match="fps must be more than 0 frames a second"):
        MotionPart((2, 4), rate=rate)


def test_frequencies_of_a_velocity_are_refused():
    for arguments in [((2, 4),), (None, [(2, 4)])]:
        with pytest.raises(
            OptionError, match=r"needs positions over time.*previous measures velocity; use --reference"
        ):
            MotionPart(*arguments, velocity=True)
    assert MotionPart(detrend=True, velocity=True).detrend


# ---- reading bands


def test_bands_are_read():
    assert parse_band("2:4") == parse_band((2, 4)) == parse_band([2.0, 4]) == parse_band(np.array([2, 4])) == (2.0, 4.0)
    assert parse_band("0:0.5") == (0, 0.5)
    assert parse_bands(None) == parse_bands(()) == ()
    assert parse_bands("2:4") == parse_bands((2, 4)) == parse_bands([(2, 4)]) == parse_bands(["2:4"]) == ((2.0, 4.0),)
    assert parse_bands(["2:4", (8, 9.5)]) == ((2.0, 4.0), (8.0, 9.5))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2", "notch '2' is not LOW:HIGH in Hz, such as 2:4"),
        ("2:4:6", "is not LOW:HIGH"),
        ("a:b", "is not LOW:HIGH"),
        ("2-4", "is not LOW:HIGH"),
        ("", "is not LOW:HIGH"),
        (3, "notch 3 is not LOW:HIGH"),
        ([3.0], "notch 3.0 is not LOW:HIGH"),
        ((1, 2, 3), "notch 1 is not LOW:HIGH"),
        ("4:2", "notch 4:2 is empty: LOW must be below HIGH; 2:4?"),
        ("4:4", "notch 4:4 is empty: LOW must be below HIGH$"),
        ("-1:4", "notch -1:4 is no band of frequencies; LOW and HIGH are 0 Hz or more"),
        ("nan:4", "notch nan:4 is no band"),
        ("2:inf", "notch 2:inf is no band"),
    ],
)
def test_bands_that_are_none(value, text):
    with pytest.raises(OptionError, match=text):
        parse_bands(value)
