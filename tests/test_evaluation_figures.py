"""Figures show what they are given, and `python -m trainer slice` draws a clip's x–t slice."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
pytest.importorskip("matplotlib", reason="the evaluation's figures need matplotlib: pip install -e .[train]")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

from click.testing import CliRunner, Result  # noqa: E402

from trainer.__main__ import main  # noqa: E402
from trainer.evaluation import canvas, figures, slices  # noqa: E402
from trainer.evaluation.pairs import read_image  # noqa: E402


def noise(seed: int, high: int = 40, wide: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (high, wide, 3), np.uint8)


def vector(u: float, v: float) -> np.ndarray:
    return np.full((2, 3, 2), (u, v), np.float32)


def shows(sheet: np.ndarray, picture: np.ndarray) -> bool:
    """Whether ``picture`` is somewhere in ``sheet``, pixel for pixel."""
    high, wide, _ = picture.shape
    corners = np.argwhere((sheet == picture[0, 0]).all(-1))
    return any(np.array_equal(sheet[y : y + high, x : x + wide], picture) for y, x in corners)


# --- optical flow ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("u", "v", "colour"),
    [
        (1, 0, (255, 0, 0)),  # the wheel's beginning
        (1, -0.0, (255, 0, 0)),
        (-1, 0, (0, 209, 255)),  # half of 54 steps on: the 2nd of 11 from cyan to blue, 255 − ⌊255·2/11⌋
        (0, 1, (255, 229, 0)),  # down: between the 13th and the 14th of 15 from red to yellow
        (0, -1, (88, 0, 255)),  # up: between the 4th and the 5th of 13 from blue to magenta
        (0.5, 0, (255, 127, 127)),  # half as fast: half as saturated
        (0, 0, (255, 255, 255)),
        (2, 0, (191, 0, 0)),  # off the scale: darker
        (np.nan, 0, (0, 0, 0)),
    ],
)
def test_flow_has_the_published_colours(u, v, colour):
    picture = figures.flow_colour(vector(u, v), 1.0)
    assert picture.shape == (2, 3, 3)
    assert picture.dtype == np.uint8
    assert picture.reshape(-1, 3).tolist() == 6 * [list(colour)]


def test_without_a_scale_the_99th_percentile_is_fully_coloured():
    flow = np.zeros((10, 100, 2))
    flow[:, :50, 0] = 3
    flow[0, 99] = 500, 0  # one stray vector in a thousand
    picture = figures.flow_colour(flow)
    assert picture[5, 10].tolist() == [255, 0, 0]
    assert (picture[5, 60] == 255).all()
    assert (figures.flow_colour(np.zeros((4, 4, 2))) == 255).all()
    assert (figures.flow_colour(np.full((4, 4, 2), np.nan)) == 0).all()


def test_flow_of_another_shape_or_scale_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 5, 5\)"):
        figures.flow_colour(np.zeros((2, 5, 5)))
    with pytest.raises(ValueError, match="above 0 px, not 0"):
        figures.flow_colour(vector(1, 0), 0.0)


def test_legend_is_the_wheel_on_white():
    wheel = figures.flow_legend(64)
    assert wheel.shape == (64, 64, 3)
    assert (wheel[0, 0] == 255).all()
    assert wheel[32, 62, 0] > 240
    assert wheel[32, 62, 1:].max() < 40
    assert wheel[31:33, 31:33].min() > 240


def test_flows_share_one_scale():
    plots = {"before": np.full((40, 60, 2), (1.0, 0.0)), "after": np.full((40, 60, 2), (4.0, 0.0))}
    sheet = figures.flows(plots)
    assert shows(sheet, np.full((40, 60, 3), (255, 0, 0), np.uint8))
    assert shows(sheet, np.full((40, 60, 3), (255, 191, 191), np.uint8))
    assert sheet.shape[1] > 2 * 60 + 64
    # 3 px as the scale: the faster of the two is off it
    assert shows(figures.flows(plots, largest=3), np.full((40, 60, 3), (191, 0, 0), np.uint8))


# --- pictures -------------------------------------------------------------------------------------


def test_stills_show_every_pixel_of_a_detail_repeated():
    columns = {"input": noise(1), "magnified, α × 10": noise(2)}
    boxes = [(15, 20, 9, 7), (0, 0, 8, 8), (50, 30, 10, 10)]  # two of them at the picture's edges
    sheet = figures.stills(columns, boxes, zoom=4)
    for picture in columns.values():
        for x, y, w, h in boxes:
            detail = picture[y : y + h, x : x + w]
            assert shows(sheet, cv2.resize(detail, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST))
        assert shows(sheet, picture[:, 28:46])  # away from the outlines the whole picture is as it was
        assert shows(sheet, picture[20:27, 15:24])  # and inside of one as well
    for colour in figures.COLOURS[-3:]:
        assert (sheet == colour).all(-1).sum() > 4 * 30


def test_stills_reduce_the_whole_but_not_the_details():
    picture = noise(3, 80, 120)
    sheet = figures.stills({"a": picture}, [(20, 20, 10, 10)], zoom=3, width=60)
    assert sheet.shape[1] == 60 + 2 * canvas.GAP
    assert shows(sheet, np.repeat(np.repeat(picture[20:30, 20:30], 3, 0), 3, 1))


def test_stills_of_two_sizes_or_with_a_box_outside_are_refused():
    with pytest.raises(ValueError, match="60x40, 60x41"):
        figures.stills({"a": noise(0), "b": noise(0, 41)}, [])
    with pytest.raises(ValueError, match="Box 55,0,6,4 leaves the picture of 60x40"):
        figures.stills({"a": noise(0)}, [(55, 0, 6, 4)])
    with pytest.raises(ValueError, match="something to show"):
        figures.stills({}, [])


@pytest.mark.parametrize("side_by_side", [False, True])
def test_slices_stay_as_they_are(side_by_side):
    columns = {"input": noise(4, 30, 50), "a name far wider than its slice is": noise(5, 30, 40)}
    sheet = figures.slices(columns, side_by_side=side_by_side)
    assert all(shows(sheet, picture) for picture in columns.values())
    at = [np.argwhere((sheet == picture[0, :1]).all(-1))[0] for picture in columns.values()]
    assert at[0][int(not side_by_side)] == at[1][int(not side_by_side)]  # aligned, in time or along the line


def test_saved_pictures_are_reduced_and_repeat_to_the_byte(tmp_path):
    picture = np.kron(noise(6, 10, 20)[..., :1], np.ones((4, 4, 3), np.uint8))
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in paths:
        figures.save(picture, path, most=20)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert np.array_equal(read_image(paths[0]), picture[::4, ::4])  # the mean of 4×4 like pixels
    figures.save(picture, paths[1], most=500)
    assert np.array_equal(read_image(paths[1]), picture)
    with pytest.raises(ValueError, match="float64"):
        figures.save(picture / 255, paths[0])


# --- curves ---------------------------------------------------------------------------------------


def test_curves_are_small_and_repeat_to_the_byte(tmp_path):
    series = {f"method {n}": ([0.04, 0.1, 0.2, 1], [0.9 - 0.1 * n, 0.91, np.nan, 0.95]) for n in range(4)}
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in paths:
        figures.curves(path, series, x_label="motion (px)", y_label="SSIM", title="α × motion")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size < 60_000
    plot = read_image(paths[0])
    assert plot.shape == (450, 720, 3)
    assert all((plot == colour).all(-1).sum() > 50 for colour in figures.COLOURS[:4])


def test_curves_refuse_what_an_axis_cannot_show(tmp_path):
    labels = {"x_label": "x", "y_label": "y", "title": ""}
    with pytest.raises(ValueError, match="ours: a logarithmic axis"):
        figures.curves(tmp_path / "a.png", {"ours": ([0, 1], [1, 2])}, **labels)
    with pytest.raises(ValueError, match="one length"):
        figures.curves(tmp_path / "a.png", {"ours": ([1, 2], [1])}, **labels)
    figures.curves(tmp_path / "a.png", {"ours": ([0, 1], [1, 2])}, log_x=False, log_y=True, **labels)


# --- slices of clips ------------------------------------------------------------------------------


@pytest.fixture
def ramp(tmp_path) -> Path:
    """Ten frames of 40×30; frame n is of level 20·n, with its row 12 lighter by 30."""
    import av

    path = tmp_path / "ramp.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 40, 30, "bgr0"
        for index in range(10):
            picture = np.full((30, 40, 3), 20 * index, np.uint8)
            picture[12] += 30
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["slice", *map(str, args)])


def test_a_clip_is_magnified_against_its_first_frame():
    frames = [np.full((4, 4, 3), level, np.uint8) for level in (10, 11, 13)]
    found = slices.magnified(frames, lambda a, b, alpha: (a + alpha * (b - a)).astype(np.uint8), 5.0)
    assert [int(frame[0, 0, 0]) for frame in found] == [10, 15, 25]


def test_slices_of_methods_stand_below_the_input(ramp, tmp_path):
    output = tmp_path / "slice.png"
    args = ["--line", "5,4,5,23", "-m", "same=copy", "--alpha", 2, "--scale", "3,2", "--first", 1, "--frames", 4]
    result = run(ramp, *args, "-o", output)
    assert result.exit_code == 0, result.output
    column = np.full((20, 4, 3), [[[20 * n] * 3 for n in range(1, 5)]], np.uint8)
    column[8] += 30
    mine = canvas.repeated(column, 3, 2)
    assert np.array_equal(read_image(output), figures.slices({"input": mine, "same × 2": mine}))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--line", "5,4,5,30"], "line 5,4,5,30 leaves the picture of 40x30 in"),
        (["--line", "5,4,5,20", "--first", "10"], "no frame in"),
        (["--line", "5,4,5,20", "-m", "wrap"], "Unknown method 'wrap'"),
        (["--line", "5,4,5,20", "-m", "model:nowhere.onnx"], "nowhere.onnx"),
    ],
)
def test_failures_take_one_line(ramp, tmp_path, args, says):
    result = run(ramp, "-m", "copy", "--alpha", "2", *args, "-o", tmp_path / "slice.png")
    assert result.exit_code == 1
    assert says in result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert not (tmp_path / "slice.png").exists()


def test_an_unreadable_clip_is_named(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"not a clip" * 100)
    result = run(path, "--line", "1,1,1,5", "-m", "copy", "--alpha", 2, "-o", tmp_path / "slice.png")
    assert result.exit_code == 1
    assert f"Error: Cannot read {path}: " in result.output
