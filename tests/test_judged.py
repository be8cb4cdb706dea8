"""`warp` with all but its judge compiled gives what the whole graph gives, and gives way where it cannot."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import onnx
import pytest

from magfilter import compiled
from magfilter.backends import judged, onnxruntime_cpu, open_engine
from magfilter.backends.judged import read_judged
from magfilter.blocks import reduced
from magfilter.errors import ModelError
from magfilter.models import find_model, shipped_models

needs_numba = pytest.mark.skipif(compiled.version() is None, reason="numba is not installed")
SIZES = [(64, 64), (64, 192), (192, 64), (128, 320)]


def pair(size: tuple[int, int], shift: int = 1, noise: float = 0.01, seed: int = 0) -> list[np.ndarray]:
    """A texture and the same moved to the right, with noise: (1, H, W) each."""
    rng = np.random.default_rng(seed)
    texture = reduced(rng.random((1, 4 * size[0], 4 * size[1]), np.float32), 4)
    two = np.roll(texture, shift, 2)
    two[:, size[0] // 2 :] = texture[:, size[0] // 2 :]  # of which the lower half rests
    grain = rng.normal(0, noise, (2, 1, *size)).astype(np.float32)
    return [np.clip(image + more, 0, 1) for image, more in zip((texture, two), grain, strict=True)]


def whole(model, reference: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The flow as ONNX Runtime alone computes it."""
    with compiled.left_out():
        return open_engine(model, "onnxruntime-cpu", threads=1).run(reference, frame, 1.0)


@needs_numba
@pytest.mark.parametrize("model", sorted(shipped_models()))
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_flow_is_that_of_the_whole_graph(model, size):
    engine = open_engine(model, "onnxruntime-cpu", threads=1)
    assert engine.compiled
    for shift, noise in ((0, 0.0), (0, 0.02), (1, 0.0), (1, 0.01), (5, 0.01)):
        reference, frame = pair(size, shift, noise, seed=shift)
        want = whole(model, reference, frame)
        got = engine.run(reference, frame, 1.0)
        assert got.dtype == np.float32
        assert got.shape == want.shape == (2, size[0] // 2, size[1] // 2)
        assert np.abs(got - want).max() < 2e-3 + 1e-3 * np.abs(want).max()
        assert np.abs(got - want).mean() < 1e-4
        if shift == 0 and noise == 0:
            assert not got.any() or np.abs(got).max() < 1e-4


@needs_numba
def test_pictures_that_hold_nothing_or_everything_are_measured():
    engine = open_engine("warp-light", "onnxruntime-cpu", threads=1)
    black, white = np.zeros((1, 64, 128), np.float32), np.ones((1, 64, 128), np.float32)
    noise = np.random.default_rng(0).random((1, 64, 128), np.float32)
    for reference, frame in ((black, black), (black, white), (white, noise), (noise, noise[:, ::-1].copy())):
        got = engine.run(reference, frame, 1.0)
        assert np.isfinite(got).all()
        assert np.abs(got - whole("warp-light", reference, frame)).mean() < 1e-3


@needs_numba
@pytest.mark.parametrize(
    "sizes", [((64, 64), (128, 64)), ((64, 64), (64, 100)), ((100, 64), (100, 64)), ((0, 64), (0, 64))]
)
def test_what_is_compiled_is_not_given_another_size(sizes):
    engine = open_engine("warp-light", "onnxruntime-cpu", threads=1)
    with pytest.raises(ValueError, match="multiples of 64"):
        engine.run(*(np.zeros((1, *size), np.float32) for size in sizes), 1.0)
    views = [np.asfortranarray(image.astype(np.float64)) for image in pair((64, 64))]
    np.testing.assert_allclose(
        engine.run(*views, 1.0), engine.run(*(np.ascontiguousarray(v, np.float32) for v in views), 1.0)
    )


@needs_numba
def test_threads_share_rows_and_change_nothing():
    reference, frame = pair((256, 192))
    one, three = (open_engine("warp-light", "onnxruntime-cpu", threads=n) for n in (1, 3))
    assert three._judged._threads == 3
    np.testing.assert_array_equal(one.run(reference, frame, 1.0), three.run(reference, frame, 1.0))


@needs_numba
def test_runs_side_by_side_do_not_meet():
    engine = open_engine("warp-light", "onnxruntime-cpu", threads=2, at_once=2)
    assert engine.at_once == 2
    pairs = [pair((64, 128), n % 3, seed=n) for n in range(12)]
    alone = [engine.run(*images, 1.0) for images in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda images: engine.run(*images, 1.0), pairs))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


@needs_numba
def test_the_reference_is_kept_by_its_array():
    engine = open_engine("warp-light", "onnxruntime-cpu", threads=1)
    reference, frame = pair((64, 64))
    first = engine.run(reference, frame, 1.0)
    kept = engine._judged._reference
    np.testing.assert_array_equal(engine.run(reference, frame, 1.0), first)
    assert engine._judged._reference is kept
    moved = engine.run(frame, frame, 1.0)  # another array is another reference
    assert engine._judged._reference is not kept
    assert np.abs(moved).max() < 0.01


@needs_numba
def test_where_numba_is_left_out_onnx_runtime_does_all(monkeypatch):
    """Also in the middle of things; the session is opened once, whoever asks first."""
    opened = []
    real = onnxruntime_cpu.open_session
    monkeypatch.setattr(onnxruntime_cpu, "open_session", lambda *a: opened.append(a) or real(*a))
    engine = open_engine("warp-light", "onnxruntime-cpu", threads=1)
    reference, frame = pair((64, 64))
    fast = engine.run(reference, frame, 1.0)
    assert not opened
    monkeypatch.setattr(onnxruntime_cpu, "kernels", lambda: None)  # it turned out not to work
    with ThreadPoolExecutor(3) as pool:
        slow = list(pool.map(lambda _: engine.run(reference, frame, 1.0), range(3)))
    assert len(opened) == 1
    np.testing.assert_array_equal(slow[0], slow[2])
    assert 0 < np.abs(slow[0] - fast).max() < 1e-3  # so it was another computation


@needs_numba
def test_other_models_are_run_whole(tmp_path):
    from tiny import tiny

    assert read_judged(tiny(tmp_path / "tiny.onnx"), 1) is None
    file = onnx.load(str(find_model("warp-light")))
    assert read_judged(find_model("warp-light"), 1) is not None

    def refused(change) -> bool:
        other = onnx.ModelProto()
        other.CopyFrom(file)
        change(other)
        onnx.save(other, str(tmp_path / "other.onnx"))
        return read_judged(tmp_path / "other.onnx", 1) is None

    def weight(model, name: str):
        return next(item for item in model.graph.initializer if item.name.removesuffix(".half") == name)

    def renamed(model) -> None:
        weight(model, "cell.judge.head.weight").name = "folded"

    def smaller(model) -> None:
        slopes = weight(model, "cell.slopes")
        slopes.CopyFrom(onnx.numpy_helper.from_array(np.zeros((2, 2), np.float32), slopes.name))

    def without_a_layer(model) -> None:
        weight(model, "cell.judge.side1.bias").name = "gone"

    def steeper(model) -> None:
        slopes = weight(model, "cell.slopes")
        slopes.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(slopes) * 2, slopes.name))

    def half(model) -> None:
        next(item for item in model.metadata_props if item.key == "magfilter.precision").value = "fp16"

    def fixed(model) -> None:
        for item in model.graph.input:
            item.type.tensor_type.shape.dim[2].dim_value = 64

    assert not refused(lambda model: None)
    for change in (renamed, smaller, without_a_layer, steeper, half, fixed):
        assert refused(change), change.__name__


def test_what_is_no_model_is_named_as_before(tmp_path):
    path = tmp_path / "no.onnx"
    path.write_bytes(b"nothing of the kind")
    assert read_judged(path, 1) is None
    with pytest.raises(ModelError, match=r"no\.onnx: cannot be loaded as an ONNX model"):
        open_engine(path, "onnxruntime-cpu")


@pytest.mark.parametrize("lacking", ["numba", "onnx"])
def test_without_a_package_onnx_runtime_does_all(lacking):
    code = (
        f"import sys; sys.modules[{lacking!r}] = None\n"
        "import importlib.util as u; found = u.find_spec\n"
        f"u.find_spec = lambda name, *a: None if name == {lacking!r} else found(name, *a)\n"
        "import magfilter.compiled as c; c.find_spec = u.find_spec\n"
        "import numpy as np; from magfilter.backends import open_engine\n"
        "e = open_engine('warp-light', 'onnxruntime-cpu', threads=1)\n"
        "x = np.random.default_rng(0).random((1, 64, 64), np.float32)\n"
        "print(e.compiled, e.run(x, x, 1.0).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(None, 1) == ["False", "(2, 32, 32)\n"]


# -- kernel by kernel


def all_rows(work, rows: int) -> None:
    """In uneven bands, from last to first."""
    edges = [0, rows // 3, rows // 2, rows]
    for first, last in reversed(list(pairwise(edges))):
        work(first, last)


@needs_numba
def test_images_are_halved_and_doubled_as_torch_does():
    torch = pytest.importorskip("torch")
    from magfilter.compiled import pyramid
    from magfilter.compiled.motion import _HALFWAY, _SOFT
    from magfilter.networks.sampling import doubled, halved

    image = np.random.default_rng(0).random((32, 48), np.float32)
    half, double = np.empty((16, 24), np.float32), np.empty((64, 96), np.float32)
    all_rows(lambda a, b: pyramid.halve(_SOFT, image, a, b, half), 16)
    all_rows(lambda a, b: pyramid.double(_HALFWAY, image, a, b, double[2 * a : 2 * b]), 32)
    given = torch.from_numpy(image)[None, None]
    np.testing.assert_allclose(half, halved(given)[0, 0].numpy(), atol=1e-6)
    np.testing.assert_allclose(double, doubled(given)[0, 0].numpy(), atol=1e-6)


@needs_numba
@pytest.mark.parametrize("far", [0.0, 0.7, 6.0, 1000.0])
def test_frames_are_warped_as_torch_does(far):
    torch = pytest.importorskip("torch")
    from magfilter.compiled import pyramid
    from magfilter.networks.sampling import backward_warp

    rng = np.random.default_rng(1)
    finer = rng.random((64, 96), np.float32)
    flow = (far * rng.standard_normal((2, 8, 12))).astype(np.float32)
    out = np.empty((32, 48), np.float32)
    all_rows(lambda a, b: pyramid.warp(flow, finer, 0, 4 * a, 4 * b, out), 8)
    full = torch.nn.functional.interpolate(torch.from_numpy(flow)[None], size=(32, 48), mode="bilinear")
    want = backward_warp(torch.from_numpy(finer)[None, None], full, finer=2)[0, 0].numpy()
    np.testing.assert_allclose(out, want, atol=2e-4 if far < 100 else 2e-3)


@needs_numba
@pytest.mark.parametrize("down", [-1000.0, -30.0, -0.4, 0.0, 0.4, 30.0, 1000.0])
def test_bands_of_a_frame_hold_all_that_is_looked_at(down):
    """Drawn a band of rows at a time, as if it were drawn at once; wherever the flow leads."""
    torch = pytest.importorskip("torch")
    from magfilter.compiled import motion
    from magfilter.networks.sampling import backward_warp, doubled

    rng = np.random.default_rng(2)
    frame = rng.random((128, 64), np.float32)  # four bands
    flow = rng.standard_normal((2, 32, 16)).astype(np.float32)
    flow[1] += down
    got = motion._warped(frame, flow, all_rows)
    full = torch.nn.functional.interpolate(torch.from_numpy(flow)[None], size=(128, 64), mode="bilinear")
    want = backward_warp(doubled(torch.from_numpy(frame)[None, None]), full, finer=2)[0, 0].numpy()
    np.testing.assert_allclose(got, want, atol=1e-4 if abs(down) < 100 else 2e-3)


@needs_numba
def test_what_is_no_number_is_warped_from_within_the_picture():
    from magfilter.compiled import pyramid

    flow = np.full((2, 8, 12), np.nan, np.float32)
    flow[:, 4:] = np.inf
    out = np.full((32, 48), -1, np.float32)
    pyramid.warp(flow, np.full((64, 96), 0.5, np.float32), 0, 0, 32, out)
    assert not (out < 0).any()
    np.testing.assert_array_equal(out[:12], 0.5)


@needs_numba
def test_features_and_candidates_are_those_of_the_cell():
    torch = pytest.importorskip("torch")
    from magfilter.compiled import motion
    from magfilter.networks.constants import CELL, FEATURES, VERDICTS
    from magfilter.networks.warp import WarpNet

    torch.manual_seed(0)
    cell = WarpNet((8, 16, 24)).cell.eval()
    rng = np.random.default_rng(2)
    (reference,), (frame,) = pair((64, 96))
    flow = rng.standard_normal((2, 16, 24)).astype(np.float32)
    learned = compiled.Learned(
        *(x.detach().numpy().copy() for x in (cell.damping.exp(), cell.trust.exp(), cell.prior, cell.near))
    )
    features, speed = np.empty((FEATURES, 16, 24), np.float32), np.empty((16, 24), np.float32)
    found, _ = motion._look(learned, reference, frame, flow, features, speed, all_rows)
    one, two, now = (torch.from_numpy(x)[None] for x in (reference[None], frame[None], flow))
    with torch.no_grad():
        want, (_, a, b, c, quick, rests) = cell.look(one, two, now)
    assert CELL * found.shape[2] == 64
    np.testing.assert_allclose(found, torch.cat([a, b, c]).numpy(), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(speed, quick[0, 0].numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(features, want[0].numpy(), rtol=5e-3, atol=5e-3)

    verdict = (3 * rng.standard_normal((VERDICTS, 16, 24))).astype(np.float32)
    verdict[:, 0] *= 40  # so sure that another way of summing would overflow
    with torch.no_grad():
        want = cell.choose(torch.from_numpy(verdict)[None], now, a, b, c, quick, rests)[0].numpy()
    fine = motion._scale(learned, lambda seen: verdict, reference, frame, flow, all_rows)
    np.testing.assert_allclose(fine, want, rtol=2e-3, atol=5e-4)


@needs_numba
def test_a_forked_off_process_measures_too():
    code = (
        "import os, sys, numpy as np\n"
        "from magfilter.backends import open_engine\n"
        "e = open_engine('warp-light', 'onnxruntime-cpu', threads=2, at_once=2)\n"
        "x = np.random.default_rng(0).random((1, 128, 64), np.float32)\n"
        "want = e.run(x, np.roll(x, 1, 2), 1.0)\n"
        "child = os.fork()\n"
        "same = np.array_equal(e.run(x, np.roll(x, 1, 2), 1.0), want)\n"
        "if not child: os._exit(0 if same else 3)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), same)\n"
    )
    if sys.platform == "win32":
        pytest.skip("Windows forks nothing")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["0", "True"]


@needs_numba
def test_a_judge_is_the_same_network_in_torch():
    torch = pytest.importorskip("torch")
    from magfilter.networks.judge import Judge

    torch.manual_seed(1)
    judge = Judge(56, 59, (8, 12, 16), enter=(1, 3), deep=2, head=3).eval()
    torch.nn.init.normal_(judge.head.weight)
    weights = {f"cell.judge.{name}": value.numpy() for name, value in judge.state_dict().items()}
    session = judged.open_graph(judged.judge_graph(weights), 1)
    for size in ((1, 1), (3, 5), (16, 24)):  # the coarsest grid of a small picture has a single point
        seen = torch.randn(1, 56, *size)
        with torch.no_grad():
            want = judge(seen).numpy()
        np.testing.assert_allclose(session.run(None, {"features": seen.numpy()})[0], want, rtol=1e-4, atol=1e-4)
