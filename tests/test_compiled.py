"""What numba compiles does what NumPy does, and stays out of the way where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import magfilter
from magfilter import Magnifier, compiled, splat
from magfilter.backends import resample
from magfilter.compiled import kernels
from magfilter.displace import _reflect
from magfilter.splat import Points, square

needs_numba = pytest.mark.skipif(compiled.version() is None, reason="numba is not installed")


def smooth(rng: np.random.Generator, shape: tuple[int, int, int], deviation: float) -> np.ndarray:
    """A field of motion: a few px of waves, some of it at rest, some of it torn."""
    channels, height, width = shape
    y, x = np.mgrid[:height, :width] / 7
    waves = [np.sin(y + rng.uniform(0, 6)) * np.cos(x + rng.uniform(0, 6)) for _ in range(channels)]
    field = (np.stack(waves) * deviation).astype(np.float32)
    field[:, : height // 4] = 0
    field[:, height // 2 :, : width // 3] += np.float32(3 * deviation)
    return field


def both_moved(plane: np.ndarray, field: np.ndarray, step: tuple[float, float], peak: int) -> list[np.ndarray]:
    """The whole of a plane moved by NumPy, and by what is compiled, in bands."""
    found = []
    for work in (resample._move, kernels().move):
        out = plane.copy()
        for top in range(0, plane.shape[0], 13):
            work(field, step, plane, peak, (top, min(top + 13, plane.shape[0])), out)
        found.append(out)
    return found


@needs_numba
@pytest.mark.parametrize(
    ("size", "grid", "step"),
    [
        ((48, 64), (24, 32), (1, 1)), ((24, 32), (24, 32), (2, 2)), ((51, 70), (26, 35), (1, 1)),
        ((48, 64), (8, 11), (1, 2)), ((5, 3), (1, 1), (1, 1)),
    ],
    ids=["twice", "same", "odd", "other ratio", "one point"],
)  # fmt: skip
@pytest.mark.parametrize(("kind", "peak"), [(np.uint8, 255), (np.uint16, 1023), (np.uint16, 65535)])
def test_samples_are_moved_as_numpy_moves_them(size, grid, step, kind, peak):
    rng = np.random.default_rng(3)
    plane = rng.integers(0, peak + 1, size).astype(kind)
    for deviation in (0.3, 4.0, 400.0):
        numpy, fast = both_moved(plane, smooth(rng, (2, *grid), deviation), step, peak)
        away = np.abs(numpy.astype(int) - fast)
        assert away.max() <= max(1, peak // 8192)  # positions far from 0 differ in the last digit of a float
        assert np.mean(away > 0) < (0.01 if peak < 5000 else 0.6)
    assert (fast != plane).any()


@needs_numba
@pytest.mark.parametrize("way", [-9.0, -30.5, -47.0, -70.0, 8.5, 33.0, 60.0, -400.0, 400.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_rows_that_are_mirrored_into_a_band_are_looked_at(way, axis):
    """However far they lie from the band, which prepares only the rows that it looks at."""
    plane = np.random.default_rng(3).integers(0, 256, (48, 40)).astype(np.uint8)
    field = np.zeros((2, 24, 20), np.float32)
    field[axis] = np.float32(way)
    field[axis, :, :9] *= np.float32(0.5)
    numpy, fast = both_moved(plane, field, (1, 1), 255)
    assert (numpy == fast).all()
    assert axis == 0 or abs(way) > 100 or len(np.unique(fast[:, -1])) > 20, "no streak"


@needs_numba
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_no_displacement_reads_nothing_that_is_not_there(value):
    plane = np.full((40, 30), 7, np.uint8)
    field = np.zeros((2, 20, 15), np.float32)
    field[:, 5:9, 4:6] = value
    out = np.zeros_like(plane)
    kernels().move(field, (1.0, 1.0), plane, 255, (0, 40), out)
    assert set(np.unique(out)) <= {0, 7}


@needs_numba
def test_planes_that_may_not_be_written_or_have_gaps_are_moved():
    plane = np.random.default_rng(0).integers(0, 256, (20, 64)).astype(np.uint8)
    field = np.full((2, 10, 16), 0.5, np.float32)
    view = plane[:, ::2]
    view.flags.writeable = False
    field.flags.writeable = False
    numpy, fast = both_moved(view, field, (1, 1), 255)
    assert (numpy == fast).all()
    assert (fast != view).any()


def thrown_scene(seed: int, still: float) -> tuple[Points, np.ndarray, np.ndarray]:
    """Points with overlaps, tears, zooms and rest."""
    rng = np.random.default_rng(seed)
    thrown = smooth(rng, (2, 40, 52), 5.0) + rng.normal(0, 0.2, (2, 40, 52)).astype(np.float32)
    rest = square(thrown) <= still**2
    thrown[:, rest] *= np.float32(0.01)
    borne = rng.normal(0, 0.5, (2, 1, 1)).astype(np.float32)
    own = np.sqrt(square(thrown - borne))
    own[:5, :5] = -0.2
    return Points(thrown, (-1.8 * thrown).astype(np.float32), own.astype(np.float32)), rest, borne


@needs_numba
@pytest.mark.parametrize("still", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("seed", range(4))
def test_points_land_as_numpy_lets_them(seed, still):
    points, rest, borne = thrown_scene(seed, still)
    for ground in (borne, np.broadcast_to(borne, points.thrown.shape)):
        numpy, fast = (work(points, rest, ground, 2.0) for work in (splat._splat, kernels().splat))
        np.testing.assert_allclose(fast[0], numpy[0], atol=1e-4)
        np.testing.assert_allclose(fast[1], numpy[1], atol=1e-6)
    assert numpy[1].max() > 2  # some places are fought for


@needs_numba
def test_points_of_no_place_land_nowhere():
    points, rest, borne = thrown_scene(0, 0.5)
    points.thrown[:, 10:14, 10:14] = np.nan
    points.thrown[:, 20, 20], points.thrown[:, 21, 20] = np.inf, -np.inf
    _, landed = kernels().splat(points, rest, borne, 2.0)
    assert np.isfinite(landed).all()


@needs_numba
def test_numbers_of_the_rules_are_not_kept_from_another_release(monkeypatch):
    """They are arguments: numba does not see that a module which it reads them from has changed."""
    from magfilter.compiled import splat as module

    points, rest, borne = thrown_scene(1, 0.5)
    before, _ = module.splat(points, rest, borne, 2.0)
    monkeypatch.setattr(module, "RULES", module.RULES._replace(apart=1e6))
    after, _ = module.splat(points, rest, borne, 2.0)
    assert (before != after).any()


@needs_numba
@pytest.mark.parametrize("seed", range(4))
def test_gaps_are_filled_as_numpy_fills_them(seed):
    rng = np.random.default_rng(seed)
    field, behind = smooth(rng, (2, 40, 52), 5.0), smooth(rng, (2, 40, 52), 9.0)
    gap = np.zeros((40, 52), bool)
    gap[8:30, 5:40] = gap[35:, 45:] = True
    gap &= rng.random(gap.shape) < 0.95
    numpy, fast = (work(field, gap, behind, 2.0, 0.01, 4, 256) for work in (_reflect, kernels().reflect))
    assert (numpy[1] == fast[1]).all()
    assert fast[1].any()
    assert not fast[1][gap].all()
    np.testing.assert_allclose(fast[0], numpy[0], atol=1e-4)


@pytest.mark.parametrize("work", [_reflect, pytest.param("compiled", marks=needs_numba)])
def test_a_short_way_leads_to_no_far_rim(work):
    """A stray point of a wide gap showed what lay twenty points off: a black dot on a wall."""
    work = kernels().reflect if work == "compiled" else work
    field, behind, gap = (
        np.zeros((2, 2, 40, 12), np.float32),
        np.zeros((2, 40, 12), np.float32),
        np.zeros((40, 12), bool),
    )
    gap[2:30], behind[1, 5, 6], behind[1, 20, 6] = True, 1.0, 9.0
    _, left_over = work(field[0], gap, behind, 2.0, 0.01, 4, 256)
    assert left_over[5, 6]
    assert not left_over[20, 6]


@needs_numba
def test_a_magnifier_shows_the_same():
    """All of it, over some frames: hardly a sample differs, and none by much."""
    rng = np.random.default_rng(5)
    texture = rng.integers(0, 256, (12, 12, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
    ground = rng.integers(60, 190, (128, 160, 3)).astype(np.uint8)
    frames = []
    for n in range(3):
        frame = ground.copy()
        frame[30:90, 40 + n : 100 + n] = texture[:60, :60]
        frames.append(frame)
    found = []
    for how in (compiled.left_out, nullcontext):
        with how():
            magnifier = Magnifier(alpha=6, threads=1)
            found.append([magnifier.push(frame).astype(int) for frame in frames])
    for numpy, fast in zip(*found, strict=True):
        assert np.mean(numpy != fast) < 1e-3
        assert np.percentile(np.abs(numpy - fast), 99.99) <= 1
    assert (fast != frames[-1]).any()


def answer(code: str, **environment: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_without_numba_numpy_does_it(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['numba'] = None\n")
    code = "from magfilter.compiled import kernels, version\nprint(kernels(), version())"
    assert answer(code, PYTHONPATH=str(tmp_path)) == "None None"


@needs_numba
def test_numba_can_be_told_to_compile_nothing():
    code = "from magfilter.compiled import kernels, version\nprint(kernels(), version())"
    assert answer(code, NUMBA_DISABLE_JIT="1") == "None None"


def test_a_numba_that_does_not_work_is_done_without(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(compiled, "_found", [])
    monkeypatch.setattr(compiled, "version", lambda: "0.1")
    for name in ("fill", "pixels", "splat"):
        monkeypatch.setitem(sys.modules, f"magfilter.compiled.{name}", None)
        monkeypatch.delattr(compiled, name, raising=False)
    assert kernels() is None
    assert "numba does not work here" in caplog.text


def test_importing_the_filter_imports_no_numba():
    assert answer("import sys, magfilter.magnifier\nprint('numba' in sys.modules)") == "False"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_waits_until_nothing_is_being_compiled(monkeypatch):
    """Otherwise the child would wait for ever for a lock of a thread that it does not have."""
    began, go_on = threading.Event(), threading.Event()

    def load() -> None:
        began.set()
        go_on.wait(10)

    monkeypatch.setattr(compiled, "_found", [])
    monkeypatch.setattr(compiled, "_load", load)
    thread = threading.Thread(target=kernels)
    thread.start()
    began.wait(10)
    threading.Timer(0.3, go_on.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if kernels() is None and compiled._found == [None] else 1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_numba
def test_what_is_kept_holds_for_the_sources_it_was_made_of(tmp_path):
    """A kernel takes in numbers and functions of other files, which numba does not look at."""
    package = tmp_path / "magfilter"
    shutil.copytree(Path(magfilter.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))
    code = (
        "import numpy as np; from magfilter.compiled import evidence as e\n"
        "m = np.full((6, 1, 1), 1e-4, np.float32); m[1] = 0\n"
        "out = np.zeros((2, 1, 1), np.float32), *np.zeros((2, 1, 1), np.float32)\n"
        "e.solve(m, np.float32(5e-5), np.float32(16), 0, 1, *out)\n"
        "print(out[0][0, 0, 0], len(e.solve.stats.cache_hits), e.__file__)\n"
    )

    def solved() -> tuple[str, bool]:
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        value, hits, file = done.stdout.split()
        assert file.startswith(str(package))
        return value, hits != "0"

    first = solved()
    assert not first[1]
    assert solved() == (first[0], True)
    constants = package / "networks" / "constants.py"
    text = constants.read_text()
    assert "SOLVES = 3" in text
    constants.write_text(text.replace("SOLVES = 3", "SOLVES = 1"))
    value, kept = solved()
    assert not kept
    assert value != first[0]
