"""A `unet` that begins as the linear magnifier."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
from toys import FixedPairs, translated  # noqa: E402

from magfilter.networks.build import build_network  # noqa: E402
from trainer.begin import begin_linear  # noqa: E402
from trainer.objectives import UNetObjective  # noqa: E402
from trainer.settings import Settings  # noqa: E402

SIZE = 64


class Still(torch.nn.Module):
    """A flow network that sees no motion."""

    def forward(self, one, two):
        return torch.zeros_like(one[:, :2]) + 0 * (one + two).mean()


def objective(pairs) -> UNetObjective:
    return UNetObjective(Settings(network="unet", scenes=0.0, size=SIZE, pairs=4), None, pairs, Still().eval())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_magnifies_small_differences_by_about_alpha(seed):
    torch.manual_seed(seed)
    pairs, _ = translated(8, SIZE, move=(0.2, -0.1))
    net = build_network("unet", 16)
    begin_linear(net, objective(FixedPairs(pairs, 4)))
    assert not net.training
    reference, frame = pairs.unbind(1)
    change = frame - reference
    gain = 1.0
    with torch.no_grad():
        same = net(reference, frame, torch.full((len(frame),), 1.0))
    assert (same - frame).abs().mean() < 0.006, "alpha 1 is the frame"
    for alpha, more in ((2.0, 1.2), (5.0, 2.6), (10.0, 6.0)):
        gain += more
        with torch.no_grad():
            shown = net(reference, frame, torch.full((len(frame),), alpha))
        seen = ((shown - same) * change).sum() / (change * change).sum()
        assert seen == pytest.approx(gain - 1, rel=0.15), f"alpha {alpha}"
        due = (reference + gain * change).clamp(0, 1)
        assert (shown - due).abs().mean() < 0.01 + 0.1 * (frame - due).abs().mean()


def test_what_cannot_begin_so_is_told():
    with pytest.raises(ValueError, match="width of 16 or more"):
        begin_linear(build_network("unet", 12), objective(None))
    with pytest.raises(ValueError, match="linear_first with unet"):
        Settings(network="warp", linear_first=True)
