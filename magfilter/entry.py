"""Where the console commands begin: what must be settled before NumPy is imported, then the command itself."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

__all__ = ["begin", "find", "hear_interrupts", "magnify", "measure", "one_thread_each", "slice_"]

STOPPED = 130  # exit code, whichever of the signals it was


def magnify() -> NoReturn:
    """`magfilter`."""
    begin()
    from magfilter.cli import main

    main()


def measure() -> NoReturn:
    """`magfilter-measure`."""
    begin()
    from magfilter.measure.command import main

    main()


def find() -> NoReturn:
    """`magfilter-find`."""
    begin()
    from magfilter.find.command import main

    main()


def slice_() -> NoReturn:
    """`magfilter-slice`."""
    begin()
    from magfilter.slice_command import main

    main()


def begin() -> None:
    """What every command does first."""
    _stop_quietly()
    one_thread_each()


def hear_interrupts() -> None:
    """Let Ctrl-C be a KeyboardInterrupt again, for those who clean up after it; by now there may be something to."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(number: int, _: object) -> None:
    os._exit(STOPPED)


def _stop_quietly() -> None:
    """End without a word, and with our own code, for signals that come before a job hears them itself.

    Imports take a third of a second, in which Ctrl-C would show a traceback. What the process was started to ignore,
    as by nohup or in a script's background, stays ignored.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no hangup
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def one_thread_each() -> None:
    """Let OpenBLAS, which NumPy comes with, multiply in the thread that asks, unless it was told otherwise.

    Our threads share the cores already. Its own, where frames are reduced before motion is measured, would wait for
    each other in loops that take the cores from those that work.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
