"""TensorRT engines: built from ONNX once for a machine and a size, kept in the user's cache.

An engine's key holds everything that it depends on, so it is never out of date. One that will not load all
the same is built again. Written after NVIDIA's documentation of TensorRT 10 and 11, its names checked against
the bindings of 11.4; it has not built an engine on a GPU yet.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import click
import tensorrt as trt

from magfilter.backends.cache import cache_folder, locked, write_whole
from magfilter.backends.cuda import Gpu
from magfilter.errors import BackendError

__all__ = ["Shapes", "builder_level", "engine_path", "load_engine"]

Shapes = dict[str, tuple[int, ...]]
RECIPE = 1  # to be raised when this module builds differently
LEVEL = "MAGFILTER_TENSORRT_LEVEL"


class Log(trt.ILogger):  # type: ignore[misc]
    """Keeps what TensorRT complains of: its functions return None or False, and say why only here."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
            self.errors.append(" ".join(message.split()))

    def failure(self, what: str) -> BackendError:
        """An error that says `what` failed, and why."""
        why = self.errors[-1] if self.errors else "TensorRT gives no reason"
        return BackendError(f"TensorRT: {what}: {why}; choose --backend onnxruntime-cuda or onnxruntime-cpu")


class Progress(trt.IProgressMonitor):  # type: ignore[misc]
    """The outermost phase of a build, in one line on stderr. TensorRT calls it from several threads."""

    def __init__(self, what: str) -> None:
        trt.IProgressMonitor.__init__(self)
        self.what, self.lock = what, threading.Lock()
        self.steps: dict[str, int] = {}

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        if parent_phase is None:
            with self.lock:
                self.steps[phase_name] = num_steps

    def step_complete(self, phase_name: str, step: int) -> bool:
        with self.lock:
            total = self.steps.get(phase_name)
            if total and sys.stderr.isatty():
                share = min(100, 100 * (step + 1) // total)
                click.echo(f"\r{self.what}: {phase_name} {share:3d} %\x1b[K", nl=False, err=True)
        return True

    def phase_finish(self, phase_name: str) -> None:
        with self.lock:
            if self.steps.pop(phase_name, None) and sys.stderr.isatty():
                click.echo("\r\x1b[K", nl=False, err=True)


def builder_level() -> int:
    """TensorRT's optimisation level, 0 (quick to build) to 5 (quick to run): $MAGFILTER_TENSORRT_LEVEL, or 3.

    Raises:
        BackendError: if it is none.
    """
    value = os.environ.get(LEVEL, "3")
    if value not in ("0", "1", "2", "3", "4", "5"):
        raise BackendError(f"{LEVEL} must be 0 to 5, got {value!r}")
    return int(value)


def engine_path(model: Path, precision: str, shapes: Shapes, gpu: Gpu) -> Path:
    """Where the engine of a model, for inputs of these shapes, on this device, is kept."""
    facts = {
        "recipe": RECIPE,
        "onnx": hashlib.sha256(model.read_bytes()).hexdigest(),
        "precision": precision,
        "shapes": {name: list(shape) for name, shape in shapes.items()},
        "tensorrt": trt.__version__,
        "device": [gpu.name, *gpu.capability],
        "driver": gpu.driver,
        "level": builder_level(),
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]
    height, width = shapes["frame"][2:]
    return cache_folder() / "engines" / f"{model.stem}-{width}x{height}-{precision}-{key}.engine"


def load_engine(model: Path, precision: str, shapes: Shapes, gpu: Gpu) -> Any:
    """A TensorRT engine (trt.ICudaEngine) for inputs of these shapes, from the cache or built now.

    Args:
        model: an ONNX file; TensorRT computes in the precisions written in it, in no other.
        shapes: of every input.

    Raises:
        BackendError: if it cannot be built, or does not load even so.
    """
    path, log = engine_path(model, precision, shapes, gpu), Log()
    runtime = trt.Runtime(log)
    with locked(path):
        if path.is_file():
            engine = runtime.deserialize_cuda_engine(path.read_bytes())
            if engine is not None:
                return _Kept(engine, runtime, log)
            click.echo(f"{path}: does not load, building it again", err=True)
        log.errors.clear()
        plan = _build(model, shapes, gpu, log)
        write_whole(path, plan)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise log.failure(f"the engine just built of {model.name} does not load")
    return _Kept(engine, runtime, log)


class _Kept:
    """An engine with what must outlive it; attributes are the engine's."""

    def __init__(self, engine: Any, *others: Any) -> None:
        self._engine, self._others = engine, others

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def _build(model: Path, shapes: Shapes, gpu: Gpu, log: Log) -> bytes:
    """A serialised engine."""
    click.echo(f"building a TensorRT engine of {model.name} for {gpu.name}; this takes minutes, once", err=True)
    progress = Progress(model.name)  # must outlive the builder
    builder = trt.Builder(log)
    # Version 11 knows no other networks than strongly typed ones, where 10 must be asked for them.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model.read_bytes()):
        log.errors += [" ".join(parser.get_error(k).desc().split()) for k in range(parser.num_errors)]
        raise log.failure(f"cannot read {model}")
    config = builder.create_builder_config()
    config.builder_optimization_level = builder_level()
    config.progress_monitor = progress
    config.clear_flag(trt.BuilderFlag.TF32)  # it keeps ten bits: a file in fp32 is there for whoever wants more
    path = _timing_path(gpu)
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, False):  # of another version, or damaged
        config.set_timing_cache(config.create_timing_cache(b""), False)
    inputs = [network.get_input(k) for k in range(network.num_inputs)]
    if any(-1 in tuple(item.shape) for item in inputs):
        profile = builder.create_optimization_profile()
        for item in inputs:
            profile.set_shape(item.name, shapes[item.name], shapes[item.name], shapes[item.name])
        if config.add_optimization_profile(profile) < 0:
            raise log.failure(f"refuses inputs of {shapes}")
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise log.failure(f"cannot build an engine of {model.name}")
    found = config.get_timing_cache()
    if found is not None:
        write_whole(path, bytes(found.serialize()))
    return bytes(plan)


def _timing_path(gpu: Gpu) -> Path:
    """How long kernels took, which saves most of the next build's time."""
    device = hashlib.sha256(f"{gpu.name} {gpu.capability} {gpu.driver}".encode()).hexdigest()[:12]
    return cache_folder() / "engines" / f"timings-{trt.__version__}-{device}.cache"
