"""`--backend auto`: the fastest engine that works here, and why it was taken."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from magfilter.backends.gpu import count_gpus
from magfilter.errors import BackendError

if TYPE_CHECKING:
    from magfilter.backends import Engine

__all__ = ["ENGINES", "choose_engine", "make_engine"]

ENGINES = {
    "tensorrt": ("magfilter.backends.tensorrt", "TensorRTEngine", ("tensorrt", "cuda"), "'magfilter[tensorrt]'"),
    "onnxruntime-cuda": ("magfilter.backends.onnxruntime_cuda", "OnnxRuntimeCudaEngine", (), ""),
    "torch": ("magfilter.backends.torch", "TorchEngine", ("torch", "onnx"), "torch onnx"),
    "onnxruntime-cpu": ("magfilter.backends.onnxruntime_cpu", "OnnxRuntimeCpuEngine", (), ""),
}
"""Module, class, what it imports that may be missing, and what pip calls that; on a GPU the fastest first."""


def make_engine(backend: str, path: Path, device: str, threads: int, at_once: int = 1) -> Engine:
    """One engine, or an error; all but onnxruntime-cpu make one run at a time.

    Raises:
        ModelError: unreadable model; BackendError: libraries or device are not there.
    """
    module, name, needs, packages = ENGINES[backend]
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, OSError) as error:  # OSError: on Windows, one of its libraries does not load
        if not needs:
            raise
        raise BackendError(
            f"the {backend} backend needs {' and '.join(needs)} ({error}); install them with: pip install {packages}"
        ) from None
    more = (at_once,) if backend == "onnxruntime-cpu" else ()
    engine: Engine = kind(path, device, threads, *more)
    return engine


def choose_engine(path: Path, device: str, threads: int, at_once: int = 1) -> Engine:
    """The fastest engine that works on the device; `why` says how it came to be chosen.

    Without an NVIDIA driver nothing but ONNX Runtime is imported. With one, a backend that cannot start is passed
    over, and `why` tells what it lacks; the CPU is taken only where device is "auto".

    Raises:
        ModelError: as `make_engine`; BackendError: if the device was named and no backend runs on it.
    """
    kind = device.partition(":")[0]
    if kind == "cpu":
        return _because("the device is cpu", "onnxruntime-cpu", path, device, threads, at_once)
    if kind == "mps":
        return _because("the only one that runs on mps", "torch", path, device, threads)
    if kind not in ("auto", "cuda"):
        raise BackendError(f"no backend runs on {device!r}; choose --device cpu, cuda:0 or mps")
    if kind == "auto" and not count_gpus():
        return _because("no NVIDIA GPU is there", "onnxruntime-cpu", path, "cpu", threads, at_once)
    lacks: list[str] = []
    for backend in ("tensorrt", "onnxruntime-cuda", "torch"):
        missing = [name for name in ENGINES[backend][2] if find_spec(name) is None]
        if missing:
            lacks.append(f"{backend}: {' and '.join(missing)} not installed")
            continue
        try:
            return _because("; ".join(lacks) or "the fastest", backend, path, "cuda" + device[len(kind) :], threads)
        except BackendError as error:
            lacks.append(f"{backend}: {error}")
    if kind == "cuda":
        raise BackendError(f"no backend runs on {device}; " + "; ".join(lacks))
    return _because("; ".join(lacks), "onnxruntime-cpu", path, "cpu", threads, at_once)


def _because(why: str, backend: str, path: Path, device: str, threads: int, at_once: int = 1) -> Engine:
    engine = make_engine(backend, path, device, threads, at_once)
    engine.why = why
    return engine
