"""`python -m trainer evaluate`, from its words to its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
pytest.importorskip("matplotlib", reason="curves are matplotlib's")
from click.testing import CliRunner, Result
from test_evaluation import texture  # puts the repository on the path, too
from test_evaluation_runner import Toy, make_toy

from trainer.evaluation import estimators, runner, suites
from trainer.evaluation.command import evaluate
from trainer.evaluation.pairs import read_image


@pytest.fixture
def toy(monkeypatch) -> Toy:
    return make_toy(monkeypatch)


def run(out: Path, *words: str) -> Result:
    return CliRunner().invoke(evaluate, [*words, "-o", str(out), "--jobs", "1"])


def line(result: Result) -> str:
    """What a failure says: one line, by exit 1."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    (said,) = [text for text in result.output.splitlines() if text.startswith("Error: ")]
    return said


def records(out: Path) -> list[dict]:
    return list(runner.read_records(out))


def test_tables_json_and_curves(toy, tmp_path):
    out = tmp_path / "new/run"
    result = run(out, "toy", "-m", "copy", "-m", "mine=two", "--quick")
    assert result.exit_code == 0, result.output
    assert str(out / "report.md") in result.output
    table = "| px | copy | mine |\n|---|---|---|\n| 0 | 0.50 | 0.50 |\n| 1 | 1.50 | 1.50 |\n| 2 | 2.50 | 2.50 |\n"
    assert (out / "report.md").read_text() == (
        f"# Evaluation, quick form\n\n## A toy (2 items)\n\n### A value\n\n{table}\n![A value](toy-value.png)\n"
    )
    found = json.loads((out / "report.json").read_text())
    assert found["toy/value"]["rows"][1] == {"judge": "", "level": 1, "copy": 1.5, "mine": 1.5}
    picture = read_image(out / "toy-value.png")  # though a level of 0 fits on no logarithmic axis
    assert picture.shape == (450, 720, 3)
    assert picture.std() > 5
    toy.asked.clear()
    (out / "report.md").unlink()
    assert run(out, "toy", "-m", "copy", "-m", "mine=two", "--quick").exit_code == 0
    assert toy.asked == []
    assert (out / "report.md").is_file()


def test_curves_of_each_judge_whatever_the_names(toy, tmp_path, monkeypatch):
    for name in ("dis", "own"):
        monkeypatch.setitem(estimators.ESTIMATORS, name, lambda: None)
    monkeypatch.setattr(estimators, "network", lambda name: None)
    words = ("toy-judged", "-m", "a$b$c=copy", "--judge", "dis", "--judge", "own:some/where.pth")
    result = run(tmp_path, *words)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in tmp_path.glob("*.png")) == [
        "toy-judged-value-dis.png",
        "toy-judged-value-own-some-where.pth.png",
    ]
    assert "| own:some/where.pth | 2 | 3.00 |" in (tmp_path / "report.md").read_text()
    # What other judges said stays, and out of the report.
    assert run(tmp_path, *words[:5]).exit_code == 0
    assert "own" not in (tmp_path / "report.md").read_text()
    assert len(records(tmp_path)) == 6


def test_few_levels_make_no_curve(toy, tmp_path, monkeypatch):
    def two_levels(item, magnify, judges, quick):
        yield from ({"level": float(level), "judge": "", "value": 1.0} for level in (1, 2))

    monkeypatch.setattr(toy, "measure", two_levels)
    monkeypatch.setitem(suites.SUITES, "toy", toy.suite("toy", False))
    assert run(tmp_path, "toy", "-m", "copy").exit_code == 0
    assert not list(tmp_path.glob("*.png"))
    assert "| 2 | 1.00 |" in (tmp_path / "report.md").read_text()


def test_page_is_filled(toy, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- table: toy/value -->\n<!-- end -->\n<!-- table: real/motion-mean -->\n<!-- end -->\n")
    result = run(tmp_path / "run", "toy", "-m", "copy", "--into", str(page))
    assert result.exit_code == 0, result.output
    assert "| 2 | 3.00 |" in page.read_text()
    assert "page.md: 1 tables; not measured: real/motion-mean" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("toy", "toys"), "Unknown suite 'toys'; known: real, "),
        (("toy", "-m", "copy", "-m", "nothing"), "Unknown method 'nothing'; known: "),
        (("toy", "-m", "copy", "-m", "model:no-such-model.onnx"), "no-such-model.onnx: no such model file"),
        (("toy", "-m", "copy", "-m", "model"), "model:NAME"),
        (("toy", "-m", "copy", "-m", "warp-nearest:pwc"), "Unknown flow estimator 'pwc'"),
        (("toy", "-m", "copy", "-m", "command:prog"), "lacks {in} and {out}"),
        (("toy", "-m", "a=copy", "-m", "a=two"), "Two methods are called 'a'"),
        (("toy-judged", "-m", "copy", "--judge", "pwc"), "Unknown flow estimator 'pwc'"),
    ],
)
def test_what_cannot_be_meant_ends_before_the_first_item(toy, tmp_path, words, message):
    result = run(tmp_path, *words)
    assert message in line(result)
    assert result.output.count("\n") == 1
    assert toy.asked == []


def test_asked_twice_is_asked_once(toy, tmp_path):
    assert run(tmp_path, "toy", "toy", "-m", "copy", "-m", "copy").exit_code == 0
    assert len(records(tmp_path)) == len(toy.asked) == 3


def test_failing_items_are_told_and_the_same_command_tries_them_again(toy, tmp_path):
    toy.broken.add("b")
    result = run(tmp_path, "toy", "-m", "copy")
    assert line(result) == "Error: 1 of 3 items failed; the same command tries them again."
    assert "toy b copy: RuntimeError: b is broken" in result.output
    assert "(2 items)" in (tmp_path / "report.md").read_text()
    toy.broken.clear()
    assert run(tmp_path, "toy", "-m", "copy").exit_code == 0
    assert "(3 items)" in (tmp_path / "report.md").read_text()


def test_ctrl_c_is_said_in_a_line(toy, tmp_path, monkeypatch):
    measure = toy.measure

    def interrupted(item, *rest):
        if item == "b":
            raise KeyboardInterrupt
        return measure(item, *rest)

    monkeypatch.setattr(toy, "measure", interrupted)
    monkeypatch.setitem(suites.SUITES, "toy", toy.suite("toy", False))
    result = run(tmp_path, "toy", "-m", "copy")
    assert result.exit_code == 130
    assert result.output.splitlines()[1:] == ["Stopped. What is done is kept; the same command goes on."]
    assert [r["item"] for r in records(tmp_path)] == ["a"]


def test_all_is_every_suite(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "SUITES", {name: suites.SUITES[name] for name in ("toy", "toy-judged")})
    monkeypatch.setattr(runner, "SUITES", suites.SUITES)
    assert run(tmp_path, "all", "-m", "copy", "--quick", "--judge", "dis").exit_code == 0
    assert [(r["suite"], r["item"]) for r in records(tmp_path)] == [
        (suite, item) for suite in ("toy", "toy-judged") for item in "ab"
    ]


def test_a_real_suite_of_the_copy(tmp_path, monkeypatch):
    """Nothing moves, on generated photographs: what copying scores is exact."""
    monkeypatch.setattr(suites, "photographs", lambda count: [texture(n) for n in range(2)])
    monkeypatch.setattr(suites, "COUNTS", suites.COUNTS | {"photos": (2, 2)})
    suites._photos.cache_clear()
    try:
        result = run(tmp_path, "still", "-m", "copy")
    finally:
        suites._photos.cache_clear()
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["still/noise"]["rows"] == [{"judge": "", "level": level, "copy": 0} for level in (10, 20)]
    assert [row["copy"] for row in found["still/registered"]["rows"]] == pytest.approx([0, 0], abs=1e-6)
    assert "still/applied" not in found  # it does not say
    assert np.isfinite(found["still/registered"]["rows"][0]["copy"])
