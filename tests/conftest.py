"""Shared fixtures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from clips import Clips

from magfilter import compiled

# trainer, export and benchmarks are not in the wheel. At the end, so that an installed magfilter is what is tested.
sys.path.append(str(Path(__file__).resolve().parents[1]))


def pytest_sessionstart() -> None:
    """Compile what is compiled now, once, rather than in whichever test waits for something else."""
    compiled.kernels()


@pytest.fixture
def clips(tmp_path) -> Clips:
    """Makes tiny clips in the test's own folder."""
    return Clips(tmp_path)


@pytest.fixture(params=["numpy", "compiled"])
def arithmetic(request) -> Iterator[str]:
    """The same test twice: with NumPy, and with what numba compiles."""
    if request.param == "compiled" and compiled.version() is None:
        pytest.skip("numba is not installed")
    assert request.param == "numpy" or compiled.kernels(), "numba is there and does not work"
    with compiled.left_out() if request.param == "numpy" else nullcontext():
        yield request.param
