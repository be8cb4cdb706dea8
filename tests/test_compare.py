"""Input beside output: every sample where it belongs, whatever the layout, size and rotation."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from clips import Clips, packets
from test_media_writer import captioned

from magfilter import EncodeOptions, Frame, MagnifyOptions, OptionError, VideoReader, magnify_video
from magfilter.cli import main
from magfilter.compare import COMPARISONS, Composer
from magfilter.label import text_scale
from magfilter.measured import Measured
from magfilter.media.frame import Colour, PixelLayout
from magfilter.media.orientation import Orientation
from magfilter.media.probe import side_data
from magfilter.media.text import render_text
from magfilter.paint import WHITE, ink, paint
from magfilter.reference import ReferencePolicy
from magfilter.view import View

FFV1 = EncodeOptions(codec="ffv1")
LABEL = 24  # px from the top that a label takes of a small picture, its distance from the edge included


def frames(path: str | Path) -> list[Frame]:
    with VideoReader(path) as reader:
        return [item for item in reader if isinstance(item, Frame)]


def clip(clips: Clips, pix_fmt: str = "yuv420p", size: tuple[int, int] = (96, 80), **options) -> str:
    name, codec = ("in.nut", "utvideo") if pix_fmt == "gbrp" else ("in.mkv", "ffv1")
    return clips(name, codec=codec, pix_fmt=pix_fmt, size=size, **{"frames": 3, **options})


def below(plane: np.ndarray, full: int) -> np.ndarray:
    """The rows of a plane, as shown, that lie below the labels of a picture of `full` rows."""
    return plane[-(-LABEL * plane.shape[0] // full) + 1 :]


class Negative:
    """A magnifier that is quick: the first frame as it is, then negatives."""

    references = 1
    ramp = None
    policy = ReferencePolicy()
    engine = SimpleNamespace(model=SimpleNamespace(path=SimpleNamespace(stem="warp")), at_once=1)

    def __init__(self, alpha, **_):
        self.alpha, self.number = alpha, -1

    def watch(self):
        pass

    def foresee(self, frame):
        pass

    def measure(self, frame):
        self.number += 1
        return Measured(frame, None if self.number == 0 else np.ones((2, 3, 3), np.float32))

    def render(self, measured):
        frame = measured.frame
        if measured.flow is None:
            return frame
        return frame.replace(planes=tuple(frame.layout.dtype(frame.layout.peak) - plane for plane in frame.planes))


@pytest.fixture(autouse=True)
def negative(request, monkeypatch):
    if "run" not in request.fixturenames:
        monkeypatch.setattr("magfilter.pipeline.Magnifier", Negative)


# ---- where samples go


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("how", ["side", "stack"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_halves_are_input_and_output_as_a_player_shows_them(clips, tmp_path, pix_fmt, how, rotation):
    source = clip(clips, pix_fmt, rotation=rotation)
    magnify_video(source, tmp_path / "plain.mkv", alpha=4, encode=FFV1)
    magnify_video(source, tmp_path / "both.mkv", alpha=4, encode=FFV1, compare=how)
    for before, after, both in zip(*map(frames, (source, tmp_path / "plain.mkv", tmp_path / "both.mkv")), strict=True):
        assert both.pts * both.time_base == before.pts * before.time_base
        for a, b, c in zip(before.planes, after.planes, both.planes, strict=True):
            a, b, c = (np.rot90(plane, rotation // 90) for plane in (a, b, c))
            first, second = np.split(c, 2, axis=1 if how == "side" else 0)
            full = 96 if rotation % 180 else 80
            for shown, expected in ((first, a), (second, b)):
                assert shown.shape == expected.shape
                assert np.array_equal(below(shown, full), below(expected, full))
    with VideoReader(tmp_path / "both.mkv") as reader:
        assert reader.info.rotation % 360 in (rotation, rotation - 360)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv422p", "yuv444p", "gray", "gray10le", "gbrp"])
@pytest.mark.parametrize("how", COMPARISONS)
def test_odd_sizes_keep_every_sample(clips, tmp_path, pix_fmt, how):
    source = clip(clips, pix_fmt, (95, 79))
    magnify_video(source, tmp_path / "plain.mkv", alpha=4, encode=FFV1)
    magnify_video(source, tmp_path / "both.mkv", alpha=4, encode=FFV1, compare=how)
    before, after, both = (frames(path)[2] for path in (source, tmp_path / "plain.mkv", tmp_path / "both.mkv"))
    halved = (pix_fmt.startswith(("yuv420", "yuv422")), pix_fmt.startswith("yuv420"))
    wide, high = (length + (length % 2 if even else 0) for length, even in zip((95, 79), halved, strict=True))
    size = {"side": (2 * wide, 79), "stack": (95, 2 * high), "split": (95, 79)}[how]
    assert (both.width, both.height, both.layout.name) == (*size, pix_fmt)
    for a, b, c in zip(before.planes, after.planes, both.planes, strict=True):
        rows, columns = a.shape
        if how == "split":
            parts = (
                (c[:, : columns // 2 - 3], a[:, : columns // 2 - 3]),
                (c[:, columns // 2 + 3 :], b[:, columns // 2 + 3 :]),
            )
        elif how == "side":
            parts = (c[:, :columns], a), (c[:, c.shape[1] // 2 :][:, :columns], b)
        else:
            parts = (c[:rows], a), (c[c.shape[0] // 2 :][:rows], b)
        for shown, expected in parts:
            assert np.array_equal(below(shown, 79), below(expected, 79))


def test_an_odd_turned_picture_keeps_its_chroma_where_it_belongs(clips, tmp_path):
    """Turned by 180°, the output is stored first, and what is added to it lies between the two."""
    source = clip(clips, size=(95, 80), rotation=180)
    magnify_video(source, tmp_path / "both.mkv", alpha=1, encode=FFV1, compare="side")
    before, both = frames(source)[1], frames(tmp_path / "both.mkv")[1]
    for plane, joined in zip(before.planes, both.planes, strict=True):
        half = joined.shape[1] // 2
        rows = slice(0, plane.shape[0] * (80 - LABEL) // 80 - 1)  # labels are at the bottom as it is stored
        for start, expected in ((0, 255 - plane), (half, plane)):
            assert np.array_equal(joined[rows, start : start + plane.shape[1]], expected[rows])


def test_split_has_a_line_that_shows_on_any_ground():
    layout = PixelLayout.from_name("gray")
    frame = Frame((np.full((40, 60), 255, np.uint8),), layout)
    out = Composer("split", Orientation(), (60, 40), layout, Colour())(frame, frame).planes[0]
    assert out[:, 29].max() == 0
    assert out[:, 30].min() == 255
    turned = Composer("split", Orientation(transposed=True), (60, 40), layout, Colour())(frame, frame).planes[0]
    assert turned[19].max() == 0


# ---- labels


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_labels_are_upright_as_shown(clips, tmp_path, rotation):
    source = clip(clips, "gray", (96, 80), rotation=rotation)
    magnify_video(source, tmp_path / "both.mkv", alpha=12.5, encode=FFV1, compare="side")
    shown = np.rot90(frames(tmp_path / "both.mkv")[2].planes[0], rotation // 90)
    for half, text in zip(np.split(shown, 2, 1), ("input", "× 12.5"), strict=True):
        glyphs = render_text(text)
        found = half[5 : 5 + 16, 8 : 8 + glyphs.shape[1]]
        assert np.array_equal(found == 255, glyphs)
        assert found[~glyphs].max() < 0.4 * 255, "on a dim box"


def test_text_is_readable_code_page_437_and_nothing_moves_the_cursor():
    assert render_text("").shape == (16, 0)
    mask = render_text("× 10")
    assert mask.shape == (16, 32)
    assert np.array_equal(mask[:, :8], render_text("x"))
    assert np.array_equal(render_text("a\n\x1b[2J日"), render_text("a??[2J?"))
    assert len({render_text(c).tobytes() for c in "0123456789.abcdefghijklmnopqrstuvwxyz"}) == 37
    assert [text_scale(size) for size in ((320, 240), (1920, 1080), (1080, 1920), (3840, 2160))] == [1, 3, 3, 6]


def test_a_label_wider_than_the_picture_is_cut(clips, tmp_path):
    source = clip(clips, size=(34, 18))
    for how in COMPARISONS:
        report = magnify_video(source, tmp_path / f"{how}.mkv", alpha=123.45, compare=how, show_flow=True)
        assert report.frames == 3


def test_paint_leaves_what_is_not_covered_and_mixes_the_rest():
    layout = PixelLayout.from_name("yuv420p10le")
    random = np.random.default_rng(0)
    planes = [random.integers(0, 1024, layout.plane_shape(i, 21, 33)).astype(np.uint16) for i in range(3)]
    before = [plane.copy() for plane in planes]
    white = ink(WHITE, layout, Colour(1, 9, 9, 1), 21)
    assert white == (940, 512, 512)
    cover = np.zeros((5, 4), np.float32)
    cover[1:3, 1:3] = 1  # rows 4 and 5, columns 30 and 31 of the picture
    paint(planes, layout, white, cover, (29, 3))
    assert planes[0][4:6, 30:32].tolist() == [[940, 940]] * 2
    assert planes[1][2, 15] == 512, "a whole block"
    untouched = np.ones((21, 33), bool)
    untouched[4:6, 30:32] = False
    assert np.array_equal(planes[0][untouched], before[0][untouched])
    assert np.count_nonzero(planes[1] != before[1]) == 1


def test_white_is_paper_in_hdr():
    layout = PixelLayout.from_name("yuv420p10le")
    assert ink(WHITE, layout, Colour(1, 9, 9, 16), 1080)[0] == pytest.approx(64 + 0.58 * 876, abs=1)
    assert ink(WHITE, layout, Colour(1, 9, 9, 18), 1080)[0] == pytest.approx(64 + 0.75 * 876, abs=1)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "× 10"),
        ({"alpha": 0.5}, "× 0.5"),
        ({"roi": "0,0,8,8"}, "× 10"),
        ({"roi": ("0,0,8,8:30", "8,8,8,8:0")}, "× 30, 0"),
        ({"roi": "0,0,8,8:30", "mask": "m.png"}, "× 10, 30"),
        ({"alpha_map": "m.npy"}, "alpha map"),
    ],
)
def test_the_label_says_every_factor(clips, changes, text):
    options = MagnifyOptions(compare="side", **changes)
    with VideoReader(clip(clips)) as reader:
        assert View(options, reader.info).factors(options.alpha) == text


@pytest.mark.parametrize(("time", "text"), [(0, "× 1"), (1, "× 5.5, 15.5"), (2, "× 10, 30"), (9, "× 10, 30")])
def test_the_label_says_what_is_in_force_on_a_ramp(clips, time, text):
    options = MagnifyOptions(compare="side", alpha_keys=["0=1", "2=10"], roi=["0,0,8,8:30", "8,8,8,8"])
    ramp = options.ramp(None)
    with VideoReader(clip(clips)) as reader:
        assert View(options, reader.info, ramp).factors(ramp.at(time)) == text


def test_a_job_tells_the_label_of_its_ramp(clips, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("magfilter.view.draw_label", lambda planes, like, orientation, text, *_: said.append(text))
    monkeypatch.setattr(Negative, "set_ramp", lambda self, ramp: setattr(self, "ramp", ramp), raising=False)
    measure = Negative.measure
    monkeypatch.setattr(
        Negative, "measure", lambda self, frame: measure(self, frame)._replace(alpha=self.ramp.at(frame.time))
    )
    source = clip(clips, frames=3)
    magnify_video(source, tmp_path / "out.mkv", alpha=1, alpha_end=3, roi="0,0,8,8:5", compare="side", encode=FFV1)
    assert [text for text in said if text != "input"] == ["× 1", "× 3", "× 5"]


# ---- what is around the picture


def test_times_sound_and_tags_are_kept(clips, tmp_path):
    source = clips("in.mp4", frames=8, size=(66, 48), sar=Fraction(4, 3), rotation=90, audio=("eng",), chapters=True,
                   pts=[0, 3000, 7001, 9000, 18000, 18500, 40000, 50000], colour=(1, 1, 1, 1))  # fmt: skip
    target = tmp_path / "out.mp4"
    magnify_video(source, target, alpha=5, compare="side", show_flow=True)
    assert [f.time for f in frames(target)] == [f.time for f in frames(source)]
    assert packets(str(target), "audio") == packets(source, "audio")
    with VideoReader(source) as a, VideoReader(target) as b:
        assert (b.info.width, b.info.height) == (66, 96)
        assert (b.info.sar, b.info.rotation, b.info.colour) == (a.info.sar, a.info.rotation, a.info.colour)
        assert "alpha=5 model=warp reference=first compare=side flow" in str(b.info.metadata)


def test_closed_captions_survive(clips, tmp_path):
    captioned(clips("plain.h264", format="h264", time_base=Fraction(1, 25), frames=3), tmp_path / "in.h264")
    magnify_video(tmp_path / "in.h264", tmp_path / "out.mp4", alpha=1, compare="stack")
    with av.open(str(tmp_path / "out.mp4")) as container:
        found = list(container.decode(video=0))
    assert len(found) == 3
    assert all((f.width, f.height) == (64, 96) and "A53_CC" in side_data(f) for f in found)


def test_players_go_on_taking_the_colours_for_what_they_took_them():
    layout, unknown = PixelLayout.from_name("yuv420p"), Colour()
    assert Composer("side", Orientation(), (640, 480), layout, unknown).colour.matrix == 6, "1280 wide is HDTV"
    assert Composer("side", Orientation(), (320, 240), layout, unknown).colour == unknown
    assert Composer("side", Orientation(), (1920, 1080), layout, unknown).colour == unknown
    assert Composer("stack", Orientation(), (640, 480), layout, Colour(matrix=1)).colour.matrix == 1


def test_a_picture_moved_into_view_stays_there(tmp_path):
    """Phones write where a turned picture begins; that is its size, which has changed."""
    source, one = tmp_path / "in.mov", 1 << 16
    matrix = (0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30)  # turned clockwise, 48 px to the right
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_matrix(matrix)
        for _ in range(2):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8))))
        out.mux(stream.encode(None))
    with VideoReader(source) as reader:
        assert reader.info.display_matrix[6] == 48 * one
    for how, place in (("side", 96), ("stack", 48)):
        magnify_video(source, tmp_path / f"{how}.mov", alpha=1, compare=how)
        with VideoReader(tmp_path / f"{how}.mov") as reader:
            assert reader.info.display_matrix == (*matrix[:6], place * one, 0, 1 << 30)


def test_the_input_half_is_the_input_of_a_network_that_paints_frames(clips, tmp_path, monkeypatch):
    source = clip(clips, "gray")
    monkeypatch.setattr(Negative, "measure", lambda self, f: Measured(f.replace(planes=(f.planes[0] // 2,))))
    magnify_video(source, tmp_path / "both.mkv", compare="side", encode=FFV1)
    before, both = frames(source)[1].planes[0], frames(tmp_path / "both.mkv")[1].planes[0]
    assert np.array_equal(both[LABEL:], np.hstack([before, before // 2])[LABEL:])


# ---- the command


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return int(ended.value.code or 0), *capfd.readouterr()

    return call


def test_the_command_says_the_size_and_writes_it(run, clips):
    clips("in.mp4", frames=3, size=(65, 48), pix_fmt="yuv444p")
    code, out, _ = run("in.mp4", "out.mp4", "--compare", "side", "--flow", "--pix-fmt", "yuv420p", "--info")
    assert code == 0
    assert "output   out.mp4: mp4, libx264 yuv420p, 130x48, compare=side flow" in out
    assert run("in.mp4", "out.mp4", "--compare", "side", "--flow", "--pix-fmt", "yuv420p")[0] == 0
    assert frames("out.mp4")[0].width == 130


def test_odd_sizes_that_the_encoder_cannot_take_are_refused_before_the_first_frame(run, clips):
    clips("in.mkv", frames=3, size=(64, 49), codec="ffv1")
    code, _, err = run("in.mkv", "out.mp4", "--compare", "side")
    assert (code, Path("out.mp4").exists()) == (1, False)
    assert "odd height 49; use --pix-fmt yuv444p or -c:v ffv1" in err
    assert run("in.mkv", "out.mp4", "--compare", "stack")[0] == 0


def test_an_unknown_comparison_is_refused(run, clips):
    code, _, err = run("in.mp4", "out.mp4", "--compare", "over")
    assert code == 2
    assert "'over' is not one of 'side', 'stack', 'split'" in err
    with pytest.raises(OptionError, match="compare must be one of side, stack, split; got 'over'"):
        MagnifyOptions(compare="over")


# ---- orientation


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_orientation_is_what_players_do(rotation):
    turn = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}[rotation]
    a, b, c, d = (value << 16 for value in turn)
    orientation = Orientation.of(SimpleNamespace(display_matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30)))
    plane = np.arange(12).reshape(3, 4)
    shown = np.rot90(plane, rotation // 90)
    assert np.array_equal(orientation.shown(plane), shown)
    assert np.array_equal(orientation.stored(shown), plane)
    size = orientation.size((4, 3))
    assert size == shown.shape[::-1]
    for y, x in np.ndindex(shown.shape):
        p, q = orientation.stored_points(np.float64(x), np.float64(y), size)
        assert plane[int(q), int(p)] == shown[y, x]
        assert orientation.stored_corner((x, y), (1, 1), size) == (p, q)
    mirrored = Orientation.of(SimpleNamespace(display_matrix=(-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)))
    assert np.array_equal(mirrored.shown(plane), plane[:, ::-1])
    tilted = Orientation.of(SimpleNamespace(display_matrix=(46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)))
    assert tilted == Orientation()
