"""What an index holds, counted as in the paper's Table A1."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from trainer.data.index import read_entries

__all__ = ["REFUSALS", "Counts", "Summary", "summarise"]

REFUSALS = {
    "cut": "shot cut",
    "mse": "MSE",
    "flow_p999": "99.9th",
    "flow_p80": "80th",
    "flow_p0_01": "0.01st",
}
"""Reasons to refuse a pair, in the order of the table, and their headings."""


@dataclass
class Counts:
    """Of one source. `candidates` and `kept` by stride; `refused` by reason: what is across a cut or too much
    alike is not tested further, but a pair's flow may break several bounds."""

    clips: int = 0
    candidates: Counter[int] = field(default_factory=Counter)
    kept: Counter[int] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        """Count `other` in."""
        self.clips += other.clips
        self.candidates += other.candidates
        self.kept += other.kept
        self.refused += other.refused


@dataclass
class Summary:
    """Counts by source, and the clips that gave nothing, each with its reason.

    Attributes:
        sources: in the order they come in the index.
        skipped: (path, reason) of clips that could not be used at all.
        damaged: (path, reason) of clips used up to where decoding failed.
    """

    strides: tuple[int, ...]
    sources: dict[str, Counts] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)

    @property
    def total(self) -> Counts:
        """All sources together."""
        total = Counts()
        for counts in self.sources.values():
            total.add(counts)
        return total

    def table(self) -> str:
        """Lines of text: a row a source, a last one for all, then what was skipped and why."""
        head = ["source", "clips", "candidates"]
        head += [f"kept at stride {stride}" for stride in self.strides]
        head += [f"refused: {text}" if n == 0 else text for n, text in enumerate(REFUSALS.values())]
        rows = [head]
        for name, counts in [*self.sources.items(), ("total", self.total)]:
            numbers = [counts.clips, counts.candidates.total()]
            numbers += [counts.kept[stride] for stride in self.strides]
            numbers += [counts.refused[reason] for reason in REFUSALS]
            rows.append([name, *(f"{number:,}" for number in numbers)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if n == 0 else cell.rjust(width)
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        for title, clips in (("skipped", self.skipped), ("damaged", self.damaged)):
            if clips:
                lines.append(f"{len(clips)} {'clip' if len(clips) == 1 else 'clips'} {title}:")
                lines += [f"  {path}: {reason}" for path, reason in clips]
        return "\n".join(lines)


def summarise(index: Path) -> Summary:
    """Count an index's lines; one at a time is in memory.

    Raises:
        IndexFormatError: if it is no index, or damaged. OSError: if it cannot be read.
    """
    entries = read_entries(index)
    summary = Summary(tuple(next(entries)["settings"]["strides"]))
    for entry in entries:
        counts = summary.sources.setdefault(entry["source"], Counts())
        if "skipped" in entry:
            summary.skipped.append((entry["path"], entry["skipped"]))
            continue
        counts.clips += 1
        counts.candidates.update({int(stride): n for stride, n in entry["candidates"].items()})
        counts.kept.update({int(stride): n for stride, n in entry["kept"].items()})
        for refused in entry["refused"].values():
            counts.refused.update(refused)
        if "damaged" in entry:
            summary.damaged.append((entry["path"], entry["damaged"]))
    return summary
