"""Frames that repeat the one before, and clips that only look as if they had some."""

from __future__ import annotations

import csv
import math

import av
import numpy as np
import pytest
from test_measure_timing import timing
from vibrations import RATE, SIZE, Disc, render, write

from magfilter import measure_motion
from magfilter.find import find_vibrations
from magfilter.measure.output import write_motion
from magfilter.measure.repeats import distinct, unpaired

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


def changes(way: np.ndarray) -> np.ndarray:
    """How much frames (n,) of something that goes that way differ (n, 2) from the one before and the fourth before."""
    found = np.full((len(way), 2), np.nan)
    found[1:, 0], found[4:, 1] = np.abs(np.diff(way)), np.abs(way[4:] - way[:-4])
    return found


def swung(hertz: float, phase: float, count: int = 180) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(count) / (2 * RATE) + phase)


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("hertz", [0.7, 3, HERTZ, 9.3])
def test_near_repeats_are_told(hertz, ahead):
    taken = np.repeat(swung(2 * hertz, 0.4, 101), 2)[ahead:]
    lossy = taken + np.random.default_rng(1).normal(0, 0.01, len(taken))
    expected = np.arange(len(taken)) % 2 == 0
    expected[1:] = np.diff(taken) != 0
    assert unpaired(changes(lossy)).tolist() == expected.tolist()


@pytest.mark.parametrize("noise", [0, 0.02, 1])
@pytest.mark.parametrize("hertz", [0.2, 3.1, 7.5, 10, 14.5, 14.9, 15, 20, 29, 29.9, 30])
def test_of_even_motion_nothing_is_a_near_repeat(hertz, noise):
    grain = np.random.default_rng(2)
    for phase in np.arange(0, 2 * np.pi, np.pi / 8):  # of 15 Hz, a quarter of the rate, some stand still in pairs
        assert unpaired(changes(swung(hertz, phase) + grain.normal(0, noise, 180))).all()


@pytest.mark.parametrize(
    "way",
    [
        np.zeros(180),  # still
        np.random.default_rng(3).normal(0, 0.01, 180),
        np.cumsum(np.arange(180) % 12 == 0),  # frozen but for key frames
        np.where(np.arange(180) < 120, swung(3, 0), 0.0),  # comes to rest
        np.where(np.arange(180) % 40 < 20, swung(3, 0), 0.0),  # pauses
        np.where(np.arange(180) < 60, swung(3, 0), np.repeat(swung(6, 0, 90), 2)),  # twice from some time on
        np.repeat(swung(6, 0, 24), 2),  # too short
        np.arange(180) + 0.2 * (np.arange(180) % 2),  # what an encoder makes of every second frame
    ],
)
def test_nothing_is_left_out_of_what_rests(way):
    assert unpaired(changes(way)).all()


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


def test_repeats_that_an_encoder_has_changed_are_not_measured(tmp_path):
    disc = Disc((96, 64), lambda time: (math.sin(2 * math.pi * HERTZ * time), 0.0))
    path = tmp_path / "lossy.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=2 * RATE, options={"crf": "14"})
        video.height, video.width = SIZE
        video.pix_fmt = "yuv420p"
        for n in range(90):
            picture = av.VideoFrame.from_ndarray(render([disc], n // 2 / RATE), "gray")
            out.mux(video.encode(picture))
        out.mux(video.encode())
    found = measure_motion(path, roi="60,30,72,68", threads=1)
    assert (found.frames, found.rate) == (45, pytest.approx(RATE))
    assert found[0].peaks[0].frequency == pytest.approx(HERTZ, abs=0.03)
    assert "45 of 90 frames only repeat the one before" in found.warnings[0]
    assert find_vibrations(path).frames == 45
