"""What is measured on a GPU machine, row by row: `benchmarks.gpu` says in what order. Needs torch, but no PyAV."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.budget import Unavailable
from benchmarks.flops import count_torch
from benchmarks.networks import random_model, rate_used, seen_size, time_alone
from benchmarks.rates import matrix_rate
from benchmarks.reference import padded, reference_cost
from benchmarks.timing import median_seconds

__all__ = ["Bench"]

MEGAPIXELS = 1.0  # `magfilter.magnifier.DEFAULT_PROXY`, whose module needs PyAV

Size = tuple[int, int]


@dataclass
class Bench:
    """The measurements of one device, and what one of them lends to the next.

    Attributes:
        device: of torch, "cuda" or "cpu".
        folder: for models and clips.
        width: of `unet`; 64 is the paper's.
        seconds: to spend on timing a row.
        side: of the matrices whose product gives the rate; 0 is what fills the device.
        runs: times each way is run from file to file.
        clip: seconds of the clip that is run.
    """

    device: str
    folder: Path
    width: int = 64
    seconds: float = 3.0
    side: int = 0
    runs: int = 3
    clip: float = 5.0
    rates: dict[str, float] = field(default_factory=dict)
    references: dict[Size, float] = field(default_factory=dict)

    def rate(self, precision: str) -> float:
        """Matrix rate, FLOP a second, measured when it is first asked for. On a CPU it is of fp32."""
        name = precision if self.device == "cuda" else "fp32"
        if name not in self.rates:
            self.rates[name] = matrix_rate(self.device, min(2.0, self.seconds), name, self.side)
        return self.rates[name]

    def matrix_row(self, precision: str) -> dict[str, Any]:
        """The matrix rate as a row of its own."""
        return {"TFLOP/s": self.rate(precision) / 1e12}

    def network_row(self, name: str, size: Size, proxy: float = 0.0) -> dict[str, Any]:
        """A network alone, as the torch backend runs it: half precision, channels last, a CUDA graph; random weights.

        Inputs are on the device, frames change from one run to the next, the reference stays.

        Args:
            size: (height, width) of the picture.
            proxy: megapixels it is reduced to first, by the filter; 0 is none.
        """
        import torch

        from magfilter.backends.graphed import ready
        from magfilter.networks.build import build_network
        from magfilter.networks.descriptor import DESCRIPTORS

        about = DESCRIPTORS[name]
        width = self.width if name == "unet" else 0
        seen = seen_size(size, about.output == "frame", about.pad_multiple, proxy)
        self._fresh()
        torch.manual_seed(0)
        net = ready(build_network(name, width).eval(), torch.device(self.device))
        frames = [torch.rand(1, about.channels, *seen, device=self.device) for _ in range(3)]
        alpha = () if about.output == "flow" else (torch.full((1, 1, 1, 1), 4.0, device=self.device),)
        turn = itertools.cycle(frames[1:])
        with torch.inference_mode():
            spent, runs = median_seconds(
                lambda: net(frames[0], next(turn), *alpha), self.seconds, device=self.device, warm_up=3
            )
        flops = count_torch(name, seen, width)
        rate = self.rate("fp16")
        row = {
            "network sees": f"{seen[1]}x{seen[0]}",
            "ms": 1000 * spent,
            "frames/s": 1 / spent,
            "GFLOP": flops / 1e9,
            "TFLOP/s": flops / spent / 1e12,
            "share of matrix rate": flops / spent / rate,
            "frames/s at the matrix rate": rate / flops,
            "× reference": None,
            "device MB": self._peak(),
            "runs": runs,
        }
        if size in self.references:
            row["× reference"] = self.references[size] / spent
        return row

    def reference_row(self, size: Size, strict: bool = False) -> dict[str, Any]:
        """The paper's network as its authors run it, see `benchmarks.reference`.

        Args:
            strict: true fp32 also in convolutions, for which PyTorch's own setting lets cuDNN take TF32.
        """
        import torch

        self._fresh()
        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = before and not strict
        try:
            cost = reference_cost(size, self.device, self.seconds, width=self.width)
        finally:
            torch.backends.cudnn.allow_tf32 = before
        if not strict:
            self.references[size] = cost.seconds
        return {
            "network sees": f"{padded(size, 16)[1]}x{padded(size, 16)[0]}",
            "ms": 1000 * cost.seconds,
            "frames/s": 1 / cost.seconds,
            "× reference": self.references[size] / cost.seconds if size in self.references else None,
            "device MB": self._peak(),
            "runs": cost.runs,
        }

    def engine_row(self, name: str, backend: str, size: Size, precision: str, proxy: float = 0.0) -> dict[str, Any]:
        """A network through a backend as the filter calls it: arrays in and out, so copies are counted.

        Raises:
            Unavailable: with the backend's reason.
        """
        from magfilter.backends import open_engine
        from magfilter.errors import MagfilterError

        self._fresh()
        try:
            # First without a model of its own, which takes half a minute to make: does the engine start at all?
            open_engine("warp", backend)
            engine = open_engine(self._model(name, precision), backend)
            about = engine.model.descriptor
            seen = seen_size(size, about.output == "frame", about.pad_multiple, proxy)
            took = time_alone(engine, seen, self.seconds, 1e9)
        except (MagfilterError, ImportError) as error:
            raise Unavailable(str(error)) from None
        width = self.width if name == "unet" else 0
        kind = rate_used(backend, engine.device, engine.model.precision)
        flops = count_torch(name, seen, width)
        return {
            "network": name,
            "backend": backend,
            "model": engine.model.precision,
            "network sees": f"{seen[1]}x{seen[0]}",
            "ms, with copies": 1000 * took.seconds,
            "frames/s": 1 / took.seconds,
            "share of matrix rate": flops / took.seconds / self.rate(kind),
            "rate": kind,
            "× reference": self.references[size] / took.seconds if size in self.references else None,
        }

    def whole_rows(self, size: Size) -> list[dict[str, Any]]:
        """File to file beside a plain transcode, each run a process of its own.

        Raises:
            Unavailable: without PyAV.
        """
        try:
            import av  # noqa: F401
        except ImportError:
            raise Unavailable("PyAV is not installed: pip install av") from None
        from benchmarks.endtoend import PLAIN, run_in_turn
        from benchmarks.figures import combine
        from magfilter.demo import render_demo

        clip = self.folder / f"{size[1]}x{size[0]}.mp4"
        render_demo(clip, size=(size[1], size[0]), seconds=self.clip)
        ways = {PLAIN: ["--alpha", "1"], "warp, onnxruntime-cpu": ["--backend", "onnxruntime-cpu"]}
        if self.device == "cuda":
            ways["warp, backend auto"] = []
        taken = run_in_turn(clip, self.folder, ways, self.runs)
        reference = self.references.get(size)
        return [{"what": name} | combine(taken[name], taken[PLAIN], reference) for name in ways]

    @cached_property
    def _models(self) -> dict[tuple[str, str], Path]:
        return {}

    def _model(self, name: str, precision: str) -> Path | str:
        """`warp` as it is shipped in fp32; everything else is made, with random weights."""
        if (name, precision) == ("warp", "fp32"):
            return name
        if (name, precision) not in self._models:
            width = self.width if name == "unet" else 0
            self._models[name, precision] = random_model(name, self.folder, precision, width)
        return self._models[name, precision]

    def _fresh(self) -> None:
        """Device memory of the rows before is given back and no longer counted."""
        import torch

        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def _peak(self) -> float | None:
        import torch

        return torch.cuda.max_memory_allocated() / 1e6 if self.device == "cuda" else None
