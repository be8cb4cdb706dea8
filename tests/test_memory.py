"""What the C library is asked to keep."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from magfilter import memory


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
@pytest.mark.parametrize(
    ("allowed", "asked", "taken"),
    [
        (1 << 40, memory.LARGEST, [(-3, 64 << 20), (-1, 256 << 20)]),
        (1 << 40, 1 << 30, [(-3, 1 << 30), (-1, 2**31 - 1)]),
        (32 << 20, memory.LARGEST, [(-3, 32 << 20), (-1, 128 << 20)]),  # older versions
        (0, memory.LARGEST, []),  # never the one without the other
    ],
)
def test_blocks_are_kept_as_far_as_the_library_allows(allowed, asked, taken, monkeypatch):
    done = []

    def mallopt(what, value):
        if what == memory.MMAP_THRESHOLD and value > allowed:
            return 0
        done.append((what, value))
        return 1

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    memory.keep_freed_memory(asked)
    assert done == taken


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace())
    memory.keep_freed_memory()
