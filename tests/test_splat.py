"""Throwing points: what rests is left out, whether the others are picked or all are thrown."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter import splat as module
from magfilter.splat import Points, splat

pytestmark = pytest.mark.usefixtures("arithmetic")

SIZE = (20, 28)


def scene(share: float, zoom: float) -> tuple[Points, np.ndarray, np.ndarray]:
    """A part of the picture that moves unevenly over ground that rests or drifts; overlaps and tears are in it."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    moves = x < share * SIZE[1]
    thrown = np.stack([4 + zoom * x, zoom * y - 2]) * moves + rng.normal(0, 0.3, (2, *SIZE)) * moves
    thrown = thrown.astype(np.float32)
    borne = np.zeros((2, 1, 1), np.float32)
    return Points(thrown, -thrown, np.sqrt(module.square(thrown))), ~moves, borne


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("zoom", [0.0, 1.2, -0.4])
def test_picking_what_moves_and_throwing_everything_are_the_same(share, zoom, monkeypatch):
    points, rest, borne = scene(share, zoom)
    found = []
    for few in (-1.0, 1.0):  # always picked, never
        monkeypatch.setattr(module, "FEW", few)
        found.append(splat(points, rest, borne, 1.0))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert found[0][0].any()


def test_what_rests_carries_what_it_carries_and_nothing_lands_of_it():
    points, rest, borne = scene(0.0, 0.0)
    carried = np.full((2, *SIZE), 0.5, np.float32)
    field, landed = splat(points._replace(carried=carried), rest, borne, 1.0)
    assert (field == carried).all()
    assert (landed == 0).all()
