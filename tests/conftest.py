"""Shared fixtures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from clips import Clips

# trainer, export and benchmarks are not in the wheel. At the end, so that an installed magfilter is what is tested.
sys.path.append(str(Path(__file__).resolve().parents[1]))


@pytest.fixture
def clips(tmp_path) -> Clips:
    """Makes tiny clips in the test's own folder."""
    return Clips(tmp_path)
