"""The losses against closed forms, and where each of them is least."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")

from toys import waves  # noqa: E402

from trainer import losses  # noqa: E402


def constant(x: float, y: float, side: int, count: int = 1) -> torch.Tensor:
    return torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(count, 2, side, side).clone()


def test_flow_error_of_exact_flow_is_its_floor():
    """Every scale in its own pixels: the coarser by two has half the flow."""
    exact = constant(1.5, -2.0, 32)
    flows = [constant(1.5 / 4, -0.5, 8), constant(0.75, -1.0, 16), exact]
    loss = losses.relative_flow_error(flows, exact, torch.tensor([2.5]))
    assert 0 < loss < 1e-3
    still = constant(0, 0, 32)
    loss = losses.relative_flow_error([constant(0, 0, 16), still], still, torch.zeros(1))
    assert 0 < loss < math.log1p(1e-3 / 0.025)


@pytest.mark.parametrize("size", [0.05, 0.5, 5.0])
def test_flow_error_of_no_flow_against_its_closed_form(size):
    exact = constant(0.6 * size, 0.8 * size, 32)
    loss = losses.relative_flow_error([constant(0, 0, 32)], exact, torch.tensor([size]))
    wanted = 0.6 * math.log1p(math.sqrt(size**2 + 1e-6) / (size * 1.15 + 0.025))  # every point moves: 0.6 of the vote
    assert loss.item() == pytest.approx(wanted, rel=1e-4)


def test_flow_error_votes_of_moving_and_resting_points_do_not_depend_on_their_numbers():
    exact = constant(0, 0, 32)
    exact[:, 0, :2, :2] = 1.0
    found = torch.zeros_like(exact)
    loss = losses.relative_flow_error([found], exact, torch.tensor([1.0]))
    rest = math.log1p(1e-3 / 0.175)
    assert loss.item() == pytest.approx(0.6 * math.log1p(1 / 1.175) + 0.4 * rest, rel=1e-3)


def test_flow_error_has_a_gradient_that_leads_to_the_flow():
    exact = constant(0.3, 0.1, 16)
    flow = torch.zeros_like(exact, requires_grad=True)
    losses.relative_flow_error([flow], exact, torch.tensor([0.3])).backward()
    assert (flow.grad[:, 0] < 0).all()
    assert (flow.grad[:, 1] < 0).all()


def test_occlusion_is_found_where_a_square_covers_the_ground():
    """A square moves 4 px right: the ground it covers in the frame cannot be found again."""
    forward, backward = torch.zeros(2, 1, 2, 32, 32)
    forward[:, 0, 10:20, 8:18] = 4.0
    backward[:, 0, 10:20, 12:22] = -4.0
    hidden = losses.occluded(forward, backward)
    wanted = torch.zeros(1, 1, 32, 32)
    wanted[:, :, 10:20, 18:22] = 1
    assert torch.equal(hidden, wanted)


def test_consistent_flow_hides_nothing():
    flow = constant(2.0, -1.0, 24)
    assert not losses.occluded(flow, -flow).any()
    assert losses.occluded(flow, flow).all()


@pytest.mark.parametrize("brightness", [0.0, 0.15])
def test_photometric_is_least_at_the_true_shift(brightness):
    picture = torch.from_numpy(waves(1, 96, 8)).float()[None, None] / 255
    reference, frame = picture[..., 4:-4, 4:-4], picture[..., 3:-5, 2:-6] + brightness  # moved by (2, 1)
    hidden = torch.zeros_like(reference)
    values = {
        (x, y): losses.photometric(reference, frame, constant(x, y, 88), hidden).item()
        for x in (0.0, 1.0, 2.0, 3.0)
        for y in (0.0, 1.0, 2.0)
    }
    assert min(values, key=values.get) == (2.0, 1.0)
    assert values[2.0, 1.0] < 0.5 * sorted(values.values())[1]


def test_photometric_ignores_hidden_points():
    one = torch.rand(1, 1, 32, 32)
    two = one.clone()
    two[..., :16] = torch.rand(1, 1, 32, 16)
    hidden = torch.zeros_like(one)
    seen = losses.photometric(one, two, torch.zeros(1, 2, 32, 32), hidden)
    hidden[..., :20] = 1  # and the reach of the local mean
    assert losses.photometric(one, two, torch.zeros(1, 2, 32, 32), hidden).item() == pytest.approx(0.01, rel=1e-3)
    assert seen > 0.1
    everything = losses.photometric(one, two, torch.zeros(1, 2, 32, 32), torch.ones_like(one))
    assert everything == 0, "nothing visible is no loss, and no division by zero"


def test_local_normalisation_is_blind_to_a_change_of_light():
    picture = torch.from_numpy(waves(2, 64, 8)).float()[None, None] / 255
    ramp = torch.linspace(0, 0.2, 64).view(1, 1, 1, 64)
    a, b = losses.locally_normalised(picture), losses.locally_normalised(picture + 0.1 + ramp)
    assert a.shape == picture.shape
    assert (a - b)[..., 8:-8, 8:-8].abs().mean() < 0.1 * a.abs().mean()


def test_smoothness_is_zero_for_constant_flow_and_forgives_edges():
    reference = torch.zeros(1, 1, 16, 16)
    floor = losses.edge_aware_smoothness(constant(3, -1, 16), reference)
    assert floor == pytest.approx(2e-3, rel=1e-3), "the robust root's own floor, once an axis"
    step = constant(0, 0, 16)
    step[..., 8:] = 2.0
    flat = losses.edge_aware_smoothness(step, reference)
    assert flat > 10 * floor
    edge = reference.clone()
    edge[..., 8:] = 1.0
    assert losses.edge_aware_smoothness(step, edge) < 1.1 * floor
    assert losses.edge_aware_smoothness(step.mT.flip(1), reference) == pytest.approx(flat.item(), rel=1e-4)


# -- census


def picture(seed: int = 4, side: int = 64) -> torch.Tensor:
    """(1, 3, side, side) in 0..1."""
    return torch.from_numpy(waves(seed, side, 8)).float().expand(1, 3, side, side) / 255


def test_equal_images_have_no_census_difference():
    image = picture()
    found = losses.census_difference(image, image.clone())
    assert found.shape == (1, 1, 64, 64)
    assert not found.any()


def test_census_hardly_sees_exposure_and_sees_motion():
    image = picture()
    lighter = losses.census_difference(image, image + 0.1).max()
    assert lighter < 1e-6, "only differences between neighbours count"
    contrast = losses.census_difference(image, 0.5 + (image - 0.5) * 1.2).mean()
    moved = losses.census_difference(image, image.roll(2, 3)).mean()
    assert 0 < contrast < 0.1 * moved
    assert moved > 0.1


def test_census_is_symmetric_and_at_most_1():
    one, two = picture(4), picture(5)
    there, back = losses.census_difference(one, two), losses.census_difference(two, one)
    torch.testing.assert_close(there, back)
    assert 0 <= there.min() < there.max() < 1


def test_census_falls_along_its_gradient():
    one = picture()
    two = (one.roll(1, 3) * 0.98).requires_grad_(True)
    before = losses.census_difference(one, two).mean()
    (slope,) = torch.autograd.grad(before, two)
    assert torch.isfinite(slope).all()
    after = losses.census_difference(one, two.detach() - 0.002 * slope.sign()).mean()
    assert after < before


# --- realised gain --------------------------------------------------------------------------------


def test_gain_error_is_the_share_that_is_missing_or_too_much():
    exact = torch.zeros(3, 2, 4, 4)
    exact[:2, 0, :2] = 1.5
    speed = torch.tensor([1.5, 1.5, 0.0])
    flow = exact.clone()
    assert losses.gain_error(flow, exact, speed).item() == 0
    flow[0] *= 0.6
    flow[1] *= 1.2
    flow[2] = 7.0  # a still scene has no gain
    assert losses.gain_error(flow, exact, speed).item() == pytest.approx((0.4 + 0.2) / 2)
    assert losses.gain_error(flow, exact, torch.zeros(3)).item() == 0


def test_gain_error_asks_for_more_where_there_is_too_little():
    exact = torch.ones(1, 2, 3, 3)
    flow = (0.5 * exact).requires_grad_(True)
    losses.gain_error(flow, exact, torch.ones(1)).backward()
    assert (flow.grad < 0).all()  # descending makes the flow larger


def test_imitation_is_the_divergence_of_the_choices():
    taught = [torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1).expand(2, 3, 4, 4)]
    assert losses.imitation(taught, taught).item() == pytest.approx(0, abs=1e-6)
    own = [torch.tensor([0.25, 0.25, 0.5]).view(1, 3, 1, 1).expand(2, 3, 4, 4)]
    wanted = 0.5 * math.log(2) - 0.25 * math.log(2)
    assert losses.imitation(own, taught).item() == pytest.approx(wanted, rel=1e-4)
    # the finer of two scales counts twice as much
    assert losses.imitation(taught + own, taught + taught).item() == pytest.approx(wanted * 2 / 3, rel=1e-4)
