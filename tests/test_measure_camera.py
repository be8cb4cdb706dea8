"""Measuring while the camera turns, zooms and shakes, and at the picture's rim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cameras import CAMERA, HERTZ, ROIS, SIZE, SWING, film, swing, texture
from vibrations import write

from magfilter import measure_motion
from magfilter.measure.camera import camera_of, moves_by, uncertain, unknowns
from magfilter.measure.noise import Background
from magfilter.measure.register import Patch


@pytest.mark.parametrize("camera", [{"degrees": 2}, {"zoom": 0.02}, {"pan": 1.5}])
def test_what_the_camera_does_is_taken_off_or_uncertain(tmp_path, camera):
    for region in measure_motion(film(tmp_path / "camera.mkv", **camera), roi=ROIS, detrend=True, threads=1).regions:
        (peak,) = (peak for peak in region.peaks if peak.axis == "along" and abs(peak.frequency - HERTZ) < 0.3)
        assert peak.x == pytest.approx(SWING, abs=max(0.003, 3 * peak.amplitude_sigma))
        assert peak.amplitude_sigma < 0.015
        for peak in region.peaks:
            if abs(peak.frequency - CAMERA) < 0.3:
                assert peak.amplitude < 5 * peak.amplitude_sigma


def test_one_patch_of_ground_does_not_vouch_for_the_camera(tmp_path):
    """Elsewhere a turn moves it by another way, which one patch cannot tell."""
    clip = film(tmp_path / "turn.mkv", degrees=2)
    found = measure_motion(clip, roi=ROIS[0], still="220,20,13,13", detrend=True, threads=1)
    assert found.still == 1
    assert any("has only 1 of the 6 patches" in line and "--still" in line for line in found.warnings)
    assert found[0].sigma[1:].max() > 1
    assert not [peak for peak in found[0].peaks if abs(peak.frequency - CAMERA) < 0.3 and peak.amplitude_sigma < 0.3]


@pytest.mark.parametrize("still", ["0,8,30,140", "8,0,240,30"])
def test_a_narrow_strip_of_ground_says_no_more_of_a_turn_than_it_knows(tmp_path, still):
    clip = film(tmp_path / "pan.mkv", pan=1.5)
    peak = measure_motion(clip, roi=ROIS[0], still=still, detrend=True, threads=1)[0].peaks[0]
    assert peak.frequency == pytest.approx(HERTZ, abs=0.05)
    assert peak.amplitude == pytest.approx(SWING, abs=0.01)
    assert peak.amplitude_sigma < 0.01


@pytest.mark.parametrize("roi", [None, "216,0,40,160"])
def test_the_rim_of_a_picture_that_moves_is_not_off(tmp_path, roi):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    pictures = [np.rint(texture(9, x - swing(3, HERTZ, n), y)).clip(0, 255).astype(np.uint8) for n in range(45)]
    (region,) = measure_motion(write(tmp_path / "all.mkv", pictures), roi=roi, threads=1).regions
    (peak,) = region.peaks  # no harmonic
    assert peak.amplitude == pytest.approx(3, abs=0.002)


def test_a_region_that_is_all_rim_is_told(tmp_path):
    clip = film(tmp_path / "rim.mkv", pan=0.3, frames=8)
    found = measure_motion(clip, roi="0,30,12,60", threads=1)
    assert any(line.startswith("roi 0,30,12,60: most of its contours lie within 8 px") for line in found.warnings)


AT = np.array([(20.0, 20), (100, 15), (200, 20), (20, 120), (110, 125), (200, 120), (60, 70)])


def test_the_camera_is_what_most_patches_share():
    camera = np.array([[0.4, -0.2], [0.01, 0.02], [-0.02, 0.01]])
    off = moves_by(camera, AT)
    np.testing.assert_allclose(camera_of(AT, off, np.ones(7)), camera, atol=1e-6)
    off[4] = np.nan  # not seen
    np.testing.assert_allclose(camera_of(AT, off, np.ones(7)), camera, atol=1e-6)
    off[4], off[2] = moves_by(camera, AT[4]), off[2] + 3  # moves on its own
    np.testing.assert_allclose(moves_by(camera_of(AT, off, np.ones(7)), AT[6]), moves_by(camera, AT[6]), atol=0.005)


def test_far_from_the_patches_the_camera_is_uncertain():
    """As the scatter of `camera_of` is."""
    lot = np.random.default_rng(0)
    for where in np.array([(110.0, 70), (300, 70)]):
        found = [moves_by(camera_of(AT, 0.01 * lot.normal(size=(7, 2)), np.ones(7)), where) for _ in range(300)]
        assert np.std(found) == pytest.approx(0.01 * math.sqrt(uncertain(AT, np.ones(7), where)), rel=0.25)
    assert uncertain(AT[:3], np.ones(3), AT[3]) > 1, "a shift alone says nothing of turns"


def test_patches_in_a_row_tell_a_shift_alone():
    row = AT * [1, 0.02] + [0, 70]
    assert (unknowns(AT), unknowns(row), unknowns(AT[:5])) == (3, 1, 1)
    turned = moves_by(np.array([[0.4, -0.2], [0.0, 0.02], [-0.02, 0.0]]), row)
    assert not camera_of(row, turned, np.ones(7))[1:].any()
    assert uncertain(row, np.ones(7), np.array([110.0, 10])) > 1


def test_a_patch_that_is_hidden_is_left_out():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    before = (texture(9, x, y) / 255).astype(np.float32)
    after = (texture(9, x - 0.3, y) / 255).astype(np.float32)
    after[:60, :60] = 0.5
    ground = Background([Patch(before, (int(t), int(s)), np.ones((20, 20)), 0.001) for s, t in AT - 10], True)
    for frame in (before, after):
        camera = ground.follow(frame, lambda patch: np.zeros(2))
    np.testing.assert_allclose(moves_by(camera, AT), np.tile((0.3, 0), (7, 1)), atol=0.01)
    tracks, alone, unit = ground._parts(2)
    assert np.isnan(tracks[1, 0]).all()
    assert (np.isfinite(alone) & np.isfinite(unit)).all()
