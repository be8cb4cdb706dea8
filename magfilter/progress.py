"""Progress on stderr: a bar where a person watches, a line now and then where a log does."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import TextIO

from magfilter.printable import printable
from magfilter.report import Progress, Report

__all__ = ["ProgressPrinter"]

BAR_EVERY = 0.1  # seconds
LINE_EVERY = 10.0  # seconds
WIDEST_BAR = 40  # columns
NARROWEST_BAR = 10


def clock(seconds: float) -> str:
    """0:07, 12:34 or 1:02:03."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


class ProgressPrinter:
    """Prints progress, warnings and the closing line.

    Args:
        stream: where to; stdout belongs to media.
        quiet: print nothing. verbose: say where time went.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False, verbose: bool = False) -> None:
        self._stream, self._quiet, self._verbose = stream, quiet, verbose
        self._terminal = stream.isatty()
        self._said = time.monotonic()
        self._bar = False
        self._warned: set[str] = set()

    def line(self, text: str) -> None:
        """Print a line of its own, or several, above the bar."""
        if self._quiet:
            return
        self.clear()
        self._write("\n".join(map(printable, text.split("\n"))) + "\n")

    def warn(self, warnings: Iterable[str]) -> None:
        """Print those warnings that were not printed before."""
        for warning in warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self.line(printable(f"magfilter: warning: {warning}"))

    def update(self, progress: Progress) -> None:
        """Show how far the job is, if it is time to."""
        now = time.monotonic()
        if self._quiet or now - self._said < (BAR_EVERY if self._terminal else LINE_EVERY):
            return
        self._said = now
        text = self.describe(progress)
        if not self._terminal:
            self._write(text + "\n")
            return
        width = self._columns() - 1  # the last column would wrap
        room = min(WIDEST_BAR, width - len(text) - 3)
        if progress.expected and room >= NARROWEST_BAR:
            share = min(1.0, progress.frames / progress.expected)
            text = "[" + ("#" * round(share * room)).ljust(room, "-") + "] " + text
        self._write("\r" + text[:width].ljust(width))
        self._bar = True

    @staticmethod
    def describe(progress: Progress) -> str:
        """frame 120/300  40%  8.1 fps  ETA 0:22"""
        rate = progress.frames / max(progress.seconds, 1e-6)
        if not progress.expected:
            return f"frame {progress.frames}  {rate:.1f} fps"
        left = max(0, progress.expected - progress.frames) / max(rate, 1e-6)
        share = min(1.0, progress.frames / progress.expected)
        return f"frame {progress.frames}/{progress.expected}  {share:.0%}  {rate:.1f} fps  ETA {clock(left)}"

    def finish(self, report: Report) -> None:
        """Warnings and the closing line."""
        self.warn(report.warnings)
        if report.interrupted and not report.frames:
            self.line("stopped before the first frame; nothing was written")
            return
        rate = report.frames / max(report.seconds, 1e-6)
        text = f"{report.frames} frames in {clock(report.seconds)} ({rate:.1f} fps)"
        if report.references > 1:
            text += f", {report.references} references"
        if report.interrupted:
            text += ", stopped early"
        self.line(text)
        if self._verbose:
            self.line("work: " + ", ".join(f"{name} {spent:.1f} s" for name, spent in report.stages.items()))

    def clear(self) -> None:
        """Wipe the bar away, so that something else can be printed."""
        if self._bar:
            self._write("\r" + " " * (self._columns() - 1) + "\r")
            self._bar = False

    def _columns(self) -> int:
        # Of the terminal that is written to: shutil asks about stdout, which may be a pipe of media.
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _write(self, text: str) -> None:
        # A log that nobody reads any more (2>&1 | head) is no reason to lose the job.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
