"""ONNX Runtime on the CPU: the default engine, which works everywhere."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from magfilter.backends.judged import read_judged
from magfilter.backends.resample import Resampler
from magfilter.backends.sessions import CPU, Signature, open_session, run_session, signature
from magfilter.compiled import kernels
from magfilter.errors import BackendError
from magfilter.models import ModelInfo

__all__ = ["OnnxRuntimeCpuEngine"]

Array = NDArray[np.float32]


class OnnxRuntimeCpuEngine:
    """A model in an ONNX Runtime session; of `warp` its judge alone, where numba can do the rest sooner.

    See `magfilter.backends.Engine`.
    """

    name = "onnxruntime-cpu"
    device = "cpu"
    why = ""
    renderer = None

    def __init__(self, path: Path, device: str, threads: int, at_once: int = 1) -> None:
        if device not in ("auto", "cpu"):
            raise BackendError(f"onnxruntime-cpu runs on the cpu, not on {device!r}; choose --device cpu")
        threads = threads or os.cpu_count() or 1
        self.at_once = max(1, min(at_once, threads))
        self._path, self._threads = path, threads
        self._whole: tuple[ort.InferenceSession, Signature] | None = None
        self._opening = threading.Lock()
        # Runs side by side need not wait for each other after every operator, as a run's own threads do.
        self._judged = read_judged(path, threads // self.at_once)
        self.model: ModelInfo = self._judged.model if self._judged else self._open()
        self.resample = Resampler(threads)

    @property
    def compiled(self) -> bool:
        """Whether numba computes all but the judge."""
        return self._judged is not None

    def run(self, reference: Array, frame: Array, alpha: float | Array) -> Array:
        fast = kernels() if self._judged else None
        if self._judged and fast:
            return self._judged.run(fast, reference, frame)
        with self._opening:
            if self._whole is None:
                self._open()
        assert self._whole
        session, takes = self._whole
        output: Array = run_session(self._path, session, takes.feeds(reference, frame, alpha))[0]
        return output

    def _open(self) -> ModelInfo:
        """The whole graph in a session."""
        session = open_session(self._path, [CPU], self._threads // self.at_once)
        model, takes = signature(self._path, session)
        if self.at_once > 1 and model.descriptor.output == "frame":  # whose frames nobody asks for ahead
            self.at_once = 1
            session = open_session(self._path, [CPU], self._threads)
        self._whole = session, takes
        return model
