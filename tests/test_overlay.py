"""Arrows: where they begin, which way they point, how long they are, and that nothing is drawn where nothing moves."""

from __future__ import annotations

from types import SimpleNamespace

import av
import numpy as np
import pytest

from magfilter import EncodeOptions, Frame, Magnifier, MagnifyOptions, OptionError, VideoReader, magnify_video
from magfilter.measured import Measured
from magfilter.media.frame import Colour, PixelLayout
from magfilter.media.orientation import Orientation
from magfilter.networks.descriptor import DESCRIPTORS
from magfilter.overlay import SMALLEST, ArrowGrid, FlowOverlay, scale_for
from magfilter.view import View

GRAY = PixelLayout.from_name("gray")
KEY = 40  # px from the bottom that the key takes
SIZE = (240, 320)


def textured(seed: int = 0) -> Frame:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    picture = 100 + 30 * np.sin(0.5 * x) * np.sin(0.4 * y) + np.random.default_rng(seed).normal(0, 1, SIZE)
    return Frame((np.rint(picture).astype(np.uint8),), GRAY, Colour())


def constant(dx: float, dy: float) -> np.ndarray:
    flow = np.empty((2, SIZE[0] // 2, SIZE[1] // 2), np.float32)
    flow[0], flow[1] = dx, dy
    return flow


def drawn(overlay: FlowOverlay, frame: Frame, flow: np.ndarray | None) -> np.ndarray:
    planes = tuple(plane.copy() for plane in frame.planes)
    overlay.draw(planes, frame, flow, 2, ("bottom", "left"))
    return planes[0]


@pytest.mark.parametrize(
    ("motion", "scale"), [(0, 0.05), (0.05, 0.05), (0.06, 0.1), (0.1, 0.1), (0.3, 0.5), (1.01, 2), (7, 10), (30, 50)]
)
def test_the_scale_is_a_round_number_not_below_the_motion(motion, scale):
    assert scale_for(motion) == scale


def test_a_thin_mover_is_seen_at_its_own_speed():
    flow = np.zeros((2, 120, 160), np.float32)
    flow[1, :, 80] = 2.0
    motion = ArrowGrid((120, 160), 2, *SIZE).motion(flow)
    assert motion[1].max() == pytest.approx(2)
    assert np.count_nonzero(motion) == motion.shape[1]


def test_cells_lie_in_the_picture_and_cover_it():
    for shape, stride, height, width in (
        ((120, 160), 2, 240, 320),
        ((25, 33), 2, 49, 65),
        ((1, 1), 2, 1, 2),
        ((64, 36), 6, 384, 216),
    ):
        grid = ArrowGrid(shape, stride, height, width)
        x, y = grid.tails
        assert grid.motion(np.ones((2, *shape), np.float32)).shape == grid.tails.shape
        assert 0 <= x.min() <= x.max() < width
        assert 0 <= y.min() <= y.max() < height
    assert np.diff(ArrowGrid((120, 160), 2, *SIZE).tails[0][0]) == pytest.approx(16)


def test_evidence_is_the_change_of_brightness_over_the_noise():
    _, x = np.mgrid[: SIZE[0], : SIZE[1]]
    noise = np.random.default_rng(0).normal(0, 2 / 255, SIZE)
    light = (0.01 * x + noise).astype(np.float32)  # a slope to the right
    grid = ArrowGrid((120, 160), 2, *SIZE)
    across, down = (grid.evidence(grid.motion(constant(*d)), light) for d in ((2, 0), (0, 2)))
    assert np.median(across) == pytest.approx(0.02 / (2 / 255), rel=0.1)
    assert np.median(down) < 0.3 * np.median(across), "along a slope nothing is to be seen"


@pytest.mark.parametrize("direction", [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_arrows_point_along_the_motion(direction):
    flow = np.zeros((2, 120, 160), np.float32)
    grid = ArrowGrid((120, 160), 2, *SIZE)
    rows, columns = grid.edges
    cell = np.s_[rows[8] : rows[9], columns[12] : columns[13]]
    for axis in (0, 1):
        flow[axis][cell] = 2.0 * direction[axis]
    frame = textured()
    changed = drawn(FlowOverlay(Orientation()), frame, flow)[:-KEY] != frame.planes[0][:-KEY]
    y, x = np.nonzero(changed)
    tail = grid.tails[:, 8, 12]
    length = 1.3 * 16  # full scale: 2 px
    along = (x - tail[0]) * direction[0] + (y - tail[1]) * direction[1]
    assert -4 < along.min() < 0
    assert length - 1 < along.max() < length + 5
    across = (x - tail[0]) * direction[1] + (y - tail[1]) * direction[0]
    assert abs(across).max() < 8


def test_nothing_is_drawn_where_nothing_moves():
    random = np.random.default_rng(3)
    flow = random.normal(0, 0.01, (2, 120, 160)).astype(np.float32)  # what a network makes of noise
    frame, overlay = textured(), FlowOverlay(Orientation())
    for f in (None, constant(0, 0), flow):
        assert np.array_equal(drawn(overlay, frame, f)[:-KEY], frame.planes[0][:-KEY])
    flat = Frame((np.full(SIZE, 90, np.uint8),), GRAY)
    assert np.array_equal(drawn(overlay, flat, constant(0.4, 0))[:-KEY], flat.planes[0][:-KEY]), "no texture, no motion"
    assert overlay.scale == SMALLEST


def test_the_scale_grows_and_stays_until_there_is_a_new_reference():
    frame = textured()
    for steady in (False, True):
        overlay, scales = FlowOverlay(Orientation(), steady=steady), []
        for flow in (None, constant(0.3, 0), constant(4, 0), constant(0.3, 0), None):
            drawn(overlay, frame, flow)
            scales.append(overlay.scale)
        assert scales == [SMALLEST, 0.5, 5, 5, 5 if steady else SMALLEST]


def test_the_key_says_which_part_of_the_motion_is_shown(monkeypatch):
    said = []
    monkeypatch.setattr("magfilter.overlay.draw_label", lambda planes, like, orientation, text, *_: said.append(text))
    info = SimpleNamespace(width=320, height=240, colour=Colour(), layout=GRAY, display_matrix=None)
    for changes in ({}, {"detrend": True, "band": (1, 2), "fps": 30}):
        view = View(MagnifyOptions(show_flow=True, **changes), info)
        frame = textured()
        measured = SimpleNamespace(flow=constant(5, 0), part=constant(1, 0) if changes else None)
        view(frame, measured, frame, 10)
    assert said == ["5 px", "1 px (band, detrend)"]


@pytest.mark.parametrize("part", [None, 1])
def test_arrows_are_of_the_frame_s_own_motion(monkeypatch, part):
    """Not of what the last reference left behind, which is in the output and fades there."""
    seen = []
    monkeypatch.setattr(FlowOverlay, "draw", lambda self, planes, frame, flow, *_: seen.append(flow))
    info = SimpleNamespace(width=320, height=240, colour=Colour(), layout=GRAY, display_matrix=None)
    frame, own, left = textured(), constant(1, 0), constant(4, 0)
    flow, part = (own, None) if part is None else (constant(2, 0), own)
    View(MagnifyOptions(show_flow=True), info)(frame, Measured(frame, flow, part=part, left=left), frame, 10)
    assert seen == [own]


def test_networks_that_paint_frames_have_no_flow_to_show():
    magnifier = Magnifier(2, threads=1)
    magnifier.engine = SimpleNamespace(model=SimpleNamespace(descriptor=DESCRIPTORS["unet"]))
    with pytest.raises(OptionError, match="model unet measures no motion that could be shown; leave --flow out"):
        magnifier.watch()


def test_motion_is_shown_where_none_is_magnified(tmp_path):
    """With alpha 1 the picture keeps its bits, but for the arrows."""
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    y, x = np.mgrid[:192, :256]
    with av.open(str(source), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 192, "gray"
        for n in range(3):
            shift = 0.5 * n * (x < 128)  # the left half moves to the right
            picture = 120 + 40 * np.sin(0.35 * (x - shift)) + 30 * np.sin(0.3 * y)
            frame = av.VideoFrame.from_ndarray(np.rint(picture).astype(np.uint8), format="gray")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    magnify_video(source, target, alpha=1, show_flow=True, shot_cuts=False, encode=EncodeOptions(codec="ffv1"))
    with VideoReader(source) as a, VideoReader(target) as b:
        before, after = (list(item.planes[0] for item in reader if isinstance(item, Frame)) for reader in (a, b))
    changed = before[2][:-KEY] != after[2][:-KEY]
    assert np.array_equal(before[0][:-KEY], after[0][:-KEY])
    assert 0.02 < changed[:, :112].mean() < 0.4
    assert changed[:, 150:].mean() < 0.01
