"""The loops that take NumPy longest, compiled by numba where that is installed (`pip install "magfilter[fast]"`).

Importing this package imports no numba; its modules do. NumPy's way stays beside each of them, and is what they are
tested against.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Kernels", "Learned", "kernels", "left_out", "version"]

logger = logging.getLogger(__name__)

_lock = threading.RLock()
_found: list[Kernels | None] = []


class Learned(NamedTuple):
    """What `warp` has learned, but for its judge's weights.

    Attributes:
        damping, trust: (3,), of the solves in the three windows; no logarithms.
        prior: (CHOICES,), of the candidates; near: (36,), of the neighbours that a finer point is made of.
    """

    damping: NDArray[np.float32]
    trust: NDArray[np.float32]
    prior: NDArray[np.float32]
    near: NDArray[np.float32]


class Kernels(NamedTuple):
    """What is compiled. Each lets other threads run meanwhile.

    Attributes:
        move: `magfilter.compiled.pixels.move`.
        splat: as `magfilter.splat.splat`.
        reflect: `magfilter.compiled.fill.reflect`.
        throw, against, from_around, hidden: of `magfilter.compiled.field`.
        scales, measure: of `magfilter.compiled.motion`.
    """

    move: Callable[..., None]
    splat: Callable[..., tuple[NDArray[np.float32], NDArray[np.float64]]]
    reflect: Callable[..., tuple[NDArray[np.float32], NDArray[np.bool_]]]
    throw: Callable[..., tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]]
    against: Callable[..., NDArray[np.float32]]
    from_around: Callable[..., NDArray[np.float32]]
    hidden: Callable[..., NDArray[np.bool_]]
    scales: Callable[..., list[NDArray[np.float32]]]
    measure: Callable[..., NDArray[np.float32]]


def kernels() -> Kernels | None:
    """The compiled loops; None where numba is not installed, does not work or is told to compile nothing.

    The first call on a machine compiles them, which takes about half a minute; they are kept for the next process,
    whose first call takes half a second.
    """
    with _lock:
        if not _found:
            _found.append(_load())
        return _found[0]


@contextmanager
def left_out() -> Iterator[None]:
    """Meanwhile NumPy does everything, in all threads: for comparisons."""
    with _lock:
        before, _found[:] = list(_found), [None]
    try:
        yield
    finally:
        with _lock:
            _found[:] = before


def version() -> str | None:
    """Of the numba that would be used; None where there is none to use. Loads and compiles nothing."""
    if find_spec("numba") is None or os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return None
    try:
        return metadata.version("numba")
    except metadata.PackageNotFoundError:  # its files were packed into a program
        return "of unknown version"


def _load() -> Kernels | None:
    if version() is None:
        return None
    try:
        from magfilter.compiled import field, fill, motion, pixels, splat
    except Exception as error:  # of another release than its NumPy, say; all it would do can be done without it
        logger.warning("numba does not work here, which makes magfilter slower: %s", error)
        return None
    fields = field.throw, field.against, field.from_around, field.hidden
    return Kernels(pixels.move, splat.splat, fill.reflect, *fields, motion.scales, motion.measure)


if hasattr(os, "register_at_fork"):  # in a child nobody would ever finish what another thread was compiling
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
