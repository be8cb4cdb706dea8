"""Layouts, planes and colour arithmetic."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from clips import picture

from magfilter.media import Colour, Frame, PixelLayout
from magfilter.media.colour import from_rgb_float, luma, resolved_matrix, to_rgb_float
from magfilter.media.convert import ACCURATE, allocate, cousin, fill_planes, packed_twins, read_planes

UNTAGGED = Colour()
PLANAR = [n for n in sorted(av.video.format.names) if PixelLayout.from_name(n)]


def random_frame(name: str, width: int = 13, height: int = 7, colour: Colour = UNTAGGED) -> Frame:
    layout = PixelLayout.from_name(name)
    assert layout is not None
    random = np.random.default_rng(1)
    planes = tuple(
        random.integers(0, layout.peak + 1, layout.plane_shape(i, height, width)).astype(layout.dtype)
        for i in range(layout.plane_count)
    )
    return Frame(planes, layout, colour)


@pytest.mark.parametrize("name", PLANAR)
def test_layout_agrees_with_libav(name):
    layout, ours = av.VideoFormat(name, 13, 7), PixelLayout.from_name(name)
    assert [c.bits for c in layout.components] == [ours.depth] * len(layout.components)
    frame = av.VideoFrame(13, 7, name)
    assert len(frame.planes) == ours.plane_count
    for i, plane in enumerate(frame.planes):
        assert ours.plane_shape(i, 7, 13) == (plane.height, plane.width)
    assert layout.components[-1].is_alpha == ours.alpha


@pytest.mark.parametrize("name", PLANAR)
@pytest.mark.parametrize("size", [(130, 66), (13, 7), (1, 1)])
def test_planes_survive_libav(name, size):
    frame = random_frame(name, *size)
    carrier = allocate(*size, name)
    fill_planes(carrier, frame.planes, frame.layout)
    back = read_planes(carrier, cousin(name), VideoReformatter())
    for a, b in zip(frame.planes, back, strict=True):
        assert b.flags.c_contiguous
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["p010be", "nv42x", "yuv420p10be", "cuda", "rgb24", "gbrpf32le", "yuvj420p"])
def test_layout_is_none_for_others(name):
    assert PixelLayout.from_name(name) is None


PACKED = [(p, t) for p in PLANAR for t in packed_twins(p)]


@pytest.mark.parametrize(("planar", "packed"), PACKED, ids=[f"{t}-{p}" for p, t in PACKED])
def test_packed_formats_are_taken_in_bit_for_bit(planar, packed):
    frame = random_frame(planar, 16, 8)
    carrier = allocate(16, 8, planar)
    fill_planes(carrier, frame.planes, frame.layout)
    try:
        there = VideoReformatter().reformat(carrier, format=packed, interpolation=ACCURATE)
    except (ValueError, av.error.FFmpegError, NotImplementedError):
        pytest.skip(f"this libav cannot write {packed}")
    how = cousin(packed)
    assert how.layout.name == planar
    assert how.lossless
    for a, b in zip(frame.planes, read_planes(there, how, VideoReformatter()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_big_endian_and_yuvj_and_float():
    assert cousin("yuv422p10be").layout.name == "yuv422p10le"
    assert cousin("yuv422p10be").lossless
    assert cousin("yuvj422p").layout.name == "yuv422p"
    assert cousin("yuvj422p").full_range
    assert not cousin("yuvj422p").repack
    assert not cousin("gbrpf32le").lossless
    assert cousin("cuda") is None


@pytest.mark.parametrize("end", ["le", "be"])
@pytest.mark.parametrize("bits", [(5, 5, 5), (5, 6, 5)], ids=["555", "565"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_few_bits_are_spread_over_eight(order, bits, end):
    """White is white: 31 of 31 becomes 255, with the upper bits repeated below, as everybody does."""
    name = order + "".join(map(str, bits)) + end
    words = np.random.default_rng(1).integers(0, 1 << sum(bits), (8, 16)).astype("<u2")
    words[0, 0] = (1 << sum(bits)) - 1
    frame = av.VideoFrame(16, 8, name)
    plane = frame.planes[0]
    np.frombuffer(plane, ">u2" if end == "be" else "<u2").reshape(8, plane.line_size // 2)[:, :16] = words
    found = read_planes(frame, cousin(name), VideoReformatter())
    high, middle, low = words >> (bits[1] + bits[2]), words >> bits[2], words
    spread = []
    for values, n in zip((high, middle, low), bits, strict=True):
        values = values & ((1 << n) - 1)
        spread.append(values << (8 - n) | values >> (2 * n - 8))
    red, green, blue = spread if order == "rgb" else spread[::-1]
    for plane, expected in zip(found, (green, blue, red), strict=True):
        np.testing.assert_array_equal(plane, expected)


def test_bottom_up_pictures_are_upright():
    graph = av.filter.Graph()
    source = graph.add_buffer(width=16, height=8, format="yuv420p", time_base=av.time_base and "1/25")
    flip, sink = graph.add("vflip"), graph.add("buffersink")
    source.link_to(flip)
    flip.link_to(sink)
    graph.configure()
    frame = picture(3, 16, 8, noise=True)
    upright = read_planes(frame, cousin("yuv420p"), VideoReformatter())
    frame.pts = 0
    source.push(frame)
    flipped = sink.pull()
    assert flipped.planes[0].line_size < 0
    for a, b in zip(upright, read_planes(flipped, cousin("yuv420p"), VideoReformatter()), strict=True):
        np.testing.assert_array_equal(a[::-1], b)


def test_frame_replace_checks_planes():
    frame = random_frame("yuv420p")
    assert frame.replace(pts=5).pts == 5
    with pytest.raises(ValueError, match=r"plane 1 .* must be uint8 \(4, 7\)"):
        frame.replace(planes=(frame.planes[0], frame.planes[0], frame.planes[2]))


def test_from_rgb_and_back():
    for dtype in (np.uint8, np.uint16):
        rgb = np.random.default_rng(2).integers(0, np.iinfo(dtype).max, (5, 7, 3)).astype(dtype)
        np.testing.assert_array_equal(Frame.from_rgb(rgb).to_rgb(), rgb)


def flat(values: tuple[int, ...], name: str, colour: Colour, height: int = 4) -> Frame:
    layout = PixelLayout.from_name(name)
    return Frame(
        tuple(np.full(layout.plane_shape(i, height, 6), v, layout.dtype) for i, v in enumerate(values)),
        layout,
        colour,
    )


@pytest.mark.parametrize(
    ("values", "name", "colour", "rgb"),
    [
        ((16, 128, 128), "yuv420p", Colour(1, 1), (0, 0, 0)),
        ((235, 128, 128), "yuv420p", Colour(1, 1), (255, 255, 255)),
        ((63, 102, 240), "yuv444p", Colour(1, 1), (255, 0, 0)),  # BT.709 red
        ((81, 90, 240), "yuv444p", Colour(1, 6), (254, 0, 0)),  # BT.601 red
        ((76, 85, 255), "yuv444p", Colour(2, 6), (254, 0, 0)),  # JPEG red
        ((64, 512, 512), "yuv422p10le", Colour(1, 9), (0, 0, 0)),
        ((940, 512, 512), "yuv422p10le", Colour(1, 9), (65535, 65535, 65535)),
        ((128,), "gray", Colour(0, 2), (128, 128, 128)),
        ((235,), "gray", Colour(1, 2), (255, 255, 255)),
    ],
)
def test_known_colours(values, name, colour, rgb):
    got = flat(values, name, colour).to_rgb()[1, 1]
    assert np.abs(got.astype(int) - rgb).max() <= (1 if got.dtype == np.uint8 else 0)


def test_luma_is_range_expanded():
    for name, colour, low, high in [
        ("yuv420p", Colour(1, 1), 16, 235),
        ("yuv420p10le", Colour(0, 2), 64, 940),
        ("yuv420p", Colour(2, 1), 0, 255),
        ("gray12le", Colour(0, 2), 0, 4095),
    ]:
        layout = PixelLayout.from_name(name)
        for value, expected in ((low, 0.0), (high, 1.0)):
            planes = tuple(np.full(layout.plane_shape(i, 3, 5), value, layout.dtype) for i in range(layout.plane_count))
            out = luma(Frame(planes, layout, colour))
            assert out.dtype == np.float32
            assert out.shape == (3, 5)
            np.testing.assert_allclose(out, expected, atol=1e-6)
    rgb = Frame.from_rgb(np.full((2, 2, 3), (255, 0, 0), np.uint8))
    np.testing.assert_allclose(luma(rgb), 0.2126, atol=1e-6)


def test_unspecified_matrix_follows_height():
    assert resolved_matrix(Colour(), 719) == 6
    assert resolved_matrix(Colour(), 720) == 1
    assert resolved_matrix(Colour(matrix=9), 480) == 9


@pytest.mark.parametrize("name", ["yuv444p", "yuv444p10le", "gbrp", "gbrp12le", "gray", "yuva444p"])
@pytest.mark.parametrize("colour", [Colour(1, 1), Colour(2, 6), Colour(0, 2), Colour(1, 8), Colour(1, 9)])
def test_float_round_trip_is_exact_without_subsampling(name, colour):
    if name.startswith("gbr"):
        colour = Colour(2, 0)
    frame = random_frame(name, colour=colour)
    back = from_rgb_float(to_rgb_float(frame), frame)
    for a, b in zip(frame.planes, back.planes, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv411p", "yuv440p", "yuv410p"])
def test_float_round_trip_keeps_luma_and_smooth_chroma(name):
    layout = PixelLayout.from_name(name)
    planes = []
    for i in range(3):
        rows, columns = layout.plane_shape(i, 30, 41)
        ramp = np.linspace(0.3, 0.6, rows * columns).reshape(rows, columns)
        planes.append((ramp * layout.peak).astype(layout.dtype))
    frame = Frame(tuple(planes), layout, Colour(1, 1))
    back = from_rgb_float(to_rgb_float(frame), frame)
    # one step: luma is touched by rounding chroma only through float error
    assert np.abs(frame.planes[0].astype(int) - back.planes[0]).max() <= 1
    for a, b in zip(frame.planes[1:], back.planes[1:], strict=True):
        inner = np.abs(a.astype(int) - b)[1:-1, 1:-1]
        assert inner.max() <= 3 << (layout.depth - 8)


def test_our_matrix_agrees_with_swscale():
    frame = picture(1, 32, 32, "yuv444p")
    ours = Frame(
        read_planes(frame, cousin("yuv444p"), VideoReformatter()),
        PixelLayout.from_name("yuv444p"),
        Colour(1, 1),
    )
    theirs = VideoReformatter().reformat(
        frame,
        format="gbrp16le",
        src_colorspace=1,
        dst_colorspace=1,
        src_color_range=1,
        dst_color_range=2,
        interpolation=ACCURATE,
    )
    planes = read_planes(theirs, cousin("gbrp16le"), VideoReformatter())
    rgb = np.clip(to_rgb_float(ours), 0, 1)
    for plane, channel in zip(planes, (1, 2, 0), strict=True):
        assert np.abs(plane / 65535 - rgb[channel]).max() < 0.004


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (np.zeros((4, 4), np.uint8), r"got uint8 of shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"got uint8 of shape \(4, 4, 4\)"),
        (np.zeros((4, 4, 3)), "got float64"),
        (np.zeros((0, 4, 3), np.uint8), "without a pixel"),
        ([[[0, 0, 0]]], "array of NumPy, got list; numpy.asarray"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_rgb_array(thing, text):
    with pytest.raises(ValueError, match=text):
        Frame.from_rgb(thing)
