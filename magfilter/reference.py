"""Which frame is the reference now.

The reference is the frame that motion is measured against. A policy says when a new one
is taken; a shot cut takes one in any case, because motion across a cut means nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from magfilter.checks import check_number
from magfilter.errors import OptionError

__all__ = ["ReferencePolicy", "parse_reach"]

Array = NDArray[np.float32]

KINDS = ("first", "previous", "every", "mean", "frame")


@dataclass(frozen=True)
class ReferencePolicy:
    """When a new reference is taken.

    Attributes:
        kind: `first`: the first frame, for good; `previous`: the frame before; `every`: a new one
            every `seconds`; `mean`: the average of the frames so far, which forgets with the time constant
            `seconds`; `frame`: frame number `number`, for all frames, cuts or not.
        seconds: for `every` and `mean`, above 0.
        number: for `frame`, counted from 0.

    Raises:
        OptionError: there is no such kind, or seconds or number are not what it takes.
    """

    kind: Literal["first", "previous", "every", "mean", "frame"] = "first"
    seconds: float = 0.0
    number: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(f"unknown kind of reference {self.kind!r}; choose one of: {', '.join(KINDS)}")
        if self.kind in ("every", "mean"):
            check_number(f"seconds of reference {self.kind}", self.seconds, "more than 0", lambda x: x > 0)
        if self.kind == "frame":
            check_number("number of reference frame", self.number, "a whole number of 0 or more", _is_index)

    @staticmethod
    def parse(text: Any) -> ReferencePolicy:
        """Read `first`, `previous`, `every:SECONDS`, `mean:SECONDS` or `frame:N`.

        Raises:
            OptionError: if it is none of them.
        """
        if not isinstance(text, str):
            raise OptionError(f"reference must be text such as 'first' or 'every:2', got {text!r}")
        kind, _, value = text.strip().partition(":")
        try:
            if text.strip() == "first":
                return ReferencePolicy("first")
            if text.strip() == "previous":
                return ReferencePolicy("previous")
            if kind in ("every", "mean") and 0 < float(value.removesuffix("s")) < float("inf"):
                return ReferencePolicy("every" if kind == "every" else "mean", seconds=float(value.removesuffix("s")))
            if kind == "frame" and int(value) >= 0:
                return ReferencePolicy("frame", number=int(value))
        except ValueError:
            pass
        raise OptionError(
            f"reference {text!r} is none of: first, previous, every:SECONDS (every:2), mean:SECONDS (mean:1), "
            "frame:N (frame:0 is the first)"
        )

    def __str__(self) -> str:
        if self.kind in ("every", "mean"):
            return f"{self.kind}:{self.seconds:g}"
        return f"frame:{self.number}" if self.kind == "frame" else self.kind

    def due(self, time: float | None, since: float | None) -> bool:
        """Whether `every` wants a new reference at `time`, the last having been taken at `since` (seconds)."""
        if self.kind != "every" or time is None or since is None:
            return False
        return time - since >= self.seconds - 1e-6


def _is_index(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) >= 0


def parse_reach(value: float | str | None, policy: ReferencePolicy) -> float | None:
    """Read how far things may move before the reference is replaced: px, "auto" (inf) or None for never.

    Raises:
        OptionError: it is none of them, or the policy replaces its reference at every frame, or never.
    """
    if value is None:
        return None
    try:
        reach = math.inf if value == "auto" else float(value)
    except (TypeError, ValueError):
        reach = 0.0
    if not reach > 0 or (value != "auto" and math.isinf(reach)):
        raise OptionError(f"reanchor {value!r} is neither auto nor a number of px above 0")
    if policy.kind in ("previous", "frame"):
        raise OptionError(f"reanchor replaces the reference, and {policy} says which it is; use --reference first")
    return reach
