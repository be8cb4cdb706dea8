"""What the networks are trained to do: every part is least where it should be, gets its turn, and can be left out."""

from __future__ import annotations

import math
import sys

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
import torch.nn.functional as F  # noqa: E402
from toys import CPU, FixedPairs, Translation, painter, translated  # noqa: E402

import trainer.objectives as module  # noqa: E402
from magfilter.networks.build import build_network  # noqa: E402
from trainer.loop import Plan, run  # noqa: E402
from trainer.magnification import flow_loss, magnified_by_warp  # noqa: E402
from trainer.objectives import UNetObjective, WarpObjective, luma, sample_alpha  # noqa: E402
from trainer.scenes import PaintedScenes  # noqa: E402
from trainer.settings import Settings  # noqa: E402

SIZE = 64
ONLY_SCENES = {"photometric": 0.0, "flow_loss": 0.0}
ONLY_CLIPS = {"scenes": 0.0, "flow_loss": 0.0, "photometric": 1.0, "photometric_every": 1, "smoothness": 0.0}
ONLY_FLOW = {"scenes": 0.0, "photometric": 0.0, "flow_loss": 1.0}


def settings(network: str, **changes) -> Settings:
    return Settings(**{"network": network, "size": SIZE, "pairs": 2, **changes})


def painted(channels: int, batch: int = 4, reuse: int = 1, seed: int = 3, **options) -> PaintedScenes:
    return PaintedScenes(painter(seed, SIZE, channels, **options), batch, reuse)


class Constant(torch.nn.Module):
    """A `warp` that sees one and the same motion everywhere, a parameter; back again when asked the other way."""

    def __init__(self, x: float, y: float, both_ways: bool = False) -> None:
        super().__init__()
        self.motion, self.both_ways = torch.nn.Parameter(torch.tensor([x, y])), both_ways

    def pyramid(self, reference, frame):
        sign = torch.ones(len(reference))
        if self.both_ways:
            sign[len(sign) // 2 :] = -1
        side = reference.shape[-1]
        whole = (sign[:, None] * self.motion)[:, :, None, None]
        return [whole.expand(-1, -1, side // 4, side // 4) / 2, whole.expand(-1, -1, side // 2, side // 2)]

    def forward(self, reference, frame):
        return self.pyramid(reference, frame)[-1]


class Bank:
    """Clips whose every pair is moved by (2, −1) px."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __call__(self, batch, size):
        self.asked.append((batch, size))
        pairs, _ = translated(batch, size, seed=5, move=(2.0, -1.0))
        return luma(pairs[:, 0]), luma(pairs[:, 1])

    def state(self):
        return len(self.asked)

    def restore(self, state):
        self.asked = [(0, 0)] * state


def source(count: int = 4) -> FixedPairs:
    return FixedPairs(translated(count, SIZE)[0], 2)


# -- the parts of warp


class Exact(torch.nn.Module):
    """A `warp` that knows the flow of the scenes as they were filmed, and gives `share` of it."""

    def __init__(self, scenes: PaintedScenes, share: float = 1.0) -> None:
        super().__init__()
        self.share, film = share, scenes.scenes.augment

        def augment(scene):
            filmed = film(scene)
            self.flow = filmed[2]
            return filmed

        scenes.scenes.augment = augment

    def pyramid(self, reference, frame):
        assert reference.shape == frame.shape == (len(self.flow), 1, SIZE, SIZE)
        return [self.share * F.avg_pool2d(self.flow, 2**n) / 2**n for n in (2, 1, 0)]


def test_exact_flow_has_no_loss_on_scenes():
    losses, logs = {}, {}
    for share in (1.0, 0.9, 0.0):
        scenes = painted(1, batch=8)
        objective = WarpObjective(settings("warp", **ONLY_SCENES), scenes, None, None, None)
        loss, logs[share] = objective(Exact(scenes, share), 0.5)
        losses[share] = loss.item()
        assert logs[share]["loss"] == logs[share]["scenes"] == losses[share]
    assert losses[1.0] < 0.02 < 0.05 < losses[0.9] < 0.3 < losses[0.0]
    gains = [name for name in logs[1.0] if name.startswith("gain")]
    assert len(gains) == 3, "every band of motion is there"
    assert [logs[0.9][name] for name in gains] == pytest.approx([0.9] * 3, abs=1e-4)
    assert [logs[0.0][name] for name in gains] == [0] * 3


def test_warp_learns_from_a_batch_of_scenes():
    torch.manual_seed(0)
    net = build_network("warp", 8)
    objective = WarpObjective(settings("warp", **ONLY_SCENES), painted(1, reuse=1000), None, None, None)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    losses = []
    for _ in range(32):
        optimiser.zero_grad()
        loss, _ = objective(net, 0.5)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-8:]) < 0.85 * sum(losses[:8])


def test_a_teacher_is_imitated_and_then_left_alone():
    torch.manual_seed(0)
    teacher = build_network("warp", 8).requires_grad_(False)
    torch.nn.init.normal_(teacher.cell.judge.head.weight, std=0.3)
    net = build_network("warp", 8, light=True)
    s = settings("warp", teacher=1.0, left_alone=0.5, **ONLY_SCENES)
    objective = WarpObjective(s, painted(1, reuse=1000), None, None, None, teacher)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    apart = []
    for _ in range(24):
        optimiser.zero_grad()
        loss, log = objective(net, 0.0)
        loss.backward()
        optimiser.step()
        apart.append(log["teacher"])
    assert sum(apart[-4:]) < 0.8 * sum(apart[:4])
    _, log = objective(teacher, 0.0)
    assert log["teacher"] == pytest.approx(0, abs=1e-4)
    assert "teacher" not in objective(net, 0.5)[1]


def test_photometric_is_least_at_the_motion_of_the_clip():
    found = {}
    for move in ((2.0, -1.0), (0.0, 0.0), (-2.0, 1.0)):
        bank = Bank()
        objective = WarpObjective(settings("warp", photometric_batch=3, **ONLY_CLIPS), None, bank, None, None)
        loss, log = objective(Constant(*move, both_ways=True), 0.5)
        assert bank.asked == [(3, SIZE)]
        assert log["hidden"] < 0.1, "what goes and returns hides nothing"
        assert loss.item() > log["photometric"], "the coarser scale counts as well"
        found[move] = log["photometric"]
    assert found[2.0, -1.0] < 0.5 * found[0.0, 0.0] < 0.5 * found[-2.0, 1.0]
    _, log = WarpObjective(settings("warp", **ONLY_CLIPS), None, Bank(), None, None)(Constant(2.0, -1.0), 0.5)
    assert log["hidden"] > 0.9, "what goes on instead of returning does"


def test_the_flow_loss_leads_warp_to_more_motion_and_leaves_the_flow_network_alone():
    pairs, moves = translated(2, SIZE, move=(0.6, -0.4))
    flow = Translation()
    gradients = []
    for share in (0.5, 2.0):
        net = Constant(*(share * moves[0]).tolist())
        objective = WarpObjective(settings("warp", colour=0.0, **ONLY_FLOW), None, None, FixedPairs(pairs, 2), flow)
        torch.manual_seed(1)
        loss, log = objective(net, 0.5)
        loss.backward()
        gradients.append(net.motion.grad)
        assert log["magnification"] == pytest.approx(loss.item())
    assert (gradients[0] * moves[0] < 0).all(), "too little: more of it, in both directions"
    assert (gradients[1] * moves[0] > 0).all()
    assert flow.weight.grad is None


# -- turns


def turns(objective, net, progress: float, count: int = 6) -> list[set[str]]:
    """Which parts each of so many calls had."""
    torch.manual_seed(0)
    parts = {"scenes", "photometric", "magnification"}
    return [parts & set(objective(net, progress)[1]) for _ in range(count)]


def test_every_part_has_its_turn():
    scenes = painted(1, reuse=9)
    s = settings("warp", photometric_every=2, flow_every=3, real_after=0.25)
    objective = WarpObjective(s, scenes, Bank(), source(), Translation())
    net = Constant(0.1, 0.0)
    assert turns(objective, net, 0.2) == [{"scenes"}] * 6, "scenes have the beginning for themselves"
    assert turns(objective, net, 0.25) == [
        {"scenes", "photometric", "magnification"},
        {"scenes"},
        {"scenes", "photometric"},
        {"scenes", "magnification"},
        {"scenes", "photometric"},
        {"scenes"},
    ]


def test_real_parts_alone_never_miss_a_step():
    s = settings("warp", **{**ONLY_FLOW, "flow_every": 3, "real_after": 0.9})
    objective = WarpObjective(s, None, None, source(), Translation())
    assert turns(objective, Constant(0.1, 0.0), 0.0, 3) == [{"magnification"}] * 3


def test_unet_has_scenes_for_itself_first():
    s = settings("unet", real_after=0.5)
    objective = UNetObjective(s, painted(3, batch=1, reuse=9), source(), Translation())
    net = build_network("unet", 4)
    assert turns(objective, net, 0.4, 1) == [{"scenes"}]
    assert turns(objective, net, 0.5, 1) == [{"scenes", "magnification"}]


def test_weights_make_the_sum():
    torch.manual_seed(0)
    s = settings("unet", scenes=0.5, flow_loss=3.0, colour=2.0)
    loss, log = UNetObjective(s, painted(3, batch=1), source(), Translation())(build_network("unet", 4), 0.5)
    wanted = 0.5 * log["scenes"] + 3 * (log["magnification"] + 2 * log["colour"])
    assert loss.item() == log["loss"] == pytest.approx(wanted, rel=1e-5)


# -- the parts of unet


class ExactPainter(torch.nn.Module):
    """A `unet` that asks the scenes."""

    def __init__(self, scenes: PaintedScenes) -> None:
        super().__init__()
        self.scenes = scenes

    def forward(self, reference, frame, alpha):
        assert alpha.shape == (len(frame),)
        assert 1 <= alpha.min() <= alpha.max() <= 8
        return self.scenes.scenes.magnified(self.scenes.at_hand, alpha)


def test_the_exact_magnified_frame_has_no_loss_on_scenes():
    scenes = painted(3, largest_alpha=8.0)
    objective = UNetObjective(settings("unet", largest_alpha=8.0, flow_loss=0.0), scenes, None, None)
    loss, log = objective(ExactPainter(scenes), 0.5)
    assert loss == 0
    assert log["scenes, unmagnified"] > 1e-3, "which the frame itself has"


class Told(torch.nn.Module):
    """A `warp` that sees one motion everywhere, (x, 0) px."""

    def __init__(self, x: float) -> None:
        super().__init__()
        self.x = x

    def forward(self, reference, frame):
        flow = reference.new_zeros(len(reference), 2, SIZE // 2, SIZE // 2)
        flow[:, 0] = self.x
        return flow


class Shifting(torch.nn.Module):
    """A `unet` that moves the frame by (alpha − 1) times (x, 0) px, whatever it is shown."""

    def __init__(self, x: float) -> None:
        super().__init__()
        self.x, self.alphas = x, []

    def forward(self, reference, frame, alpha):
        self.alphas.append(alpha)
        return magnified_by_warp(frame, Told(self.x)(reference, frame), alpha)


def test_unet_has_no_loss_if_it_paints_what_its_teacher_shows():
    s = settings("unet", scenes=1.0, flow_loss=0.0, left_alone=0.5)
    found = {}
    for x in (0.5, 0.25):
        torch.manual_seed(0)
        objective = UNetObjective(s, painted(3, batch=3), source(), None, Told(0.5))
        net = Shifting(x)
        loss, log = objective(net, 0.25)
        found[x] = log["teacher"]
        assert loss.item() == pytest.approx(log["scenes"] + 0.5 * log["teacher"]), "half way to being left alone"
        assert net.alphas[0].shape == (5,), "scenes and pairs in one batch"
    assert found[0.5] < 1e-6
    assert found[0.25] > 1e-3
    _, log = objective(net, 0.5)
    assert "teacher" not in log


def test_the_factor_is_cut_where_a_teacher_would_move_too_far():
    objective = UNetObjective(settings("unet", flow_loss=0.0, farthest=4.0), painted(3), source(), None, Told(2.0))
    net = Shifting(2.0)
    for _ in range(4):
        objective(net, 0.0)
    asked = torch.cat([alphas[-2:] for alphas in net.alphas])
    assert 1 <= asked.min() <= asked.max() <= 2
    objective = UNetObjective(settings("unet", flow_loss=0.0, farthest=4.0), painted(3), source(), None, Told(9.0))
    objective(net, 0.0)
    assert (net.alphas[-1][-2:] == 1).all(), "never below one"


def test_scenes_are_not_moved_too_far_either():
    objective = UNetObjective(settings("unet", flow_loss=0.0, farthest=3.0), painted(3), None, None)
    flow = torch.zeros(4, 2, 8, 8)
    flow[1:, 0] = torch.tensor([0.1, 0.5, 7.0]).view(3, 1, 1)
    assert objective._largest(flow).tolist() == pytest.approx([16, 16, 6, 1])


def test_without_colour_only_motion_counts():
    logs = {}
    for colour in (0.0, 10.0):
        torch.manual_seed(0)
        objective = UNetObjective(settings("unet", colour=colour, **ONLY_FLOW), None, source(), Translation())
        _, logs[colour] = objective(build_network("unet", 4), 0.5)
    assert logs[0.0]["colour"] == 0 < logs[10.0]["colour"]
    assert logs[0.0]["loss"] == pytest.approx(logs[0.0]["magnification"])
    assert logs[10.0]["magnification"] == pytest.approx(logs[0.0]["magnification"])
    assert logs[10.0]["loss"] == pytest.approx(logs[10.0]["magnification"] + 10 * logs[10.0]["colour"])


def test_gradients_of_the_flow_loss_reach_the_network_and_not_the_flow_network():
    torch.manual_seed(0)
    net, flow = build_network("unet", 4), Translation()
    with torch.autocast("cpu", torch.bfloat16):  # the stub insists on single precision
        loss, _ = UNetObjective(settings("unet", **ONLY_FLOW), None, source(), flow)(net, 0.5)
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert net.enter[0].weight.grad.abs().max() > 0
    assert flow.weight.grad is None


@pytest.mark.parametrize(("share", "drawn", "calls"), [(0.0, 2, 0), (0.5, 2, 1), (1.0, 0, 1)])
def test_painted_scenes_stand_in_for_real_pairs(share, drawn, calls):
    pairs = source() if share < 1 else None
    scenes = painted(3, batch=1, reuse=9)
    seen = []

    class Watching(Translation):
        def forward(self, one, two):
            seen.append(one.shape)
            return super().forward(one, two)

    s = settings("unet", scenes_share=share, **{**ONLY_FLOW, "pairs": 2})
    assert s.needs_pairs == (share < 1)
    assert s.paints == (share > 0)
    loss, _ = UNetObjective(s, scenes, pairs, Watching())(build_network("unet", 4), 0.5)
    assert math.isfinite(loss.item())
    assert set(seen) == {(2, 3, SIZE, SIZE)}
    assert scenes.state()["uses"] == calls
    assert pairs is None or pairs.position == drawn


def test_luma_scenes_are_grey_pairs_for_warp():
    s = settings("warp", scenes_share=1.0, **{**ONLY_FLOW, "pairs": 5})
    objective = WarpObjective(s, painted(1, batch=2, reuse=9), None, None, Translation())
    pairs = objective._unlabelled()
    assert pairs.shape == (5, 2, 3, SIZE, SIZE)
    assert torch.equal(pairs[:, :, 0], pairs[:, :, 2])
    assert math.isfinite(objective(Constant(0.1, 0.0), 0.5)[0].item())


def test_alpha_is_drawn_geometrically():
    torch.manual_seed(0)
    alpha = sample_alpha(4000, 16.0, CPU)
    assert 1 <= alpha.min() < 1.01 < 15.9 < alpha.max() <= 16
    assert (alpha < 4).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert torch.equal(sample_alpha(3, 1.0, CPU), torch.ones(3))


@pytest.mark.slow
def test_unet_learns_to_magnify_sixteen_pairs_without_a_label(tmp_path, monkeypatch):
    """The paper's recipe in small: the flow loss alone teaches a narrow U-Net to magnify 16 pairs three times."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(module, "sample_alpha", lambda count, largest, device: torch.full((count,), 3.0))
    losses = []

    class Noting(UNetObjective):
        def __call__(self, net, progress):
            loss, log = super().__call__(net, progress)
            losses.append(loss.item())
            return loss, log

    (pairs, moves), flow = translated(16, SIZE), Translation()
    torch.manual_seed(0)
    net, averaged = build_network("unet", 8), build_network("unet", 8)
    objective = Noting(settings("unet", **{**ONLY_FLOW, "pairs": 4}), None, FixedPairs(pairs, 4), flow)
    plan = Plan(steps=120, rate=5e-3, warm_up=1, average=0.8)
    run(net, averaged.eval(), objective, plan, tmp_path, {"network": "unet", "width": "8"})
    assert sum(losses[-8:]) < 0.35 * sum(losses[:8])
    with torch.no_grad():
        reference, frame = pairs.unbind(1)
        three = torch.full((16,), 3.0)
        learned = flow_loss(reference, frame, averaged(reference, frame, three), three, flow)
        nothing = flow_loss(reference, frame, frame, three, flow)
    assert learned.magnification < 0.3 * nothing.magnification
    assert learned.total < nothing.total, "whose colours are perfect"
    moved = learned.flow_magnified[:, :, 0, 0]
    assert ((moved * moves).sum() / moves.square().sum()).item() == pytest.approx(3, rel=0.2)


# -- state and pictures


def assert_same(one, two) -> None:
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_same(one[key], two[key])
    else:
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def copied(state):
    return {k: copied(v) for k, v in state.items()} if isinstance(state, dict) else torch.as_tensor(state).clone()


def objectives():
    s = settings("warp", real_after=0.0, photometric_batch=1)
    yield WarpObjective(s, painted(1, batch=1, reuse=2), Bank(), source(), Translation()), build_network("warp", 4)
    s = settings("unet")
    yield UNetObjective(s, painted(3, batch=1, reuse=2), source(), Translation()), build_network("unet", 4)


@pytest.mark.parametrize("which", [0, 1])
def test_the_state_leads_to_the_same_losses(which):
    torch.manual_seed(0)
    first, net = list(objectives())[which]
    second, _ = list(objectives())[which]
    for _ in range(3):
        first(net, 0.5)
    second.restore(first.state())
    assert_same(first.state(), second.state())
    for _ in range(2):
        losses = []
        for objective in (first, second):
            torch.manual_seed(1)
            losses.append(objective(net, 0.5)[0])
        assert torch.equal(*losses)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("training", [True, False])
def test_looking_changes_nothing(which, training):
    objective, net = list(objectives())[which]
    objective(net, 0.5)
    net.train(training)
    state, weights = copied(objective.state()), copied(net.state_dict())
    (picture,) = objective.pictures(net).values()
    assert picture.shape == (3, SIZE, 3 * SIZE)
    assert not picture.requires_grad
    assert 0 <= picture.min() < picture.max() <= 1.001
    assert_same(state, copied(objective.state()))
    assert_same(weights, net.state_dict())
    assert net.training is training


def test_there_is_not_always_something_to_look_at():
    objective, net = next(objectives())
    before = copied(objective.state())
    assert objective.pictures(net) == {}, "before anything was painted"
    assert_same(before, copied(objective.state()))
    assert WarpObjective(settings("warp", **ONLY_CLIPS), None, Bank(), None, None).pictures(net) == {}
    s = settings("unet", flow_loss=0.0)
    assert UNetObjective(s, painted(3), None, None).pictures(build_network("unet", 4)) == {}
