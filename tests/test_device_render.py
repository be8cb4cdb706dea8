"""Frames rendered by torch are those that the CPU renders, on torch's CPU device. No GPU is needed."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rendering on a device needs torch")
pytest.importorskip("onnx", reason="the torch backend needs onnx")

from magfilter import Magnifier  # noqa: E402
from magfilter.device import cuda_renderer  # noqa: E402
from magfilter.device.render import TorchRenderer  # noqa: E402
from magfilter.device.transfer import Transfer  # noqa: E402
from magfilter.errors import BackendError  # noqa: E402
from magfilter.media.frame import Frame, PixelLayout  # noqa: E402

CPU = torch.device("cpu")


def picture(height: int, width: int, shift: float) -> np.ndarray:
    """A texture 0..1 (height, width) with a disc in it that is moved by `shift` px along x and half of it along y."""
    y, x = np.mgrid[:height, :width].astype(np.float64)

    def look(u, v):
        return 0.5 + 0.11 * (np.sin(u / 2.1 + v / 7) + np.sin(v / 3.3 - u / 11) + np.sin(u / 17) * np.cos(v / 5))

    ground, thing = look(x, y), look(1.3 * (x - shift) + 40, 1.1 * (y - shift / 2))
    edge = np.hypot(y - shift / 2 - height / 2, x - shift - width / 2) - height / 4
    share = np.clip(0.5 - edge, 0, 1)
    return ground * (1 - share) + thing * share


def frame(name: str, size: tuple[int, int], shift: float) -> Frame:
    layout = PixelLayout.from_name(name)
    planes = []
    for number in range(layout.plane_count):
        height, width = layout.plane_shape(number, *size)
        whole = np.rot90(picture(*size, shift), 2) if number % 2 else picture(*size, shift)
        plane = whole[:: -(-size[0] // height), :: -(-size[1] // width)][:height, :width]
        planes.append(np.ascontiguousarray(np.rint(layout.peak * plane).astype(layout.dtype)))
    return Frame(tuple(planes), layout, pts=round(100 * shift))


def pair(alpha: float, **options) -> tuple[Magnifier, Magnifier]:
    """Two magnifiers with the torch engine on the CPU, the second of which renders with torch."""
    one, two = (Magnifier(alpha, backend="torch", device="cpu", threads=1, shot_cuts=False, **options) for _ in "ab")
    assert one.engine.renderer is None, "on a CPU NumPy is faster"
    two.engine.renderer = TorchRenderer(CPU)
    return one, two


def compare(one: Magnifier, two: Magnifier, frames: list[Frame]) -> None:
    changed = 0
    for number, item in enumerate(frames):
        due, found = one.push(item), two.push(item)
        assert (found.layout, found.pts) == (due.layout, due.pts)
        if number == 0:
            assert found is item, "the reference is not touched"
        for a, b, before in zip(due.planes, found.planes, item.planes, strict=True):
            assert (b.dtype, b.shape) == (a.dtype, a.shape)
            assert b.flags.c_contiguous
            apart = np.abs(a.astype(int) - b.astype(int))
            assert (apart > 0).mean() < 0.005
            assert apart.max() <= 1
            changed += int((a != before).sum())
    assert changed > 100


@pytest.mark.parametrize("size", [(96, 128), (75, 109), (98, 101)])
@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "yuv420p10le", "yuv444p10le"])
def test_frames_are_the_cpu_s(name, size):
    compare(*pair(8), [frame(name, size, shift) for shift in (0, 0.4, -0.7)])


@pytest.mark.parametrize(
    "name", ["gray", "gray16le", "gbrp", "gbrp16le", "yuva420p", "yuv411p", "yuv422p12le", "yuv440p"]
)
def test_other_layouts(name):
    compare(*pair(8), [frame(name, (75, 109), shift) for shift in (0, 0.5)])


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p10le"])
def test_with_a_mask(name):
    size = (75, 109)
    y, x = np.mgrid[: size[0], : size[1]]
    factors = np.where(np.hypot(y - 37, x - 54) < 25, 9.0, 1.0)
    frames = [frame(name, size, shift) for shift in (0, 0.4, -0.7)]
    compare(*pair(9, alpha_map=factors), frames)
    factors[:, :40] = 3
    compare(*pair(9, alpha_map=factors), frames)


@pytest.mark.parametrize(
    "options", [{"proxy": 0.002}, {"max_shift": 2.0}, {"detrend": True}, {"reference": "previous"}, {"alpha": 0.0}]
)
def test_with_other_options(options):
    alpha = options.pop("alpha", 8)
    compare(*pair(alpha, **options), [frame("yuv420p", (75, 109), shift) for shift in (0, 0.4, -0.7)])


def test_with_a_band():
    """Only a part of the motion."""
    frames = [frame("yuv420p", (64, 80), 0.5 * np.sin(k)) for k in range(6)]
    compare(*pair(8, band=(2, 6), fps=25), frames)


def test_a_frame_that_does_not_move_is_handed_on_itself():
    item = frame("yuv420p", (64, 80), 0)
    still = np.zeros((2, 32, 40), np.float32)
    renderer = TorchRenderer(CPU)
    assert renderer.render(item, still, 10.0, 2) is item
    assert renderer.render(item, still + 3, np.ones((32, 40), np.float32), 2) is item


def test_samples_that_do_not_move_keep_their_bits():
    item = frame("yuv420p10le", (64, 80), 0)
    flow = np.zeros((2, 32, 40), np.float32)
    flow[:, 10:16, 10:16] = 0.5
    flow.flags.writeable = False
    item.planes[0].flags.writeable = False
    out = TorchRenderer(CPU).render(item, flow, 6.0, 2)
    for before, after, step in zip(item.planes, out.planes, (1, 2, 2), strict=True):
        same = before == after
        assert not same.all()
        assert same[:, 60 // step :].all()
        assert same[52 // step :].all()


def test_several_threads_may_render():
    item = frame("yuv420p", (64, 80), 0)
    flows = [np.full((2, 32, 40), value, np.float32) for value in (0.3, -0.6, 0.9)]
    renderer = TorchRenderer(CPU)
    due = [renderer.render(item, flow, 5.0, 2).planes[0] for flow in flows]
    found: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        for _ in range(5):
            found[number] = renderer.render(item, flows[number], 5.0, 2).planes[0]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, plane in enumerate(due):
        np.testing.assert_array_equal(found[number], plane)


def test_too_little_memory_is_an_error_that_says_what_to_do(monkeypatch):
    def fail(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("magfilter.device.render.magnified_displacement", fail)
    item = frame("yuv420p", (64, 80), 0)
    with pytest.raises(BackendError, match=r"cpu: not enough memory .* 80x64; .*--device cpu"):
        TorchRenderer(CPU).render(item, np.ones((2, 32, 40), np.float32), 5.0, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_what_goes_up_comes_down(monkeypatch, dtype):
    """Also through staging memory, as on CUDA, which is waited for before it is read."""
    value = np.random.default_rng(0).integers(0, 60000, (7, 9)).astype(dtype)
    (found,) = Transfer(CPU).down(Transfer(CPU).up([value]))
    np.testing.assert_array_equal(found.view(dtype), value)
    waits: list[object] = []
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, pin_memory, **kwargs: empty(*args, **kwargs))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(waits))
    transfer = Transfer(CPU)
    transfer.staged = True
    for number in range(3):
        values = [value + dtype(number), value[::-1], value[:3]]
        found = transfer.down([tensor.clone() for tensor in transfer.up(values)])
        assert len(waits) == number + 1
        for a, b in zip(values, found, strict=True):
            np.testing.assert_array_equal(b.view(dtype), a)
    assert len(transfer._stages) == 6, "three up and three down, used again"


class Stream:
    """Notes that it was waited for."""

    def __init__(self, waits: list[object]) -> None:
        self.synchronize = lambda: waits.append(self)


# -- which engines have one


def test_without_cuda_other_engines_render_as_before(monkeypatch):
    if not torch.cuda.is_available():
        assert cuda_renderer("cuda:0") is None
    monkeypatch.setitem(sys.modules, "torch", None)  # import torch now raises ImportError
    monkeypatch.setattr("magfilter.device.find_spec", lambda name: object())
    monkeypatch.delitem(sys.modules, "magfilter.device.render")
    assert cuda_renderer("cuda:0") is None
    monkeypatch.setattr("magfilter.device.find_spec", lambda name: None)
    assert cuda_renderer("cuda:0") is None


def test_with_cuda_a_renderer_is_made_for_the_device_that_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("magfilter.device.render.TorchRenderer", lambda device: ("made", str(device)))
    assert cuda_renderer("cuda:1") == ("made", "cuda:1")
    assert cuda_renderer("cuda:2") is None, "torch does not see it"


def test_rendering_on_the_cpu_imports_no_torch():
    code = (
        "import sys, numpy as np, magfilter; m = magfilter.Magnifier(5, backend='onnxruntime-cpu', threads=1); "
        "m.push(np.zeros((32, 32, 3), np.uint8)); m.push(np.eye(32, dtype=np.uint8)[..., None].repeat(3, 2) * 200); "
        "print(m.engine.renderer, 'torch' in sys.modules)"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]
