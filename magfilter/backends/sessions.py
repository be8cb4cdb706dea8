"""ONNX Runtime: sessions, what a model file takes, and what can be wrong with an installation.

The wheels onnxruntime and onnxruntime-gpu hold the same directory. Of two that are installed the one that came
last is in force, and uninstalling either takes files from both. pip cannot be told so; this module says it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import BackendError, ModelError
from magfilter.models import ModelInfo, parse_metadata

__all__ = ["CPU", "Signature", "describe", "open_graph", "open_session", "require_cuda", "run_session", "signature"]

Array = NDArray[np.float32]

CPU = "CPUExecutionProvider"
CPU_BUILD = "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime"
CUDA_BUILD = 'pip uninstall -y onnxruntime onnxruntime-gpu, then pip install "onnxruntime-gpu[cuda,cudnn]"'
RUNTIME = "Microsoft Visual C++ Redistributable"  # neither in the wheel nor in every Windows

try:
    import onnxruntime as ort
except ImportError as error:
    first = f"install the newest {RUNTIME}; if that is not it: " if sys.platform == "win32" else ""
    raise BackendError(
        f"onnxruntime cannot be imported ({error}); {first}{CPU_BUILD}, or for CUDA {CUDA_BUILD}"
    ) from None
if not hasattr(ort, "InferenceSession"):  # the directory is there, and most of its files are gone
    raise BackendError(
        "onnxruntime is damaged, as it is after one of onnxruntime and onnxruntime-gpu was uninstalled beside the "
        f"other; {CPU_BUILD}, or for CUDA {CUDA_BUILD}"
    )
if os.environ.get("ORT_DISABLE_TELEMETRY") != "0":
    # On Windows it reports through the system, which what `magfilter` sets in the environment does not end.
    ort.disable_telemetry_events()


@dataclass(frozen=True)
class Signature:
    """What a model's graph takes.

    Attributes:
        path: the file, for errors.
        size: (height, width) of the only input it takes; None where any multiple of the pad multiple goes.
        alpha: axes of its input alpha: 0 for none, 1 for (1,), 4 for (1, 1, 1, 1) or (1, 1, H, W).
        output: the output's name.
    """

    path: Path
    size: tuple[int, int] | None
    alpha: int
    output: str

    def feeds(self, reference: Array, frame: Array, alpha: float | Array) -> dict[str, Array]:
        """The graph's inputs by name.

        Args:
            reference, frame: (C, H, W).
            alpha: a factor, or one for every pixel (H, W).

        Raises:
            ModelError: if the model is for another size, or takes no alpha map.
        """
        size = frame.shape[1:]
        if self.size and size != self.size:
            raise ModelError(
                f"{self.path}: takes images of {self.size[1]}x{self.size[0]} only, got {size[1]}x{size[0]} (after "
                f"proxy and padding); export it again with --size {size[1]}x{size[0]}, or without"
            )
        feeds = {"reference": reference[None], "frame": frame[None]}
        if self.alpha:
            factors = np.asarray(alpha, np.float32)
            if factors.ndim and (self.alpha != 4 or factors.shape != size):
                raise ModelError(f"{self.path}: takes one alpha, not a map of {factors.shape}; export it again")
            feeds["alpha"] = factors.reshape((1, 1, *(factors.shape or (1, 1)))[4 - self.alpha :])
        return feeds


def describe(path: Path) -> tuple[ModelInfo, Signature]:
    """What a model file says of itself, without preparing it for running.

    Raises:
        ModelError: if it is no model of magfilter.
    """
    session = open_session(path, [CPU], 1, optimise=False)
    return signature(path, session)


def signature(path: Path, session: ort.InferenceSession) -> tuple[ModelInfo, Signature]:
    """The same of a session that is open."""
    info = parse_metadata(path, session.get_modelmeta().custom_metadata_map)
    inputs = {item.name: item.shape for item in session.get_inputs()}
    _check_inputs(path, info, {item.name: item.type for item in session.get_inputs()}, inputs)
    rows, cols = inputs["frame"][2:]
    fixed = (rows, cols) if isinstance(rows, int) and isinstance(cols, int) else None
    return info, Signature(path, fixed, len(inputs.get("alpha", ())), session.get_outputs()[0].name)


def _check_inputs(path: Path, info: ModelInfo, types: Mapping[str, str], shapes: Mapping[str, list[Any]]) -> None:
    """Refuse a graph that takes something else than two pictures and perhaps alpha.

    Raises:
        ModelError: it does.
    """
    channels = info.descriptor.channels
    pictures = [shapes.get(name, []) for name in ("reference", "frame")]
    sound = (
        set(types) <= {"reference", "frame", "alpha"}
        and all(kind == "tensor(float)" for kind in types.values())
        and all(len(shape) == 4 and (shape[1] == channels or not isinstance(shape[1], int)) for shape in pictures)
        and len(shapes.get("alpha", [])) in (0, 1, 4)
    )
    if not sound:
        takes = ", ".join(f"{name} {kind} {shapes[name]}" for name, kind in types.items()) or "nothing"
        raise ModelError(
            f"{path}: takes {takes}; a magfilter model takes reference and frame, float of (1, {channels}, H, W), and "
            "perhaps alpha; export it again"
        )


def open_session(path: Path, providers: list[Any], threads: int, *, optimise: bool = True) -> ort.InferenceSession:
    """A session whose first provider is in force.

    Args:
        providers: as ONNX Runtime takes them.
        threads: of one run.
        optimise: the graph, which takes its time.

    Raises:
        ModelError: if the file is no ONNX model; BackendError: if the provider did not start, for which ONNX
            Runtime would take the CPU without a word; MemoryError.
    """
    wanted = providers[0][0] if isinstance(providers[0], tuple) else providers[0]
    try:
        session = _session(str(path), providers, threads, optimise)
    except Exception as error:  # ONNX Runtime raises its own unrelated classes
        line = _last_line(error)
        if wanted != CPU:
            raise BackendError(f"onnxruntime could not start {wanted} ({line}); choose --device cpu") from None
        if _for_memory(line):
            raise MemoryError from None
        raise ModelError(f"{path}: cannot be loaded as an ONNX model ({line}); download or export it again") from None
    if wanted not in session.get_providers():
        raise BackendError(
            f"onnxruntime could not start {wanted} and would have fallen back to the CPU; "
            "check the CUDA and cuDNN libraries, or choose --device cpu"
        )
    return session


def run_session(path: Path, session: ort.InferenceSession, feeds: Mapping[str, Array]) -> Any:
    """What a session on the CPU makes of one pair: its first output, (1, …).

    Args:
        path: the model's, for errors.

    Raises:
        ModelError: the graph does not take what it said it would, or fails; MemoryError.
    """
    try:
        output = session.run(None, feeds)[0]
    except Exception as error:
        line = _last_line(error)
        if _for_memory(line):
            raise MemoryError from None
        raise ModelError(f"{path}: fails on pictures ({line}); export it again") from None
    if not isinstance(output, np.ndarray) or output.ndim < 2 or len(output) != 1:
        raise ModelError(f"{path}: its first output {np.shape(output)} is not that of one picture; export it again")
    return output


def _last_line(error: Exception) -> str:
    """What ONNX Runtime says in the end."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _for_memory(line: str) -> bool:
    """Whether it says that there is not enough memory, for which it has no class."""
    return any(words in line for words in ("bad_alloc", "bad allocation", "Failed to allocate", "out of memory"))


def open_graph(model: bytes, threads: int) -> ort.InferenceSession:
    """A session on the CPU of a graph that was made here.

    Args:
        model: an ONNX model, serialised.
        threads: of one run.
    """
    return _session(model, [CPU], threads, True)


def _session(model: str | bytes, providers: list[Any], threads: int, optimise: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised, too
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Spinning threads would take the cores that decoder and encoder need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # On a CPU each run that goes on at once otherwise lays out one block for all its tensors: more, and no faster.
    options.enable_mem_pattern = providers[0] != CPU
    return ort.InferenceSession(model, options, providers=providers)


def require_cuda() -> None:
    """Refuse an ONNX Runtime without CUDA.

    Raises:
        BackendError: naming the commands that repair it.
    """
    if "CUDAExecutionProvider" in ort.get_available_providers():
        return
    over = ", though onnxruntime-gpu is installed: onnxruntime lies over it" if len(_wheels()) == 2 else ""
    raise BackendError(f"this onnxruntime has no CUDA{over}; {CUDA_BUILD}")


def _wheels() -> list[str]:
    """Which of the two are installed."""
    found = []
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found
