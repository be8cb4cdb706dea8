"""Figures as Markdown: three digits that mean something, and a dash for what is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["figure", "table"]


def figure(value: Any) -> str:
    """A number to three significant digits, without an exponent; text as it is, and None as a dash."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", "\\|").replace("\n", " ")
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:.0f}"
    if value == 0:
        return "0"
    digits = 2
    size = abs(value)
    while size >= 10 and digits:
        size, digits = size / 10, digits - 1
    while size < 1 and digits < 8:
        size, digits = size * 10, digits + 1
    return f"{value:.{digits}f}"


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> str:
    """Rows as a Markdown table; the columns are those given, or every key in the order of its first row."""
    names = list(columns) or list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(figure(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)
