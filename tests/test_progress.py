"""Progress: a bar on a terminal, lines in a log, silence when asked for."""

from __future__ import annotations

import io
import os
import re

import pytest

from magfilter import Progress, Report
from magfilter.progress import ProgressPrinter, clock


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture
def now(monkeypatch):
    """A clock that the test turns."""
    time = [0.0]
    monkeypatch.setattr("magfilter.progress.time.monotonic", lambda: time[0])
    return time


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(120, 300, 15.0, 4.8), "frame 120/300  40%  8.0 fps  ETA 0:22"),
        (Progress(120, None, 15.0, 4.8), "frame 120  8.0 fps"),
        (Progress(310, 300, 10.0, None), "frame 310/300  100%  31.0 fps  ETA 0:00"),
        (Progress(1, 2, 0.0, None), "frame 1/2  50%  1000000.0 fps  ETA 0:00"),
    ],
)
def test_what_it_says(progress, text):
    assert ProgressPrinter.describe(progress) == text


def test_bar_on_a_terminal(now):
    stream = Terminal()
    printer = ProgressPrinter(stream)
    now[0] = 1
    printer.update(Progress(120, 300, 15.0, 4.8))
    now[0] = 1.05  # too soon
    printer.update(Progress(121, 300, 15.0, 4.8))
    text = stream.getvalue()
    assert text.startswith("\r[###")
    assert "8.0 fps  ETA 0:22" in text
    assert "121" not in text
    assert "\n" not in text
    assert text.count("#") / text.count("-") == pytest.approx(120 / 180, rel=0.1)
    printer.finish(Report(frames=300, seconds=30, references=2, warnings=["subtitles are left out"]))
    rest = stream.getvalue()[len(text) :]
    assert re.fullmatch(
        r"\r +\rmagfilter: warning: subtitles are left out\n300 frames in 0:30 \(10\.0 fps\), 2 references\n", rest
    )


@pytest.mark.parametrize("columns", [20, 50, 200])
def test_bar_never_wraps(now, monkeypatch, columns):
    monkeypatch.setattr(Terminal, "fileno", lambda self: 2)
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((columns, 24)))
    stream = Terminal()
    printer = ProgressPrinter(stream)
    now[0] = 1
    printer.update(Progress(120, 300, 15.0, 4.8))
    assert len(stream.getvalue()) == columns  # the carriage return, and one column less than there are


def test_lines_in_a_log(now):
    stream = io.StringIO()
    printer = ProgressPrinter(stream)
    for second in range(25):
        now[0] = second
        printer.update(Progress(second * 8, 300, float(second), None))
    assert stream.getvalue() == "frame 80/300  27%  8.0 fps  ETA 0:28\nframe 160/300  53%  8.0 fps  ETA 0:18\n"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet(now, stream):
    printer = ProgressPrinter(stream, quiet=True, verbose=True)
    now[0] = 100
    printer.update(Progress(1, 2, 3.0, None))
    printer.line("hello")
    printer.warn(["something"])
    printer.finish(Report(frames=2, warnings=["something"]))
    printer.clear()
    assert stream.getvalue() == ""


def test_warnings_are_said_once():
    stream = io.StringIO()
    printer = ProgressPrinter(stream)
    printer.warn(["one"])
    printer.finish(Report(frames=3, seconds=1, warnings=["one", "two"]))
    assert stream.getvalue() == "magfilter: warning: one\nmagfilter: warning: two\n3 frames in 0:01 (3.0 fps)\n"


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (Report(frames=5, seconds=1, interrupted=True), "5 frames in 0:01 (5.0 fps), stopped early\n"),
        (Report(interrupted=True), "stopped before the first frame; nothing was written\n"),
    ],
)
def test_stopped(report, text):
    stream = io.StringIO()
    ProgressPrinter(stream).finish(report)
    assert stream.getvalue() == text


def test_verbose_says_where_time_went():
    stream = io.StringIO()
    report = Report(frames=5, seconds=1, stages={"decode": 0.25, "encode": 1.0})
    ProgressPrinter(stream, verbose=True).finish(report)
    assert stream.getvalue().endswith("work: decode 0.2 s, encode 1.0 s\n")


def test_a_log_that_nobody_reads_is_no_failure(now):
    printer = ProgressPrinter(Closed())
    now[0] = 100
    printer.update(Progress(1, 2, 3.0, None))
    printer.finish(Report(frames=2))
