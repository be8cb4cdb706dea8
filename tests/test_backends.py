"""Engines: they refuse what they cannot do, move pixels exactly, and agree with each other."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from magfilter.backends import BACKENDS, open_engine
from magfilter.backends.onnxruntime_cpu import OnnxRuntimeCpuEngine
from magfilter.backends.resample import _enlarge
from magfilter.errors import BackendError, ModelError, OptionError
from magfilter.models import find_model, shipped_models

DTYPES = [(np.uint8, 255), (np.uint16, 1023), (np.uint16, 65535)]


@pytest.fixture(scope="module")
def engine() -> OnnxRuntimeCpuEngine:
    return open_engine("warp", "onnxruntime", "cpu", 2)


@pytest.fixture(scope="module")
def torch_engine():
    pytest.importorskip("torch", reason="the torch backend needs torch")
    pytest.importorskip("onnx", reason="the torch backend needs onnx")
    return open_engine("warp", "torch", "cpu", 1)


@pytest.fixture(params=["onnxruntime", "torch"])
def any_engine(request, engine):
    return engine if request.param == "onnxruntime" else request.getfixturevalue("torch_engine")


def plane(dtype, peak: int, size: tuple[int, int] = (72, 90), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, peak + 1, size).astype(dtype)


def uniform(x: float, y: float, size: tuple[int, int] = (36, 45)) -> np.ndarray:
    field = np.empty((2, *size), np.float32)
    field[0], field[1] = x, y
    return field


def smooth_pair(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A textured luma and the same moved by (0.4, -0.3) px: (1, H, W) float32."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)

    def look(dx: float, dy: float) -> np.ndarray:
        u, v = x - dx, y - dy
        wave = np.sin(u / 2.1 + v / 7) + np.sin(v / 3.3 - u / 11) + np.sin(u / 17) * np.cos(v / 5)
        return (0.5 + 0.13 * wave)[None].astype(np.float32)

    return look(0, 0), look(0.4, -0.3)


# -- refusals


def test_unknown_backend_is_refused_with_the_choice():
    with pytest.raises(OptionError) as error:
        open_engine("warp", "tensorflow")
    assert "'tensorflow'" in str(error.value)
    assert all(name in str(error.value) for name in BACKENDS)


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
@pytest.mark.parametrize("model", ["nonesuch", "nonesuch.onnx", "some/where.onnx"])
def test_missing_model_is_refused_naming_it_and_what_is_there(model, backend):
    with pytest.raises(ModelError) as error:
        open_engine(model, backend)
    assert model in str(error.value)
    assert "warp" in str(error.value)


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
@pytest.mark.parametrize("content", [b"", b"this is no model", bytes(range(256)) * 40])
def test_garbage_is_refused_in_one_line(tmp_path, backend, content):
    if backend == "torch":
        pytest.importorskip("torch")
        pytest.importorskip("onnx")
    path = tmp_path / "garbage.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as error:
        open_engine(path, backend, "cpu")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_somebody_elses_model_is_refused(backend):
    if backend == "torch":
        pytest.importorskip("torch")
        pytest.importorskip("onnx")
    with pytest.raises(ModelError, match="not a magfilter model"):
        open_engine(Path(__file__).parent / "foreign.onnx", backend, "cpu")


def test_unavailable_device_is_an_error_never_a_fallback():
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    for device in ("cuda", "cuda:1"):
        with pytest.raises(BackendError, match="onnxruntime-gpu"):
            open_engine("warp", "onnxruntime", device)


@pytest.mark.parametrize("device", ["gpu", "mps", "cuda:x", "tpu:0"])
def test_devices_onnxruntime_does_not_know_are_refused_by_name(device):
    with pytest.raises(BackendError, match=device):
        open_engine("warp", "onnxruntime", device)


@pytest.mark.parametrize("device", ["cuda", "nonsense", "mps", "cuda:9"])
def test_torch_refuses_a_device_that_is_not_there(device):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    if (device.startswith("cuda") and torch.cuda.is_available()) or torch.backends.mps.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(BackendError, match=device) as error:
        open_engine("warp", "torch", device)
    assert "\n" not in str(error.value)


def test_a_missing_torch_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "magfilter.backends.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)  # import torch now raises ImportError
    with pytest.raises(BackendError, match="pip install torch"):
        open_engine("warp", "torch")


# -- what is there


def test_onnxruntime_is_that_of_the_device():
    assert open_engine("warp", "onnxruntime", "cpu", 1).name == "onnxruntime-cpu"
    with pytest.raises(BackendError, match="onnxruntime-cpu runs on the cpu, not on 'cuda'"):
        open_engine("warp", "onnxruntime-cpu", "cuda")


def test_the_default_model_is_shipped():
    assert set(shipped_models()) == {"warp", "warp-light"}
    assert find_model("warp").is_file()


@pytest.mark.parametrize("size", [(64, 64), (64, 192), (128, 64)])
def test_run_gives_flow_at_half_resolution(any_engine, size):
    one, two = smooth_pair(size)
    flow = any_engine.run(one, two, 10.0)
    assert flow.shape == (2, size[0] // 2, size[1] // 2)
    assert flow.dtype == np.float32
    assert np.isfinite(flow).all()


def test_run_measures_the_motion(any_engine):
    flow = any_engine.run(*smooth_pair((128, 128)), 10.0)[:, 12:-12, 12:-12]
    assert abs(np.median(flow[0]) - 0.4) < 0.08
    assert abs(np.median(flow[1]) + 0.3) < 0.08


@pytest.mark.parametrize("backend", ["onnxruntime-cpu", "torch"])
def test_the_light_network_measures_it_too(backend):
    engine = open_engine("warp-light", backend, "cpu", 1)
    assert engine.model.descriptor.name == "warp"
    flow = engine.run(*smooth_pair((128, 128)), 10.0)[:, 12:-12, 12:-12]
    assert abs(np.median(flow[0]) - 0.4) < 0.08
    assert abs(np.median(flow[1]) + 0.3) < 0.08


# -- resampling


@pytest.mark.parametrize(("dtype", "peak"), DTYPES)
def test_zero_displacement_copies_every_bit(any_engine, dtype, peak):
    source = plane(dtype, peak)
    out = any_engine.resample(source, uniform(0, 0), (1.0, 1.0), peak)
    assert out.dtype == dtype
    assert out is not source
    np.testing.assert_array_equal(out, source)


@pytest.mark.parametrize(("dtype", "peak"), DTYPES[:2])
@pytest.mark.parametrize("step", [(1.0, 1.0), (2.0, 2.0), (2.0, 1.0)])
def test_whole_pixel_displacement_is_an_exact_shift(any_engine, dtype, peak, step):
    """output(x) = plane(x + d): what lies at x + d is shown at x."""
    source = plane(dtype, peak)
    out = any_engine.resample(source, uniform(3 * step[0], -2 * step[1]), step, peak)
    np.testing.assert_array_equal(out[2:, :-3], source[:-2, 3:])
    np.testing.assert_array_equal(out[:2, :-3], source[1::-1, 3:], err_msg="beyond the border lies the mirror image")


@pytest.mark.parametrize("size", [(24, 20), (7, 5), (130, 30)])
@pytest.mark.parametrize("shift", [(3, 0), (-4, 2), (5, -7), (-30, 20), (20, -130), (1, 6)])
def test_beyond_the_border_lies_the_mirror_image(any_engine, size, shift):
    """As far as the picture is large, and again beyond that; never a streak of the last samples."""
    source = plane(np.uint8, 255, size)
    x, y = (max(-length, min(length, way)) for way, length in zip(shift, size[::-1], strict=True))
    out = any_engine.resample(source, uniform(x, y, (1, 1)), (1.0, 1.0), 255)
    around = np.pad(source, [(length, length) for length in size], mode="symmetric")
    due = around[size[0] + y : 2 * size[0] + y, size[1] + x : 2 * size[1] + x]
    apart = np.abs(out.astype(int) - due)  # positions of a grid are rounded on their way
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.01


@pytest.mark.parametrize("shift", [(6, 4), (-8, -10), (-2, 14)])
def test_chroma_is_mirrored_where_luma_is(any_engine, shift):
    """What is made of blocks of one colour is made of such blocks beyond the border, too."""
    chroma = plane(np.uint8, 255, (24, 20))
    luma = chroma.repeat(2, 0).repeat(2, 1)
    field = uniform(*shift, (24, 20))
    large = any_engine.resample(luma, field, (1.0, 1.0), 255).astype(int)
    small = any_engine.resample(chroma, field, (2.0, 2.0), 255).astype(int)
    assert np.abs(large - small.repeat(2, 0).repeat(2, 1)).max() <= 1


def test_samples_stay_within_the_planes_range(any_engine):
    source = np.where(np.random.default_rng(0).random((40, 40)) < 0.5, 0, 1023).astype(np.uint16)
    out = any_engine.resample(source, uniform(0.5, 0.5), (1.0, 1.0), 1023)
    assert out.max() == 1023, "bicubic overshoots here, and is cut off"
    assert out.min() == 0


@pytest.mark.parametrize(("dtype", "peak"), DTYPES[:2])
def test_where_nothing_moves_every_bit_stays(any_engine, dtype, peak):
    source = plane(dtype, peak)
    field = uniform(0, 0)
    field[:, 10:14, 20:30] = 0.7  # grid points; px 20..27 and 40..59, and half a grid point around
    out = any_engine.resample(source, field, (1.0, 1.0), peak)
    moved = np.zeros(source.shape, bool)
    moved[19:29, 39:61] = True
    np.testing.assert_array_equal(out[~moved], source[~moved])
    assert (out[22:26, 42:58] != source[22:26, 42:58]).mean() > 0.8


@pytest.mark.parametrize("row", [0, 17, 35])
def test_any_row_that_moves_is_found(engine, torch_engine, row):
    """The rows that are computed are chosen by the field: at the rims too."""
    source = plane(np.uint8, 255)
    field = uniform(0, 0)
    field[0, row] = 1.3
    a = engine.resample(source, field, (1.0, 1.0), 255)
    b = torch_engine.resample(source, field, (1.0, 1.0), 255)
    assert (a != source).any()
    assert np.abs(a.astype(int) - b).max() <= 1


def test_bands_and_threads_make_no_difference():
    rng = np.random.default_rng(3)
    source = plane(np.uint16, 1023, (300, 140))
    field = rng.normal(0, 2, (2, 75, 35)).astype(np.float32)
    field[:, 30:35] = 0
    outs = [open_engine("warp", "onnxruntime", "cpu", n).resample(source, field, (1.0, 1.0), 1023) for n in (1, 2, 5)]
    assert (outs[0] != source).mean() > 0.5
    for out in outs[1:]:
        np.testing.assert_array_equal(out, outs[0])


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (5, 3)])
def test_tiny_planes_can_be_moved(any_engine, size):
    source = plane(np.uint8, 255, size)
    out = any_engine.resample(source, uniform(2.0, 1.0, (-(-size[0] // 2), -(-size[1] // 2))), (1.0, 1.0), 255)
    assert out.shape == size
    wanted = np.pad(source, [(0, 1), (0, 2)], mode="symmetric")[1:, 2:]
    np.testing.assert_array_equal(out, wanted)


def test_field_is_enlarged_bilinearly_by_the_centres_of_its_cells():
    """A ramp over cell centres stays the same ramp; any cut of rows gives the same rows."""
    field = np.stack(np.meshgrid(np.arange(10) * 4 + 1.5, np.arange(8) * 4 + 1.5)).astype(np.float32)
    full = _enlarge(field, (32, 40), 0, 32)
    y, x = np.mgrid[2:30, 2:38]
    np.testing.assert_allclose(full[0, 2:-2, 2:-2], x, atol=1e-4)
    np.testing.assert_allclose(full[1, 2:-2, 2:-2], y, atol=1e-4)
    np.testing.assert_array_equal(_enlarge(field, (32, 40), 5, 19), full[:, 5:19])


# -- agreement


def test_torch_and_onnxruntime_measure_the_same(engine, torch_engine):
    one, two = smooth_pair((128, 192))
    noise = np.random.default_rng(0).normal(0, 0.01, one.shape).astype(np.float32)
    for pair in ((one, two), (one, one), (one, two + noise)):
        a, b = engine.run(*pair, 10.0), torch_engine.run(*pair, 10.0)
        assert np.abs(a - b).max() < 1e-3


@pytest.mark.parametrize(("dtype", "peak"), DTYPES[:2])
def test_torch_and_onnxruntime_move_pixels_alike(engine, torch_engine, dtype, peak):
    rng = np.random.default_rng(5)
    field = rng.normal(0, 3, (2, 20, 25)).astype(np.float32)
    field[:, :5] = 0
    y, x = np.mgrid[:97, :121]
    source = ((np.sin(x / 3) * np.cos(y / 4) + 1) / 2 * peak).astype(dtype)
    a = engine.resample(source, field, (2.0, 1.0), peak).astype(int)
    b = torch_engine.resample(source, field, (2.0, 1.0), peak).astype(int)
    assert np.abs(a - b).max() <= 1
    assert (a != source).mean() > 0.5
