"""Pictures that scenes are painted with: tiles, stills of clips, cut-outs; the useless ones are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
Image = pytest.importorskip("PIL.Image", reason="the trainer needs Pillow: pip install -e .[train]")

from toys import waves  # noqa: E402

from trainer import textures  # noqa: E402


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for k, size in enumerate([(240, 240), (300, 210)]):
        picture = np.stack([np.resize(waves(7 * k + c, 300), size[::-1]) for c in range(3)], -1)
        Image.fromarray(picture).save(folder / ("deeper" if k else ".") / f"{k}.png")
    return folder


def test_pictures_become_tiles_and_useless_ones_are_left_out(photos):
    (photos / "broken.png").write_bytes(b"\x89PNG but no more")
    (photos / "notes.txt").write_text("not a picture")
    Image.new("RGB", (400, 400), (90, 90, 90)).save(photos / "flat.png")
    Image.new("RGB", (20, 20)).save(photos / "small.png")
    files = textures.picture_files(photos)
    assert sorted(f.name for f in files) == ["0.png", "1.png", "broken.png", "flat.png", "small.png"]
    assert files == sorted(files), "a fixed order, or a seed would mean nothing"
    for channels in (1, 3):
        found, skipped = textures.load_tiles(files, channels=channels)
        assert skipped == 3
        assert found.dtype == torch.uint8
        assert found.shape[1:] == (channels, textures.TILE, textures.TILE)
        assert len(found) == 3, "one of the square picture, two of the oblong one"


def test_pictures_of_more_than_8_bits_are_scaled(tmp_path):
    grey = waves(3, 300)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(grey.astype(np.int32) * 257).save(tmp_path / "32.tiff")
    Image.fromarray(grey.astype(np.int32)).save(tmp_path / "32, dark.tiff")
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "float.tiff")
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "float, 255.tiff")
    for path in textures.picture_files(tmp_path):
        found = np.asarray(textures.open_picture(path, "RGB"))
        bright = grey / grey.max() * 255 if path.name == "float, 255.tiff" else grey
        assert np.abs(found.astype(float) - bright[..., None]).max() <= 0.5, path.name


def test_pictures_too_large_for_pillow_are_skipped_and_counted(photos, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30_000)  # an error from twice that on
    found, skipped = textures.load_tiles(textures.picture_files(photos))
    assert (len(found), skipped) == (1, 1)


def test_no_usable_picture_is_an_error_that_names_the_option(tmp_path):
    with pytest.raises(ValueError, match="--photos"):
        textures.load_tiles([])


def test_clips_lend_their_stills_to_the_tiles(clips):
    path = clips("long.mp4", frames=10, size=(320, 240))
    assert len(textures.load_tiles([], [Path(path)], per_clip=2)[0]) >= 1
    assert textures.video_stills(Path(clips.folder / "missing.mp4"), 2) == []


def test_folders_of_pictures_lend_theirs(tmp_path):
    for n in range(8):
        Image.new("RGB", (20, 20), (n, n, n)).save(tmp_path / f"{n}.png")
    assert [still.getpixel((0, 0)) for still in textures.video_stills(tmp_path, 2)] == [(2, 2, 2), (6, 6, 6)]


def test_cutouts_are_centred_with_a_transparent_margin(tmp_path):
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[10:40, 20:70] = (200, 100, 50, 255)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.new("RGB", (50, 50), (1, 2, 3)).save(tmp_path / "opaque.png")
    Image.new("RGBA", (50, 50)).save(tmp_path / "empty.png")
    for channels in (1, 3):
        found, skipped = textures.load_cutouts(textures.picture_files(tmp_path), channels)
        assert skipped == 2
        assert found.shape == (1, channels + 1, textures.CUTOUT, textures.CUTOUT)
        opacity = found[0, -1]
        assert opacity[:8].max() == opacity[-8:].max() == 0
        assert opacity[:, :8].max() == opacity[:, -8:].max() == 0
        assert opacity[96, 96] == 255
    assert textures.load_cutouts([], 3)[0].shape == (0, 4, textures.CUTOUT, textures.CUTOUT)
