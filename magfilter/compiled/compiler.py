"""numba, as these kernels use it. Importing this needs numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit, types

__all__ = ["array", "compiled"]

KINDS = {
    "flags": types.boolean,
    "bytes": types.uint8,
    "words": types.uint16,
    "floats": types.float32,
    "doubles": types.float64,
    "indices": types.uint32,
    "counts": types.int32,
}


def array(kind: str, dimensions: int, written: bool = False) -> Any:
    """The type of an array without gaps. One that is not written to may be read-only."""
    return types.Array(KINDS[kind], dimensions, "C", readonly=not written)


def compiled(*signatures: Any, **options: Any) -> Callable[[Any], Any]:
    """Compile a function for these types of arguments when it is defined, and keep that for the next process.

    Without any it is compiled as part of those that call it. It releases the interpreter while it runs, so that
    threads run side by side. Rounding is NumPy's, as far as the operations are the same ones.
    """

    def compile_(function: Any) -> Any:
        settings = {"nogil": True, "error_model": "numpy", **options}
        types_ = list(signatures) or None
        try:
            return njit(types_, cache=True, **settings)(function)
        except RuntimeError:  # there is no folder to keep it in
            return njit(types_, **settings)(function)

    return compile_
