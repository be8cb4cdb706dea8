"""Floating point operations of a network, counted from the shapes of its convolutions and products.

A multiplication and an addition are two. Everything else in a network (resizing, look-ups, sums over windows) is
left out: it is what keeps a network from its matrix rate, not what it should be given credit for.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["count_events", "count_graph", "count_torch"]


def count_events(events: list[dict[str, Any]]) -> int:
    """Operations in the records of nodes that ONNX Runtime's profiler writes."""
    total = 0
    for event in events:
        about = event.get("args", {})
        kind = about.get("op_name")
        if kind not in ("Conv", "ConvTranspose", "MatMul", "Gemm") or "output_type_shape" not in about:
            continue
        given, weight = (_shape(about["input_type_shape"][k]) for k in range(2))
        made = _shape(about["output_type_shape"][0])
        if kind == "Conv":  # weight (O, I / groups, kh, kw): that many products a point of the output
            total += 2 * math.prod(made) * math.prod(weight[1:])
        elif kind == "ConvTranspose":  # weight (I, O / groups, kh, kw), and a point of the input
            total += 2 * math.prod(given) * math.prod(weight[1:])
        else:  # a Gemm may transpose what it is given: its inner length is what the output has not
            inner = given[-1] if kind == "MatMul" else math.prod(given) // made[0]
            total += 2 * math.prod(made) * inner
    return total


def _shape(entry: dict[str, list[int]]) -> list[int]:
    """{"float": [1, 2]} → [1, 2]"""
    return next(iter(entry.values()))


def count_graph(path: Path, size: tuple[int, int]) -> int:
    """Operations of an ONNX model on images of (height, width), batch 1: it is run once, unoptimised.

    ONNX Runtime says what shapes its nodes met. The graph's own shapes are symbols, which onnx's shape inference does
    not resolve for `warp`.
    """
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.log_severity_level = 3
        # Optimised, convolutions go by other names and have other weights.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feeds = {}
        for item in session.get_inputs():
            # Images have channels that are known; what alpha has for rows and columns is ours to choose.
            image = len(item.shape) == 4 and item.name != "alpha"
            shape = [n if isinstance(n, int) else 1 for n in item.shape]
            feeds[item.name] = np.ones((*shape[:2], *size) if image else shape, np.float32)
        session.run(None, feeds)
        return count_events(json.loads(Path(session.end_profiling()).read_text()))


def count_torch(name: str, size: tuple[int, int], width: int = 0) -> int:
    """Operations of a network of ours on images of (height, width), batch 1; nothing is computed."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from magfilter.networks.build import build_network
    from magfilter.networks.descriptor import DESCRIPTORS

    with torch.device("meta"), torch.no_grad():  # tensors of shapes, without content
        net = build_network(name, width).eval()
        image = torch.empty(1, DESCRIPTORS[name].channels, *size)
        alpha = () if DESCRIPTORS[name].output == "flow" else (torch.empty(1, 1, 1, 1),)
        with FlopCounterMode(display=False) as counter:
            net(image, image, *alpha)
    return int(counter.get_total_flops())
