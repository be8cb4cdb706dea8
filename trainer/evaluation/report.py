"""Records as tables: Markdown, JSON, and blocks of a page that regenerate themselves.

A page such as RESULTS.md is written by hand and holds its tables between marks:

    <!-- table: real/motion -->
    (replaced)
    <!-- end -->
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .runner import labelled
from .suites import SUITES, Suite

__all__ = ["Table", "as_json", "fill_page", "series", "tables"]

STATISTICS: dict[str, Callable[..., Any]] = {"median": np.median, "mean": np.mean}
MARK = re.compile(r"<!-- table: ([\w/-]+) -->")
BLOCK = re.compile(r"(<!-- table: (?P<name>[\w/-]+) -->\r?\n)(?:(?!<!-- table: ).)*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Table:
    """One value of one suite: methods across, levels (and judges) down.

    Attributes:
        name: "suite/value", with "-median" and "-mean" where both are shown of the same value.
        heading: what it is; items: how many it is the statistic of, at most.
        level: what the levels are, with their unit; decimals: of the numbers as printed.
        by: what tells rows of one level apart, if anything.
        rows: (judge, level, numbers by method); None where nothing was measured.
    """

    name: str
    heading: str
    level: str
    by: str
    methods: tuple[str, ...]
    items: int
    decimals: int
    rows: tuple[tuple[str, float, tuple[float | None, ...]], ...]

    def markdown(self) -> str:
        judged = any(judge for judge, _, _ in self.rows)
        heads = [*([self.by] if judged else []), self.level, *(name.replace("|", "\\|") for name in self.methods)]
        lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for judge, level, numbers in self.rows:
            cells = ["–" if n is None else f"{n:.{self.decimals}f}" for n in numbers]
            lines.append("| " + " | ".join([*([judge] if judged else []), f"{level:g}", *cells]) + " |")
        return "\n".join(lines) + "\n"


def _grouped(
    suite: Suite, records: Iterable[dict[str, Any]], value: str
) -> dict[tuple[str, float], dict[str, list[float]]]:
    found: dict[tuple[str, float], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record["suite"] == suite.name:
            for row in record["rows"]:
                if row.get(value) is not None:
                    found[row["judge"], row["level"]][record["method"]].append(float(row[value]))  # "inf" is text
    return found


def tables(
    records: Sequence[dict[str, Any]], methods: Sequence[str], names: Iterable[str] | None = None
) -> list[Table]:
    """Every table that the records give something for, in the suites' order.

    Args:
        methods: which, and in which order.
        names: of suites; None takes all.
    """
    made = []
    for suite in SUITES.values():
        if names is not None and suite.name not in names:
            continue
        mine = [record for record in records if record["suite"] == suite.name and record["method"] in methods]
        items = len({record["item"] for record in mine})
        seen: set[str] = set()
        for value, heading, statistic, decimals in suite.tables:
            groups = _grouped(suite, mine, value)
            if not groups:
                continue
            number = STATISTICS[statistic]
            rows = []
            for (judge, level), found in sorted(groups.items(), key=lambda item: item[0]):
                rows.append((judge, level, tuple(float(number(found[m])) if found.get(m) else None for m in methods)))
            twice = sum(other == value for other, *_ in suite.tables) > 1
            name = f"{suite.name}/{value}" + (f"-{statistic}" if twice else "")
            assert name not in seen, name
            seen.add(name)
            labels = tuple(labelled(method)[0] for method in methods)
            made.append(Table(name, heading, suite.level, suite.rows, labels, items, decimals, tuple(rows)))
    return made


def series(table: Table) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """A table as curves: judge → method → (levels, values), without what is not a finite number."""
    curves: dict[str, dict[str, tuple[list[float], list[float]]]] = defaultdict(dict)
    for judge, level, numbers in table.rows:
        for method, value in zip(table.methods, numbers, strict=True):
            if value is not None and np.isfinite(value):
                x, y = curves[judge].setdefault(method, ([], []))
                x.append(level)
                y.append(value)
    return curves


def as_json(made: Sequence[Table]) -> dict[str, Any]:
    """Tables as JSON knows values: null where nothing was measured, "inf" for the infinite."""

    def row(table: Table, judge: str, level: float, numbers: Sequence[float | None]) -> dict[str, Any]:
        known = [str(n) if n is not None and not np.isfinite(n) else n for n in numbers]
        return {"judge": judge, "level": level, **dict(zip(table.methods, known, strict=True))}

    return {t.name: {"heading": t.heading, "items": t.items, "rows": [row(t, *r) for r in t.rows]} for t in made}


def fill_page(page: Path, made: Sequence[Table]) -> tuple[list[str], list[str]]:
    """Replace the blocks of a page by the tables of the same name, and touch nothing else.

    Returns:
        names replaced, and names on the page that no table was there for, or that lack their end mark
        (left as they are).
    """
    by_name = {table.name: table for table in made}
    filled: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in by_name:
            return match[0]
        filled.append(name)
        return f"{match[1]}\n{by_name[name].markdown()}\n{match[3]}"

    text = page.read_bytes().decode("utf-8")  # as bytes: line ends stay what they are
    new = BLOCK.sub(replace, text)
    if new != text:
        page.write_bytes(new.encode("utf-8"))
    return filled, [name for name in MARK.findall(text) if name not in filled]
