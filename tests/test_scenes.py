"""Layered scenes: their flow is exact at every size of motion, and a run gets the same ones again."""

from __future__ import annotations

import itertools
import math

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
import torch.nn.functional as F  # noqa: E402
from toys import painter, tiles, waves  # noqa: E402

import trainer.scenes as scenes_module  # noqa: E402
from magfilter.networks.sampling import backward_warp  # noqa: E402
from trainer.scenes import LayeredScenes, PaintedScenes, add_capture, block_dct_noise, straightened  # noqa: E402


@pytest.fixture(scope="module")
def batch():
    scenes = painter()
    return scenes, scenes(12)


def mismatch(reference: torch.Tensor, frame: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """|frame warped by the flow − reference|: (B, H·W)."""
    full = F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
    return (backward_warp(frame, full) - reference).abs().flatten(1)


# -- scenes


def test_flow_of_a_scene_is_exact(batch):
    """Away from edges and covered points, warping the frame by the flow gives the reference."""
    _, scene = batch
    error = mismatch(scene.reference, scene.frame, scene.flow)
    assert error.median(1).values.max() < 2e-3
    moving = (scene.frame - scene.reference).abs().flatten(1).mean(1) > 3e-3
    assert moving.sum() >= 4
    before = (scene.frame - scene.reference).abs().flatten(1)
    assert (error.mean(1) < 0.5 * before.mean(1))[moving].all()
    wrong = mismatch(scene.reference, scene.frame, -scene.flow)
    assert (wrong.mean(1) > before.mean(1))[moving].all(), "the sign matters"


def test_magnified_is_the_reference_at_0_and_the_frame_at_1(batch):
    scenes, scene = batch
    count = len(scene.frame)
    torch.testing.assert_close(scenes.magnified(scene, torch.zeros(count)), scene.reference, rtol=0, atol=1e-6)
    torch.testing.assert_close(scenes.magnified(scene, torch.ones(count)), scene.frame, rtol=0, atol=1e-6)
    mixed = torch.arange(count) % 2
    wanted = torch.where(mixed.view(-1, 1, 1, 1).bool(), scene.frame, scene.reference)
    torch.testing.assert_close(scenes.magnified(scene, mixed.float()), wanted, rtol=0, atol=1e-6)


def test_magnified_moves_by_alpha_times_the_flow(batch):
    scenes, scene = batch
    slow = (scene.speed > 0) & (scene.speed < 1)
    assert slow.any()
    picture = scenes.magnified(scene, torch.full((len(scene.frame),), 3.0))
    error = mismatch(scene.reference, picture, 3 * scene.flow)
    assert error[slow].median(1).values.max() < 3e-3


def test_still_scenes_exist_and_do_not_move_at_all():
    scenes, found = painter(5, 64), 0
    for _ in range(6):
        scene = scenes(8)
        still = scene.speed == 0
        found += int(still.sum())
        assert not scene.flow[still].any()
        torch.testing.assert_close(scene.frame[still], scene.reference[still], rtol=0, atol=1e-6)
    assert 0 < found < 24


def test_motion_starts_at_a_hundredth_of_a_pixel():
    _, speed = painter(1, 64).draw(64)
    moving = speed[speed > 0]
    assert 0.012 <= moving.min() < 0.06
    assert 2 < moving.max() <= 12


def test_speeds_are_drawn_between_those_asked_for():
    _, speed = painter(1, 64, speeds=(0.5, 2.0)).draw(64)
    moving = speed[speed > 0]
    assert 0.5 <= moving.min() < 0.7 < 1.4 < moving.max() <= 2
    assert (moving.log().mean().exp() - 1).abs() < 0.25, "geometrically"


@pytest.mark.parametrize("camera", [0.0, 1.0])
def test_the_camera_moves_in_as_many_scenes_as_asked(camera):
    layers, speed = painter(1, 64, camera=camera).draw(32)
    moves = layers.affine[:, 0].abs().sum((1, 2)) > 0
    assert torch.equal(moves, (speed > 0) & (camera == 1))


def test_the_same_seed_paints_the_same_scenes():
    one, two, other = (painter(seed, 64)(2) for seed in (8, 8, 9))
    for name in ("reference", "frame", "flow", "speed"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert not torch.equal(one.reference, other.reference)


def test_scenes_have_the_shapes_they_promise():
    for channels in (1, 3):
        scenes = LayeredScenes(tiles(channels), torch.zeros(0, channels + 1, 96, 96, dtype=torch.uint8), 64, 1)
        scene = scenes(2)
        assert scene.reference.shape == scene.frame.shape == (2, channels, 64, 64)
        assert scene.flow.shape == (2, 2, 32, 32)
        assert scene.speed.shape == (2,)
        for image in (scene.reference, scene.frame):
            assert image.min() >= 0
            assert image.max() <= 1


@pytest.mark.parametrize("kind", range(8))
def test_all_eight_symmetries_keep_flow_and_frames_together(batch, kind, monkeypatch):
    scenes, scene = batch
    monkeypatch.setattr(scenes, "_index", lambda *_: torch.tensor([kind]))
    monkeypatch.setattr(scenes_module, "add_capture", lambda reference, frame, g: (reference, frame))
    reference, frame, flow = scenes.augment(scene)
    assert reference.shape == scene.reference.shape
    turned = mismatch(reference, frame, flow)
    straight = mismatch(scene.reference, scene.frame, scene.flow)
    torch.testing.assert_close(turned.mean(1), straight.mean(1), rtol=1e-3, atol=1e-6)
    if kind:
        assert not torch.equal(reference, scene.reference)


def test_the_eight_symmetries_are_eight(batch, monkeypatch):
    scenes, scene = batch
    monkeypatch.setattr(scenes_module, "add_capture", lambda reference, frame, g: (reference, frame))
    seen = []
    for kind in range(8):
        monkeypatch.setattr(scenes, "_index", lambda *_, kind=kind: torch.tensor([kind]))
        seen.append(scenes.augment(scene)[0])
    for k, one in enumerate(seen):
        assert not any(torch.equal(one, two) for two in seen[:k])


def test_capture_stays_in_0_to_1_and_films_both_frames_anew():
    g = torch.Generator().manual_seed(0)
    source = torch.rand(16, 1, 64, 64, generator=g)
    noisy = 0
    for _ in range(8):
        one, two = add_capture(source, source.clone(), g)
        for image in (one, two):
            assert image.shape == source.shape
            assert image.min() >= 0
            assert image.max() <= 1
            assert torch.isfinite(image).all()
        noisy += int(((one - two).abs().flatten(1).mean(1) > 1e-4).sum())
    assert noisy > 64, "noise is drawn for each frame on its own"


def test_capture_moves_nothing():
    g = torch.Generator().manual_seed(1)
    source = torch.from_numpy(waves(3, 64)).float()[None, None].expand(8, 1, 64, 64) / 255
    one, _ = add_capture(source, source, g)
    for image in one:
        a, b = image.flatten() - image.mean(), source[0].flatten() - source[0].mean()
        assert (a @ b) / (a.norm() * b.norm()) > 0.8


def test_compression_with_a_tiny_step_is_the_identity():
    image = torch.rand(2, 3, 16, 24)
    torch.testing.assert_close(block_dct_noise(image, torch.full((2,), 1e-6)), image, rtol=0, atol=2e-5)


def test_compression_with_a_coarse_step_keeps_only_block_means():
    image = 0.5 + 0.05 * torch.rand(1, 1, 16, 16)
    out = block_dct_noise(image, torch.tensor([0.4]))
    means = F.avg_pool2d(out, 8)
    torch.testing.assert_close(out, F.interpolate(means, scale_factor=8), rtol=0, atol=1e-5)
    torch.testing.assert_close(means, (means * 20).round() / 20, rtol=0, atol=1e-5)  # the mean's step is 0.4 / 8
    assert (out.mean() - 0.525).abs() < 0.026
    assert not torch.equal(out, image)


def test_compression_steps_are_each_samples_own():
    image = torch.rand(2, 1, 16, 16)
    out = block_dct_noise(image, torch.tensor([1e-6, 0.2]))
    error = (out - image).abs().flatten(1).amax(1)
    assert error[0] < 1e-4 < 1e-2 < error[1]


# -- looking pictures up


def looked_up(row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """A row of samples at the positions (px) by torch's bicubic, in double precision."""
    side = len(row)
    picture = row.double().expand(1, 1, 8, side)
    x = at.double() * 2 / side + 1 / side - 1
    grid = torch.stack([x, torch.zeros_like(x)], -1).view(1, 1, -1, 2)
    return F.grid_sample(picture, grid, mode="bicubic", align_corners=False).flatten()


def test_a_slope_is_looked_up_exactly():
    at = torch.linspace(4, 27, 477, dtype=torch.float64)
    ramp = torch.arange(32, dtype=torch.float64)
    assert (looked_up(ramp, straightened(at)) - at).abs().max() < 1e-4
    assert (looked_up(ramp, at) - at).abs().max() > 0.04, "which the kernel alone does not"


def test_straightened_positions_stay_between_their_samples_and_in_order():
    at = torch.linspace(-3, 5, 801, dtype=torch.float64)
    found = straightened(at)
    assert (found.diff() > 0).all()
    assert (found - at).abs().max() < 0.06
    whole = torch.arange(-3.0, 6.0)
    torch.testing.assert_close(straightened(whole), whole, rtol=0, atol=1e-5)


def gain(fraction: torch.Tensor, look) -> float:
    """What share of a move by a hundredth of a pixel is seen of a sinusoid of 16 px, from `fraction` of the way
    between two samples on: over all its phases, 1 is right."""
    k = 2 * math.pi / 16
    at = torch.arange(16, 48, dtype=torch.float64) + fraction
    wanted = torch.sin(k * (at + 0.01)) - torch.sin(k * at)
    texture = torch.sin(k * torch.arange(64, dtype=torch.float64))
    found = looked_up(texture, look(at + 0.01)) - looked_up(texture, look(at))
    return float((wanted @ found) / (wanted @ wanted))


def test_small_motion_of_a_texture_is_right_wherever_it_begins():
    fractions = torch.linspace(0, 1, 21, dtype=torch.float64)
    assert all(abs(gain(t, straightened) - 1) < 0.035 for t in fractions)
    bent = [gain(t, lambda at: at) for t in fractions]
    assert min(bent) < 0.8 < 1.4 < max(bent), "which the kernel alone is not"


# -- batches handed out several times


def assert_same(one, two) -> None:
    for name in ("reference", "frame", "flow", "speed"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def test_a_painted_batch_is_handed_out_so_many_times():
    painted = PaintedScenes(painter(2, 64), 2, reuse=3)
    assert painted.at_hand is None
    given = [painted() for _ in range(7)]
    assert [one is two for one, two in itertools.pairwise(given)] == [True, True, False, True, True, False]
    assert painted.at_hand is given[-1]


@pytest.mark.parametrize("uses", range(5))
def test_painted_scenes_go_on_where_they_were(uses):
    """Before the first batch, in the middle of one, and at its end; also where something else was painted since."""

    def films(painted: PaintedScenes, count: int) -> list:
        return [painted.scenes.augment(painted()) for _ in range(count)]

    first = PaintedScenes(painter(2, 64), 1, reuse=2)
    films(first, uses)
    state = first.state()
    assert set(state) == {"before", "now", "uses"}, "no picture in it"
    wanted = films(first, 4)
    other = PaintedScenes(painter(9, 64), 1, reuse=2)
    films(other, 3)
    other.restore(state)
    for one, two in zip(wanted, films(other, 4), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert_same(first.at_hand, other.at_hand)
    assert torch.equal(first.scenes.g.get_state(), other.scenes.g.get_state())
