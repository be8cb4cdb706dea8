"""The training loop, all of it.

    python -m trainer train --network warp --minutes 120 --photos DIR --clips DIR -o runs/warp

trains on whatever device torch finds, stops by the clock and writes `checkpoint.pt` every
two minutes and at the end; the same command again resumes where it stopped, and goes on
until `--minutes` of training lie behind the checkpoint in all. `python -m export onnx`
turns the checkpoint's averaged weights into a model that the filter loads.

What a step does
    warp   layered scenes with exact flow (relative end-point error at every scale); after
           a quarter of the time also real clips (photometric consistency, smoothness,
           occlusion by the forward-backward check), which teach what scenes cannot.
    unet   layered scenes with the exact magnified frame (L1). The paper's flow loss on real
           clips belongs here, beside `photometric`, and is issue 2/5.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magfilter.networks.build import build_network
from trainer.clips import ClipBank
from trainer.losses import edge_aware_smoothness, occluded, photometric, relative_flow_error
from trainer.scenes import LayeredScenes
from trainer.textures import load_cutouts, load_tiles, picture_files

__all__ = ["Settings", "train"]


LARGEST_ALPHA = 16.0  # the paper's; beyond it the network is applied repeatedly


@dataclass(frozen=True)
class Settings:
    """Everything that decides the outcome of a run; stored in its checkpoint."""

    network: str = "warp"
    width: int = 0  # 0: the network's own (warp 32, unet 64)
    minutes: float = 120.0
    batch: int = 8  # scenes a step
    real_batch: int = 4  # real pairs a step, each in both directions
    size: int = 256  # px; the coarsest of warp's five scales then still sees 16 × 16 px
    rate: float = 4e-4  # Adam, cosine to 1 % over the given minutes
    warm_up: int = 200  # steps
    clip_norm: float = 1.0  # LK layers can produce a rare huge gradient
    average: float = 0.999  # decay of the averaged weights
    reuse: int = 3  # times a painted batch is used, turned and filmed anew: painting costs more than training on it
    scenes_only: float = 0.25  # share of the time before real clips join
    real_every: int = 2  # then every n-th step has real pairs too
    real_weight: float = 0.5
    smoothness: float = 0.05
    seed: int = 1


def _scene_loss(net: nn.Module, scenes: LayeredScenes, scene, settings: Settings) -> tuple[Tensor, dict[str, float]]:
    if settings.network == "unet":
        reference, frame = scene.reference, scene.frame
        alpha = LARGEST_ALPHA ** torch.rand(len(frame), device=frame.device)  # 2^U(0, 4), as the paper draws it
        with torch.no_grad():
            target = scenes.magnified(scene, alpha)
        loss = F.l1_loss(net(reference, frame, alpha), target)
        return loss, {"L1": loss.item()}
    reference, frame, flow = scenes.augment(scene)
    flows = net.pyramid(reference, frame)
    loss = relative_flow_error(flows, flow, scene.speed)
    with torch.no_grad():  # realised share of the motion, by its magnitude: 1 is right
        log = {"scenes": loss.item()}
        size = flow.norm(dim=1)
        along = (flows[-1] * flow).sum(1) / size.clamp_min(1e-6).square()
        for low, high in ((0.02, 0.1), (0.1, 0.3), (0.3, 1), (1, 4), (4, 16)):
            here = (size > low) & (size <= high)
            if bool(here.any()):
                log[f"gain {low:g}-{high:g} px"] = along[here].clamp(-3, 3).mean().item()
        still = size < 1e-6
        if bool(still.any()):
            log["still px"] = flows[-1].norm(dim=1)[still].mean().item()
    return loss, log


def _real_loss(net: nn.Module, reference: Tensor, frame: Tensor, settings: Settings) -> tuple[Tensor, dict[str, float]]:
    """Photometric consistency both ways round, at the two finest scales."""
    one, two = torch.cat([reference, frame]), torch.cat([frame, reference])
    flows = net.pyramid(one, two)
    half = F.avg_pool2d(one, 2), F.avg_pool2d(two, 2)
    hidden = occluded(flows[-1] / 2, flows[-1].roll(len(reference), 0) / 2)  # on the half-resolution grid
    full = F.interpolate(flows[-1], scale_factor=2, mode="bilinear", align_corners=False)
    data = photometric(one, two, full, F.interpolate(hidden, scale_factor=2))
    coarse = photometric(*half, F.interpolate(flows[-2], scale_factor=2, mode="bilinear", align_corners=False), hidden)
    smooth = edge_aware_smoothness(flows[-1], half[0])
    loss = data + 0.5 * coarse + settings.smoothness * smooth
    return loss, {"real": data.item(), "hidden": hidden.mean().item(), "rough": smooth.item()}


def _save(path: Path, state: dict) -> None:
    """Write beside and rename: a full disk or a kill leaves the previous checkpoint whole."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that fills when Ctrl-C or SIGTERM asks for an end, so that the last step is finished and saved."""
    asked: list[int] = []
    before = {number: signal.signal(number, lambda n, _: asked.append(n)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep_memory() -> None:
    """Let glibc reuse large blocks instead of asking the kernel for zeroed pages every time: over
    twice as fast on a CPU. Elsewhere nothing happens."""
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        except OSError:
            pass


def train(
    settings: Settings, photos: Path, clips: Path | None, cutouts: Path | None, out: Path, device: str = ""
) -> Path:
    """Train until `settings.minutes` are spent; returns the checkpoint's path.

    Args:
        photos: folder of pictures; clips: folder of real clips or None; cutouts: folder of RGBA pictures or None.
        out: folder for `checkpoint.pt` and `log.jsonl`; a checkpoint found there is resumed.
        device: a torch device; empty picks CUDA when there is one.

    Raises:
        ValueError: if the folders hold nothing usable, or the checkpoint is of another network.
    """
    _keep_memory()
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    net = build_network(settings.network, settings.width).to(where)
    net = net.to(memory_format=torch.channels_last)
    averaged = build_network(settings.network, settings.width).to(where)
    averaged.load_state_dict(net.state_dict())
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.rate)
    step, elapsed = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=where, weights_only=True)
        if state["settings"]["network"] != settings.network or state["settings"]["width"] != settings.width:
            raise ValueError(
                f"{checkpoint} holds {state['settings']['network']} of width {state['settings']['width']}; "
                f"choose another -o to train {settings.network} of width {settings.width}."
            )
        net.load_state_dict(state["net"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        step, elapsed = state["step"], state["elapsed"]
        print(f"resumed at step {step}, {elapsed / 60:.1f} min", file=sys.stderr)

    channels = 1 if settings.network == "warp" else 3
    films = sorted(path for path in clips.iterdir() if path.is_file()) if clips else []
    tiles = load_tiles(picture_files(photos), films, channels).to(where)
    objects = (load_cutouts(picture_files(cutouts), channels) if cutouts else load_cutouts([], channels)).to(where)
    scenes = LayeredScenes(
        tiles, objects, settings.size, settings.seed + step, 1.0 if settings.network == "warp" else LARGEST_ALPHA
    )  # a resumed run paints new scenes
    bank = ClipBank(films, 6, where, settings.seed + step) if films and settings.network == "warp" else None
    print(
        f"{len(tiles)} tiles, {len(objects)} cut-outs, {len(bank.windows) if bank else 0} windows of clips "
        f"({bank.skipped if bank else 0} clips skipped), on {where}",
        file=sys.stderr,
    )

    def save() -> None:
        _save(
            checkpoint,
            {
                "settings": asdict(settings),
                "net": net.state_dict(),
                "averaged": averaged.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "elapsed": elapsed,
            },
        )

    budget = settings.minutes * 60
    begun, before = time.monotonic(), elapsed
    saved = said = begun
    sums: dict[str, list[float]] = {}
    scene = None
    skipped = 0
    with _asked_to_stop() as asked:
        while elapsed < budget and not asked:
            if scene is None or step % settings.reuse == 0:
                with torch.no_grad():
                    scene = scenes(settings.batch)
            progress = elapsed / budget
            rate = (
                settings.rate * min(1.0, (step + 1) / settings.warm_up) * (0.505 + 0.495 * math.cos(math.pi * progress))
            )
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss, log = _scene_loss(net, scenes, scene, settings)
            if bank and progress >= settings.scenes_only and step % settings.real_every == 0:
                real, more = _real_loss(net, *bank(settings.real_batch, settings.size), settings)
                loss, log = loss + settings.real_weight * real, log | more
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
            if bool(torch.isfinite(norm)):
                optimiser.step()
                with torch.no_grad():
                    decay = min(settings.average, (step + 1) / (step + 10))
                    for slow, fast in zip(averaged.state_dict().values(), net.state_dict().values(), strict=True):
                        if slow.dtype.is_floating_point:
                            slow.lerp_(fast, 1 - decay)
                        else:
                            slow.copy_(fast)
            else:
                skipped += 1  # a step that would poison the weights is left out, and counted
            step += 1
            now = time.monotonic()
            elapsed = before + now - begun
            for name, value in log.items():
                sums.setdefault(name, []).append(value)
            if now - said > 20 or elapsed >= budget or asked:
                means = {name: sum(values) / len(values) for name, values in sums.items()}
                print(
                    f"{elapsed / 60:6.1f}/{settings.minutes:g} min  step {step}  "
                    + "  ".join(f"{name} {value:.3f}" for name, value in means.items())
                    + (f"  skipped {skipped}" if skipped else ""),
                    file=sys.stderr,
                    flush=True,
                )
                with (out / "log.jsonl").open("a") as file:
                    file.write(json.dumps({"step": step, "minutes": elapsed / 60, "rate": rate, **means}) + "\n")
                sums.clear()
                said = now
            if now - saved > 120:
                save()
                saved = now
    save()
    return checkpoint
