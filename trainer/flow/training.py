"""`python -m trainer flow`: our own flow network, so that training and adaptation need nobody's weights."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.bounds import MOST, check
from trainer.clips import ClipBank, clip_files
from trainer.flow.objectives import SupervisedFlow, UnsupervisedFlow
from trainer.flow.raft import Raft, build_raft, load_raft_weights
from trainer.loop import Objective, Plan, Team, run
from trainer.scenes import LayeredScenes, PaintedScenes
from trainer.textures import load_cutouts, load_tiles, picture_files
from trainer.train import fill

__all__ = ["FlowSettings", "configure_flow", "train_flow"]

BOUNDS = {
    **dict.fromkeys(("batch", "updates", "reuse", "windows"), (1, MOST)),
    **dict.fromkeys(("slowest", "fastest", "shifts", "smoothness"), (0, MOST)),
    "camera": (0, 1),
}


@dataclass(frozen=True)
class FlowSettings:
    """What decides the outcome of a run, beside its `Plan`."""

    supervision: str = "scenes"  # or "clips": no label anywhere
    batch: int = 6
    size: int = 128  # px; RAFT's correlation pyramid wants at least 128
    updates: int = 4  # RAFT's iterations in training
    reuse: int = 3  # times a painted batch is used
    slowest: float = 0.5  # px
    fastest: float = 20.0  # px: magnified motion is large
    camera: float = 1.0  # share of scenes whose background moves: still ground teaches nothing but to say zero
    shifts: float = 0.8  # share of the run in which shifted photographs give way to scenes
    smoothness: float = 0.05
    windows: int = 3  # of twelve frames kept of every clip, supervision "clips"

    def __post_init__(self) -> None:
        if self.supervision not in ("scenes", "clips"):
            raise ValueError(f"Expected supervision scenes or clips, got {self.supervision!r}.")
        if self.size < 128 or self.size % 8:
            raise ValueError(f"Expected size to be a multiple of 8 from 128 px on, got {self.size}.")
        check(self, BOUNDS)
        if not 0 < self.slowest <= self.fastest:
            raise ValueError(f"Expected 0 < slowest <= fastest px, got {self.slowest} and {self.fastest}.")


def configure_flow(changes: dict[str, Any]) -> tuple[FlowSettings, Plan]:
    """Settings and plan from fields by name.

    Raises:
        ValueError: if a name or value is wrong.
    """
    return fill(FlowSettings, {"rate": 5e-4, "warm_up": 100, **changes})


def train_flow(
    settings: FlowSettings,
    plan: Plan,
    photos: Path | None,
    clips: Path | None,
    cutouts: Path | None,
    out: Path,
    device: str = "",
    start: Path | None = None,
) -> Path:
    """Train RAFT-small's architecture; returns the run's folder.

    Args:
        start: weights to begin with (a run or a .safetensors file) where `out` holds no run yet.
        photos, cutouts: folders of pictures, for supervision by scenes; clips: folder of clips, for both.

    Raises:
        ValueError: if the folders hold nothing usable, or `out` holds a run of another network.
    """
    with Team.gather(device) as team:
        seed = plan.seed + 1_000_003 * team.rank
        films = clip_files(clips)
        objective: Objective
        if settings.supervision == "scenes":
            if photos is None:
                raise ValueError("Supervision by scenes paints them with photographs: give --photos.")
            tiles, skipped = load_tiles(picture_files(photos), films, 3)
            objects, more = load_cutouts(picture_files(cutouts) if cutouts else [], 3)
            if team.leads and skipped + more:
                print(f"{skipped + more} pictures skipped", file=sys.stderr)
            speeds = (settings.slowest, settings.fastest)
            scenes = LayeredScenes(
                tiles.to(team.device),
                objects.to(team.device),
                settings.size,
                seed,
                speeds=speeds,
                camera=settings.camera,
            )
            objective = SupervisedFlow(PaintedScenes(scenes, settings.batch, settings.reuse), settings.shifts)
        else:
            bank = ClipBank(films, settings.windows, team.device, seed, channels=3)

            def pairs() -> Tensor:
                return torch.stack(bank(settings.batch, settings.size), 1)

            objective = UnsupervisedFlow(pairs, (bank.state, bank.restore), settings.smoothness)
        torch.manual_seed(plan.seed)  # every member builds the same network
        net, averaged = (Raft(build_raft("raft_small"), settings.updates).to(team.device) for _ in range(2))
        if start is not None:
            load_raft_weights(net.net, start)
        averaged.load_state_dict(net.state_dict())
        metadata = {"network": "raft-small", "width": "0", "settings": json.dumps(asdict(settings))}
        return run(net, averaged, objective, plan, out, metadata, team)
