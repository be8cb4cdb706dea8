"""The field computed by torch is the one that NumPy computes, on torch's CPU device. No GPU is needed."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rendering on a device needs torch")

from magfilter.device import fill  # noqa: E402
from magfilter.device import ground as device_ground  # noqa: E402
from magfilter.device.displace import magnified_displacement as on_device  # noqa: E402
from magfilter.device.resample import moved  # noqa: E402
from magfilter.displace import _fill, _from_around, magnified_displacement  # noqa: E402
from magfilter.ground import ground  # noqa: E402

SIZE = (60, 81)
ALPHAS = (0, 0.3, 1, 4, 15, 60)
STRIDES = (1, 2, 6)


def tensor(value):
    """An array as a tensor; numbers and None as they are."""
    return torch.from_numpy(np.ascontiguousarray(value, np.float32)) if isinstance(value, np.ndarray) else value


def agree(flow, alpha, stride, part=None, limit=None, near=1e-5) -> np.ndarray:
    """Both fields, which must be the same but for rounding; where that decides which of two wins, on a few points.

    `near` is by which share of the largest displacement others may differ.
    """
    flow = np.ascontiguousarray(flow, np.float32)
    due = magnified_displacement(flow.copy(), alpha, stride, part, limit)
    found = on_device(tensor(flow), tensor(alpha), stride, tensor(part), limit)
    assert found.dtype == torch.float32
    assert found.shape == flow.shape
    apart = np.abs(found.numpy() - due).max(0)
    allowed = 1e-4 * stride + near * np.abs(due).max(initial=0)
    assert (apart > allowed).mean() <= 0.003, f"{(apart > allowed).sum()} points, up to {apart.max()} px"
    assert ((due == 0).all(0) == (found.numpy() == 0).all(0)).mean() > 0.997
    return due


def smooth(seed: int, size: float, scale: int = 10) -> np.ndarray:
    """Random motion of about `size` px that varies over `scale` points, noise on it."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, size, (2, SIZE[0] // scale + 3, SIZE[1] // scale + 3))
    y, x = np.linspace(0, coarse.shape[1] - 1.01, SIZE[0]), np.linspace(0, coarse.shape[2] - 1.01, SIZE[1])
    rows = np.stack([[np.interp(y, np.arange(len(col)), col) for col in part.T] for part in coarse])
    field = np.stack([[np.interp(x, np.arange(len(row)), row) for row in part.T] for part in rows])
    return (field + rng.normal(0, size / 200, field.shape)).astype(np.float32)


def disc(motion, ground=(0.0, 0.0), radius: float = 14, centre=(28, 36), noise: float = 0.0) -> np.ndarray:
    """A disc that moves by `motion` px over ground that moves by `ground` px."""
    flow = np.random.default_rng(3).normal(0, 1, (2, *SIZE)) * noise
    flow += np.array(ground)[:, None, None]
    flow[:, within(radius, centre)] += np.subtract(motion, ground)[:, None]
    return flow.astype(np.float32)


def within(radius: float = 14, centre=(28, 36)) -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def camera(turn: float, zoom: float, shift=(0.37, -0.21)) -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] - np.array([30.3, 40.7])[:, None, None]
    flow = np.stack([zoom * x - turn * y + shift[0], turn * x + zoom * y + shift[1]])
    return (flow + np.random.default_rng(0).normal(0, 1e-3, flow.shape)).astype(np.float32)


FLOWS = {
    "still": lambda s: np.zeros((2, *SIZE), np.float32),
    "moving disc over still ground": lambda s: disc((0.7 * s, -0.4 * s), noise=0.003 * s),
    "fast disc": lambda s: disc((5.2 * s, 2.1 * s)),
    "moving disc over panning ground": lambda s: disc((0.5 * s, 0.1 * s), (-0.3 * s, 0.4 * s), noise=0.003 * s),
    "panning ground": lambda s: s * camera(0, 0),
    "zoom": lambda s: s * camera(0.003, 0.012),
    "shrinking": lambda s: s * camera(-0.002, -0.008),
    "smooth": lambda s: smooth(1, 0.6 * s),
    "tearing": lambda s: smooth(2, 1.5 * s, 4),
    "noise": lambda s: np.random.default_rng(5).normal(0, s, (2, *SIZE)),
    "string": lambda s: disc((0.6 * s, 0.0), radius=1.6),
}


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("name", FLOWS)
def test_the_field_is_numpy_s(name, stride):
    # Half of the picture may come in from out of it, and is told by a few points of its rim what to do.
    near = 3e-4 if name == "panning ground" else 1e-5
    for alpha in ALPHAS:
        field = agree(FLOWS[name](stride), alpha, stride, near=near)
        assert field.any() == (alpha != 1 and name != "still")


@pytest.mark.parametrize("seed", range(12))
def test_many_random_fields(seed):
    rng = np.random.default_rng(seed)
    stride = int(rng.choice(STRIDES))
    flow = smooth(seed, stride * 10 ** rng.uniform(-1.5, 0.5), int(rng.choice([5, 12, 30])))
    if seed % 2:
        flow[:, within(rng.uniform(3, 20), rng.uniform(10, 50, 2))] = rng.normal(0, 2 * stride, (2, 1))
    if seed % 3 == 0:
        flow[:, :, :30] = 0
    agree(flow, float(rng.choice([0.5, 3, 10, 40])), stride)


@pytest.mark.parametrize("alpha", [0, 0.5, 8, 30])
@pytest.mark.parametrize("name", ["moving disc over still ground", "moving disc over panning ground", "smooth", "zoom"])
def test_with_a_map_of_alpha(name, alpha):
    for stride in (1, 2):
        for radius in (9, 18):
            gain = np.where(within(radius), alpha, 1).astype(np.float32)
            agree(FLOWS[name](stride), gain, stride)
            gain[:, :20] = 3
            gain[:8] = 0.5
            agree(FLOWS[name](stride), gain, stride)


def test_a_map_of_ones_and_one_of_one_factor():
    flow = FLOWS["moving disc over still ground"](2)
    assert not on_device(tensor(flow), torch.ones(SIZE), 2).any()
    assert torch.equal(on_device(tensor(flow), torch.full(SIZE, 6.0), 2), on_device(tensor(flow), 6.0, 2))
    agree(flow, np.full(SIZE, 6, np.float32), 2)


def test_holes_in_what_left_its_mask_are_mended_alike():
    """Narrow tears, and a wide hole that is surrounded."""
    alpha, size = 10, (60, 120)
    torn = np.zeros((2, *size), np.float32)
    torn[0, 8:32, 20:32] = 1 + np.where(np.arange(12) % 2, 0.02, 0.4).cumsum()
    gain = np.ones(size, np.float32)
    gain[6:34, 18:34] = alpha
    assert (agree(torn, gain, 1) != agree(torn, alpha, 1)).any()
    holed = np.zeros((2, *size), np.float32)
    holed[0, 12:48, 12:44] = 6
    holed[:, 22:38, 22:34] = 0
    whole = np.ones(size, np.float32)
    whole[10:50, 10:46] = alpha
    field = agree(holed, whole, 1)
    assert (field[0, 24:36, 84:92] < -9).all()
    whole[22:38, 22:34] = 1
    agree(holed, whole, 1)


@pytest.mark.parametrize("alpha", [0, 0.5, 1, 8, 30])
@pytest.mark.parametrize(
    "name", ["moving disc over still ground", "moving disc over panning ground", "smooth", "fast disc"]
)
def test_with_a_part_of_the_motion(name, alpha):
    for stride in (1, 2):
        flow = FLOWS[name](stride)
        for part in (0.3 * flow, smooth(9, 0.2 * stride), np.zeros_like(flow), disc((0.5 * stride, 0), radius=8)):
            agree(flow, alpha, stride, part)
        agree(flow, np.where(within(18), alpha, 1).astype(np.float32), stride, 0.3 * flow)


@pytest.mark.parametrize("limit", [0.5, 4.0, 40.0])
@pytest.mark.parametrize("name", ["moving disc over still ground", "moving disc over panning ground", "smooth", "zoom"])
def test_with_a_limit(name, limit):
    for stride in (1, 6):
        flow = FLOWS[name](stride)
        for alpha in (0.5, 20, np.where(within(18), np.float32(20), np.float32(1))):
            agree(flow, alpha, stride, None, limit)
            agree(flow, alpha, stride, 0.4 * flow, limit)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5), (7, 8)])
@pytest.mark.parametrize("alpha", [0, 0.5, 2, 50])
def test_degenerate_sizes(size, alpha):
    flow = np.random.default_rng(1).normal(0, 1, (2, *size)).astype(np.float32)
    due = magnified_displacement(flow, alpha, 2)
    np.testing.assert_allclose(on_device(tensor(flow), alpha, 2).numpy(), due, atol=1e-4)
    ones = np.full((2, *size), 0.5, np.float32)
    np.testing.assert_allclose(
        on_device(tensor(ones), alpha, 2).numpy(), magnified_displacement(ones, alpha, 2), atol=1e-4
    )


@pytest.mark.parametrize("alpha", [1000, 1e6])
def test_huge_alpha(alpha):
    for scale in (1e-4, 0.1, 20):
        flow = np.random.default_rng(2).normal(0, scale, (2, 31, 44)).astype(np.float32)
        assert torch.isfinite(on_device(tensor(flow), alpha, 2)).all()


def test_inputs_are_left_alone():
    flow, gain = tensor(FLOWS["fast disc"](2)), torch.full(SIZE, 5.0)
    gain[:20] = 1
    before = flow.clone(), gain.clone()
    on_device(flow, gain, 2, flow, 3.0)
    assert torch.equal(flow, before[0])
    assert torch.equal(gain, before[1])


# -- the parts


@pytest.mark.parametrize("name", FLOWS)
def test_the_ground_is_numpy_s(name):
    flow = np.ascontiguousarray(FLOWS[name](1), np.float32)
    scale = np.full(SIZE, 8, np.float32)
    due = np.broadcast_to(ground(flow, scale), flow.shape)
    np.testing.assert_allclose(device_ground.ground(tensor(flow), tensor(scale)).numpy(), due, atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 200, 1 << 21])
def test_gaps_are_filled_alike_however_many_steps_are_taken_at_once(monkeypatch, at_once):
    """Rays in all directions, some of which lead out of the picture and some nowhere."""
    monkeypatch.setattr(fill, "AT_ONCE", at_once)
    monkeypatch.setattr(fill, "FEWEST", 1)
    rng = np.random.default_rng(4)
    field = smooth(1, 3)
    gap = within(18) | within(9, (5, 70)) | within(6, (55, 10)) | (rng.random(SIZE) < 0.02)
    behind = smooth(2, 9, 20)
    behind[:, 30:36] = 0
    due = field.copy()
    _fill(due, gap, behind, 2)
    found = fill.fill(tensor(field), torch.from_numpy(gap), tensor(behind), 2).numpy()
    assert (np.abs(found - due).max(0) > 1e-4).mean() < 0.001
    np.testing.assert_array_equal(found[:, ~gap], field[:, ~gap])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 1.0])
def test_from_around_is_numpy_s_to_the_bit(share):
    field, known = smooth(1, 3), np.random.default_rng(0).random(SIZE) < share
    due = _from_around(field, known)
    np.testing.assert_array_equal(fill.from_around(tensor(field), torch.from_numpy(known)).numpy(), due)


# -- on a device other than the CPU, as far as that can be told without one


@pytest.mark.parametrize("answer", [False, True])
def test_no_tensor_of_the_cpu_meets_one_of_the_device(monkeypatch, answer):
    """Tensors without content on a device that is not there; what is asked of them is always answered alike."""
    fake = pytest.importorskip("torch._subclasses.fake_tensor")

    def some(tensor, dtype=torch.int64):
        return torch.zeros(5, dtype=dtype, device=tensor.device)

    def nonzero(tensor, as_tuple=False):
        found = tuple(some(tensor) for _ in tensor.shape)
        return found if as_tuple else torch.stack(found, 1)

    def getitem(tensor, key):
        by_mask = isinstance(key, torch.Tensor) and key.dtype == torch.bool
        return some(tensor, tensor.dtype) if by_mask else plain(tensor, key)

    plain = torch.Tensor.__getitem__
    for name, value in (
        ("__bool__", lambda tensor: answer),
        ("__int__", lambda tensor: 9),
        ("nonzero", nonzero),
        ("__getitem__", getitem),
    ):
        monkeypatch.setattr(torch.Tensor, name, value)
    monkeypatch.setattr(fake.FakeTensor, "tolist", lambda tensor: [True] * len(tensor))
    monkeypatch.setattr(device_ground, "_rim", device_ground._rim.__wrapped__)  # keep none of them
    with fake.FakeTensorMode():
        flow, gain = (torch.zeros(*size, device="lazy") for size in ((2, 30, 40), (30, 40)))
        with pytest.raises(RuntimeError, match="device"):  # it does notice
            flow + torch.zeros(2, 30, 40)
        for alpha in (5.0, gain):
            for part in (None, flow):
                for limit in (None, 3.0):
                    field = on_device(flow, alpha, 2, part, limit)
                    assert (field.device.type, field.dtype, field.shape) == ("lazy", torch.float32, flow.shape)
        planes = torch.zeros(2, 61, 81, device="lazy")
        assert moved(planes, flow, (2.0, 2.0), 255).device == planes.device
