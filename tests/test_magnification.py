"""The paper's loss against closed forms: pictures sampled exactly at their shifted places, flows that are known."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

import trainer.magnification as module  # noqa: E402
from trainer.magnification import flow_loss, magnified_by_warp  # noqa: E402

SIDE = 64
SHIFT = (2.0, -1.0)  # px; whole, so that looking the picture up between samples costs nothing
BLOBS = [  # x, y, and a colour
    (28.0, 31.0, (0.5, 0.1, -0.2)),
    (35.0, 34.0, (-0.1, 0.3, 0.4)),
    (31.0, 28.0, (0.2, -0.2, 0.1)),
]


def picture(x: float = 0.0, y: float = 0.0) -> torch.Tensor:
    """Blobs on grey, moved by (x, y): (1, 3, SIDE, SIDE) float64.

    They have faded to nothing at the border, so that what lies outside does not matter.
    """
    v, u = torch.meshgrid(*[torch.arange(SIDE, dtype=torch.float64)] * 2, indexing="ij")
    out = torch.full((1, 3, SIDE, SIDE), 0.4, dtype=torch.float64)
    for bx, by, colour in BLOBS:
        blob = torch.exp(-((u - x - bx) ** 2 + (v - y - by) ** 2) / (2 * 2.5**2))
        out = out + blob * torch.tensor(colour, dtype=torch.float64).view(1, 3, 1, 1)
    return out


def translation(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    """The exact, differentiable flow of a picture that moves as a whole: the phase of its longest waves.

    Blind to brightness, exact for band-limited pictures: (B, 2, H, W).
    """
    batch, _, height, width = one.shape
    along = 2 * math.pi / width * torch.arange(width, dtype=one.dtype)
    down = 2 * math.pi / height * torch.arange(height, dtype=one.dtype).view(-1, 1)

    def phase(image: torch.Tensor, wave: torch.Tensor) -> torch.Tensor:
        grey = image.sum(1)
        return torch.atan2((grey * wave.sin()).sum((1, 2)), (grey * wave.cos()).sum((1, 2)))

    moved = [
        torch.remainder(phase(two, wave) - phase(one, wave) + math.pi, 2 * math.pi) - math.pi for wave in (along, down)
    ]
    moved = torch.stack([moved[0] * width, moved[1] * height], 1) / (2 * math.pi)
    return moved.view(batch, 2, 1, 1).expand(batch, 2, height, width)


def scaled(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def shifted(alpha: float) -> torch.Tensor:
    return picture(alpha * SHIFT[0], alpha * SHIFT[1])


PER_UNIT = (abs(SHIFT[0]) + abs(SHIFT[1])) / 2  # mean |component|


# -- the loss


def test_the_stub_measures_exactly():
    for move in ((0.0, 0.0), (2.0, -1.0), (0.37, 4.21)):
        found = translation(picture(), picture(*move))
        torch.testing.assert_close(found[0, :, 0, 0], scaled(*move), rtol=0, atol=1e-6)


def test_the_exact_magnified_frame_has_no_loss():
    loss = flow_loss(picture(), shifted(1), shifted(3), scaled(3), translation)
    assert loss.magnification < 1e-6
    assert loss.colour < 1e-7
    assert loss.total < 2e-6
    torch.testing.assert_close(loss.flow_source[0, :, 5, 7], scaled(*SHIFT), rtol=0, atol=1e-6)
    torch.testing.assert_close(loss.flow_magnified[0, :, 5, 7], 3 * scaled(*SHIFT), rtol=0, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 4.0, 16.0])
def test_the_frame_itself_lacks_the_rest_of_the_motion(alpha):
    """It moves once instead of alpha times, and its colours are its own."""
    loss = flow_loss(picture(), shifted(1), shifted(1), scaled(alpha), translation)
    assert loss.magnification.item() == pytest.approx(abs(alpha - 1) * PER_UNIT, abs=1e-5)
    assert loss.colour == 0
    assert loss.total.item() == pytest.approx(loss.magnification.item())


def test_an_offset_of_brightness_is_the_colour_loss():
    loss = flow_loss(picture(), shifted(1), shifted(3) + 0.07, scaled(3), translation)
    assert loss.magnification < 1e-6
    assert loss.colour.item() == pytest.approx(0.07, abs=1e-6)
    assert loss.total.item() == pytest.approx(0.7, abs=1e-5), "the paper's weight is 10"


def test_weights_make_the_sum():
    arguments = (picture(), shifted(1), shifted(1) + 0.1, scaled(3), translation)
    loss = flow_loss(*arguments, colour_weight=2.0, magnification_weight=0.5)
    assert loss.total.item() == pytest.approx(0.5 * 2 * PER_UNIT + 2 * 0.1, abs=1e-5)
    assert flow_loss(*arguments, magnification_weight=0.0, colour_weight=1.0).total.item() == pytest.approx(0.1)


def test_each_pair_has_its_own_alpha():
    reference, frame = picture().expand(2, -1, -1, -1), shifted(1).expand(2, -1, -1, -1)
    loss = flow_loss(reference, frame, frame, scaled(2, 5), translation)
    assert loss.magnification.item() == pytest.approx((1 + 4) / 2 * PER_UNIT, abs=1e-5)
    swapped = flow_loss(reference, frame, torch.cat([shifted(2), shifted(5)]), scaled(2, 5), translation)
    assert swapped.magnification < 1e-5


def test_alpha_may_differ_from_point_to_point():
    alpha = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64)
    alpha[..., : SIDE // 4] = 9.0
    loss = flow_loss(picture(), shifted(1), shifted(1), alpha, translation)
    assert loss.magnification.item() == pytest.approx(8 / 4 * PER_UNIT, abs=1e-5)
    flat = flow_loss(picture(), shifted(1), shifted(1), torch.full_like(alpha, 3.0), translation)
    assert flat.total.item() == pytest.approx(
        flow_loss(picture(), shifted(1), shifted(1), scaled(3), translation).total.item()
    )


def test_charbonnier_is_l1_with_a_round_bottom():
    arguments = (picture(), shifted(1), shifted(1) + 0.05, scaled(3), translation)
    plain, robust = flow_loss(*arguments), flow_loss(*arguments, norm="charbonnier")
    e = module.ROUND
    wanted = sum(math.hypot(2 * d, e) - e for d in SHIFT) / 2
    assert robust.magnification.item() == pytest.approx(wanted, abs=1e-5)
    assert robust.colour.item() == pytest.approx(math.hypot(0.05, e) - e, abs=1e-6)
    assert robust.total < plain.total

    magnified = shifted(3).requires_grad_()
    flow_loss(picture(), shifted(1), magnified, scaled(3), translation, norm="charbonnier").total.backward()
    assert torch.isfinite(magnified.grad).all(), "where L1 has no derivative"


def direction() -> torch.Tensor:
    """Smooth, since L1's kinks are everywhere along noise; odd, so that it shifts the phases."""
    return picture(1.0, 2.0) - picture(-1.0, 0.5) + 0.01


@pytest.mark.parametrize("norm", ["l1", "charbonnier"])
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (1.0, 10.0)], ids=["flow", "colour", "both"])
def test_the_gradient_reaches_the_magnified_frame(norm, weights):
    """Also through the places that the colours are looked up at: off the grid, by an analytic move."""
    reference, frame, start = picture(), picture(0.83, -0.41), picture(2.2, -1.3) + 0.05

    def total(magnified: torch.Tensor) -> torch.Tensor:
        return flow_loss(
            reference,
            frame,
            magnified,
            scaled(3),
            translation,
            norm=norm,
            magnification_weight=weights[0],
            colour_weight=weights[1],
        ).total

    magnified = start.clone().requires_grad_()
    total(magnified).backward()
    step, way = 1e-6, direction()
    slope = (total(start + step * way) - total(start - step * way)) / (2 * step)
    assert slope.abs() > 1e-3
    assert (magnified.grad * way).sum().item() == pytest.approx(slope.item(), rel=1e-3)


def test_descending_the_flow_loss_moves_the_picture():
    """The paper's idea alone: pixels that follow the gradient through F take on the motion that is due."""
    magnified = shifted(1).requires_grad_()
    optimiser = torch.optim.Adam([magnified], lr=0.004)
    least = math.inf
    for _ in range(30):
        optimiser.param_groups[0]["lr"] *= 0.9
        loss = flow_loss(picture(), shifted(1), magnified, scaled(1.5), translation, colour_weight=0.0)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        least = min(least, loss.magnification.item())
    assert least < 0.1 * 0.5 * PER_UNIT


class Net(torch.nn.Module):
    """The stub as a network, with a parameter that matters and a layer that changes while training."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.norm = torch.nn.BatchNorm2d(3, affine=False, dtype=torch.float64)

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        return translation(self.norm(one), self.norm(two)) * self.gain

    measure = forward


def test_a_frozen_network_passes_the_gradient_and_keeps_none():
    net = Net().eval().requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    magnified = shifted(1).requires_grad_()
    flow_loss(picture(), shifted(1), magnified, scaled(3), net).total.backward()
    assert magnified.grad.abs().max() > 0
    assert net.gain.grad is None
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("flow", [Net().eval(), Net().eval().measure], ids=["module", "method"])
def test_a_network_that_would_learn_is_refused(flow):
    with pytest.raises(ValueError, match=r"gain would gather gradients.*requires_grad_"):
        flow_loss(picture(), shifted(1), shifted(1), scaled(3), flow)


def test_a_network_that_would_drift_is_refused():
    with pytest.raises(ValueError, match=r"in training mode.*\.eval\(\)"):
        flow_loss(picture(), shifted(1), shifted(1), scaled(3), Net().requires_grad_(False).train())


class Spy:
    """Tells by its calls what is computed and whether with gradient."""

    def __init__(self) -> None:
        self.calls: list[bool] = []

    def __call__(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        self.calls.append(torch.is_grad_enabled())
        return translation(one, two)


def test_only_the_flow_to_the_magnified_frame_keeps_its_graph():
    spy = Spy()
    magnified = shifted(2).requires_grad_()
    frame = shifted(1).requires_grad_()
    loss = flow_loss(picture(), frame, magnified, scaled(3), spy, occlusion_aware=True)
    assert sorted(spy.calls) == [False, False, True]
    assert not loss.flow_source.requires_grad
    assert loss.flow_magnified.requires_grad


def test_without_colour_nothing_of_it_is_computed(monkeypatch):
    def forbidden(*_):
        raise AssertionError("computed")

    monkeypatch.setattr(module, "_warp", forbidden)
    monkeypatch.setattr(module, "occluded", forbidden)
    spy = Spy()
    loss = flow_loss(picture(), shifted(1), shifted(1) + 0.1, scaled(3), spy, colour_weight=0.0, occlusion_aware=True)
    assert loss.colour == 0
    assert loss.total.item() == pytest.approx(2 * PER_UNIT, abs=1e-5)
    assert len(spy.calls) == 2


def covered_ground() -> tuple[torch.Tensor, torch.Tensor, module.Flow]:
    """A square of 10 px moves 4 px to the right, over ground; the flow that knows, and sees no motion elsewhere."""
    reference, frame = torch.full((2, 1, 3, 32, 32), 0.2, dtype=torch.float64)
    reference[..., 10:20, 8:18] = 0.9
    frame[..., 10:20, 12:22] = 0.9
    there, back, none = torch.zeros(3, 1, 2, 32, 32, dtype=torch.float64)
    there[:, 0, 10:20, 8:18] = 4.0
    back[:, 0, 10:20, 12:22] = -4.0
    return reference, frame, lambda one, two: there if two is frame else back if one is frame else none


def test_what_the_frame_hides_has_no_colour_to_ask_for():
    """Frozen (alpha 0), the picture shows the ground that the square covers in the frame: 4 × 10 px."""
    reference, frame, flow = covered_ground()
    blind = flow_loss(reference, frame, reference, scaled(0), flow)
    assert blind.magnification == 0
    assert blind.colour.item() == pytest.approx(0.7 * 40 / 32**2)
    aware = flow_loss(reference, frame, reference, scaled(0), flow, occlusion_aware=True)
    assert aware.colour < 1e-12
    assert aware.magnification == 0
    darker = flow_loss(reference, frame, reference - 0.1, scaled(0), flow, occlusion_aware=True)
    assert darker.colour.item() == pytest.approx(0.1), "hidden points are left out of the mean, too"


def test_a_pair_that_hides_everything_has_no_colour_loss():
    reference, frame, _ = covered_ground()
    lost = torch.full((1, 2, 32, 32), 3.0, dtype=torch.float64)
    loss = flow_loss(reference, frame, reference, scaled(1), lambda *_: lost, occlusion_aware=True)
    assert loss.total == loss.magnification == 0


def test_outside_the_frame_lies_its_reflection():
    row = torch.arange(6.0).view(1, 1, 1, 6).expand(1, 3, 4, 6)
    flow = torch.zeros(1, 2, 4, 6)
    flow[:, 0] = 2.0
    assert module._warp(row, flow)[0, 0, 0].tolist() == pytest.approx([2, 3, 4, 5, 4, 3], abs=1e-5)


def test_half_precision_flow_does_not_blur_positions():
    """In half precision the pixels of a wide picture are a quarter of a pixel apart."""
    wide = torch.rand(1, 3, 4, 1024, generator=torch.Generator().manual_seed(0))

    def flow(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, 2, 4, 1024, dtype=torch.float16)

    loss = flow_loss(wide, wide, (wide + 0.5), torch.ones(1), flow)
    assert loss.flow_source.dtype == torch.float32
    assert loss.colour.item() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"norm": "l2"}, "l1 or charbonnier, got 'l2'"),
        ({"frame": picture()[..., :32]}, r"one shape, got .*\(1, 3, 64, 32\)"),
        ({"alpha": scaled(1, 2)}, r"alpha \(1,\) or \(1, 1, 64, 64\).*got \(2,\)"),
        ({"alpha": torch.ones(1, 1, 24, 24)}, r"got \(1, 1, 24, 24\)"),
    ],
    ids=["norm", "frame", "alphas", "map"],
)
def test_wrong_arguments_are_named_with_their_values(change, said):
    arguments = {"reference": picture(), "frame": shifted(1), "magnified": shifted(1), "alpha": scaled(3)} | change
    with pytest.raises(ValueError, match=said):
        flow_loss(**arguments, flow=translation)


# -- the picture that the warp network's flow makes


def constant(x: float, y: float) -> torch.Tensor:
    return scaled(x, y).view(1, 2, 1, 1).expand(1, 2, SIDE // 2, SIDE // 2).clone()


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0, 5.0])
def test_constant_flow_is_a_translation_by_alpha_times_it(mode, alpha):
    out = magnified_by_warp(shifted(1), constant(*SHIFT), scaled(alpha), mode)
    torch.testing.assert_close(out, shifted(alpha), rtol=0, atol=2e-6)


def test_between_pixels_bicubic_errs_less():
    frame, wanted = picture(0.3, -0.2), picture(1.3, -0.7)
    errors = [
        (magnified_by_warp(frame, constant(0.3, -0.2), scaled(4), mode) - wanted) for mode in ("bilinear", "bicubic")
    ]
    assert errors[1].abs().max() < errors[0].abs().max() < 0.2


def positions() -> torch.Tensor:
    """A frame whose pixels say where they are: (1, 2, SIDE, SIDE) px, exact between them, too."""
    v, u = torch.meshgrid(*[torch.arange(SIDE, dtype=torch.float64)] * 2, indexing="ij")
    return torch.stack([u, v])[None]


def test_every_point_is_looked_up_where_the_frame_shows_it():
    """f(p) = 0.1·(p − c): x = c + (1 + 0.1·alpha)·(p − c) is to show p, which the frame shows at c + 1.1·(p − c).

    Samples of the flow lie at the centres of blocks of 2 × 2 pixels; half a pixel beside would show.
    """
    c = scaled(30.3, 32.9).view(1, 2, 1, 1)
    flow = 0.1 * (positions()[..., : SIDE // 2, : SIDE // 2] * 2 + 0.5 - c)
    inner = slice(2, -2)  # the outermost half block has no sample to interpolate to
    for alpha in (0.5, 2.0, 8.0):
        found = magnified_by_warp(positions(), flow, scaled(alpha), steps=60)
        wanted = c + (positions() - c) * 1.1 / (1 + 0.1 * alpha)
        torch.testing.assert_close(found[..., inner, inner], wanted[..., inner, inner], rtol=0, atol=1e-9)


def test_alpha_of_every_point_moves_with_the_point():
    scalar = magnified_by_warp(shifted(1), constant(*SHIFT), scaled(3))
    flat = magnified_by_warp(shifted(1), constant(*SHIFT), torch.full((1, 1, SIDE, SIDE), 3.0, dtype=torch.float64))
    torch.testing.assert_close(flat, scalar, rtol=0, atol=1e-12)
    # alpha grows along x by 0.05 a pixel, everything moves by 2 px: x = p + 2·(3 + 0.05·p) shows p, now at p + 2
    ramp = 3 + 0.05 * positions()[:, :1]
    found = magnified_by_warp(positions(), constant(2.0, 0.0), ramp, steps=60)
    wanted = (positions()[:, :1] - 6) / 1.1 + 2
    torch.testing.assert_close(found[:, :1, :, 8:], wanted[..., 8:], rtol=0, atol=1e-9)


def test_evaluation_renders_the_same():
    """The diagnostic of the evaluation, in OpenCV, which looks up in steps of 1/32 px."""
    pytest.importorskip("cv2")
    from trainer.evaluation.methods import backward_warp

    y, x = torch.meshgrid(*[torch.arange(SIDE // 2, dtype=torch.float64)] * 2, indexing="ij")
    flow = torch.stack([0.8 * torch.sin(x / 6 + y / 9), 0.6 * torch.cos(y / 7)])[None]
    frame = picture().float()
    full = torch.nn.functional.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)[0]
    wanted = backward_warp(None, frame[0].permute(1, 2, 0).numpy(), full.permute(1, 2, 0).float().numpy(), 4.0)
    got = magnified_by_warp(frame, flow.float(), torch.full((1,), 4.0), "bicubic")[0].permute(1, 2, 0)
    assert (got - torch.from_numpy(wanted)).abs().max() < 0.01
    assert (got - frame[0].permute(1, 2, 0)).abs().max() > 0.2


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("alpha", [0.25, 3.0])
def test_the_gradient_to_the_flow_is_its_derivative(mode, alpha):
    frame, wanted = picture(0.37, -0.21), picture(1.9, -1.1)
    start = constant(0.37, -0.21)

    def error(flow: torch.Tensor) -> torch.Tensor:
        return (magnified_by_warp(frame, flow, scaled(alpha), mode, steps=50) - wanted).square().sum()

    flow = start.clone().requires_grad_()
    error(flow).backward()
    way = torch.randn(start.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for step in (way, torch.ones_like(way)):
        slope = (error(start + 1e-6 * step) - error(start - 1e-6 * step)) / 2e-6
        assert slope.abs() > 1e-2
        assert (flow.grad * step).sum().item() == pytest.approx(slope.item(), rel=1e-4)


def test_the_gradient_leads_to_more_motion_where_there_is_too_little():
    flow = constant(0.3, -0.3).requires_grad_()
    out = magnified_by_warp(picture(0.5, -0.5), flow, scaled(4))
    (out - picture(2.0, -2.0)).square().sum().backward()
    assert flow.grad[:, 0].sum() < 0 < flow.grad[:, 1].sum()
    still = constant(0.5, -0.5).requires_grad_()
    magnified_by_warp(picture(0.5, -0.5), still, scaled(1)).sum().backward()
    assert still.grad.abs().max() < 1e-12, "at alpha 1 the flow does not matter"


def test_the_loss_trains_a_flow_through_the_picture_it_makes():
    """The whole way: flow → picture → F → loss → flow. Too small a flow grows to the true one."""
    reference, frame = picture(), picture(0.8, -0.4)
    move = scaled(0.2, 0.0).requires_grad_()
    optimiser = torch.optim.Adam([move], lr=0.05)
    for _ in range(40):
        flow = move.view(1, 2, 1, 1).expand(1, 2, SIDE // 2, SIDE // 2)
        magnified = magnified_by_warp(frame, flow, scaled(4), "bicubic")
        optimiser.zero_grad()
        flow_loss(reference, frame, magnified, scaled(4), translation).total.backward()
        optimiser.step()
    torch.testing.assert_close(move.detach(), scaled(0.8, -0.4), rtol=0, atol=0.06)


def test_flow_of_another_size_is_refused_with_both():
    full = torch.zeros(1, 2, SIDE, SIDE)
    with pytest.raises(ValueError, match=r"\(1, 2, 64, 64\) for \(1, 3, 64, 64\)"):
        magnified_by_warp(picture(), full, scaled(2))
    with pytest.raises(ValueError, match="even size"):
        magnified_by_warp(picture()[..., 1:], full[..., :32, :31], scaled(2))
