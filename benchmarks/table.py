"""The table of a machine: network × backend × size, network alone and file to file, each figure beside its floor.

    python -m benchmarks.table [CLIP]

Machines differ and are shared, so every figure also stands as a ratio within the run: against the reference cost (the
paper's network in PyTorch fp32, frame by frame), against a plain transcode of the same clip, and against the matrix
rate that the machine reached a moment before. Without a clip our demo clip is rendered at each size.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.endtoend import PLAIN, run_in_turn
from benchmarks.figures import combine
from benchmarks.flops import count_graph
from benchmarks.machine import cores, describe_machine, gpu_name
from benchmarks.markdown import figure, table
from benchmarks.networks import SMALL, Alone, random_model, rate_used, seen_size, time_alone
from benchmarks.rates import matrix_rate, numpy_rate
from benchmarks.reference import Reference, reference_cost
from magfilter.magnifier import DEFAULT_PROXY

BACKENDS = ("onnxruntime-cpu", "onnxruntime-cuda", "tensorrt", "torch")
NETWORKS = ("warp-light", "warp", "unet")
COUNTED = (512, 512)  # (height, width): operations of a network that paints are counted here, and scaled by pixels

Size = tuple[int, int]


def shown(size: Size) -> str:
    """(height, width) → "WIDTHxHEIGHT"."""
    return f"{size[1]}x{size[0]}"


def parse_size(text: str) -> Size:
    """ "WIDTHxHEIGHT" → (height, width).

    Raises:
        click.BadParameter: if it is none.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise click.BadParameter(f"{text!r} is no size; give WIDTHxHEIGHT, 1920x1080 say")
    return int(height), int(width)


def network_row(alone: Alone, seen: Size, flops: int, rate: float | None, reference: float | None) -> dict[str, Any]:
    """Figures of a network alone.

    Args:
        flops: of one frame; rate: the matrix rate in its precision, FLOP a second; reference: seconds a frame.
    """
    row: dict[str, Any] = {
        "network sees": shown(seen),
        "GFLOP": flops / 1e9,
        "frames/s": 1 / alone.seconds,
        "× reference": reference / alone.seconds if reference else None,
        "share of matrix rate": flops / alone.seconds / rate if rate else None,
        "frames/s at the matrix rate": rate / flops if rate and flops else None,
    }
    if alone.timed != seen:
        row["note"] = f"timed at {shown(alone.timed)}, scaled by pixels"
    return row


def measure_rates(threads: int, seconds: float) -> tuple[dict[str, float], list[str]]:
    """Matrix rates, FLOP a second, by "cpu fp32", "cuda fp16", …; and lines on what was not measured."""
    try:
        import torch
    except ImportError:
        return {"cpu fp32": numpy_rate(seconds)}, ["matrix rate: by NumPy, with the threads of its BLAS (no torch)"]
    torch.set_num_threads(threads)
    rates = {"cpu fp32": matrix_rate("cpu", seconds)}
    if gpu_name():
        rates |= {f"cuda {name}": matrix_rate("cuda", seconds, name) for name in ("fp32", "tf32", "fp16")}
    return rates, []


def find_networks(names: Sequence[str], models: Sequence[Path], folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Model files by name, and lines on what is not there. `unet` is not shipped: its weights are random."""
    from magfilter.models import shipped_models

    found, lines = dict[str, Path](), list[str]()
    for name in names:
        if name in shipped_models():
            found[name] = shipped_models()[name]
            continue
        try:
            found[name] = random_model(name, folder)
            lines.append(f"{name}: random weights, which cost the same time")
        except ImportError as error:
            lines.append(f"{name}: not timed: no model of that name is shipped, and none can be made ({error})")
    return found | {path.name: path for path in models}, lines


def find_reference(size: Size, device: str, seconds: float, threads: int) -> tuple[Reference | None, str]:
    """The reference cost, and the line that says what it is."""
    try:
        cost = reference_cost(size, device, seconds, threads)
    except ImportError:
        return None, f"reference at {shown(size)}: torch not installed"
    scaled = f"; timed at {shown(cost.timed)} and scaled by pixels" if cost.timed[0] < size[0] else ""
    return cost, (
        f"reference at {shown(size)}: {figure(cost.seconds)} s a frame, {figure(1 / cost.seconds)} frames/s "
        f"(unet, width 64, PyTorch fp32 on {device}, frame by frame, random weights{scaled})"
    )


@click.command()
@click.argument("clip", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--size", "sizes", multiple=True, default=("960x544", "1920x1080"), show_default=True, metavar="WxH")
@click.option("--seconds", default=3.0, show_default=True, help="Length of the clips that are rendered.")
@click.option("--network", "networks", multiple=True, default=NETWORKS, show_default=True)
@click.option(
    "--model", "models", multiple=True, type=click.Path(exists=True, path_type=Path), help="An ONNX file too."
)
@click.option("--backend", "backends", multiple=True, type=click.Choice(BACKENDS), default=BACKENDS)
@click.option("--threads", default=0, help="Of networks, products and filter; 0 is every core.")
@click.option("--proxy", default=DEFAULT_PROXY, show_default=True, help="As of magfilter; 0 is the full size.")
@click.option("--runs", default=3, show_default=True, help="Times each is run from file to file, in turn.")
@click.option("--timing", default=3.0, show_default=True, help="Seconds spent on timing each network.")
@click.option(
    "--patience", default=120.0, show_default=True, help="Seconds a single run may take; others are left out."
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here too.")
@click.option("--markdown", "markdown_path", type=click.Path(path_type=Path), help="Write what is printed here too.")
def main(
    clip: Path | None, sizes: tuple[str, ...], seconds: float, networks: tuple[str, ...], models: tuple[Path, ...],
    backends: tuple[str, ...], threads: int, proxy: float, runs: int, timing: float, patience: float,
    json_path: Path | None, markdown_path: Path | None,
) -> None:  # fmt: skip
    """Print the table of this machine. With CLIP its size takes the place of --size."""
    threads = threads or cores()
    wanted = [parse_size(text) for text in sizes]
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        rates, notes = measure_rates(threads, timing)
        found, lines = find_networks(networks, models, here)
        notes += lines
        alone: list[dict[str, Any]] = []
        whole: list[dict[str, Any]] = []
        for size in wanted if clip is None else [_size_of(clip)]:
            at = _at_size(clip, size, seconds, here, found, backends, threads, proxy, runs, timing, patience, rates)
            for into, part in zip((alone, whole, notes), at, strict=True):
                into += part
    result = {
        "machine": describe_machine() | {"threads": str(threads)},
        "matrix rate, TFLOP/s": {name: rate / 1e12 for name, rate in rates.items()},
        "network alone": alone,
        "file to file": whole,
        "notes": list(dict.fromkeys(notes)),
    }
    text = as_markdown(result)
    click.echo(text)
    if json_path:
        json_path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if markdown_path:
        markdown_path.write_text(text + "\n")


def as_markdown(result: dict[str, Any]) -> str:
    """The whole answer as text."""
    facts = [{"machine": name, "": value} for name, value in result["machine"].items()]
    facts += [
        {"machine": f"matrix rate, {name}", "": f"{figure(rate)} TFLOP/s"}
        for name, rate in result["matrix rate, TFLOP/s"].items()
    ]
    parts = [table(facts), "Network alone:", table(result["network alone"]), "File to file:"]
    parts += [table(result["file to file"]), "\n".join(f"- {line}" for line in result["notes"])]
    return "\n\n".join(parts)


def _at_size(
    clip: Path | None, size: Size, seconds: float, here: Path, found: dict[str, Path], backends: Sequence[str],
    threads: int, proxy: float, runs: int, timing: float, patience: float, rates: dict[str, float],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:  # fmt: skip
    """Rows of networks alone, rows of whole runs, and notes, at one size."""
    from benchmarks.speed import count_frames
    from magfilter.backends import open_engine
    from magfilter.demo import render_demo
    from magfilter.errors import MagfilterError

    def say(what: str) -> None:
        click.echo(f"{shown(size)}: {what}", err=True)

    if clip is None:
        say("rendering the clip")
        clip = here / f"demo-{shown(size)}.mp4"
        render_demo(clip, size=(size[1], size[0]), seconds=seconds)
    frames = count_frames(clip)
    say("the reference")
    cost, line = find_reference(size, "cuda" if gpu_name() else "cpu", timing, threads)
    notes = [line]
    reference = cost.seconds if cost else None
    alone: list[dict[str, Any]] = []
    ways: dict[str, list[str]] = {PLAIN: ["--alpha", "1", "--threads", str(threads)]}
    names: dict[str, dict[str, Any]] = {PLAIN: {"network": "none (--alpha 1)", "backend": None, "size": shown(size)}}
    for name, path in found.items():
        for backend in backends:
            say(f"{name} on {backend}")
            title = {"network": name, "backend": backend, "size": shown(size)}
            try:
                engine = open_engine(path, backend, "auto", threads)
                about = engine.model.descriptor
                seen = seen_size(size, about.output == "frame", about.pad_multiple, proxy)
                took = time_alone(engine, seen, timing, timing)
            except MagfilterError as error:
                notes.append(f"{backend}, left out: {error}")
                continue
            kind = rate_used(backend, engine.device, engine.model.precision)
            rate = rates.get(f"{engine.device.partition(':')[0]} {kind}")
            flops = _flops(path, seen, about.output == "frame")
            alone.append(title | network_row(took, seen, flops, rate, reference))
            if took.seconds * frames > patience:
                notes.append(
                    f"{name} on {backend} at {shown(size)}: not run file to file, the network alone would take "
                    f"{took.seconds * frames:.0f} s for {frames} frames"
                )
                continue
            key = f"{name} {backend}"
            names[key] = title
            ways[key] = ["--model", str(path), "--backend", backend, "--threads", str(threads), "--proxy", str(proxy)]
    say(f"{len(ways)} ways from file to file, {runs} times")
    taken = run_in_turn(clip, here, ways, runs)
    whole = [names[key] | combine(taken[key], taken[PLAIN], reference) for key in ways]
    return alone, whole, notes


def _flops(path: Path, seen: Size, paints: bool) -> int:
    """Of one frame. A network that paints is too heavy to be run at full size for counting."""
    if not paints or seen[0] * seen[1] <= COUNTED[0] * COUNTED[1]:
        return count_graph(path, seen)
    # Its convolutions keep the size and its poolings divide multiples of 16 without a rest: exact.
    return round(count_graph(path, SMALL) * (seen[0] * seen[1]) / (SMALL[0] * SMALL[1]))


def _size_of(clip: Path) -> Size:
    import av

    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        return video.height, video.width


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.table")
