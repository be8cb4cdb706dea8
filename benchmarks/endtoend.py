"""File to file: the filter and a plain transcode in turn, each a process of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Taken
from benchmarks.speed import run

__all__ = ["PLAIN", "run_in_turn"]

PLAIN = "plain"
"""Name of the floor: the same program with --alpha 1, same decoder and encoder, nothing magnified."""


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
            one.cores.append(said["cores"])
    return taken
