"""Jobs that magnify part of the picture: files of masks, whole clips, and what they leave alone to the bit."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from magfilter import EncodeOptions, Frame, InputError, MagnifyOptions, OptionError, VideoReader, magnify_video
from magfilter.masks import distance
from magfilter.media.frame import same_picture
from magfilter.pipeline import Job
from magfilter.targets import Targets

FFV1 = EncodeOptions(codec="ffv1")
SIZE = (97, 161)  # H, W: odd on purpose
LEFT, RIGHT = (36, 30, 28), (40, 100, 26)  # row, column and side of the two squares
ALPHA = 6.0


def frames(path: str | os.PathLike[str]) -> list[Frame]:
    with VideoReader(path) as reader:
        return [item for item in reader if isinstance(item, Frame)]


def square(place: tuple[int, int, int], grow: int = 0) -> np.ndarray:
    """A mask of one of the squares, and so many px more."""
    top, left, side = place
    mask = np.zeros(SIZE, bool)
    mask[top - grow : top + side + grow, left - grow : left + side + grow] = True
    return mask


def texture(y: np.ndarray, x: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    waves = [(rng.uniform(5, 14), rng.uniform(0, np.pi), rng.uniform(0, 7)) for _ in range(8)]
    return 0.5 + 0.06 * sum(np.sin(2 * np.pi / n * (x * np.cos(a) + y * np.sin(a)) + p) for n, a, p in waves)


def scene(shift: float, magnified: float | None = None) -> np.ndarray:
    """Luma 0..1 (H, W): both squares moved right by `shift` px, the left one by `magnified` if given."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
    out = texture(y, x, 1)
    for seed, (top, left, side), by in ((2, LEFT, shift if magnified is None else magnified), (3, RIGHT, shift)):
        # An exact share of the pixels at the edges, so that a shift by a fraction is one.
        cover = np.clip(x - (left + by) + 1, 0, 1) * np.clip(left + by + side - x, 0, 1)
        cover = cover * ((y >= top) & (y < top + side))
        out = out * (1 - cover) + cover * texture(y, x - by, seed)
    return out


def write(path: Path, pictures: list[list[np.ndarray]], pix_fmt: str, codec: str = "ffv1", rate: int = 25) -> str:
    """A lossless clip of given planes."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, time_base=Fraction(1, rate))
        stream.height, stream.width = pictures[0][0].shape
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        for number, planes in enumerate(pictures):
            frame = av.VideoFrame(stream.width, stream.height, pix_fmt)
            for plane, samples in zip(frame.planes, planes, strict=True):
                view = np.frombuffer(plane, samples.dtype).reshape(plane.height, -1)
                view[:, : samples.shape[1]] = samples
            frame.pts, frame.time_base = number, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return str(path)


SHIFTS = [0.0, 0.5, -0.5, 1.0]


def clip(folder: Path, pix_fmt: str = "yuv420p", shifts: list[float] = SHIFTS) -> str:
    """The scene with both squares at each of the shifts, in noisy colours that would show any change."""
    deep = "10" in pix_fmt
    dtype, peak = (np.uint16, 1023) if deep else (np.uint8, 255)
    rng = np.random.default_rng(4)
    half = (-(-SIZE[0] // 2), -(-SIZE[1] // 2))
    chroma = [rng.integers(peak // 3, peak // 2, half).astype(dtype) for _ in range(2)]
    pictures = []
    for shift in shifts:
        luma = np.rint(scene(shift) * peak * 0.8 + peak * 0.1).astype(dtype)
        pictures.append([luma] if pix_fmt.startswith("gray") else [luma, *chroma])
    return write(folder / "in.mkv", pictures, pix_fmt)


def check_left_moves_alone(source: str, target: Path, reach: float, mask: np.ndarray) -> None:
    """Beyond `reach` px around the mask every bit is the input's, and the left square is where it is due."""
    far = distance(mask, 500) > reach
    before, after = frames(source), frames(target)
    assert len(before) == len(after) == len(SHIFTS)
    assert same_picture(before[0].planes, after[0].planes)
    for shift, one, two in zip(SHIFTS[1:], before[1:], after[1:], strict=True):
        assert two.layout == one.layout
        for a, b in zip(one.planes, two.planes, strict=True):
            step = 1 if a.shape == SIZE else 2
            np.testing.assert_array_equal(a[far[::step, ::step]], b[far[::step, ::step]])
        assert not np.array_equal(one.planes[0], two.planes[0])
        peak = one.layout.peak
        shown = (two.planes[0] / peak - 0.1) / 0.8
        top, left, side = LEFT
        col = left + round(ALPHA * shift)
        inner = np.s_[top + 6 : top + side - 6, col + 6 : col + side - 6]
        error = np.abs(shown - scene(shift, ALPHA * shift))[inner].mean()
        unmagnified = np.abs(scene(shift) - scene(shift, ALPHA * shift))[inner].mean()
        assert error < 0.35 * unmagnified


# -- only what is masked moves


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gray"])
def test_only_the_masked_object_is_magnified(tmp_path, pix_fmt):
    source, mask = clip(tmp_path, pix_fmt), square(LEFT)
    np.save(tmp_path / "mask.npy", mask)
    report = magnify_video(
        source, tmp_path / "out.mkv", alpha=ALPHA, mask=tmp_path / "mask.npy", mask_grow=4, encode=FFV1
    )
    assert not report.warnings
    # 4 px grown, 6 px thrown, and two points of the flow's grid for what lands between them
    check_left_moves_alone(source, tmp_path / "out.mkv", 4 + 6 + 4 + 2, mask)
    both = magnify_video(source, tmp_path / "both.mkv", alpha=ALPHA, encode=FFV1)
    assert both.frames == len(SHIFTS)
    right = square(RIGHT)
    for a, b in zip(frames(source)[1:], frames(tmp_path / "both.mkv")[1:], strict=True):
        assert (a.planes[0] != b.planes[0])[right].mean() > 0.5, "without the mask the other moves as well"


def test_a_region_does_the_same(tmp_path):
    source = clip(tmp_path)
    top, left, side = LEFT
    region = f"{left - 4},{top - 4},{side + 8},{side + 8}:{ALPHA}"
    magnify_video(source, tmp_path / "out.mkv", alpha=2, roi=[region], encode=FFV1)
    check_left_moves_alone(source, tmp_path / "out.mkv", 4 + 6 + 4 + 2, square(LEFT))


def test_an_alpha_map_does_the_same(tmp_path):
    source = clip(tmp_path)
    np.save(tmp_path / "map.npy", np.where(square(LEFT, 4), ALPHA, 1))
    magnify_video(source, tmp_path / "out.mkv", alpha=100, alpha_map=tmp_path / "map.npy", encode=FFV1)
    check_left_moves_alone(source, tmp_path / "out.mkv", 4 + 6 + 4 + 2, square(LEFT))


def test_what_leaves_the_mask_is_not_cut(tmp_path):
    """Thrown 9 px out of a mask that ends at its outline, the square's leading side is there as without a mask."""
    source = clip(tmp_path, "gray", [0.0, 1.0])
    np.save(tmp_path / "mask.npy", square(LEFT))
    magnify_video(source, tmp_path / "out.mkv", alpha=9, mask=tmp_path / "mask.npy", encode=FFV1)
    magnify_video(source, tmp_path / "all.mkv", alpha=9, encode=FFV1)
    shown, unmasked, before = (
        frames(path)[1].planes[0] for path in (tmp_path / "out.mkv", tmp_path / "all.mkv", source)
    )
    top, left, side = LEFT
    lead = np.s_[top + 3 : top + side - 3, left + side + 1 : left + side + 7]  # wholly outside the mask
    # to the level: what moves by 9 px beside a mask and without one is resampled at places a hair apart
    np.testing.assert_allclose(shown[lead].astype(int), unmasked[lead].astype(int), atol=1)
    assert (shown[lead] != before[lead]).mean() > 0.9


@pytest.mark.parametrize("changes", [{"mask": "mask.npy", "alpha": 1}, {"alpha_map": "ones.npy"}, {"roi": "0,0,9,9:1"}])
def test_a_map_of_ones_changes_nothing(tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    source = clip(tmp_path)
    np.save("mask.npy", square(LEFT))
    np.save("ones.npy", np.ones(SIZE))
    magnify_video(source, "out.mkv", encode=FFV1, **changes)
    assert all(same_picture(a.planes, b.planes) for a, b in zip(frames(source), frames("out.mkv"), strict=True))


# -- files


def opened(source: str, **changes) -> np.ndarray:
    """The map of frame 0 as a job makes it, in stored pixels."""
    with Job(source, None, MagnifyOptions(alpha=ALPHA, **changes), dry=True) as job:
        return job.targets.alpha_map(0)


def picture_of(mask: np.ndarray, path: Path, pix_fmt: str = "gray", codec: str = "png") -> str:
    """The mask as a picture or clip of one frame, white on black."""
    samples = np.where(mask, 255, 0).astype(np.uint8)
    planes = (
        [samples] if pix_fmt == "gray" else [samples, *[np.full((-(-SIZE[0] // 2), -(-SIZE[1] // 2)), 128, "u1")] * 2]
    )
    return write(path, [planes], pix_fmt, codec)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("m.png", "png", "gray"), ("m.bmp", "bmp", "gray"), ("m.jpg", "mjpeg", "yuvj420p"), ("m.pgm", "pgm", "gray")],
)
def test_pictures_of_masks(tmp_path, name, codec, pix_fmt):
    mask = square(LEFT)
    found = opened(clip(tmp_path), mask=picture_of(mask, tmp_path / name, pix_fmt, codec))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.where(mask, np.float32(ALPHA), 1))


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "P", "RGB", "RGBA", "LA"])
def test_pngs_of_every_kind(tmp_path, mode):
    """Black is outside, and so is what is transparent; a label of 1 or a dark red is inside."""
    image = pytest.importorskip("PIL.Image")
    mask = square(LEFT)
    samples = mask.astype(np.uint8)
    if mode == "1":
        picture = image.fromarray(mask)
    elif mode == "I;16":
        picture = image.fromarray(samples.astype(np.uint16))
    elif mode == "P":
        picture = image.fromarray(samples, "P")
        picture.putpalette([0, 0, 0, 128, 0, 0])
    elif mode in ("RGBA", "LA"):
        white = np.full_like(samples, 255)
        picture = image.fromarray(np.stack([white] * (len(mode) - 1) + [255 * samples], -1))
    else:
        picture = image.fromarray(samples).convert(mode)
    picture.save(tmp_path / "m.png")
    np.testing.assert_array_equal(opened(clip(tmp_path), mask=tmp_path / "m.png") != 1, mask)


def test_masks_and_maps_of_another_resolution(tmp_path):
    source, mask = clip(tmp_path), square(LEFT)
    np.save(tmp_path / "big.npy", mask.repeat(3, 0).repeat(3, 1))
    np.testing.assert_array_equal(opened(source, mask=tmp_path / "big.npy") != 1, mask)
    np.save(tmp_path / "small.npy", np.full((48, 80), 3.0))
    np.testing.assert_array_equal(opened(source, alpha_map=tmp_path / "small.npy"), np.full(SIZE, 3, np.float32))


def test_the_map_is_turned_with_a_picture_that_is_stored_turned(clips, tmp_path):
    """Masks and regions are of the picture as a player shows it: 90° counter-clockwise of what is stored."""
    source = clips("turned.mp4", rotation=90, frames=2)  # stored 64x48, shown 48x64
    found = opened(source, roi=["0,0,10,20"])
    due = np.ones((48, 64))
    due[:10, -20:] = ALPHA  # the shown picture's upper left is the stored one's upper right
    np.testing.assert_array_equal(found, due)
    with pytest.raises(OptionError, match="outside the picture of 48x64"):
        opened(source, roi=["0,0,64,48"])


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"mask": "none.png"}, InputError, r"none\.png does not exist; check the path"),
        ({"mask": "none.npy"}, InputError, r"none\.npy does not exist"),
        (
            {"mask": "text.png"},
            InputError,
            r"text\.png: no frame .*could be decoded|text\.png (is not media|cannot be opened)",
        ),
        ({"mask": "text.npy"}, InputError, r"text\.npy is no readable \.npy array"),
        ({"mask": "."}, InputError, "is no file; masks are read from files"),
        ({"mask": "-"}, InputError, "- does not exist"),
        ({"mask": "flat.npy"}, OptionError, r"flat\.npy holds int64 of shape \(4, 4, 4\)"),
        ({"mask": "empty.npy"}, OptionError, r"empty\.npy is empty: none of its 161x97 pixels"),
        ({"mask": "black.png"}, OptionError, r"black\.png is empty"),
        ({"alpha_map": "none.npy"}, InputError, r"none\.npy does not exist"),
        ({"alpha_map": "nan.npy"}, OptionError, r"nan\.npy holds nan at column 1, row 0"),
        ({"alpha_map": "negative.npy"}, OptionError, r"negative\.npy holds -2 at column 0, row 0"),
        (
            {"alpha_map": "some.npy", "alpha": 1.5, "alpha_end": 0},
            OptionError,
            r"alpha_map some\.npy has .* own, 30, that",
        ),
    ],
)
def test_bad_files_are_refused_before_the_input_is_opened(tmp_path, monkeypatch, changes, error, text):
    monkeypatch.chdir(tmp_path)
    Path("text.png").write_text("no picture\n" * 20)
    Path("text.npy").write_text("no array\n" * 20)
    np.save("flat.npy", np.ones((4, 4, 4), int))
    np.save("empty.npy", np.zeros(SIZE))
    np.save("nan.npy", np.array([[1, np.nan]]))
    np.save("negative.npy", np.array([[-2, 1]]))
    np.save("some.npy", np.array([[30, 1]]))
    picture_of(np.zeros(SIZE, bool), tmp_path / "black.png")
    with pytest.raises(error, match=text) as caught:
        magnify_video("not-there.mkv", "out.mkv", **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mask": "wide.npy"}, r"wide\.npy is 200x97 and the picture 161x97, another aspect"),
        ({"mask": "turned.png"}, r"turned\.png is 97x161 and the picture 161x97"),
        ({"alpha_map": "wide.npy"}, r"wide\.npy is 200x97 and the picture 161x97"),
        ({"roi": ["0,0,162,10"]}, "roi 0,0,162,10 reaches to column 162 and row 10, outside the picture of 161x97"),
        ({"roi": ["0,0,9,9", "150,90,5,8:3"]}, "roi 150,90,5,8:3 reaches to column 155 and row 98"),
    ],
)
def test_what_does_not_fit_the_input_is_refused_with_the_numbers(tmp_path, monkeypatch, changes, text):
    monkeypatch.chdir(tmp_path)
    source = clip(tmp_path)
    np.save("wide.npy", np.ones((97, 200)))
    write(tmp_path / "turned.png", [[np.full((161, 97), 255, np.uint8)]], "gray", "png")
    before = sorted(os.listdir())
    with pytest.raises(OptionError, match=text):
        magnify_video(source, "out.mkv", **changes)
    assert sorted(os.listdir()) == before


# -- videos of masks


def masks(path: Path, pictures: list[np.ndarray], codec: str = "ffv1", rate: int = 25) -> str:
    """A video of masks."""
    white = [np.where(mask, 255, 0).astype(np.uint8) for mask in pictures]
    grey = np.full((-(-SIZE[0] // 2), -(-SIZE[1] // 2)), 128, np.uint8)
    if codec == "ffv1":
        return write(path, [[mask] for mask in white], "gray", codec, rate)
    return write(path, [[mask // 255 * 219 + 16, grey, grey] for mask in white], "yuv420p", codec, rate)


def row(number: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[8 * number : 8 * number + 8] = True
    return mask


def which(factors: np.ndarray) -> int:
    """The number of the row that is magnified."""
    found = np.flatnonzero((factors != 1).all(1))
    assert len(found) == 8
    return int(found[0]) // 8


@pytest.mark.parametrize("codec", ["ffv1", "mpeg4"])
def test_masks_are_matched_by_number(tmp_path, codec):
    even = (96, 160)
    video = write(
        tmp_path / "masks.mkv",
        [[np.where(row(n)[:96, :160], 255, 0).astype("u1"), *[np.full((48, 80), 128, "u1")] * 2] for n in range(8)],
        "yuv420p",
        codec,
    )
    source = write(tmp_path / "in.mkv", [[np.full(even, 99, np.uint8)]] * 8, "gray")
    with Job(source, None, MagnifyOptions(alpha=3, mask=video, reference="previous"), dry=True) as job:
        targets = job.targets
        assert [which(targets.alpha_map(n)) for n in (0, 1, 2, 5, 5, 7)] == [0, 1, 2, 5, 5, 7]
        assert not targets.warnings
        assert which(targets.alpha_map(9)) == 7
        assert targets.warnings == [f"{video} ends after 8 frames; its last mask is kept for those that follow"]


def test_the_mask_of_each_new_reference_counts(tmp_path, monkeypatch):
    """every:0.08 at 25 fps: references are frames 0, 2, 4, 6, and their masks those of the same number."""
    source = write(tmp_path / "in.mkv", [[np.full(SIZE, 99, np.uint8)]] * 8, "gray")
    video = masks(tmp_path / "masks.mkv", [row(n) for n in range(5)])
    asked = []
    alpha_map = Targets.alpha_map
    monkeypatch.setattr(
        Targets, "alpha_map", lambda self, n: (asked.append((n, which(found := alpha_map(self, n)))), found)[1]
    )
    report = magnify_video(
        source, tmp_path / "out.mkv", mask=video, reference="every:0.08", shot_cuts=False, encode=FFV1
    )
    assert asked == [(0, 0), (0, 0), (2, 2), (4, 4), (6, 4)], "once more at the start, to see whether it is sound"
    assert report.warnings == [f"{video} ends after 5 frames; its last mask is kept for those that follow"]


def test_start_applies_to_the_masks_as_well(tmp_path):
    source = write(tmp_path / "in.mkv", [[np.full(SIZE, 99, np.uint8)]] * 8, "gray")
    video = masks(tmp_path / "masks.mkv", [row(n) for n in range(8)])
    assert which(opened(source, mask=video, start=0.12)) == 3
    picture = picture_of(row(2), tmp_path / "m.png")
    assert which(opened(source, mask=picture, start=0.12)) == 2, "a picture has no time"


def test_a_far_reference_has_the_mask_of_its_number(tmp_path):
    source = clip(tmp_path)
    video = masks(tmp_path / "masks.mkv", [square(RIGHT), square(RIGHT), square(LEFT, 4), square(RIGHT)])
    magnify_video(source, tmp_path / "out.mkv", alpha=3, mask=video, reference="frame:2", encode=FFV1)
    before, after = frames(source)[3], frames(tmp_path / "out.mkv")[3]
    changed = before.planes[0] != after.planes[0]
    assert changed[square(LEFT)].any()
    assert not changed[square(RIGHT)].any()


def test_magnified_objects_change_with_the_masks(tmp_path):
    """With every:, the left square is magnified first and the right one then; the other stays to the bit."""
    source = clip(tmp_path, "yuv420p10le", [0.0, 0.6, 0.0, 0.6])
    video = masks(tmp_path / "masks.mkv", [square(LEFT, 4)] * 2 + [square(RIGHT, 4)] * 2)
    magnify_video(
        source, tmp_path / "out.mkv", alpha=5, mask=video, reference="every:0.08", shot_cuts=False, encode=FFV1
    )
    for number, there, not_there in ((1, LEFT, RIGHT), (3, RIGHT, LEFT)):
        a, b = frames(source)[number].planes[0], frames(tmp_path / "out.mkv")[number].planes[0]
        assert (a != b)[square(there)].mean() > 0.4
        assert not (a != b)[square(not_there, 6)].any()


def test_empty_masks(tmp_path):
    """Refused where nothing would ever be magnified, told where the object is only away for a while."""
    source, nothing = clip(tmp_path), np.zeros(SIZE, bool)
    video = masks(tmp_path / "masks.mkv", [nothing, square(LEFT), nothing, square(LEFT)])
    for changes in ({}, {"reference": "frame:2"}):
        with pytest.raises(OptionError, match=r"masks\.mkv is empty in frame \d, the reference; .*--reference frame:N"):
            magnify_video(source, tmp_path / "out.mkv", mask=video, **changes)
    report = magnify_video(source, tmp_path / "out.mkv", mask=video, reference="previous", shot_cuts=False, encode=FFV1)
    assert report.warnings == [f"{video} is empty in some frames; nothing is magnified against those"]
    same = [same_picture(a.planes, b.planes) for a, b in zip(frames(source), frames(tmp_path / "out.mkv"), strict=True)]
    assert same == [True, True, False, True]


def test_another_rate_is_told(tmp_path):
    source = clip(tmp_path)
    video = masks(tmp_path / "masks.mkv", [square(LEFT)] * 4, rate=50)
    with Job(source, None, MagnifyOptions(mask=video), dry=True) as job:
        assert job.warnings == [
            f"{video} has 50 frames a second and the input 25; masks are matched by number, not by time"
        ]


def test_masks_of_another_size_are_refused_for_videos_too(tmp_path):
    video = write(tmp_path / "m.mkv", [[np.full((60, 60), 255, np.uint8)]] * 3, "gray")
    with pytest.raises(OptionError, match=r"m\.mkv is 60x60 and the picture 161x97"):
        opened(clip(tmp_path), mask=video)


# -- the wrong way round


def kinds_of_masks(folder: Path, mask: np.ndarray) -> list[Path]:
    """The mask as an array, as a picture and as a video."""
    shown = [[np.where(mask, np.uint8(255), np.uint8(0))]]
    np.save(folder / "array.npy", mask)
    write(folder / "picture.mkv", shown, "gray")
    write(folder / "video.mkv", shown * len(SHIFTS), "gray")
    return [folder / name for name in ("array.npy", "picture.mkv", "video.mkv")]


def test_an_inverted_mask_is_the_other_part_then_grown(tmp_path):
    source = clip(tmp_path)
    for mask in kinds_of_masks(tmp_path, ~square(LEFT)):
        with Job(source, None, MagnifyOptions(alpha=ALPHA, mask=mask, mask_invert=True, mask_grow=4)) as job:
            factors = job.targets.alpha_map(0)
            np.testing.assert_array_equal(factors, np.where(distance(square(LEFT), 9) <= 4, ALPHA, 1))
            assert not any("mask-invert" in line for line in job.warnings)
            assert f"mask {mask}" in job.targets.describe()
            assert ", inverted, grown by 4 px" in job.targets.describe()


def test_a_mask_that_covers_most_is_told(tmp_path):
    """Of ImageJ with an inverting lookup table, what was marked is black."""
    source = clip(tmp_path)
    told = r"has 94 % of the picture magnified, whatever is not black or 0.*; --mask-invert turns that round"
    for mask in kinds_of_masks(tmp_path, ~square(LEFT)):
        report = magnify_video(source, tmp_path / "out.mkv", mask=mask, encode=FFV1, overwrite=True)
        assert sum(bool(re.search(f"{re.escape(str(mask))} {told}", line)) for line in report.warnings) == 1
    half = np.ones(SIZE, bool)
    half[:40] = False
    for right in (square(LEFT), half, np.ones(SIZE, bool)):
        for mask in kinds_of_masks(tmp_path, right):
            with Job(source, None, MagnifyOptions(mask=mask)) as job:
                assert not job.warnings


def test_nothing_left_of_an_inverted_mask(tmp_path):
    source = clip(tmp_path)
    array, picture, _ = kinds_of_masks(tmp_path, np.ones(SIZE, bool))
    for mask in (array, picture):
        with pytest.raises(OptionError, match=f"{mask.name}, inverted, is empty: none of its 161x97 pixels is set"):
            Job(source, None, MagnifyOptions(mask=mask, mask_invert=True))
    np.save(array, np.zeros(SIZE))
    with Job(source, None, MagnifyOptions(mask=array, mask_invert=True)) as job:
        assert (job.targets.alpha_map(0) == job.options.alpha).all()


# -- what is told


def test_the_file_and_info_say_what_was_magnified(tmp_path):
    from magfilter.info import describe_job

    source = clip(tmp_path)
    np.save(tmp_path / "cat.npy", square(LEFT))
    options = MagnifyOptions(
        alpha=20,
        mask=tmp_path / "cat.npy",
        mask_grow=8,
        mask_feather=2.5,
        roi=["1,2,3,4:5"],
        proxy=0.5,
        encode=FFV1,
    )
    with Job(source, None, options, dry=True) as job:
        told = describe_job(job)
    line = next(line for line in told.splitlines() if line.startswith("targets"))
    assert line.startswith(
        f"targets  mask {tmp_path / 'cat.npy'}, grown by 8 px; region 1,2,3,4:5; soft edge of 2.5 px"
    )
    assert "alpha 1 to 20, other than 1 on 1" in line
    magnify_video(source, tmp_path / "out.mkv", options)
    with VideoReader(tmp_path / "out.mkv") as reader:
        comment = next(value for key, value in reader.info.metadata.items() if key.lower() == "comment")
    assert comment.endswith("reference=first proxy=0.5 mask=cat.npy mask_grow=8 mask_feather=2.5 roi=1,2,3,4:5")
    assert str(tmp_path) not in comment, "where the file lay is nobody's business"
