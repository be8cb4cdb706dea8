"""--hwaccel: asked of libav, falls back where it may, says what to do where it may not. No GPU is needed or used."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from magfilter import MagnifyOptions
from magfilter.cli import command
from magfilter.errors import BackendError, InputError, OptionError
from magfilter.media import Frame, VideoReader
from magfilter.media import hwaccel as module
from magfilter.media.hwaccel import hardware, lacking


def planes(path, **options) -> list[np.ndarray]:
    with VideoReader(path, **options) as reader:
        found = [item.planes[0] for item in reader if isinstance(item, Frame)]
        assert (reader.errors, reader.warnings, reader.frames) == (0, [], len(found))
    return found


@pytest.fixture
def gpu(monkeypatch):
    """As if a device had opened; it does not when libav comes to it, unless there is one."""
    monkeypatch.setattr(module, "lacking", lambda kind: "")


def test_none_asks_nobody(monkeypatch):
    monkeypatch.setattr(module, "lacking", lambda kind: pytest.fail("asked"))
    assert hardware("none") is None
    assert MagnifyOptions().hwaccel == "none"


def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error(monkeypatch, clips):
    monkeypatch.setattr(module, "lacking", lambda kind: "no device opens (none there)")
    path = clips("a.mp4", frames=4)
    np.testing.assert_array_equal(planes(path, hwaccel="auto"), planes(path))
    with pytest.raises(
        BackendError, match=r"cannot be decoded on cuda here: no device .*; use --hwaccel none, or auto"
    ):
        VideoReader(path, hwaccel="cuda")


@pytest.mark.skipif(not lacking("cuda"), reason="there is a GPU")
def test_what_is_lacking_is_asked_of_libav(monkeypatch):
    assert "no device opens" in lacking("cuda") or "does not know" in lacking("cuda")
    assert lacking("nonsense") == "this build of libav does not know it"
    assert hardware("auto") is None


@pytest.mark.parametrize("name", ["a.mp4", "b.mkv"])
@pytest.mark.skipif(not lacking("cuda"), reason="there is a GPU")
def test_auto_falls_back_when_the_device_fails_after_all(gpu, clips, name):
    """A codec of which the decoder opens the device, and one that no GPU knows."""
    path = clips(name, frames=4, codec="libx264" if name == "a.mp4" else "ffv1")
    found = planes(path, hwaccel="auto")
    assert len(found) == 4
    np.testing.assert_array_equal(found, planes(path))


def test_cuda_refuses_a_codec_that_no_gpu_knows(gpu, clips):
    path = clips("b.mkv", frames=4, codec="ffv1")
    with pytest.raises(InputError, match=r"b\.mkv cannot be decoded on the GPU.*; use --hwaccel none, or auto"):
        VideoReader(path, hwaccel="cuda")


def test_an_input_that_is_none_stays_an_input_that_is_none(gpu, tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no clip")
    for how in ("auto", "cuda"):
        with pytest.raises(InputError, match="not media"):
            VideoReader(tmp_path / "x.mp4", hwaccel=how)


def test_the_command_line_hands_it_on(monkeypatch, clips):
    asked: list[str] = []
    monkeypatch.setattr(module, "lacking", lambda kind: asked.append(kind) or "no device opens (none there)")
    path = str(clips("a.mp4", frames=4))
    done = CliRunner().invoke(command, [path, "--info", "--hwaccel", "auto", "--backend", "onnxruntime-cpu"])
    assert (done.exit_code, asked) == (0, ["cuda"])
    done = CliRunner().invoke(command, [path, "--info", "--hwaccel", "cuda", "--backend", "onnxruntime-cpu"])
    assert isinstance(done.exception, BackendError)


def test_options_take_what_there_is():
    assert MagnifyOptions(hwaccel="auto").hwaccel == "auto"
    with pytest.raises(OptionError, match="hwaccel must be one of none, auto, cuda; got 'vdpau'"):
        MagnifyOptions(hwaccel="vdpau")
