"""Real clips as pairs: what cannot be used is skipped and counted, draws repeat, and cuts are kept out."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")

from PIL import Image  # noqa: E402
from toys import CPU  # noqa: E402

from trainer.clips import WINDOW, ClipBank, clip_files, clip_seconds, read_window  # noqa: E402
from trainer.data.clips import find_clips  # noqa: E402


@pytest.fixture
def clip(clips) -> Path:
    return Path(clips("a.mp4", frames=WINDOW, size=(160, 144)))


def numbered(folder: Path, count: int, size: tuple[int, int] = (160, 144)) -> Path:
    """A folder of pictures 00.png, 01.png, …, each of its own brightness."""
    folder.mkdir(parents=True)
    for n in range(count):
        Image.new("RGB", size, (10 + n, 10 + n, 10 + n)).save(folder / f"{n:02}.png")
    return folder


def test_clips_are_those_that_curate_finds(tmp_path):
    numbered(tmp_path / "shot", 2)
    for name in ("b.mp4", "a10.mkv", "a2.mkv", "c.avi", "readme.txt"):
        (tmp_path / name).touch()
    (tmp_path / "aa/deeper").mkdir(parents=True)
    (tmp_path / "aa/deeper/d.webm").touch()
    found = [path.relative_to(tmp_path).as_posix() for path in clip_files(tmp_path)]
    assert found == ["a10.mkv", "a2.mkv", "aa/deeper/d.webm", "b.mp4", "c.avi", "shot"]
    assert set(clip_files(tmp_path)) == set(find_clips([tmp_path]))
    assert clip_files(None) == []


def test_folders_of_pictures_give_windows_as_videos_do(tmp_path):
    folder = numbered(tmp_path / "shot", 40)
    assert clip_seconds(folder) == 1.6
    bank = ClipBank([folder], 2, CPU, 1)
    assert [window[:, 0, 0, 0].tolist() for window in bank.windows] == [
        list(range(start, start + WINDOW)) for start in (10, 30)
    ]
    assert ClipBank([folder], 2, CPU, 1, 3).windows[0].shape == (WINDOW, 3, 144, 160)
    Image.new("RGB", (200, 200)).save(folder / "03.png")
    assert read_window(folder, 0, WINDOW) is None, "of two sizes"
    (folder / "05.png").write_bytes(b"no picture")
    assert len(ClipBank([folder, numbered(tmp_path / "other", 12)], 2, CPU, 1).windows) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_window_is_so_many_consecutive_pictures(clips, channels):
    path = Path(clips("a.mp4", frames=20, size=(160, 128)))
    window = read_window(path, 0, 12, channels)
    assert window.shape == (12, channels, 128, 160)
    assert window.dtype == torch.uint8
    assert read_window(path, 0, 21, channels) is None
    later = read_window(path, 0.2, 1, channels)
    assert later is not None
    assert later.shape[0] == 1


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 540, 900), (3, 360, 600)])
def test_large_clips_are_reduced_to_an_even_size(clips, channels, height, width):
    path = Path(clips("big.mp4", frames=2, size=(1000, 600), options={"preset": "ultrafast"}))
    assert read_window(path, 0, 1, channels).shape == (1, channels, height, width)


def test_colours_are_rgb(clips):
    """The pattern's red-difference plane goes with the picture; grey is what is left of it as luma."""
    path = Path(clips("a.mp4", frames=2, size=(160, 128)))
    rgb = read_window(path, 0, 1, 3).float()[0]
    grey = read_window(path, 0, 1)[0, 0].float()
    assert (rgb[0] - rgb[2]).abs().mean() > 5, "coloured"
    luma = (rgb * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)
    centred = [plane - plane.mean() for plane in (luma, grey)]
    assert (centred[0] * centred[1]).sum() > 0.95 * centred[0].norm() * centred[1].norm()


def test_unreadable_short_and_tiny_clips_are_skipped_and_counted(clips, clip):
    short = Path(clips("short.mp4", frames=WINDOW - 1, size=(160, 144)))
    tiny = Path(clips("tiny.mp4", frames=WINDOW, size=(64, 48)))
    garbage = clips.folder / "garbage.mp4"
    garbage.write_bytes(b"no video" * 100)
    missing = clips.folder / "missing.mp4"
    bank = ClipBank([garbage, short, clip, tiny, missing], 3, CPU, 1)
    assert len(bank.windows) == 1
    assert bank.windows[0].shape == (WINDOW, 1, 144, 160)
    assert bank.skipped == 4


def test_windows_are_spread_over_a_long_clip(clips):
    path = Path(clips("long.mp4", frames=60, size=(128, 128), options={"g": "12"}))
    windows = ClipBank([path], 3, CPU, 1).windows
    assert len(windows) == 3
    assert not any(torch.equal(windows[0], other) for other in windows[1:])


def test_no_clip_at_all_is_an_error_that_names_the_option(clips):
    for films, said in (([], "there is none"), ([clips.folder / "missing.mp4"], "none of the 1 there is")):
        with pytest.raises(ValueError, match=f"in --clips; {said}"):
            ClipBank(films, 3, CPU, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [64, 128, 192])
def test_pairs_come_in_0_to_1_with_the_size_asked(clip, size, channels):
    one, two = ClipBank([clip], 3, CPU, 1, channels)(5, size)
    assert one.shape == two.shape == (5, channels, size, size)
    assert one.dtype == torch.float32
    assert one.is_contiguous()
    assert min(one.min(), two.min()) >= 0
    assert 0.5 < max(one.max(), two.max()) <= 1
    assert not torch.equal(one, two)


def test_the_same_seed_draws_the_same_pairs(clip):
    draws = [torch.cat(ClipBank([clip], 3, CPU, seed)(4, 64)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_the_draw_goes_on_where_it_was(clip):
    bank = ClipBank([clip], 3, CPU, 1)
    bank(3, 64)
    state = bank.state()
    wanted = bank(3, 64)
    other = ClipBank([clip], 3, CPU, 5)
    other.restore(state)
    for one, two in zip(wanted, other(3, 64), strict=True):
        assert torch.equal(one, two)


def filled(numbers: torch.Tensor) -> ClipBank:
    """A bank of one window whose every frame is of one brightness."""
    bank = ClipBank.__new__(ClipBank)
    bank.g = torch.Generator().manual_seed(0)
    bank.windows = [numbers.to(torch.uint8).view(-1, 1, 1, 1).expand(len(numbers), 1, 128, 128).contiguous()]
    return bank


def test_pairs_are_neighbours_and_never_cross_a_cut():
    numbers = torch.arange(WINDOW) + 20
    numbers[6:] += 100  # a cut, after which all is brighter
    one, two = filled(numbers)(60, 16, longest=3)
    apart = ((one - two)[:, 0, 0, 0] * 255).round()
    assert set(apart.int().tolist()) == {-3, -2, -1, 1, 2, 3}, "time runs both ways"


def test_a_bank_of_nothing_but_cuts_still_gives_pairs():
    one, two = filled(torch.arange(WINDOW) % 2 * 200)(3, 16)
    assert len(one) == len(two) == 3
