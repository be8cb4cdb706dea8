"""Flow estimators: found by name, frozen, for pictures of any size; and what teaches them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
import torch.nn.functional as F  # noqa: E402
from toys import coloured, painter, photographs, translated  # noqa: E402

from magfilter.networks.sampling import backward_warp  # noqa: E402
from trainer.checkpoint import load_checkpoint  # noqa: E402
from trainer.flow import FLOWS, estimators, load_flow, raft, weights_file  # noqa: E402
from trainer.flow import training as module  # noqa: E402
from trainer.flow.objectives import SupervisedFlow, UnsupervisedFlow  # noqa: E402
from trainer.flow.spynet import SPyNet  # noqa: E402
from trainer.flow.training import FlowSettings, configure_flow, train_flow  # noqa: E402
from trainer.loop import Plan  # noqa: E402
from trainer.scenes import PaintedScenes  # noqa: E402


@pytest.fixture
def torchvision():
    try:
        raft.optical_flow_models()
    except ValueError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Random weights of RAFT-small, in torchvision's own format."""
    try:
        torch.manual_seed(0)
        net = raft.build_raft("raft_small")
    except ValueError as error:
        pytest.skip(str(error))
    path = tmp_path_factory.mktemp("raft") / "small.pth"
    torch.save(net.state_dict(), path)
    return path


def moved(size: int = 160) -> tuple[torch.Tensor, torch.Tensor]:
    """A photograph's stand-in, and the same moved by (2, −1) px: each (1, 3, size, size)."""
    picture = torch.from_numpy(coloured(3)).permute(2, 0, 1)[None].float() / 255
    return picture[..., 20 : 20 + size, 20 : 20 + size], picture[..., 21 : 21 + size, 18 : 18 + size]


# -- by name


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match="own, warp, raft_small, raft_large, spynet, or NAME:PATH, got 'pwc'"):
        load_flow("pwc")


@pytest.mark.parametrize("name", [name for name in FLOWS])
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(ValueError, match=r"none\.pth: no such weights"):
        load_flow(f"{name}:{tmp_path / 'none.pth'}")


def test_weights_that_are_not_shipped_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(estimators, "SHARED", tmp_path)
    with pytest.raises(ValueError, match=r"spynet_reds4\.pth: no such weights; .* MAGFILTER_SHARED"):
        load_flow("spynet")
    assert weights_file("raft_large") is None, "torchvision's business"


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("/tmp/magfilter-must-not-appear",))


@pytest.mark.parametrize("name", ["raft_small", "spynet"])
def test_weights_that_would_run_code_are_refused(name, tmp_path, torchvision):
    path = tmp_path / "evil.pth"
    torch.save({"basic_module.0": Evil()}, path)
    with pytest.raises(ValueError, match=r"evil\.pth is refused"):
        load_flow(f"{name}:{path}")
    assert not Path("/tmp/magfilter-must-not-appear").exists()


@pytest.mark.parametrize("name", ["raft_small", "spynet"])
@pytest.mark.parametrize("content", [{"basic_module.weight": torch.zeros(2)}, [1, 2], b"no weights at all"])
def test_other_weights_are_refused(name, content, tmp_path, torchvision):
    path = tmp_path / "other.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=r"other\.pth"):
        load_flow(f"{name}:{path}")


def test_without_torchvision_raft_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ValueError, match="pip install --no-deps torchvision"):
        raft.optical_flow_models()


def test_official_weights_that_cannot_be_fetched_are_one_error(monkeypatch):
    def unreachable(**_):
        raise OSError("no route")

    monkeypatch.setattr(raft, "optical_flow_models", lambda: type("models", (), {"raft_large": unreachable}))
    with pytest.raises(ValueError, match=r"raft_large's official weights .*no route.*raft_large:PATH"):
        load_flow("raft_large")


# -- the protocol


@pytest.mark.parametrize(("height", "width"), [(130, 141), (60, 200)])
def test_raft_takes_any_size_and_passes_gradients_to_the_pictures_alone(small, height, width):
    net = load_flow(f"raft_small:{small}", updates=1)
    assert not any(module.training for module in net.modules())
    g = torch.Generator().manual_seed(0)
    one, two = (torch.rand(1, 3, height, width, generator=g, requires_grad=True) for _ in range(2))
    flow = net(one, two)
    assert flow.shape == (1, 2, height, width)
    flow.square().sum().backward()
    assert all(image.grad.abs().sum() > 0 and torch.isfinite(image.grad).all() for image in (one, two))
    assert all(value.grad is None and not value.requires_grad for value in net.parameters())


def test_raft_puts_its_flow_where_the_picture_is(small):
    """What is added around a picture is taken off again, on all sides alike: an inner net of its own pixels."""

    class Positions(torch.nn.Module):
        def forward(self, one, two, num_flow_updates):
            assert one.shape[-1] % 8 == one.shape[-2] % 8 == 0
            assert min(one.shape[-2:]) >= 128
            assert -1 <= one.min() < -0.5 < 0.5 < one.max() <= 1
            return [one[:, :2] * n for n in range(1, num_flow_updates + 1)]

    image = torch.rand(1, 3, 61, 143)
    iterates = raft.Raft(Positions(), updates=3).iterates(image, image)
    assert len(iterates) == 3
    torch.testing.assert_close(iterates[0], image[:, :2] * 2 - 1)
    torch.testing.assert_close(raft.Raft(Positions(), updates=2)(image, image), 2 * iterates[0])


def measures(net: torch.nn.Module, within: float) -> None:
    one, two = moved()
    with torch.no_grad():
        flow = net(one, two)[0, :, 32:-32, 32:-32].flatten(1).median(1).values
    assert (flow - torch.tensor([2.0, -1.0])).abs().max() < within


def test_spynet_measures_a_known_shift():
    path = weights_file("spynet")
    if not path.is_file():
        pytest.skip(f"{path}: not shipped")
    measures(load_flow("spynet"), 0.3)


def test_our_own_network_measures_a_known_shift(torchvision):
    path = weights_file("own")
    if not path.is_file():
        pytest.skip(f"{path}: not trained yet")
    measures(load_flow("own"), 0.5)


def test_spynet_weights_come_wrapped_or_plain(tmp_path):
    torch.manual_seed(0)
    weights = SPyNet().state_dict()
    torch.save(weights, tmp_path / "plain.pth")
    torch.save({"state_dict": {**weights, "mean": torch.zeros(1)}}, tmp_path / "wrapped.pth")
    one, two = (torch.rand(1, 3, 40, 50) for _ in range(2))
    with torch.no_grad():
        flows = [load_flow(f"spynet:{tmp_path / name}.pth")(one, two) for name in ("plain", "wrapped")]
    assert torch.equal(*flows)


# -- what teaches them


class Learner(torch.nn.Module):
    """A flow network of two numbers: one motion everywhere, approached in two iterates."""

    def __init__(self, x: float = 0.0, y: float = 0.0) -> None:
        super().__init__()
        self.motion = torch.nn.Parameter(torch.tensor([x, y]))

    def iterates(self, one, two):
        sign = torch.ones(len(one), 1)
        sign[(len(one) + 1) // 2 :] = -1  # the second half is the first the other way round
        whole = (sign * self.motion)[:, :, None, None].expand(-1, -1, *one.shape[-2:])
        return [whole / 2, whole]


class Knowing(torch.nn.Module):
    """Gives the scenes' own flow, or a share of it."""

    def __init__(self, painted: PaintedScenes, share: float) -> None:
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(share))
        film = painted.scenes.augment

        def augment(scene):
            filmed = film(scene)
            self.flow = filmed[2]
            return filmed

        painted.scenes.augment = augment

    def iterates(self, one, two):
        return [F.interpolate(self.share * self.flow, scale_factor=2)] * 2


def test_exact_flow_has_no_loss_and_less_flow_leads_to_more():
    losses, slopes = [], []
    for share in (1.0, 0.5):
        painted = PaintedScenes(painter(3, 64, 3, speeds=(0.05, 24.0)), 4, 1)
        net = Knowing(painted, share)
        loss, log = SupervisedFlow(painted, shifts=0)(net, 0.5)
        loss.backward()
        losses.append(loss.item())
        slopes.append(net.share.grad.item())
        assert log["loss"] == loss.item()
        if share == 1:
            assert max(value for name, value in log.items() if name.startswith("EPE")) < 1e-5
    assert losses[0] < 0.02 < 0.1 < losses[1]
    assert slopes[1] < 0


@pytest.mark.parametrize("turn", range(4))
def test_shifted_photographs_move_by_the_flow_they_come_with(turn, monkeypatch):
    monkeypatch.setattr("trainer.flow.objectives.add_capture", lambda one, two, g: (one, two))
    objective = SupervisedFlow(PaintedScenes(painter(turn, 64, 3), 2, 1))
    reference, frame, flow = objective._shifted()
    size = reference.shape[-1]
    assert flow.shape == (2, 2, size // 2, size // 2)
    assert float(flow.abs().max()) > 0
    exact = flow[:, :, :1, :1].expand(-1, -1, size, size)
    inner = (..., slice(16, -16), slice(16, -16))
    moved = (backward_warp(frame, exact, "bicubic") - reference)[inner].abs().mean()
    still = (frame - reference)[inner].abs().mean()
    assert moved < 0.5 * still


def test_scenes_go_on_where_they_were_for_a_flow_network_too():
    def make() -> SupervisedFlow:
        return SupervisedFlow(PaintedScenes(painter(3, 64, 3), 1, 2))

    first, second = make(), make()
    first(Learner(), 0.5)
    second.restore(first.state())
    assert torch.equal(first(Learner(), 0.5)[0], second(Learner(), 0.5)[0])
    assert first.pictures(Learner()) == {}


def unsupervised(count: int = 2, **options) -> UnsupervisedFlow:
    pairs, _ = translated(count, 64, move=(2.0, -1.0))
    restored = []
    return UnsupervisedFlow(lambda: pairs, (lambda: len(restored), restored.append), **options)


def test_without_labels_the_loss_is_least_at_the_true_motion_and_leads_there():
    objective, losses = unsupervised(), {}
    for move in ((2.0, -1.0), (0.0, 0.0), (-2.0, 1.0)):
        losses[move] = objective(Learner(*move), 0.9)[0].item()
    assert losses[2.0, -1.0] < 0.7 * losses[0.0, 0.0] < 0.7 * losses[-2.0, 1.0]
    net = Learner(1.0, -0.5)
    loss, log = objective(net, 0.9)
    loss.backward()
    assert net.motion.grad[0] < 0 < net.motion.grad[1]
    assert set(log) == {"loss", "census", "hidden"}


def test_occlusion_counts_only_after_a_while():
    class Onward(Learner):
        def iterates(self, one, two):
            return [self.motion[:, None, None].expand(len(one), -1, *one.shape[-2:])] * 2

    objective, net = unsupervised(trust_after=0.3), Onward(4.0, 0.0)
    assert objective(net, 0.29)[1]["hidden"] == 0
    loss, log = objective(net, 0.3)
    assert log["hidden"] > 0.9, "nothing returns"
    assert torch.isfinite(loss)


def test_what_clips_draw_is_remembered():
    said = []
    objective = UnsupervisedFlow(lambda: None, (lambda: 7, said.append))
    objective.restore(objective.state())
    assert said == [7]


@pytest.mark.parametrize("supervision", ["scenes", "clips"])
def test_a_flow_network_is_trained_and_found_by_its_run(supervision, tmp_path, clips, monkeypatch, torchvision):
    """With a thin network in RAFT's place; its run is what `own:RUN` takes."""

    class Thin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(6, 2, 3, padding=1)

        def forward(self, one, two, num_flow_updates):
            return [self.layer(torch.cat([one, two], 1))] * num_flow_updates

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    for place in (module, raft):
        monkeypatch.setattr(place, "build_raft", lambda kind, official=False: Thin())
    films = tmp_path / "films"
    films.mkdir()
    Path(clips("a.mp4", frames=12, size=(160, 144))).rename(films / "a.mp4")
    photos = photographs(tmp_path / "photos") if supervision == "scenes" else None
    settings = FlowSettings(supervision=supervision, batch=1, size=128, updates=2)
    for name in ("a", "b"):
        train_flow(settings, Plan(steps=2), photos, films, None, tmp_path / name, "cpu")
    a, b = (load_checkpoint(tmp_path / name) for name in ("a", "b"))
    assert a.metadata["network"] == "raft-small"
    assert all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights), "by its seed"
    net = load_flow(f"own:{tmp_path / 'a'}")
    assert torch.equal(net.net.layer.weight, a.averaged["net.layer.weight"])
    again = load_flow(f"own:{a.path / 'averaged.safetensors'}")
    assert torch.equal(net.net.layer.weight, again.net.layer.weight)


def test_settings_of_a_flow_network():
    settings, plan = configure_flow({"size": "256", "steps": 4, "supervision": "clips"})
    assert (settings.size, settings.supervision, plan.steps, plan.rate, plan.warm_up) == (256, "clips", 4, 5e-4, 100)
    for wrong, said in (
        ({"size": 120}, "from 128 px on, got 120"),
        ({"supervision": "own"}, "'own'"),
        ({"x": 1}, "'x'"),
        ({"updates": 0}, "updates of 1 or more, got 0"),
        ({"slowest": 0.0}, "0 < slowest <= fastest"),
    ):
        with pytest.raises(ValueError, match=said):
            configure_flow({"steps": 1, **wrong})
    with pytest.raises(ValueError, match="--photos"):
        train_flow(FlowSettings(), Plan(steps=1), None, None, None, Path("/nowhere"), "cpu")
