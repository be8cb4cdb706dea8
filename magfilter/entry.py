"""Where the console commands begin: what must be settled before NumPy is imported, then the command itself."""

from __future__ import annotations

import os
from typing import NoReturn

__all__ = ["find", "magnify", "measure", "one_thread_each", "slice_"]


def magnify() -> NoReturn:
    """`magfilter`."""
    one_thread_each()
    from magfilter.cli import main

    main()


def measure() -> NoReturn:
    """`magfilter-measure`."""
    one_thread_each()
    from magfilter.measure.command import main

    main()


def find() -> NoReturn:
    """`magfilter-find`."""
    one_thread_each()
    from magfilter.find.command import main

    main()


def slice_() -> NoReturn:
    """`magfilter-slice`."""
    one_thread_each()
    from magfilter.slice_command import main

    main()


def one_thread_each() -> None:
    """Let OpenBLAS, which NumPy comes with, multiply in the thread that asks, unless it was told otherwise.

    Our threads share the cores already. Its own, where frames are reduced before motion is measured, would wait for
    each other in loops that take the cores from those that work.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
