"""Ratios of CPU time: one export of `warp` against another, NumPy against ONNX Runtime, and both against numba.

    python -m benchmarks.steps MODEL_A MODEL_B

One thread, one process, both sides in turn, CPU time of the process: what else runs on the machine disturbs both
alike. Only the first ratio needs models; the second, of looking up pixels, needs the package onnx (the graph is one
GridSample node), the third, of moving a whole picture, numba, and the fourth, of measuring its motion, both.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime as ort

from benchmarks.markdown import table
from benchmarks.table import parse_size
from magfilter import compiled
from magfilter.backends import open_engine
from magfilter.backends.resample import Resampler
from magfilter.blocks import reduced
from magfilter.displace import magnified_displacement
from magfilter.interpolate import Curved
from magfilter.models import shipped_models

MODEL = click.Path(exists=True, dir_okay=False, path_type=Path)


def in_turn(
    works: Sequence[Callable[[], Any]], runs: int, clock: Callable[[], float] = time.process_time
) -> list[float]:
    """Median seconds of each piece of work, all run once before, then one after the other as often as told."""
    for work in works:
        work()
    spans: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for work, into in zip(works, spans, strict=True):
            begun = clock()
            work()
            into.append(clock() - begun)
    return [statistics.median(into) for into in spans]


def session(model: str | bytes) -> ort.InferenceSession:
    """One thread, as quiet as the filter's."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def grid_sample() -> bytes:
    """An ONNX model that is one GridSample node: linear, border repeated, corners aligned."""
    from onnx import TensorProto, helper

    def tensor(name: str, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    node = helper.make_node(
        "GridSample", ["planes", "grid"], ["out"], mode="linear", padding_mode="border", align_corners=1
    )
    graph = helper.make_graph(
        [node],
        "look-up",
        [tensor("planes", [1, 4, "h", "w"]), tensor("grid", [1, "rows", "cols", 2])],
        [tensor("out", [1, 4, "rows", "cols"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def look_ups(size: tuple[int, int]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The same look-up of every pixel of a plane (height, width), by NumPy and by ONNX Runtime.

    ONNX Runtime has its four planes and its grid ready and only looks up; NumPy also makes one value of the four.
    """
    height, width = size
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 256, size, np.uint8)
    waves = np.sin(np.arange(height, dtype=np.float32) / 40)[:, None], np.cos(np.arange(width, dtype=np.float32) / 40)
    y = (np.arange(height, dtype=np.float32)[:, None] + 3 * waves[0] * waves[1]).astype(np.float32)
    x = (np.arange(width, dtype=np.float32) + 3 * waves[0] * waves[1]).astype(np.float32)
    source = Curved(plane)
    wide = np.pad(plane, 1, mode="edge").astype(np.float32)
    along = wide[:, :-2] + wide[:, 2:] - 2 * wide[:, 1:-1]
    down = (wide[:-2] + wide[2:] - 2 * wide[1:-1])[:, 1:-1]
    both = along[:-2] + along[2:] - 2 * along[1:-1]
    planes = np.stack([plane.astype(np.float32), along[1:-1], down, both])[None]
    grid = np.stack([x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1], -1)[None].astype(np.float32)
    runner = session(grid_sample())
    return lambda: source(y, x), lambda: runner.run(None, {"planes": planes, "grid": grid})[0]


def pictures(size: tuple[int, int], alpha: float = 10.0) -> Callable[[], Any]:
    """A plane (height, width) moved by ten times a flow of waves and a thing that slides over them."""
    height, width = size
    y, x = np.mgrid[: height // 2, : width // 2].astype(np.float32)
    flow = 0.5 * np.stack([np.sin(y / 40) * np.cos(x / 40), np.cos(y / 30)]).astype(np.float32)
    flow[:, height // 8 : height // 4, width // 8 : width // 4] += 1.5
    plane = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    resample = Resampler(1)
    return lambda: resample(plane, magnified_displacement(flow, alpha, 2), (1.0, 1.0), 255)


def measuring(model: str, size: tuple[int, int]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A model's flow between images of (height, width), by numba and ONNX Runtime, and by ONNX Runtime alone."""
    engine = open_engine(model, "onnxruntime-cpu", threads=1)
    rng = np.random.default_rng(0)
    reference = reduced(rng.random((1, 2 * size[0], 2 * size[1]), np.float32), 2)
    frame = np.roll(reference, 1, 2)

    def alone() -> None:
        with compiled.left_out():
            engine.run(reference, frame, 1.0)

    return lambda: engine.run(reference, frame, 1.0), alone


def compare_models(one: Path, other: Path, size: tuple[int, int], runs: int) -> list[float]:
    """Median CPU seconds of two models of flow on images of (height, width)."""
    rng = np.random.default_rng(0)
    reference = rng.random((1, 1, *size), np.float32)
    feeds = {"reference": reference, "frame": np.roll(reference, 1, 3)}
    sessions = [session(str(path)) for path in (one, other)]
    return in_turn([lambda s=s: s.run(None, feeds) for s in sessions], runs)


def _row(a: str, b: str, seconds_a: float, seconds_b: float) -> dict[str, Any]:
    return {"A": a, "B": b, "A, ms": 1000 * seconds_a, "B, ms": 1000 * seconds_b, "B / A": seconds_b / seconds_a}


@click.command()
@click.argument("model_a", type=MODEL, required=False)
@click.argument("model_b", type=MODEL, required=False)
@click.option("--size", default="960x576", show_default=True, metavar="WxH", help="Multiples of 64.")
@click.option("--runs", default=15, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here too.")
def main(model_a: Path | None, model_b: Path | None, size: str, runs: int, json_path: Path | None) -> None:
    """Print the ratios: MODEL_B over MODEL_A, NumPy over ONNX Runtime, and without numba over with it."""
    at = parse_size(size)
    rows = []
    if model_a and model_b:
        a, b = compare_models(model_a, model_b, at, runs)
        rows.append(_row(str(model_a), str(model_b), a, b))
    elif model_a:
        raise click.UsageError("Give two models, or none.")
    numpy, onnxruntime = look_ups(at)
    b, a = in_turn([numpy, onnxruntime], runs)
    rows.append(_row("GridSample, ONNX Runtime", "Curved, NumPy", a, b))
    if compiled.kernels():
        move = pictures(at)

        def with_numpy() -> None:
            with compiled.left_out():
                move()

        a, b = in_turn([move, with_numpy], runs)
        rows.append(_row("picture moved, numba", "picture moved, NumPy", a, b))
        for model in shipped_models():
            a, b = in_turn(measuring(model, at), runs)
            rows.append(_row(f"{model}, numba and ONNX Runtime", f"{model}, ONNX Runtime", a, b))
    click.echo(f"CPU time at {size}, one thread, medians of {runs} in turn:\n\n{table(rows)}")
    if json_path:
        json_path.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.steps")
