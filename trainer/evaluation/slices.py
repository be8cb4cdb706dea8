"""x–t slices of what methods make of a clip; slices themselves are ``magfilter.slices``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from magfilter.slices import Line, slice_of

from .methods import Method

__all__ = ["Line", "magnified", "method_slices"]


def magnified(frames: Iterable[np.ndarray], magnify: Method, alpha: float) -> Iterator[np.ndarray]:
    """Each of ``frames`` (H, W, 3) magnified by ``alpha`` against the first of them."""
    reference = None
    for frame in frames:
        if reference is None:
            reference = frame
        yield magnify(reference, frame, alpha)


def method_slices(
    frames: Callable[[], Iterable[np.ndarray]], line: Line, methods: Mapping[str, Method], alpha: float, name: str
) -> dict[str, np.ndarray]:
    """The line over time, {title: (length, time, 3)}: of the input, and of what each method makes of it.

    ``frames`` gives them anew every time it is called; ``name`` is what messages call them.

    Raises:
        OptionError, InputError: as ``slice_of``.
    """
    found = {"input": slice_of(frames(), line, name)}
    for title, magnify in methods.items():
        found[f"{title} × {alpha:g}"] = slice_of(magnified(frames(), magnify, alpha), line, name)
    return found
