"""Finding what vibrates while the camera moves."""

from __future__ import annotations

import pytest
from cameras import HERTZ, film

from magfilter.find import find_vibrations, vibrations


@pytest.mark.parametrize("camera", [{"degrees": 2}, {"pan": 2}])
def test_what_the_camera_takes_out_of_the_picture_vibrates_at_nothing(tmp_path, camera):
    found = find_vibrations(film(tmp_path / "camera.mkv", frames=90, **camera), detrend=True)
    (only,) = found.vibrations
    assert only.frequency == pytest.approx(HERTZ, abs=0.02)
    assert only.amplitude == pytest.approx(0.2, rel=0.15)
    assert found.warnings == []


def test_a_camera_that_leaves_its_first_picture_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(vibrations, "MOSTLY", 0.05)
    found = find_vibrations(film(tmp_path / "away.mkv", pan=2, frames=24), detrend=True)
    assert any("out of sight, where nothing is looked for; choose a shorter part" in line for line in found.warnings)
