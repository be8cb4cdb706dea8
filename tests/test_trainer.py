"""The trainer: scenes whose flow is exact, losses against closed forms, clips that are skipped, runs that resume."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
Image = pytest.importorskip("PIL.Image", reason="the trainer needs Pillow: pip install -e .[train]")
import torch.nn.functional as F  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # trainer/ is not part of the wheel

import trainer.scenes as scenes_module  # noqa: E402
import trainer.train as train_module  # noqa: E402
from magfilter.networks.warp import backward_warp  # noqa: E402
from trainer import losses, textures  # noqa: E402
from trainer.clips import WINDOW, ClipBank, read_window  # noqa: E402
from trainer.scenes import LayeredScenes, add_capture, block_dct_noise  # noqa: E402
from trainer.train import Settings, train  # noqa: E402

CPU = torch.device("cpu")


def waves(seed: int, side: int = 192, shortest: float = 12) -> np.ndarray:
    """A smooth random picture (side, side) uint8: bilinear interpolation hardly errs on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float64)
    picture = np.zeros((side, side))
    for _ in range(30):
        length, angle = rng.uniform(shortest, 60), rng.uniform(0, 2 * np.pi)
        picture += np.sin(2 * np.pi / length * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 7))
    return np.clip(np.rint(127 + 40 * picture / picture.std()), 0, 255).astype(np.uint8)


def tiles(channels: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.stack([waves(seed) for seed in range(4 * channels)])).view(4, channels, 192, 192)


def cutouts() -> torch.Tensor:
    """Two discs with opacity: (2, 2, 96, 96)."""
    y, x = np.mgrid[:96, :96] - 47.5
    disc = np.where(np.hypot(x, y) < 38, 255, 0).astype(np.uint8)
    return torch.from_numpy(np.stack([np.stack([waves(k, 96), disc]) for k in (10, 11)]))


def painter(seed: int = 3, size: int = 128) -> LayeredScenes:
    return LayeredScenes(tiles(), cutouts(), size, seed)


@pytest.fixture(scope="module")
def batch():
    scenes = painter()
    return scenes, scenes(12)


def mismatch(reference: torch.Tensor, frame: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """|frame warped by the flow − reference|: (B, H·W)."""
    full = F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
    return (backward_warp(frame, full) - reference).abs().flatten(1)


# -- textures


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for k, size in enumerate([(240, 240), (300, 210)]):
        picture = np.stack([np.resize(waves(7 * k + c, 300), size[::-1]) for c in range(3)], -1)
        Image.fromarray(picture).save(folder / ("deeper" if k else ".") / f"{k}.png")
    return folder


def test_pictures_become_tiles_and_useless_ones_are_left_out(photos):
    (photos / "broken.png").write_bytes(b"\x89PNG but no more")
    (photos / "notes.txt").write_text("not a picture")
    Image.new("RGB", (400, 400), (90, 90, 90)).save(photos / "flat.png")
    Image.new("RGB", (20, 20)).save(photos / "small.png")
    files = textures.picture_files(photos)
    assert sorted(f.name for f in files) == ["0.png", "1.png", "broken.png", "flat.png", "small.png"]
    assert files == sorted(files), "a fixed order, or a seed would mean nothing"
    for channels in (1, 3):
        found = textures.load_tiles(files, channels=channels)
        assert found.dtype == torch.uint8
        assert found.shape[1:] == (channels, textures.TILE, textures.TILE)
        assert len(found) == 3, "one of the square picture, two of the oblong one"


def test_no_usable_picture_is_an_error_that_names_the_option(tmp_path):
    with pytest.raises(ValueError, match="--photos"):
        textures.load_tiles([])


def test_clips_lend_their_stills_to_the_tiles(clips):
    path = clips("long.mp4", frames=10, size=(320, 240))
    assert len(textures.load_tiles([], [Path(path)], per_clip=2)) >= 1
    assert textures.video_stills(Path(clips.folder / "missing.mp4"), 2) == []


def test_cutouts_are_centred_with_a_transparent_margin(tmp_path):
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[10:40, 20:70] = (200, 100, 50, 255)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.new("RGB", (50, 50), (1, 2, 3)).save(tmp_path / "opaque.png")
    Image.new("RGBA", (50, 50)).save(tmp_path / "empty.png")
    for channels in (1, 3):
        found = textures.load_cutouts(textures.picture_files(tmp_path), channels)
        assert found.shape == (1, channels + 1, textures.CUTOUT, textures.CUTOUT)
        opacity = found[0, -1]
        assert opacity[:8].max() == opacity[-8:].max() == 0
        assert opacity[:, :8].max() == opacity[:, -8:].max() == 0
        assert opacity[96, 96] == 255
    assert textures.load_cutouts([], 3).shape == (0, 4, textures.CUTOUT, textures.CUTOUT)


# -- scenes


def test_flow_of_a_scene_is_exact(batch):
    """Away from edges and covered points, warping the frame by the flow gives the reference."""
    _, scene = batch
    error = mismatch(scene.reference, scene.frame, scene.flow)
    assert error.median(1).values.max() < 2e-3
    moving = (scene.frame - scene.reference).abs().flatten(1).mean(1) > 3e-3
    assert moving.sum() >= 5
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


def test_motion_starts_at_a_fiftieth_of_a_pixel():
    _, speed = painter(1, 64).draw(64)
    moving = speed[speed > 0]
    assert 0.02 <= moving.min() < 0.1
    assert 2 < moving.max() <= 12


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


# -- losses


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
    assert 0 < loss < math.log1p(1e-3 / 0.04)


@pytest.mark.parametrize("size", [0.05, 0.5, 5.0])
def test_flow_error_of_no_flow_against_its_closed_form(size):
    exact = constant(0.6 * size, 0.8 * size, 32)
    loss = losses.relative_flow_error([constant(0, 0, 32)], exact, torch.tensor([size]))
    wanted = 0.6 * math.log1p(math.sqrt(size**2 + 1e-6) / (size * 1.15 + 0.04))  # every point moves: 0.6 of the vote
    assert loss.item() == pytest.approx(wanted, rel=1e-4)


def test_flow_error_votes_of_moving_and_resting_points_do_not_depend_on_their_numbers():
    exact = constant(0, 0, 32)
    exact[:, 0, :2, :2] = 1.0
    found = torch.zeros_like(exact)
    loss = losses.relative_flow_error([found], exact, torch.tensor([1.0]))
    rest = math.log1p(1e-3 / 0.19)
    assert loss.item() == pytest.approx(0.6 * math.log1p(1 / 1.19) + 0.4 * rest, rel=1e-3)


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


# -- clips


def test_a_window_is_so_many_consecutive_lumas(clips):
    path = Path(clips("a.mp4", frames=20, size=(160, 128)))
    window = read_window(path, 0, 12)
    assert window.shape == (12, 128, 160)
    assert window.dtype == torch.uint8
    assert read_window(path, 0, 21) is None


def test_large_clips_are_reduced_to_an_even_size(clips):
    window = read_window(Path(clips("big.mp4", frames=2, size=(1000, 600), options={"preset": "ultrafast"})), 0, 1)
    assert window.shape == (1, 540, 900)


def test_unreadable_short_and_tiny_clips_are_skipped_and_counted(clips):
    good = Path(clips("good.mp4", frames=WINDOW, size=(160, 144)))
    short = Path(clips("short.mp4", frames=WINDOW - 1, size=(160, 144)))
    tiny = Path(clips("tiny.mp4", frames=WINDOW, size=(64, 48)))
    garbage = clips.folder / "garbage.mp4"
    garbage.write_bytes(b"no video" * 100)
    missing = clips.folder / "missing.mp4"
    bank = ClipBank([garbage, short, good, tiny, missing], 3, CPU, 1)
    assert len(bank.windows) == 1
    assert bank.windows[0].shape == (WINDOW, 144, 160)
    assert bank.skipped == 4


def test_no_clip_at_all_is_an_error_that_names_the_option(clips):
    with pytest.raises(ValueError, match="--clips"):
        ClipBank([clips.folder / "missing.mp4"], 3, CPU, 1)


@pytest.mark.parametrize("size", [64, 128, 192])
def test_pairs_come_in_0_to_1_with_the_size_asked(clips, size):
    path = Path(clips("a.mp4", frames=WINDOW, size=(160, 144)))
    one, two = ClipBank([path], 3, CPU, 1)(5, size)
    assert one.shape == two.shape == (5, 1, size, size)
    assert one.dtype == torch.float32
    assert min(one.min(), two.min()) >= 0
    assert 0.5 < max(one.max(), two.max()) <= 1
    assert not torch.equal(one, two)


def test_the_same_seed_draws_the_same_pairs(clips):
    path = Path(clips("a.mp4", frames=WINDOW, size=(160, 144)))
    draws = [torch.cat(ClipBank([path], 3, CPU, seed)(4, 64)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_pairs_are_neighbours_and_never_cross_a_cut():
    bank = ClipBank.__new__(ClipBank)
    bank.g = torch.Generator().manual_seed(0)
    numbers = torch.arange(WINDOW, dtype=torch.uint8) + 20
    numbers[6:] += 100  # a cut, after which all is brighter
    bank.windows = [numbers.view(-1, 1, 1).expand(WINDOW, 128, 128).contiguous()]
    one, two = bank(60, 16, longest=3)
    apart = ((one - two)[:, 0, 0, 0] * 255).round().abs()
    assert set(apart.int().tolist()) == {1, 2, 3}


# -- the loop


SMALL = Settings(width=4, batch=1, real_batch=1, size=64, minutes=3 / 60, reuse=2, scenes_only=0.0, warm_up=2)


@pytest.fixture
def clock(monkeypatch) -> None:
    """A clock that goes on by a second whenever it is read: one step takes a second."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(train_module, "time", types.SimpleNamespace(monotonic=lambda: float(next(ticks))))
    monkeypatch.setattr(train_module, "_keep_memory", lambda: None)


def run(settings: Settings, photos: Path, out: Path, clips: Path | None = None) -> dict:
    return torch.load(train(settings, photos, clips, None, out, "cpu"), weights_only=True)


def test_a_run_writes_a_checkpoint_and_the_same_command_resumes_it(photos, tmp_path, clock, capsys):
    out = tmp_path / "run"
    first = run(SMALL, photos, out)
    assert (first["step"], first["elapsed"]) == (3, 3.0)
    assert first["settings"] == dataclasses.asdict(SMALL)
    assert (out / "log.jsonl").read_text().count("\n") == 1
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint.pt", "log.jsonl"]
    longer = dataclasses.replace(SMALL, minutes=5 / 60)
    second = run(longer, photos, out)
    assert (second["step"], second["elapsed"]) == (5, 5.0)
    assert "resumed at step 3" in capsys.readouterr().err
    changed = [key for key, value in second["net"].items() if not torch.equal(value, first["net"][key])]
    assert len(changed) > 5
    assert all(torch.isfinite(value).all() for value in second["net"].values())
    third = run(longer, photos, out)
    assert third["step"] == 5, "the time is spent"
    for key, value in third["net"].items():
        assert torch.equal(value, second["net"][key])


def test_weights_move_and_the_average_follows(photos, tmp_path, clock):
    torch.manual_seed(SMALL.seed)
    start = train_module.build_network("warp", 4).state_dict()
    state = run(SMALL, photos, tmp_path / "run")
    name = "cell.judge.head.weight"
    assert not torch.equal(state["net"][name], start[name])
    assert not torch.equal(state["averaged"][name], start[name])
    assert not torch.equal(state["averaged"][name], state["net"][name])


def test_real_clips_join_the_training(photos, tmp_path, clock, clips, capsys):
    folder = tmp_path / "films"
    folder.mkdir()
    Path(clips("a.mp4", frames=WINDOW, size=(160, 144))).rename(folder / "a.mp4")
    (folder / "broken.mp4").write_bytes(b"no video" * 100)
    state = run(SMALL, photos, tmp_path / "run", folder)
    said = capsys.readouterr().err
    assert "1 windows of clips (1 clips skipped)" in said
    assert "real" in said
    assert state["step"] == 3


def test_unet_trains_too(photos, tmp_path, clock):
    state = run(dataclasses.replace(SMALL, network="unet", batch=2), photos, tmp_path / "run")
    assert state["step"] == 3
    assert state["averaged"]["enter.1.num_batches_tracked"] == 3


def test_a_checkpoint_of_another_network_is_refused_and_kept(photos, tmp_path, clock):
    out = tmp_path / "run"
    run(SMALL, photos, out)
    before = (out / "checkpoint.pt").read_bytes()
    for other in ({"network": "unet"}, {"width": 8}):
        with pytest.raises(ValueError, match=r"checkpoint\.pt holds warp"):
            run(dataclasses.replace(SMALL, **other), photos, out)
    assert (out / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(photos, tmp_path, clock, monkeypatch, number):
    step = train_module._scene_loss

    def interrupted(*args):
        os.kill(os.getpid(), number)
        return step(*args)

    monkeypatch.setattr(train_module, "_scene_loss", interrupted)
    handler = signal.getsignal(number)
    state = run(dataclasses.replace(SMALL, minutes=10), photos, tmp_path / "run")
    assert state["step"] == 1
    assert signal.getsignal(number) is handler, "handlers are given back"


def test_a_step_that_is_not_finite_is_left_out(photos, tmp_path, clock, monkeypatch, capsys):
    step = train_module._scene_loss

    def poisoned(*args):
        loss, log = step(*args)
        return loss * float("nan"), log

    monkeypatch.setattr(train_module, "_scene_loss", poisoned)
    torch.manual_seed(SMALL.seed)
    start = train_module.build_network("warp", 4).state_dict()
    state = run(SMALL, photos, tmp_path / "run")
    assert state["step"] == 3
    assert "skipped 3" in capsys.readouterr().err
    for key, value in start.items():
        assert torch.equal(state["net"][key], value)


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "trainer", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_help_names_every_option():
    result = command("train", "--help")
    assert result.returncode == 0
    for option in (
        "--network",
        "--width",
        "--minutes",
        "--photos",
        "--cutouts",
        "--clips",
        "--out",
        "--batch",
        "--size",
    ):
        assert option in result.stdout


def test_bad_use_is_one_clear_line(photos, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = command("train", "--photos", str(empty), "-o", str(tmp_path / "run"), "--width", "4")
    assert result.returncode == 1
    assert "--photos" in result.stderr
    assert "Traceback" not in result.stderr
    result = command("train", "--photos", str(photos), "-o", str(tmp_path / "run"), "--size", "100")
    assert result.returncode == 2
    assert "multiple of 64" in result.stderr
