"""Errors of flow estimators where the flow is known: the files, the shifts and the scenes they are measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
cv2 = pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
from toys import coloured  # noqa: E402

from trainer.flow import errors  # noqa: E402


def flo(values: np.ndarray, path: Path, magic: float = 202021.25) -> Path:
    height, width = values.shape[:2]
    head = np.float32(magic).tobytes() + np.array([width, height], "<i4").tobytes()
    path.write_bytes(head + values.astype("<f4").tobytes())
    return path


def test_flo_files_are_read_and_others_refused(tmp_path):
    values = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    path = flo(values, tmp_path / "a.flo")
    assert np.array_equal(errors.read_flo(path), values)
    with pytest.raises(ValueError, match=r"b\.flo: not a Middlebury"):
        errors.read_flo(flo(values, tmp_path / "b.flo", 1.0))
    (tmp_path / "short.flo").write_bytes(b"PIEH")
    with pytest.raises(ValueError, match=r"short\.flo: not a Middlebury"):
        errors.read_flo(tmp_path / "short.flo")
    (tmp_path / "cut.flo").write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"cut\.flo: damaged; 4 × 3 points"):
        errors.read_flo(tmp_path / "cut.flo")


@pytest.fixture
def root(tmp_path) -> Path:
    """The evaluation's folders in small: one photograph, and a pair of frames with its flow."""
    for name in ("pairs/one", "clips", "flow"):
        (tmp_path / name).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "pairs/one/a.png"), coloured(1, 400))
    for n in (10, 11):
        cv2.imwrite(str(tmp_path / f"flow/frame{n}.png"), coloured(2, 64))
    truth = np.full((64, 64, 2), 3.0)
    truth[:32] = 1e10  # unknown
    flo(truth, tmp_path / "flow/truth.flo")
    return tmp_path


def by_phase(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The exact flow of a periodic shift: by the phases of the lowest frequencies."""
    spectra = [np.fft.fft2(image.astype(np.float64).sum(-1)) for image in (a, b)]
    k = [(x, y) for x in range(-4, 5) for y in range(-4, 5) if (x, y) > (0, 0)]
    weight = np.array([min(abs(spectrum[y, x]) for spectrum in spectra) for x, y in k])
    turn = np.array([-np.angle(spectra[1][y, x] / spectra[0][y, x]) for x, y in k])
    waves = 2 * np.pi * np.array(k) / np.array([a.shape[1], a.shape[0]])
    d = np.linalg.lstsq(waves * weight[:, None], turn * weight, rcond=None)[0]
    return np.broadcast_to(d, (*a.shape[:2], 2)).astype(np.float32)


def still(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.zeros((*a.shape[:2], 2), np.float32)


def test_known_shifts_are_known(root):
    found = errors.known_shifts(by_phase, 1, root=root)
    assert list(found) == list(errors.SHIFTS)
    assert max(found.values()) < 0.02
    missed = errors.known_shifts(still, 1, root=root)
    assert list(missed.values()) == pytest.approx(list(errors.SHIFTS))


def test_scenes_errors_are_sorted_by_the_motion_there_is(root):
    found = errors.scenes(still, 4, root=root)
    assert set(found) == set(errors.BANDS)
    assert all(low <= found[low, high] < high for low, high in errors.BANDS), "all motion is missed"


def test_the_table_has_a_row_an_estimator(root, monkeypatch):
    monkeypatch.setattr(errors, "estimator", lambda name: still)
    monkeypatch.setattr(errors, "scenes", lambda flow, root: dict.fromkeys(errors.BANDS, 0.5))
    head, rule, row = errors.table(["still"], root)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert head.count("|") == rule.count("|") == row.count("|")
    assert cells[0] == "still"
    assert float(cells[1]) == pytest.approx(3 * 2**0.5, abs=1e-3), "where the flow is known"
    assert float(cells[2]) == pytest.approx(0.1)


def test_the_table_says_which_data_are_missing(tmp_path):
    (tmp_path / "clips").mkdir()
    with pytest.raises(ValueError, match=r"flow, .*pairs: no such folder; set MAGFILTER_SHARED"):
        list(errors.table(["dis"], tmp_path))
