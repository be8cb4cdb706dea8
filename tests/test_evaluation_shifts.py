"""Exact shifts, and what share of them a model measures."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="the evaluation needs torch: pip install -e .[train]")
pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")

from trainer.evaluation import shifts


def waves(dx: float = 0.0, dy: float = 0.0, size: int = 128) -> np.ndarray:
    y, x = np.mgrid[:size, :size].astype(float)
    x, y = x - dx, y - dy
    return 0.5 + 0.2 * np.sin(2 * np.pi * x / 16) + 0.15 * np.sin(2 * np.pi * (x + y) / 12.8) + 0.1 * np.sin(y / 3)


def photo(level: float = 1.0, size: int = 256) -> np.ndarray:
    grey = 0.5 + level * (waves(size=size) - 0.5)
    return np.repeat((255 * grey).round().astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize("way", [(0.3, 0.0), (0.0, -0.45), (1.7, 2.2)])
def test_a_shift_is_exact_away_from_the_border(way):
    inner = slice(32, -32)  # where the mirrored border bends the waves, ripples start
    np.testing.assert_allclose(shifts.shifted(waves(), *way)[inner, inner], waves(*way)[inner, inner], atol=2e-3)


def test_a_shift_by_whole_pixels_moves_them():
    image = np.random.default_rng(0).random((40, 56))
    moved = shifts.shifted(image, 3, -2)
    np.testing.assert_allclose(moved[:-2, 3:], image[2:, :-3], atol=1e-9)
    np.testing.assert_allclose(moved[:-2, 2], image[2:, 0], atol=1e-9, err_msg="mirrored")


@pytest.mark.parametrize("reduce", [1, 2])
def test_the_shipped_model_measures_all_of_a_shift(reduce):
    found = shifts.shares("warp", [photo(), photo(0.6)], 0.3, reduce)
    assert found["seen"] == 1
    assert found["share"] == pytest.approx(1, abs=0.1)
    assert found["between"] < 0.1
    assert found["within"] < 0.2


def test_where_nothing_is_to_be_seen_nothing_counts():
    found = shifts.shares("warp", [photo(0.0)], 0.3)
    assert found["seen"] == 0
    assert math.isnan(found["share"])
    assert math.isnan(shifts.shares("warp", [photo(size=32)], 0.3)["share"]), "smaller than the network can look at"


def test_the_command_prints_a_row_for_each_shift_and_model(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(shifts, "photographs", lambda count: [photo(size=128)][:count])
    shifts.main(["warp", "--shift", "0.2", "0.5", "--json", str(tmp_path / "rows.json")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| 0.2 | warp | ")
    assert lines[3].startswith("| 0.5 | warp | ")
    assert (tmp_path / "rows.json").is_file()


def test_without_photographs_it_says_where_it_looked(monkeypatch, capsys):
    monkeypatch.setattr(shifts, "photographs", lambda count: [])
    with pytest.raises(SystemExit):
        shifts.main([])
    assert "MAGFILTER_SHARED" in capsys.readouterr().err
