"""From a configuration and folders of data to a run: `python -m trainer train`.

The loop is in `trainer.loop`, what it minimises in `trainer.objectives`; this module reads
the configuration and puts the data on the device.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from magfilter.networks.build import build_network
from magfilter.networks.unet import UNet
from magfilter.networks.warp import WarpNet
from trainer.begin import begin_linear
from trainer.checkpoint import fill as fill_network
from trainer.checkpoint import load_into, load_weights
from trainer.clips import ClipBank, clip_files
from trainer.flow import load_flow
from trainer.loop import Objective, Plan, Team, run
from trainer.objectives import UNetObjective, WarpObjective
from trainer.scenes import LayeredScenes, PaintedScenes
from trainer.settings import Settings
from trainer.textures import load_cutouts, load_tiles, picture_files
from trainer.wires import draw_wires

__all__ = ["CONFIGS", "Data", "Settings", "configure", "fill", "make_objective", "train"]

CONFIGS = Path(__file__).parent / "configs"
T = TypeVar("T")
RANKS_APART = 1_000_003  # between the seeds of two members of a team
RGB_WINDOWS = 2  # kept of every clip where pairs come from clips instead of an index: RGB takes room


@dataclass(frozen=True)
class Data:
    """Where everything lies; what a run does not need may be None.

    Attributes:
        photos, cutouts: folders of pictures that scenes are painted with.
        clips: folder of clips: textures, photometric consistency and, without an index, pairs.
        index: pairs chosen by `python -m trainer curate`.
        teacher: weights of a `warp`: a smaller one imitates its choices at first, `unet` what it renders of real pairs.
        workers: processes that decode the index's pairs; 0 decodes in the training process.
        root: folder that the index's clips lie in now; None for where the index says.
    """

    photos: Path | None = None
    cutouts: Path | None = None
    clips: Path | None = None
    index: Path | None = None
    teacher: Path | None = None
    workers: int = 0
    root: Path | None = None


def configure(path: str | Path | None, changes: Mapping[str, Any]) -> tuple[Settings, Plan]:
    """Settings and plan from a TOML file, changed by `changes`.

    Args:
        path: a file, or the name of one in trainer/configs; None for the defaults. Its tables only
            group; every key is a field of `Settings` or `Plan`.
        changes: field → value, or → text as after `--set`, which is read as TOML.

    Raises:
        ValueError: if there is no such file, or a key or value is wrong; the message names it.
    """
    values: dict[str, Any] = {}
    if path is not None:
        file = Path(path) if Path(path).is_file() else CONFIGS / path
        try:
            text = file.read_text()
        except OSError:
            shipped = ", ".join(sorted(item.name for item in CONFIGS.glob("*.toml")))
            raise ValueError(f"{path}: no such configuration; shipped are {shipped}.") from None
        try:
            for key, value in tomllib.loads(text).items():
                values.update(value if isinstance(value, dict) else {key: value})
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{file}: {error}") from None
    if "steps" in changes and "minutes" not in changes:
        values.pop("minutes", None)  # who says steps means them
    return fill(Settings, {**values, **changes})


def fill(kind: type[T], values: dict[str, Any]) -> tuple[T, Plan]:
    """Settings of a kind and a plan from fields by name; texts are read as TOML.

    Raises:
        ValueError: if a name belongs to neither, or a value does not fit.
    """
    values = dict(values)
    made: list[Any] = []
    for each in (kind, Plan):
        given: dict[str, Any] = {}
        for item in fields(each):  # type: ignore[arg-type]
            if item.name in values:
                given[item.name] = _as(item.name, values.pop(item.name), item.default)
        if each is Plan and not (given.get("minutes") or given.get("steps")):
            given["minutes"] = 120.0
        made.append(each(**given))
    if values:
        known = ", ".join(sorted(item.name for each in (kind, Plan) for item in fields(each)))  # type: ignore[arg-type]
        raise ValueError(f"Unknown setting {next(iter(values))!r}; known are {known}.")
    return made[0], made[1]


def _as(name: str, value: Any, default: Any) -> Any:
    """`value`, possibly the text of a number, a truth value or a quoted text, as the type of `default`."""
    if isinstance(value, str) and (not isinstance(default, str) or value[:1] in ("'", '"')):
        try:
            value = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            raise ValueError(f"Expected {name} to be a {type(default).__name__}, got {value!r}.") from None
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(default):
        raise ValueError(f"Expected {name} to be a {type(default).__name__}, got {value!r}.")
    return value


def _tell_anew(team: Team) -> None:
    if team.leads:
        print("pairs of frames are drawn from their beginning: the run took others before", file=sys.stderr)


class _BankPairs:
    """RGB pairs from clips kept in memory: for a first run, before anything was curated."""

    def __init__(self, bank: ClipBank, batch: int, size: int, team: Team) -> None:
        self.bank, self.batch, self.size, self.team = bank, batch, size, team

    def __call__(self) -> Tensor:
        return torch.stack(self.bank(self.batch, self.size), 1)

    def state(self) -> Tensor:
        return self.bank.state()

    def restore(self, state: Any) -> None:
        if isinstance(state, Tensor):
            self.bank.restore(state)
        else:
            _tell_anew(self.team)


class _IndexPairs:
    """RGB pairs of an index, decoded as they are needed and augmented on the device as the paper does."""

    def __init__(self, data: Data, settings: Settings, seed: int, team: Team) -> None:
        from trainer.data import PairIndex, PairLoader, augment_pair

        assert data.index is not None
        index = PairIndex.load(data.index, data.root)
        self.make = lambda start: PairLoader(
            index,
            settings.pairs,
            settings.size,
            seed,
            rank=team.rank,
            world=team.size,
            workers=data.workers,
            start=start,
            pin=team.device.type == "cuda",
        )
        self.augment, self.jitter, self.team, self.device = augment_pair, settings.jitter, team, team.device
        self.g = torch.Generator(device=team.device).manual_seed(seed + team.rank)
        self.position = 0
        self._read_from(0)
        self.count, self.fingerprint = len(index), index.fingerprint

    def _read_from(self, start: int) -> None:
        self.loader = self.make(start)
        self.batches = iter(self.loader)
        self.warned: set[str] = set()

    @property
    def skipped(self) -> int:
        """Pairs replaced by others since this process began, because they cannot be read."""
        return self.loader.skipped

    def _warn(self) -> None:
        for clip, why in self.loader.failed.items():
            if clip not in self.warned:
                self.warned.add(clip)
                print(f"warning: {why}; pairs of other clips take their place", file=sys.stderr, flush=True)

    def __call__(self) -> Tensor:
        pairs = next(self.batches).to(self.device, non_blocking=True)
        if len(self.loader.failed) > len(self.warned):
            self._warn()
        self.position += 1
        pairs = pairs.float() / 255 if pairs.dtype == torch.uint8 else pairs
        return self.augment(pairs, self.g) if self.jitter else pairs

    def state(self) -> dict[str, Any]:
        return {"position": self.position, "g": self.g.get_state(), "index": self.fingerprint}

    def restore(self, state: Any) -> None:
        # Another index has another order, in which the position says nothing. The key is new: old runs lack it.
        if isinstance(state, Tensor) or state.get("index", self.fingerprint) != self.fingerprint:
            _tell_anew(self.team)
            return
        self.position = state["position"]
        self.g.set_state(state["g"].cpu())
        self._read_from(self.position)


def _need(value: Path | None, option: str, what: str) -> Path:
    if value is None:
        raise ValueError(f"{what} need {option}, or a configuration without them (weight 0).")
    return value


def load_teacher(path: Path, device: torch.device) -> WarpNet:
    """A frozen `warp`, whatever its size.

    Raises:
        ValueError: if the file holds none.
    """
    weights, metadata = load_weights(path)
    if metadata.get("network") != "warp":
        raise ValueError(f"{path}: a teacher is a warp, its header names network {metadata.get('network')!r}.")
    net = WarpNet.like(weights)
    fill_network(net, weights, path)
    return net.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def make_objective(settings: Settings, plan: Plan, data: Data, team: Team) -> Objective:
    """What `settings` ask for, its data read and on the team's device.

    Raises:
        ValueError: if data are missing or unusable.
    """
    s, device = settings, team.device
    seed = plan.seed + RANKS_APART * team.rank
    films = clip_files(data.clips)
    warp = s.network == "warp"
    told = []
    painted = None
    if s.paints:
        channels = 1 if warp else 3
        photos = _need(data.photos, "--photos", "Layered scenes")
        tiles, skipped = load_tiles(picture_files(photos), films, channels)
        tiles = tiles.to(device)
        cutouts, more = load_cutouts(picture_files(data.cutouts) if data.cutouts else [], channels)
        objects = torch.cat([cutouts, draw_wires(s.wires, plan.seed, channels)]).to(device)
        largest = 1.0 if warp else s.largest_alpha
        scenes = LayeredScenes(tiles, objects, s.size, seed, largest, (s.slowest, s.fastest), s.camera)
        painted = PaintedScenes(scenes, s.batch, s.reuse)
        told.append(f"{len(tiles)} tiles, {len(cutouts)} cut-outs" + (f", {s.wires} sets of wires" if s.wires else ""))
        if skipped + more:
            told.append(f"{skipped + more} pictures skipped")
    bank = None
    if warp and s.photometric > 0:
        _need(data.clips, "--clips", "Photometric consistency's clips")
        bank = ClipBank(films, s.windows, device, seed)
        told.append(f"{len(bank.windows)} windows of clips ({bank.skipped} clips skipped)")
    pairs: _IndexPairs | _BankPairs | None = None
    flow: nn.Module | None = None
    if s.flow_loss > 0:
        flow = load_flow(s.flow, device, s.updates)
    teacher = load_teacher(data.teacher, device) if data.teacher and s.teacher > 0 else None
    if s.needs_pairs or (teacher and not warp):
        if data.index:
            pairs = _IndexPairs(data, s, plan.seed, team)  # one order for all, of which each takes its share
            told.append(f"{pairs.count} curated pairs")
        else:
            _need(data.clips, "--index or --clips", "Pairs of real frames")
            pairs = _BankPairs(ClipBank(films, RGB_WINDOWS, device, seed, 3), s.pairs, s.size, team)
            told.append("pairs not curated: straight from the clips")
    if team.leads:
        print(f"{s.network}: {', '.join(told)}, on {team.size} × {device}", file=sys.stderr)
    if warp:
        return WarpObjective(s, painted, bank, pairs, flow, teacher)
    return UNetObjective(s, painted, pairs, flow, teacher)


def _begin_like(net: WarpNet, teacher: WarpNet) -> None:
    """Take over what lies outside the judge: the damping, and how the candidates stand before it has spoken."""
    taken = {name: value for name, value in teacher.state_dict().items() if not name.startswith("cell.judge.")}
    net.load_state_dict(taken, strict=False)


def train(settings: Settings, plan: Plan, data: Data, out: Path, device: str = "", start: Path | None = None) -> Path:
    """Train until the plan is spent; returns the run's folder, which the same call resumes.

    Args:
        start: weights to begin with (a run, .safetensors or .onnx) where `out` holds no run yet.

    Raises:
        ValueError: if data are missing or unusable, or `out` or `start` hold another network.
    """
    with Team.gather(device) as team:
        torch.manual_seed(plan.seed)  # every member builds the same network
        if settings.network == "warp":
            # Ten bits of mantissa in its fixed filters are a tenth of a code value: it would learn from that noise.
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        net, averaged = (
            build_network(settings.network, settings.width, light=settings.light).to(team.device) for _ in range(2)
        )
        if start is not None:
            load_into(net, start)
        elif data.teacher and isinstance(net, WarpNet):
            _begin_like(net, load_teacher(data.teacher, team.device))
        net = net.to(memory_format=torch.channels_last)
        objective = make_objective(settings, plan, data, team)
        if settings.linear_first:
            assert isinstance(net, UNet)
            if start is None:
                begin_linear(net, objective)
            net.eval()  # keeps its statistics
        averaged.load_state_dict(net.state_dict())
        averaged.eval()
        metadata = {
            "network": settings.network,
            "width": str(settings.width),
            "settings": json.dumps({**asdict(settings), **asdict(plan)}),
        }
        return run(net, averaged, objective, plan, out, metadata, team)
