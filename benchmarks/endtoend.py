"""File to file: the filter and a plain transcode in turn, each a process of its own."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.speed import run

__all__ = ["PLAIN", "Taken", "combine", "run_in_turn"]

PLAIN = "plain"
"""Name of the floor: the same program with --alpha 1, same decoder and encoder, nothing magnified."""


@dataclass
class Taken:
    """What the runs of one way took.

    Attributes:
        frames: of the clip.
        walls: seconds of each process, start and loading counted.
        memory: peak resident megabytes of each.
        inside: seconds of each from the first frame to the end of the file, as the filter reports them.
        stages: seconds of work in each stage, of each run.
    """

    frames: int = 0
    walls: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)


def run_in_turn(clip: Path, folder: Path, ways: dict[str, Sequence[str]], runs: int) -> dict[str, Taken]:
    """Run every way once, then all of them again: what disturbs the machine disturbs them alike.

    Args:
        ways: name → arguments of `benchmarks.job`.
    """
    taken = {name: Taken() for name in ways}
    for _ in range(runs):
        for name, arguments in ways.items():
            report = folder / "report.json"
            given = [str(clip), str(folder / "out.mp4"), "--report", str(report), *arguments]
            wall, memory = run(given, ("benchmarks.job",))
            said = json.loads(report.read_text())
            one = taken[name]
            one.frames = said["frames"]
            one.walls.append(wall)
            one.memory.append(memory)
            one.inside.append(said["seconds"])
            one.stages.append(said["stages"])
    return taken


def combine(one: Taken, plain: Taken, reference: float | None) -> dict[str, float | None]:
    """A row's figures: medians, and ratios within the run.

    Args:
        plain: the transcode's runs, of which each stands beside one of `one`.
        reference: seconds a frame of the reference cost, or None if it is not known.
    """
    wall = statistics.median(one.walls)
    memory = max(one.memory)
    row: dict[str, float | None] = {
        "frames/s": one.frames / wall,
        "× reference": reference * one.frames / wall if reference else None,
        "wall / plain": statistics.median(a / b for a, b in zip(one.walls, plain.walls, strict=True)),
        "peak MB": memory,
        "MB / plain": memory / max(plain.memory),
    }
    for stage in one.stages[0]:
        row[f"{stage} s"] = statistics.median(run[stage] for run in one.stages) / one.frames
    busiest = [inside / max(stages.values()) for inside, stages in zip(one.inside, one.stages, strict=True)]
    row["wall / slowest stage"] = statistics.median(busiest)
    return row
