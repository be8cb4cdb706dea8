"""The field that moves the picture: exact where motion is known, zero where nothing moves."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter.displace import _from_around, magnified_displacement

pytestmark = pytest.mark.usefixtures("arithmetic")

SIZE = 48
TOP, LEFT, SIDE = 16, 14, 12  # of the moving square


def uniform(x: float, y: float, size: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    flow = np.empty((2, *size), np.float32)
    flow[0], flow[1] = x, y
    return flow


def square(x: float, y: float) -> np.ndarray:
    """A still background and a square that moves by (x, y)."""
    flow = np.zeros((2, SIZE, SIZE), np.float32)
    flow[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE] = np.array([x, y], np.float32)[:, None, None]
    return flow


def inside(shift_x: float, shift_y: float, x: np.ndarray, y: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Whether points lie in the square when it is shifted by so much."""
    left, top = LEFT + shift_x, TOP + shift_y
    return (
        (x > left - 0.5 - margin)
        & (x < left + SIDE - 0.5 + margin)
        & (y > top - 0.5 - margin)
        & (y < top + SIDE - 0.5 + margin)
    )


def looked_at(field: np.ndarray, stride: float = 1) -> tuple[np.ndarray, np.ndarray]:
    """Where in the frame every output point looks, in grid px."""
    y, x = np.mgrid[: field.shape[1], : field.shape[2]]
    return x + field[0] / stride, y + field[1] / stride


@pytest.mark.parametrize("flow", [uniform(1.7, -0.4), square(2.0, 0.0), square(0.3, 5.0)])
def test_alpha_one_is_exactly_zero(flow):
    assert not magnified_displacement(flow, 1.0, 1).any()
    assert not magnified_displacement(flow, 1, 2).any()
    assert not magnified_displacement(flow, np.ones((SIZE, SIZE), np.float32), 2).any()


@pytest.mark.parametrize("alpha", [0, 0.5, 2, 10, 1000])
def test_no_motion_is_exactly_zero(alpha):
    field = magnified_displacement(np.zeros((2, 9, 7), np.float32), alpha, 2)
    assert field.shape == (2, 9, 7)
    assert field.dtype == np.float32
    assert not field.any()


@pytest.mark.parametrize("stride", [1, 2, 6])
@pytest.mark.parametrize(("alpha", "flow"), [(2, (1.0, 0.0)), (10, (0.31, -0.22)), (5, (-0.8, 0.5)), (0.5, (3.0, 1.0))])
def test_uniform_translation_is_moved_on_by_alpha_minus_one(alpha, flow, stride):
    field = magnified_displacement(uniform(*flow), alpha, stride)
    edge = int(np.ceil(alpha * max(map(abs, flow)) / stride)) + 2  # what comes in from outside is anyone's guess
    middle = field[:, edge:-edge, edge:-edge]
    for k in (0, 1):
        np.testing.assert_allclose(middle[k], (1 - alpha) * flow[k], rtol=1e-5, atol=1e-6)


def test_units_are_pixels_of_the_full_picture_whatever_the_stride():
    """The same scene seen on a grid of twice the stride gives twice the displacement."""
    one = magnified_displacement(square(0.4, 0.2), 5, 1)
    two = magnified_displacement(2 * square(0.4, 0.2), 5, 2)
    assert one.any()
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("alpha", "flow"), [(10, (0.6, 0.0)), (10, (-0.5, 0.3)), (4, (1.0, 2.0)), (20, (0.0, -0.5))])
def test_magnified_square_is_shown_where_it_belongs(alpha, flow):
    field = magnified_displacement(square(*flow), alpha, 1)
    y, x = np.mgrid[:SIZE, :SIZE]
    target = inside(alpha * flow[0], alpha * flow[1], x, y, margin=-1)
    assert target.sum() > 50
    for k in (0, 1):
        np.testing.assert_allclose(field[k][target], (1 - alpha) * flow[k], rtol=1e-4)
    source_x, source_y = looked_at(field)
    assert inside(*flow, source_x[target], source_y[target], margin=1e-3).all()


@pytest.mark.parametrize(("alpha", "flow"), [(10, (0.6, 0.0)), (10, (-0.5, 0.3)), (4, (1.0, 2.0))])
def test_untouched_background_is_exactly_zero(alpha, flow):
    field = magnified_displacement(square(*flow), alpha, 1)
    y, x = np.mgrid[:SIZE, :SIZE]
    touched = inside(0, 0, x, y) | inside(*flow, x, y) | inside(alpha * flow[0], alpha * flow[1], x, y, margin=1)
    assert not field[:, ~touched].any()
    assert field[:, touched].any()


@pytest.mark.parametrize(("alpha", "flow"), [(10, (0.6, 0.0)), (10, (-0.5, 0.3)), (4, (1.0, 2.0)), (30, (0.0, 0.9))])
def test_uncovered_gap_shows_background(alpha, flow):
    """Where the square has left, the output looks in the frame beside the square, not at it."""
    field = magnified_displacement(square(*flow), alpha, 1)
    y, x = np.mgrid[:SIZE, :SIZE]
    gap = inside(0, 0, x, y) & ~inside(alpha * flow[0], alpha * flow[1], x, y, margin=1)
    assert gap.sum() > 20
    source_x, source_y = looked_at(field)
    assert not inside(*flow, source_x[gap], source_y[gap]).any()
    # and near by: no farther than the gap is from its rim, mirrored
    assert np.hypot(*field)[gap].max() <= 2 * np.hypot(SIDE, SIDE) + 2


def test_mover_hides_the_still_background_not_the_other_way_round():
    field = magnified_displacement(square(1.0, 0.0), 8, 1)
    row = field[0, TOP + SIDE // 2]
    np.testing.assert_allclose(row[LEFT + 9 : LEFT + 8 + SIDE - 1], -7, rtol=1e-4)


def test_the_farther_thrown_of_two_movers_is_in_front():
    flow = np.zeros((2, 20, 60), np.float32)
    flow[0, 5:15, 5:15] = 3.0  # lands on 29..38
    flow[0, 5:15, 26:36] = 0.4  # lands on 29.2..38.2
    field = magnified_displacement(flow, 8, 1)
    np.testing.assert_allclose(field[0, 7:13, 31:37], -21, rtol=1e-3)


def test_alpha_zero_freezes():
    """output(x) = frame(x + f(x)): the reference, wherever the flow is known."""
    rng = np.random.default_rng(0)
    flow = rng.normal(0, 2, (2, 12, 17)).astype(np.float32)
    np.testing.assert_allclose(magnified_displacement(flow, 0, 1), flow, rtol=1e-6, atol=0.011)
    np.testing.assert_array_equal(magnified_displacement(square(2, 1), 0, 1), square(2, 1))


def test_alpha_below_one_attenuates():
    field = magnified_displacement(square(4.0, 0.0), 0.25, 1)
    middle = field[:, TOP + 2 : TOP + SIDE - 2, LEFT + 3 : LEFT + SIDE - 1]
    np.testing.assert_allclose(middle[0], 3.0, rtol=1e-5)
    assert not middle[1].any()


def test_alpha_may_be_a_map():
    flow = np.zeros((2, 40, 80), np.float32)
    flow[0, 10:30, 5:25] = 0.5
    flow[0, 10:30, 50:70] = 0.5
    alpha = np.ones((40, 80), np.float32)
    alpha[:, :40] = 10
    field = magnified_displacement(flow, alpha, 1)
    assert not field[:, :, 40:].any(), "alpha 1 leaves the second mover as it is, to the bit"
    np.testing.assert_allclose(field[0, 12:28, 12:28], -4.5, rtol=1e-4)
    both = magnified_displacement(flow, 10.0, 1)
    np.testing.assert_array_equal(field[:, :, :40], both[:, :, :40])


def test_constant_map_equals_the_number():
    flow = square(0.7, -0.3)
    one = magnified_displacement(flow, 6.0, 2)
    assert one.any()
    np.testing.assert_array_equal(magnified_displacement(flow, np.full((SIZE, SIZE), 6, np.float32), 2), one)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5)])
@pytest.mark.parametrize("alpha", [0, 0.5, 2, 50])
def test_degenerate_sizes_work(size, alpha):
    rng = np.random.default_rng(1)
    for flow in (rng.normal(0, 1, (2, *size)).astype(np.float32), uniform(0.5, 0.5, size)):
        field = magnified_displacement(flow, alpha, 2)
        assert field.shape == (2, *size)
        assert field.dtype == np.float32
        assert np.isfinite(field).all()


def test_motion_that_leaves_the_picture_leaves_no_nonsense():
    field = magnified_displacement(uniform(3.0, 0.0), 100, 1)  # everything lands outside
    assert np.isfinite(field).all()
    flow = square(5.0, 0.0)
    field = magnified_displacement(flow, 20, 1)  # the square lands outside
    y, x = np.mgrid[:SIZE, :SIZE]
    gap = inside(0, 0, x, y) | inside(5, 0, x, y)
    assert not field[:, ~gap].any()
    source_x, source_y = looked_at(field)
    assert not inside(5, 0, source_x[gap], source_y[gap]).any(), "no second picture of what has left"


@pytest.mark.parametrize("alpha", [1000, 1e6])
def test_huge_alpha_gives_finite_numbers(alpha):
    rng = np.random.default_rng(2)
    for scale in (1e-4, 0.1, 20):
        field = magnified_displacement((rng.normal(0, scale, (2, 31, 44))).astype(np.float32), alpha, 2)
        assert np.isfinite(field).all()


def test_inputs_are_left_alone():
    flow = square(0.5, 0.2)
    before = flow.copy()
    magnified_displacement(flow, 10, 1)
    np.testing.assert_array_equal(flow, before)


@pytest.mark.parametrize("noise", [0.0, 0.004])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_thin_things_are_not_shown_twice(width, noise):
    """A string a grid point or two wide leaves a gap as thin as a crack, but ground lies in it."""
    flow = np.random.default_rng(0).normal(0, 1, (2, 32, SIZE)).astype(np.float32) * np.float32(noise)
    flow[0, :, 20 : 20 + width] += 0.5
    field = magnified_displacement(flow, 20, 1)
    source_x, _ = looked_at(field)
    gap = source_x[4:-4, 20 : 20 + width]
    assert ((gap < 20.2) | (gap > 19.8 + width)).all(), "looks beside the string, which spans 20 to 20 + width"
    landed = source_x[4:-4, 30 : 30 + width]
    assert ((landed > 19.9) & (landed < 20.1 + width)).all()


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1])
def test_stretched_material_has_no_holes(rate):
    """A zoom by 1 + alpha·rate spreads the points apart; what lies between them is interpolated."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32) - 23.5
    field = magnified_displacement(rate * np.stack([x, y]), 10, 1)
    share = (1 - 10) * rate / (1 + 10 * rate)
    inner = np.s_[:, 6:-6, 6:-6]
    error = np.abs(field - share * np.stack([x, y]))[inner]
    assert error.max() < 0.5


def test_attenuated_mover_is_not_shown_at_its_unattenuated_place():
    """Nor is the ground that it hides there left showing it: that ground is filled from ahead of the mover."""
    field = magnified_displacement(square(4.0, 0.0), 0.25, 1)
    y, x = np.mgrid[:SIZE, :SIZE]
    reached = inside(4, 0, x, y) & ~inside(1, 0, x, y, margin=1)
    source_x, source_y = looked_at(field)
    assert not inside(4, 0, source_x[reached], source_y[reached]).any()


# --- movers that meet, ground that moves -----------------------------------------------------------


def over_moving_ground(mover: tuple[float, float], ground: tuple[float, float]) -> np.ndarray:
    flow = uniform(*ground)
    flow[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE] = np.array(mover, np.float32)[:, None, None]
    return flow


@pytest.mark.parametrize("ground", [(-0.3, 0.4), (0.0, 0.5), (-0.5, 0.0), (0.25, -0.43)])
@pytest.mark.parametrize(("mover", "alpha"), [((0.5, 0.0), 12), ((0.48, 0.14), 16), ((0.0, 0.0), 16)])
def test_mover_over_moving_ground_is_whole(ground, mover, alpha):
    """As fast as the ground, faster or at rest: what moves against the ground hides it, and is averaged with none."""
    field = magnified_displacement(over_moving_ground(mover, ground), alpha, 1)
    y, x = np.mgrid[:SIZE, :SIZE]
    shown = inside(alpha * mover[0], alpha * mover[1], x, y, margin=-0.5)
    assert shown.sum() >= 100
    for k in (0, 1):
        np.testing.assert_allclose(field[k][shown], (1 - alpha) * mover[k], rtol=1e-4, atol=1e-5)
    far = 10  # and everywhere else the picture shows ground, and none twice as a ghost of the mover
    middle = (x >= far) & (y >= far) & (x < SIZE - far) & (y < SIZE - far)
    elsewhere = middle & ~inside(alpha * mover[0], alpha * mover[1], x, y, margin=1.01)
    source_x, source_y = looked_at(field)
    assert not inside(*mover, source_x[elsewhere], source_y[elsewhere], margin=-1).any()
    hidden = inside(alpha * ground[0], alpha * ground[1], x, y, margin=1.01)
    seen = elsewhere & ~hidden
    assert seen.sum() > 100
    for k in (0, 1):
        np.testing.assert_allclose(field[k][seen], (1 - alpha) * ground[k], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("other", [(-0.5, 0.0), (-0.49, 0.1)])
def test_two_movers_of_like_speed_are_not_averaged(other):
    flow = np.zeros((2, 24, 60), np.float32)
    flow[0, 6:18, 10:20] = 0.5  # lands on 20..29
    flow[:, 6:18, 32:44] = np.array(other, np.float32)[:, None, None]  # on about 22..33
    field = magnified_displacement(flow, 20, 1)[:, 9:15, 20:33]
    one, two = (np.hypot(field[0] + 19 * u, field[1] + 19 * v) for u, v in ((0.5, 0), other))
    assert (np.minimum(one, two) < 1e-3).all(), "each place shows one of the two"
    assert (one < 1e-3).any()
    assert (two < 1e-3).any()


def test_large_mover_is_in_front_of_the_ground_that_rests():
    """What fills most of the picture is no ground while a good part of the rim rests."""
    flow = np.zeros((2, 60, 60), np.float32)
    flow[0, 6:, 14:50] = 0.5
    field = magnified_displacement(flow, 10, 1)
    np.testing.assert_allclose(field[0, 8:, 20:54], -4.5, rtol=1e-4)
    assert not field[:, :, 56:].any()


@pytest.mark.parametrize("steep", [1.0, 2.5, 4.0])
def test_stretched_material_over_still_ground_has_no_holes(steep):
    """A flank that stretches many times over stays whole; nothing behind it shows through."""
    alpha, length = 20, 8
    flow = np.zeros((2, 40, 90), np.float32)
    ramp = np.clip(np.arange(90) - 20, 0, length) * steep / alpha
    flow[0] = np.where(np.arange(90) < 50, ramp, 0)
    field = magnified_displacement(flow, alpha, 1)
    source_x, source_y = looked_at(field)
    end = int(20 + length + length * steep)
    flank = source_x[4:-4, 18 : end + 1]
    assert (np.diff(flank, axis=1) > -0.05).all(), "the picture's order is kept"
    assert np.diff(flank, axis=1).max() < 2.5
    np.testing.assert_allclose(source_y[4:-4, 18 : end + 1], np.mgrid[4:36, 18 : end + 1][0], atol=1e-4)


@pytest.mark.parametrize(("turn", "zoom"), [(0.0, 0.0), (0.004, 0.0), (0.0, 0.006), (-0.003, -0.004)])
def test_camera_s_motion_is_followed_and_the_border_looked_beyond(turn, zoom):
    y, x = np.mgrid[:60, :80].astype(np.float32)
    matrix = np.array([[zoom, -turn], [turn, zoom]])
    shift = np.array([0.4, -0.2])
    flow = (np.einsum("ij,jyx->iyx", matrix, np.stack([x - 40, y - 30])) + shift[:, None, None]).astype(np.float32)
    alpha = 10
    field = magnified_displacement(flow, alpha, 1)
    # Output q shows p with p + alpha · f(p) = q, which the frame has at p + f(p).
    q = np.stack([x - 40, y - 30]) - alpha * shift[:, None, None]
    p = np.einsum("ij,jyx->iyx", np.linalg.inv(np.eye(2) + alpha * matrix), q)
    due = np.einsum("ij,jyx->iyx", np.eye(2) + matrix, p) + shift[:, None, None] - np.stack([x - 40, y - 30])
    np.testing.assert_allclose(field[:, 8:-8, 10:-10], due[:, 8:-8, 10:-10], atol=0.15)
    # So it is where what is shown comes in from out of the picture, the corner included: beyond the border the
    # renderer finds its mirror image, as far out as what is shown there was.
    np.testing.assert_allclose(field, due, atol=0.5 if turn or zoom else 1e-4)


def test_what_comes_in_from_out_of_the_picture_is_not_torn():
    """An uneven rim, as parallax makes it, is carried on smoothly: neighbours look at neighbours."""
    y, x = np.mgrid[:60, :80].astype(np.float32)
    flow = np.stack([1.0 + 0.1 * np.sin(y / 9), -0.5 + 0.1 * np.cos(x / 11)]).astype(np.float32)
    source_x, source_y = looked_at(magnified_displacement(flow, 10, 1))
    for source in (source_x, source_y):
        assert np.abs(np.diff(source[:, :9], axis=0)).max() < 1.7
        assert np.abs(np.diff(source[-6:], axis=1)).max() < 1.7
    assert source_x[:-8, 0].max() < -5
    assert source_y[-1, 12:].min() > 61


@pytest.mark.parametrize("wide", [5, 12, 30])
def test_what_is_taken_from_around_has_no_steps(wide):
    y, x = np.mgrid[:90, :130].astype(np.float32)
    field = np.stack([10 * np.sin(y / 12), 0.2 * y])
    known = x >= wide
    found = _from_around(field * known, known)
    np.testing.assert_array_equal(found[:, known], field[:, known])
    steepest = np.abs(np.diff(field, axis=1)).max((1, 2))
    assert (np.abs(np.diff(found, axis=1)).max((1, 2)) < 1.25 * steepest).all()
    even = np.full((2, 90, 130), 0.7, np.float32)
    np.testing.assert_array_equal(_from_around(even * known, known), even, err_msg="what is one value stays it")


# --- maps of alpha ---------------------------------------------------------------------------------


def masked(alpha: float, margin: int = 0) -> np.ndarray:
    """A map with alpha on the square of `square()` and `margin` around it, 1 elsewhere."""
    gain = np.ones((SIZE, SIZE), np.float32)
    gain[TOP - margin : TOP + SIDE + margin, LEFT - margin : LEFT + SIDE + margin] = alpha
    return gain


@pytest.mark.parametrize("margin", [0, 3])
@pytest.mark.parametrize(("alpha", "flow"), [(10, (0.6, 0.0)), (10, (-0.5, 0.3)), (4, (1.0, 2.0)), (20, (0.0, -0.5))])
def test_masked_mover_leaves_its_mask_uncut(margin, alpha, flow):
    """Over ground that rests it is shown as without a mask, and nothing else is touched."""
    field = magnified_displacement(square(*flow), masked(alpha, margin), 1)
    y, x = np.mgrid[:SIZE, :SIZE]
    target = inside(alpha * flow[0], alpha * flow[1], x, y, margin=-1)
    for k in (0, 1):
        np.testing.assert_allclose(field[k][target], (1 - alpha) * flow[k], rtol=1e-4)
    touched = inside(0, 0, x, y) | inside(*flow, x, y) | inside(alpha * flow[0], alpha * flow[1], x, y, margin=1)
    assert not field[:, ~touched].any()
    source_x, source_y = looked_at(field)
    gap = inside(0, 0, x, y) & ~inside(alpha * flow[0], alpha * flow[1], x, y, margin=1)
    assert not inside(*flow, source_x[gap], source_y[gap]).any(), "where it left there is ground"


@pytest.mark.parametrize("other", [(3.0, 0.0), (0.0, -4.0), (-2.0, 1.0)])
def test_what_is_thrown_out_of_the_mask_hides_what_stays_however_that_moves(other):
    """A bystander that moves faster than the magnified object moves is still behind it."""
    flow = square(0.4, 0.0)
    beside = np.s_[:, TOP : TOP + SIDE, LEFT + SIDE + 1 : LEFT + SIDE + 13]
    flow[beside] = np.array(other, np.float32)[:, None, None]
    field = magnified_displacement(flow, masked(10), 1)
    shown = np.s_[:, TOP + 1 : TOP + SIDE - 1, LEFT + 5 : LEFT + SIDE + 3]  # thrown by 4
    np.testing.assert_allclose(field[shown][0], -3.6, rtol=1e-4)
    assert not field[:, :, LEFT + SIDE + 6 :].any(), "the bystander keeps its bits"


@pytest.mark.parametrize("ground", [(0.5, 0.0), (-0.3, 0.4)])
@pytest.mark.parametrize("mover", [(-0.5, 0.2), (0.0, 0.0)])
def test_mask_over_moving_ground(ground, mover):
    """A camera that shakes: ground inside the mask is thrown whole over the ground outside, the mover over both."""
    alpha, margin = 12, 3
    field = magnified_displacement(over_moving_ground(mover, ground), masked(alpha, margin), 1)
    y, x = np.mgrid[:SIZE, :SIZE]
    shown = inside(alpha * mover[0], alpha * mover[1], x, y, margin=-0.5)
    for k in (0, 1):
        np.testing.assert_allclose(field[k][shown], (1 - alpha) * mover[k], rtol=1e-4, atol=1e-5)
    landed = inside(alpha * ground[0], alpha * ground[1], x, y, margin=margin - 1)
    ring = landed & ~inside(alpha * ground[0], alpha * ground[1], x, y, margin=1)
    ring &= ~inside(alpha * mover[0], alpha * mover[1], x, y, margin=1)
    assert ring.sum() > 30
    for k in (0, 1):
        np.testing.assert_allclose(field[k][ring], (1 - alpha) * ground[k], rtol=1e-4, atol=1e-5)
    clear = ~inside(0, 0, x, y, margin=margin) & ~inside(*(np.multiply(alpha, ground)), x, y, margin=margin + 1)
    clear &= ~inside(alpha * mover[0], alpha * mover[1], x, y, margin=1)
    assert not field[:, clear].any()


def test_a_map_that_fades_moves_what_is_between_by_a_share():
    """A soft edge: no tear, and each point by its own factor."""
    flow = uniform(0.5, 0.0, (20, 80))
    flow[:, :2] = flow[:, -2:] = 0  # a rim that rests
    gain = np.tile(np.interp(np.arange(80), [20, 40], [9, 1]).astype(np.float32), (20, 1))
    field = magnified_displacement(flow, gain, 1)
    middle = field[0, 6:14]
    assert not middle[:, 46:].any()
    np.testing.assert_allclose(middle[:, 8:20], -4, rtol=1e-3)
    steps = np.diff(np.arange(80) + middle, axis=1)[:, 8:50]
    assert (steps > -0.05).all(), "the picture's order is kept"


def test_what_left_its_mask_has_no_narrow_holes():
    """An estimate that tears material apart, by 4 points and hardly any in turn, shows no ground through the tears."""
    alpha, size = 10, (40, 120)
    flow = np.zeros((2, *size), np.float32)
    flow[0, 8:32, 20:32] = 1 + np.where(np.arange(12) % 2, 0.02, 0.4).cumsum()  # lands on 34 to 66
    gain = np.ones(size, np.float32)
    gain[6:34, 18:34] = alpha
    shown = np.s_[0, 10:30, 35:66]
    assert (magnified_displacement(flow, alpha, 1)[shown] == 0).sum() > 100, "without a map it does"
    field = magnified_displacement(flow, gain, 1)
    assert (field[shown] < -9).all()
    assert not field[:, :, 70:].any()
    assert not field[:, :6].any()


def test_what_left_its_mask_shows_nothing_through_what_it_surrounds():
    """A wide hole, where no motion was found, is closed; through an open ring one sees the ground."""
    alpha, size = 10, (60, 120)
    inner = np.s_[22:38, 22:34]
    flow = np.zeros((2, *size), np.float32)
    flow[0, 12:48, 12:44] = 6  # lands on 72 to 104
    flow[:, *inner] = 0
    whole = np.ones(size, np.float32)
    whole[10:50, 10:46] = alpha
    ring = whole.copy()
    ring[inner] = 1
    shown = np.s_[0, 24:36, 84:92]  # where the hole would land
    np.testing.assert_allclose(magnified_displacement(flow, whole, 1)[shown], -54)
    assert not magnified_displacement(flow, ring, 1)[shown].any()


# --- a part of the motion, within a limit ----------------------------------------------------------


def two_squares(one: tuple[float, float], other: tuple[float, float]) -> np.ndarray:
    flow = np.zeros((2, SIZE, 2 * SIZE), np.float32)
    flow[:, :, :SIZE], flow[:, :, SIZE:] = square(*one), square(*other)
    return flow


@pytest.mark.parametrize("alpha", [0, 0.5, 10, masked(10), masked(10, 3)])
@pytest.mark.parametrize("flow", [square(0.4, -0.2), uniform(0.3, 0.1)])
def test_the_whole_as_a_part_is_the_whole(flow, alpha):
    whole = magnified_displacement(flow, alpha, 1)
    np.testing.assert_allclose(magnified_displacement(flow, alpha, 1, part=flow), whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        magnified_displacement(flow, alpha, 1, part=flow, limit=1e6), whole, rtol=1e-4, atol=1e-5
    )


def test_any_displacement_may_be_shown():
    """As the part g − f with alpha 2: here, the square's 0.5 px to the right become 4 px down."""
    flow, shown = square(0.5, 0.0), square(0.0, 4.0)
    field = magnified_displacement(flow, 2, 1, part=shown - flow)
    y, x = np.mgrid[:SIZE, :SIZE]
    target = inside(0, 4, x, y, margin=-1)
    np.testing.assert_allclose(field[:, target], np.broadcast_to([[0.5], [-4.0]], (2, target.sum())), rtol=1e-4)
    assert not inside(0.5, 0, *looked_at(field))[inside(0, 0, x, y) & ~inside(0, 4, x, y, margin=1)].any()


@pytest.mark.parametrize("passing", [(0.7, 0.3), (5.0, 0.0), (0.0, -15.0)])
def test_what_moves_otherwise_is_left_to_the_bit(passing):
    """One square is magnified; the other goes its way, also far, and the frame shows all that it uncovers."""
    flow = two_squares((0.4, 0.2), passing)
    part = two_squares((0.4, 0.2), (0, 0))
    field = magnified_displacement(flow, 10, 1, part=part)
    assert not field[:, :, SIZE:].any()
    np.testing.assert_array_equal(field[:, :, :SIZE], magnified_displacement(square(0.4, 0.2), 10, 1))


def test_no_part_is_exactly_nothing():
    for flow in (square(3.0, 1.0), uniform(0.7, 0.1)):
        assert not magnified_displacement(flow, 10, 1, part=np.zeros_like(flow)).any()


@pytest.mark.parametrize("passing", [(0.7, 0.3), (4.0, 0.0)])
def test_a_trace_of_the_other_motion_uncovers_nothing(passing):
    """A filter never stops a motion entirely: where the passer-by was, there is ground, and not a reflection of it."""
    flow = two_squares((0.4, 0.2), passing)
    part = two_squares((0.4, 0.2), (0.02 * passing[0], 0.02 * passing[1]))
    field = magnified_displacement(flow, 10, 1, part=part)[:, :, SIZE:]
    assert np.abs(field).max() <= 9 * 0.02 * 4 + 1


def test_a_camera_that_is_not_magnified_and_a_square_that_is():
    """Its ground is where the frame has it, the square is whole and in front, and leaves ground behind."""
    camera, own = uniform(1.5, -0.5), square(0.4, 0.3)
    field = magnified_displacement(camera + own, 10, 1, part=own)
    y, x = np.mgrid[:SIZE, :SIZE]
    target = inside(1.5 + 4, -0.5 + 3, x, y, margin=-1)
    np.testing.assert_allclose(field[:, target], np.broadcast_to([[-3.6], [-2.7]], (2, target.sum())), rtol=1e-3)
    middle = (x >= 4) & (y >= 4) & (x < SIZE - 4) & (y < SIZE - 4)
    beside = middle & ~inside(1.5 + 4, -0.5 + 3, x, y, margin=1) & ~inside(1.5, -0.5, x, y, margin=2)
    assert np.abs(field[:, beside]).max() < 1e-3
    source_x, source_y = looked_at(field)
    left = inside(1.5, -0.5, x, y, margin=-1) & ~inside(1.5 + 4, -0.5 + 3, x, y, margin=1)
    assert left.sum() > 10
    assert not inside(1.9, -0.2, source_x[left], source_y[left], margin=-1).any()


@pytest.mark.parametrize(
    ("x", "limit", "due"), [(0.2, 4, 1.8), (1, 4, 2 * (1 + np.tanh(3.5))), (50, 4, 4), (-1, 20, -9)]
)
def test_the_limit_is_soft(x, limit, due):
    """Up to half of it a shift stays as it is, then it bends, and it never gets beyond."""
    field = magnified_displacement(uniform(x, 0.0), 10, 1, limit=limit)
    assert -field[0, SIZE // 2, SIZE // 2] == pytest.approx(due, rel=1e-3)
    assert np.abs(field[0, 10:-10, 10:-10]).max() <= limit * (1 + 1e-5)
    assert not field[1].any()


def test_the_limit_keeps_directions_and_order():
    scale = np.linspace(0, 3, 60, dtype=np.float32)
    flow = np.stack([np.tile(0.4 * scale, (40, 1)), np.tile(0.3 * scale, (40, 1))])
    field = magnified_displacement(flow, 5, 1, limit=2)
    length = np.hypot(*field)[20]
    assert length.max() <= 2.001
    seen = length > 0.05
    np.testing.assert_allclose(field[1, 20][seen], 0.75 * field[0, 20][seen], rtol=1e-3)
    freely = magnified_displacement(flow, 5, 1)
    slow = (length > 0.05) & (np.hypot(*freely)[20] < 0.9)
    np.testing.assert_allclose(field[:, 20, slow], freely[:, 20, slow], rtol=1e-3)


def test_alpha_one_in_a_map_stays_to_the_bit_with_a_part_and_a_limit():
    flow = two_squares((0.4, 0.2), (0.6, -0.3))
    gain = np.ones((SIZE, 2 * SIZE), np.float32)
    gain[:, :SIZE] = masked(10)
    field = magnified_displacement(flow, gain, 1, part=0.5 * flow, limit=3)
    assert field[:, :, :SIZE].any()
    assert not field[:, :, SIZE:].any()
