"""Two ways to teach a flow network: by scenes whose flow is known, and by real clips alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magfilter.networks.sampling import backward_warp
from trainer.losses import census_difference, edge_aware_smoothness, occluded
from trainer.scenes import PaintedScenes, add_capture

__all__ = ["SupervisedFlow", "UnsupervisedFlow"]

ROUND = 0.01  # px; below this the end-point error is a parabola
LONGEST_SHIFT = 14  # px, along either axis
FAST = 0.5  # px; points faster than this have a vote of their own: most of a scene hardly moves
MOVING = 0.7  # their vote
DECAY = 0.8  # weight of an iterate against the next one, as RAFT was trained


def _endpoint_log(flow: Tensor, exact: Tensor) -> dict[str, float]:
    size, error = exact.norm(dim=1), (flow - exact).norm(dim=1)
    log = {}
    for low, high in ((-1.0, 0.1), (0.1, 1.0), (1.0, 4.0), (4.0, 64.0)):
        here = (size > low) & (size <= high)
        if bool(here.any()):
            log[f"EPE to {high:g} px"] = error[here].mean().item()
    return log


class SupervisedFlow:
    """Layered scenes' exact flow: the mean end-point error of every iterate, much as RAFT was trained.

    It begins with whole photographs, shifted, which give way to scenes in the course of the run. On
    scenes, most of which hardly move, a network that cannot match yet finds "nothing moves" and stays
    there (measured: 800 steps); on shifts it learns to match within a few hundred, and forgets it
    again if they end before it is good at it.

    Args:
        painted: RGB scenes. shifts: share of the run in which the share of batches that are shifts
            falls from 1 to a tenth, where it stays; 0 for none at all.
    """

    def __init__(self, painted: PaintedScenes, shifts: float = 0.15) -> None:
        self.painted, self.shifts = painted, shifts

    def _shifted(self) -> tuple[Tensor, Tensor, Tensor]:
        """Cut-outs of photographs, their shifted neighbours, and the flow (B, 2, S/2, S/2) between them.

        Half the batches are cut out twice as large and reduced: shifts by half pixels.
        """
        scenes = self.painted.scenes
        scale = 1 + int(torch.randint(2, (1,), generator=scenes.g, device=scenes.device))
        side, size = scenes.tiles.shape[-1], scenes.size * scale
        reach = min(LONGEST_SHIFT * scale, (side - size) // 2)

        def draw(low: int, high: int) -> list[int]:
            return torch.randint(low, high, (self.painted.batch,), generator=scenes.g, device=scenes.device).tolist()

        places = zip(
            draw(0, len(scenes.tiles)),
            draw(reach, side - size - reach + 1),
            draw(reach, side - size - reach + 1),
            draw(-reach, reach + 1),
            draw(-reach, reach + 1),
            strict=True,
        )
        pairs, shifts = [], []
        for n, x, y, dx, dy in places:
            tile = scenes.tiles[n]
            pairs.append(torch.stack([tile[:, j : j + size, i : i + size] for i, j in ((x, y), (x - dx, y - dy))]))
            shifts.append((dx / scale, dy / scale))
        both = F.avg_pool2d(torch.stack(pairs).float().flatten(0, 1) / 255, scale).unflatten(0, (-1, 2))
        reference, frame = both.unbind(1)
        if float(scenes._rand(1)) < 0.5:
            reference, frame = add_capture(reference, frame, scenes.g)
        half = scenes.size // 2
        flow = torch.tensor(shifts, dtype=torch.float32, device=both.device)[:, :, None, None]
        return reference, frame, flow.expand(-1, 2, half, half)

    def __call__(self, net: nn.Module, progress: float) -> tuple[Tensor, dict[str, float]]:
        share = max(0.1, 1 - 0.9 * progress / self.shifts) if self.shifts > 0 else 0.0
        scenes = self.painted.scenes
        if float(scenes._rand(1)) < share:
            reference, frame, exact = self._shifted()
        else:
            reference, frame, exact = scenes.augment(self.painted())
        iterates = [F.avg_pool2d(flow.float(), 2) for flow in net.iterates(reference, frame)]  # type: ignore[operator]
        moves = (exact.norm(dim=1) > FAST).float()
        total, weights = exact.new_zeros(()), 0.0
        for n, flow in enumerate(reversed(iterates)):
            error = torch.sqrt((flow - exact).square().sum(1) + ROUND**2)
            loss = MOVING * (error * moves).sum() / moves.sum().clamp_min(1) + (1 - MOVING) * (
                error * (1 - moves)
            ).sum() / (1 - moves).sum().clamp_min(1)
            total = total + DECAY**n * loss
            weights += DECAY**n
        loss = total / weights
        with torch.no_grad():
            return loss, {"loss": loss.item(), **_endpoint_log(iterates[-1], exact)}

    def state(self) -> dict[str, Any]:
        return self.painted.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.painted.restore(state)

    def counts(self) -> dict[str, int]:
        return {}

    def pictures(self, net: nn.Module) -> dict[str, Tensor]:
        return {}


class UnsupervisedFlow:
    """The paper's ARFlow variant in spirit: no component sees a label.

    Census difference of the warped frame (blind to exposure), where the forward-backward check
    says visible, and edge-aware smoothness; both directions of every pair (Meister et al. 2018,
    Liu et al. 2020).

    Args:
        pairs: draws (B, 2, 3, S, S) RGB in 0..1; draws: its state and how to set it.
        smoothness: weight of the smoothness term.
        trust_after: share of the time before occlusion is masked: early flow is wrong everywhere.
    """

    def __init__(
        self,
        pairs: Callable[[], Tensor],
        draws: tuple[Callable[[], Any], Callable[[Any], None]],
        smoothness: float = 0.05,
        trust_after: float = 0.3,
    ) -> None:
        self.pairs, self.draws = pairs, draws
        self.smoothness, self.trust_after = smoothness, trust_after

    def __call__(self, net: nn.Module, progress: float) -> tuple[Tensor, dict[str, float]]:
        reference, frame = self.pairs().unbind(1)
        one, two = torch.cat([reference, frame]), torch.cat([frame, reference])
        iterates = [flow.float() for flow in net.iterates(one, two)]  # type: ignore[operator]
        last = iterates[-1].detach()
        hidden = occluded(last, last.roll(len(reference), 0))
        if progress < self.trust_after:
            hidden = torch.zeros_like(hidden)
        seen = 1 - hidden
        grey = one.mean(1, keepdim=True)
        total, weights, data = one.new_zeros(()), 0.0, one.new_zeros(())
        for n, flow in enumerate(reversed(iterates[-2:])):
            difference = census_difference(one, backward_warp(two, flow))
            this = (difference * seen).sum() / seen.sum().clamp_min(1)
            data = data if n else this  # the last iterate's is what is logged
            total = total + DECAY**n * (this + self.smoothness * edge_aware_smoothness(flow, grey))
            weights += DECAY**n
        loss = total / weights
        return loss, {"loss": loss.item(), "census": data.item(), "hidden": hidden.mean().item()}

    def state(self) -> dict[str, Any]:
        return {"pairs": self.draws[0]()}

    def restore(self, state: dict[str, Any]) -> None:
        self.draws[1](state["pairs"])

    def counts(self) -> dict[str, int]:
        return {}

    def pictures(self, net: nn.Module) -> dict[str, Tensor]:
        return {}
