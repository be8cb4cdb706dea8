"""Whether memory depends on the length of the video, with every option that steers the motion.

    python -m benchmarks.memory

Each option's peak resident memory is measured on our demo clip and on the same clip ten times over, each in a process
of its own. Ends with 1 if the longer takes more than a tenth above the shorter.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import numpy as np

from benchmarks.speed import lengthen, run
from magfilter.demo import render_demo

GROWTH = 1.1  # what queues, codecs and the allocator may still add after the short clip


@click.command()
@click.option("--size", default="480x272", show_default=True, help="Of the demo clip.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of the short clip.")
@click.option("--times", default=10, show_default=True, help="How much longer the long one is.")
@click.option("--only", multiple=True, help="Only options that contain this; repeatable.")
def main(size: str, seconds: float, times: int, only: tuple[str, ...]) -> None:
    """Print a table of peak memory, an option a row."""
    width, height = (int(part) for part in size.split("x"))
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        short, long, mask = here / "short.mp4", here / "long.mp4", here / "mask.npy"
        render_demo(short, size=(width, height), seconds=seconds)
        lengthen(short, times, long)
        np.save(mask, np.arange(width * height).reshape(height, width) % width > width // 2)
        masks = [f"--mask {mask} --mask-grow 4", f"--mask {short}", "--roi 10,10,100,100:20"]
        parts = ["--band 2:4", "--notch 8:10", "--detrend", "--max-shift 5", "--alpha-end 30"]
        references = [f"--reference {kind}" for kind in ("previous", "every:1", "mean:1")] + ["--reanchor 0.3"]
        rows = ["", *masks, *parts, *references, "--compare side --flow"]
        click.echo(f"| option | peak MB, {seconds:g} s | peak MB, {times} times as long | ratio |\n|---|---|---|---|")
        for row in rows:
            if only and not any(part in row for part in only):
                continue
            one, two = (run([str(clip), str(here / "out.mp4"), *row.split()])[1] for clip in (short, long))
            failed |= two > GROWTH * one
            name = row.replace(str(here) + "/", "") or "(none)"
            click.echo(f"| `{name}` | {one:.0f} | {two:.0f} | {two / one:.2f} |")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.memory")
