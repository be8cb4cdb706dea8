"""ONNX Runtime: the default engine, on the CPU everywhere and on CUDA where its build has it."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from magfilter.errors import BackendError, ModelError
from magfilter.models import RESAMPLER, parse_metadata

__all__ = ["OnnxRuntimeEngine"]

Array = NDArray[np.float32]


class OnnxRuntimeEngine:
    """A model in ONNX Runtime sessions. See `magfilter.backends.Engine`."""

    name = "onnxruntime"

    def __init__(self, path: Path, device: str, threads: int) -> None:
        self.device, providers = _providers(device)
        self.threads = threads or os.cpu_count() or 1
        self._session = _session(path, providers, self.threads)
        self.model = parse_metadata(path, self._session.get_modelmeta().custom_metadata_map)
        self._takes_alpha = any(item.name == "alpha" for item in self._session.get_inputs())
        # GridSample runs on one core per call, so a plane is cut into bands that run side by side.
        self._resampler = _session(RESAMPLER, ["CPUExecutionProvider"], 1)
        self._pool = ThreadPoolExecutor(self.threads, "resample")

    def run(self, reference: Array, frame: Array, alpha: float) -> Array:
        feeds: dict[str, Any] = {"reference": reference[None], "frame": frame[None]}
        if self._takes_alpha:
            feeds["alpha"] = np.array([alpha], np.float32)
        output: Array = self._session.run(None, feeds)[0][0]
        return output

    def resample(self, plane: NDArray[Any], displacement: Array, step: tuple[float, float], peak: int) -> NDArray[Any]:
        height, width = plane.shape
        rows = displacement.shape[1]
        # Displacements are in px of the picture; a subsampled plane has fewer.
        scaled = displacement / np.asarray(step, np.float32).reshape(2, 1, 1)
        active = np.flatnonzero((displacement != 0).any((0, 2)))
        out = plane.copy()
        if not len(active):
            return out
        # Only the rows that move, one grid row more on either side, since interpolation reaches there.
        ratio = height / rows
        first = max(0, math.floor((active[0] - 1) * ratio))
        last = min(height, math.ceil((active[-1] + 2) * ratio))
        source = _with_curvature(plane)[None]
        bands = max(1, min(self.threads, (last - first) // 32))
        edges = [first + (last - first) * k // bands for k in range(bands + 1)]

        def band(top: int, bottom: int) -> None:
            d = _enlarge(scaled, (height, width), top, bottom)
            y = np.arange(top, bottom, dtype=np.float32)[:, None] + d[1]
            x = np.arange(width, dtype=np.float32) + d[0]
            grid = np.stack([x * np.float32(2 / max(width - 1, 1)), y * np.float32(2 / max(height - 1, 1))], -1)
            grid -= 1
            value, along, across, both = self._resampler.run(None, {"plane": source, "grid": grid[None]})[0][0]
            cx, cy = _bulge(x, width), _bulge(y, height)
            moved = value - cx * along - cy * across + (cx * cy) * both
            np.rint(moved, out=moved)
            np.clip(moved, 0, peak, out=moved)
            still = (d[0] == 0) & (d[1] == 0)
            out[top:bottom] = np.where(still, plane[top:bottom], moved.astype(plane.dtype))

        if bands == 1:
            band(first, last)
        else:
            list(self._pool.map(band, edges[:-1], edges[1:]))
        return out


def _with_curvature(plane: NDArray[Any]) -> Array:
    """The plane and its second differences along x, along y and along both: (4, h, w).

    Between samples, Catmull-Rom's cubic is the line through both neighbours less t(1 − t)/2 times the
    line through their second differences. So two linear look-ups, which every engine has, give the
    interpolator whose slope is right; the engines' own bicubic (a = −0.75) moves a picture by half as
    much again as it was told when the displacement is small.
    """
    height, width = plane.shape
    out = np.empty((4, height, width), np.float32)
    out[0] = plane
    for source, target, axis in ((0, 1, 1), (0, 2, 0), (1, 3, 0)):
        padded = np.pad(out[source], [(1, 1) if n == axis else (0, 0) for n in (0, 1)], mode="edge")
        low, high = (padded[:, :-2], padded[:, 2:]) if axis else (padded[:-2], padded[2:])
        np.add(low, high, out=out[target])
        out[target] -= 2 * out[source]
    return out


def _bulge(at: Array, size: int) -> Array:
    """t(1 − t)/2 of positions between samples; the border is repeated."""
    at = np.clip(at, 0, size - 1)
    t = at - np.floor(at)
    out: Array = t * (1 - t) * np.float32(0.5)
    return out


def _enlarge(field: Array, size: tuple[int, int], top: int, bottom: int) -> Array:
    """Rows top..bottom of the field resized bilinearly to `size`: (2, bottom − top, W)."""
    rows, cols = field.shape[1:]

    def taps(out: NDArray[np.float32], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
        at = np.clip(out, 0, count - 1)
        low = np.floor(at).astype(np.intp)
        return low, np.minimum(low + 1, count - 1), (at - low).astype(np.float32)

    y = (np.arange(top, bottom, dtype=np.float32) + 0.5) * np.float32(rows / size[0]) - np.float32(0.5)
    x = (np.arange(size[1], dtype=np.float32) + 0.5) * np.float32(cols / size[1]) - np.float32(0.5)
    above, below, fy = taps(y, rows)
    left, right, fx = taps(x, cols)
    tall = field[:, above] + (field[:, below] - field[:, above]) * fy[:, None]
    edge = tall[:, :, left]
    out: Array = edge + (tall[:, :, right] - edge) * fx
    return out


def _providers(device: str) -> tuple[str, list[Any]]:
    """The device's name and ONNX Runtime's providers for it."""
    kind, _, number = device.partition(":")
    if kind in ("auto", "cpu", ""):
        return "cpu", ["CPUExecutionProvider"]
    if kind != "cuda" or (number and not number.isdigit()):
        raise BackendError(f"onnxruntime runs on cpu or cuda, not on {device!r}; choose --device cpu or cuda:0")
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise BackendError(
            "this onnxruntime has no CUDA; pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    options = {"device_id": number or "0"}
    return f"cuda:{number or 0}", [("CUDAExecutionProvider", options), "CPUExecutionProvider"]


def _session(path: Path, providers: list[Any], threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if path == RESAMPLER:
        # Its inputs have another size at every frame; an arena and a plan kept for each would grow for ever.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
    # Spinning threads would take the cores that decoder and encoder need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime raises its own unrelated classes
        line = str(error).strip().splitlines()[-1]
        raise ModelError(f"{path}: cannot be loaded as an ONNX model ({line}); download or export it again") from None
    wanted = providers[0][0] if isinstance(providers[0], tuple) else providers[0]
    if wanted not in session.get_providers():
        raise BackendError(
            f"onnxruntime could not start {wanted} and would have fallen back to the CPU; "
            "check the CUDA and cuDNN libraries, or choose --device cpu"
        )
    return session
