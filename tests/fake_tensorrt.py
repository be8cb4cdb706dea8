"""The parts of TensorRT's Python API and of cuda-python that magfilter calls, behaving as the real ones do.

Names, signatures and what comes back on failure were read off the bindings of TensorRT 11.4 and cuda-python 13.5:
functions return None or False and give their reasons to the logger; an unknown tensor, an unset shape, address or
wrong device memory is a failure here as there. "Device" memory is a table of arrays by address. An engine
computes: ONNX Runtime runs the model on the CPU, so what comes out can be compared.
"""

from __future__ import annotations

import ctypes
import json
from enum import IntEnum
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime as ort

MAGIC = b"fake engine\0"


class Severity(IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        self.started = True  # pybind11 refuses objects whose base was not initialised


class IProgressMonitor:
    def __init__(self) -> None:
        self.started = True


class Flag(IntEnum):
    STRONGLY_TYPED = 1


class Machine:
    """What the test sets, and what was asked for."""

    def __init__(self) -> None:
        self.version = "11.4.0.106"
        self.gpus = 1
        self.memory: dict[int, np.ndarray] = {}
        self.keep: list[object] = []
        self.calls: list[str] = []
        self.builds: list[dict] = []
        self.parser_error = self.build_error = ""
        self.no_context = self.fail_run = False
        self.device = -1

    # -- tensorrt

    def tensorrt(self) -> ModuleType:
        machine = self
        trt = ModuleType("tensorrt")
        trt.__version__ = self.version
        trt.ILogger, trt.IProgressMonitor = ILogger, IProgressMonitor
        trt.NetworkDefinitionCreationFlag = Flag
        trt.BuilderFlag = SimpleNamespace(TF32="TF32")
        trt.float32, trt.float16 = "FLOAT", "HALF"

        class Builder:
            def __init__(self, logger: ILogger) -> None:
                assert logger.started
                self.logger = logger

            def create_network(self, flags: int = 0) -> SimpleNamespace:
                assert flags == 1 << Flag.STRONGLY_TYPED
                return SimpleNamespace(data=None, num_inputs=0)

            def create_builder_config(self) -> Config:
                return Config()

            def create_optimization_profile(self) -> Profile:
                return Profile()

            def build_serialized_network(self, network: SimpleNamespace, config: Config) -> memoryview | None:
                monitor = config.progress_monitor
                assert monitor.started
                monitor.phase_start("Building", None, 2)
                monitor.phase_start("Timing", "Building", 5)
                assert monitor.step_complete("Timing", 0) is True
                monitor.phase_finish("Timing")  # not all steps need to be reported
                assert monitor.step_complete("Building", 0) is True
                monitor.phase_finish("Building")
                if machine.build_error:
                    self.logger.log(Severity.ERROR, machine.build_error)
                    return None
                shapes = {}
                for k in range(network.num_inputs):
                    item = network.get_input(k)
                    shapes[item.name] = list(item.shape)
                    if -1 in item.shape:
                        if not config.profiles or item.name not in config.profiles[0].shapes:
                            self.logger.log(Severity.ERROR, f"no profile for dynamic input {item.name}")
                            return None
                        low, best, high = config.profiles[0].shapes[item.name]
                        assert low == best == high
                        shapes[item.name] = list(best)
                machine.builds.append({"level": config.builder_optimization_level, "timings": config.timings.data})
                config.timings.data += b"t"
                header = json.dumps({"version": machine.version, "shapes": shapes}).encode()
                return memoryview(MAGIC + header + b"\n" + network.data)

        class Config:
            def __init__(self) -> None:
                self.profiles: list[Profile] = []
                self.flags = {"TF32"}
                self.timings: Timings | None = None
                self.progress_monitor = None
                self.builder_optimization_level = -1

            def clear_flag(self, flag: str) -> None:
                self.flags.discard(flag)

            def create_timing_cache(self, data: bytes) -> Timings:
                return Timings(data)

            def set_timing_cache(self, cache: Timings, ignore_mismatch: bool) -> bool:
                if cache.data.strip(b"t"):
                    return False
                self.timings = cache
                return True

            def get_timing_cache(self) -> Timings | None:
                return self.timings

            def add_optimization_profile(self, profile: Profile) -> int:
                self.profiles.append(profile)
                return len(self.profiles) - 1

        class Timings:
            def __init__(self, data: bytes) -> None:
                self.data = data

            def serialize(self) -> memoryview:
                return memoryview(self.data)

        class Profile:
            def __init__(self) -> None:
                self.shapes: dict[str, tuple] = {}

            def set_shape(self, name: str, low: tuple, best: tuple, high: tuple) -> None:
                self.shapes[name] = (low, best, high)

        class OnnxParser:
            def __init__(self, network: SimpleNamespace, logger: ILogger) -> None:
                self.network, self.num_errors = network, 0

            def parse(self, data: bytes) -> bool:
                if machine.parser_error:
                    self.num_errors = 1
                    return False
                session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
                inputs = [
                    SimpleNamespace(name=x.name, shape=tuple(n if isinstance(n, int) else -1 for n in x.shape))
                    for x in session.get_inputs()
                ]
                self.network.data, self.network.num_inputs = data, len(inputs)
                self.network.get_input = lambda k: inputs[k] if k < len(inputs) else None
                return True

            def get_error(self, index: int) -> SimpleNamespace:
                assert index < self.num_errors
                return SimpleNamespace(desc=lambda: machine.parser_error)

        class Runtime:
            def __init__(self, logger: ILogger) -> None:
                assert logger.started
                self.logger = logger

            def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
                head, _, data = bytes(plan).partition(b"\n")
                if not head.startswith(MAGIC) or json.loads(head[len(MAGIC) :])["version"] != machine.version:
                    self.logger.log(Severity.ERROR, "Serialization assertion failed")
                    return None
                return Engine(json.loads(head[len(MAGIC) :])["shapes"], data)

        class Engine:
            def __init__(self, shapes: dict[str, list[int]], data: bytes) -> None:
                self.shapes = shapes
                self.session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
                self.names = [*shapes, *(x.name for x in self.session.get_outputs())]
                self.num_io_tensors = len(self.names)

            def get_tensor_name(self, index: int) -> str:
                return self.names[index]

            def get_tensor_dtype(self, name: str) -> str:
                return "FLOAT"

            def create_execution_context(self) -> Context | None:
                return None if machine.no_context else Context(self)

        class Context:
            def __init__(self, engine: Engine) -> None:
                self.engine, self.set, self.at = engine, set(), {}

            def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
                if list(shape) != self.engine.shapes.get(name):
                    return False
                self.set.add(name)
                return True

            def get_tensor_shape(self, name: str) -> tuple[int, ...]:
                if name in self.engine.shapes:
                    return tuple(self.engine.shapes[name])
                assert self.set == set(self.engine.shapes), "an output has no shape before every input has one"
                feeds = {key: np.zeros(shape, np.float32) for key, shape in self.engine.shapes.items()}
                return self.engine.session.run(None, feeds)[0].shape

            def set_tensor_address(self, name: str, address: int) -> bool:
                assert isinstance(address, int)
                self.at[name] = address
                return name in self.engine.names

            def execute_async_v3(self, stream: int) -> bool:
                assert machine.device >= 0, "the thread has no device"
                if machine.fail_run or set(self.at) != set(self.engine.names) or stream == 0:
                    return False
                feeds = {
                    name: machine.memory[self.at[name]].view(np.float32).reshape(shape)
                    for name, shape in self.engine.shapes.items()
                }
                out = self.engine.session.run(None, feeds)[0]
                machine.memory[self.at[self.engine.names[-1]]][:] = out.ravel().view(np.uint8)
                machine.calls.append("execute")
                return True

        trt.Builder, trt.OnnxParser, trt.Runtime = Builder, OnnxParser, Runtime
        return trt

    # -- cuda.bindings.runtime: every function returns (status, *results)

    def cudart(self) -> ModuleType:
        class Error(IntEnum):
            cudaSuccess = 0
            cudaErrorMemoryAllocation = 2
            cudaErrorInsufficientDriver = 35

        class Kind(IntEnum):
            cudaMemcpyHostToDevice = 1
            cudaMemcpyDeviceToHost = 2

        cuda = ModuleType("cuda.bindings.runtime")
        cuda.cudaError_t, cuda.cudaMemcpyKind, cuda.cudaStreamNonBlocking = Error, Kind, 1

        def cudaGetDeviceCount() -> tuple:
            return (Error.cudaSuccess, self.gpus) if self.gpus else (Error.cudaErrorInsufficientDriver, None)

        def cudaGetErrorString(status: Error) -> tuple:
            return Error.cudaSuccess, status.name.encode()

        def cudaSetDevice(number: int) -> tuple:
            self.device = number
            return (Error.cudaSuccess,)

        def cudaGetDeviceProperties(number: int) -> tuple:
            return Error.cudaSuccess, SimpleNamespace(name=b"NVIDIA Fake", major=9, minor=0)

        def cudaMalloc(size: int) -> tuple:
            address = 0x1000 + 0x1000 * len(self.keep)
            self.keep.append(address)
            self.memory[address] = np.zeros(size, np.uint8)
            return Error.cudaSuccess, address

        def cudaMallocHost(size: int) -> tuple:
            block = ctypes.create_string_buffer(size)
            self.keep.append(block)
            return Error.cudaSuccess, ctypes.addressof(block)

        def cudaMemcpyAsync(target: int, source: int, size: int, kind: Kind, stream: int) -> tuple:
            up = kind is Kind.cudaMemcpyHostToDevice
            host = np.frombuffer((ctypes.c_uint8 * size).from_address(source if up else target), np.uint8)
            device = self.memory[target if up else source]
            assert len(device) == size
            if up:
                device[:] = host
            else:
                host[:] = device
            self.calls.append("up" if up else "down")
            return (Error.cudaSuccess,)

        def cudaFree(address: int) -> tuple:
            del self.memory[address]
            return (Error.cudaSuccess,)

        for function in (
            cudaGetDeviceCount, cudaGetErrorString, cudaSetDevice, cudaGetDeviceProperties, cudaMalloc,
            cudaMallocHost, cudaMemcpyAsync, cudaFree,
        ):  # fmt: skip
            setattr(cuda, function.__name__, function)
        cuda.cudaFreeHost = cuda.cudaStreamDestroy = cuda.cudaStreamSynchronize = lambda _: (Error.cudaSuccess,)
        cuda.cudaStreamCreateWithFlags = lambda flags: (Error.cudaSuccess, 77)
        cuda.cudaDriverGetVersion = lambda: (Error.cudaSuccess, 13050)
        return cuda

    def install(self, monkeypatch: object) -> None:
        """In place of the real packages, for modules that were not imported yet."""
        import sys

        bindings = ModuleType("cuda.bindings")
        bindings.runtime = self.cudart()
        for name, module in (
            ("tensorrt", self.tensorrt()), ("cuda", ModuleType("cuda")), ("cuda.bindings", bindings),
            ("cuda.bindings.runtime", bindings.runtime),
        ):  # fmt: skip
            monkeypatch.setitem(sys.modules, name, module)
        for name in ("cuda", "tensorrt", "tensorrt_build"):
            monkeypatch.delitem(sys.modules, f"magfilter.backends.{name}", raising=False)
