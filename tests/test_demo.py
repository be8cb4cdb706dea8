"""The demonstration clip: its motion is what it says, and the file is what players expect."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from magfilter.demo import BeamScene, main, mode_shape, render_demo, to_yuv420
from magfilter.errors import OptionError, OutputError

FRAMES, FPS, FREQUENCY = 9, 30, 3.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> tuple[Path, BeamScene]:
    path = tmp_path_factory.mktemp("demo") / "demo.mp4"
    scene = render_demo(path, seconds=FRAMES / FPS, fps=FPS, frequency=FREQUENCY, amplitude=0.3)
    return path, scene


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_tip_moves_as_asked_in_the_decoded_clip(clip):
    pytest.importorskip("cv2", reason="the registration needs OpenCV: pip install -e .[test]")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel
    from trainer.evaluation.registration import luma, register

    path, scene = clip
    frames = frames_of(path)
    assert len(frames) == FRAMES
    (x, y), half = scene.tip, scene.half_height
    columns = slice(int(x) - 40, int(x) - 3)
    inside = np.zeros(frames[0].shape[:2], bool)
    inside[int(y - half) + 4 : int(y + half) - 3, columns] = True
    wall = np.zeros_like(inside)
    wall[20:100, 300:500] = True
    share = mode_shape((np.arange(columns.start, columns.stop) - scene.clamp) / (x - scene.clamp)).mean()
    for index, frame in enumerate(frames):
        swing = 0.3 * np.sin(2 * np.pi * FREQUENCY * index / FPS)
        tip = register(luma(frames[0]), luma(frame), inside, np.zeros(2)).vector
        # Of the tip's swing the patch that ends there sees a known share.
        assert tip == pytest.approx([0, swing * share], abs=0.05), index
        still = register(luma(frames[0]), luma(frame), wall, np.zeros(2)).vector
        assert still == pytest.approx([0, 0], abs=0.03), index


def test_mode_shape_of_a_clamped_beam():
    assert mode_shape(np.array([-1.0, 0.0, 1.0])) == pytest.approx([0, 0, 1], abs=1e-6)
    assert mode_shape(np.array([0.5]))[0] == pytest.approx(0.3395, abs=1e-3)  # Blevins' tables
    assert (np.diff(mode_shape(np.linspace(0, 1, 50))) > 0).all()


def test_only_the_beam_and_its_shadow_move():
    scene = BeamScene((160, 96), amplitude=0.5, noise=0)
    gap = np.abs(scene.clean(1 / 12) - scene.clean(0)).max(-1)
    assert gap.max() > 0.02
    assert not gap[:20].any()
    assert not gap[80:].any()
    assert not gap[:, : int(scene.clamp) - 1].any()


def test_same_arguments_same_pictures():
    one, two, other = (BeamScene((96, 64), seed=seed).frame(0.1, 3) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1


def test_noise_is_as_asked():
    scene = BeamScene((160, 96), noise=2 / 255)
    assert (scene.frame(0, 0) - scene.clean(0)).std() * 255 == pytest.approx(2, rel=0.03)


def test_streams_and_tags(clip):
    path, _ = clip
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        context = video.codec_context
        assert (context.width, context.height, context.pix_fmt) == (640, 360, "yuv420p")
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (
            1,
            1,
            1,
            1,
        )
        assert video.average_rate == FPS
        assert audio.codec_context.name == "aac"
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio)])
    assert 0.01 < np.abs(sound).max() < 0.1  # there, and quiet
    assert len(sound) / 48_000 == pytest.approx(FRAMES / FPS, abs=0.06)


def test_colours_survive_the_file(clip):
    path, scene = clip
    due = scene.clean(0).mean((0, 1)) * 255
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        y, cb, cr = (np.asarray(plane, np.float64) for plane in _planes(frame))
    light = (y - 16) / 219
    blue = light.mean() + 1.8556 * (cb.mean() - 128) / 224
    red = light.mean() + 1.5748 * (cr.mean() - 128) / 224
    assert [255 * red, 255 * blue] == pytest.approx([due[0], due[2]], abs=1)


def _planes(frame: av.VideoFrame) -> list[np.ndarray]:
    flat, (width, height) = frame.to_ndarray().ravel(), (frame.width, frame.height)
    return np.split(flat, [width * height, width * height * 5 // 4])


@pytest.mark.parametrize(
    ("rgb", "codes"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((1, 1, 1), (235, 128, 128)),
        ((1, 0, 0), (63, 102, 240)),
        ((0, 0, 1), (32, 240, 118)),
    ],
)
def test_bt709_codes(rgb, codes):
    planes = to_yuv420(np.broadcast_to(np.array(rgb, np.float64), (4, 8, 3)))
    assert planes.shape == (6, 8)
    assert (planes[:4] == codes[0]).all()
    assert (planes[4] == codes[1]).all()
    assert (planes[5] == codes[2]).all()


def test_without_sound_at_another_rate(tmp_path):
    path = tmp_path / "quiet.mkv"
    rate = Fraction(24000, 1001)
    render_demo(path, seconds=0.1, fps=rate, size=(96, 64), audio=False)
    with av.open(str(path)) as container:
        assert not container.streams.audio
        assert container.streams.video[0].average_rate == pytest.approx(rate, rel=1e-3)
    assert len(frames_of(path)) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": (97, 64)}, "97x64"),
        ({"seconds": 0}, "one frame"),
        ({"fps": 0}, "fps"),
        ({"frequency": 15.0}, "half the frame rate"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_wrong_options_are_named(tmp_path, wrong, message):
    with pytest.raises(OptionError, match=message):
        render_demo(tmp_path / "x.mp4", **wrong)
    assert not list(tmp_path.iterdir())


def test_unwritable_output_leaves_nothing_behind(tmp_path):
    with pytest.raises(OutputError, match=r"x\.nothing"):
        render_demo(tmp_path / "x.nothing", seconds=0.1, size=(96, 64))
    assert not list(tmp_path.iterdir())


def test_command(tmp_path):
    path = tmp_path / "demo.mp4"
    arguments = [str(path), "--seconds", "0.1", "--size", "96x64"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert len(frames_of(path)) == 3
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1
    assert "-y" in again.output
    assert CliRunner().invoke(main, [*arguments, "-y"]).exit_code == 0
    assert CliRunner().invoke(main, [*arguments, "-y", "--frequency", "20"]).exit_code == 2
    assert CliRunner().invoke(main, [str(path), "--size", "big"]).exit_code == 2


def test_needs_neither_torch_nor_opencv():
    code = "import sys, magfilter.demo; sys.exit(bool({'torch', 'cv2', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
