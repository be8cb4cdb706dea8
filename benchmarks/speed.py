"""Frames a second and memory of the whole filter, beside a plain transcode of the same file.

    python -m benchmarks.speed [CLIP]

Every run is a process of its own, so start-up, model loading and finishing the file are
counted, as a user counts them. The plain transcode is the same program with --alpha 1:
same decoder, same encoder, same settings, no magnification. Without a clip our demo clip is rendered
at 960×544. Machines differ and are shared: quote the ratios.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av
import click

from magfilter.demo import render_demo

PROGRAM = ("magfilter", "-q", "-y")

# Linux counts what the starting process held as its child's: a benchmark that has torch loaded would find a gigabyte
# in every child. So a process that holds nothing starts it, and tells its seconds, peak memory and exit code.
LAUNCH = """
import os, subprocess, sys, time
begun = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=2)
_, status, usage = os.wait4(child.pid, 0)
child.returncode = os.waitstatus_to_exitcode(status)
print(time.perf_counter() - begun, usage.ru_maxrss, child.returncode)
"""


def run(arguments: list[str], program: Sequence[str] = PROGRAM) -> tuple[float, float]:
    """Wall seconds and peak resident megabytes of one process.

    Args:
        arguments: of the program.
        program: module to run, and arguments that always go first.

    Raises:
        click.ClickException: if it fails.
    """
    command = [sys.executable, "-S", "-c", LAUNCH, sys.executable, "-m", *program, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak, status = done.stdout.split()
    if int(status):
        raise click.ClickException(f"{program[0]} {' '.join(arguments)} ended with {status}")
    unit = 1 if sys.platform == "darwin" else 1024
    return float(seconds), int(peak) * unit / 1e6


def lengthen(clip: Path, times: int, target: Path) -> None:
    """The clip `times` over, without recoding: the packets again, later."""
    with av.open(str(clip)) as source:
        packets = [packet for packet in source.demux(source.streams.video[0]) if packet.size]
        first = min(packet.dts for packet in packets)
        span = max(packet.dts + (packet.duration or 1) for packet in packets) - first
    with av.open(str(target), "w") as sink:
        for turn in range(times):
            with av.open(str(clip)) as source:
                stream = source.streams.video[0]
                if turn == 0:
                    out = sink.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.size:
                        packet.pts += turn * span
                        packet.dts += turn * span
                        packet.stream = out
                        sink.mux(packet)


def count_frames(clip: Path) -> int:
    """Video packets in the file, one a frame."""
    with av.open(str(clip)) as container:
        return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)


@click.command()
@click.argument("clip", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--alpha", default=10.0, show_default=True)
@click.option("--runs", default=3, show_default=True, help="Times each is run, in turn; medians are printed.")
@click.option("--times", default=10, show_default=True, help="How much longer the clip is made for the memory test.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here too.")
@click.argument("more", nargs=-1)
def main(clip: Path | None, alpha: float, runs: int, times: int, json_path: Path | None, more: tuple[str, ...]) -> None:
    """Time `magfilter` against a plain transcode of CLIP. What follows -- goes to both."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        if clip is None:
            clip = here / "demo.mp4"
            render_demo(clip, size=(960, 544), seconds=5)
        with av.open(str(clip)) as container:
            size = f"{container.streams.video[0].width}x{container.streams.video[0].height}"
        filtered, plain, memory = [], [], []
        for _ in range(runs):
            seconds, peak = run([str(clip), str(here / "out.mp4"), "--alpha", str(alpha), *more])
            filtered.append(seconds)
            memory.append(peak)
            plain.append(run([str(clip), str(here / "plain.mp4"), "--alpha", "1", *more])[0])
        frames = count_frames(here / "out.mp4")  # what follows -- may have shortened it
        middle = runs // 2
        ratio = sorted(a / b for a, b in zip(filtered, plain, strict=True))[middle]
        result = {
            "clip": clip.name,
            "size": size,
            "frames": frames,
            "cores": os.cpu_count(),
            "fps": frames / sorted(filtered)[middle],
            "fps plain transcode": frames / sorted(plain)[middle],
            "wall, filter / plain transcode": ratio,
            "peak MB": max(memory),
        }
        if times > 1:
            long = here / "long.mp4"
            lengthen(clip, times, long)
            again = [str(long), str(here / "out.mp4"), "--alpha", str(alpha), *more]
            result[f"peak MB, {times} times as long"] = run(again)[1]
        click.echo("| what | value |\n|---|---|")
        for name, value in result.items():
            click.echo(f"| {name} | {value:.2f} |" if isinstance(value, float) else f"| {name} | {value} |")
        if json_path:
            json_path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.speed")
