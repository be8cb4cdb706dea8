"""`warp` on the CPU with all but its judge compiled: ONNX Runtime convolves, numba does the rest.

The same weights from the same file, and the same flow but for rounding, in about half the time: most of what
surrounds the judge is many small steps, each of which ONNX Runtime takes over the whole picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.backends.sessions import open_graph
from magfilter.compiled import Kernels, Learned, version
from magfilter.forks import start_here
from magfilter.models import ModelInfo, parse_metadata
from magfilter.networks.constants import CELL, CHOICES, DERIVE, DOUBT, FEATURES, HALFWAY, SMOOTH, VERDICTS

__all__ = ["JudgedWarp", "read_judged"]

Array = NDArray[np.float32]

CELL_NAME, JUDGE = "cell.", "cell.judge."
JUDGES = ("enter.0.0", "down1.0.0", "down2.0.0", "side2", "up1.0", "side1", "up0.0", "head")  # layers of any
SLOPE = 0.1  # of LeakyReLU below zero
OPSET, IR = 20, 10
FEWEST = 32  # rows of a grid that are worth a thread of their own


class JudgedWarp:
    """Measures flow as the whole graph in an ONNX file does.

    Args:
        weights: the file's, by name.
        info: what the file says of itself.
        levels: scales of its pyramid.
        threads: of one run.
    """

    def __init__(self, weights: Mapping[str, Array], info: ModelInfo, levels: int, threads: int) -> None:
        self.model = info
        self._levels = levels
        with np.errstate(over="ignore"):  # what is beyond shows in the flow, which is looked at
            damping, trust = np.exp(weights["cell.damping"]), np.exp(weights["cell.trust"])
        self._learned = Learned(damping, trust, weights["cell.prior"], weights["cell.near"])
        self._looks_at = weights[f"{JUDGE}enter.0.0.weight"].shape[1]
        self._session = open_graph(judge_graph(weights), threads)
        self._says = self._session.get_outputs()[0].name
        self._threads = threads
        self._reference: tuple[Array, list[Array]] | None = None
        start_here(self)

    def start(self) -> None:
        """See `magfilter.forks`."""
        self._pool = ThreadPoolExecutor(self._threads, "measure") if self._threads > 1 else None

    def settle(self) -> None:
        """Nothing goes on in them unless `run` does, which waits."""

    def run(self, fast: Kernels, reference: Array, frame: Array) -> Array:
        """Flow (2, H/2, W/2), px, of images (1, H, W). The same reference array is taken to hold what it held.

        Raises:
            ValueError: of another shape, which what is compiled would not notice.
        """
        multiple = self.model.descriptor.pad_multiple
        if (
            frame.shape != reference.shape
            or frame.ndim != 3
            or frame.shape[0] != 1
            or any(not side or side % multiple for side in frame.shape[1:])
        ):
            raise ValueError(
                f"Expected two images (1, H, W) of sides that are multiples of {multiple}, "
                f"got {reference.shape} and {frame.shape}."
            )
        known = self._reference
        if known is None or known[0] is not reference:
            known = reference, fast.scales(reference[0], self._levels, self._share)
            self._reference = known
        frames = fast.scales(frame[0], self._levels, self._share)
        return fast.measure(self._learned, self._judge, known[1], frames, self._share)

    def _judge(self, features: Array) -> Array:
        verdict = np.empty((1, VERDICTS, *features.shape[1:]), np.float32)
        bound = self._session.io_binding()  # its own result would be copied into an array of its own
        bound.bind_cpu_input("features", features[None, : self._looks_at])
        bound.bind_output(self._says, "cpu", 0, np.float32, verdict.shape, verdict.ctypes.data)
        self._session.run_with_iobinding(bound)
        said: Array = verdict[0]
        return said

    def _share(self, work: Callable[[int, int], None], rows: int) -> None:
        parts = min(self._threads, rows // FEWEST)
        if parts < 2 or self._pool is None:
            work(0, rows)
            return
        edges = [rows * k // parts for k in range(parts + 1)]
        list(self._pool.map(work, edges[:-1], edges[1:]))


def read_judged(path: Path, threads: int) -> JudgedWarp | None:
    """A file's network, if it can be run so: a `warp` in single precision for any size, numba and onnx installed."""
    if version() is None:
        return None
    try:
        import onnx
        from onnx import numpy_helper

        file = onnx.load(str(path))
        info = parse_metadata(path, {item.key: item.value for item in file.metadata_props})
    except Exception:  # whoever opens the file next says what is wrong with it; without onnx there is another way
        return None
    any_size = all(not axis.dim_value for item in file.graph.input for axis in item.type.tensor_type.shape.dim[2:])
    said = info.descriptor
    known = (said.name, said.output, said.channels, said.output_stride) == ("warp", "flow", 1, 2)
    if not known or info.precision != "fp32" or not any_size:
        return None
    weights = {
        item.name.removesuffix(".half"): numpy_helper.to_array(item).astype(np.float32)
        for item in file.graph.initializer
        if item.name.startswith(CELL_NAME)
    }
    levels = _levels(file.graph)
    if not levels or info.descriptor.pad_multiple % (CELL << (levels - 1)) or not _ours(weights):
        return None
    try:
        return JudgedWarp(weights, info, levels, threads)
    except Exception:  # layers that do not fit each other, or no memory: opening the whole graph says so
        return None


def _levels(graph: Any) -> int:
    """How often a graph judges: once a scale."""
    bias = {f"{JUDGE}head.bias", f"{JUDGE}head.bias.half"}
    bias |= {name for node in graph.node if node.op_type == "Cast" and node.input[0] in bias for name in node.output}
    return sum(node.op_type == "Conv" and len(node.input) == 3 and node.input[2] in bias for node in graph.node)


def _ours(weights: Mapping[str, Array]) -> bool:
    """Whether it is the network that `magfilter.networks.warp` describes, with the numbers that are not learned."""
    try:
        slopes, between = weights["cell.slopes"], weights["cell.between"]
        first, head = weights[f"{JUDGE}enter.0.0.weight"], weights[f"{JUDGE}head.weight"]
        shapes = [weights[f"cell.{name}"].shape for name in ("damping", "trust", "prior", "near")]
        doubt = weights["cell.doubt"]  # files of before let the judge's word stand alone
    except KeyError:
        return False
    lacking = [
        name for name in JUDGES if f"{JUDGE}{name}.weight" not in weights or f"{JUDGE}{name}.bias" not in weights
    ]
    if lacking or (slopes.shape, between.shape) != ((32, 1, 8, 8), (64, 1, 9, 9)):
        return False
    derive, halfway = np.outer(SMOOTH, DERIVE), np.outer((0, 0, 1, 0, 0, 0), HALFWAY)
    return (
        shapes == [(3,), (3,), (CHOICES,), (36,)]
        and first.shape[1] in (FEATURES - 1, FEATURES)
        and head.shape[0] == VERDICTS
        and bool(np.allclose(doubt, DOUBT, rtol=1e-2))
        and bool(np.allclose(slopes[0, 0, :5, :5], derive, atol=1e-3))
        and bool(np.allclose(between[1, 0, :6, :6], halfway, atol=1e-3))
    )


def judge_graph(weights: Mapping[str, Array]) -> bytes:
    """The judge alone as an ONNX model, (1, C, h, w) → (1, VERDICTS, h, w); see `magfilter.networks.judge.Judge`.

    Args:
        weights: by their names in `warp`.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []

    def node(kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{kind}{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def convolved(x: str, layer: str, stride: int = 1, active: bool = True) -> str:
        side = weights[f"{JUDGE}{layer}.weight"].shape[-1]
        names = [x, f"{JUDGE}{layer}.weight", f"{JUDGE}{layer}.bias"]
        y = node("Conv", names, kernel_shape=[side] * 2, pads=[side // 2] * 4, strides=[stride] * 2)
        return node("LeakyRelu", [y], alpha=SLOPE) if active else y

    def block(x: str, name: str, stride: int = 1) -> str:
        n = 0
        while f"{JUDGE}{name}.{n}.0.weight" in weights:
            x = convolved(x, f"{name}.{n}.0", 1 if n else stride)
            n += 1
        return x

    def joined(fine: str, coarse: str) -> str:
        size = node("Concat", [node("Shape", [coarse], end=2), node("Shape", [fine], start=2)], axis=0)
        grown = node("Resize", [coarse, "", "", size], mode="linear", coordinate_transformation_mode="half_pixel")
        return node("Add", [fine, grown])

    x0 = block("features", "enter")
    x1 = block(x0, "down1", 2)
    x2 = block(x1, "down2", 2)
    x1 = convolved(joined(x1, convolved(x2, "side2", active=False)), "up1.0")
    x0 = convolved(joined(x0, convolved(x1, "side1", active=False)), "up0.0")
    out = convolved(x0, "head", active=False)

    def tensor(name: str, channels: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "h", "w"])

    graph = helper.make_graph(
        nodes,
        "judge",
        [tensor("features", weights[f"{JUDGE}enter.0.0.weight"].shape[1])],
        [tensor(out, VERDICTS)],
        [numpy_helper.from_array(value, name) for name, value in weights.items() if name.startswith(JUDGE)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    return bytes(model.SerializeToString())
