"""Which way a region's main direction points, and the phase of its peaks against the first region's."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from vibrations import RATE, Disc, render, write

from magfilter import measure_motion
from magfilter.masks import Region
from magfilter.measure.noise import StillNoise
from magfilter.measure.output import write_spectrum
from magfilter.measure.printed import peak_table
from magfilter.measure.result import Motion, RegionMotion, main_direction
from magfilter.measure.timing import Timing

FRAMES, SLOW, FAST = 60, 3.1, 7.9  # Hz


@pytest.mark.parametrize("tilt", [-0.05, 0.0, 0.05])
@pytest.mark.parametrize(("bearing", "way"), [(0, (1, 0)), (math.pi / 2, (0, 1))])
def test_level_points_right_and_upright_down_however_they_tilt(bearing, way, tilt):
    swing = np.sin(np.arange(50))[:, None] * [math.cos(bearing + tilt), math.sin(bearing + tilt)]
    for sign in (-1, 1):
        found = main_direction(sign * swing, np.zeros((50, 2, 2)), np.eye(2))
        np.testing.assert_allclose(found, way, atol=0.06)


def test_directions_of_two_regions_agree_where_the_half_plane_ends():
    """Both near the diagonal that divides one way from the other, one on each side of it."""
    found = []
    for bearing in (-math.pi / 4 + 0.02, -math.pi / 4 - 0.02):
        swing = np.sin(np.arange(50))[:, None] * [math.cos(bearing), math.sin(bearing)]
        found.append(main_direction(swing, np.zeros((50, 2, 2)), np.eye(2), found[0] if found else None))
    assert found[0] @ found[1] > 0.99


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two discs up and down, against each other at one frequency and together at another, a quarter of a turn ahead."""

    def way(sign, ahead):
        def at(time):
            fast = math.sin(2 * math.pi * FAST * time + ahead)
            return 0.0, sign * 0.3 * math.sin(2 * math.pi * SLOW * time) + 0.15 * fast

        return at

    discs = Disc((48, 64), way(1, 0)), Disc((144, 62), way(-1, math.pi / 2))
    path = tmp_path_factory.mktemp("phase") / "two.mkv"
    clip = write(path, [render(discs, n / RATE) for n in range(FRAMES)])
    rois = ["14,30,68,68", "110,28,68,68"]
    return measure_motion(clip, roi=[*rois, "4,4,60,20"], threads=1)


def test_the_phase_is_against_the_first_region(two):
    first, second, _ = two.regions
    assert [first.angle, second.angle] == pytest.approx([-90, -90], abs=2)
    assert [peak.phase for peak in first.peaks] == [0, 0]
    slow, fast = second.peaks
    assert abs(slow.phase) == pytest.approx(180, abs=3)
    assert fast.phase == pytest.approx(90, abs=3)
    assert first.along @ second.along < 0
    table = peak_table(two).splitlines()
    assert table[1].split()[-1] == "phase°"
    assert table[7].split()[-1] == f"{fast.phase:.0f}"


def test_the_spectrum_has_phases_too(two, tmp_path):
    write_spectrum(two, tmp_path / "spectrum.csv")
    rows = list(csv.DictReader(line for line in (tmp_path / "spectrum.csv").open() if line[0] != "#"))
    for hertz, phase in ((SLOW, 180), (FAST, 90)):
        row = min(rows, key=lambda row: abs(float(row["frequency_hz"]) - hertz))
        assert float(row["r1_along_phase_deg"]) % 360 == pytest.approx(phase, abs=5)
    assert "r0_along_phase_deg" not in rows[0]


def test_what_the_first_region_does_not_show_has_no_phase(two):
    """Seen from the still ground."""
    second = replace(two[1], _first=two[2])
    assert len(second.peaks) == 2
    assert all(math.isnan(peak.phase) for peak in second.peaks)


TIMES = np.arange(100) / 30.0
NOISE = 0.003  # px


def moving(xy: np.ndarray, first: RegionMotion | None = None, seed: int = 0) -> RegionMotion:
    """A region that moves by (n, 2) px and noise."""
    count = len(xy)
    timing = Timing(TIMES, 30.0, True, np.arange(count))
    white = NOISE**2 * np.eye(2)
    still = StillNoise(np.tile(white, (count, 1, 1)), white, np.zeros(0), np.zeros(0))
    xy = xy + np.random.default_rng(seed).normal(0, NOISE, xy.shape)
    way = main_direction(xy, still.variance, np.eye(2), first.direction if first else None)
    sigma = np.full_like(xy, NOISE)
    return RegionMotion(Region(0, 0, 8, 8), xy, sigma, way, 1.0, 0, "", timing, still, xy, first)


def round_and_round(x: float, y: float, ahead: float = 0.0, sense: int = 1) -> np.ndarray:
    turn = 2 * np.pi * 4.37 * TIMES + math.radians(ahead)
    return np.stack([x * np.cos(turn), sense * y * np.sin(turn)], 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("due", [0, 40, 180, -90])
@pytest.mark.parametrize("sizes", [(0.3, 0.3, 0.3, 0.3), (0.31, 0.29, 0.29, 0.31), (0.3, 0.2, 0.3, 0.2)])
def test_of_what_goes_round_the_whole_motions_are_compared(seed, due, sizes):
    """Its direction is noise's, and the phase along that is, too."""
    first = moving(round_and_round(*sizes[:2]), seed=2 * seed)
    second = moving(round_and_round(*sizes[2:], due), first, 2 * seed + 1)
    (peak,) = second.peaks
    assert (peak.phase - due + 180) % 360 - 180 == pytest.approx(0, abs=2)
    spectrum = second.spectrum
    at = int(np.argmin(np.abs(spectrum.frequency - 4.37)))
    assert (second.phase("along")[at] - due + 180) % 360 - 180 == pytest.approx(0, abs=3)


def test_what_goes_round_another_way_has_no_phase():
    first = moving(round_and_round(0.3, 0.3))
    for other in (round_and_round(0.3, 0.3, sense=-1), round_and_round(0.3, 0.0), round_and_round(0.3, 0.1)[:, ::-1]):
        (peak,) = moving(other, first, 1).peaks
        assert math.isnan(peak.phase)


@pytest.mark.parametrize("due", [0, 60, 180])
def test_to_and_fro_each_along_its_own_direction(due):
    """One level, one upright, which have no axis in common."""
    first = moving(round_and_round(0.3, 0.0))
    second = moving(round_and_round(0.0, 0.3, due + 90), first, 1)
    assert (second.peaks[0].phase - due + 180) % 360 - 180 == pytest.approx(0, abs=2)


def table_of(*regions: RegionMotion) -> str:
    return peak_table(Motion("clip.mkv", regions, regions[0].timing, "first"))


@pytest.mark.parametrize(
    ("hertz", "said"),
    [(0.2, "slower than 0.45 Hz, which is not told from drift"), (14.93, "close to 15 Hz, where the spectrum ends")],
)
def test_what_lies_beyond_the_ends_is_said(hertz, said):
    swing = 0.3 * np.sin(2 * np.pi * hertz * TIMES + 0.7)
    assert said in table_of(moving(np.stack([swing, 0 * swing], 1)))


def test_a_dash_is_explained():
    first = moving(round_and_round(0.3, 0.3))
    assert "phase -:" not in table_of(first, moving(round_and_round(0.3, 0.3), first, 1))
    table = table_of(first, moving(round_and_round(0.3, 0.3, sense=-1), first, 1)).splitlines()
    assert table[-2].split()[-1] == "-"
    assert "r0 does not show it, or does not move in the same way" in table[-1]


def test_what_may_have_leaked_has_no_phase():
    """A level swing that shows a hundredth of itself upwards is not what an upright one is ahead of."""
    first = moving(round_and_round(1.0, 0.0) + round_and_round(0.0, 0.03, 60)[:, [0, 1]])
    slow = 0.5 * np.sin(2 * np.pi * 2.1 * TIMES)
    second = moving(np.stack([slow, 0 * slow], 1) + round_and_round(0.0, 0.2), first, 1)
    (up,) = [peak for peak in second.peaks if peak.axis == "y"]
    assert math.isnan(up.phase)
    assert np.isfinite(second.phase("y")).all()
