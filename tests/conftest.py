"""Shared fixtures."""

from __future__ import annotations

import pytest
from clips import Clips


@pytest.fixture
def clips(tmp_path) -> Clips:
    """Makes tiny clips in the test's own folder."""
    return Clips(tmp_path)
