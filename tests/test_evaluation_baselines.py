"""The methods that others are: forward warping, phase, programs. Known answers where the answer is known."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

from trainer.evaluation import estimators, external, methods  # noqa: E402
from trainer.evaluation.forward_warp import bilinear, forward_warp, inpainted, nearest  # noqa: E402
from trainer.evaluation.registration import luma, register  # noqa: E402

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs Debian's ffmpeg in the PATH")
both = pytest.mark.parametrize("splat", [nearest, bilinear])
GREEN = np.array([40, 160, 90], np.uint8)


def waves(shift: float = 0.0, size: tuple[int, int] = (97, 130)) -> np.ndarray:
    """Smooth coloured texture (H, W, 3) uint8, all of it moved by ``shift`` px to the right."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    picture = np.zeros((*size, 3))
    for _ in range(30):
        length, angle = 9 * 2 ** rng.uniform(0, 2), rng.uniform(0, 2 * np.pi)
        wave = np.sin(2 * np.pi * ((np.cos(angle) * (x - shift) + np.sin(angle) * y) / length + rng.uniform()))
        picture += wave[..., None] * (1 + rng.normal(0, 0.4, 3))
    return np.clip(np.rint(127 + 40 * picture / 4), 0, 255).astype(np.uint8)


class Square:
    """A textured square of 12 px over ``ground``, that moves by (2, 1) px, with the exact flow."""

    motion = (2, 1)
    corner = (20, 18)

    def __init__(self, ground: np.ndarray) -> None:
        self.ground = ground
        self.texture = np.random.default_rng(1).integers(0, 255, (12, 12, 3), np.uint8)

    def place(self, times: int) -> tuple[slice, slice]:
        x, y = (c + times * m for c, m in zip(self.corner, self.motion, strict=True))
        return slice(y, y + 12), slice(x, x + 12)

    def picture(self, times: int) -> np.ndarray:
        picture = self.ground.copy()
        picture[self.place(times)] = self.texture
        return picture

    def flow(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Frame → reference, as :func:`forward_warp` has to ask for it."""
        assert np.array_equal(a, self.picture(1))
        assert np.array_equal(b, self.picture(0))
        field = np.zeros((*a.shape[:2], 2), np.float32)
        field[self.place(1)] = -np.array(self.motion)
        return field

    def uncovered(self, times: int) -> np.ndarray:
        """(H, W) bool: what the frame's square hides, and the magnified one no longer."""
        mask = np.zeros(self.ground.shape[:2], bool)
        mask[self.place(1)] = True
        mask[self.place(times)] = False
        return mask


def flat_ground() -> np.ndarray:
    return np.full((64, 80, 3), GREEN)


def rough_ground() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 255, (64, 80, 3), np.uint8)


# --- forward warping ------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("times", [0, 2, 4, 10])
@pytest.mark.parametrize("ground", [flat_ground, rough_ground])
def test_square_moves_by_alpha_and_leaves_a_hole(splat, times, ground):
    square = Square(ground())
    magnified = forward_warp(square.flow, splat, inpaint=False)(square.picture(0), square.picture(1), float(times))
    hole = square.uncovered(times)
    due = square.picture(times)
    due[hole] = 0
    assert hole.any()
    np.testing.assert_array_equal(magnified, due)


@both
def test_hole_is_inpainted(splat):
    square = Square(flat_ground())
    magnified = forward_warp(square.flow, splat)(square.picture(0), square.picture(1), 10.0)
    hole, due = square.uncovered(10), square.picture(10)
    np.testing.assert_array_equal(magnified[~hole], due[~hole])
    assert np.abs(magnified[hole].astype(int) - GREEN).max() <= 2  # Telea's sums round


@both
def test_inpainting_touches_holes_alone(splat):
    square = Square(rough_ground())
    magnified = forward_warp(square.flow, splat)(square.picture(0), square.picture(1), 4.0)
    hole, due = square.uncovered(4), square.picture(4)
    np.testing.assert_array_equal(magnified[~hole], due[~hole])
    assert magnified[hole].min(1).mean() > 20  # of the ground's noise, whose darkest channel is 64 on average


@both
def test_alpha_1_is_the_frame_to_the_bit(splat):
    frame = rough_ground()
    wild = np.random.default_rng(3).normal(0, 5, (64, 80, 2)).astype(np.float32)
    np.testing.assert_array_equal(forward_warp(lambda a, b: wild, splat)(frame, frame, 1.0), frame)


@both
def test_the_bigger_motion_wins(splat):
    row = np.zeros((1, 8, 3), np.uint8)
    row[0, :, 0] = [10, 20, 30, 40, 50, 60, 70, 80]
    motion = np.zeros((1, 8, 2))
    motion[0, 0, 0], motion[0, 4, 0] = 3, -1  # both land on the fourth, which stays
    picture, holes = splat(row, motion)
    assert picture[0, :, 0].tolist() == [0, 20, 30, 10, 0, 60, 70, 80]
    assert np.flatnonzero(holes).tolist() == [0, 4]


@pytest.mark.parametrize("half", [0.5, -0.5, 1.5])
def test_nearest_does_not_tear_at_half_pixels(half):
    frame = rough_ground()
    picture, holes = nearest(frame, np.full((64, 80, 2), half))
    whole = int(np.floor(half + 0.5))
    inner = np.s_[4:-4, 4:-4]
    assert not holes[inner].any()
    np.testing.assert_array_equal(picture[inner], np.roll(frame, (whole, whole), (0, 1))[inner])


def test_bilinear_shares_a_pixel_out():
    frame = rough_ground()
    picture, holes = bilinear(frame, np.broadcast_to([0.25, 0.0], (64, 80, 2)))
    due = 0.75 * frame[:, 1:].astype(float) + 0.25 * frame[:, :-1]
    assert np.abs(picture[:, 1:] - due).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(picture[:, 0], frame[:, 0])  # three quarters landed there: enough
    assert not holes.any()


def test_bilinear_outline_covers_by_its_share():
    row = np.zeros((1, 8, 3), np.uint8)
    row[0, :4], row[0, 4:] = 200, 100
    motion = np.zeros((1, 8, 2))
    motion[0, :4, 0] = 2.5  # the last of the four covers the sixth and seventh by half each
    picture, holes = bilinear(row, motion)
    assert picture[0, 2:, 0].tolist() == [200, 200, 200, 200, 150, 100]
    assert np.flatnonzero(holes).tolist() == [0, 1]


@both
def test_nothing_lands_from_outside(splat):
    frame = flat_ground()
    picture, holes = splat(frame, np.full((64, 80, 2), 1e6))
    assert holes.all()
    assert not picture.any()
    assert not inpainted(picture, holes).any()


@pytest.mark.parametrize("name", ["warp-nearest", "warp-bilinear", "warp-bilinear:dis", "warp-nearest-holes:dis"])
def test_forward_warp_by_name(name):
    reference, frame = waves(0), waves(0.5)
    magnified = methods.method(name)(reference, frame, 5.0)  # by 2.5 px; thrown by 2, so that nearest can be right
    inside = np.zeros(frame.shape[:2], bool)
    inside[20:-20, 20:-20] = True
    seen = register(luma(reference), luma(magnified), inside, np.array([2.5, 0]))
    assert seen.vector == pytest.approx([2.5, 0], abs=0.15)


def test_forward_warp_takes_any_estimator(monkeypatch):
    asked = []

    def flow(a, b):
        asked.append((a, b))
        return np.zeros((*a.shape[:2], 2), np.float32)

    monkeypatch.setitem(estimators.ESTIMATORS, "spynet", lambda: flow)
    reference, frame = flat_ground(), rough_ground()
    np.testing.assert_array_equal(methods.method("warp-bilinear:spynet")(reference, frame, 9.0), frame)
    assert asked[0][0] is frame
    assert asked[0][1] is reference
    with pytest.raises(ValueError, match="nonsense"):
        methods.method("warp-nearest:nonsense")


# --- phase ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def phase() -> methods.Method:
    pytest.importorskip("pyrtools", reason="phase needs pyrtools: pip install -e .[train]")
    return methods.method("phase")


@pytest.mark.parametrize("name", ["phase", "phase:0", "phase:3"])
def test_phase_magnifies_a_sinusoid(phase, name):
    x = np.arange(128)

    def ripple(shift: float) -> np.ndarray:
        wave = np.rint(127 + 90 * np.sin(2 * np.pi * (x - shift) / 16)).astype(np.uint8)
        return np.broadcast_to(wave[None, :, None], (96, 128, 3)).copy()

    magnified = methods.method(name)(ripple(0), ripple(0.3), 4.0)
    # Four periods from the middle: the phase of their Fourier coefficient says where they are.
    coefficient = (magnified[48, 32:96, 1].astype(float) * np.exp(-2j * np.pi * x[32:96] / 16)).sum()
    moved = -(np.angle(coefficient) + np.pi / 2) * 16 / (2 * np.pi)
    assert moved == pytest.approx(1.2, rel=0.1)
    assert np.abs(magnified[48, 32:96].astype(float) - ripple(1.2)[48, 32:96]).max() < 8


@pytest.mark.parametrize(("alpha", "due"), [(0.0, 0.0), (2.0, 0.6), (4.0, 1.2)])
def test_phase_magnifies_a_texture(phase, alpha, due):
    reference = waves(0)
    magnified = phase(reference, waves(0.3), alpha)
    inside = np.zeros(reference.shape[:2], bool)
    inside[20:-20, 20:-20] = True
    seen = register(luma(reference), luma(magnified), inside, np.array([due, 0]))
    assert seen.vector == pytest.approx([due, 0], abs=max(0.1 * due, 0.05))


def test_phase_of_alpha_1_or_no_motion_is_the_frame(phase):
    reference, frame = waves(0), waves(0.3)
    assert np.abs(phase(reference, frame, 1.0).astype(int) - frame).max() <= 1
    assert np.abs(phase(frame, frame, 20.0).astype(int) - frame).max() <= 1


def test_phase_of_small_and_odd_pictures(phase):
    frame = waves(0, (17, 23))
    assert np.abs(phase(frame, frame, 5.0).astype(int) - frame).max() <= 1


def test_phase_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyrtools", None)
    monkeypatch.setitem(sys.modules, "pyrtools.pyramids", None)
    with pytest.raises(ValueError, match="pip install pyrtools"):
        methods.method("phase")


@pytest.mark.parametrize("wrong", ["phase:much", "phase:-1", "phase:nan"])
def test_phase_refuses_a_wrong_blur(wrong):
    with pytest.raises(ValueError, match=r"much|-1|nan"):
        methods.method(wrong)


# --- programs -------------------------------------------------------------------------------------

PROGRAM = """
import sys
from pathlib import Path
mode, source, target, alpha = sys.argv[1:]
with open(Path(__file__).with_suffix(".log"), "a") as log:
    print(mode, alpha, file=log)
if mode == "fail":
    sys.exit("first line\\nno such motion")
if mode == "nothing":
    sys.exit()
if mode == "text":
    Path(target).write_text("not a video")
    sys.exit()
import av
with av.open(source) as clip:
    frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
if mode == "short":
    frames = frames[:-1]
if mode == "crop":
    frames = [frame[:32, :32] for frame in frames]
with av.open(target, "w") as out:
    stream = out.add_stream("ffv1", rate=25)
    stream.height, stream.width = frames[0].shape[:2]
    stream.pix_fmt = "bgr0"
    for frame in frames:
        frame = 255 - frame
        frame[0, 0] = round(float(alpha))
        out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
    out.mux(stream.encode(None))
"""


@pytest.fixture
def program(tmp_path):
    """Makes the method that runs a small program, which inverts frames and leaves alpha in their first pixel."""
    script = tmp_path / "a program.py"  # a space: what shlex splits must stay together
    script.write_text(PROGRAM)

    def make(mode: str) -> external.Command:
        words = shlex.join([sys.executable, str(script), mode])
        return methods.method(f"command:{words} {{in}} {{out}} {{alpha}}")

    make.log = script.with_suffix(".log")
    return make


def odd_pair() -> list[np.ndarray]:
    return [waves(shift, (33, 47)) for shift in (0, 0.5)]


def test_program_gets_the_frames_and_alpha(program):
    reference, frame = odd_pair()
    due = 255 - frame
    due[0, 0] = 12
    np.testing.assert_array_equal(program("invert")(reference, frame, 12.0), due)
    assert program.log.read_text() == "invert 12\n"


def test_program_does_a_whole_clip_in_one_run(program):
    frames = [waves(shift, (32, 48)) for shift in (0, 1, 2, 3, 4)]
    found = methods.clip(program("invert"), frames, 2.5)
    for picture, frame in zip(found, frames, strict=True):
        np.testing.assert_array_equal(picture[1:], 255 - frame[1:])
    assert program.log.read_text() == "invert 2.5\n"


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fail", "exit code 1:\nfirst line\nno such motion"),
        ("nothing", "wrote no"),
        ("text", "cannot be read"),
        ("short", "wrote 1 frames, not 2"),
        ("crop", "wrote frames of 32x32, not 47x33"),
    ],
)
def test_program_that_fails(program, mode, message):
    with pytest.raises(ValueError, match=f"Command .* {mode} (.|\n)*{message}"):
        program(mode)(*odd_pair(), 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("program {in} {alpha}", "lacks {out}"),
        ("program", "lacks {in} and {out}"),
        ("", "lacks {in} and {out}"),
        ("program '{in} {out}", "cannot be split"),
    ],
)
def test_command_that_cannot_be_meant(text, message):
    with pytest.raises(ValueError, match=message):
        methods.method(f"command:{text}")


def test_program_that_is_not_there():
    with pytest.raises(ValueError, match=r"no-such-program .* could not be started"):
        methods.method("command:no-such-program {in} {out}")(*odd_pair(), 2.0)


def test_the_filter_as_a_program_agrees_with_itself():
    reference, frame = (waves(shift, (64, 96)) for shift in (0, 0.5))
    filter_ = shlex.join([sys.executable, "-m", "magfilter"])
    as_program = methods.method(f"command:{filter_} {{in}} {{out}} -a {{alpha}} --model warp -c:v ffv1 --threads 1 -y")
    seen = as_program(reference, frame, 6.0)
    due = methods.method("model:warp")(reference, frame, 6.0)
    assert np.abs(seen.astype(int) - due).max() <= 1
    assert np.abs(seen.astype(int) - frame).mean() > 5  # and it does magnify


@needs_ffmpeg
def test_ffmpeg_reads_and_writes():
    reference, frame = odd_pair()
    lossless = methods.method("command:ffmpeg -v error -i {in} -c:v ffv1 {out}")
    np.testing.assert_array_equal(lossless(reference, frame, 3.0), frame)
    yuv = methods.method("command:ffmpeg -v error -i {in} -c:v libx264 -qp 0 -pix_fmt yuv444p {out}")
    assert np.abs(yuv(reference, frame, 3.0).astype(int) - frame).max() <= 4  # by its own matrix and range


@pytest.mark.parametrize("depth", [8, 16])
def test_what_is_read_is_8_bit(tmp_path, depth):
    import av

    levels = np.arange(256, dtype=np.uint16).reshape(16, 16, 1).repeat(3, 2)
    path = tmp_path / "levels.mkv"
    if depth == 8:
        external.write_clip(path, [levels.astype(np.uint8)])
    else:
        with av.open(str(path), "w") as out:
            stream = out.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "gbrp16le"
            out.mux(stream.encode(av.VideoFrame.from_ndarray(levels * 257, format="gbrp16le")))
            out.mux(stream.encode(None))
    (found,) = external.read_clip(path)
    np.testing.assert_array_equal(found, levels.astype(np.uint8))


# --- clips by pairs -------------------------------------------------------------------------------


def test_clip_by_pairs_keeps_the_first_frame():
    frames = [np.full((4, 4, 3), level, np.uint8) for level in (10, 12, 15)]
    calls = []

    def magnify(reference, frame, alpha):
        calls.append((int(reference[0, 0, 0]), int(frame[0, 0, 0])))
        return (reference + alpha * (frame.astype(float) - reference)).astype(np.uint8)

    found = methods.clip(magnify, frames, 3.0)
    assert [int(picture[0, 0, 0]) for picture in found] == [10, 16, 25]
    assert calls == [(10, 12), (10, 15)]
    assert methods.clip(magnify, [], 3.0) == []
