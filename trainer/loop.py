"""The training loop, all of it: every network here is trained by `run`.

One process, or several on one or more machines:

    python -m trainer train warp.toml … -o runs/warp
    torchrun --nproc-per-node 4 -m trainer train unet.toml … -o runs/unet

What is trained and on what is the business of an `Objective`; what a step, a checkpoint
and an end are is said here. The same command resumes where the last one stopped: weights,
their average, optimiser, random numbers and the position in the data. With `steps` instead
of `minutes` the resumed run ends with the same weights to the bit as one that was never
stopped (with `minutes` the learning rate follows the clock, which does not repeat).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from magfilter.memory import keep_freed_memory
from trainer.bounds import MOST, check
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.devices import find_device
from trainer.log import Log
from trainer.resume import Changes, changes, told

__all__ = ["KEPT", "Diverged", "Objective", "Plan", "Team", "run"]

TELL = 20.0  # seconds between lines of progress
KEPT = 1 << 30  # bytes; activations of up to this size are kept from step to step: over twice as fast on a CPU
GIVE_UP = 50  # steps in a row without a finite gradient
BOUNDS = {
    **dict.fromkeys(("minutes", "steps", "warm_up", "clip_norm", "seed"), (0, MOST)),
    **dict.fromkeys(("save_every", "picture_every"), (0, math.inf)),  # infinity: never
    "average": (0, 1),
    "accumulate": (1, MOST),
}


class Diverged(RuntimeError):
    """Training no longer yields finite gradients."""


@dataclass(frozen=True)
class Plan:
    """How long, how fast and how carefully."""

    minutes: float = 0.0  # of training in all, resumed parts included; 0: no limit
    steps: int = 0  # optimiser steps in all; 0: no limit
    rate: float = 3e-4  # Adam
    schedule: str = "cosine"  # to 1 % over the given steps or minutes; "constant" is the paper's
    warm_up: int = 200  # steps
    clip_norm: float = 1.0  # 0: none
    average: float = 0.999  # decay of the averaged weights, which are what is exported
    accumulate: int = 1  # batches a step
    bf16: bool = False  # autocast; pays on GPUs and on CPUs with AVX512-BF16; too coarse for `warp`'s filters
    save_every: float = 2.0  # minutes between checkpoints: what a kill can cost
    picture_every: float = 5.0  # minutes between pictures for TensorBoard
    seed: int = 1

    def __post_init__(self) -> None:
        if self.minutes <= 0 and self.steps <= 0:
            raise ValueError("Expected an end: minutes or steps above 0.")
        check(self, BOUNDS)
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"Expected schedule cosine or constant, got {self.schedule!r}.")
        if not 0 < self.rate <= MOST:
            raise ValueError(f"Expected rate above 0, got {self.rate}.")

    def spent(self, step: int, elapsed: float) -> float:
        """How much of it is done after so many steps and seconds: 0 at the beginning, 1 or more at the end."""
        by_steps = step / self.steps if self.steps else 0.0
        return max(by_steps, elapsed / 60 / self.minutes if self.minutes else 0.0)


class Objective(Protocol):
    """Draws a batch and says how wrong the network is on it."""

    def __call__(self, net: nn.Module, progress: float) -> tuple[Tensor, dict[str, float]]:
        """The loss of the next batch and numbers worth logging; `progress` runs from 0 to 1."""
        ...

    def state(self) -> dict[str, Any]:
        """What `restore` needs to draw the batches that come next: tensors and plain values."""
        ...

    def restore(self, state: dict[str, Any]) -> None: ...

    def counts(self) -> dict[str, int]:
        """What went wrong since this process began, name → how often; told where it is not 0."""
        ...

    def pictures(self, net: nn.Module) -> dict[str, Tensor]:
        """Image grids (3, H, W) in 0..1 to look at; may be empty."""
        ...


@dataclass
class Team:
    """The processes that train together; one that trains alone is a team of one."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @staticmethod
    @contextlib.contextmanager
    def gather(device: str = "") -> Iterator[Team]:
        """Join the team that `torchrun` describes in the environment, or stand alone.

        Args:
            device: a torch device; empty picks CUDA (one device a process) when there is one.

        Raises:
            ValueError: if there is no such device.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        where = find_device(device, local)
        if where.type == "cuda":
            torch.cuda.set_device(where)
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
            torch.backends.cudnn.benchmark = True  # the sizes never change
        if size == 1:
            yield Team(device=where)
            return
        # What this imports keeps the group that is there at that time, whoever destroys it, and DistributedDataParallel
        # imports it. A group that outlives the interpreter's end aborts the process: its threads then ask for Python.
        importlib.import_module("torch._dynamo")

        dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
        try:
            yield Team(dist.get_rank(), size, where)
        finally:
            gc.collect()  # wrapped networks hold the group too, in circles
            dist.destroy_process_group()

    def all(self, fine: bool) -> bool:
        """Whether it is fine with every member."""
        if self.size == 1:
            return fine
        said = torch.tensor(float(not fine), device=self.device)
        dist.all_reduce(said)
        return not bool(said)

    def agree(self, elapsed: float, stop: bool) -> tuple[float, bool]:
        """The leader's clock, and whether anyone was asked to stop: all must leave the loop at the same step."""
        if self.size == 1:
            return elapsed, stop
        said = torch.tensor([elapsed if self.leads else 0.0, float(stop)], dtype=torch.float64, device=self.device)
        dist.all_reduce(said)
        return float(said[0]), bool(said[1] > 0)


class _Step(nn.Module):
    """Network and objective as one module: DistributedDataParallel only sees gradients of its own forward."""

    def __init__(self, net: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.net, self.objective = net, objective
        self.log: dict[str, float] = {}

    def forward(self, progress: float) -> Tensor:
        loss, self.log = self.objective(self.net, progress)
        return loss


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that fills when Ctrl-C or SIGTERM asks for an end, so that the last step is finished and saved."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only that one may listen
        yield asked
        return
    before = {number: signal.signal(number, lambda n, _: asked.append(n)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _groups(net: nn.Module) -> list[dict[str, Any]]:
    """Parameters by pace: a network may name some in `paces` (name → times the rate), such as logarithms of
    quantities that vary over decades, which at a weight's rate would never arrive."""
    paces: dict[str, float] = getattr(net, "paces", {})
    found: dict[float, list[nn.Parameter]] = {}
    for name, value in net.named_parameters():
        if value.requires_grad:
            found.setdefault(paces.get(name, 1.0), []).append(value)
    return [{"params": values, "pace": pace} for pace, values in found.items()]


def _random(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def _follow(averaged: nn.Module, net: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for slow, fast in zip(averaged.state_dict().values(), net.state_dict().values(), strict=True):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1 - decay)
            else:
                slow.copy_(fast)


def _tell_resumed(out: Path, step: int, elapsed: float, plan: Plan, unlike: Changes) -> None:
    at = f"step {step}, {elapsed / 60:.1f} min"
    if plan.spent(step, elapsed) >= 1:
        print(f"nothing to do: {out} is at {at}; ask for more steps or minutes to go on", file=sys.stderr)
        return
    print(f"resumed at {at}", file=sys.stderr)
    if unlike:
        print(f"settings changed since it was begun or last resumed: {told(unlike)}", file=sys.stderr)


def run(
    net: nn.Module,
    averaged: nn.Module,
    objective: Objective,
    plan: Plan,
    out: Path,
    metadata: dict[str, str],
    team: Team | None = None,
    *,
    quiet: bool = False,
) -> Path:
    """Train until the plan's steps or minutes are spent, or until asked to stop; returns `out`.

    Args:
        net: on the team's device; trained in place. averaged: a second copy, which follows it.
        objective: see there. Each member of the team must draw batches of its own.
        out: folder for the checkpoint and `log.jsonl`; a checkpoint found there is resumed, and left as it is
            where the plan is spent already.
        metadata: travels with the weights: "network", "width" and "settings", see `trainer.resume` for which of
            them must be those of a checkpoint resumed; the others may change, which is told.
        quiet: not to say that it resumes: where that is how one training is done in parts.

    Raises:
        CheckpointError: if the checkpoint is of another network or sort of training, or one cannot be written; the
            previous one is intact.
        Diverged: after many steps in a row without finite gradients; the last checkpoint is intact.
    """
    keep_freed_memory(KEPT)
    team = team or Team()
    if team.leads:
        out.mkdir(parents=True, exist_ok=True)
    optimiser = torch.optim.Adam(_groups(net), lr=plan.rate)
    torch.manual_seed(plan.seed + team.rank)
    step, elapsed, skipped = 0, 0.0, 0
    found = load_checkpoint(out)
    if found:
        unlike = changes(found, net, metadata, plan)
        net.load_state_dict(found.weights)
        averaged.load_state_dict(found.averaged or found.weights)
        optimiser.load_state_dict(found.state["optimiser"])
        step, elapsed, skipped = (found.state[key] for key in ("step", "elapsed", "skipped"))
        if team.leads and not quiet:
            _tell_resumed(out, step, elapsed, plan, unlike)
        members = found.state["members"]
        if team.rank < len(members) and plan.spent(step, elapsed) < 1:  # one that was not there begins its own draws
            _set_random(members[team.rank]["random"], team.device)
            objective.restore(members[team.rank]["objective"])
    if team.size > 1:
        begins: list[Any] = [None] * team.size
        dist.all_gather_object(begins, step)
        if len(set(begins)) > 1:  # they would wait for each other for ever
            raise ValueError(f"{out}: members of the team find steps {begins} there; all must see the same folder.")
    if found and plan.spent(step, elapsed) >= 1:
        return out  # as it is

    def save() -> None:
        mine = {"random": _random(team.device), "objective": objective.state()}
        members: list[Any] = [mine]
        if team.size > 1:
            members = [None] * team.size
            dist.all_gather_object(members, mine)
        if team.leads:
            save_checkpoint(
                out,
                weights=net.state_dict(),
                averaged=averaged.state_dict(),
                state={
                    "optimiser": optimiser.state_dict(),
                    "step": step,
                    "elapsed": elapsed,
                    "skipped": skipped,
                    "members": members,
                    "plan": asdict(plan),
                },
                metadata={**metadata, "steps": str(step), "minutes": f"{elapsed / 60:.1f}"},
            )

    one = _Step(net, objective)
    whole: nn.Module = DistributedDataParallel(one) if team.size > 1 else one
    log = Log(out) if team.leads else None
    begun, before = time.monotonic(), elapsed
    saved = said = begun
    shown = -math.inf
    in_a_row, rate = 0, plan.rate
    with _asked_to_stop() as asked:
        elapsed, stop = team.agree(elapsed, bool(asked))
        while (done := plan.spent(step, elapsed)) < 1 and not stop:
            fall = 0.505 + 0.495 * math.cos(math.pi * done) if plan.schedule == "cosine" else 1.0
            rate = plan.rate * min(1.0, (step + 1) / max(plan.warm_up, 1)) * fall
            for group in optimiser.param_groups:
                group["lr"] = rate * group["pace"]
            optimiser.zero_grad(set_to_none=True)
            buffers = [value.clone() for value in net.buffers()]
            fine = True
            for part in range(plan.accumulate):
                last = part == plan.accumulate - 1
                apart = contextlib.nullcontext() if last or team.size == 1 else whole.no_sync()
                with apart:
                    with torch.autocast(team.device.type, torch.bfloat16, enabled=plan.bf16):
                        loss = whole(done)
                    if log:
                        log.add(one.log)
                    # Backwards through a look-up at a place that is no number, torch's CPU build crashes.
                    fine = team.all(bool(torch.isfinite(loss)))
                    if not fine:
                        break
                    (loss / plan.accumulate).backward()
            if fine:
                norm = nn.utils.clip_grad_norm_(net.parameters(), plan.clip_norm or math.inf)
                fine = bool(torch.isfinite(norm))
            if fine:
                optimiser.step()
                # Early on the average forgets quickly, or it would remember the initial weights.
                _follow(averaged, net, min(plan.average, (step + 1) / (step + 10)))
                in_a_row = 0
            else:  # one bad step would poison the weights: it is left out, and counted
                skipped, in_a_row = skipped + 1, in_a_row + 1
                for value, kept in zip(net.buffers(), buffers, strict=True):  # batch statistics saw it as well
                    value.copy_(kept)
                if in_a_row >= GIVE_UP:
                    raise Diverged(
                        f"{GIVE_UP} steps in a row without a finite gradient, at step {step}. The last checkpoint in "
                        f"{out} is from before; resume it with a lower --rate (this was {plan.rate:g})."
                    )
            step += 1
            now = time.monotonic()
            elapsed, stop = team.agree(before + now - begun, bool(asked))
            done = plan.spent(step, elapsed)
            ends = stop or done >= 1
            if log and (now - said > TELL or ends):
                left = elapsed * (1 - done) / max(done, 1e-9)
                log.tell(step, elapsed, left, rate, {"skipped": skipped, **objective.counts()})
                said = now
            if log and log.board and (now - shown > plan.picture_every * 60 or ends):
                log.show(objective.pictures(net), step)
                shown = now
            if not ends and elapsed - before - (saved - begun) > plan.save_every * 60:  # the same on every rank
                save()
                saved = begun + elapsed - before
    save()
    if log:
        log.close()
    if team.size > 1:
        dist.barrier()  # the checkpoint is there, whoever looks for it
    return out
