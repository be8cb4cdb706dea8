"""Frames that repeat the one before, and clips that only look as if they had some."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from test_measure_timing import timing
from vibrations import RATE, SIZE, Disc, render, write

from magfilter import measure_motion
from magfilter.find import find_vibrations
from magfilter.measure.output import write_motion
from magfilter.measure.repeats import distinct

HERTZ = 6.1


def shown(*times: int, count: int = 200) -> list[int]:
    """Fingerprints of frames, each shown so many times in turn."""
    runs = np.resize(times, count)
    return np.repeat(np.arange(count), runs)[:count].tolist()


@pytest.mark.parametrize("times", [(2,), (2, 3), (1, 1, 1, 1, 2), (4,), (2,) * 80 + (3,)])
def test_frames_shown_in_turn_are_told(times):
    prints = shown(*times)
    kept = distinct(prints)
    assert np.array(prints)[kept].tolist() == list(dict.fromkeys(prints))


@pytest.mark.parametrize(
    "prints",
    [
        shown(1),
        shown(*[1] * 30, 2),  # a slip now and then
        [7] * 200,
        shown(40),  # frozen but for key frames
        [*range(150), *[150] * 50],  # comes to rest
        shown(5, 1, 1, 1, 1, 1, 5, 1, 1, 1, 8, 1, 1),  # what an encoder froze
        np.resize([0, 1, 1, 2, 3, 3], 200).tolist(),  # drawn: at its turning points it stands still
        [1],
        shown(2, count=15),
        *(np.cumsum(np.random.default_rng(seed).random(200) > seed / 20).tolist() for seed in range(2, 16)),
    ],
)
def test_nothing_is_left_out_of_others(prints):
    assert distinct(prints).all()


@pytest.mark.parametrize(("times", "rate"), [((2,), 30), ((2, 3), 24), ((1, 1, 1, 1, 2), 50)])
def test_what_was_shown_in_turn_was_taken_at_a_steady_rate(times, rate):
    kept = distinct(shown(*times))
    found, (warning,) = timing(np.arange(200) / 60, 60, kept=kept)
    assert found.even
    assert found.rate == pytest.approx(rate, rel=2e-4)
    assert f"{200 - kept.sum()} of 200 frames only repeat" in warning
    assert f"the true rate is {rate} frames a second" in warning
    assert found.numbers.tolist() == np.flatnonzero(kept).tolist()


def test_a_steady_rate_wins_over_a_container_that_lacks_repeats():
    prints, places = np.repeat(np.arange(80), np.resize([2, 3], 80)), np.arange(200)
    there = places % 20 != 4  # the last of three
    found, (warning,) = timing(places[there] / 60, 60, kept=distinct(prints[there]))
    assert found.even
    assert found.rate == pytest.approx(24, rel=1e-3)
    assert "110 of 190 frames only repeat" in warning


def test_repeated_frames_that_are_missing_stay_missing():
    places = np.repeat([n for n in range(120) if n % 10 != 3], 2) * 2 + np.tile([0, 1], 108)
    kept = distinct(np.repeat(np.arange(108), 2))
    found, warnings = timing(places / 240, 240, kept=kept)
    assert not found.even
    np.testing.assert_allclose(found.times, [n / 120 for n in range(120) if n % 10 != 3])
    assert len(warnings) == 2


@pytest.fixture(scope="module")
def doubled(tmp_path_factory) -> str:
    """A swinging disc, half as many frames as the container says."""
    disc = Disc((96, 64), lambda time: (0.3 * math.sin(2 * math.pi * HERTZ * time), 0.0))
    grain = np.random.default_rng(3)
    pictures = [np.rint(render([disc], n / RATE) + grain.normal(0, 1, SIZE)).clip(0, 255) for n in range(45)]
    twice = [picture.astype(np.uint8) for picture in pictures for _ in (0, 1)]
    return write(tmp_path_factory.mktemp("repeats") / "doubled.mkv", twice, rate=2 * RATE)


def test_repeats_are_not_measured(doubled, tmp_path):
    found = measure_motion(doubled, roi="60,30,72,68", threads=1)
    (peak,) = found[0].peaks
    assert peak.frequency == pytest.approx(HERTZ, abs=0.03)
    assert peak.amplitude == pytest.approx(0.3, rel=0.02)
    assert (found.frames, found.rate) == (45, pytest.approx(RATE))
    assert found.warnings == [
        f"{doubled}: 45 of 90 frames only repeat the one before and were left out; the true rate is 30 frames a second"
    ]
    write_motion(found, tmp_path / "motion.csv")
    rows = list(csv.DictReader(line for line in (tmp_path / "motion.csv").open() if line[0] != "#"))
    assert [float(rows[3][name]) for name in ("frame", "time_s")] == pytest.approx([6, 0.1])


def test_repeats_are_not_looked_at(doubled):
    found = find_vibrations(doubled)
    (only,) = found.vibrations
    assert only.frequency == pytest.approx(HERTZ, abs=0.03)
    assert (found.frames, found.rate) == (45, pytest.approx(RATE))
    assert "45 of 90 frames only repeat the one before" in found.warnings[0]
