"""Suites × methods × items, in parallel, written down as they are done and never done twice.

``records.jsonl`` in the output folder holds one line for each (suite, item, method) with its rows. A run that
was killed loses what it was just doing; the same command does the rest. Quick and full runs share a folder
only where they ask the same of an item: the form is part of the key.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .suites import SUITES

__all__ = ["Task", "labelled", "open_tasks", "read_records", "run_tasks"]

RECORDS = "records.jsonl"
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One item of one suite, and the methods that have not been measured on it."""

    suite: str
    item: str
    methods: tuple[str, ...]
    judges: tuple[str, ...]
    quick: bool


def labelled(text: str) -> tuple[str, str]:
    """What heads a table's column, and the method meant: "ours=model:my.onnx" → ("ours", "model:my.onnx")."""
    label, separator, spec = text.partition("=")
    if not separator or not label or ":" in label:  # a command may hold any sign
        return text, text
    return label, spec


def _key(suite: str, item: str, method: str, judges: Sequence[str], quick: bool) -> tuple[Any, ...]:
    return suite, item, method, tuple(judges) if SUITES[suite].judged else (), quick


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """The records of a folder: {"suite", "item", "method", "judges", "quick", "rows"}; half a last line is passed over."""
    path = folder / RECORDS
    if path.is_file():
        for line in path.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:  # the run was killed while writing it
                continue


def open_tasks(
    folder: Path, suites: Iterable[str], methods: Sequence[str], judges: Sequence[str], quick: bool
) -> list[Task]:
    """What is still to be done for these suites and methods."""
    done = {_key(r["suite"], r["item"], r["method"], r["judges"], r["quick"]) for r in read_records(folder)}
    tasks = []
    for suite in suites:
        for item in SUITES[suite].items(quick):
            missing = tuple(m for m in methods if _key(suite, item, m, judges, quick) not in done)
            if missing:
                tasks.append(Task(suite, item, missing, tuple(judges), quick))
    return tasks


class _Worker:
    """What a process keeps between tasks: methods with their networks, and judges."""

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}
        self.judges: dict[str, Any] = {}

    def __call__(self, task: Task) -> list[tuple[str, list[Row]]]:
        from .estimators import estimator
        from .methods import method

        suite = SUITES[task.suite]
        if suite.judged:
            for name in task.judges:
                self.judges.setdefault(name, estimator(name))
        judges = {name: self.judges[name] for name in task.judges} if suite.judged else {}
        found = []
        for name in task.methods:
            if name not in self.methods:
                self.methods[name] = method(labelled(name)[1])
            rows = [
                {k: _plain(v) for k, v in row.items()}
                for row in suite.measure(task.item, self.methods[name], judges, task.quick)
            ]
            found.append((name, rows))
        return found


def _plain(value: Any) -> Any:
    """Numbers as JSON knows them: no NaN, and nothing beyond what is measured."""
    if isinstance(value, (float, np.floating)):
        return None if np.isnan(value) else float(f"{value:.7g}")
    return value


_worker = _Worker()


def _start(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _work(task: Task) -> tuple[Task, list[tuple[str, list[Row]]] | str]:
    try:
        return task, _worker(task)
    except Exception as error:  # the other items go on; the message goes to the parent
        return task, f"{type(error).__name__}: {error}"


def run_tasks(folder: Path, tasks: Sequence[Task], jobs: int = 1, tell: Callable[[str], None] | None = None) -> int:
    """Do the tasks and write their records; returns how many failed.

    Args:
        jobs: processes; each uses its share of the cores.
        tell: takes lines of progress; default stderr.
    """
    tell = tell or (lambda line: print(line, file=sys.stderr, flush=True))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RECORDS
    if path.is_file() and (text := path.read_bytes()) and not text.endswith(b"\n"):
        path.write_bytes(text[: text.rfind(b"\n") + 1])  # half a line of a killed run would spoil the next one
    failed, begun = 0, time.monotonic()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with path.open("a") as file, _pool(jobs, threads) as results:
        for number, (task, found) in enumerate(results(tasks), 1):
            if isinstance(found, str):
                failed += 1
                tell(f"{task.suite} {task.item}: {found}")
            else:
                for method, rows in found:
                    record = {
                        "suite": task.suite, "item": task.item, "method": method, "judges": list(task.judges),
                        "quick": task.quick, "rows": rows,
                    }  # fmt: skip
                    file.write(json.dumps(record) + "\n")
                file.flush()
            spent = time.monotonic() - begun
            left = spent / number * (len(tasks) - number)
            tell(f"{number}/{len(tasks)}  {task.suite} {task.item}  {spent / 60:.1f} min, about {left / 60:.1f} to go")
    return failed


class _pool:
    """An imap over processes, or over none: ``with _pool(2, 1) as results: for x in results(tasks): …``."""

    def __init__(self, jobs: int, threads: int) -> None:
        self.pool = None
        if jobs > 1:
            # spawned: a forked child inherits the locks of torch's and ONNX Runtime's threads
            context = multiprocessing.get_context("spawn")
            self.pool = context.Pool(jobs, initializer=_start, initargs=(threads,))

    def __enter__(self) -> Callable[[Sequence[Task]], Iterator[Any]]:
        return (
            (lambda tasks: map(_work, tasks))
            if self.pool is None
            else (lambda tasks: self.pool.imap_unordered(_work, tasks))
        )

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.terminate()
            self.pool.join()
