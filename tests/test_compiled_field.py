"""What numba does to fields of motion is what NumPy does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from magfilter import compiled, displace
from magfilter.compiled import kernels

pytestmark = pytest.mark.skipif(compiled.version() is None, reason="numba is not installed")

SIZE = (40, 53)


def waves(seed: int, deviation: float = 5.0) -> np.ndarray:
    """A field of motion, a fifth of which rests."""
    rng = np.random.default_rng(seed)
    field = rng.normal(0, deviation, (2, *SIZE)).astype(np.float32)
    field[:, :8] = 0
    field[:, 8:12] *= np.float32(1e-3)
    return field


def both(work: Any, *arguments: Any) -> tuple[Any, Any]:
    """What NumPy makes of it, and what numba does, each with arguments of its own."""
    found = []
    for fast in (False, True):
        own = [np.array(each) if isinstance(each, np.ndarray) and each.flags.writeable else each for each in arguments]
        assert kernels() is not None
        if fast:
            found.append((work(*own), own))
        else:
            with compiled.left_out():
                found.append((work(*own), own))
    return found[0], found[1]


def gains(kind: str) -> np.ndarray:
    """A factor for all, or one for each point."""
    if kind == "one":
        return np.broadcast_to(np.float32(7), SIZE)
    if kind == "none":
        return np.broadcast_to(np.float32(1), SIZE)
    gain = np.full(SIZE, 7, np.float32)
    gain[:, 20:] = 1
    gain[30:, :9] = 0.5
    return gain


@pytest.mark.parametrize("kind", ["one", "none", "map"])
@pytest.mark.parametrize("reach", [1e3, 12.0])
def test_points_are_thrown_as_far(kind, reach):
    (numpy, _), (fast, _) = both(displace._throw, waves(1), gains(kind), 2.0, reach, None, None)
    for one, two in zip(numpy, fast, strict=True):
        assert (one == two).all()
        assert one.dtype == two.dtype
    assert fast[2].any()
    assert not fast[2].all()
    assert (np.abs(fast[0]).max() == reach) == (reach == 12.0 and kind != "none")


def test_what_is_no_number_rests_and_is_thrown_nowhere():
    flow = waves(1)
    flow[:, 20, 20], flow[0, 21, 20] = np.nan, np.inf
    thrown, _, rest = displace._throw(flow, gains("one"), 2.0, 50.0, None, None)
    assert rest[20, 20]
    assert thrown[0, 21, 20] == 50


@pytest.mark.parametrize("kind", ["one", "none", "map"])
@pytest.mark.parametrize("ground", ["drifts", "rests", "turns"])
def test_what_counts_against_the_ground(kind, ground):
    drift = waves(2, 1.0) if ground == "turns" else np.full((2, 1, 1), 0.3 * (ground == "drifts"), np.float32)
    (numpy, _), (fast, _) = both(displace._against, waves(1), drift, gains(kind))
    np.testing.assert_allclose(fast, numpy, rtol=1e-6)
    assert (fast < 0).any() == (kind != "one")


@pytest.mark.parametrize("share", [0.9, 0.3, 0.002, 0.0, 1.0])
@pytest.mark.parametrize("size", [SIZE, (2, 3), (1, 7)])
def test_what_is_unknown_is_taken_from_around(share, size):
    rng = np.random.default_rng(4)
    known = rng.random(size) < share
    field = waves(1)[:, : size[0], : size[1]].copy()
    (numpy, _), (fast, _) = both(displace._from_around, field, known)
    np.testing.assert_allclose(fast, numpy, rtol=1e-6)
    assert (fast[:, known] == field[:, known]).all()


@pytest.mark.parametrize("kind", ["one", "none", "map"])
def test_ground_that_a_mover_hides(kind):
    flow = waves(1)
    free = np.random.default_rng(5).random(SIZE) < 0.9
    behind = np.zeros_like(flow)
    (numpy, (*_, way_1)), (fast, (*_, way_2)) = both(displace._hidden, flow, gains(kind), free, 2.0, behind)
    assert (numpy == fast).all()
    np.testing.assert_allclose(way_2, way_1, atol=1e-5)
    assert fast.any() == (kind != "none")
    assert (way_2[:, fast] != 0).any() == (kind != "none")
