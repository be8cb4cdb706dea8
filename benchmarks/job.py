"""One end-to-end run, whose report is kept: `python -m benchmarks.job IN OUT --report FILE`.

The filter in a process of its own, as `magfilter` is; only that it writes down how long its stages worked.
"""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from magfilter.entry import one_thread_each


@click.command()
@click.argument("source")
@click.argument("target")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    required=True,
    help="JSON: frames, seconds, stages, cores that were busy.",
)
@click.option("--alpha", default=10.0)
@click.option("--model")
@click.option("--backend", default="auto")
@click.option("--device", default="auto")
@click.option("--threads", default=0)
@click.option("--proxy", type=float)
@click.option("--numpy", is_flag=True, help="Without what numba compiles.")
def main(source: str, target: str, report: Path, numpy: bool, **given: Any) -> None:
    """Magnify SOURCE into TARGET."""
    one_thread_each()  # before NumPy is imported
    from magfilter import compiled
    from magfilter.command import compile_ahead
    from magfilter.memory import keep_freed_memory
    from magfilter.options import MagnifyOptions
    from magfilter.pipeline import magnify_video

    keep_freed_memory()
    options = MagnifyOptions(**{name: value for name, value in given.items() if value is not None}, overwrite=True)
    with compiled.left_out() if numpy else nullcontext():
        if options.alpha != 1:  # as the command does: nothing is moved then
            compile_ahead(lambda text: None)
        begun = time.process_time()
        done = magnify_video(source, target, options)
        busy = (time.process_time() - begun) / done.seconds
    said = {"frames": done.frames, "seconds": done.seconds, "stages": done.stages, "cores": busy}
    report.write_text(json.dumps(said))


if __name__ == "__main__":
    main()
