"""What is measured is written down, once, whatever happens to the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
from test_evaluation import flat  # puts the repository on the path, too

from trainer.evaluation import methods, runner
from trainer.evaluation.estimators import SHARED
from trainer.evaluation.suites import COUNTS, SUITES, Suite

needs_photographs = pytest.mark.skipif(
    not (SHARED / "data/eval/pairs").is_dir(), reason=f"needs the project's data in {SHARED} (or MAGFILTER_SHARED)"
)


class Toy:
    """Suites "toy" and "toy-judged" of three items, two in the quick form: a row for each of three levels.

    ``asked`` is what was measured; items in ``broken`` fail.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.broken: set[str] = set()

    def measure(self, item: str, magnify: methods.Method, judges: dict, quick: bool) -> Iterator[dict]:
        self.asked.append((item, int(magnify(flat(0), flat(1), 4.0)[0, 0, 0])))
        if item in self.broken:
            raise RuntimeError(f"{item} is broken")
        for level in (0.0, 1.0, 2.0):
            for judge in judges or ("",):
                value = float(ord(item)) - 97 + level
                yield {"level": level, "judge": judge, "value": value, "never": float("nan")}

    def suite(self, name: str, judged: bool) -> Suite:
        tables = (("value", "A value", "mean", 2), ("never", "Never there", "mean", 1))
        return Suite(
            name, "A toy", "px", lambda quick: ["a", "b"] if quick else ["a", "b", "c"], self.measure, tables, judged
        )


def make_toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy suites among the others, with methods: copy shows 1, "two" 2, "broken" fails."""

    def broken(reference, frame, alpha):
        raise RuntimeError("no picture")

    made = Toy()
    for name, judged in (("toy", False), ("toy-judged", True)):
        monkeypatch.setitem(SUITES, name, made.suite(name, judged))
    monkeypatch.setitem(methods.METHODS, "two", lambda _: lambda reference, frame, alpha: frame * 2)
    monkeypatch.setitem(methods.METHODS, "broken", lambda _: broken)
    monkeypatch.setattr(runner, "_worker", runner._Worker())  # which keeps methods by name
    return made


@pytest.fixture
def toy(monkeypatch) -> Toy:
    return make_toy(monkeypatch)


def run(folder: Path, *names: str, quick: bool = False, judges: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """Failures, and what was told, of suite "toy" with these methods; with judges of "toy-judged"."""
    told: list[str] = []
    tasks = runner.open_tasks(folder, ["toy-judged" if judges else "toy"], names, judges, quick)
    return runner.run_tasks(folder, tasks, tell=told.append), told


def lines(folder: Path) -> list[str]:
    return (folder / "records.jsonl").read_text().splitlines()


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "label", "spec"),
    [
        ("copy", "copy", "copy"),
        ("ours=model:my.onnx", "ours", "model:my.onnx"),
        ("ours=model:a=b.onnx", "ours", "model:a=b.onnx"),
        ("model:a=b.onnx", "model:a=b.onnx", "model:a=b.onnx"),
        ("command:prog {in} {out} --x={alpha}", *["command:prog {in} {out} --x={alpha}"] * 2),
        ("theirs=command:prog {in} {out} --x={alpha}", "theirs", "command:prog {in} {out} --x={alpha}"),
        ("=copy", "=copy", "=copy"),
    ],
)
def test_labelled(text, label, spec):
    assert runner.labelled(text) == (label, spec)


# --- records --------------------------------------------------------------------------------------


def test_a_record_for_each_item_and_method(toy, tmp_path):
    failed, told = run(tmp_path / "new", "copy", "second=two")
    assert failed == 0
    records = list(runner.read_records(tmp_path / "new"))
    assert [(r["item"], r["method"]) for r in records] == [(i, m) for i in "abc" for m in ("copy", "second=two")]
    assert records[2] == {
        "suite": "toy", "item": "b", "method": "copy", "judges": [], "quick": False,
        "rows": [{"level": x, "judge": "", "value": 1 + x, "never": None} for x in (0, 1, 2)],
    }  # fmt: skip
    assert toy.asked == [(i, shown) for i in "abc" for shown in (1, 2)]
    assert [line.split("  ")[:2] for line in told] == [[f"{n}/3", f"toy {i}"] for n, i in enumerate("abc", 1)]


def test_what_is_there_is_not_done_again(toy, tmp_path):
    run(tmp_path, "copy")
    toy.asked.clear()
    assert run(tmp_path, "copy") == (0, [])
    assert toy.asked == []
    run(tmp_path, "copy", "two")  # a method later
    assert toy.asked == [("a", 2), ("b", 2), ("c", 2)]
    assert len(lines(tmp_path)) == 6


@pytest.mark.parametrize("cut", [1, 30])
def test_killed_in_the_middle_of_a_line(toy, tmp_path, cut):
    """Whether its end alone is missing, or more of it: the item is done again, the others are not."""
    run(tmp_path, "copy")
    whole = (tmp_path / "records.jsonl").read_bytes()
    (tmp_path / "records.jsonl").write_bytes(whole[:-cut])
    assert [r["item"] for r in runner.read_records(tmp_path)] == ["a", "b"]
    toy.asked.clear()
    assert run(tmp_path, "copy")[0] == 0
    assert toy.asked == [("c", 1)]
    assert (tmp_path / "records.jsonl").read_bytes() == whole


def test_a_failing_item_is_told_and_tried_again(toy, tmp_path):
    toy.broken.add("b")
    failed, told = run(tmp_path, "copy")
    assert failed == 1
    assert told[1] == "toy b copy: RuntimeError: b is broken"
    assert [r["item"] for r in runner.read_records(tmp_path)] == ["a", "c"]
    toy.broken.clear()
    toy.asked.clear()
    assert run(tmp_path, "copy")[0] == 0
    assert toy.asked == [("b", 1)]


def test_a_failing_method_does_not_take_the_others_along(toy, tmp_path):
    failed, told = run(tmp_path, "broken", "copy", "unheard-of")
    assert failed == 3
    assert [r["method"] for r in runner.read_records(tmp_path)] == ["copy"] * 3
    assert told[0] == "toy a broken: RuntimeError: no picture"
    assert told[1].startswith("toy a unheard-of: ValueError: Unknown method")


def test_forms_and_judges_are_questions_of_their_own(toy, tmp_path, monkeypatch):
    from trainer.evaluation import estimators

    for name in ("one", "two"):
        monkeypatch.setitem(estimators.ESTIMATORS, name, lambda: None)
    run(tmp_path, "copy", judges=("one",))
    run(tmp_path, "copy", quick=True, judges=("one",))
    run(tmp_path, "copy", judges=("one", "two"))
    run(tmp_path, "copy")
    assert len(toy.asked) == 3 + 2 + 3 + 3

    def found(suite: str, quick: bool, judges: tuple[str, ...]) -> list[tuple[str, set[str]]]:
        records = runner.records_of(tmp_path, [suite], ["copy"], judges, quick)
        return [(r["item"], {row["judge"] for row in r["rows"]}) for r in records]

    assert found("toy-judged", False, ("one",)) == [(i, {"one"}) for i in "abc"]
    assert found("toy-judged", True, ("one",)) == [(i, {"one"}) for i in "ab"]
    assert found("toy-judged", False, ("one", "two")) == [(i, {"one", "two"}) for i in "abc"]
    assert found("toy", False, ("two",)) == [(i, {""}) for i in "abc"]  # it does not ask them
    assert found("toy", True, ()) == []
    assert runner.open_tasks(tmp_path, ["toy"], ["copy"], ("two",), False) == []


def test_records_of_suites_that_are_gone_are_passed_over(toy, tmp_path):
    run(tmp_path, "copy")
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write(json.dumps({"suite": "gone", "item": "a", "method": "copy", "judges": [], "quick": False}) + "\n")
    assert len(list(runner.read_records(tmp_path))) == 3
    assert runner.open_tasks(tmp_path, ["toy"], ["copy"], (), False) == []


def test_numbers_as_json_knows_them():
    plain = [runner._plain(v) for v in (float("nan"), np.float32("nan"), np.inf, -np.inf, np.float32(0.1), np.int64(3))]
    assert plain == [None, None, "inf", "-inf", 0.1, 3]
    assert runner._plain(1 / 3) == 0.3333333
    assert [runner._plain(v) for v in ("text", 7, None)] == ["text", 7, None]
    json.dumps(plain, allow_nan=False)


# --- processes ------------------------------------------------------------------------------------


def test_a_pool_gives_what_is_done_and_says_when_a_process_dies():
    with runner._pool(2, 1) as results:
        assert sorted(results(abs, [-1, -2, 3])) == [1, 2, 3]
        with pytest.raises(BrokenProcessPool):
            list(results(os._exit, [3]))
    with runner._pool(1, 1) as results:
        assert list(results(abs, [-1, -2])) == [1, 2]


def test_a_dead_process_ends_the_run_with_a_line(toy, tmp_path, monkeypatch):
    @contextmanager
    def dying(jobs, threads):
        def results(function, items):
            yield function(items[0])
            raise BrokenProcessPool

        yield results

    monkeypatch.setattr(runner, "_pool", dying)
    failed, told = run(tmp_path, "copy")
    assert failed == 2
    assert "memory" in told[-1]
    assert len(lines(tmp_path)) == 1


@needs_photographs
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_all_processes_at_once_and_keeps_what_is_done(tmp_path):
    words = ["evaluate", "noise", "-m", "copy", "--quick", "--jobs", "2", "-o", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", *words], cwd=Path(__file__).parents[1], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a script's background job has it ignored
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not ((tmp_path / "records.jsonl").is_file() and lines(tmp_path)):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        _, told = process.communicate(timeout=20)  # which waits for whoever holds stderr: the workers
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 130
    *progress, last = told.splitlines()
    assert last == "Stopped. What is done is kept; the same command goes on."
    count = COUNTS["scenes"][1]
    assert all(f"/{count}  noise " in line for line in progress)
    done = [record["item"] for record in runner.read_records(tmp_path)]
    left = [task.item for task in runner.open_tasks(tmp_path, ["noise"], ["copy"], (), True)]
    assert len(progress) <= len(done) < count
    assert sorted(done + left, key=int) == [str(n) for n in range(count)]
