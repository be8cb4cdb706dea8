"""The pictures of RESULTS.md: what is shown is what was asked for, and is made once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install -e .[train]")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

from click.testing import CliRunner  # noqa: E402

from trainer.evaluation import figures, gallery, pairs  # noqa: E402


def test_the_part_around_a_line_holds_it_and_stays_in_the_picture():
    (left, top, right, bottom), line = gallery._around((300.0, 10.0, 300.0, 190.0), 200, 640)
    assert (left, top, right, bottom) == (300 - gallery.NEAR, 0, 300 + gallery.NEAR, 200)
    assert line == (gallery.NEAR, 10.0, gallery.NEAR, 190.0)


def test_a_slice_is_made_once_and_shows_the_input_and_every_method_but_the_copy(tmp_path, monkeypatch):
    folder = tmp_path / "clips" / "tiny"
    folder.mkdir(parents=True)
    for n in range(4):
        picture = np.full((40, 48, 3), 90, np.uint8)
        picture[10 + n : 30] = 200
        cv2.imwrite(str(folder / f"{n}.png"), picture)
    monkeypatch.setattr(pairs, "EVAL_ROOT", tmp_path)
    monkeypatch.setattr(gallery, "STILLS", {})
    monkeypatch.setattr(gallery, "CLIPS", {"tiny": gallery.Clip("tiny", (20, 2, 20, 38), 0, 4, 2.0)})
    arguments = ["-m", "copy", "-m", "ours=warp-nearest", "-o", str(tmp_path / "out")]
    first = CliRunner().invoke(gallery.gallery, arguments)
    assert first.exit_code == 0, first.output
    file = tmp_path / "out" / "slice-tiny.png"
    assert file.exists()
    height = cv2.imread(str(file)).shape[0]
    assert height > 2 * 37  # two slices of 37 px and their titles
    before = file.stat().st_mtime_ns
    again = CliRunner().invoke(gallery.gallery, arguments)
    assert again.exit_code == 0
    assert again.output == ""
    assert file.stat().st_mtime_ns == before


def test_unknown_pictures_and_methods_are_refused_in_a_line(tmp_path):
    for arguments, said in ((["--only", "dog"], "Unknown picture 'dog'"), (["-m", "magic"], "Unknown method 'magic'")):
        result = CliRunner().invoke(gallery.gallery, [*arguments, "-o", str(tmp_path)])
        assert result.exit_code == 1
        assert said in result.output
        assert len(result.output.splitlines()) == 1


def test_fewer_colours_make_a_smaller_file_of_the_same_size(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    figures.save(picture, tmp_path / "all.png")
    figures.save(picture, tmp_path / "few.png", colours=16)
    small = cv2.imread(str(tmp_path / "few.png"))
    assert small.shape == picture.shape
    assert len(np.unique(small.reshape(-1, 3), axis=0)) <= 16
    assert (tmp_path / "few.png").stat().st_size < 0.5 * (tmp_path / "all.png").stat().st_size
