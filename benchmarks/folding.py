"""What would be saved by keeping, from frame to frame, what depends on the reference or on the factor alone.

    python -m benchmarks.folding

For networks that measure flow: the share of one thread's time that ONNX Runtime spends on nodes that do not
depend on the frame. For `unet`: the share of its multiplications in the first convolution's part that sees
the reference and the encoded factor, which no later layer keeps apart.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import click
import numpy as np
import onnx
import onnxruntime as ort

from benchmarks.markdown import table
from benchmarks.table import parse_size
from magfilter.models import find_model

RUNS = 6  # the first is left out


def sides(model: onnx.ModelProto) -> dict[str, frozenset[str]]:
    """The inputs that each node of a graph, by its name, depends on."""
    inputs = {item.name: frozenset([item.name]) for item in model.graph.input}
    found: dict[str, frozenset[str]] = {}
    for node in model.graph.node:  # sorted topologically, as ONNX demands
        found[node.name] = frozenset().union(*(inputs.get(name, frozenset()) for name in node.input))
        inputs |= dict.fromkeys(node.output, found[node.name])
    return found


def reference_share(path: Path, size: tuple[int, int]) -> float:
    """Share 0..1 of the time spent on nodes that do not depend on `frame`; images of (height, width)."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.optimized_model_filepath = f"{folder}/optimised.onnx"
        options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        rng = np.random.default_rng(0)
        feeds = {name: rng.random((1, 1, *size), np.float32) for name in ("reference", "frame")}
        for _ in range(RUNS):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
        depends = sides(onnx.load(f"{folder}/optimised.onnx"))
    warm = [event["ts"] for event in events if event["name"] == "model_run"][1]
    spent: Counter[bool] = Counter()
    for event in events:
        name = event["name"].removesuffix("_kernel_time")
        if event.get("cat") == "Node" and name != event["name"] and event["ts"] >= warm:
            spent["frame" in depends.get(name, frozenset(["frame"]))] += event["dur"]
    return spent[False] / (spent[False] + spent[True])


def first_layer_share() -> float:
    """Share 0..1 of the multiplications of `unet` that its first convolution spends on reference and factor."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from magfilter.networks.unet import UNet

    net = UNet().eval()
    first = next(module for module in net.modules() if isinstance(module, torch.nn.Conv2d))
    side = 64
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.rand(1, 3, side, side), torch.rand(1, 3, side, side), torch.tensor([4.0]))
    constant = 2 * first.weight[:, 3:].numel() * side**2  # all but the frame's three channels
    return constant / counter.get_total_flops()


@click.command()
@click.argument("models", nargs=-1)
@click.option("--size", default="960x576", show_default=True, metavar="WxH", help="Multiples of 64.")
def main(models: tuple[str, ...], size: str) -> None:
    """Print the shares, for MODELS (default: warp and warp-light) and for the paper's network."""
    at = parse_size(size)
    rows = [
        {"network": name, "of": "time", "share that folding saves at most": reference_share(find_model(name), at)}
        for name in models or ("warp", "warp-light")
    ]
    rows.append({"network": "unet", "of": "multiplications", "share that folding saves at most": first_layer_share()})
    click.echo(table(rows))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.folding")
