"""numba, as these kernels use it. Importing this needs numba."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
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
        made = njit(nogil=True, error_model="numpy", **options)(function)
        with suppress(RuntimeError):  # there is no folder to keep it in
            made.enable_caching()
            _kept_for(made, SOURCES)
        for signature in signatures:
            made.compile(signature)
        if signatures:
            made.disable_compile()
        return made

    return compile_


def _digest(files: Iterable[Path]) -> str:
    """Of what the files hold, by name; those that are packed into a program are there as long as it is the same."""
    found = hashlib.sha256()
    for file in sorted(files):
        found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()


def _kept_for(made: Any, sources: str) -> None:
    """Have what is kept of a function hold for these sources only.

    numba looks at the file in which a function stands, and not at those whose functions and numbers it has taken in.
    """
    kept: Any = getattr(made._cache, "_cache_file", None)
    if hasattr(kept, "_source_stamp"):  # else numba has changed, and looks at the one file
        kept._source_stamp = (kept._source_stamp, sources)


HERE = Path(__file__).parent
SOURCES = _digest([*HERE.glob("*.py"), *HERE.parent.glob("networks/constants.py")])
