"""Anybody's model file: what a network takes and gives is looked at before it is used, and refused in a line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny import pictures, tiny

from magfilter import compiled
from magfilter.backends import judged, open_engine, sessions
from magfilter.backends.output import run_checked
from magfilter.errors import ModelError
from magfilter.magnifier import Magnifier
from magfilter.models import find_model, parse_metadata
from magfilter.networks import DESCRIPTORS
from magfilter.networks.descriptor import Descriptor

FLOW = {"name": "other", "output_stride": 1}  # gives two numbers for every pixel of two pictures put together


def network(path: Path, kind: str = "Concat", scale: float = 1.0, names=("reference", "frame"), shape=None, **said):
    """A file that puts its inputs together and multiplies them, and says of itself what is said."""
    shape = shape or [1, 1, "h", "w"]
    more = {"axis": 1} if kind == "Concat" else {}
    nodes = [helper.make_node(kind, list(names), ["z"], **more), helper.make_node("Mul", ["z", "scale"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "any",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("scale", TensorProto.FLOAT, [], [scale])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    text = json.dumps({**json.loads(DESCRIPTORS["warp"].to_json()), **FLOW, **said})
    helper.set_model_props(model, {"magfilter.descriptor": text})
    onnx.save(model, str(path))
    return path


def push(path: Path) -> None:
    magnifier = Magnifier(5, model=path, backend="onnxruntime-cpu", threads=1, shot_cuts=False)
    for frame in np.random.default_rng(0).integers(0, 256, (2, 64, 128, 3), np.uint8):
        magnifier.push(frame)


def test_what_fits_runs(tmp_path):
    push(network(tmp_path / "a.onnx"))


@pytest.mark.parametrize("options", [{"kind": "Add"}, {"output_stride": 2}, {"output_stride": 7}], ids=str)
def test_another_shape_than_promised_is_refused(tmp_path, options):
    """Compiled code would read beyond it."""
    with pytest.raises(ModelError, match=r"gives float32 of shape \(.*promises float32 of shape \(2, "):
        push(network(tmp_path / "a.onnx", **options))


@pytest.mark.parametrize("scale", [np.nan, np.inf, 1e30])
def test_motion_that_is_no_number_is_refused(tmp_path, scale):
    with pytest.raises(ModelError, match="gives motion in numbers that are not finite"):
        push(network(tmp_path / "a.onnx", scale=scale))


def test_a_picture_that_is_no_number_is_refused(tmp_path):
    engine = open_engine(tiny(tmp_path / "a.onnx", add=np.nan), "onnxruntime-cpu", threads=1)
    with pytest.raises(ModelError, match="gives a picture in numbers"):
        run_checked(engine, *pictures(2), 2.0)


@pytest.mark.skipif(compiled.version() is None, reason="numba is not installed")
@pytest.mark.parametrize(("weight", "value"), [("judge.head.weight", np.nan), ("damping", 1e30)])
def test_so_is_that_of_our_own_network_with_other_weights(tmp_path, weight, value, recwarn):
    file = onnx.load(str(find_model("warp-light")))
    for item in file.graph.initializer:
        if item.name.removesuffix(".half").endswith(weight):
            array = onnx.numpy_helper.to_array(item)
            item.CopyFrom(onnx.numpy_helper.from_array(np.full_like(array, value), item.name))
    onnx.save(file, str(tmp_path / "a.onnx"))
    with pytest.raises(ModelError, match="not finite"):
        push(tmp_path / "a.onnx")
    assert not [each for each in recwarn if issubclass(each.category, RuntimeWarning)]


@pytest.mark.parametrize(
    "options",
    [{"names": ("x",)}, {"names": ("reference", "frame", "more")}, {"shape": [1], "kind": "Add"}, {"channels": 3}],
    ids=str,
)
def test_a_graph_that_takes_something_else_is_refused(tmp_path, options):
    if options.get("channels"):
        options = {**options, "shape": [1, 1, "h", "w"]}
    with pytest.raises(ModelError, match="a magfilter model takes reference and frame"):
        open_engine(network(tmp_path / "a.onnx", **options), "onnxruntime-cpu", threads=1)


@pytest.mark.skipif(compiled.version() is None, reason="numba is not installed")
def test_our_own_weights_under_another_description_are_not_compiled(tmp_path):
    file = onnx.load(str(find_model("warp-light")))
    helper.set_model_props(
        file, {"magfilter.descriptor": json.dumps({**json.loads(DESCRIPTORS["warp"].to_json()), "channels": 3})}
    )
    onnx.save(file, str(tmp_path / "a.onnx"))
    assert judged.read_judged(tmp_path / "a.onnx", 1) is None
    with pytest.raises(ModelError, match=r"float of \(1, 3, H, W\)"):
        push(tmp_path / "a.onnx")


def test_what_fails_on_pictures_is_a_line(tmp_path, capfd):
    """Inputs that it says may be any size and are not."""
    path = network(tmp_path / "a.onnx", kind="MatMul")
    with pytest.raises(ModelError, match="fails on pictures"):
        push(path)
    assert capfd.readouterr().err == ""


WRONG = {
    "pad_multiple": [0, -1, 2.5, "64", True, None, 10**6],
    "output_stride": [0, 1.5, 10**9, "1"],
    "channels": [2, 1.0, True, "1"],
    "alpha_range": [[0, 0], [0, 1], [2, 1], [-1, 5], [float("nan")] * 2, [1], 3, None],
    "name": [None, "", 3],
    "output": ["frame", "other", None, ["flow"]],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_descriptors_are_checked(key, value):
    text = json.dumps({**json.loads(DESCRIPTORS["warp"].to_json()), key: value})
    with pytest.raises(ModelError, match="lacks a valid descriptor"):
        parse_metadata(Path("a.onnx"), {"magfilter.descriptor": text})


def test_our_own_descriptors_pass():
    for descriptor in DESCRIPTORS.values():
        assert Descriptor.from_json(descriptor.to_json()) == descriptor


@pytest.mark.parametrize("text", ["[" * 200_000, "x" * 5000, "[1, 2]"])
@pytest.mark.parametrize("key", ["magfilter.descriptor", "magfilter.record"])
def test_metadata_that_is_no_description_is_refused_in_a_line(key, text):
    good = {"magfilter.descriptor": DESCRIPTORS["warp"].to_json()}
    with pytest.raises(ModelError) as refused:
        parse_metadata(Path("a.onnx"), {**good, key: text})
    assert len(str(refused.value)) < 400


def test_want_of_memory_is_not_the_files_fault(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc")

    monkeypatch.setattr(sessions, "_session", full)
    with pytest.raises(MemoryError):
        sessions.open_session(tmp_path / "a.onnx", [sessions.CPU], 1)


def test_an_engine_of_somebodys_own_need_not_know_of_float32():
    engine = SimpleNamespace(
        model=SimpleNamespace(descriptor=DESCRIPTORS["warp"], path=Path("own")),
        run=lambda one, two, alpha: np.zeros((2, one.shape[1] // 2, one.shape[2] // 2)),
    )
    image = np.zeros((1, 64, 64), np.float32)
    assert run_checked(engine, image, image, 10.0).dtype == np.float32
