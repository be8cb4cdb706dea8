"""Thin things before a plain ground move: the choice of no motion must hold before the picture; `benchmarks.wires`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.wires import measured, middle, middles, wire
from magfilter import Magnifier


@pytest.mark.parametrize(("angle", "motion", "grain"), [(0, 0.3, 0), (20, 0.6, 0), (30, 0.6, 1)])
def test_all_of_a_wire_moves(angle, motion, grain):
    """It stood still in places: a tenth of its rows and more had a gain of 0.1."""
    found = measured("warp-light", 10, angle, motion, grain)
    assert 0.88 < found["gain"] < 1.1
    assert 0.7 < found["worst tenth"] < 1.15
    assert found["astray, px"] < 0.8


def test_a_wire_that_rests_stays():
    rng = np.random.default_rng(0)
    magnifier = Magnifier(20, shot_cuts=False)
    magnifier.push(wire(20, 0.2, 1, rng))
    again = wire(20, 0.2, 1, rng)
    shown = magnifier.push(again)
    inner = slice(40, -40)
    moved = middles(shown, 20, 1)[inner] - middles(again, 20, 1)[inner]
    assert np.abs(np.median(moved)) < 0.05
    assert np.sqrt(np.mean(moved**2)) < 0.3


def test_the_benchmark_knows_where_its_wire_is():
    off = middles(wire(10, 0.4, 0, np.random.default_rng(0)), 10, 0) - middle(10, 0.4)
    assert np.abs(off[40:-40]).max() < 0.05


def test_the_word_of_the_judge_for_rest_stands_only_where_the_picture_bears_it_out():
    torch = pytest.importorskip("torch")
    from magfilter.networks.constants import CHOICES, VERDICTS
    from magfilter.networks.warp import WarpNet

    torch.manual_seed(0)
    cell = WarpNet((8, 16, 24)).cell.eval()
    x = torch.arange(128.0)
    reference = (0.5 + 0.2 * torch.sin(2 * torch.pi / 12 * x)).expand(1, 1, 128, 128)
    frame = (0.5 + 0.2 * torch.sin(2 * torch.pi / 12 * (x - 1))).expand(1, 1, 128, 128)
    verdict = torch.zeros(1, VERDICTS, 32, 32)
    verdict[:, CHOICES - 1] = 1e3  # nothing moves, it says
    flow = torch.zeros(1, 2, 32, 32)
    moving = flow.clone()
    moving[:, 0] = 0.9
    inner = (..., slice(8, -8), slice(8, -8))

    def looked(two, so_far):
        with torch.no_grad():
            _, found = cell.look(reference, two, so_far)
            return found[-1][inner], cell.choose(verdict, *found)[inner][:, 0]

    rests, shown = looked(frame, moving)
    assert rests.max() < 0.05
    assert 0.85 < shown.mean() < 1.05
    assert looked(reference, moving)[0].min() > 0.99, "nothing moves, and the flow so far is wrong"
    assert looked(frame, flow)[0].min() > 0.99, "no flow explains it better"
