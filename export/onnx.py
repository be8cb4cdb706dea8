"""A training checkpoint as an ONNX model that the filter loads.

Weights are rounded to half precision first and stored so, each behind a cast that ONNX
Runtime folds away on loading: half the file, and torch with the same rounded weights
agrees with it to the last digits. Arithmetic stays in single precision, and batch
normalisation as it is, which ONNX Runtime and TensorRT fold on loading: such a file has
every weight under its own name, and training can go on from it.

With precision "fp16" batch normalisation is folded here and convolutions are computed in
half precision, see `magfilter.networks.precision`. Inputs and outputs stay single.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes.common import CommonSubexpressionEliminationPass
from torch import Tensor, nn

from magfilter import __version__
from magfilter.networks.build import build_network
from magfilter.networks.descriptor import DESCRIPTORS
from magfilter.networks.precision import halve
from trainer.checkpoint import HALF_FROM, CheckpointError, fill, halved, load_weights, training_record
from trainer.files import check_target

__all__ = [
    "PARITY",
    "PARITY_HALF",
    "PRECISIONS",
    "export_checkpoint",
    "export_network",
    "load_checkpoint",
    "parity",
]

OPSET = 20
PARITY = 1e-4  # largest difference allowed between torch and ONNX Runtime, in units of the output
PARITY_HALF = 2e-2  # the same where the file computes in half precision and torch in single
PRECISIONS = ("fp32", "fp16")


def load_checkpoint(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The averaged weights of a training run, in evaluation mode, and their training record.

    Args:
        path: a run's folder, one of its checkpoints, or a file of weights: see `trainer.checkpoint.load_weights`.

    Raises:
        ValueError: if it is none of these, or does not say which network it is of.
    """
    weights, metadata = load_weights(path)
    record = training_record(metadata)
    name = record.get("network")
    if name not in DESCRIPTORS:
        raise ValueError(f"{path}: not a checkpoint of `python -m trainer train`: its header names network {name!r}.")
    record.setdefault("width", 0)
    try:
        net = build_network(name, record["width"], weights=weights)
    except ValueError as error:
        raise ValueError(f"{path}: the weights are of another network. {error}") from None
    fill(net, weights, path)
    return net.eval(), record


def _example(name: str, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Smooth random inputs of (height, width), so that the exporter traces and parity tests what the network meets."""
    g = torch.Generator().manual_seed(0)
    image = torch.rand(1, DESCRIPTORS[name].channels, *size, generator=g)
    image = torch.nn.functional.avg_pool2d(image, 5, 1, 2)
    pair = (image, image.roll((1, 2), (2, 3)).contiguous())
    return pair if name == "warp" else (*pair, torch.full((1, 1, 1, 1), 4.0))


def export_network(
    net: nn.Module,
    name: str,
    target: Path,
    record: dict[str, Any],
    precision: str = "fp32",
    size: tuple[int, int] | None = None,
) -> float:
    """Write `net` to `target` and compare it with torch; says so on stderr, as it takes its time.

    Args:
        net: in evaluation mode; its weights are rounded to half precision in place.
        name: "warp" or "unet"; record: what to say of the training.
        precision: "fp32" or "fp16".
        size: (height, width) of the only input the file will take; None for any multiple of the pad multiple.

    Returns:
        The largest absolute difference to torch in single precision; where any size goes, at another than
        the traced one.

    Raises:
        ValueError: if it exceeds `PARITY` or `PARITY_HALF`, a weight does not fit into half precision,
            size is no multiple of the pad multiple, or `target` cannot be written, which is found out first.
    """
    descriptor = DESCRIPTORS[name]
    m = descriptor.pad_multiple
    if precision not in PRECISIONS:
        raise ValueError(f"Expected precision {' or '.join(PRECISIONS)}, got {precision!r}.")
    if size and (min(size) < m or size[0] % m or size[1] % m):
        rows, cols = (max(m, -(-n // m) * m) for n in size)
        raise ValueError(f"{name} takes multiples of {m} px, got {size[1]}x{size[0]}; give {cols}x{rows}.")
    check_target(target)
    sizes = f"{size[1]}x{size[0]} alone" if size else "any size, which takes a minute or more on a CPU"
    print(f"exporting {name} as ONNX for {sizes}", file=sys.stderr, flush=True)
    with torch.no_grad():
        for value in net.state_dict().values():
            value.copy_(halved(value))
    model = _trace(halve(copy.deepcopy(net)) if precision == "fp16" else net, name, size)
    if precision == "fp32":
        _store_half(model)
    helper.set_model_props(
        model,
        {
            "magfilter.version": __version__,
            "magfilter.descriptor": descriptor.to_json(),
            "magfilter.precision": precision,
            "magfilter.record": json.dumps(record),
        },
    )
    onnx.checker.check_model(model)
    worst = parity(net, name, model.SerializeToString(), size)
    bound = PARITY if precision == "fp32" else PARITY_HALF
    if not worst <= bound:
        raise ValueError(f"ONNX differs from torch by {worst:.2g}, more than {bound:g}; the export is wrong.")
    _write(target, model.SerializeToString())
    return worst


def _trace(net: nn.Module, name: str, size: tuple[int, int] | None) -> onnx.ModelProto:
    """The graph of `net`, with nothing in it that only its maker could know."""
    descriptor = DESCRIPTORS[name]
    m = descriptor.pad_multiple
    names = ["reference", "frame"] + ([] if name == "warp" else ["alpha"])
    dynamic: dict[str, Any] | None = None
    if size is None:
        rows, cols = torch.export.Dim("rows", min=1, max=512), torch.export.Dim("cols", min=1, max=512)
        dynamic = {key: None if key == "alpha" else {2: m * rows, 3: m * cols} for key in names}
    # The exporter writes notes to stdout and warns about packages that are not needed here.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net,
            _example(name, size or (3 * m, 5 * m)),
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=["flow" if descriptor.output == "flow" else "magnified"],  # "frame" is an input's name
            dynamic_shapes=dynamic,
            # Folding is ONNX Runtime's business on loading, and costs it nothing measurable; a folded file
            # would lack weights under their own names, which the torch backend reads them by.
            optimize=False,
            verbose=False,
        )
        assert program is not None
        model: onnx.ModelProto = program.model_proto
    # The exporter writes each index down anew wherever it is used: three nodes of four, a second on every loading.
    graph = onnx_ir.serde.deserialize_model(model)
    CommonSubexpressionEliminationPass()(graph)
    model = onnx_ir.serde.serialize_model(graph)
    model.producer_name, model.doc_string = "magfilter", ""
    for node in model.graph.node:  # source lines of the machine it was made on say nothing to anyone else
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for item in model.graph.input:
        if item.name == "alpha":
            # One factor, (1, 1, 1, 1), or one for every pixel, (1, 1, H, W): the graph spreads the encoding over
            # the picture by an Expand, which takes both. What it was traced with is then no longer every shape.
            for axis, label in ((2, "alpha_rows"), (3, "alpha_cols")):
                item.type.tensor_type.shape.dim[axis].dim_param = label
            del model.graph.value_info[:]
    return model


def parity(net: nn.Module, name: str, model: bytes, size: tuple[int, int] | None = None) -> float:
    """Largest |torch − ONNX Runtime| on smooth random images, of `size` or of another size than the traced one."""
    m = DESCRIPTORS[name].pad_multiple
    inputs = _example(name, size or (4 * m, 3 * m))
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    feeds = {item.name: value.numpy() for item, value in zip(session.get_inputs(), inputs, strict=True)}
    got = session.run(None, feeds)[0]
    with torch.no_grad():
        wanted = net(*inputs).numpy()
    return float(np.abs(got - wanted).max())


def export_checkpoint(checkpoint: Path, target: Path) -> tuple[float, dict[str, Any]]:
    """`export_network` of a checkpoint's averaged weights; returns the parity error and the record."""
    net, record = load_checkpoint(checkpoint)
    return export_network(net, record["network"], target, record), record


def _store_half(model: onnx.ModelProto) -> None:
    """Store every large float initializer in half precision, behind a Cast."""
    casts = []
    for item in list(model.graph.initializer):
        array = numpy_helper.to_array(item)
        if array.dtype != np.float32 or array.size < HALF_FROM or not np.isfinite(array.astype(np.float16)).all():
            continue
        if not np.array_equal(array.astype(np.float16).astype(np.float32), array):
            continue  # a folded constant, not a rounded weight: half would change it
        name = item.name
        model.graph.initializer.remove(item)
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float16), name + ".half"))
        casts.append(helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _write(target: Path, data: bytes) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, target)
    except OSError as error:  # the disk is full, say
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise CheckpointError(f"{target} could not be written ({error.strerror or error}).") from error
