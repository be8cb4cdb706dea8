"""What each part of the training is worth: `python -m trainer ablate`.

Every variant trains the same network from the same weights for the same number of steps on
the same data, and is judged by the same pairs and scenes that nothing was trained on. Short
runs tell the parts apart, not how good the network can become: the figures are to be compared
with each other alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from magfilter.networks.build import build_network
from trainer.checkpoint import load_into, load_weights
from trainer.data import PairIndex
from trainer.evaluation.methods import warp_by_flow
from trainer.evaluation.protocol import Method, known_motion, real_errors
from trainer.evaluation.scenes import known_motion_scenes
from trainer.loop import Plan
from trainer.resume import differences, told
from trainer.settings import Settings
from trainer.train import Data, train

__all__ = ["VARIANTS", "ablate", "network_method"]

ALPHAS = (4.0, 10.0)
JUDGES = ("dis", "spynet")  # neither trains anything here
SCENES = 12
UNSUPERVISED = "flow loss alone, unsupervised teacher"
FIGURES, ASKED = "figures.json", "asked.json"  # of a variant, in its folder
LOSSES = {"scenes": 0.0, "photometric": 0.0, "flow_loss": 1.0}

VARIANTS: dict[str, dict[str, Any]] = {
    "scenes alone": {**LOSSES, "scenes": 1.0, "flow_loss": 0.0},
    "flow loss alone": LOSSES,
    "flow loss alone, no colour loss": {**LOSSES, "colour": 0.0},
    UNSUPERVISED: LOSSES,
    "scenes and flow loss": {**LOSSES, "scenes": 1.0, "flow_loss": 0.05},
}
"""Name → changed settings. Together, the flow loss is weighted down: it is in px at alpha times the motion."""


def network_method(weights: Path, device: str = "cpu") -> Method:
    """A method for the evaluation from weights that were not exported: a run, .safetensors or .onnx.

    `warp`'s flow is rendered by the evaluation's plain backward warp, not by the filter.

    Raises:
        ValueError: if the weights cannot be read.
    """
    found, metadata = load_weights(weights)
    name = metadata["network"]
    net = build_network(name, int(metadata.get("width", 0)), weights=found)
    load_into(net, weights)
    net = net.eval().to(device)
    multiple = net.pad_multiple

    def tensor(image: np.ndarray) -> torch.Tensor:
        x = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float() / 255
        return F.pad(x, (0, -x.shape[3] % multiple, 0, -x.shape[2] % multiple), mode="replicate")

    @torch.inference_mode()
    def paint(reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        out = net(tensor(reference), tensor(frame), torch.tensor([alpha], device=device))
        height, width = frame.shape[:2]
        picture = out[0, :, :height, :width].clamp(0, 1).mul(255).round().byte()
        return np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy())

    @torch.inference_mode()
    def flow(reference: np.ndarray, frame: np.ndarray) -> np.ndarray:
        from trainer.objectives import luma

        half = net(luma(tensor(reference)), luma(tensor(frame)))
        full = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)[0]
        height, width = frame.shape[:2]
        return full[:, :height, :width].permute(1, 2, 0).cpu().numpy()

    return warp_by_flow(flow) if name == "warp" else paint


def _colour_shift(magnify: Method, pairs: list[Any]) -> float:
    """Mean |difference| of the picture's mean colour to the frame's, in code values, at alpha 4."""
    shifts = []
    for _, a, b in pairs:
        gap = magnify(a, b, 4.0).astype(np.float64).mean((0, 1)) - b.astype(np.float64).mean((0, 1))
        shifts.append(float(np.abs(gap).mean()))
    return float(np.mean(shifts))


def ablate(
    settings: Settings,
    plan: Plan,
    data: Data,
    out: Path,
    *,
    unsupervised: str | None,
    pairs: Callable[[], list[Any]],
    start: Path | None = None,
    only: tuple[str, ...] = (),
    device: str = "",
) -> Iterator[str]:
    """Train and judge every variant; yields the lines of a Markdown table.

    A variant that is done is not done again: `out` holds a folder for each, with its figures and what they are of.

    Args:
        unsupervised: the flow network that saw no label, for the variant that uses it; None leaves it out.
        pairs: gives the real pairs (name, a, b) to judge by.
        start: weights to begin with; None begins from random ones, the same for all.
        only: names of `VARIANTS` to do; empty does all.

    Raises:
        ValueError: before anything is trained if there is no such variant, or `out` holds one of other settings or
            data; and as `trainer.train.train`.
        FileNotFoundError: if the index or its clips are missing, before anything is trained.
    """
    variants = _variants(settings, unsupervised, only)
    if data.index and any(each.needs_pairs for each in variants.values()):
        PairIndex.load(data.index, data.root)  # what is wrong with it is found out now, not after the first variant
    asked = {name: _record(each, plan, data, start) for name, each in variants.items()}
    for name, record in asked.items():
        _compare(_folder(out, name), record)
    judged: list[Any] = []
    heads = [f"{judge} ×{alpha:g}" for judge in JUDGES for alpha in ALPHAS]
    yield f"| {settings.network}, {plan.steps} steps | " + " | ".join(heads) + " | gain at 0.2 px ×10 | colour shift |"
    yield "|---|" + "---|" * (len(heads) + 2)
    for name, each in variants.items():
        folder = _folder(out, name)
        figures = folder / FIGURES
        if not figures.exists():
            print(f"{name}:", file=sys.stderr)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ASKED).write_text(json.dumps(asked[name], indent=1))
            train(each, plan, data, folder, device, start)
            judged = judged or pairs()
            figures.write_text(json.dumps(_judge(network_method(folder), judged)))
        row = json.loads(figures.read_text())
        yield f"| {name} | " + " | ".join(f"{value:.3f}" for value in row) + " |"


def _variants(settings: Settings, unsupervised: str | None, only: tuple[str, ...]) -> dict[str, Settings]:
    """The settings of the variants asked for, by name.

    Raises:
        ValueError: if one asked for by name is none, or lacks the flow network it is of.
    """
    for name in only:
        if name not in VARIANTS:
            raise ValueError(f"No variant is called {name!r}; there are {', '.join(map(repr, VARIANTS))}.")
        if name == UNSUPERVISED and unsupervised is None:
            raise ValueError(f"The variant {name!r} needs a flow network: give --unsupervised own:FILE.")
    found = {}
    for name, changes in VARIANTS.items():
        if (only and name not in only) or (name == UNSUPERVISED and unsupervised is None):
            continue
        flow = {"flow": unsupervised} if name == UNSUPERVISED else {}
        clips = {"photometric": 0.0} if settings.network == "unet" else {}
        found[name] = replace(settings, **changes | flow | clips)
    return found


def _folder(out: Path, variant: str) -> Path:
    return out / variant.replace(",", "").replace(" ", "-")


def _record(settings: Settings, plan: Plan, data: Data, start: Path | None) -> dict[str, Any]:
    """Everything that decides a variant's figures, as it comes back from JSON."""
    folders = {name: getattr(data, name) for name in ("photos", "cutouts", "clips", "index")} | {"start": start}
    return {
        **asdict(plan),
        **asdict(settings),
        **{name: os.path.abspath(path) if path else None for name, path in folders.items()},
    }


def _compare(folder: Path, asked: dict[str, Any]) -> None:
    """See that what lies in a variant's folder, if anything does, is of what is asked for.

    Raises:
        ValueError: if it is of other settings or data, or does not say of which.
    """
    if not (folder / FIGURES).exists() and not (folder / ASKED).exists():
        return
    try:
        unlike = differences(json.loads((folder / ASKED).read_text()), asked)
    except (OSError, ValueError):
        raise ValueError(f"{folder} does not say which settings it is of; choose another folder (-o).") from None
    if unlike:
        raise ValueError(f"{folder} is of other settings: {told(unlike)}; choose another folder (-o).")


def _judge(magnify: Method, pairs: list[Any]) -> list[float]:
    errors = real_errors({"net": magnify}, pairs, ALPHAS, JUDGES)
    row = [float(np.median(errors["net", judge, alpha])) for judge in JUDGES for alpha in ALPHAS]
    known = known_motion(magnify, known_motion_scenes(SCENES), (0.2,), (10.0,), noise=1.0)
    return [*row, known[0]["ratio"], _colour_shift(magnify, pairs)]
