"""What the trainer's tests train with: pictures made here, a network of eight weights, a flow that is exact."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
pytest.importorskip("safetensors", reason="the trainer needs safetensors: pip install -e .[train]")
Image = pytest.importorskip("PIL.Image", reason="the trainer needs Pillow: pip install -e .[train]")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # trainer/ is not part of the wheel

from trainer.scenes import LayeredScenes  # noqa: E402

CPU = torch.device("cpu")


# -- pictures


def waves(seed: int, side: int = 192, shortest: float = 12) -> np.ndarray:
    """A smooth random picture (side, side) uint8: bilinear interpolation hardly errs on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float64)
    picture = np.zeros((side, side))
    for _ in range(30):
        length, angle = rng.uniform(shortest, 60), rng.uniform(0, 2 * np.pi)
        picture += np.sin(2 * np.pi / length * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 7))
    return np.clip(np.rint(127 + 40 * picture / picture.std()), 0, 255).astype(np.uint8)


def coloured(seed: int, side: int = 256) -> np.ndarray:
    """(side, side, 3) uint8."""
    return np.stack([waves(7 * seed + channel, side) for channel in range(3)], -1)


def tiles(channels: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.stack([waves(seed) for seed in range(4 * channels)])).view(4, channels, 192, 192)


def cutouts(channels: int = 1) -> torch.Tensor:
    """Two discs with opacity: (2, channels + 1, 96, 96)."""
    y, x = np.mgrid[:96, :96] - 47.5
    disc = np.where(np.hypot(x, y) < 38, 255, 0).astype(np.uint8)
    return torch.from_numpy(np.stack([np.stack([waves(k, 96)] * channels + [disc]) for k in (10, 11)]))


def painter(seed: int = 3, size: int = 128, channels: int = 1, **options: Any) -> LayeredScenes:
    return LayeredScenes(tiles(channels), cutouts(channels), size, seed, **options)


def photographs(folder: Path, count: int = 2) -> Path:
    """`count` pictures of 256 px, in a new folder."""
    folder.mkdir(parents=True)
    for k in range(count):
        Image.fromarray(coloured(k)).save(folder / f"{k}.png")
    return folder


# -- a network of eight weights


class Toy:
    """An objective for `nn.Linear(3, 2)`: batches drawn from a generator of its own, or one after the other from
    `rows`. With `noise`, the targets are blurred by torch's own random numbers."""

    def __init__(self, seed: int = 0, batch: int = 4, noise: float = 0.0, rows: torch.Tensor | None = None) -> None:
        self.g = torch.Generator().manual_seed(seed)
        self.batch, self.noise, self.rows, self.calls = batch, noise, rows, 0
        self.seen: list[torch.Tensor] = []  # the network's weights at every call

    def __call__(self, net: torch.nn.Module, progress: float) -> tuple[torch.Tensor, dict[str, float]]:
        assert 0 <= progress < 1
        self.seen.append(net.weight.detach().clone())
        start, self.calls = self.calls * self.batch, self.calls + 1
        x = torch.rand(self.batch, 3, generator=self.g) if self.rows is None else self.rows[start : start + self.batch]
        wanted = torch.stack([x[:, 0] - x[:, 1], 0.5 * x[:, 2]], 1)
        loss = (net(x) - wanted - self.noise * torch.rand(2)).square().mean()
        return loss, {"loss": loss.item()}

    def state(self) -> dict[str, Any]:
        return {"g": self.g.get_state(), "calls": self.calls}

    def restore(self, state: dict[str, Any]) -> None:
        self.g.set_state(state["g"])
        self.calls = state["calls"]

    def counts(self) -> dict[str, int]:
        return {}

    def pictures(self, net: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {"weights": net.weight.detach().expand(3, 2, 3)}


def linear(seed: int = 0) -> torch.nn.Linear:
    torch.manual_seed(seed)
    return torch.nn.Linear(3, 2)


# -- pairs that move as a whole, and a flow that measures them


def translated(
    count: int, size: int = 64, seed: int = 0, move: tuple[float, float] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of periodic pictures, moved exactly: (count, 2, 3, size, size) in 0..1, and by how much, (count, 2) px:
    `move`, or up to 1 px either way."""
    g = torch.Generator().manual_seed(seed)
    moves = torch.rand(count, 2, generator=g) * 2 - 1 if move is None else torch.tensor(move).expand(count, 2)
    at = torch.arange(size, dtype=torch.float32) * (2 * math.pi / size)
    pairs = torch.full((count, 2, 3, size, size), 0.5)
    shift = torch.stack([torch.zeros_like(moves), moves], 1) * (2 * math.pi / size)  # (count, 2, 2)
    for x, y in ((1, 0), (0, 1), (2, 1), (2, -2), (1, 3), (3, -1)):  # waves across the picture
        phase = torch.rand(count, 1, 1, 1, 1, generator=g) * 2 * math.pi
        tint = torch.rand(count, 1, 3, 1, 1, generator=g) - 0.25
        along = x * (at - shift[:, :, :1])[:, :, None, None, :]
        down = y * (at - shift[:, :, 1:])[:, :, None, :, None]
        pairs += 0.18 * tint * torch.cos(along + down + phase)
    return pairs, moves


class Translation(torch.nn.Module):
    """The flow of a picture that moves as a whole, by one solve of least squares: a tenth too small for `translated`,
    differentiable everywhere, and with a frozen weight that must get no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.eval().requires_grad_(False)

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        assert one.dtype == two.dtype == torch.float32, "a flow network in half precision is noise"
        assert not torch.is_autocast_enabled("cpu")
        grey, change = one.mean(1), (two - one).mean(1)
        y, x = torch.gradient(grey, dim=(1, 2))
        xx, xy, yy, xt, yt = (part.mean((1, 2)) for part in (x * x, x * y, y * y, x * change, y * change))
        found = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], 1) / (xx * yy - xy * xy + 1e-9).unsqueeze(1)
        return self.weight * found[:, :, None, None].expand(-1, -1, *grey.shape[1:])


class FixedPairs:
    """A source of pairs that always gives the same, in turn."""

    def __init__(self, pairs: torch.Tensor, batch: int) -> None:
        self.pairs, self.batch, self.position = pairs, batch, 0

    def __call__(self) -> torch.Tensor:
        at = torch.arange(self.position, self.position + self.batch) % len(self.pairs)
        self.position += self.batch
        return self.pairs[at]

    def state(self) -> int:
        return self.position

    def restore(self, state: int) -> None:
        self.position = state
