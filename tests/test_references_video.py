"""Shots, replaced and averaged references and ramps, end to end: known motion through the shipped network."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from vibrations import RATE, Disc, amplitude, read, render, still, write

from magfilter import EncodeOptions, Report, magnify_video

pytestmark = pytest.mark.slow


def magnified(source: str, target: Path, **options) -> tuple[list[np.ndarray], Report]:
    lossless = EncodeOptions(codec="ffv1")
    report = magnify_video(source, target, encode=lossless, threads=1, overwrite=True, **options)
    return read(target), report


def shift(disc: Disc, ours: list[np.ndarray], theirs: list[np.ndarray], guess=lambda n: (0, 0)) -> np.ndarray:
    """(n, 2) px by which the output shows a disc away from where it is in the input."""
    first = ours[0]
    near = [tuple(np.add(disc.way(n / RATE), guess(n))) for n in range(len(ours))]
    seen = [disc.displacement(first, frame, at) for frame, at in zip(ours, near, strict=True)]
    return np.array(seen) - np.array([disc.way(n / RATE) for n in range(len(theirs))])


def test_each_shot_is_magnified_against_its_own_first_frame(tmp_path):
    def swing(angle: float):
        return lambda t: (0.3 * math.sin(18 * t) * math.cos(angle), 0.3 * math.sin(18 * t) * math.sin(angle))

    def due(angle: float):
        return lambda t: (3 * math.sin(18 * t) * math.cos(angle), 3 * math.sin(18 * t) * math.sin(angle))

    shots = [(10 * k, 0.7 * k, Disc((60 + 30 * k, 60), swing(0.7 * k))) for k in range(3)]
    pictures = [render([disc], n / RATE, seed=seed) for seed, _, disc in shots for n in range(20)]
    frames, report = magnified(write(tmp_path / "in.mkv", pictures), tmp_path / "out.mkv", alpha=10)
    assert report.references == 3
    for k, (seed, angle, disc) in enumerate(shots):
        ours = frames[20 * k : 20 * k + 20]
        np.testing.assert_array_equal(ours[0], pictures[20 * k])
        track = np.array([disc.displacement(ours[0], f) for f in ours])
        assert np.abs(track).max() == pytest.approx(np.abs([due(angle)(n / RATE) for n in range(20)]).max(), rel=0.2)
        exact = [render([Disc(disc.centre, due(angle))], n / RATE, seed=seed) for n in range(20)]
        # A ghost of another shot, at a tenth of its contrast, would be 4 levels of difference everywhere.
        assert max(np.abs(one - two).mean() for one, two in zip(ours, exact, strict=True)) < 2.5


def test_a_replaced_reference_fades_and_does_not_jump(tmp_path):
    disc = Disc((80, 64), lambda t: (0.5 * t, 0.2 * t))
    source = write(tmp_path / "in.mkv", [render([disc], n / RATE) for n in range(50)])
    steps, last = [], []
    for fade in (0, 0.4):
        frames, report = magnified(source, tmp_path / "out.mkv", alpha=10, reference="every:1", cross_fade=fade)
        assert report.references == 2
        off = shift(disc, frames, read(source), lambda n: (0, 0))
        steps.append(float(np.abs(np.diff(off, axis=0)).max()))
        last.append(off[-1])
    assert steps[0] > 3
    assert steps[1] < 0.6
    np.testing.assert_allclose(last[0], last[1], atol=0.1), "once faded, nothing is left of it"


def test_the_reference_is_replaced_when_motion_outgrows_it(tmp_path):
    disc = Disc((60, 64), lambda t: (8 * t, 0), 24)
    source = write(tmp_path / "in.mkv", [render([disc], n / RATE) for n in range(60)])
    frames, report = magnified(source, tmp_path / "out.mkv", alpha=2, reanchor=4)
    assert report.references in (4, 5), "15.7 px in steps of 4, where a few percent decide the last one"
    off = shift(disc, frames, read(source), lambda n: (min(8 * n / RATE, 4), 0))
    assert np.abs(off).max() < 5.5
    assert off[30:, 0].min() > 0.5, "still magnified"
    _, report = magnified(source, tmp_path / "out.mkv", alpha=2, reanchor="auto")
    assert report.references == 2, "10 px of the network's own"


def test_a_mean_reference_leaves_slow_drift_and_magnifies_vibration(tmp_path):
    def way(t: float) -> tuple[float, float]:
        return 0.3 * math.sin(2 * math.pi * 3 * t) + 0.5 * t, 0.0

    disc = Disc((80, 64), way)
    source = write(tmp_path / "in.mkv", [render([disc], n / RATE) for n in range(90)])
    frames, report = magnified(source, tmp_path / "out.mkv", alpha=10, reference="mean:0.3")
    assert report.references == 1
    off = shift(disc, frames, read(source), lambda n: (0, 0))
    assert amplitude(off[30:], 3) == pytest.approx(9 * 0.3, rel=0.2)
    # The average lags a drift by the time constant: 0.15 px; against the first frame it would be 1.25 px after 2.5 s.
    assert off[-20:, 0].mean() == pytest.approx(9 * 0.15, abs=0.5)


def test_alpha_goes_from_one_number_to_another(tmp_path):
    disc = Disc((80, 64), lambda t: (0.4, 0.0) if t > 0 else (0, 0))
    source = write(tmp_path / "in.mkv", [render([disc], n / RATE) for n in range(31)])
    frames, _ = magnified(source, tmp_path / "out.mkv", alpha=1, alpha_end=11)
    off = shift(disc, frames, read(source), lambda n: (0.4 * n / 3, 0))[:, 0]
    np.testing.assert_array_equal(frames[0], read(source)[0])
    for n in (6, 15, 30):
        assert off[n] == pytest.approx(0.4 * 10 * n / 30, rel=0.15)


def test_keyframes_within_a_region_leave_the_rest_to_the_bit(tmp_path):
    one, two = Disc((48, 64), lambda t: (0.4, 0.0) if t > 0 else (0, 0)), Disc((144, 64), still)
    source = write(tmp_path / "in.mkv", [render([one, two], n / RATE) for n in range(16)])
    options = {"alpha_keys": ["0.1=1", "0.3=10"], "roi": "0,0,96,128"}
    frames, _ = magnified(source, tmp_path / "out.mkv", **options)
    theirs = read(source)
    for n in range(4):
        np.testing.assert_array_equal(frames[n], theirs[n])
    for ours, given in zip(frames, theirs, strict=True):
        np.testing.assert_array_equal(ours[:, 104:], given[:, 104:])
    off = shift(one, frames, theirs, lambda n: (3.6 if n > 8 else 1, 0))[:, 0]
    assert off[12:] == pytest.approx(3.6, rel=0.15)
    assert off[6] == pytest.approx(1.8, rel=0.2)
