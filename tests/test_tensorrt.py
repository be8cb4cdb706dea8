"""The TensorRT backend against a faithful fake: what it builds, keeps, sends and refuses. No GPU is needed."""

from __future__ import annotations

import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from fake_tensorrt import Machine

from magfilter.backends import open_engine
from magfilter.backends.cache import cache_folder, locked, write_whole
from magfilter.errors import BackendError

pytest.importorskip("onnx", reason="the tiny model is made with onnx")
from tiny import pictures, tiny


@pytest.fixture
def machine(monkeypatch, tmp_path) -> Machine:
    there = Machine()
    there.install(monkeypatch)
    monkeypatch.setenv("MAGFILTER_CACHE", str(tmp_path / "cache"))
    return there


@pytest.fixture
def model(tmp_path) -> Path:
    return tiny(tmp_path / "tiny.onnx")


def engines(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "engines").glob("*.engine"))


def test_it_computes_what_the_model_says_and_sends_the_reference_once(machine, model):
    engine = open_engine(model, "tensorrt")
    assert (engine.name, engine.device, engine.why) == ("tensorrt", "cuda:0", "")
    one, two, three = pictures(3)
    np.testing.assert_allclose(engine.run(one, two, 5), two - one + 5, atol=1e-6)
    assert machine.calls == ["up", "up", "up", "execute", "down"]
    np.testing.assert_allclose(engine.run(one, three, 5), three - one + 5, atol=1e-6)
    assert machine.calls[5:] == ["up", "up", "execute", "down"], "the reference stays on the device"
    np.testing.assert_allclose(engine.run(two, three, 5), three - two + 5, atol=1e-6)
    factors = np.random.default_rng(1).random((16, 32), np.float32)
    np.testing.assert_allclose(engine.run(two, three, factors), three - two + factors, atol=1e-6)


def test_a_new_size_is_a_new_engine_and_frees_the_old_buffers(machine, model, tmp_path):
    engine = open_engine(model, "tensorrt")
    engine.run(*pictures(2), 1)
    assert len(machine.memory) == 4
    one, two = pictures(2, (32, 16))
    np.testing.assert_allclose(engine.run(one, two, 1), two - one + 1, atol=1e-6)
    assert len(machine.memory) == 4
    assert [path.name.split("-")[1] for path in engines(tmp_path)] == ["16x32", "32x16"]


def test_an_engine_is_built_once_and_anew_for_whatever_it_depends_on(machine, model, tmp_path, monkeypatch):
    def builds() -> int:
        open_engine(model, "tensorrt").run(*pictures(2), 1)
        return len(machine.builds)

    assert [builds(), builds()] == [1, 1]
    monkeypatch.setenv("MAGFILTER_TENSORRT_LEVEL", "5")
    assert builds() == 2
    assert [build["level"] for build in machine.builds] == [3, 5]
    assert [build["timings"] for build in machine.builds] == [b"", b"t"], "the second build knows the first's timings"
    tiny(model, add=1.0)
    assert builds() == 3
    machine.version = "11.5.0"
    machine.install(monkeypatch)
    assert builds() == 4
    assert len(engines(tmp_path)) == 4


def test_an_engine_that_does_not_load_is_built_again(machine, model, tmp_path, capsys):
    open_engine(model, "tensorrt").run(*pictures(2), 1)
    (path,) = engines(tmp_path)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2].replace(b"fake", b"torn"))
    one, two = pictures(2)
    np.testing.assert_allclose(open_engine(model, "tensorrt").run(one, two, 1), two - one + 1, atol=1e-6)
    assert path.read_bytes() == good
    assert len(machine.builds) == 2
    assert "does not load" in capsys.readouterr().err


def test_damaged_timings_are_no_hindrance(machine, model, tmp_path):
    open_engine(model, "tensorrt").run(*pictures(2), 1)
    (timings,) = (tmp_path / "cache" / "engines").glob("timings-*")
    timings.write_bytes(b"garbage")
    open_engine(model, "tensorrt").run(*pictures(2, (32, 32)), 1)
    assert timings.read_bytes() == b"t"


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("parser_error", "No importer for node GridSample", "cannot read .*No importer for node GridSample"),
        ("build_error", "Error Code 10: out of tactics", "cannot build .*out of tactics.*--backend onnxruntime"),
        ("no_context", True, "no execution context"),
        ("fail_run", True, "execution failed"),
    ],
)
def test_failures_say_what_and_why(machine, model, attribute, value, said):
    setattr(machine, attribute, value)
    engine = open_engine(model, "tensorrt")
    for _ in range(2):  # and stay failures
        with pytest.raises(BackendError, match=said) as error:
            engine.run(*pictures(2), 1)
        assert "\n" not in str(error.value)


def test_no_gpu_and_no_such_gpu(machine, model):
    with pytest.raises(BackendError, match="no GPU cuda:3, only 1"):
        open_engine(model, "tensorrt", "cuda:3")
    machine.gpus = 0
    with pytest.raises(BackendError, match="cudaGetDeviceCount failed: cudaErrorInsufficientDriver"):
        open_engine(model, "tensorrt")
    with pytest.raises(BackendError, match="'cpu'"):
        open_engine(model, "tensorrt", "cpu")


def test_a_level_that_is_none_is_refused(machine, model, monkeypatch):
    monkeypatch.setenv("MAGFILTER_TENSORRT_LEVEL", "9")
    with pytest.raises(BackendError, match="0 to 5, got '9'"):
        open_engine(model, "tensorrt").run(*pictures(2), 1)


def test_missing_libraries_are_named_with_the_command_that_installs_them(monkeypatch, model):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    for name in ("cuda", "tensorrt", "tensorrt_build"):
        monkeypatch.delitem(sys.modules, f"magfilter.backends.{name}", raising=False)
    with pytest.raises(BackendError, match=r"pip install 'magfilter\[tensorrt\]'"):
        open_engine(model, "tensorrt")


def test_command_builds_what_the_filter_then_finds(machine, model, tmp_path):
    from click.testing import CliRunner

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # export/ is not part of the wheel
    from export.__main__ import main

    result = CliRunner().invoke(main, ["tensorrt", str(model), "--size", "30x15"])
    assert result.exit_code == 0, result.output
    assert str(engines(tmp_path)[0]) in result.output
    open_engine(model, "tensorrt").run(*pictures(2), 1)
    assert len(machine.builds) == 1
    machine.parser_error = "unsupported"
    result = CliRunner().invoke(main, ["tensorrt", str(model), "--size", "64x64"])
    assert result.exit_code == 1
    assert "unsupported" in result.output


# -- the cache


def test_cache_is_where_the_platform_or_the_user_wants_it(monkeypatch, tmp_path):
    monkeypatch.delenv("MAGFILTER_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "magfilter"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder().parts[-3:] == ("Library", "Caches", "magfilter")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache_folder() == tmp_path / "magfilter" / "Cache"
    monkeypatch.setenv("MAGFILTER_CACHE", "/elsewhere")
    assert cache_folder() == Path("/elsewhere")


def test_files_are_whole_or_not_there(tmp_path, monkeypatch):
    write_whole(tmp_path / "a" / "b", b"one")
    write_whole(tmp_path / "a" / "b", b"two")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(BackendError, match=r"No space left.*MAGFILTER_CACHE"):
        write_whole(tmp_path / "a" / "b", b"three")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "a").iterdir()] == [("b", b"two")]


def _hold(path: Path, log: Path) -> None:
    with locked(path):
        with log.open("a") as file:
            file.write("in ")
        time.sleep(0.3)
        with log.open("a") as file:
            file.write("out ")


def test_two_processes_take_turns(tmp_path):
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    team = [context.Process(target=_hold, args=(tmp_path / "e", tmp_path / "log")) for _ in range(2)]
    for process in team:
        process.start()
    for process in team:
        process.join(60)
    assert (tmp_path / "log").read_text() == "in out in out "


REAL = {
    "Builder": "create_network create_builder_config create_optimization_profile build_serialized_network",
    "OnnxParser": "parse get_error num_errors",
    "IBuilderConfig": "clear_flag create_timing_cache set_timing_cache get_timing_cache add_optimization_profile "
    "progress_monitor builder_optimization_level",
    "IOptimizationProfile": "set_shape",
    "ITimingCache": "serialize",
    "Runtime": "deserialize_cuda_engine",
    "ICudaEngine": "create_execution_context num_io_tensors get_tensor_name get_tensor_dtype",
    "IExecutionContext": "set_input_shape get_tensor_shape set_tensor_address execute_async_v3",
    "IProgressMonitor": "phase_start step_complete phase_finish",
    "ILogger": "log Severity",
    "ParserError": "desc",
}


def test_the_real_tensorrt_has_the_names_that_are_called():
    trt = pytest.importorskip("tensorrt", reason="TensorRT's bindings are not installed")
    lacking = [
        f"{kind}.{n}" for kind, names in REAL.items() for n in names.split() if not hasattr(getattr(trt, kind), n)
    ]
    assert lacking == []
    assert trt.float32 == trt.DataType.FLOAT
    assert int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) in (0, 1)  # it is 1 in version 10, 0 in 11
    assert hasattr(trt.BuilderFlag, "TF32")


def test_the_real_cuda_python_has_the_names_that_are_called():
    cudart = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    fake = Machine().cudart()
    assert [name for name in dir(fake) if name.startswith("cuda") and not hasattr(cudart, name)] == []
    if cudart.cudaGetDeviceCount()[1]:
        pytest.skip("this machine has a GPU")
    from magfilter.backends.cuda import Gpu

    with pytest.raises(BackendError, match=r"CUDA: cudaGetDeviceCount failed: .*driver"):
        Gpu(0)


def test_the_fake_refuses_what_the_real_one_does(machine, model):
    """It must be able to fail, or the tests above say nothing."""
    trt = sys.modules["tensorrt"]
    builder = trt.Builder(_log(trt))
    network = builder.create_network(1 << 1)
    parser = trt.OnnxParser(network, _log(trt))
    assert parser.parse(model.read_bytes())
    config = builder.create_builder_config()
    config.progress_monitor = _monitor(trt)
    config.set_timing_cache(config.create_timing_cache(b""), False)
    assert builder.build_serialized_network(network, config) is None, "a dynamic input without a profile"
    assert ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])


def _log(trt):
    class Log(trt.ILogger):
        def log(self, severity, message):
            pass

    return Log()


def _monitor(trt):
    class Monitor(trt.IProgressMonitor):
        def phase_start(self, phase_name, parent_phase, num_steps):
            pass

        def step_complete(self, phase_name, step):
            return True

        def phase_finish(self, phase_name):
            pass

    return Monitor()
