"""Records as tables: Markdown, JSON, and blocks of a page that regenerate themselves.

A page such as RESULTS.md is written by hand and holds its tables between marks:

    <!-- table: real/motion -->
    (replaced)
    <!-- end -->
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .runner import labelled
from .suites import SUITES, Suite

__all__ = ["Table", "as_json", "fill_page", "series", "tables"]

STATISTICS = {"median": np.median, "mean": np.mean}
BLOCK = re.compile(r"(<!-- table: (?P<name>[\w/-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Table:
    """One value of one suite: methods across, levels (and judges) down.

    Attributes:
        name: "suite/value", with "-median" where the same value is also shown by its mean.
        heading: what it is; items: how many it is the statistic of.
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
        heads = [*([self.by] if judged else []), self.level, *self.methods]
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
                    found[row["judge"], row["level"]][record["method"]].append(row[value])
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
            rows = tuple(
                (judge, level, tuple(float(number(groups[judge, level][m])) if groups[judge, level].get(m) else None for m in methods))
                for judge, level in sorted(groups)
            )  # fmt: skip
            twice = sum(other == value for other, *_ in suite.tables) > 1
            name = f"{suite.name}/{value}" + (f"-{statistic}" if twice else "")
            assert name not in seen, name
            seen.add(name)
            labels = tuple(labelled(method)[0] for method in methods)
            made.append(Table(name, heading, suite.level, suite.rows, labels, items, decimals, rows))
    return made


def series(table: Table) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """A table as curves: judge → method → (levels, values)."""
    curves: dict[str, dict[str, tuple[list[float], list[float]]]] = defaultdict(dict)
    for judge, level, numbers in table.rows:
        for method, value in zip(table.methods, numbers, strict=True):
            if value is not None and np.isfinite(value):
                x, y = curves[judge].setdefault(method, ([], []))
                x.append(level)
                y.append(value)
    return curves


def as_json(made: Sequence[Table]) -> dict[str, Any]:
    """Tables as plain values."""
    return {
        t.name: {
            "heading": t.heading,
            "items": t.items,
            "rows": [{"judge": j, "level": level, **dict(zip(t.methods, n, strict=True))} for j, level, n in t.rows],
        }
        for t in made
    }


def fill_page(page: Path, made: Sequence[Table]) -> tuple[list[str], list[str]]:
    """Replace the blocks of a page by the tables of the same name.

    Returns:
        names replaced, and names on the page that no table was there for (left as they are).
    """
    by_name = {table.name: table for table in made}
    filled: list[str] = []
    missing: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in by_name:
            missing.append(name)
            return match[0]
        filled.append(name)
        return f"{match[1]}\n{by_name[name].markdown()}\n{match[3]}"

    text = page.read_text()
    page.write_text(BLOCK.sub(replace, text))
    return filled, missing
