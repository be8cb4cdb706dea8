"""What compares trainings: methods from weights that were not exported, the ablation's table, errors on a clip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")
pytest.importorskip("skimage")
from click.testing import CliRunner
from toys import photographs
from vibrations import write

from magfilter.models import find_model
from magfilter.networks.build import build_network
from trainer import ablation
from trainer.__main__ import main
from trainer.checkpoint import save_weights
from trainer.data.index import IndexWriter
from trainer.evaluation.adaptation import bounds, clip_error
from trainer.loop import Plan
from trainer.settings import Settings
from trainer.train import Data


def texture(shift: float = 0.0, size: int = 192) -> np.ndarray:
    """A smooth pattern moved `shift` px to the right, exactly: (size, size, 3) uint8."""
    y, x = np.mgrid[:size, :size]
    wave = np.sin(0.35 * (x - shift)) * np.cos(0.3 * y) + 0.5 * np.sin(0.17 * (x - shift) + 0.4 * y)
    return np.repeat(np.rint(127 + 60 * wave).astype(np.uint8)[..., None], 3, 2)


def test_warp_from_its_file_magnifies_a_shift():
    magnified = ablation.network_method(find_model("warp"))(texture(), texture(0.5), 4.0)
    middle = slice(24, -24)
    off = np.abs(magnified.astype(float) - texture(2.0))[middle, middle].mean()
    unmagnified = np.abs(texture(0.5).astype(float) - texture(2.0))[middle, middle].mean()
    assert off < 0.2 * unmagnified


def test_unet_of_any_width_paints_pictures_of_any_size(tmp_path):
    save_weights(
        tmp_path / "unet.safetensors", build_network("unet", 4).state_dict(), {"network": "unet", "width": "4"}
    )
    picture = texture()[:50, :71]
    painted = ablation.network_method(tmp_path / "unet.safetensors")(picture, picture, 2.0)
    assert painted.shape == picture.shape
    assert painted.dtype == np.uint8


def test_every_variant_is_trained_once_and_reported(tmp_path, monkeypatch):
    trained = []

    def train(settings, plan, data, out, device, start):
        trained.append((out.name, settings.scenes, settings.flow_loss, settings.colour, settings.flow))

    monkeypatch.setattr(ablation, "train", train)
    monkeypatch.setattr(ablation, "network_method", lambda folder: folder)
    monkeypatch.setattr(ablation, "_judge", lambda magnify, pairs: [1.0, 2.0, 3.0, 4.0, 0.5, 0.25])

    def table(**options):
        data = Data(photos=tmp_path)
        return list(ablation.ablate(Settings(), Plan(steps=3), data, tmp_path / "runs", pairs=list, **options))

    lines = table(unsupervised="own:clips")
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(ablation.VARIANTS)
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    assert trained == [
        ("scenes-alone", 1.0, 0.0, 10.0, "warp"),
        ("flow-loss-alone", 0.0, 1.0, 10.0, "warp"),
        ("flow-loss-alone-no-colour-loss", 0.0, 1.0, 0.0, "warp"),
        ("flow-loss-alone-unsupervised-teacher", 0.0, 1.0, 10.0, "own:clips"),
        ("scenes-and-flow-loss", 1.0, 0.05, 10.0, "warp"),
    ]
    assert table(unsupervised="own:clips") == lines  # from what lies in the folders
    assert len(trained) == 5
    assert len(table(unsupervised=None)) == len(lines) - 1


def test_figures_of_other_settings_or_data_are_not_handed_back(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "train", lambda *given: None)
    monkeypatch.setattr(ablation, "network_method", lambda folder: folder)
    monkeypatch.setattr(ablation, "_judge", lambda magnify, pairs: [1.0] * 6)

    def table(steps=3, photos="a", start=None, **settings):
        options = {"unsupervised": None, "pairs": list, "only": ("scenes alone",), "start": start}
        made = Settings(**settings), Plan(steps=steps), Data(photos=tmp_path / photos)
        return list(ablation.ablate(*made, tmp_path / "runs", **options))

    assert table() == table()
    for changed, said in (
        ({"steps": 4}, "steps 3 -> 4"),
        ({"batch": 2}, "batch 8 -> 2"),
        ({"photos": "b"}, f"photos {tmp_path}/a -> {tmp_path}/b"),
        ({"start": tmp_path / "x.onnx"}, f"start None -> {tmp_path}/x.onnx"),
    ):
        with pytest.raises(ValueError, match=rf"scenes-alone is of other settings: {said}; choose another folder"):
            table(**changed)
    (tmp_path / "runs/scenes-alone/asked.json").unlink()
    with pytest.raises(ValueError, match="does not say which settings it is of"):
        table()


def test_what_cannot_be_ablated_is_told_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "train", lambda *given: pytest.fail("trained"))
    photos = photographs(tmp_path / "photos")
    (tmp_path / "index.jsonl").write_text("{}\n")
    for more, said in (
        (("--only", "nope"), "No variant is called 'nope'; there are 'scenes alone', 'flow loss alone', "),
        (("--only", "flow loss alone, unsupervised teacher"), "give --unsupervised own:FILE"),
        (("--index", tmp_path / "index.jsonl"), "is not an index of pairs"),
    ):
        arguments = ("--steps", 1, "--photos", photos, "--clips", photos, "-o", tmp_path / "runs", *more)
        result = CliRunner().invoke(main, ["ablate", *map(str, arguments)])
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith("Error: ")
        assert said in line
    with IndexWriter(tmp_path / "gone.jsonl", tmp_path, {}) as writer:
        writer.add({"path": "a.mp4", "source": "a", "pairs": [[0, 1, 0, 1]]})
    result = CliRunner().invoke(main, ["ablate", *map(str, arguments[:-1]), str(tmp_path / "gone.jsonl")])
    assert "Error: 1 of 1 clips" in result.stderr
    assert "--root" in result.stderr


def test_a_variant_is_really_trained_and_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "SCENES", 1)
    monkeypatch.setattr(ablation, "JUDGES", ("dis",))
    monkeypatch.setattr(ablation, "known_motion_scenes", lambda count: [])
    monkeypatch.setattr(ablation, "known_motion", lambda *given, **named: [{"ratio": 1.0}])
    settings = Settings(width=8, size=64, batch=1)
    lines = list(
        ablation.ablate(
            settings,
            Plan(steps=1),
            Data(photos=photographs(tmp_path / "photos")),
            tmp_path / "runs",
            unsupervised=None,
            pairs=lambda: [("shift", texture(), texture(0.5))],
            only=("scenes alone",),
        )
    )
    assert len(lines) == 3
    figures = json.loads((tmp_path / "runs/scenes-alone/figures.json").read_text())
    assert len(figures) == len(ablation.ALPHAS) + 2
    assert np.isfinite(figures).all()


def test_error_on_a_clip_is_least_for_an_exact_magnifier():
    frames = np.stack([texture(d, 128) for d in (0.0, 0.5, 1.0)])
    exact = {frames[1].tobytes(): texture(2.0, 128), frames[2].tobytes(): texture(4.0, 128)}
    best = clip_error(lambda a, b, alpha: exact[b.tobytes()], frames, ["dis"], 4.0)["dis"]
    copied = clip_error(lambda a, b, alpha: b, frames, ["dis"], 4.0)["dis"]
    assert best < 0.3 * copied


def test_what_could_be_won_of_a_clip(tmp_path):
    clip = write(tmp_path / "clip.mkv", [texture(d, 128)[..., 0] for d in (0.0, 0.5, 1.0)])
    head, _, row, _, told = bounds([Path(clip)], find_model("warp"), ["dis"]).splitlines()
    assert head == "| clip | measured with | copy | network | dis's flow |"
    name, judge, *errors = row.strip("| ").split(" | ")
    assert (name, judge) == ("clip", "dis")
    copied, network, best = map(float, errors)
    assert max(network, best) < 0.3 * copied
    change = float(told.removeprefix("dis, against the network, median: copy +").partition("%")[0])
    assert change == pytest.approx(100 * (copied / network - 1), rel=0.05)
    assert "dis's flow " in told
