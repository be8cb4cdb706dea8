"""A fixed time for a list of measurements, the important ones first, and what there is written down after each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Budget", "Entry", "Record", "Unavailable", "work_through"]


class Unavailable(Exception):
    """Something is not installed, or does not start; the text says what."""


class Budget:
    """Time by the wall.

    Args:
        seconds: in all, from now on.
        clock: seconds from anywhere, for tests.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self._end - self._clock()


@dataclass(frozen=True)
class Entry:
    """One measurement.

    Attributes:
        group: the table its row goes into; name: of the row.
        seconds: what it takes, estimated on the safe side: it is not begun with less left.
        measure: gives the rows' figures, a row or several.
    """

    group: str
    name: str
    seconds: float
    measure: Callable[[], dict[str, Any] | list[dict[str, Any]]]


class Record:
    """What was found so far, as JSON and Markdown of one name, written anew after every row.

    Args:
        path: of both files, without their endings.
        about: facts that stand first.
        as_markdown: the text of what is in `content`.
    """

    def __init__(self, path: Path, about: dict[str, Any], as_markdown: Callable[[dict[str, Any]], str]) -> None:
        self.path, self._as_markdown = path, as_markdown
        self.content: dict[str, Any] = {"about": about, "rows": [], "open": []}
        self._lock = threading.Lock()

    def add(self, group: str, name: str, figures: dict[str, Any]) -> None:
        """A row that was measured."""
        with self._lock:
            self.content["rows"].append({"group": group, "row": name, **figures})
            self._write()

    def leave_open(self, name: str, why: str) -> None:
        """A row that was not."""
        with self._lock:
            self.content["open"].append({"row": name, "why": " ".join(why.split())})
            self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for ending, text in (
            (".json", json.dumps(self.content, indent=1, ensure_ascii=False)),
            (".md", self._as_markdown(self.content)),
        ):
            part = self.path.with_name(self.path.name + ending + ".part")
            part.write_text(text + "\n")
            part.replace(self.path.with_name(self.path.name + ending))


def work_through(
    entries: list[Entry], budget: Budget, record: Record, say: Callable[[str], None] = lambda text: None
) -> None:
    """Measure one entry after the other, as far as the time goes; what fails is recorded, and the next has its turn.

    Args:
        say: told what comes next.
    """
    for entry in entries:
        if budget.left < entry.seconds:
            record.leave_open(entry.name, f"not begun: {max(0, budget.left):.0f} s left, it may take {entry.seconds:g}")
            continue
        say(f"{entry.name} ({budget.left:.0f} s left)")
        try:
            rows = entry.measure()
        except Unavailable as error:
            record.leave_open(entry.name, str(error))
            continue
        except Exception as error:  # whatever a library raises must not cost the rows after it: the machine is lent
            record.leave_open(entry.name, f"{type(error).__name__}: {error}")
            continue
        for row in [rows] if isinstance(rows, dict) else rows:
            record.add(entry.group, entry.name, row)
