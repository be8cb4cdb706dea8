"""One end-to-end run, whose report is kept: `python -m benchmarks.job IN OUT --report FILE`.

The filter in a process of its own, as `magfilter` is; only that it writes down how long its stages worked.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from magfilter.magnifier import DEFAULT_PROXY
from magfilter.memory import keep_freed_memory
from magfilter.models import DEFAULT_MODEL
from magfilter.options import MagnifyOptions
from magfilter.pipeline import magnify_video


@click.command()
@click.argument("source")
@click.argument("target")
@click.option("--report", type=click.Path(path_type=Path), required=True, help="JSON: frames, seconds, stages.")
@click.option("--alpha", default=10.0)
@click.option("--model", default=DEFAULT_MODEL)
@click.option("--backend", default="auto")
@click.option("--device", default="auto")
@click.option("--threads", default=0)
@click.option("--proxy", default=DEFAULT_PROXY)
def main(
    source: str, target: str, report: Path, alpha: float, model: str, backend: str, device: str, threads: int,
    proxy: float,
) -> None:  # fmt: skip
    """Magnify SOURCE into TARGET."""
    keep_freed_memory()
    options = MagnifyOptions(
        alpha=alpha, model=model, backend=backend, device=device, threads=threads, proxy=proxy, overwrite=True
    )
    done = magnify_video(source, target, options)
    report.write_text(json.dumps({"frames": done.frames, "seconds": done.seconds, "stages": done.stages}))


if __name__ == "__main__":
    main()
