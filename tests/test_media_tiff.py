"""TIFFs that libav reads wrongly without a word, or not at all: stacks, floats, BigTIFF."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from magfilter import MagnifyOptions, magnify_video, measure_motion
from magfilter.errors import InputError
from magfilter.media import Frame, VideoReader
from magfilter.media.tiff import MOST_PAGES, Tiff, look

WIDTH, HEIGHT = 64, 48
IMAGEJ = "ImageJ=1.54f\nimages={}\nslices={}\nloop=false\n"


def write_tiff(path, pages=1, *, order="<", big=False, bits=8, floating=False, description="", subfiles=(), copies=None,
               back_to=None):  # fmt: skip
    """A grey TIFF: directory and pixels for each page.

    Args:
        description: of the first page; subfiles: NewSubfileType of each page; copies: pixels that follow the first
            page's for each page, in pages; back_to: the page that the last one says comes after it.
    """
    number, entry = ("Q", ">HHQQ") if big else ("I", ">HHII")
    entry = entry.replace(">", order)
    pixels = bytes(WIDTH * HEIGHT * bits // 8) * (copies or 1)
    text = description.encode() + b"\0"
    head = struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8)))
    out = bytearray((b"II" if order == "<" else b"MM") + head)
    starts = []
    for page in range(pages):
        starts.append(len(out))
        kind = subfiles[page] if page < len(subfiles) else 0
        size = (8 if big else 2) + 11 * (20 if big else 12) + (8 if big else 4)
        behind = len(out) + size
        values = [(254, 4, kind), (256, 4, WIDTH), (257, 4, HEIGHT), (258, 4, bits), (259, 4, 1), (262, 4, 1),
                  (270, 2, behind), (273, 4, behind + len(text)), (278, 4, HEIGHT),
                  (279, 4, len(pixels) // (copies or 1)), (339, 4, 3 if floating else 1)]  # fmt: skip
        out += struct.pack(order + ("Q" if big else "H"), len(values))
        for tag, code, value in values:
            if tag == 270 and len(text) <= (8 if big else 4):
                value = 0
            out += struct.pack(entry, tag, code, len(text) if tag == 270 else 1, value)
            if order == ">" and code == 4 and big:
                out[-8:] = struct.pack(">II", value, 0)
        last = page == pages - 1
        after = behind + len(text) + len(pixels) if not last else 0
        if last and back_to is not None:
            after = starts[back_to]
        out += struct.pack(order + number, after) + text + pixels
    Path(path).write_bytes(out)
    return str(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_pages_are_counted(tmp_path, order, big):
    path = write_tiff(tmp_path / "stack.tif", 5, order=order, big=big, bits=16, subfiles=(0, 1, 0, 0, 1))
    assert look(path) == Tiff(3, 16, False, 1, big)


@pytest.mark.parametrize("description", ["", IMAGEJ.format(4, 4)])
def test_a_stack_is_refused_by_every_command(clips, tmp_path, description):
    stack = write_tiff(tmp_path / "cell.tif", 4, description=description)
    said = "cell.tif is a TIFF of 4 pages, .* File > Save As > Image Sequence.* as in cell%04d.tif"
    with pytest.raises(InputError, match=said):
        VideoReader(stack)
    with pytest.raises(InputError, match=said):
        measure_motion(stack, fps=10)
    with pytest.raises(InputError, match=said):
        magnify_video(clips("in.mkv", codec="ffv1"), tmp_path / "out.mkv", MagnifyOptions(mask=stack))


def test_a_stack_of_one_directory(tmp_path):
    """What ImageJ writes above 4 GB; one picture saved of a stack may keep its description."""
    stack = write_tiff(tmp_path / "a.tif", description=IMAGEJ.format(60, 60), copies=60)
    assert look(stack).pages == 60
    with pytest.raises(InputError, match="TIFF of 60 pages"):
        VideoReader(stack)
    single = write_tiff(tmp_path / "b.tif", description=IMAGEJ.format(60, 60))
    assert look(single).pages == 1
    with VideoReader(single) as reader:
        assert reader.first.planes[0].shape == (HEIGHT, WIDTH)


def test_single_and_numbered_pictures_go_on(tmp_path):
    single = write_tiff(tmp_path / "one.tif", 2, subfiles=(0, 1))
    for number in range(3):
        write_tiff(tmp_path / f"n{number:02d}.tif")
        write_tiff(tmp_path / f"s{number}.tif", 2)
    with VideoReader(single) as reader:
        assert sum(isinstance(item, Frame) for item in reader) == 1
    with VideoReader(tmp_path / "n%02d.tif", framerate=10) as reader:
        assert sum(isinstance(item, Frame) for item in reader) == 3
        assert not reader.warnings
    with VideoReader(tmp_path / "s%d.tif", framerate=10) as reader:
        assert any("only the first of its 2 pages is read" in line for line in reader.warnings)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("back_to", [0, 1, 2])
def test_chains_that_lead_back_end(tmp_path, big, back_to):
    assert look(write_tiff(tmp_path / "a.tif", 3, big=big, back_to=back_to)).pages == 3


@pytest.mark.parametrize("big", [False, True])
def test_damaged_files_neither_hang_nor_raise(tmp_path, big):
    whole = Path(write_tiff(tmp_path / "a.tif", 3, big=big, description=IMAGEJ.format(3, 3))).read_bytes()
    other, random = tmp_path / "b.tif", np.random.default_rng(1)
    for size in (0, 1, 3, 7, 9, 15, 17, 40, 200):
        other.write_bytes(whole[:size])
        look(str(other))
    for _ in range(300):
        data = np.frombuffer(whole[:1500], np.uint8).copy()
        data[random.integers(2, 400, 8)] = random.integers(0, 256, 8)
        other.write_bytes(data.tobytes())
        look(str(other))
    assert look(str(tmp_path)) is None


def test_endless_chains_are_bounded(tmp_path):
    directory = struct.pack("<HHHII", 1, 256, 4, 1, WIDTH)
    step = len(directory) + 4
    chain = b"".join(directory + struct.pack("<I", 8 + (n + 1) * step) for n in range(MOST_PAGES + 5))
    path = tmp_path / "a.tif"
    path.write_bytes(b"II" + struct.pack("<HI", 42, 8) + chain)
    begun = time.perf_counter()
    assert look(str(path)).pages == MOST_PAGES
    assert time.perf_counter() - begun < 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bits": 32, "floating": True}, "32-bit float pictures cannot be read; convert them to 16 bit"),
        ({"bits": 16, "floating": True}, "16-bit float pictures cannot be read; convert them to 16 bit"),
        ({"bits": 32}, "32-bit pictures cannot be read; convert them to 16 bit"),
        ({"big": True}, "BigTIFF cannot be read; save it as ordinary TIFF"),
        ({"bits": 24}, r"no picture of this TIFF \(24 bits a sample, compression 1\) could be decoded"),
    ],
)
@pytest.mark.parametrize("name", ["a.tif", "a%d.tif"])
def test_samples_that_libav_cannot_read(tmp_path, options, said, name):
    write_tiff(tmp_path / name.replace("%d", "0"), **options)
    with pytest.raises(InputError, match=said):
        VideoReader(tmp_path / name)
