"""Pairs through a real codec: what it loses, what it leaves, and how it is drawn."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
from test_scenes import painter  # noqa: E402

from trainer.codec import compressed, through_x264  # noqa: E402

SIZE = 64


def lumas(count: int, seed: int = 3) -> torch.Tensor:
    """Painted pictures with a little noise: (count, 1, SIZE, SIZE)."""
    g = torch.Generator().manual_seed(seed)
    pictures = painter(seed, SIZE, 1)(count).reference
    return (pictures + torch.randn(pictures.shape, generator=g) / 255).clamp(0, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_x264_hands_on_every_frame_in_order_and_loses_nothing_at_0():
    arrays = [(image[0] * 255).round().byte().numpy() for image in lumas(5)]
    for sent, came in zip(arrays, through_x264(arrays, 0.0), strict=True):
        np.testing.assert_array_equal(came, sent)


def test_the_higher_the_rate_factor_the_more_is_lost():
    arrays = [(image[0] * 255).round().byte().numpy() for image in lumas(3)]
    lost = [np.abs(np.subtract(through_x264(arrays, crf), arrays, dtype=int)).mean() for crf in (14.0, 22.0, 30.0)]
    assert 0 < lost[0] < lost[1] < lost[2] < 20


def test_a_share_of_the_pairs_goes_through_it_and_the_others_keep_their_bits():
    reference, frame = lumas(16), lumas(16, 4)
    kept = reference.clone()
    one, two = compressed(reference, frame, 0.5, generator())
    assert torch.equal(reference, kept), "what was handed in is left alone"
    changed = (one != reference).flatten(1).any(1)
    assert torch.equal(changed, (two != frame).flatten(1).any(1)), "both of a pair or neither"
    assert 4 <= int(changed.sum()) <= 12
    assert float((one - reference).abs().amax()) < 0.5, "the pairs keep their order"
    assert one.shape == two.shape == reference.shape
    for share, expected in ((0.0, 0), (1.0, 16)):
        one, _ = compressed(reference, frame, share, generator())
        assert int((one != reference).flatten(1).any(1).sum()) == expected


def test_the_same_draw_compresses_alike():
    reference, frame = lumas(4), lumas(4, 4)
    first, again = (compressed(reference, frame, 1.0, generator(7)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = compressed(reference, frame, 1.0, generator(8))
    assert not torch.equal(first[0], other[0])


def test_slow_pairs_have_frames_on_the_way(monkeypatch):
    lengths: list[int] = []

    def count(frames, crf, preset):
        lengths.append(len(frames))
        assert 6 <= crf <= 24
        return frames

    monkeypatch.setattr("trainer.codec.through_x264", count)
    reference = torch.zeros(12, 1, 16, 16)
    frame = torch.ones_like(reference)
    for fastest, expected in ((None, {4}), (torch.full((12,), 1.5), {4}), (torch.full((12,), 0.5), {4, 5, 6, 7, 8})):
        lengths.clear()
        one, two = compressed(reference, frame, 1.0, generator(), fastest)
        assert torch.equal(one, reference)
        assert torch.equal(two, frame), "itself, not one on the way or after it"
        assert len(lengths) == 12
        assert set(lengths) <= expected
        assert len(set(lengths)) >= len(expected) // 2


def test_what_a_still_picture_loses_it_loses_the_same_twice():
    """A codec takes what has not moved over from the frame before: no motion comes of it."""
    reference = painter(3, SIZE, 1)(4).reference
    one, two = compressed(reference, reference, 1.0, generator(), torch.zeros(4))
    assert float((one - two).abs().mean()) < 0.2 * float((one - reference).abs().mean())
