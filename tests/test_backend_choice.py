"""`--backend auto`, broken installations of ONNX Runtime, and buffers bound on a device. No GPU is needed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime as ort
import pytest

from magfilter.backends import choose, onnxruntime_cuda, open_engine, sessions
from magfilter.errors import BackendError, ModelError

pytest.importorskip("onnx", reason="the tiny model is made with onnx")
from tiny import pictures, tiny


@pytest.fixture
def model(tmp_path) -> Path:
    return tiny(tmp_path / "tiny.onnx")


# -- auto


def test_without_a_gpu_auto_is_onnxruntime_on_the_cpu_and_imports_no_torch():
    code = (
        "import sys; from magfilter.backends import choose, open_engine; choose.count_gpus = lambda: 0; "
        "e = open_engine('warp', threads=1); print(e.name, e.device, e.why, sep='|'); "
        "print([n for n in ('torch', 'tensorrt', 'cuda') if n in sys.modules])"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["onnxruntime-cpu|cpu|no NVIDIA GPU is there", "[]"]


def lacking(monkeypatch, *backends: str) -> list[tuple[str, str]]:
    """A machine with one GPU, on which these backends do not start; returns what was tried, with its device."""
    tried: list[tuple[str, str]] = []
    monkeypatch.setattr(choose, "count_gpus", lambda: 1)
    monkeypatch.setattr(choose, "find_spec", lambda name: True)

    def make(backend, path, device, threads, at_once=1):
        tried.append((backend, device))
        if backend in backends:
            raise BackendError(f"no {backend} today")
        return ModuleType(backend)  # anything that takes attributes

    monkeypatch.setattr(choose, "make_engine", make)
    return tried


def test_with_a_gpu_auto_takes_the_first_that_starts_and_says_what_the_others_lack(monkeypatch):
    tried = lacking(monkeypatch)
    engine = open_engine("warp")
    assert (engine.__name__, engine.why, tried) == ("tensorrt", "the fastest", [("tensorrt", "cuda")])
    tried = lacking(monkeypatch, "tensorrt", "onnxruntime-cuda")
    engine = open_engine("warp", device="cuda:1")
    assert [name for name, _ in tried] == ["tensorrt", "onnxruntime-cuda", "torch"]
    assert {device for _, device in tried} == {"cuda:1"}
    assert "no tensorrt today" in engine.why
    assert "no onnxruntime-cuda today" in engine.why


def test_only_auto_falls_back_to_the_cpu_and_says_so(monkeypatch):
    lacking(monkeypatch, "tensorrt", "onnxruntime-cuda", "torch")
    engine = open_engine("warp")
    assert engine.__name__ == "onnxruntime-cpu"
    assert "no torch today" in engine.why
    with pytest.raises(BackendError, match=r"no backend runs on cuda; .*no tensorrt today.*no torch today"):
        open_engine("warp", device="cuda")
    with pytest.raises(BackendError, match="no torch today"):
        open_engine("warp", "torch")


def test_what_is_not_installed_is_not_imported(monkeypatch):
    tried = lacking(monkeypatch, "onnxruntime-cuda")
    monkeypatch.setattr(choose, "find_spec", lambda name: None)
    assert "tensorrt and cuda not installed" in open_engine("warp").why
    assert tried == [("onnxruntime-cuda", "cuda"), ("onnxruntime-cpu", "cpu")]


def test_a_model_that_is_none_is_no_reason_to_try_another_backend(monkeypatch, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        open_engine(tmp_path / "bad.onnx")
    with pytest.raises(BackendError, match="'tpu'"):
        open_engine("warp", device="tpu")


def test_a_gpu_is_looked_for_without_any_library(monkeypatch):
    from magfilter.backends import gpu

    class Driver:
        failure = 0

        def cuInit(self, flags):
            return self.failure

        def cuDeviceGetCount(self, place):
            place._obj.value = 2
            return 0

    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda name: Driver())
    assert gpu.count_gpus() == 2
    monkeypatch.setattr(Driver, "failure", 100)  # CUDA_ERROR_NO_DEVICE
    assert gpu.count_gpus() == 0
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    assert gpu.count_gpus() == 0


# -- two wheels, one directory


def test_without_cuda_the_commands_that_bring_it_are_named(monkeypatch):
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(metadata, "version", lambda name: "1")
    with pytest.raises(BackendError, match="onnxruntime lies over it; pip uninstall -y onnxruntime onnxruntime-gpu, "):
        open_engine("warp", "onnxruntime-cuda")

    def version(name):
        if name != "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(BackendError, match=r'has no CUDA; pip .*pip install "onnxruntime-gpu\[cuda,cudnn\]"'):
        open_engine("warp", "onnxruntime-cuda")


@pytest.mark.parametrize(("found", "said"), [(ModuleType("onnxruntime"), "is damaged"), (None, "cannot be imported")])
def test_a_directory_that_lost_its_files_is_told_from_a_working_one(monkeypatch, found, said):
    monkeypatch.setitem(sys.modules, "onnxruntime", found)
    monkeypatch.delitem(sys.modules, "magfilter.backends.sessions")
    try:
        with pytest.raises(BackendError, match=f"{said}.*pip uninstall -y onnxruntime onnxruntime-gpu"):
            importlib.import_module("magfilter.backends.sessions")
    finally:
        monkeypatch.undo()
        assert sys.modules["magfilter.backends.sessions"] is sessions


def test_a_provider_that_does_not_start_is_an_error_not_the_cpu():
    """This ONNX Runtime knows of no CUDA, and would take the CPU with a warning in its log."""
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(BackendError, match="could not start CUDAExecutionProvider"):
        sessions.open_session(
            choose_model(), [("CUDAExecutionProvider", {"device_id": "0"}), "CPUExecutionProvider"], 1
        )


def choose_model() -> Path:
    return Path(__file__).parent / "foreign.onnx"


# -- what a model takes


def test_a_map_of_factors_and_one_factor_go_into_the_same_model(model):
    engine = open_engine(model, "onnxruntime-cpu", threads=1)
    one, two = pictures(2)
    factors = np.random.default_rng(1).random((16, 32), np.float32)
    np.testing.assert_allclose(engine.run(one, two, 3.0), two - one + 3, atol=1e-6)
    np.testing.assert_allclose(engine.run(one, two, factors), two - one + factors, atol=1e-6)
    with pytest.raises(ModelError, match="not a map"):
        engine.run(one, two, factors[:8])


def test_another_size_than_a_fixed_one_is_refused_with_the_option_that_helps(tmp_path):
    engine = open_engine(tiny(tmp_path / "fixed.onnx", (16, 32)), "onnxruntime-cpu", threads=1)
    one, two = pictures(2)
    np.testing.assert_allclose(engine.run(one, two, 3.0), two - one + 3, atol=1e-6)
    with pytest.raises(ModelError, match=r"images of 32x16 only, got 48x32 .*--size 48x32"):
        engine.run(*pictures(2, (32, 48)), 3.0)


# -- onnxruntime-cuda, its buffers in the CPU's memory


@pytest.fixture
def on_cpu(monkeypatch):
    kind = onnxruntime_cuda.OnnxRuntimeCudaEngine
    monkeypatch.setattr(onnxruntime_cuda, "require_cuda", lambda: None)
    monkeypatch.setattr(kind, "KIND", "cpu")
    wanted = []

    def providers(self):
        wanted.extend(real(self))
        return ["CPUExecutionProvider"]

    real = kind._providers
    monkeypatch.setattr(kind, "_providers", providers)
    return wanted


@pytest.fixture
def sent(monkeypatch) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = []
    real = ort.OrtValue.update_inplace
    monkeypatch.setattr(ort.OrtValue, "update_inplace", lambda self, x: (shapes.append(x.shape), real(self, x))[1])
    return shapes


def test_nothing_is_printed_where_the_video_goes(on_cpu, model, monkeypatch, capsys):
    monkeypatch.setattr(ort, "preload_dlls", lambda: sys.stdout.write("Failed to load libcublas"))
    open_engine(model, "onnxruntime-cuda")
    out, err = capsys.readouterr()
    assert out == ""
    assert "libcublas" in err


def test_bound_buffers_hold_the_reference_and_what_comes_out(on_cpu, sent, model):
    engine = open_engine(model, "onnxruntime", "cuda:1", 1)
    assert (engine.name, engine.device) == ("onnxruntime-cuda", "cuda:1")
    assert on_cpu[0][1] == {"device_id": "1", "use_tf32": "0", "enable_cuda_graph": "0"}
    engine._number = 0  # the CPU's memory has one device only
    one, two, three = pictures(3)
    first = engine.run(one, two, 5)
    np.testing.assert_allclose(first, two - one + 5, atol=1e-6)
    assert sent == [(1, 3, 16, 32), (1, 3, 16, 32), (1, 1, 1, 1)]
    np.testing.assert_allclose(engine.run(one, three, 4), three - one + 4, atol=1e-6)
    assert sent[3:] == [(1, 3, 16, 32), (1, 1, 1, 1)], "the reference stays on the device"
    np.testing.assert_allclose(first, two - one + 5, atol=1e-6, err_msg="a result is the caller's own")
    np.testing.assert_allclose(engine.run(two, three, 4), three - two + 4, atol=1e-6)
    one, two = pictures(2, (32, 16))
    np.testing.assert_allclose(engine.run(one, two, 4), two - one + 4, atol=1e-6)


def test_a_fixed_size_asks_for_a_cuda_graph_for_each_set_of_buffers(on_cpu, tmp_path):
    engine = open_engine(tiny(tmp_path / "fixed.onnx", (16, 32)), "onnxruntime-cuda")
    assert on_cpu[0][1]["enable_cuda_graph"] == "1"
    one, two = pictures(2)
    ids = []
    for alpha in (1.0, 2.0, np.ones((16, 32), np.float32)):
        np.testing.assert_allclose(engine.run(one, two, alpha), two - one + alpha, atol=1e-6)
        ids.append(engine._options.get_run_config_entry("gpu_graph_id"))
    assert ids == ["0", "0", "1"]


@pytest.mark.parametrize("device", ["mps", "cuda:x"])
def test_devices_it_does_not_know_are_refused_by_name(device):
    with pytest.raises(BackendError, match=device):
        open_engine("warp", "onnxruntime-cuda", device)
