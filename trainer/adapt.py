"""Test-time adaptation (paper §3.5): continue the training on one clip, without labels, and keep what is better.

Pairs are (frame 0, frame t) of the clip, cropped, turned by up to 5°, stretched by up to a tenth and
recoloured (App. A2). What the network has not seen judges it: every fifth of the frames is held out,
and weights are only taken if the loss on those frames has fallen. Photometric
consistency does not look at the magnified frame; where it teaches alone, the paper's motion error of the
frames held out, seen by DIS, must not have risen either. It rises again where the training goes on for too long, so
the weights are looked at several times, and the best are taken.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magfilter.errors import MagfilterError
from magfilter.media.sequence import ImageSequence, parse_rate
from magfilter.networks.build import build_network
from trainer.checkpoint import load_checkpoint, load_into, load_weights, save_weights
from trainer.data import augment_adapt
from trainer.files import check_target
from trainer.flow import load_flow
from trainer.loop import Diverged, Plan, Team, run
from trainer.losses import occluded, photometric
from trainer.magnification import flow_loss, magnified_by_warp
from trainer.objectives import UNetObjective, WarpObjective, luma
from trainer.settings import Settings
from trainer.train import fill

__all__ = ["Adaptation", "adapt", "clip_loss", "clip_motion", "read_frames"]

HELD_OUT = 5  # every so many-th frame judges and does not teach
JUDGED_AT = 4.0  # alpha of the flow loss on the held-out frames: the middle of 2^U(0, 4)
LOOKS = 4  # at the weights while they are trained
JUDGED_SIDE = 448  # px; longer sides of held-out frames are cropped to their middle


@dataclass(frozen=True)
class Adaptation:
    """What came of it.

    Attributes:
        before, after: loss on the held-out frames, with the weights begun with and with the best of those trained, or
            with the last where none is better.
        kept: "after" if they are better there, else "before".
        steps: optimiser steps taken in all.
        model: the file written.
        interrupted: asked to stop before its time was spent.
    """

    before: float
    after: float
    kept: str
    steps: int
    model: Path
    interrupted: bool = False


@dataclass
class _Look:
    """What weights are worth on the held-out frames after so many steps; `motion` is 0 where the loss says it all."""

    steps: int
    loss: float
    motion: float = 0.0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def __lt__(self, other: _Look) -> bool:
        return (self.motion, self.loss) < (other.motion, other.loss)


def _decoded(container: Any, start: float, duration: float | None) -> Iterator[Any]:
    """The frames of a part of a video, counted in seconds from its own beginning."""
    stream = container.streams.video[0]
    first = float((stream.start_time or 0) * stream.time_base)
    for frame in container.decode(stream):
        time = (frame.time if frame.time is not None else first) - first
        if time < start - 1e-6:
            continue
        if duration is not None and time >= start + duration - 1e-6:
            return
        yield frame


def read_frames(
    clip: Path,
    most: int = 60,
    pixels: float = 1e6,
    start: float = 0.0,
    duration: float | None = None,
    framerate: Fraction | float | str | None = None,
) -> Tensor:
    """The first frame and up to `most` others spread over the clip: (N, 3, H, W) uint8 RGB.

    Args:
        pixels: larger frames are reduced to this many, as the filter's own proxy is.
        start, duration: the part of the clip to look at, seconds.
        framerate: frames a second of an image sequence (shot.%04d.png); None for 25.

    Raises:
        ValueError: if the clip cannot be read, or has fewer than two frames.
    """
    try:
        pictures = ImageSequence.find(str(clip), None if framerate is None else parse_rate(framerate))
    except MagfilterError as error:
        raise ValueError(str(error)) from None
    told = pictures.options if pictures else {}
    try:
        with av.open(str(clip), options=told) as container:
            total = sum(1 for _ in _decoded(container, start, duration))
        if total < 2:
            raise ValueError(f"{clip}: adaptation needs at least two frames, this has {total}.")
        wanted = {0, *np.linspace(1, total - 1, min(most, total - 1)).round().astype(int).tolist()}
        frames: list[np.ndarray] = []
        with av.open(str(clip), options=told) as container:
            for number, frame in enumerate(_decoded(container, start, duration)):
                if number in wanted:
                    factor = min(1.0, math.sqrt(pixels / (frame.width * frame.height)))
                    width, height = (max(2, round(n * factor) // 2 * 2) for n in (frame.width, frame.height))
                    small = frame.reformat(width, height, "rgb24", interpolation="AREA" if factor < 1 else "BICUBIC")
                    frames.append(small.to_ndarray().transpose(2, 0, 1))
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise ValueError(f"{clip}: cannot be read as a video ({error}).") from None
    if any(frame.shape != frames[0].shape for frame in frames):
        raise ValueError(f"{clip}: frames change size; adapt to a part of one size.")
    return torch.from_numpy(np.stack(frames))


class _ClipPairs:
    """(frame 0, frame t) of one clip, augmented as the paper's adaptation does."""

    def __init__(self, frames: Tensor, batch: int, size: int, seed: int, device: torch.device) -> None:
        self.frames, self.batch, self.size = frames.to(device), batch, size
        self.g = torch.Generator(device=device).manual_seed(seed)

    def __call__(self) -> Tensor:
        later = 1 + torch.randint(len(self.frames) - 1, (self.batch,), generator=self.g, device=self.g.device)
        first = self.frames[:1].expand(self.batch, -1, -1, -1)
        pairs = torch.stack([first, self.frames[later]], 1).float() / 255
        return augment_adapt(pairs, self.g, size=self.size)

    def state(self) -> Tensor:
        return self.g.get_state()

    def restore(self, state: Tensor) -> None:
        self.g.set_state(state.cpu())


class _Luma:
    """The same pairs for `WarpObjective`'s photometric part."""

    def __init__(self, pairs: _ClipPairs) -> None:
        self.pairs = pairs

    def __call__(self, batch: int, size: int) -> tuple[Tensor, Tensor]:
        reference, frame = self.pairs()[:batch].unbind(1)
        return luma(reference), luma(frame)

    def state(self) -> Tensor:
        return self.pairs.state()

    def restore(self, state: Tensor) -> None:
        self.pairs.restore(state)


def _middle(frames: Tensor, multiple: int) -> Tensor:
    """The middle of frames as floats, sides multiples of `multiple` and at most JUDGED_SIDE; small ones are padded."""
    height, width = frames.shape[-2:]
    lack = [max(0, multiple - n) for n in (width, height)]
    frames = F.pad(frames.float() / 255, (0, lack[0], 0, lack[1]), mode="replicate")
    height, width = (min(n, JUDGED_SIDE) // multiple * multiple for n in frames.shape[-2:])
    top, left = (frames.shape[-2] - height) // 2, (frames.shape[-1] - width) // 2
    return frames[..., top : top + height, left : left + width].contiguous()


@torch.no_grad()
def clip_loss(net: nn.Module, reference: Tensor, frames: Tensor, settings: Settings, flow: nn.Module | None) -> float:
    """The loss that adaptation minimises, on frames as they are: the mean over `frames`.

    Args:
        reference: (1, 3, H, W); frames: (N, 3, H, W); both in 0..1, sides multiples of 64.
    """
    was_training = net.training
    net.eval()
    total = 0.0
    for frame in frames.split(1):
        alpha = frame.new_full((1,), JUDGED_AT)
        if settings.network == "warp":
            one, two = luma(reference), luma(frame)
            there, back = net(one, two), net(two, one)
            if settings.photometric > 0:
                hidden = F.interpolate(occluded(there / 2, back / 2), scale_factor=2)
                full = F.interpolate(there, scale_factor=2, mode="bilinear", align_corners=False)
                total += settings.photometric * float(photometric(one, two, full, hidden))
            magnified = magnified_by_warp(frame, there, alpha)
        else:
            magnified = net(reference, frame, alpha)
        if flow is not None and settings.flow_loss > 0:
            loss = flow_loss(reference, frame, magnified, alpha, flow, colour_weight=settings.colour)
            total += settings.flow_loss * float(loss.total)
    net.train(was_training)
    return total / len(frames)


@torch.no_grad()
def clip_motion(net: nn.Module, reference: Tensor, frames: Tensor) -> float:
    """Median motion error of magnified frames by DIS, px at alpha JUDGED_AT; arguments as `clip_loss`'s; of `warp`."""
    from trainer.evaluation.protocol import motion_error

    def picture(image: Tensor) -> np.ndarray:
        array: np.ndarray = image[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
        return np.ascontiguousarray(array)

    errors = []
    for frame in frames.split(1):
        flow = net(luma(reference), luma(frame))
        magnified = magnified_by_warp(frame, flow, frame.new_full((1,), JUDGED_AT))
        errors.append(motion_error(picture(reference), picture(frame), picture(magnified), JUDGED_AT, "dis"))
    return float(np.median(errors))


def _settings(network: str, width: int) -> tuple[Settings, int]:
    """What is minimised, and the pairs a step."""
    if network == "warp":
        # By photometric consistency alone: with the flow loss through `warp` itself beside it (weight 0.1),
        # 90 seconds on *guitar* raised the motion error by 8 % where this lowered it by 4 %.
        return Settings(
            network="warp", width=width, scenes=0.0, photometric=1.0, photometric_batch=4, photometric_every=1,
            flow_loss=0.0,
        ), 4  # fmt: skip
    return Settings(network="unet", width=width, scenes=0.0, photometric=0.0, flow_loss=1.0, pairs=4), 4


def _plans(minutes: float, steps: int, rate: float, seed: int) -> Iterator[Plan]:
    """The training as far as each look at it: every plan goes on where the one before it ended."""
    rest = {"rate": rate, "schedule": "constant", "warm_up": 20, "average": 0.99, "seed": seed}
    rest |= {"save_every": math.inf, "picture_every": math.inf}
    shares = [look / LOOKS for look in range(1, LOOKS + 1)]
    if steps:
        for end in sorted({math.ceil(steps * share) for share in shares}):
            yield Plan(steps=end, **rest)  # type: ignore[arg-type]
    else:
        for share in shares:
            yield Plan(minutes=minutes * share, **rest)  # type: ignore[arg-type]


def adapt(
    clip: Path,
    out: Path,
    *,
    model: Path,
    minutes: float = 3.0,
    steps: int = 0,
    rate: float = 1e-4,
    size: int = 256,
    flow: str = "warp",
    changes: Mapping[str, Any] | None = None,
    start: float = 0.0,
    duration: float | None = None,
    seed: int = 1,
    device: str = "",
    framerate: Fraction | float | str | None = None,
) -> Adaptation:
    """Fit a network to one clip and write it as ONNX; the better of before and after by held-out frames.

    Args:
        model: weights to begin with: .onnx, .safetensors or a run.
        minutes, steps: how long to train; the paper takes 18,750 steps. Minutes are those of the steps alone: reading
            the clip, looking at held-out frames and the export come on top.
        rate: Adam's, constant; 1e-4 is the paper's.
        size: side of the crops, px, a multiple of 64.
        flow: the estimator of the flow loss, see `trainer.flow.load_flow`; `warp` does without that loss by default.
        changes: fields of `Settings` to differ from the defaults.
        start, duration: the part of the clip to fit to, seconds.
        framerate: frames a second of an image sequence; None for 25.

    Raises:
        ValueError: if the clip or the model cannot be used, or `out` cannot be written, which is found out first.
    """
    from export.onnx import export_network

    plans = list(_plans(minutes, steps, rate, seed))
    check_target(out)
    pictures = read_frames(clip, start=start, duration=duration, framerate=framerate)
    weights, metadata = load_weights(model)
    network, width = metadata.get("network", ""), int(metadata.get("width", 0))
    if network not in ("warp", "unet"):
        raise ValueError(f"{model}: expected weights of warp or unet, its header names network {network!r}.")
    settings, batch = _settings(network, width)
    settings, _ = fill(Settings, {**asdict(settings), "size": size, "flow": flow, **(changes or {})})
    with Team.gather(device) as team, tempfile.TemporaryDirectory(prefix="magfilter-adapt-") as scratch:
        torch.manual_seed(seed)
        net, averaged = (build_network(network, width, weights=weights).to(team.device) for _ in range(2))
        load_into(net, model)
        averaged.load_state_dict(net.state_dict())
        averaged.eval()
        # Batch statistics of a handful of crops of one clip would ruin those that the network was trained with.
        net.eval()
        later = list(range(1, len(pictures)))
        judges = later[HELD_OUT // 2 :: HELD_OUT] or later
        teachers = [n for n in later if n not in judges] or later
        held = _middle(pictures[[0, *judges]], 64).to(team.device)
        estimator = load_flow(flow, team.device, settings.updates) if settings.flow_loss > 0 else None
        before = clip_loss(net, held[:1], held[1:], settings, estimator)
        blind = network == "warp" and settings.flow_loss <= 0  # to the magnified frame
        motion = clip_motion(net, held[:1], held[1:]) if blind else 0.0
        print(f"loss on {len(judges)} held-out frames before: {before:.5f}", file=sys.stderr)
        pairs = _ClipPairs(pictures[[0, *teachers]], batch, size, seed, team.device)
        objective = (
            WarpObjective(settings, None, _Luma(pairs), pairs, estimator)  # type: ignore[arg-type]
            if network == "warp"
            else UNetObjective(settings, None, pairs, estimator)
        )
        best: _Look | None = None
        for plan in plans:
            try:
                # Each goes on where the one before it ended.
                run(net, averaged, objective, plan, Path(scratch), metadata, team, quiet=True)
            except Diverged:
                raise ValueError(f"{clip}: the training diverged; give a lower rate than {rate:g}.") from None
            found = load_checkpoint(Path(scratch))
            taken, spent = (int(found.state["step"]), float(found.state["elapsed"])) if found else (0, 0.0)
            interrupted = taken < plan.steps if steps else spent < plan.minutes * 60
            last = _Look(taken, clip_loss(averaged, held[:1], held[1:], settings, estimator))
            if blind:
                last.motion = clip_motion(averaged, held[:1], held[1:])
            if last.loss < before and (not blind or last.motion <= motion) and (best is None or not best < last):
                best = last
                best.weights = {name: value.clone() for name, value in averaged.state_dict().items()}
            if interrupted:
                break
        better, told = best is not None, best or last
        print(
            f"loss on the held-out frames after {told.steps} steps: {told.loss:.5f}; "
            + (f"motion error by DIS {motion:.4f} -> {told.motion:.4f} px; " if blind else "")
            + ("better: kept" if better else "not better: the weights stay as they were"),
            file=sys.stderr,
        )
        if best is not None:
            averaged.load_state_dict(best.weights)
        else:
            load_into(averaged, model)
        record = {
            **json.loads(metadata.get("settings", "{}")),
            "width": width,
            "adapted": {"clip": clip.name, "steps": best.steps if best else 0, "before": before, "after": told.loss},
        }
        if out.suffix == ".safetensors":
            save_weights(out, averaged.state_dict(), {**metadata, "settings": json.dumps(record)})
        else:
            export_network(averaged.cpu().eval(), network, out, record)
    return Adaptation(before, told.loss, "after" if better else "before", taken, out, interrupted)
