"""Records become tables, tables become Markdown, JSON, curves and the blocks of a page."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
import test_evaluation  # noqa: F401  puts the repository on the path

from trainer.evaluation import report
from trainer.evaluation.suites import SUITES, Suite


@pytest.fixture(autouse=True)
def suite(monkeypatch) -> Suite:
    """One value by mean and by median, one by mean alone, and one that nobody measures."""
    tables = (
        ("error", "Error, px", "mean", 3),
        ("error", "Error, px, median", "median", 1),
        ("psnr", "PSNR, dB", "mean", 1),
        ("never", "Never there", "mean", 1),
    )
    made = Suite("toy", "A toy", "motion, px", lambda quick: [], lambda *_: iter(()), tables, judged=True)
    monkeypatch.setitem(SUITES, "toy", made)
    return made


def record(item: str, method: str, *rows: dict, suite: str = "toy") -> dict:
    return {"suite": suite, "item": item, "method": method, "judges": [], "quick": False, "rows": list(rows)}


def row(level: float, judge: str = "", **values) -> dict:
    return {"level": level, "judge": judge, **values}


def judged() -> list[dict]:
    """Errors of two methods on three items by two judges at two levels; "ours" lacks one of them."""
    records = []
    for item, error in (("a", 1.0), ("b", 2.0), ("c", 6.0)):
        for method, factor in (("copy", 10), ("ours=model:my.onnx", 1)):
            rows = [row(level, judge, error=error * factor, never=None) for level in (2.0, 0.5) for judge in ("s", "d")]
            if method != "copy":
                rows = [r for r in rows if (r["judge"], r["level"]) != ("s", 2.0)]
            records.append(record(item, method, *rows))
    return records


METHODS = ("copy", "ours=model:my.onnx")


# --- tables ---------------------------------------------------------------------------------------


def test_table_in_markdown():
    mean, median = report.tables(judged(), METHODS)
    assert mean.markdown() == (
        "| measured with | motion, px | copy | ours |\n"
        "|---|---|---|---|\n"
        "| d | 0.5 | 30.000 | 3.000 |\n"
        "| d | 2 | 30.000 | 3.000 |\n"
        "| s | 0.5 | 30.000 | 3.000 |\n"
        "| s | 2 | 30.000 | – |\n"
    )
    assert median.markdown().splitlines()[2] == "| d | 0.5 | 20.0 | 2.0 |"
    assert [(t.name, t.heading, t.items) for t in (mean, median)] == [
        ("toy/error-mean", "Error, px", 3),
        ("toy/error-median", "Error, px, median", 3),
    ]


def test_table_without_judges_has_no_column_for_them():
    (table,) = report.tables([record("a", "copy", row(0.25, psnr=30.0), row(0.1, psnr="inf"))], ["copy"])
    assert table.name == "toy/psnr"  # shown by one statistic
    assert table.markdown() == "| motion, px | copy |\n|---|---|\n| 0.1 | inf |\n| 0.25 | 30.0 |\n"


def test_columns_are_the_methods_asked_for_in_their_order():
    made = report.tables(judged(), METHODS[::-1])
    assert made[0].methods == ("ours", "copy")
    assert made[0].rows[0] == ("d", 0.5, (3.0, 30.0))
    assert report.tables(judged(), ["ours=model:my.onnx"])[0].methods == ("ours",)
    assert report.tables(judged(), ["phase"]) == []
    assert report.tables(judged(), METHODS, names=["real"]) == []
    assert report.tables([record("a", "copy", row(1, psnr=3.0), suite="still")], ["copy"]) == []  # not its value


def test_a_sign_that_parts_cells_does_not():
    (table,) = report.tables([record("a", "command:x | y", row(1, psnr=3.0))], ["command:x | y"])
    assert table.markdown().splitlines()[0] == r"| motion, px | command:x \| y |"


def test_nothing_but_what_is_measured_counts():
    records = [record("a", "copy", row(1, psnr=10.0)), record("b", "copy", row(1, psnr=None)), record("c", "copy")]
    (table,) = report.tables(records, ["copy", "ours"])
    assert table.rows == (("", 1, (10.0, None)),)


# --- curves and JSON ------------------------------------------------------------------------------


def test_series_are_the_finite_numbers_of_each_judge():
    curves = report.series(report.tables(judged(), METHODS)[0])
    assert curves == {
        "d": {"copy": ([0.5, 2.0], [30.0, 30.0]), "ours": ([0.5, 2.0], [3.0, 3.0])},
        "s": {"copy": ([0.5, 2.0], [30.0, 30.0]), "ours": ([0.5], [3.0])},
    }
    (table,) = report.tables([record("a", "copy", row(1, psnr="inf"), row(2, psnr=3.0))], ["copy"])
    assert report.series(table) == {"": {"copy": ([2], [3.0])}}


def test_json_is_json():
    records = [*judged(), record("a", "copy", row(1, psnr="inf"))]
    found = json.loads(json.dumps(report.as_json(report.tables(records, METHODS)), allow_nan=False))
    assert list(found) == ["toy/error-mean", "toy/error-median", "toy/psnr"]
    assert found["toy/error-mean"]["heading"] == "Error, px"
    assert found["toy/error-mean"]["items"] == 3
    assert found["toy/error-mean"]["rows"][3] == {"judge": "s", "level": 2, "copy": 30, "ours": None}
    assert found["toy/psnr"]["rows"] == [{"judge": "", "level": 1, "copy": "inf", "ours": None}]


# --- pages ----------------------------------------------------------------------------------------

PAGE = """# Results – α

Before.  <!-- a remark -->
<!-- table: toy/psnr -->
whatever was here
| a | b |
<!-- end -->
Between\t.
<!-- table: toy/never -->

kept

<!-- end --> after

<!-- end -->
"""


@pytest.fixture
def made() -> list[report.Table]:
    return report.tables([record("a", "copy", row(1, psnr=30.0))], ["copy"])


def test_page_changes_between_its_marks_alone(tmp_path, made):
    page = tmp_path / "page.md"
    page.write_bytes(PAGE.encode())
    assert report.fill_page(page, made) == (["toy/psnr"], ["toy/never"])
    due = PAGE.replace("whatever was here\n| a | b |\n", f"\n{made[0].markdown()}\n")
    assert page.read_bytes() == due.encode()
    before = page.stat().st_mtime_ns
    assert report.fill_page(page, made) == (["toy/psnr"], ["toy/never"])
    assert page.read_bytes() == due.encode()
    assert page.stat().st_mtime_ns == before  # not even written


def test_page_keeps_its_line_ends(tmp_path, made):
    page = tmp_path / "page.md"
    page.write_bytes(PAGE.replace("\n", "\r\n").encode())
    assert report.fill_page(page, made)[0] == ["toy/psnr"]
    head, tail = page.read_bytes().decode().split(made[0].markdown())
    assert head.startswith("# Results – α\r\n\r\nBefore.  <!-- a remark -->\r\n<!-- table: toy/psnr -->\r\n")
    assert tail.endswith("\r\nBetween\t.\r\n" + PAGE.split("Between\t.\n")[1].replace("\n", "\r\n"))


def test_a_block_without_its_end_swallows_no_other(tmp_path, made):
    page = tmp_path / "page.md"
    page.write_text("<!-- table: toy/open -->\ntext\n<!-- table: toy/psnr -->\n<!-- end -->\n")
    assert report.fill_page(page, made) == (["toy/psnr"], ["toy/open"])
    text = page.read_text()
    assert text.startswith("<!-- table: toy/open -->\ntext\n<!-- table: toy/psnr -->\n\n| motion, px |")
    page.write_text("<!-- table: toy/psnr -->\ntext\n")
    assert report.fill_page(page, made) == ([], ["toy/psnr"])
    assert page.read_text() == "<!-- table: toy/psnr -->\ntext\n"


def test_page_without_tables_is_left_alone(tmp_path, made):
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    assert report.fill_page(page, made) == ([], [])
    assert page.read_text() == "nothing\n"
