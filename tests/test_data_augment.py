"""Augmentation: both frames of a pair alike, every pair its own way, nothing black, nothing drifting."""

from __future__ import annotations

import colorsys
import math
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

from trainer.data.augment import augment_adapt, augment_pair, jitter  # noqa: E402

PLAIN = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
BOTH = pytest.mark.parametrize("augment", [augment_pair, lambda frames, g: augment_adapt(frames, g, size=24)])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(*shape, seed=1):
    return torch.rand(*shape, generator=generator(seed))


def ramp(height=48, width=48):
    """Red rises along x, green along y, by 0.01 a pixel about 0.5 at the centre; one frame."""
    x = (torch.arange(width) - (width - 1) / 2) * 0.01 + 0.5
    y = (torch.arange(height) - (height - 1) / 2) * 0.01 + 0.5
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width), torch.zeros(height, width)])


@BOTH
def test_identical_frames_stay_identical(augment):
    one = pictures(5, 1, 3, 32, 40)
    out = augment(one.expand(-1, 2, -1, -1, -1), generator())
    assert torch.equal(out[:, 0], out[:, 1])
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    assert not torch.equal(out[0], out[1])


@BOTH
def test_samples_differ_and_repeat(augment):
    pair = pictures(1, 2, 3, 32, 32).expand(4, -1, -1, -1, -1)
    out = augment(pair, generator(3))
    assert torch.equal(out, augment(pair, generator(3)))
    assert not torch.equal(out, augment(pair, generator(4)))
    assert all(float((out[0] - out[n]).abs().mean()) > 0.01 for n in range(1, 4))


def test_shapes():
    assert augment_pair(pictures(3, 2, 3, 20, 33), generator()).shape == (3, 2, 3, 20, 33)
    assert augment_adapt(pictures(3, 2, 3, 20, 33), generator(), size=28).shape == (3, 2, 3, 28, 28)


def test_a_shifted_pair_keeps_its_relation_under_flips():
    one = pictures(64, 3, 24, 24)
    pair = torch.stack([one, one.roll((2, 3), (-2, -1))], 1)
    out = augment_pair(pair, generator(), rotation=0, **PLAIN)
    seen = set()
    for before, after in zip(pair, out, strict=True):
        axes = [[d for d, yes in zip((-2, -1), bits, strict=True) if yes] for bits in ((0, 0), (0, 1), (1, 0), (1, 1))]
        (flipped,) = [a for a in axes if torch.allclose(before.flip(a), after, atol=1e-4)]
        seen.add(tuple(flipped))
        moves = [-2 if -2 in flipped else 2, -3 if -1 in flipped else 3]
        assert torch.allclose(after[0].roll(moves, (-2, -1)), after[1], atol=1e-4)
    assert len(seen) == 4


def test_rotation_by_its_angle():
    pair = ramp().expand(200, 2, -1, -1, -1)
    out = augment_pair(pair, generator(), flip=0, **PLAIN)
    middle = out[:, 0, :2, 16:32, 16:32]
    angle = torch.rad2deg(torch.atan2(middle[:, 0].diff(dim=-2).mean((1, 2)), middle[:, 0].diff(dim=-1).mean((1, 2))))
    assert -15 <= float(angle.min()) < -13
    assert 13 < float(angle.max()) <= 15.01
    assert abs(float(angle.mean())) < 2
    # About the centre, which stays where it is, and without changing lengths.
    assert torch.allclose(middle.mean((-2, -1)), torch.tensor(0.5), atol=1e-4)
    slope = torch.hypot(middle[:, 1].diff(dim=-2).mean((1, 2)), middle[:, 1].diff(dim=-1).mean((1, 2)))
    assert torch.allclose(slope, torch.tensor(0.01), atol=1e-5)


def test_no_black_corners():
    ones = torch.ones(20, 2, 3, 32, 32)
    assert torch.allclose(augment_pair(ones, generator(), **PLAIN), ones)
    assert torch.allclose(augment_adapt(ones[..., :20], generator(), size=32, **PLAIN), ones)


def test_adapt_stretches_within_bounds():
    pair = ramp(64, 64).expand(300, 2, -1, -1, -1)
    out = augment_adapt(pair, generator(), size=40, rotation=0, **PLAIN)[:, 0]
    across, down = out[:, 0].diff(dim=-1), out[:, 1].diff(dim=-2)
    for steps in (across, down):
        scale = 0.01 / steps.mean((1, 2))
        assert 1 / 1.1 - 1e-3 < float(scale.min()) < 0.93
        assert 1.08 < float(scale.max()) < 1.1 + 1e-3
        assert float(steps.std((1, 2)).max()) < 2e-4  # a part of the frame; mirrored, it would be 1e-2
    assert not torch.allclose(across.mean((1, 2)), down.mean((1, 2)), atol=1e-4)  # either axis its own
    assert float(out[:, 0].mean((1, 2)).std()) > 0.02  # from all over the frame


def test_jitter_of_nothing_is_nothing():
    frames = pictures(3, 2, 3, 8, 8)
    assert torch.allclose(jitter(frames, generator(), 0, 0, 0, 0), frames, atol=1e-5)


def test_brightness_and_saturation():
    frames = pictures(50, 2, 3, 8, 8) * 0.5
    factor = (jitter(frames, generator(), 0.5, 0, 0, 0) / frames).flatten(1)
    assert torch.allclose(factor, factor[:, :1].expand_as(factor), atol=1e-3)
    assert 0.5 <= float(factor.min()) < 0.6
    assert 1.4 < float(factor.max()) <= 1.5
    grey = frames[:, :, :1].expand(-1, -1, 3, -1, -1)
    assert torch.allclose(jitter(grey, generator(), 0, 0, 0.5, 0.3), grey, atol=1e-4)


def test_contrast_is_one_map_for_both_frames():
    """What comes into view in one frame must not change the rest of it."""
    frames = pictures(4, 1, 3, 16, 16).repeat(1, 2, 1, 1, 1) * 0.5 + 0.25
    frames[:, 1, :, :8, :8] = 0.9
    out = jitter(frames, generator(), 0, 0.5, 0, 0)
    assert torch.equal(out[:, 0, :, 8:], out[:, 1, :, 8:])
    assert not torch.allclose(out, frames, atol=0.01)


def test_hue_is_that_of_hsv():
    frames = pictures(6, 2, 3, 5, 5)
    out = jitter(frames, generator(7), 0, 0, 0, 0.3)
    for sample in range(6):
        turns = set()
        for before, after in zip(
            frames[sample].permute(0, 2, 3, 1).reshape(-1, 3).tolist(),
            out[sample].permute(0, 2, 3, 1).reshape(-1, 3).tolist(),
            strict=True,
        ):
            (h, s, v), (h2, s2, v2) = colorsys.rgb_to_hsv(*before), colorsys.rgb_to_hsv(*after)
            assert math.isclose(s, s2, abs_tol=1e-3)
            assert math.isclose(v, v2, abs_tol=1e-4)
            if s * v > 0.2:
                turns.add(round(((h2 - h + 0.5) % 1 - 0.5), 2))
        assert max(turns) - min(turns) < 0.015
        assert max(map(abs, turns)) <= 0.3


def test_autocast_changes_nothing():
    """Half-precision products would place pixels a quarter of a pixel off."""
    pair = pictures(3, 2, 3, 64, 64)
    for augment in (augment_pair, augment_adapt):
        plain = augment(pair, generator())
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(augment(pair, generator()), plain)


def test_refuses():
    with pytest.raises(ValueError, match=r"float32 pairs .*torch\.uint8"):
        augment_pair(torch.zeros(1, 2, 3, 8, 8, dtype=torch.uint8), generator())
    with pytest.raises(ValueError, match=r"\(2, 3, 8, 8\)"):
        augment_adapt(torch.zeros(2, 3, 8, 8), generator())
    with pytest.raises(ValueError, match="generator on meta, got one on cpu"):
        augment_pair(torch.zeros(1, 2, 3, 8, 8, device="meta"), generator())
    with pytest.raises(ValueError, match="hue"):
        augment_pair(torch.zeros(1, 2, 3, 8, 8), generator(), hue=0.6)
    with pytest.raises(ValueError, match="size"):
        augment_adapt(torch.zeros(1, 2, 3, 8, 8), generator(), size=0)
