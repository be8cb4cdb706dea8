"""What runs from file to file come to: medians, and ratios within the run. Needs no PyAV."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

__all__ = ["FROM_FIRST", "Taken", "combine"]

FROM_FIRST = "time / plain, from the first frame"


@dataclass
class Taken:
    """What the runs of one way took.

    Attributes:
        frames: of the clip.
        walls: seconds of each process, start and loading counted.
        memory: peak resident megabytes of each.
        inside: seconds of each from the first frame to the end of the file, as the filter reports them.
        stages: seconds of work in each stage, of each run.
        cores: that were busy on average, of each run. Where all are, no stage waits for another, but for a core.
    """

    frames: int = 0
    walls: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)


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
        FROM_FIRST: statistics.median(a / b for a, b in zip(one.inside, plain.inside, strict=True)),
        "peak MB": memory,
        "MB / plain": memory / max(plain.memory),
    }
    for stage in one.stages[0]:
        row[f"{stage} s"] = statistics.median(run[stage] for run in one.stages) / one.frames
    busiest = [inside / max(stages.values()) for inside, stages in zip(one.inside, one.stages, strict=True)]
    row["wall / slowest stage"] = statistics.median(busiest)
    row["cores busy"] = statistics.median(one.cores) if one.cores else None
    return row
