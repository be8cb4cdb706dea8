"""The network definitions: sizes, closed forms, and what is true of them before any training."""

from __future__ import annotations

import copy
import dataclasses
import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks need torch: pip install -e .[train]")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from magfilter.networks import DESCRIPTORS, Descriptor  # noqa: E402
from magfilter.networks.build import build_network  # noqa: E402
from magfilter.networks.constants import FEATURES  # noqa: E402
from magfilter.networks.sampling import backward_warp, doubled, halved  # noqa: E402
from magfilter.networks.unet import UNet, encode_alpha  # noqa: E402
from magfilter.networks.warp import WarpNet, _box  # noqa: E402

INNER = (slice(16, -16), slice(16, -16))


def texture(seed: int, shift: tuple[float, float] = (0, 0), size: int = 128) -> torch.Tensor:
    """A sum of random waves moved exactly by `shift` (x, y) px: (1, 1, size, size)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size].astype(np.float64)
    picture = np.zeros((size, size))
    for _ in range(40):
        length, angle, phase = rng.uniform(6, 40), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
        picture += np.sin(
            2 * np.pi / length * (np.cos(angle) * (x - shift[0]) + np.sin(angle) * (y - shift[1])) + phase
        )
    return torch.tensor(0.5 + 0.05 * picture, dtype=torch.float32)[None, None]


@pytest.fixture(scope="module")
def warp() -> WarpNet:
    torch.manual_seed(0)
    return WarpNet((8, 16, 24)).eval()


def test_unet_has_the_papers_parameters():
    assert sum(p.numel() for p in UNet(64).parameters()) == 17_287_683
    assert build_network("unet").width == 64


@pytest.mark.parametrize("size", [(16, 16), (16, 48), (80, 32)])
def test_unet_takes_multiples_of_16_and_paints_that_size(size):
    torch.manual_seed(0)
    net = UNet(4).eval()
    one, two = torch.rand(2, 1, 3, *size)
    with torch.no_grad():
        out = net(one, two, torch.tensor([4.0]))
    assert out.shape == (1, 3, *size)
    assert out.min() >= 0
    assert out.max() <= 1


def test_unet_takes_alpha_as_number_or_map():
    torch.manual_seed(0)
    net = UNet(4).eval()
    one, two = torch.rand(2, 2, 3, 32, 32)
    alpha = torch.tensor([2.0, 8.0])
    with torch.no_grad():
        a = net(one, two, alpha)
        b = net(one, two, alpha.view(2, 1, 1, 1).expand(2, 1, 32, 32))
        other = net(one, two, alpha + 1)
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert (a - other).abs().max() > 1e-4, "alpha makes a difference"


def test_alpha_is_encoded_as_the_paper_says():
    alpha = torch.tensor([1.0, 2.7, 16.0]).view(3, 1, 1, 1)
    code = encode_alpha(alpha)
    assert code.shape == (3, 32, 1, 1)
    wavelengths = np.geomspace(2.0**-3, 2.0**7, 32)
    wanted = np.sin(2 * 3.141592 * alpha.numpy().reshape(3, 1) / wavelengths)
    np.testing.assert_allclose(code[..., 0, 0].numpy(), wanted, atol=1e-3)  # float32 phases reach 800
    assert encode_alpha(torch.ones(1, 1, 3, 5)).shape == (1, 32, 3, 5)


def test_warp_returns_flow_at_half_resolution(warp):
    with torch.no_grad():
        flow = warp(torch.rand(2, 1, 64, 192), torch.rand(2, 1, 64, 192))
        flows = warp.pyramid(torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64))
    assert flow.shape == (2, 2, 32, 96)
    assert [f.shape[-1] for f in flows] == [2, 4, 8, 16, 32]
    assert torch.isfinite(flow).all()


def test_descriptors_tell_the_truth_about_the_networks(warp):
    assert warp.pad_multiple == DESCRIPTORS["warp"].pad_multiple == 64
    assert build_network("warp").pad_multiple == 64
    assert UNet.pad_multiple == DESCRIPTORS["unet"].pad_multiple == 16
    assert DESCRIPTORS["warp"].output == "flow"
    assert DESCRIPTORS["warp"].alpha_range == (0.0, math.inf)
    assert DESCRIPTORS["unet"].output == "frame"


def test_identical_images_have_no_motion(warp):
    image = texture(0)
    with torch.no_grad():
        assert warp(image, image).abs().max() < 1e-4
        flat = torch.full((1, 1, 64, 64), 0.5)
        assert warp(flat, flat).abs().max() < 1e-4


@pytest.mark.parametrize("shift", [(0.05, 0.0), (0.1, 0.0), (0.3, -0.2), (0.0, 0.5), (0.8, 0.6), (-2.0, 1.0)])
def test_untrained_warp_measures_a_known_translation(warp, shift):
    """Least squares are exact for small motion, so training only has to say where to believe them.

    Measured: median error 2 to 5 % of the motion.
    """
    for seed in range(3):
        with torch.no_grad():
            flow = warp(texture(seed), texture(seed, shift))[0][:, *INNER]
        error = (flow - torch.tensor(shift).view(2, 1, 1)).norm(dim=0) / math.hypot(*shift)
        assert error.median() < 0.10, f"seed {seed}"
        assert error.quantile(0.9) < 0.20, f"seed {seed}"


def test_a_change_of_brightness_is_no_motion(warp):
    with torch.no_grad():
        assert warp(texture(0), texture(0) + 0.1)[0][:, *INNER].abs().max() < 1e-3
        flow = warp(texture(0), texture(0, (0.3, -0.2)) + 0.1)[0][:, *INNER]
    assert (flow - torch.tensor([0.3, -0.2]).view(2, 1, 1)).norm(dim=0).median() < 0.036


def moments(gradient: float, shift: float, noise: float) -> torch.Tensor:
    """What a cell pools where all has one texture: means of IxIx … ItIt in each window, (1, 3, 6, 1, 1).

    Gradient and noise are in code values.
    """
    energy = gradient * gradient
    values = [energy, 0.0, energy, -energy * shift, 0.0, energy * shift * shift + noise]
    return torch.tensor(values).view(1, 1, 6, 1, 1).expand(1, 3, 6, 1, 1) / 255**2


def test_damping_gives_way_to_motion_and_not_to_noise(warp):
    # a gradient of one and a half code values a pixel: below the damping, and yet a clear motion
    cell, stubborn = warp.cell, copy.deepcopy(warp.cell)
    torch.nn.init.constant_(stubborn.trust, -torch.inf)
    with torch.no_grad():
        clear, _, _, left = (plane[0, 0].item() for plane in cell._solve(moments(1.5, 0.5, 0.0)))
        assert clear == pytest.approx(0.5, rel=0.1)
        assert left < 0.05
        assert stubborn._solve(moments(1.5, 0.5, 0.0))[0][0, 0].item() < 0.25
        # the same texture, where noise dwarfs what the motion would explain: the damping stays
        noisy, _, _, left = (plane[0, 0].item() for plane in cell._solve(moments(1.5, 0.05, 1.0)))
        assert noisy == pytest.approx(stubborn._solve(moments(1.5, 0.05, 1.0))[0][0, 0].item(), rel=0.1)
        assert left > 0.9


@pytest.mark.parametrize("light", [False, True])
def test_weights_tell_the_shape_of_the_network_they_are_of(light):
    net = build_network("warp", 8, light=light)
    other = build_network("warp", weights=net.state_dict())
    other.load_state_dict(net.state_dict())
    one, two = texture(0), texture(0, (0.4, 0.1))
    with torch.no_grad():
        torch.testing.assert_close(other(one, two), net(one, two))


def test_the_light_warp_is_less_than_half_the_work():
    def multiplications(net: torch.nn.Module) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net.cell.judge(torch.zeros(1, FEATURES, 16, 16))
        return counter.get_total_flops()

    assert multiplications(build_network("warp", light=True)) < 0.4 * multiplications(build_network("warp"))


def test_weights_of_another_network_have_no_shape_of_warp():
    with pytest.raises(ValueError, match=r"Expected weights of a warp; .* is missing"):
        build_network("warp", weights=build_network("unet", 4).state_dict())
    with pytest.raises(ValueError, match="light shape is of warp only"):
        build_network("unet", light=True)


def test_flow_is_where_the_point_lies_in_the_frame(warp):
    """Sign convention: warping the frame by the flow gives the reference."""
    one, two = texture(4), texture(4, (0.9, -0.7))
    with torch.no_grad():
        flow = torch.nn.functional.interpolate(warp(one, two), scale_factor=2, mode="bilinear")
    before = (two - one)[0, 0][INNER].abs().mean()
    after = (backward_warp(two, flow) - one)[0, 0][INNER].abs().mean()
    assert after < 0.15 * before


def test_backward_warp_by_whole_pixels_is_a_shift():
    image = torch.rand(2, 3, 12, 17)
    flow = torch.zeros(2, 2, 12, 17)
    flow[:, 0], flow[:, 1] = 3, -2
    out = backward_warp(image, flow)
    torch.testing.assert_close(out[:, :, 2:, :-3], image[:, :, :-2, 3:], rtol=0, atol=1e-5)
    torch.testing.assert_close(out[:, :, 5, -3:], image[:, :, 3, -1:].expand(-1, -1, 3), rtol=0, atol=1e-5)


def test_backward_warp_by_nothing_is_the_identity_even_of_one_row():
    for size in ((12, 17), (1, 9), (1, 1)):
        image = torch.rand(1, 1, *size)
        torch.testing.assert_close(backward_warp(image, torch.zeros(1, 2, *size)), image, rtol=0, atol=1e-5)


def waves(period: float, shift: float = 0.0, across: bool = False) -> torch.Tensor:
    """A texture of one spatial frequency, (1, 1, 64, 64), that has moved by `shift` px."""
    x = torch.arange(64, dtype=torch.float32) - shift
    rows = (0.5 + 0.3 * torch.sin(2 * math.pi * x / period)).expand(1, 1, 64, 64)
    return rows.mT if across else rows


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("channels", [1, 6, 9])
def test_a_box_is_the_mean_of_what_lies_in_the_window(size, channels):
    field, half = torch.rand(2, channels, 9, 13), size // 2
    wanted = torch.empty_like(field)
    for y in range(9):
        for x in range(13):
            window = field[..., max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
            wanted[..., y, x] = window.mean((2, 3))
    assert torch.allclose(_box(field, size), wanted, atol=1e-6)


def test_doubling_keeps_the_pixels():
    image = torch.rand(2, 1, 16, 24)
    finer = doubled(image)
    assert finer.shape == (2, 1, 32, 48)
    assert torch.allclose(finer[..., ::2, ::2], image, atol=1e-6)
    assert torch.allclose(doubled(torch.full((1, 1, 8, 8), 0.7)), torch.tensor(0.7)), "up to the border"


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("period", [4, 5, 8, 16])
def test_doubling_puts_between_two_pixels_what_lies_there(period, across):
    finer = doubled(waves(period, across=across))
    between = finer[..., ::2, 1::2] if not across else finer[..., 1::2, ::2]
    exact = waves(period, -0.5, across)
    inner = slice(4, -4)
    assert (between - exact)[..., inner, inner].abs().max() < (0.03 if period > 4 else 0.06) * 0.3


@pytest.mark.parametrize("size", [0.05, 0.25, 0.5])
@pytest.mark.parametrize("period", [6, 8, 16])
def test_a_warp_on_the_doubled_grid_shifts_fine_texture_as_far_as_it_should(period, size):
    """By bilinear interpolation on the pixels' own grid the slower shift falls short by a twentieth and more."""

    def shift(warped: torch.Tensor) -> float:
        pixels = warped[0, 0, 32, 8:56].double()  # whole periods
        steps = torch.arange(8, 56, dtype=torch.float64) * (2 * math.pi / period)
        wave = torch.complex((pixels * steps.cos()).sum(), -(pixels * steps.sin()).sum())
        return -float(torch.angle(wave * 1j)) * period / (2 * math.pi) + 0.0

    flow = torch.zeros(1, 2, 64, 64)
    flow[:, 0] = -size  # the texture then appears further to the right
    image = waves(period) - 0.5
    still = shift(image)
    own, finer = backward_warp(image, flow), backward_warp(doubled(image), flow, finer=2)
    wrong, better = (abs(abs(shift(w) - still) - size) for w in (own, finer))
    assert better < 0.025 * size
    if size < 0.1:
        assert wrong > 3 * better
        assert period > 8 or wrong > 0.08 * size


def test_a_coarser_image_does_not_show_what_it_cannot_resolve():
    for period in (2.2, 2.5, 3.0):
        coarse = halved(waves(period))[..., 4:-4, 4:-4] - 0.5
        mean = torch.nn.functional.avg_pool2d(waves(period), 2)[..., 4:-4, 4:-4] - 0.5
        assert coarse.std() < 0.45 * mean.std()
    assert torch.allclose(halved(torch.full((1, 1, 16, 16), 0.3)), torch.tensor(0.3))


def test_a_coarser_image_lies_where_the_mean_of_two_pixels_does():
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)
    inner = slice(2, -2)
    assert torch.allclose(halved(ramp)[..., inner], torch.nn.functional.avg_pool2d(ramp, 2)[..., inner])


@pytest.mark.parametrize("name", ["warp", "unet"])
def test_widths_are_those_asked_for(name):
    assert sum(p.numel() for p in build_network(name, 4).parameters()) < sum(
        p.numel() for p in build_network(name, 8).parameters()
    )


def test_an_unknown_network_is_refused_by_name():
    with pytest.raises(ValueError, match="'raft'"):
        build_network("raft")


@pytest.mark.parametrize("name", sorted(DESCRIPTORS))
def test_descriptors_survive_json(name):
    assert Descriptor.from_json(DESCRIPTORS[name].to_json()) == DESCRIPTORS[name]


@pytest.mark.parametrize(
    "change",
    [
        {"output": "picture"},
        {"channels": 2},
        {"pad_multiple": 0},
        {"output_stride": 0},
        {"alpha_range": [float("nan"), 1.0]},
        {"alpha_range": [1.0]},
        {"alpha_range": None},
        {"surprise": 1},
        {"name": ...},
        {"alpha_range": ...},
    ],
    ids=str,
)
def test_bad_descriptors_are_refused(change):
    values = dataclasses.asdict(DESCRIPTORS["unet"]) | change
    values = {key: value for key, value in values.items() if value is not ...}  # ... leaves the field out
    with pytest.raises((ValueError, TypeError, KeyError)):
        Descriptor.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null"])
def test_what_is_no_json_object_is_no_descriptor(text):
    with pytest.raises((ValueError, TypeError, KeyError)):
        Descriptor.from_json(text)
