"""Checkpoint → ONNX: the file computes what torch computes, says what it is, and is refused where it does not."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export needs torch: pip install -e .[train]")
onnx = pytest.importorskip("onnx", reason="the export needs onnx: pip install -e .[train]")
pytest.importorskip("onnxscript", reason="the export needs onnxscript: pip install -e .[train]")
pytest.importorskip("safetensors", reason="the export needs safetensors: pip install -e .[train]")
import onnxruntime as ort  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # export/ is not part of the wheel

from click.testing import CliRunner  # noqa: E402

import export.onnx as module  # noqa: E402
from export.__main__ import main  # noqa: E402
from export.onnx import PARITY, export_network, load_checkpoint  # noqa: E402
from magfilter import __version__  # noqa: E402
from magfilter.backends import open_engine  # noqa: E402
from magfilter.errors import ModelError  # noqa: E402
from magfilter.models import parse_metadata  # noqa: E402
from magfilter.networks import DESCRIPTORS  # noqa: E402
from magfilter.networks.build import build_network  # noqa: E402
from magfilter.networks.precision import fold  # noqa: E402
from magfilter.networks.unet import UNet  # noqa: E402
from magfilter.networks.warp import WarpNet  # noqa: E402
from trainer.checkpoint import save_checkpoint, save_weights  # noqa: E402

RECORD = {"network": "warp", "width": 4, "steps": 3}


def shaken(net):
    """As if trained: no weight is zero and no two are equal, which a wrong export could hide behind."""
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=g))
            elif value.dtype == torch.float32:
                value.add_(0.02 * torch.randn(value.shape, generator=g))
    return net.eval()


@pytest.fixture(scope="module")
def warp(tmp_path_factory):
    """A narrow warp of two scales (tracing every scale takes its time), its file and the parity found."""
    path = tmp_path_factory.mktemp("warp") / "new folder" / "warp.onnx"
    net = shaken(WarpNet((4, 8, 12), levels=2))
    return net, path, export_network(net, "warp", path, RECORD)


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    path = tmp_path_factory.mktemp("unet") / "unet.onnx"
    net = shaken(UNet(4))
    return net, path, export_network(net, "unet", path, RECORD | {"network": "unet"})


@pytest.fixture(params=["warp", "unet"])
def exported(request):
    return request.param, *request.getfixturevalue(request.param)


def session(path: Path) -> ort.InferenceSession:
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def inputs(name: str, size: tuple[int, int], seed: int = 1) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    channels = DESCRIPTORS[name].channels
    image = torch.nn.functional.avg_pool2d(torch.rand(1, channels, *size, generator=g), 5, 1, 2)
    feeds = {"reference": image, "frame": image.roll((1, 2), (2, 3)).contiguous()}
    return feeds if name == "warp" else feeds | {"alpha": torch.full((1, 1, 1, 1), 7.5)}


def test_parity_is_reported_and_within_its_bound(exported):
    _, _, path, worst = exported
    assert path.is_file()
    assert 0 < worst <= PARITY <= 1e-4
    assert [p.name for p in path.parent.iterdir()] == [path.name], "nothing half-written is left beside it"


@pytest.mark.parametrize("blocks", [(1, 1), (2, 3), (5, 1)])
def test_any_multiple_of_the_padding_runs_and_equals_torch(exported, blocks):
    name, net, path, _ = exported
    m = DESCRIPTORS[name].pad_multiple
    feeds = inputs(name, (blocks[0] * m, blocks[1] * m))
    got = session(path).run(None, {key: value.numpy() for key, value in feeds.items()})[0]
    with torch.no_grad():
        wanted = net(*feeds.values()).numpy()
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= PARITY
    assert np.ptp(wanted) > 1e-3, "an answer that varies"


def test_names_of_inputs_and_outputs_are_what_the_runtime_feeds(exported):
    name, _, path, _ = exported
    run = session(path)
    assert [item.name for item in run.get_inputs()] == list(inputs(name, (64, 64)))
    assert len(run.get_outputs()) == 1


def test_metadata_says_what_the_network_needs(exported):
    name, _, path, _ = exported
    info = parse_metadata(path, session(path).get_modelmeta().custom_metadata_map)
    assert info.descriptor == DESCRIPTORS[name]
    assert info.record["network"] == name
    assert info.record["steps"] == 3
    assert info.version == __version__


def test_large_weights_are_stored_in_half_precision(exported):
    _, net, path, _ = exported
    stored = {item.name: item.data_type for item in onnx.load(str(path)).graph.initializer}
    halves = [name for name, kind in stored.items() if kind == onnx.TensorProto.FLOAT16]
    large = [name for name, value in net.named_parameters() if value.numel() >= module.HALF_FROM]
    assert set(large) <= {name.removesuffix(".half") for name in halves}
    weights = sum(value.numel() for _, value in net.named_parameters())
    assert path.stat().st_size < 2 * weights + 700_000


def test_file_says_nothing_of_the_machine_it_was_made_on(exported):
    _, _, path, _ = exported
    data = path.read_bytes()
    assert str(Path(module.__file__).parents[1]).encode() not in data
    assert b"site-packages" not in data


def test_default_engine_runs_the_file(exported):
    name, net, path, _ = exported
    engine = open_engine(path, "onnxruntime", "cpu", 1)
    feeds = inputs(name, (128, 64))
    got = engine.run(feeds["reference"][0].numpy(), feeds["frame"][0].numpy(), 7.5)
    with torch.no_grad():
        wanted = net(*feeds.values())[0].numpy()
    assert np.abs(got - wanted).max() <= PARITY


def test_torch_backend_reads_the_weights_out_of_the_file(unet):
    """Batch normalisation must not have been folded into the weights: it would be applied twice."""
    net, path, _ = unet
    engine = open_engine(path, "torch", "cpu", 1)
    feeds = inputs("unet", (32, 48))
    got = engine.run(feeds["reference"][0].numpy(), feeds["frame"][0].numpy(), 7.5)
    with torch.no_grad():
        wanted = net(*feeds.values())[0].numpy()
    assert np.abs(got - wanted).max() <= 1e-5


def test_torch_backend_finds_every_weight_of_warp(warp):
    net, path, _ = warp
    read = open_engine(path, "torch", "cpu", 1).net.state_dict()  # of five scales, which share their weights
    for name, value in net.state_dict().items():
        torch.testing.assert_close(read[name], value, rtol=0, atol=0)


def test_a_file_that_differs_from_torch_is_refused_and_not_written(monkeypatch, tmp_path):
    target, trace, traced = tmp_path / "wrong.onnx", torch.onnx.export, []

    def trace_once(*args, **kwargs):
        if not traced:
            traced.append(trace(*args, **kwargs))
        return traced[0]

    monkeypatch.setattr(torch.onnx, "export", trace_once)
    for wrong, said in ((3e-4, "0.0003"), (float("nan"), "nan")):
        monkeypatch.setattr(module, "parity", lambda *_, wrong=wrong: wrong)
        with pytest.raises(ValueError, match=f"differs from torch by {said}"):
            export_network(UNet(4).eval(), "unet", target, RECORD)
        assert list(tmp_path.iterdir()) == []


def test_parity_measures_the_difference(unet):
    net, path, worst = unet
    other = UNet(4).eval()
    other.load_state_dict(net.state_dict())
    assert module.parity(other, "unet", path.read_bytes()) == worst
    with torch.no_grad():
        other.paint.bias += 0.1
    assert module.parity(other, "unet", path.read_bytes()) > 0.01


def test_alpha_may_be_a_map_and_is_encoded_in_the_graph(unet):
    net, path, _ = unet
    feeds = inputs("unet", (32, 48))
    factors = torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(2)) * 15 + 1
    engine = open_engine(path, "onnxruntime-cpu", "cpu", 1)
    got = engine.run(feeds["reference"][0].numpy(), feeds["frame"][0].numpy(), factors[0, 0].numpy())
    with torch.no_grad():
        wanted = net(feeds["reference"], feeds["frame"], factors)[0].numpy()
    assert np.abs(got - wanted).max() <= PARITY


def optimised(path: Path, tmp_path: Path) -> onnx.ModelProto:
    """What ONNX Runtime makes of a file."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


def test_batch_normalisation_is_folded_when_the_file_is_loaded(unet, tmp_path):
    _, path, _ = unet
    assert "BatchNormalization" in {node.op_type for node in onnx.load(str(path)).graph.node}
    assert "BatchNormalization" not in {node.op_type for node in optimised(path, tmp_path).graph.node}


# -- half precision, fixed size


@pytest.fixture(scope="module")
def half_warp(tmp_path_factory):
    """One scale: every scale is the same cell."""
    path = tmp_path_factory.mktemp("half") / "warp16.onnx"
    net = shaken(WarpNet((4, 8, 12), levels=1))
    return net, path, export_network(net, "warp", path, RECORD, "fp16")


@pytest.fixture(scope="module")
def half_unet(unet, tmp_path_factory):
    """In half precision and for one size."""
    path = tmp_path_factory.mktemp("half") / "unet16.onnx"
    return unet[0], path, export_network(unet[0], "unet", path, RECORD | {"network": "unet"}, "fp16", (32, 48))


def kinds(path: Path) -> tuple[onnx.ModelProto, dict[str, int]]:
    """A model, and the type of every tensor in it."""
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True)
    graph = model.graph
    found = {item.name: item.data_type for item in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        found[value.name] = value.type.tensor_type.elem_type
    return model, found


@pytest.mark.parametrize("network", ["warp", "unet"])
def test_convolutions_are_in_half_and_what_must_not_be_is_not(network, request):
    _, path, worst = request.getfixturevalue(f"half_{network}")
    assert 0 < worst < module.PARITY_HALF
    model, kind = kinds(path)
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert {kind[value.name] for value in (*model.graph.input, *model.graph.output)} == {single}
    learned = [node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in kind]
    learned = [node for node in learned if ".weight" in node.input[1]]
    assert len(learned) == {"warp": 12, "unet": 19}[network]
    assert {kind[name] for node in learned for name in node.input} == {half}
    # Coordinates and quotients of small differences; phases of the encoding; the last sigmoid.
    delicate = [n for n in model.graph.node if n.op_type in ("GridSample", "Div", "Sin", "Sqrt", "Log", "Sigmoid")]
    assert delicate
    assert half not in {kind[name] for node in delicate for name in (*node.input, *node.output)}  # sizes are integers
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("network", ["warp", "unet"])
def test_half_precision_runs_in_every_engine_and_agrees_with_single(network, request):
    net, path, _ = request.getfixturevalue(f"half_{network}")
    feeds = inputs(network, (128, 64) if network == "warp" else (32, 48))
    with torch.no_grad():
        wanted = net(*feeds.values())[0].numpy()
    for backend, bound in (("onnxruntime-cpu", module.PARITY_HALF), ("torch", 1e-2)):
        if (network, backend) == ("warp", "torch"):
            continue  # it would build all five scales of the net that these weights are of
        engine = open_engine(path, backend, "cpu", 1)
        assert engine.model.precision == "fp16"
        got = engine.run(feeds["reference"][0].numpy(), feeds["frame"][0].numpy(), 7.5)
        assert np.abs(got - wanted).max() < bound


def test_a_fixed_size_is_the_only_one_taken(half_unet):
    _, path, _ = half_unet
    assert session(path).get_inputs()[1].shape == [1, 3, 32, 48]
    feeds = inputs("unet", (48, 48))
    with pytest.raises(ModelError, match="images of 48x32 only, got 48x48"):
        open_engine(path, "onnxruntime-cpu", "cpu", 1).run(
            feeds["reference"][0].numpy(), feeds["frame"][0].numpy(), 2.0
        )


def test_sizes_and_precisions_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ValueError, match="multiples of 16 px, got 1920x1080; give 1920x1088"):
        export_network(UNet(4).eval(), "unet", tmp_path / "u.onnx", RECORD, size=(1080, 1920))
    with pytest.raises(ValueError, match="got 'int8'"):
        export_network(UNet(4).eval(), "unet", tmp_path / "u.onnx", RECORD, "int8")
    net = UNet(4).eval()
    with torch.no_grad():
        net.enter[0].weight[0, 0, 0, 0] = 1e6
    with pytest.raises(ValueError, match=r"0\.weight does not fit into half precision"):
        export_network(net, "unet", tmp_path / "u.onnx", RECORD, "fp16")
    assert list(tmp_path.iterdir()) == []


def test_folding_changes_nothing_but_the_work():
    net = shaken(UNet(4))
    feeds = inputs("unet", (32, 48))
    with torch.no_grad():
        wanted = net(*feeds.values())
        got = fold(net)(*feeds.values())
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    assert not [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]


# -- checkpoints


def checkpoint(run: Path, network: str = "unet", width: int = 4, header: dict | None = None) -> dict:
    """A run's folder as the trainer leaves it; returns the averaged weights."""
    net = shaken(build_network(network, width)).state_dict()
    averaged = {key: value + 1 if value.dtype.is_floating_point else value for key, value in net.items()}
    metadata = {
        "network": network,
        "width": str(width),
        "steps": "12",
        "minutes": "1.5",
        "settings": json.dumps({"network": network, "width": width, "batch": 8, "minutes": 2.0}),
    }
    save_checkpoint(run, weights=net, averaged=averaged, state={"step": 12}, metadata=metadata | (header or {}))
    return averaged


@pytest.mark.parametrize("network", ["warp", "unet"])
def test_averaged_weights_of_a_run_are_loaded_with_their_record(tmp_path, network):
    averaged = checkpoint(tmp_path / "run", network)
    for path in (tmp_path / "run", tmp_path / "run" / "checkpoint-00000012"):
        net, record = load_checkpoint(path)
        assert not net.training
        for key, value in net.state_dict().items():
            torch.testing.assert_close(value, averaged[key], rtol=0, atol=0)
        assert record == {
            "network": network,
            "width": 4,
            "batch": 8,
            "minutes": 2.0,
            "steps": 12,
            "minutes_spent": 1.5,
        }
        json.dumps(record)


def test_weights_handed_on_in_half_precision_make_the_same_model(tmp_path):
    """What the exporter rounds is what `save_weights` has rounded already."""
    averaged = checkpoint(tmp_path / "run")
    save_weights(tmp_path / "w.safetensors", averaged, {"network": "unet", "width": "4"})
    net, record = load_checkpoint(tmp_path / "w.safetensors")
    assert record == {"network": "unet", "width": 4}
    for key, value in net.state_dict().items():
        wanted = module.halved(averaged[key]).to(value.dtype)
        torch.testing.assert_close(value, wanted, rtol=0, atol=0)


def test_values_beyond_half_precision_are_kept(monkeypatch, tmp_path):
    """Infinite in half precision, a variance would silence its channel in torch and in ONNX Runtime alike."""
    net = UNet(64).eval()
    with torch.no_grad():
        net.enter[1].running_var.fill_(7e4)
        net.enter[1].running_mean.fill_(1 / 3)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # only the rounding, which comes first, is of interest
        export_network(net, "unet", tmp_path / "u.onnx", RECORD)
    assert (net.enter[1].running_var == 7e4).all()
    assert (net.enter[1].running_mean == torch.tensor(1 / 3).half().float()).all()


def test_weights_are_read_without_the_rest(tmp_path):
    """Not even a state that cannot be opened is in the way of an export's weights file."""
    averaged = checkpoint(tmp_path / "run")
    folder = tmp_path / "run" / "checkpoint-00000012"
    (folder / "state.pt").write_bytes(b"damaged")
    net, _ = load_checkpoint(folder / "averaged.safetensors")
    torch.testing.assert_close(net.paint.bias, averaged["paint.bias"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"network": "raft"}, "its header names network 'raft'"),
        ({"width": "8"}, r"enter\.0\.weight is \(4, 38, 3, 3\) there and \(8, 38, 3, 3\)"),
        ({"network": "warp"}, "another network"),
        ({"steps": "many"}, "header of the weights is damaged"),
    ],
    ids=str,
)
def test_a_checkpoint_that_contradicts_itself_is_refused(tmp_path, header, said):
    checkpoint(tmp_path / "run", header=header)
    with pytest.raises(ValueError, match=said):
        load_checkpoint(tmp_path / "run")


def test_weights_that_do_not_say_what_they_are_are_refused(tmp_path):
    save_weights(tmp_path / "w.safetensors", UNet(4).state_dict(), {})
    with pytest.raises(ValueError, match=r"w\.safetensors: not a checkpoint .* names network None"):
        load_checkpoint(tmp_path / "w.safetensors")


def test_garbage_and_nothing_are_refused(tmp_path):
    for name in ("garbage.safetensors", "garbage.pth", "garbage.onnx", "garbage"):
        (tmp_path / name).write_bytes(b"not a checkpoint" * 10)
        with pytest.raises(ValueError, match=rf"{name}: "):
            load_checkpoint(tmp_path / name)
    for name in ("nothing.safetensors", "nothing"):
        with pytest.raises(ValueError, match="no such checkpoint"):
            load_checkpoint(tmp_path / name)


def test_command_exports_a_checkpoint_with_a_note(tmp_path):
    checkpoint(tmp_path / "run")
    out = tmp_path / "m.onnx"
    result = CliRunner().invoke(main, ["onnx", str(tmp_path / "run"), "-o", str(out), "--note", "made in a test"])
    assert result.exit_code == 0, result.output
    assert "12 steps" in result.output
    info = parse_metadata(out, session(out).get_modelmeta().custom_metadata_map)
    assert info.record["note"] == "made in a test"


def test_command_refuses_in_one_line(tmp_path):
    result = CliRunner().invoke(main, ["onnx", str(tmp_path / "nothing"), "-o", str(tmp_path / "m.onnx")])
    assert result.exit_code == 1
    assert "no such checkpoint" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("place", ["file/a.onnx", "folder"])
def test_a_target_that_cannot_be_is_found_out_first(place, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_trace", lambda *_: pytest.fail("traced"))
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    save_weights(tmp_path / "unet.safetensors", UNet(4).state_dict(), {"network": "unet", "width": "4"})
    result = CliRunner().invoke(main, ["onnx", str(tmp_path / "unet.safetensors"), "-o", str(tmp_path / place)])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {tmp_path / place} cannot be written (")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "unet.safetensors"]


def test_a_disk_that_is_full_at_the_end_is_one_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ValueError, match=r"a\.onnx could not be written \(No space left"):
        module._write(tmp_path / "a.onnx", b"model")


def test_what_takes_long_is_said_first(tmp_path, monkeypatch, capsys):
    def traced(*_):
        raise ValueError("enough")

    monkeypatch.setattr(module, "_trace", traced)
    for size, said in ((None, "any size, which takes a minute or more on a CPU"), ((64, 128), "128x64 alone")):
        with pytest.raises(ValueError, match="enough"):
            export_network(UNet(4), "unet", tmp_path / "a.onnx", RECORD, size=size)
        assert capsys.readouterr().err == f"exporting unet as ONNX for {said}\n"
