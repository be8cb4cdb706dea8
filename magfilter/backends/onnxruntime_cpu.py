"""ONNX Runtime on the CPU: the default engine, which works everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magfilter.backends.resample import Resampler
from magfilter.backends.sessions import open_session, signature
from magfilter.errors import BackendError

__all__ = ["OnnxRuntimeCpuEngine"]

Array = NDArray[np.float32]


class OnnxRuntimeCpuEngine:
    """A model in an ONNX Runtime session. See `magfilter.backends.Engine`."""

    name = "onnxruntime-cpu"
    device = "cpu"
    why = ""
    renderer = None

    def __init__(self, path: Path, device: str, threads: int, at_once: int = 1) -> None:
        if device not in ("auto", "cpu"):
            raise BackendError(f"onnxruntime-cpu runs on the cpu, not on {device!r}; choose --device cpu")
        threads = threads or os.cpu_count() or 1
        self.at_once = max(1, min(at_once, threads))
        # Runs side by side need not wait for each other after every operator, as a run's own threads do.
        self._session = open_session(path, ["CPUExecutionProvider"], threads // self.at_once)
        self.model, self._signature = signature(path, self._session)
        if self.at_once > 1 and self.model.descriptor.output == "frame":  # whose frames nobody asks for ahead
            self.at_once = 1
            self._session = open_session(path, ["CPUExecutionProvider"], threads)
        self.resample = Resampler(threads)

    def run(self, reference: Array, frame: Array, alpha: float | Array) -> Array:
        output: Array = self._session.run(None, self._signature.feeds(reference, frame, alpha))[0][0]
        return output
