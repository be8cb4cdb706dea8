"""`magfilter-slice`: the right pixels, the right way round, and one line for whatever goes wrong."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import av
import numpy as np
import pytest
from vibrations import RATE, Disc, render, write

from magfilter import Frame, InputError, Magnifier, OptionError, VideoReader
from magfilter.media.orientation import Orientation
from magfilter.media.text import render_text
from magfilter.slice_command import main
from magfilter.slices import Sampler, sheet, slice_of

ROOT = Path(__file__).parent.parent


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    """Runs the command in this process and in the test's folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return int(ended.value.code or 0), *capfd.readouterr()

    return call


def make(path: Path, count: int = 10, rotation: int = 0) -> None:
    """Frames of 40×30; frame n is of level 20·n, with its row 12 lighter by 30 and its column 7 by 15."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 40, 30, "bgr0"
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(count):
            picture = np.full((30, 40, 3), 20 * index, np.uint8)
            picture[12] += 30
            picture[:, 7] += 15
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def ramp(tmp_path) -> Path:
    make(tmp_path / "ramp.mkv")
    return tmp_path / "ramp.mkv"


def read(name: str) -> np.ndarray:
    with av.open(name) as container:
        assert container.format.name == "png_pipe"
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def expected(first: int = 0, count: int = 10) -> np.ndarray:
    """The slice of the ramp along 5,4 to 5,23."""
    column = np.array([[[20 * n] * 3 for n in range(first, first + count)]] * 20, np.uint8)
    column[8] += 30
    return column


def test_a_slice_holds_the_line_over_time(run, ramp):
    code, out, err = run("ramp.mkv", "--line", "5,4,5,23", "-o", "s.png")
    assert (code, out, err) == (0, "", "s.png: 10x20\n")
    assert np.array_equal(read("s.png"), expected())
    assert run("ramp.mkv", "--line", "5,4,5,23", "-o", "part.png", "-ss", "0.3", "-t", "0.4", "-q") == (0, "", "")
    assert np.array_equal(read("part.png"), expected(3, 4))
    assert run("ramp.mkv", "--line", "5,23,5,4", "-o", "few.png", "-ss", "0.1", "--frames", 2, "--scale", "3,2")[0] == 0
    assert np.array_equal(read("few.png"), np.repeat(np.repeat(expected(1, 2)[::-1], 2, 0), 3, 1))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_coordinates_are_those_of_the_picture_as_shown(run, tmp_path, rotation):
    make(tmp_path / "in.mkv", 3, rotation)
    picture = np.full((30, 40), 20, np.uint8)
    picture[12] += 30
    picture[:, 7] += 15
    shown = np.rot90(picture, rotation // 90)
    assert run("in.mkv", "--line", "2,20,25,20", "-o", "s.png")[0] == 0
    assert np.array_equal(read("s.png")[:, 1, 0], shown[20, 2:26])
    assert run("in.mkv", "--line", "11,3,11,27", "-o", "t.png")[0] == 0
    assert np.array_equal(read("t.png")[:, 1, 0], shown[3:28, 11])


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv410p", "gray12le", "gbrp10le"])
@pytest.mark.parametrize("line", [(3, 2, 60, 45), (64, 48, 64, 0), (0, 0, 0, 48), (20.5, 10.25, 41, 10.25)])
def test_only_what_is_near_the_line_is_converted_and_it_is_the_same(clips, pix_fmt, line):
    source = clips("in.mkv", codec="ffv1", size=(65, 49), pix_fmt=pix_fmt, frames=1, noise=True)
    with VideoReader(source) as reader:
        frame = reader.first
    whole = frame.to_rgb()
    found = Sampler(line, (65, 49))(frame)
    depth = 257 if whole.dtype == np.uint16 else 1
    x, y = (np.linspace(*ends, len(found)) for ends in (line[::2], line[1::2]))
    for n in range(len(found)):
        i, j = min(int(x[n]), 64), min(int(y[n]), 48)
        u, v = x[n] - i, y[n] - j
        part = np.pad(whole, ((0, 1), (0, 1), (0, 0)), mode="edge")[j : j + 2, i : i + 2].astype(float)
        value = (part[0, 0] * (1 - u) + part[0, 1] * u) * (1 - v) + (part[1, 0] * (1 - u) + part[1, 1] * u) * v
        assert np.abs(found[n] - value / depth).max() < 0.51


def test_the_magnified_clip_and_others_stand_below(run, clips, tmp_path):
    clips("in.mkv", codec="ffv1", size=(96, 64), frames=5)
    clips("other.mkv", codec="ffv1", size=(64, 64), frames=3)
    line = "5,4,30,50"
    assert (
        run("in.mkv", "--line", line, "-a", 8, "--beside", "other.mkv", "--scale", 4, "-o", "s.png", "--threads", 1)[0]
        == 0
    )
    found = {}
    magnifier = Magnifier(8, threads=1)
    for name, title, change in (
        ("in.mkv", "in.mkv", None),
        ("in.mkv", "× 8", magnifier.push),
        ("other.mkv", "other.mkv", None),
    ):
        with VideoReader(name) as reader:
            shown = [change(f) if change else f for f in reader if isinstance(f, Frame)]
        sample = Sampler((5, 4, 30, 50), (shown[0].width, shown[0].height))
        found[title] = np.repeat(np.repeat(np.stack([sample(f) for f in shown], 1), 4, 0), 4, 1)
    assert not np.array_equal(found["in.mkv"], found["× 8"])
    assert np.array_equal(read("s.png"), sheet(found))


def test_a_sheet_has_names_above_slices_of_any_length():
    one, two = np.full((5, 90, 3), 100, np.uint8), np.full((7, 30, 3), 200, np.uint8)
    page = sheet({"a": one, "bc": two})
    assert page.shape == (8 + 16 + 5 + 8 + 16 + 7 + 8, 8 + 90 + 8, 3)
    assert np.array_equal(page[24:29, 8:98], one)
    assert np.array_equal(page[53:60, 8:38], two)
    assert np.array_equal(page[37:53, 8:24, 0] == 30, render_text("bc"))
    assert page[53:60, 38:].min() == 255


def test_slices_of_arrays():
    frames = [np.full((8, 9, 3), n, np.uint8) for n in range(3)]
    assert slice_of(iter(frames), (1, 1, 1, 6)).tolist() == np.stack([np.full((6, 3), n) for n in range(3)], 1).tolist()
    with pytest.raises(InputError, match="no frame in the clip"):
        slice_of([], (1, 1, 1, 6), "the clip")
    with pytest.raises(
        OptionError, match="line 1,1,1,8 leaves the picture of 9x8 in the clip; x goes from 0 to 8, y to 7"
    ):
        slice_of(frames, (1, 1, 1, 8), "the clip")
    with pytest.raises(ValueError, match="expected a frame of 9x8, got 8x9"):
        Sampler((1, 1, 1, 6), (9, 8), Orientation())(Frame.from_rgb(np.zeros((9, 8, 3), np.uint8)))


@pytest.mark.parametrize(
    ("arguments", "expected", "text"),
    [
        (["--line", "5,4,5"], 2, "'5,4,5' is not X0,Y0,X1,Y1 in px"),
        (["--line", "5,4,5,nan"], 2, "'5,4,5,nan' is not X0"),
        (["--line", "5,4,5,30"], 2, "line 5,4,5,30 leaves the picture of 40x30 in ramp.mkv; x goes from 0 to 39"),
        (["--line", "5,4,1e12,3"], 2, "leaves the picture"),
        (["--scale", "0"], 2, "'0' is not T or T,L"),
        (["--band", "1:2"], 2, "band says what is magnified, and nothing is; add --alpha"),
        (["--alpha", "-1"], 2, "alpha must be a number of 0 or more"),
        (["--alpha", "2", "--model", "none.onnx"], 1, "none.onnx: no such model file"),
        (["--alpha", "2", "--band", "1:6"], 2, "band 1:6 reaches 6 Hz"),
        (["--alpha", "2", "--max-shift", "0"], 2, "max_shift must be more than 0 px"),
        (["--alpha", "2", "--smooth", "0"], 2, "smooth must be more than 0 px"),
        (["--smooth", "8"], 2, "smooth says what is magnified, and nothing is; add --alpha"),
        (["--beside", "none.mkv"], 1, "none.mkv does not exist; check the path"),
        (["-o", "old.png"], 1, "old.png already exists; use -y to overwrite it"),
        (["-o", "ramp.mkv", "-y"], 1, "ramp.mkv is the input"),
        (["-o", "no/s.png"], 1, "the folder no does not exist"),
        (["-o", "-"], 2, "the picture is written to a file"),
        (["-ss", "9"], 1, "ramp.mkv ends before the start"),
        (["--threads", "-1"], 2, "threads must be 0"),
    ],
)
def test_refusals_take_one_line_and_leave_nothing(run, ramp, tmp_path, arguments, expected, text):
    (tmp_path / "old.png").write_bytes(b"old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = run("ramp.mkv", "--line", "5,4,5,23", "-o", "s.png", *arguments)
    assert (code, out) == (expected, ""), err
    assert err.startswith("magfilter-slice: ")
    assert text in err
    assert err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_bug_is_one_line_too(run, ramp, monkeypatch):
    monkeypatch.setattr("magfilter.slice_command.sheet", None)
    monkeypatch.setattr("magfilter.slice_command.enlarged", None)
    code, _, err = run("ramp.mkv", "--line", "5,4,5,23", "-o", "s.png")
    assert code == 1
    assert err.startswith("magfilter-slice: internal error (TypeError: ")


def test_an_old_picture_is_replaced_when_asked(run, ramp, tmp_path):
    (tmp_path / "s.png").write_bytes(b"old")
    assert run("ramp.mkv", "--line", "5,4,5,23", "-o", "s.png", "-y")[0] == 0
    assert read("s.png").shape == (20, 10, 3)


def test_the_clip_chooses_its_factor(run, tmp_path):
    """The slice is the one of the factor that is told, of the motion of the band and the stretch asked for."""

    def swing(time: float) -> tuple[float, float]:
        return 0.4 * math.sin(2 * math.pi * 3 * time), 0.2 * math.sin(2 * math.pi * 10 * time)

    write(tmp_path / "disc.mkv", [render([Disc((48, 64), swing)], n / RATE) for n in range(60)])
    line = ("disc.mkv", "--line", "8,64,90,64", "-t", "1.5")
    for name, options in (("all", ()), ("band", ("--band", "8:12"))):
        code, _, err = run(*line, *options, "--alpha", "8px", "-o", f"{name}.png")
        assert code == 0, err
        found = re.match(r"alpha (\S+): the largest motion found, (\S+) px, becomes [78]", err)
        assert found, err
        assert float(found[2]) == pytest.approx({"all": 0.43, "band": 0.2}[name], rel=0.3)
        assert run(*line, *options, "--alpha", found[1], "-o", "told.png", "-y", "-q")[0] == 0
        np.testing.assert_array_equal(read(f"{name}.png"), read("told.png"))
        assert len(read("told.png")) > 2 * 82


def test_help_is_its_own_whatever_the_command_is_called(run):
    for flag in ("-h", "--help"):
        code, out, _ = run(flag)
        assert code == 0
        assert out.startswith("Usage: magfilter-slice [OPTIONS] CLIP")
        for text in ("--beside", "by this factor", "Exit codes", "130"):
            assert text in " ".join(out.split())


def test_it_is_installed_and_light():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["magfilter-slice"].partition(":")
    assert callable(getattr(import_module(module), function))
    heavy = ("torch", "cv2", "onnx", "PIL", "trainer", "export")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
