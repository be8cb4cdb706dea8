"""`--adapt`: fit the network to the clip first (paper §3.5). Training lives in a checkout; this is the bridge to it."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from magfilter.errors import MagfilterError, OptionError
from magfilter.media.source import is_pipe
from magfilter.models import find_model
from magfilter.options import MagnifyOptions

__all__ = ["ADAPT_MINUTES", "Interrupted", "adapted_model"]

ADAPT_MINUTES = 3.0


class Interrupted(Exception):
    """Ctrl-C came while the network was being adapted; nothing was written."""


@contextlib.contextmanager
def adapted_model(
    source: str, options: MagnifyOptions, minutes: float = ADAPT_MINUTES, *, quiet: bool = False
) -> Iterator[Path]:
    """A model fitted to `source`, as a file that is there while the context lasts.

    If the training does not lower the loss on held-out frames, the file holds the weights begun with.
    Progress and the losses go to stderr.

    Args:
        source: the clip, a file: it is read twice.
        options: of the job; model, device, start and duration count here.
        minutes: wall clock to train for.
        quiet: say nothing.

    Raises:
        OptionError: if `source` is a pipe or `minutes` is not above 0.
        MagfilterError: if the training part is not installed, or the clip cannot be adapted to.
        Interrupted: on Ctrl-C.
    """
    if is_pipe(source):
        raise OptionError("--adapt reads the clip twice, which a pipe cannot give; name a file")
    if not minutes > 0:
        raise OptionError(f"--adapt-minutes is above 0, got {minutes:g}")
    try:
        training = importlib.import_module("trainer.adapt")
    except ImportError as error:
        raise MagfilterError(
            f"--adapt trains the network, which needs a checkout of magfilter and torch ({error}); "
            'in the checkout: pip install -e ".[train]"'
        ) from None
    device = "" if options.device == "auto" else options.device
    with tempfile.TemporaryDirectory(prefix="magfilter-") as folder:
        target = Path(folder) / "adapted.onnx"
        hush = contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext()
        try:
            with hush:
                found = training.adapt(
                    Path(os.fspath(source)),
                    target,
                    model=find_model(options.model),
                    minutes=minutes,
                    device=device,
                    start=options.start or 0.0,
                    duration=options.duration,
                    framerate=options.framerate,
                )
        except ValueError as error:
            raise MagfilterError(str(error)) from None
        if found.interrupted:
            raise Interrupted
        yield target
