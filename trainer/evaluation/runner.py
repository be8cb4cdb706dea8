"""Suites × methods × items, in parallel, written down as they are done and never done twice.

``records.jsonl`` in the output folder holds one line for each (suite, item, method) with its rows. A run that
was killed loses what it was just doing; the same command does the rest. Quick and full runs, and runs with
other judges, share a folder only where they ask the same of an item: both are part of the key.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .suites import SUITES

__all__ = ["Task", "labelled", "open_tasks", "read_records", "records_of", "run_tasks"]

RECORDS = "records.jsonl"
Row = dict[str, Any]
Record = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One item of one suite, and the methods that have not been measured on it."""

    suite: str
    item: str
    methods: tuple[str, ...]
    judges: tuple[str, ...]
    quick: bool


@dataclass(frozen=True)
class Done:
    """What came of a task: the rows of each method that went well, and a line for each that did not."""

    task: Task
    found: tuple[tuple[str, list[Row]], ...] = ()
    problems: tuple[str, ...] = ()


def labelled(text: str) -> tuple[str, str]:
    """What heads a table's column, and the method meant: "ours=model:my.onnx" → ("ours", "model:my.onnx")."""
    label, separator, spec = text.partition("=")
    if not separator or not label or ":" in label:  # a command may hold any sign
        return text, text
    return label, spec


def _key(suite: str, item: str, method: str, judges: Sequence[str], quick: bool) -> tuple[Any, ...]:
    return suite, item, method, tuple(judges) if SUITES[suite].judged else (), quick


def _key_of(record: Record) -> tuple[Any, ...]:
    return _key(*(record[name] for name in ("suite", "item", "method", "judges", "quick")))


def read_records(folder: Path) -> Iterator[Record]:
    """The records of a folder: {"suite", "item", "method", "judges", "quick", "rows"}, of suites that there are.

    A last line without its end is passed over: the run was killed while writing it.
    """
    path = folder / RECORDS
    if path.is_file():
        for line in path.read_text("utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:  # damaged: it is measured again
                    continue
                if record["suite"] in SUITES:
                    yield record


def open_tasks(
    folder: Path, suites: Iterable[str], methods: Sequence[str], judges: Sequence[str], quick: bool
) -> list[Task]:
    """What is still to be done for these suites and methods."""
    done = {_key_of(record) for record in read_records(folder)}
    tasks = []
    for suite in suites:
        for item in SUITES[suite].items(quick):
            missing = tuple(m for m in methods if _key(suite, item, m, judges, quick) not in done)
            if missing:
                tasks.append(Task(suite, item, missing, tuple(judges), quick))
    return tasks


def records_of(
    folder: Path, suites: Iterable[str], methods: Sequence[str], judges: Sequence[str], quick: bool
) -> list[Record]:
    """The records that answer just this, each once: a folder may hold other forms and judges beside them."""
    wanted = {_key(s, item, m, judges, quick) for s in suites for item in SUITES[s].items(quick) for m in methods}
    found = {_key_of(record): record for record in read_records(folder)}
    return [record for key, record in found.items() if key in wanted]


# --- in a worker ----------------------------------------------------------------------------------


class _Worker:
    """What a process keeps between tasks: methods with their networks, and judges."""

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}
        self.judges: dict[str, Any] = {}

    def measure(self, task: Task, name: str) -> list[Row]:
        """The rows of one method."""
        from .estimators import estimator
        from .methods import method

        suite = SUITES[task.suite]
        judges = {}
        for judge in task.judges if suite.judged else ():
            if judge not in self.judges:
                self.judges[judge] = estimator(judge)
            judges[judge] = self.judges[judge]
        if name not in self.methods:
            self.methods[name] = method(labelled(name)[1])
        rows = suite.measure(task.item, self.methods[name], judges, task.quick)
        return [{key: _plain(value) for key, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    """Numbers as JSON knows them: NaN is null, infinite is text, and no digits go beyond what is measured."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if np.isnan(value):
            return None
        return str(value) if np.isinf(value) else float(f"{value:.7g}")
    return value


_worker = _Worker()


def _work(task: Task) -> Done:
    found, problems = [], []
    for name in task.methods:
        try:
            found.append((name, _worker.measure(task, name)))
        except Exception as error:  # other methods and items go on; the message goes to the parent
            problems.append(f"{task.suite} {task.item} {name}: {type(error).__name__}: {error}")
    return Done(task, tuple(found), tuple(problems))


def _start(threads: int) -> None:
    """Make a worker of this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to hear, which ends its workers
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()

    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)  # the parent was killed: nobody waits for this task


# --- in the parent --------------------------------------------------------------------------------


@contextmanager
def _pool(jobs: int, threads: int) -> Iterator[Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]]:
    """A ``map`` whose results come as they are done, over so many processes; with one, over none.

    Leaving by an exception (Ctrl-C is one) ends the processes at once. A process that dies raises
    BrokenProcessPool, after the results that there are.
    """
    if jobs == 1:
        yield map
        return
    others = multiprocessing.active_children()
    # Spawned: a forked child inherits the locks of torch's and ONNX Runtime's threads.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(threads,))

    def results(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        with _deaf():
            waiting = [executor.submit(function, item) for item in items]
        broken = None
        for future in as_completed(waiting):
            if isinstance(error := future.exception(), BrokenProcessPool):
                broken = error
            else:
                yield future.result()
        if broken is not None:
            raise broken

    try:
        yield results
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        raise
    executor.shutdown()


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started herein do not hear Ctrl-C before :func:`_start`; here it comes afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_tasks(folder: Path, tasks: Sequence[Task], jobs: int = 1, tell: Callable[[str], None] | None = None) -> int:
    """Do the tasks and write their records; returns how many failed, wholly or for some method.

    Args:
        jobs: processes; each uses its share of the cores.
        tell: takes lines of progress; default stderr.
    """
    tell = tell or (lambda line: print(line, file=sys.stderr, flush=True))
    folder.mkdir(parents=True, exist_ok=True)
    _drop_half_a_line(folder / RECORDS)
    well, number, begun = 0, 0, time.monotonic()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    try:
        with (folder / RECORDS).open("a", encoding="utf-8") as file, _pool(jobs, threads) as results:
            for done in results(_work, tasks):
                task, number, well = done.task, number + 1, well + (not done.problems)
                for method, rows in done.found:
                    record = {
                        "suite": task.suite, "item": task.item, "method": method, "judges": list(task.judges),
                        "quick": task.quick, "rows": rows,
                    }  # fmt: skip
                    file.write(json.dumps(record, allow_nan=False) + "\n")
                file.flush()
                for problem in done.problems:
                    tell(problem)
                spent = time.monotonic() - begun
                left = spent / number * (len(tasks) - number)
                about = f"{spent / 60:.1f} min, about {left / 60:.1f} to go"
                tell(f"{number}/{len(tasks)}  {task.suite} {task.item}  {about}")
    except BrokenProcessPool:
        tell("A process died, perhaps for want of memory: try fewer --jobs")
    return len(tasks) - well


def _drop_half_a_line(path: Path) -> None:
    """What a killed run wrote last would spoil the next line."""
    if path.is_file() and (text := path.read_bytes()) and not text.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(text.rfind(b"\n") + 1)
