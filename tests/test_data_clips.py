"""Clips on disk: which are found, and that two frames asked for by time are the two that were meant."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

from trainer.data.access import ClipReaders, DecodeError  # noqa: E402
from trainer.data.clips import ClipStream, count_frames, find_clips, to_rgb  # noqa: E402
from trainer.data.index import Pair  # noqa: E402

STEP = 5  # levels of luma between neighbours, enough for the filter's bound on MSE
# B-frames whether they pay or not, so that frames are stored in another order than they are
# shown in; x264 makes none where it is lossless.
FIXED = "b-adapt=0:scenecut=0"
ORDERED = {"bf": "3", "g": "12", "crf": "4", "preset": "veryfast", "x264-params": FIXED}


def film(
    path: Path,
    frames: int = 30,
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    levels: Sequence[int] | None = None,
    interlaced: bool = False,
) -> Path:
    """A clip whose frame n is one grey of luma 16 + STEP·n (or levels[n]), B-frames included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    container = {"video_track_timescale": str(time_base.denominator)} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", container_options=container) as out:
        video = out.add_stream(codec, rate=25, time_base=time_base)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.options = options or (ORDERED if codec == "libx264" else {})
        video.codec_context.thread_count = 1
        if interlaced:
            video.codec_context.options = {**ORDERED, "x264-params": f"{FIXED}:tff=1"}
        for n in range(frames):
            frame = av.VideoFrame(*size, "yuv420p")
            for plane, level in zip(
                frame.planes, (16 + STEP * n if levels is None else levels[n], 128, 128), strict=True
            ):
                np.frombuffer(plane, np.uint8)[:] = level
            frame.pts, frame.time_base = (n if pts is None else pts[n]), time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def pictures(folder: Path, count: int, name: str = "im{}.png", size: tuple[int, int] = (64, 48)) -> Path:
    """A folder of numbered pictures, greys as in `film`."""
    folder.mkdir(parents=True)
    for n in range(count):
        image = np.full((size[1], size[0], 3), rgb_level(n), np.uint8)
        with av.open(str(folder / name.format(n + 1)), "w", format="image2") as out:
            video = out.add_stream("png", rate=1)
            video.width, video.height, video.pix_fmt = *size, "rgb24"
            out.mux(video.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            out.mux(video.encode(None))
    return folder


def rgb_level(number: int) -> int:
    """What frame `number` of `film` looks like in RGB."""
    return round(STEP * number * 255 / 219)


def number_of(image: np.ndarray | torch.Tensor) -> int:
    """The number of the frame that an image or a part of it shows; it must be one grey."""
    low, high = int(image.min()), int(image.max())
    assert high - low <= 1
    return round(low * 219 / 255 / STEP)


def times(path: Path) -> list[int | None]:
    with ClipStream(path) as stream:
        return [frame.pts for frame in stream]


def test_find_clips_order(tmp_path):
    for name in ("b/c10.mp4", "b/c9.mp4", "a/x.MKV", "a/notes.txt", "z.mov", ".hidden/x.mp4", "b/._c9.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("im10.png", "im9.png", "im8.jpg"):
        (tmp_path / "b" / "seq").mkdir(exist_ok=True)
        (tmp_path / "b" / "seq" / name).touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "sunset.jpg").touch()
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    names = [p.relative_to(tmp_path).as_posix() for p in find_clips([tmp_path])]
    assert names == ["a/x.MKV", "b/c9.mp4", "b/c10.mp4", "b/seq", "z.mov"]
    # Named outright, anything is a clip; and nothing is found twice.
    given = [tmp_path / "b/c10.mp4", tmp_path / "a/notes.txt", tmp_path / "b"]
    assert [p.name for p in find_clips(given)] == ["c10.mp4", "notes.txt", "c9.mp4", "seq", "x.MKV", "z.mov"]


def test_find_clips_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4 does not exist"):
        find_clips([tmp_path / "gone.mp4"])


def test_numbered_pictures_in_order(tmp_path):
    folder = pictures(tmp_path / "seq", 12)
    with ClipStream(folder) as stream:
        shown = [(frame.pts, number_of(frame.to_ndarray(format="rgb24"))) for frame in stream]
    assert shown == [(n, n) for n in range(12)]
    assert count_frames(folder) == 12


VFR = [0, 3, 7, 9, 18, 19, 40, 50, 51, 61, 62, 63, 64, 90, 91, 92, 93, 120, 121, 122, 130, 131, 140, 141]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("closed.mp4", {}),
        ("open.mp4", {"options": {**ORDERED, "x264-params": f"{FIXED}:open-gop=1"}}),
        ("open.mkv", {"options": {**ORDERED, "x264-params": f"{FIXED}:open-gop=1"}}),
        ("transport.ts", {"time_base": Fraction(1, 90000), "pts": [3600 * n for n in range(24)]}),
        ("frames.avi", {}),  # B-frames in AVI: its times are out of order
        ("intra.avi", {"codec": "ffv1"}),
        ("bare.h264", {}),  # no times at all
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"lossless": "1"}, "time_base": Fraction(1, 1000),
                      "pts": [40 * n for n in range(24)]}),
        ("vfr.mp4", {"pts": VFR, "time_base": Fraction(1, 600)}),
        ("edit.mp4", {"pts": [n + 7 for n in range(24)]}),  # begins late
    ],
)  # fmt: skip
def test_pairs_are_the_frames_meant(tmp_path, name, options):
    path = film(tmp_path / name, 24, **options)
    stamps = times(path)
    assert len(stamps) == 24
    good = all(a is not None for a in stamps) and stamps == sorted(set(stamps))
    assert good != name.startswith(("frames", "bare"))
    if name == "vfr.mp4":
        assert stamps == VFR
    readers = ClipReaders()
    wanted = [(n, stride) for stride in (1, 5) for n in range(24 - stride)]
    for n, stride in np.random.default_rng(0).permutation(wanted).tolist():
        a, b = (stamps[n], stamps[n + stride]) if good else (None, None)
        one, two = readers.read(Pair(path, a, b, n, stride))
        assert (number_of(one), number_of(two)) == (n, n + stride)
    readers.close()


def test_seeking_decodes_little(tmp_path):
    """A late pair of a timed clip is not reached from the beginning."""
    path = film(tmp_path / "a.mp4", 48, levels=[16 + 4 * n for n in range(48)])
    stamps = times(path)
    readers = ClipReaders()
    reader = readers._make(path)
    reader._count = lambda want: pytest.fail("decoded from the beginning")
    for n in (46, 3, 24, 12, 11):
        reader.pair(Pair(path, stamps[n], stamps[n + 1], n, 1))
    reader.close()


def test_careful_conversion():
    """Greys come out exact, and chroma is interpolated, not repeated."""
    from av.video.reformatter import VideoReformatter

    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane, level in zip(frame.planes, (16 + 5 * 9, 128, 128), strict=True):
        np.frombuffer(plane, np.uint8)[:] = level
    assert np.unique(to_rgb(frame, VideoReformatter())).tolist() == [rgb_level(9)]
    ramp = np.frombuffer(frame.planes[2], np.uint8).reshape(24, -1)
    ramp[:] = np.linspace(110, 170, ramp.shape[1]).astype(np.uint8)
    red = to_rgb(frame, VideoReformatter())[24, :, 0].astype(int)
    steps = np.diff(red[8:-8])
    assert steps.min() >= 1
    assert steps.max() <= 3


def test_changed_clip(tmp_path):
    path = film(tmp_path / "a.mp4", 10)
    readers = ClipReaders()
    with pytest.raises(DecodeError, match="has changed"):
        readers.read(Pair(path, 1, 3, 1, 1))  # not neighbours in time
    with pytest.raises(DecodeError, match="has changed"):
        readers.read(Pair(path, None, None, 9, 1))
    with pytest.raises(DecodeError, match=r"gone\.mp4"):
        readers.read(Pair(tmp_path / "gone.mp4", 0, 1, 0, 1))
    folder = pictures(tmp_path / "seq", 3)
    with pytest.raises(DecodeError, match="holds 3 pictures"):
        readers.read(Pair(folder, 0, 5, 0, 5))
    one, two = readers.read(Pair(folder, 0, 2, 0, 2))  # an error spoils nothing
    assert (number_of(one), number_of(two)) == (0, 2)


def test_few_clips_stay_open(tmp_path):
    paths = [film(tmp_path / f"{n}.mp4", 4) for n in range(5)]
    readers = ClipReaders(most=2)
    for path in [*paths, *paths]:
        one, _ = readers.read(Pair(path, 1, 2, 1, 1))
        assert number_of(one) == 1
        assert len(readers._open) <= 2
