"""Drawn wires are cut-outs like any other, and thin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

from trainer.textures import CUTOUT  # noqa: E402
from trainer.wires import MARGIN, draw_wires  # noqa: E402


@pytest.mark.parametrize("channels", [1, 3])
def test_wires_are_cut_outs_with_a_transparent_margin(channels):
    wires = draw_wires(20, channels=channels)
    assert wires.shape == (20, channels + 1, CUTOUT, CUTOUT)
    assert wires.dtype == torch.uint8
    opacity = wires[:, -1].float() / 255
    rim = torch.ones(CUTOUT, CUTOUT, dtype=torch.bool)
    rim[MARGIN:-MARGIN, MARGIN:-MARGIN] = False
    assert opacity[:, rim].max() == 0
    assert (opacity.amax((1, 2)) > 0.5).all()  # there is something in each
    assert (opacity.mean((1, 2)) < 0.75).all()  # and ground between


def test_same_seed_draws_the_same_and_another_does_not():
    assert torch.equal(draw_wires(3, seed=5), draw_wires(3, seed=5))
    assert not torch.equal(draw_wires(3, seed=5), draw_wires(3, seed=6))


def test_none_are_drawn_when_none_are_asked_for():
    assert draw_wires(0, channels=3).shape == (0, 4, CUTOUT, CUTOUT)


def test_some_wires_are_a_few_pixels_thin():
    opacity = draw_wires(40)[:, -1].float() / 255
    line = opacity[:, :, CUTOUT // 2]  # across the wires
    edges = (line.diff(dim=1).abs() > 0.5).sum(1)
    width = line.sum(1) / (edges / 2).clamp_min(1)
    assert ((width > 0.5) & (width < 5)).sum() > 5
