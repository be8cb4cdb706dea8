"""Adaptation to one clip: which frames it sees, that it keeps what is better there, and what it writes."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
pytest.importorskip("onnx", reason="the trainer needs onnx: pip install -e .[train]")
from click.testing import CliRunner  # noqa: E402
from toys import Translation, translated  # noqa: E402

import trainer.adapt as module  # noqa: E402
from magfilter.models import shipped_models  # noqa: E402
from magfilter.networks.build import build_network  # noqa: E402
from trainer.__main__ import main  # noqa: E402
from trainer.adapt import adapt, clip_loss, read_frames  # noqa: E402
from trainer.checkpoint import halved, load_weights, save_weights  # noqa: E402
from trainer.losses import photometric  # noqa: E402
from trainer.objectives import luma  # noqa: E402
from trainer.settings import Settings  # noqa: E402

WARP = shipped_models()["warp"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No TensorBoard, and a flow that costs nothing."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(module, "load_flow", lambda name, device, updates: Translation())


@pytest.fixture
def clip(clips) -> Path:
    return Path(clips("a.mp4", frames=8, size=(96, 80)))


@pytest.fixture
def unet(tmp_path) -> Path:
    """A narrow U-Net with weights at random."""
    torch.manual_seed(0)
    net = build_network("unet", 4)
    metadata = {"network": "unet", "width": "4", "steps": "9", "settings": json.dumps({"colour": 10.0})}
    save_weights(tmp_path / "unet.safetensors", net.state_dict(), metadata, half=False)
    return tmp_path / "unet.safetensors"


def losses(monkeypatch, *values: float) -> list:
    """Let the loss on held-out frames be what a test wants, at last the last; returns what it was asked of."""
    asked = []

    def loss(net, reference, frames, settings, flow):
        asked.append((net, reference, frames, settings))
        return values[min(len(asked), len(values)) - 1]

    monkeypatch.setattr(module, "clip_loss", loss)
    monkeypatch.setattr(module, "clip_motion", lambda *_: 1.0)
    return asked


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


# -- frames


def numbered(path: Path) -> torch.Tensor:
    """All frames of a clip, as they are."""
    return read_frames(path, most=10**6, pixels=1e9)


def test_the_first_frame_and_others_spread_over_the_clip(clips):
    path = Path(clips("long.mp4", frames=21, size=(64, 48)))
    every = numbered(path)
    assert every.shape == (21, 3, 48, 64)
    assert every.dtype == torch.uint8
    some = read_frames(path, most=5)
    assert len(some) == 6
    numbers = [next(n for n in range(21) if torch.equal(every[n], frame)) for frame in some]
    assert numbers == [0, 1, 6, 10, 15, 20]


def test_a_part_of_the_clip_by_its_seconds(clips):
    path = Path(clips("long.mp4", frames=21, size=(64, 48)))  # 25 frames a second
    every = numbered(path)
    assert torch.equal(read_frames(path, start=0.4, duration=0.2), every[10:15])
    assert torch.equal(read_frames(path, start=0.6), every[15:])


def test_large_frames_are_reduced_and_small_ones_are_not(clips):
    path = Path(clips("big.mp4", frames=2, size=(640, 360)))
    assert read_frames(path, pixels=1e6).shape == (2, 3, 360, 640)
    found = read_frames(path, pixels=60000)
    assert found.shape == (2, 3, 184, 326), "even sides, the same shape"
    whole = read_frames(path).float()
    assert (found.float().mean((0, 2, 3)) - whole.mean((0, 2, 3))).abs().max() < 2


def test_clips_that_cannot_be_adapted_to_are_named(clips, tmp_path):
    with pytest.raises(ValueError, match=r"one\.mp4: adaptation needs at least two frames, this has 1"):
        read_frames(Path(clips("one.mp4", frames=1)))
    with pytest.raises(ValueError, match="this has 0"):
        read_frames(Path(clips("two.mp4", frames=2)), start=9)
    (tmp_path / "garbage.mp4").write_bytes(b"no video" * 100)
    for name in ("garbage.mp4", "missing.mp4"):
        with pytest.raises(ValueError, match=rf"{name}: cannot be read as a video"):
            read_frames(tmp_path / name)


# -- keeping what is better


def test_better_weights_are_kept(clip, tmp_path, monkeypatch, capsys):
    asked = losses(monkeypatch, 0.5, 0.4)
    out = tmp_path / "new" / "clip.safetensors"
    found = adapt(clip, out, model=WARP, steps=2, size=64, device="cpu")
    assert (found.before, found.after, found.kept, found.steps, found.model) == (0.5, 0.4, "after", 2, out)
    assert not found.interrupted
    said = capsys.readouterr().err
    assert "held-out frames before: 0.50000" in said
    assert "held-out frames after 2 steps: 0.40000; motion error by DIS 1.0000 -> 1.0000 px; better: kept" in said
    weights, metadata = load_weights(out)
    begun, _ = load_weights(WARP)
    assert not same(weights, begun)
    assert weights.keys() == begun.keys()
    record = json.loads(metadata["settings"])
    assert metadata["network"] == "warp"
    assert record["adapted"] == {"clip": "a.mp4", "steps": 2, "before": 0.5, "after": 0.4}
    assert asked[0][0] is not asked[1][0], "the average is what is judged"


@pytest.mark.parametrize("after", [0.5, 0.6, float("nan")])
def test_weights_that_are_not_better_are_not_taken(clip, tmp_path, monkeypatch, capsys, after):
    losses(monkeypatch, 0.5, after)
    found = adapt(clip, tmp_path / "clip.safetensors", model=WARP, steps=2, size=64, device="cpu")
    assert (found.kept, found.steps) == ("before", 2)
    assert "not better: the weights stay as they were" in capsys.readouterr().err
    weights, metadata = load_weights(tmp_path / "clip.safetensors")
    assert same(weights, load_weights(WARP)[0])
    assert json.loads(metadata["settings"])["adapted"]["steps"] == 0


def test_who_judges_does_not_teach(clips, tmp_path, monkeypatch):
    clip = Path(clips("a.mp4", frames=12, size=(96, 80)))
    asked, taught = losses(monkeypatch, 0.5, 0.4), []
    pairs = module._ClipPairs

    class Watching(pairs):
        def __init__(self, frames, *rest) -> None:
            taught.append(frames)
            super().__init__(frames, *rest)

    monkeypatch.setattr(module, "_ClipPairs", Watching)
    adapt(clip, tmp_path / "clip.safetensors", model=WARP, steps=1, size=64, device="cpu")
    every = numbered(clip)
    (teachers,) = taught
    _, reference, judges, _ = asked[0]
    assert torch.equal(teachers, every[[0, 1, 2, 4, 5, 6, 7, 9, 10, 11]])
    assert reference.shape == (1, 3, 64, 64)
    middle = every[..., 8:72, 16:80].float() / 255
    assert torch.equal(judges, middle[[3, 8]])
    assert torch.equal(reference, middle[:1])


def test_weights_that_magnify_worse_are_not_taken_whatever_the_loss_says(clip, tmp_path, monkeypatch, capsys):
    losses(monkeypatch, 0.5, 0.4)
    values = iter([0.70, 0.71])
    monkeypatch.setattr(module, "clip_motion", lambda *_: next(values))
    assert adapt(clip, tmp_path / "o.safetensors", model=WARP, steps=1, size=64, device="cpu").kept == "before"
    assert "motion error by DIS 0.7000 -> 0.7100 px; not better" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("after", "motions", "kept"),
    [
        ((0.4, 0.3, 0.2, 0.1), (0.6, 0.5, 0.8, 0.9), 2),  # longer was worse
        ((0.4, 0.3, 0.2, 0.1), (0.6, 0.6, 0.6, 0.6), 4),
        ((0.4, 0.3, 0.6, 0.6), (0.6, 0.5, 0.4, 0.4), 2),  # its loss has risen
        ((0.6, 0.6, 0.6, 0.4), (0.6, 0.5, 0.4, 0.7), 4),
        ((0.4, 0.3, 0.2, 0.1), (0.8, 0.8, 0.8, 0.8), 0),
    ],
)
def test_the_best_of_what_was_looked_at_is_kept(clip, tmp_path, monkeypatch, after, motions, kept):
    losses(monkeypatch, 0.5, *after)
    values = iter([0.7, *motions])
    monkeypatch.setattr(module, "clip_motion", lambda *_: next(values))
    out = tmp_path / "o.safetensors"
    found = adapt(clip, out, model=WARP, steps=4, size=64, device="cpu")
    assert (found.steps, found.kept) == (4, "after" if kept else "before")
    assert found.after == after[kept - 1]
    weights, metadata = load_weights(out)
    assert json.loads(metadata["settings"])["adapted"]["steps"] == kept
    if kept:  # as if it had been trained so long and no longer
        losses(monkeypatch, 0.5, 0.4)
        adapt(clip, tmp_path / "short.safetensors", model=WARP, steps=kept, size=64, device="cpu")
        assert same(weights, load_weights(tmp_path / "short.safetensors")[0])
    else:
        assert same(weights, load_weights(WARP)[0])


def test_motion_error_is_of_the_magnified_frame():
    """Of a network that finds all of the motion, none of it, and half: what is lacking of alpha times the motion."""
    torch.manual_seed(0)
    wide = torch.nn.functional.interpolate(torch.rand(1, 3, 20, 24), (160, 192), mode="bicubic").clamp(0, 1)
    reference, frames = wide[..., 16:144, 16:176], wide[..., 16:144, 14:174]  # to the right by 2 px

    class Told(torch.nn.Module):
        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

        def forward(self, one, two):
            flow = one.new_zeros(1, 2, one.shape[2] // 2, one.shape[3] // 2)
            flow[:, 0] = 2 * self.share
            return flow

    found = [module.clip_motion(Told(share), reference, frames) for share in (1, 0.5, 0)]
    assert found[0] < 0.35
    assert found[1] == pytest.approx(1.5, abs=0.35)  # per component half of 3 px
    assert found[2] == pytest.approx(3, abs=0.5)


def test_two_frames_teach_and_judge(clips, tmp_path, monkeypatch):
    losses(monkeypatch, 0.5, 0.4)
    clip = Path(clips("two.mp4", frames=2, size=(96, 80)))
    assert adapt(clip, tmp_path / "o.safetensors", model=WARP, steps=1, size=64, device="cpu").steps == 1


def test_frames_smaller_than_the_crops_are_padded(clips, tmp_path):
    clip = Path(clips("tiny.mp4", frames=3, size=(48, 32)))
    found = adapt(clip, tmp_path / "o.safetensors", model=WARP, steps=1, size=64, device="cpu")
    assert 0 < found.before < 100


def test_unet_is_adapted_and_its_batch_statistics_are_not(clip, unet, tmp_path, monkeypatch):
    losses(monkeypatch, 0.5, 0.4)
    found = adapt(clip, tmp_path / "o.safetensors", model=unet, steps=2, size=64, device="cpu")
    assert found.kept == "after"
    weights, metadata = load_weights(tmp_path / "o.safetensors")
    begun, _ = load_weights(unet)
    assert (metadata["network"], metadata["width"]) == ("unet", "4")
    assert json.loads(metadata["settings"])["colour"] == 10, "what is known of the training stays known"
    for name, value in begun.items():
        moved = not torch.equal(halved(value).to(value.dtype), weights[name])
        assert not moved or "running" not in name
        assert moved or "running" in name or "num_batches" in name or value.numel() < 8, name


def test_real_losses_of_a_clip_fall(clip, unet, tmp_path, capsys):
    """A U-Net that knows nothing can only get better: its loss on the frames held out falls."""
    rate = {"rate": 3e-3, "changes": {"colour": "20"}}
    found = adapt(clip, tmp_path / "o.safetensors", model=unet, steps=12, size=64, device="cpu", **rate)
    assert found.after < found.before
    assert found.kept == "after"
    assert f"after 12 steps: {found.after:.5f}" in capsys.readouterr().err


def test_the_same_seed_adapts_alike(clip, unet, tmp_path, monkeypatch):
    results = []
    for seed in (1, 1, 2):
        losses(monkeypatch, 0.5, 0.4)
        adapt(clip, tmp_path / "o.safetensors", model=unet, steps=1, size=64, seed=seed, device="cpu")
        results.append(load_weights(tmp_path / "o.safetensors")[0])
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_who_interrupts_gets_what_is_best_so_far(clip, tmp_path, monkeypatch):
    draw, calls = module._ClipPairs.__call__, []

    def call(self):
        calls.append(1)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return draw(self)

    monkeypatch.setattr(module._ClipPairs, "__call__", call)
    losses(monkeypatch, 0.5, 0.4)
    found = adapt(clip, tmp_path / "o.safetensors", model=WARP, steps=50, size=64, device="cpu")
    assert (found.interrupted, found.steps, found.kept) == (True, 1, "after")


# -- the loss that judges


class Measured(torch.nn.Module):
    """A `warp` that measures pictures that move as a whole, there and back."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain, self.flow = gain, Translation()

    def forward(self, one, two):
        assert not self.training
        found = self.gain * self.flow(one, two)
        return found[..., ::2, ::2]


def test_the_loss_on_a_clip_is_least_where_its_motion_is_right():
    pairs, _ = translated(1, 64, move=(0.5, -0.3))
    reference, frame = pairs.unbind(1)
    frames = torch.cat([frame, frame])
    settings = Settings(network="warp", scenes=0.0, photometric=1.0, flow_loss=0.1, size=64)
    found = {}
    for gain in (0.0, 1.0, 2.0):
        net = Measured(gain).train()
        found[gain] = clip_loss(net, reference, frames, settings, Translation())
        assert net.training, "as it was"
        one = clip_loss(net, reference, frame, settings, Translation())
        assert found[gain] == pytest.approx(one), "the mean over frames"
    assert found[1.0] < 0.75 * min(found[0.0], found[2.0])


def test_the_loss_on_a_clip_is_the_sum_that_was_asked_for():
    pairs, _ = translated(1, 64, move=(0.5, -0.3))
    reference, frame = pairs.unbind(1)
    settings = Settings(network="warp", scenes=0.0, photometric=2.0, flow_loss=0.0, size=64)
    found = clip_loss(Measured(0.0), reference, frame, settings, Translation())
    still = torch.zeros(1, 2, 64, 64)
    wanted = photometric(luma(reference), luma(frame), still, torch.zeros(1, 1, 64, 64))
    assert found == pytest.approx(2 * float(wanted), rel=1e-5)


# -- what cannot be


def test_models_that_do_not_serve_are_named(clip, tmp_path):
    save_weights(tmp_path / "flow.safetensors", {"a": torch.zeros(3)}, {"network": "raft-small", "width": "0"})
    out = tmp_path / "o.safetensors"
    with pytest.raises(ValueError, match=r"flow\.safetensors: expected weights of warp or unet, .*'raft-small'"):
        adapt(clip, out, model=tmp_path / "flow.safetensors", steps=1, device="cpu")
    with pytest.raises(ValueError, match=r"none\.onnx"):
        adapt(clip, out, model=tmp_path / "none.onnx", steps=1, device="cpu")
    with pytest.raises(ValueError, match="multiple of 64, got 100"):
        adapt(clip, out, model=WARP, steps=1, size=100, device="cpu")
    with pytest.raises(ValueError, match="'color'"):
        adapt(clip, out, model=WARP, steps=1, changes={"color": "0"}, device="cpu")
    assert not out.exists()


def test_what_cannot_be_written_or_trained_is_found_out_before_the_clip_is_read(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "read_frames", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"cannot be written \(Is a directory\); give another -o"):
        adapt(clip, tmp_path, model=WARP, steps=1, device="cpu")
    with pytest.raises(ValueError, match="minutes of 0 or more, got nan"):
        adapt(clip, tmp_path / "o.onnx", model=WARP, minutes=float("nan"), device="cpu")


def test_one_adaptation_in_parts_does_not_say_that_it_resumes(clip, unet, tmp_path, monkeypatch, capsys):
    losses(monkeypatch, 0.5, 0.4)
    adapt(clip, tmp_path / "o.safetensors", model=unet, steps=4, size=64, device="cpu")
    said = capsys.readouterr().err
    assert [line.split("  ")[0] for line in said.splitlines()[1:-1]] == [f"step {n}" for n in (1, 2, 3, 4)]


def test_a_training_that_diverges_is_an_error_that_says_what_to_do(clip, unet, tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.loop.GIVE_UP", 2)
    monkeypatch.setattr(module, "augment_adapt", lambda pairs, g, size: pairs[..., :64, :64] * float("nan"))
    with pytest.raises(ValueError, match=r"a\.mp4: .*diverged; give a lower rate than 0\.01"):
        adapt(clip, tmp_path / "o.safetensors", model=unet, steps=9, size=64, rate=0.01, device="cpu")


def test_the_command_writes_a_model_and_tells_errors_in_a_line(clip, unet, tmp_path):
    def command(*arguments: object):
        return CliRunner().invoke(main, ["adapt", *map(str, arguments)])

    out = tmp_path / "o.safetensors"
    options = ("--model", unet, "--steps", 1, "--size", 64, "--device", "cpu", "-o", out)
    result = command(clip, *options, "--set", "colour=0")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    assert "held-out frames before" in result.stderr
    assert load_weights(out)[1]["network"] == "unet"

    (tmp_path / "garbage.mp4").write_bytes(b"no video" * 100)
    for arguments, code, said in (
        ((tmp_path / "missing.mp4", *options), 2, "does not exist"),
        ((tmp_path / "garbage.mp4", *options), 1, "garbage.mp4: cannot be read as a video"),
        ((clip, *options, "--set", "color=0"), 1, "'color'"),
        ((clip, "-o", out, "--model", "vgg"), 1, "no model is called 'vgg'"),
    ):
        result = command(*arguments)
        assert result.exit_code == code
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert said in line
        assert result.stderr.rstrip().endswith(line)
