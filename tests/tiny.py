"""A model small enough to reason about: it paints frame − reference + alpha."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from magfilter.networks import DESCRIPTORS


def tiny(path: Path, size: tuple[int, int] | None = None, add: float = 0.0) -> Path:
    """Write it. It takes a map of alpha, any size or only (height, width), and adds `add`."""
    shape = [1, 3, *(size or ("h", "w"))]
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["frame", "reference"], ["difference"]),
            helper.make_node("Add", ["alpha", "add"], ["more"]),
            helper.make_node("Add", ["difference", "more"], ["magnified"]),
        ],
        "tiny",
        [
            helper.make_tensor_value_info("reference", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("frame", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("alpha", TensorProto.FLOAT, [1, 1, "y", "x"]),
        ],
        [helper.make_tensor_value_info("magnified", TensorProto.FLOAT, shape)],
        [helper.make_tensor("add", TensorProto.FLOAT, [], [add])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"magfilter.descriptor": DESCRIPTORS["unet"].to_json()})
    onnx.save(model, str(path))
    return path


def pictures(count: int, size: tuple[int, int] = (16, 32)) -> list[np.ndarray]:
    return list(np.random.default_rng(0).random((count, 3, *size), np.float32))
