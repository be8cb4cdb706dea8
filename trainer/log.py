"""What a training says while it runs."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

__all__ = ["Log"]


class Log:
    """Means since the last line: to stderr with an ETA, to log.jsonl, and to TensorBoard where that is installed.

    Args:
        out: the run's folder.
    """

    def __init__(self, out: Path) -> None:
        self.file = out / "log.jsonl"
        self.sums: dict[str, list[float]] = {}
        self.board: Any = None
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(out / "tensorboard"))

    def add(self, values: dict[str, float]) -> None:
        """Numbers of one batch."""
        for name, value in values.items():
            if math.isfinite(value):  # steps left out are counted; JSON has no word for their loss
                self.sums.setdefault(name, []).append(value)

    def tell(self, step: int, elapsed: float, left: float, rate: float, counts: dict[str, int]) -> None:
        """Write a line; `elapsed` and `left` are seconds, `counts` what went wrong so far."""
        means = {name: sum(values) / len(values) for name, values in self.sums.items()}
        self.sums.clear()
        text = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        note = "".join(f"  {name} {count}" for name, count in counts.items() if count)
        left = max(left, 0.0)  # the last step ends after the minutes do
        print(f"step {step}  {elapsed / 60:.1f} min, {left / 60:.1f} to go  {text}{note}", file=sys.stderr, flush=True)
        with self.file.open("a") as file:
            line = {"step": step, "minutes": elapsed / 60, "rate": rate, **counts, **means}
            file.write(json.dumps(line) + "\n")
        if self.board:
            for name, value in {"rate": rate, **means}.items():
                self.board.add_scalar(name, value, step)

    def show(self, pictures: dict[str, Tensor], step: int) -> None:
        """Image grids (3, H, W) in 0..1, for TensorBoard."""
        if self.board:
            for name, picture in pictures.items():
                self.board.add_image(name, picture.detach().float().cpu().clamp(0, 1), step)

    def close(self) -> None:
        if self.board:
            self.board.close()
