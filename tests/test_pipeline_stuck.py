"""A network that never returns does not keep a job that was told to stop."""

from __future__ import annotations

import threading

import pytest

from magfilter import VideoReader, pipeline
from magfilter.media import Frame
from magfilter.options import MagnifyOptions
from magfilter.pipeline import Job


@pytest.mark.parametrize("threads", [1, 2])
def test_what_was_written_until_then_is_whole(clips, tmp_path, monkeypatch, threads):
    monkeypatch.setattr(pipeline, "PATIENCE", 0.5)
    target, stop, free, stuck = tmp_path / "o.mkv", threading.Event(), threading.Event(), threading.Event()
    source = clips("in.mkv", frames=12)

    def never(*_: object) -> None:
        stuck.set()
        free.wait(60)
        raise RuntimeError("nobody waits for this")

    with Job(source, target, MagnifyOptions(threads=threads), stop=stop) as job:
        monkeypatch.setattr(job.magnifier.engine, "run", never)

        def ask() -> None:
            stuck.wait(30)
            stop.set()

        threading.Thread(target=ask, daemon=True).start()
        try:
            report = job.run()
        finally:
            free.set()
    assert report.interrupted
    assert report.frames == 1  # the reference, which needs no network
    with VideoReader(target) as reader:
        assert sum(isinstance(item, Frame) for item in reader) == 1


def test_a_slow_network_is_waited_for(clips, tmp_path, monkeypatch):
    """A stop gives up no frame that comes within PATIENCE."""
    stop = threading.Event()
    with Job(clips("in.mkv", frames=6), tmp_path / "o.mkv", MagnifyOptions(threads=1), stop=stop) as job:
        run = job.magnifier.engine.run

        def slow(*pair: object) -> object:
            stop.set()
            threading.Event().wait(0.5)
            return run(*pair)

        monkeypatch.setattr(job.magnifier.engine, "run", slow)
        report = job.run()
    assert report.interrupted
    assert report.frames > 1
