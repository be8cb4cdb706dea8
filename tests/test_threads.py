"""How cores are shared out."""

import os

from magfilter.threads import thread_budget


def test_thread_budget(monkeypatch):
    assert thread_budget(3) == (3, 3, 3, 3)
    assert thread_budget(16) == (4, 16, 16, 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(600), raising=False)
    assert thread_budget(0) == (4, 512, 512, 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    assert thread_budget(0) == (2, 2, 2, 2)
