"""Checkpoints of the paper's implementation, made here with random weights and its names, in our network.

What they ought to compute is written down a second time below, from the state dict alone.
"""

from __future__ import annotations

import collections
import math
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the export needs torch: pip install -e .[train]")
pytest.importorskip("safetensors", reason="the export needs safetensors: pip install -e .[train]")
pytest.importorskip("onnx", reason="the export needs onnx: pip install -e .[train]")
pytest.importorskip("onnxscript", reason="the export needs onnxscript: pip install -e .[train]")
import torch.nn.functional as F  # noqa: E402
from click.testing import CliRunner  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # export/ is not part of the wheel

import export.onnx as onnx_module  # noqa: E402
from export.__main__ import main  # noqa: E402
from export.flowmag import load_flowmag  # noqa: E402
from magfilter.networks.unet import UNet  # noqa: E402
from trainer.checkpoint import CheckpointError, load_into, load_weights, training_record  # noqa: E402

State = dict[str, torch.Tensor]


def generator(width: int = 4, planes: int = 38, seed: int = 0) -> State:
    """A U-Net of five levels with that implementation's names; random, and as if it had been trained."""
    g = torch.Generator().manual_seed(seed)
    state: State = collections.OrderedDict()

    def convolution(name: str, inputs: int, outputs: int, size: int) -> None:
        state[f"{name}.weight"] = torch.randn(outputs, inputs, size, size, generator=g) / math.sqrt(inputs) / size
        state[f"{name}.bias"] = 0.1 * torch.randn(outputs, generator=g)

    def double(name: str, inputs: int, middle: int, outputs: int) -> None:
        for place, (a, b) in {0: (inputs, middle), 3: (middle, outputs)}.items():
            convolution(f"{name}.double_conv.{place}", a, b, 3)
            norm = f"{name}.double_conv.{place + 1}"
            state[f"{norm}.weight"] = 1 + 0.3 * torch.randn(b, generator=g)
            state[f"{norm}.bias"] = 0.3 * torch.randn(b, generator=g)
            state[f"{norm}.running_mean"] = 0.1 * torch.randn(b, generator=g)
            state[f"{norm}.running_var"] = 0.3 + torch.rand(b, generator=g)
            state[f"{norm}.num_batches_tracked"] = torch.tensor(1234)

    w = width
    double("down_layers.0", planes, w, w)
    for k, (a, b) in enumerate([(w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w), (8 * w, 8 * w)], 1):
        double(f"down_layers.{k}.maxpool_conv.1", a, b, b)
    for k, (a, b) in enumerate([(16 * w, 4 * w), (8 * w, 2 * w), (4 * w, w), (2 * w, w)]):
        double(f"up_layers.{k}.conv", a, a // 2, b)
    convolution("up_layers.4.conv", w, 3, 1)
    return state


def paint(state: State, reference: torch.Tensor, frame: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """That implementation's answer: images (B, 3, H, W), alpha (B,) → (B, 3, H, W)."""

    def double(x: torch.Tensor, name: str) -> torch.Tensor:
        for place in (0, 3):
            conv, norm = f"{name}.double_conv.{place}", f"{name}.double_conv.{place + 1}"
            x = F.conv2d(x, state[f"{conv}.weight"], state[f"{conv}.bias"], padding=1)
            statistics = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
            x = F.relu(F.batch_norm(x, *statistics, state[f"{norm}.weight"], state[f"{norm}.bias"]))
        return x

    batch, _, height, width = reference.shape
    # channel by channel, within it frame by frame
    planes = torch.stack([reference, frame], 2).reshape(batch, 6, height, width)
    wavelengths = torch.logspace(-3, 7, 32, base=2)
    code = torch.sin(2 * 3.141592 * alpha[:, None] / wavelengths)[:, :, None, None].expand(-1, -1, height, width)
    x = double(torch.cat([planes, code], 1), "down_layers.0")
    kept = []
    for k in range(1, 5):
        kept.append(x)
        x = double(F.max_pool2d(x, 2), f"down_layers.{k}.maxpool_conv.1")
    for k in range(4):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        x = double(torch.cat([kept.pop(), x], 1), f"up_layers.{k}.conv")
    x = F.conv2d(x, state["up_layers.4.conv.weight"], state["up_layers.4.conv.bias"])
    return torch.sigmoid(x)


def wrapped(state: State) -> dict:
    """As that implementation's training saves it: DataParallel, the flow network beside, the optimiser."""
    whole = collections.OrderedDict((f"module.generator.{name}", value) for name, value in state.items())
    whole["module.mm_loss_fn.flow_net.flowNet.fnet.conv1.weight"] = torch.rand(4, 3, 7, 7)
    whole["module.mm_loss_fn.flow_net.flowNet.cnet.norm1.num_batches_tracked"] = torch.tensor(1)
    optimiser = {"state": {0: {"step": 5, "exp_avg": torch.rand(3)}}, "param_groups": [{"lr": 3e-4, "params": [0]}]}
    return {"state_dict": whole, "optimizer_state_dict": optimiser, "epoch": 140}


def pair(size: tuple[int, int] = (48, 32)) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, *size, generator=g), torch.rand(2, 3, *size, generator=g)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "raft_chkpt_00140.pth"
    torch.save(wrapped(generator()), path)
    return path


@pytest.mark.parametrize("alpha", [1.0, 3.7, 16.0])
def test_our_network_computes_what_theirs_did(file, alpha):
    net = UNet(4).eval()
    load_into(net, file)
    images, factors = pair(), torch.tensor([alpha, alpha / 2])
    with torch.no_grad():
        got, wanted = net(*images, factors), paint(generator(), *images, factors)
    assert wanted.std() > 0.05, "an answer that varies"
    torch.testing.assert_close(got, wanted, rtol=0, atol=2e-5)
    with torch.no_grad():
        swapped = net(*images[::-1], factors)
    assert (swapped - wanted).abs().max() > 0.05, "the order of the frames matters"


def test_the_planes_of_both_frames_change_places(file):
    """Theirs are R0 R1 G0 G1 B0 B1, ours R0 G0 B0 R1 G1 B1, then the encoding of alpha."""
    theirs = generator()["down_layers.0.double_conv.0.weight"]
    ours = load_flowmag(file)[0]["enter.0.weight"]
    for plane, place in enumerate([0, 2, 4, 1, 3, 5, 6, 37]):
        plane = plane if plane < 7 else 37
        assert torch.equal(ours[:, plane], theirs[:, place])


def test_every_tensor_has_its_place(file):
    theirs, (ours, _) = generator(), load_flowmag(file)
    assert set(ours) == set(UNet(4).state_dict())
    assert sorted(value.sum().item() for value in ours.values()) == pytest.approx(
        sorted(value.sum().item() for value in theirs.values()), abs=1e-4
    )
    assert ours["enter.1.num_batches_tracked"] == 1234


def test_the_paper_size_is_understood():
    """Names and shapes of all 17,287,683 parameters, without computing with them."""
    with torch.device("meta"):
        ours = UNet(64)
    theirs = {name: value for name, value in generator(64).items() if "running" not in name and "tracked" not in name}
    assert sum(value.numel() for value in theirs.values()) == sum(p.numel() for p in ours.parameters()) == 17_287_683


@pytest.mark.parametrize(
    "saved",
    [
        lambda state: {"state_dict": state},
        lambda state: state,
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {f"generator.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module.module.generator.{name}": value for name, value in state.items()}},
        lambda state: {name: value for name, value in state.items() if not name.endswith("tracked")},
        lambda state: {name: value.double() if value.dim() else value for name, value in state.items()},
    ],
    ids=["generator", "bare", "parallel", "model", "twice parallel", "uncounted", "double"],
)
@pytest.mark.parametrize("width", [4, 6])
def test_wrappers_do_not_matter(tmp_path, saved, width):
    state = generator(width)
    torch.save(saved(state), tmp_path / "c.pth")
    found, metadata = load_flowmag(tmp_path / "c.pth")
    assert metadata["width"] == str(width)
    assert {value.dtype for value in found.values()} == {torch.float32, torch.int64}
    torch.testing.assert_close(found["paint.weight"], state["up_layers.4.conv.weight"])


def test_files_of_old_torch_are_read(tmp_path):
    """The reference implementation pins torch 1.7, which could still write its format from before 1.6."""
    torch.save(wrapped(generator()), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert load_flowmag(tmp_path / "old.pth")[1]["width"] == "4"


def test_the_record_tells_where_the_weights_are_from(file):
    record = training_record(load_weights(file)[1])
    assert record == {"network": "unet", "width": 4, "source": "dangeng/flowmag checkpoint", "epoch": 140}


# -- what is refused


def broken(change) -> dict:
    state = generator()
    change(state)
    return wrapped(state)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            lambda: broken(lambda s: s.pop("up_layers.2.conv.double_conv.3.bias")),
            r"up_layers\.2\.conv\.double_conv\.3\.bias missing, nothing unknown",
        ),
        (
            lambda: broken(lambda s: s.update({"up_layers.0.up.weight": torch.rand(2, 2)})),
            r"nothing missing, up_layers\.0\.up\.weight unknown",
        ),
        (
            lambda: broken(lambda s: s.update({"up_layers.4.conv.weight": torch.rand(6, 4, 1, 1)})),
            r"up_layers\.4\.conv\.weight is \(6, 4, 1, 1\); expected \(3, 4, 1, 1\) at width 4",
        ),
        (
            lambda: wrapped(generator(planes=41)),
            r"down_layers\.0\.double_conv\.0\.weight is \(4, 41, 3, 3\); expected \(4, 38, 3, 3\)",
        ),
        (
            lambda: {"state_dict": {**wrapped(generator())["state_dict"], "module.discriminator.bias": torch.rand(3)}},
            r"discriminator\.bias beside its generator",
        ),
        (
            lambda: {"state_dict": UNet(4).state_dict()},
            r"down_layers\.0\.double_conv\.0\.weight, .* missing, .* unknown",
        ),
        (lambda: {"state_dict": {}}, "106 more missing, nothing unknown"),
        (lambda: {"epoch": 3}, "no 'state_dict' of tensors"),
        (lambda: [1, 2], "no 'state_dict' of tensors"),
        (lambda: torch.rand(3), "no 'state_dict' of tensors"),
    ],
    ids=["missing", "unknown", "shape", "planes", "beside", "ours", "empty", "no weights", "list", "tensor"],
)
def test_another_network_is_refused_with_the_names(tmp_path, content, said):
    path = tmp_path / "c.pth"
    torch.save(content(), path)
    with pytest.raises(CheckpointError, match=rf"c\.pth: .*{said}"):
        load_flowmag(path)


class Trap:
    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        import os

        return (os.mkdir, (self.mark,))


def test_a_checkpoint_with_code_in_it_is_refused_and_never_run(tmp_path):
    mark = tmp_path / "it ran"
    torch.save(wrapped(generator()) | {"config": Trap(mark)}, tmp_path / "trap.pth")
    with pytest.raises(CheckpointError, match=r"trap\.pth is refused.*weights_only=False.*save the tensors alone"):
        load_flowmag(tmp_path / "trap.pth")
    assert not mark.exists()


# -- the commands


@pytest.mark.parametrize("form", ["--from-flowmag", "flowmag"])
def test_commands_export_the_network(file, tmp_path, form, monkeypatch):
    """Tracing takes seconds and is the business of test_export.py: here, what it is given."""
    out, given = tmp_path / "unet.onnx", []

    def export(net, name, target, record) -> float:
        given.append((net, name, record))
        target.write_bytes(b"a model")
        return 1e-7

    monkeypatch.setattr(onnx_module, "export_network", export)
    result = CliRunner().invoke(main, [form, str(file), "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert f"{out}: 0.00 MB, dangeng/flowmag checkpoint, differs from torch by at most 1.0e-07" in result.output
    (net, name, record) = given[0]
    assert name == "unet"
    assert record == {"network": "unet", "width": 4, "source": "dangeng/flowmag checkpoint", "epoch": 140}
    images, factors = pair(), torch.tensor([3.0, 9.0])
    with torch.no_grad():
        got = net(*images, factors)
    torch.testing.assert_close(got, paint(generator(), *images, factors), rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--from-flowmag", "nothing.pth", "-o", "u.onnx"], 1, "nothing.pth: no such file"),
        (["flowmag", "nothing.pth", "-o", "u.onnx"], 1, "nothing.pth: no such file"),
        (["--from-flowmag", "nothing.pth"], 2, "go together"),
        (["-o", "u.onnx"], 2, "go together"),
        (["--from-flowmag", "c.pth", "-o", "u.onnx", "onnx", "warp", "-o", "r.onnx"], 2, "behind its name"),
        ([], 2, "Usage:"),
    ],
)
def test_wrong_use_is_one_clear_line(tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == code
    assert said in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())
