"""What a job tells while it runs, and afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Progress", "Report"]

STAGES = ("decode", "measure", "render", "encode")


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        frames: frames written.
        expected: frames in all, or None if the input does not say.
        seconds: wall time since the first frame was asked for.
        position: seconds of the video written.
    """

    frames: int
    expected: int | None
    seconds: float
    position: float | None


@dataclass
class Report:
    """What a job did.

    Attributes:
        frames: frames written.
        seconds: wall time.
        references: reference frames taken, shot cuts included.
        interrupted: stopped before the end on request; the output is whole as far as it goes, or
            was not made if no frame had come.
        lost: frames that the input should have held and did not give.
        warnings: lines for the user.
        stages: seconds of work in decode, measure, render and encode.
    """

    frames: int = 0
    seconds: float = 0.0
    references: int = 0
    interrupted: bool = False
    lost: int = 0
    warnings: list[str] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
