"""The one description of a job, shared by the command line, Python and whatever comes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from magfilter.backends import BACKENDS
from magfilter.errors import OptionError
from magfilter.magnifier import DEFAULT_PROXY
from magfilter.media import EncodeOptions
from magfilter.models import DEFAULT_MODEL
from magfilter.reference import ReferencePolicy

__all__ = ["MagnifyOptions"]

STREAM_TYPES = frozenset({"audio", "subtitle", "data", "attachment"})
MOST_THREADS = 512  # more is a slip of the finger that engines and encoders answer with a crash


@dataclass(frozen=True)
class MagnifyOptions:
    """What to do with a video. Validated on construction.

    Attributes:
        alpha: magnification factor, 0 or more; 1 changes nothing.
        model, backend, device, reference, shot_cuts, proxy: see `magfilter.Magnifier`.
        start, duration: seconds of the input to work on; None for all of it.
        encode: encoder, quality, pixel format and container.
        input_format: FFmpeg's name of the input format, for raw streams and pipes.
        overwrite: replace an existing output.
        threads: cores to use in all, 0 for every one.
        max_error_rate: share of the frames that may be unreadable, 0..1, before the job ends with
            CorruptInput, after what could be decoded was written.
        exclude: kinds of streams that are not copied ("audio", "subtitle", "data", "attachment").

    Raises:
        OptionError: naming the value and what is expected.
    """

    alpha: float = 10.0
    model: str | os.PathLike[str] = DEFAULT_MODEL
    backend: str = "auto"
    device: str = "auto"
    reference: str = "first"
    shot_cuts: bool = True
    proxy: float = DEFAULT_PROXY
    start: float | None = None
    duration: float | None = None
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    input_format: str | None = None
    overwrite: bool = False
    threads: int = 0
    max_error_rate: float = 0.1
    exclude: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._number("alpha", "a number of 0 or more; 1 leaves motion as it is", lambda x: x >= 0)
        self._number("proxy", "0 (full size) or a number of megapixels", lambda x: x >= 0)
        self._number("start", "0 or more seconds", lambda x: x >= 0, optional=True)
        self._number("duration", "more than 0 seconds", lambda x: x > 0, optional=True)
        self._number("max_error_rate", "a share between 0 and 1", lambda x: 0 <= x <= 1)
        if isinstance(self.threads, bool) or not isinstance(self.threads, int) or not 0 <= self.threads <= MOST_THREADS:
            raise OptionError(f"threads must be 0 (all cores) to {MOST_THREADS}, got {self.threads!r}")
        if self.backend not in BACKENDS:
            raise OptionError(f"unknown backend {self.backend!r}; choose one of: {', '.join(BACKENDS)}")
        if not isinstance(self.reference, str):
            raise OptionError(f"reference must be text such as 'first' or 'every:2', got {self.reference!r}")
        ReferencePolicy.parse(self.reference)
        unknown = frozenset(self.exclude) - STREAM_TYPES
        if unknown:
            raise OptionError(f"exclude names {sorted(unknown)[0]!r}; choose from: {', '.join(sorted(STREAM_TYPES))}")

    def _number(self, name: str, expected: str, fits: Callable[[Any], bool], optional: bool = False) -> None:
        """Refuse the attribute unless it is a finite number that fits; numpy's become Python's."""
        value = getattr(self, name)
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or not fits(value):
            shown = f"{value:g}" if isinstance(value, float) else repr(value)
            raise OptionError(f"{name} must be {expected}; got {shown}")
        object.__setattr__(self, name, float(value))
