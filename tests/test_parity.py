"""The parity report: nothing where nothing differs, and rounding as half precision does."""

from __future__ import annotations

import copy
import math
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export needs torch: pip install -e .[train]")
pytest.importorskip("onnx", reason="the export needs onnx: pip install -e .[train]")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # export/ is not part of the wheel

from export.parity import Row, clips_in, compare, round_like_half, table  # noqa: E402
from magfilter.networks.precision import halve  # noqa: E402
from magfilter.networks.warp import WarpNet  # noqa: E402

CPU = ("warp", "onnxruntime-cpu")


def test_a_model_is_its_own_equal_and_rounding_shows(clips, tmp_path):
    clips("in.mp4", frames=5)
    found = clips_in([tmp_path])
    (same,), (single,), (half,) = (
        list(compare(CPU, other, found, count=2, every=2)) for other in (CPU, ("warp", "torch"), ("warp", "half"))
    )
    assert (same.clip, same.frames, same.worst, same.psnr) == ("in.mp4", 2, 0, math.inf)
    assert same.motion > 0.5, "the clip drifts"
    assert 0 < single.mean < half.mean < 0.01
    assert single.psnr > half.psnr > 30


def test_what_rounds_is_what_halving_halves():
    torch.manual_seed(0)
    net = WarpNet((4, 8, 12), levels=1).eval()
    torch.nn.init.normal_(net.cell.judge.head.weight, std=0.3)
    image = torch.nn.functional.avg_pool2d(torch.rand(1, 1, 64, 64), 5, 1, 2)
    pair = (image, image.roll(1, 3))
    half, rounded = halve(copy.deepcopy(net)), copy.deepcopy(net)
    round_like_half(rounded)
    with torch.no_grad():
        single, true, like = (module(*pair).numpy() for module in (net, half, rounded))
    assert true.dtype == np.float32
    assert np.abs(true - single).max() > 1e-5
    assert 0.3 < np.abs(like - single).mean() / np.abs(true - single).mean() < 3


def test_a_folder_without_clips_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no"):
        clips_in([tmp_path])


def test_a_clip_that_is_none_is_refused_in_one_line(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no clip")
    with pytest.raises(ValueError, match=r"x\.mp4"):
        list(compare(CPU, CPU, [tmp_path / "x.mp4"]))


def test_table_is_markdown():
    lines = table([Row("a.mp4", 2, 0.5, 0.1, 0.01, 60.04, 70, math.inf)]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| a.mp4 | 2 | 0.50 | 0.1000 | 0.010000 | 60.0 | 70.0 | inf |"
