"""`--segment`: a click makes the mask. Segment Anything is stood in for by a module with its interface."""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from clips import Clips

from magfilter import BackendError, EncodeOptions, Frame, InputError, MagnifyOptions, OptionError, VideoReader
from magfilter.pipeline import Job, magnify_video
from magfilter.segment import check_segmenter, segment


class Network:
    def __init__(self, checkpoint: str) -> None:
        if Path(checkpoint).read_bytes() != b"weights":
            raise RuntimeError("invalid load key,\nand much more")

    def to(self, device: str) -> Network:
        if device == "toaster":
            raise RuntimeError("Expected one of cpu, cuda\nat /some/where")
        self.device = device
        return self


class Predictor:
    """Finds a square of 10 px around the clicks; of three answers that is the surest."""

    seen: dict[str, object]

    def __init__(self, network: Network) -> None:
        Predictor.seen = {"device": network.device}

    def set_image(self, image: np.ndarray) -> None:
        assert image.flags.c_contiguous
        Predictor.seen["image"] = image

    def predict(self, points: np.ndarray, labels: np.ndarray, multimask_output: bool):
        Predictor.seen.update(points=points.tolist(), labels=labels.tolist(), three=multimask_output)
        masks = np.zeros((3 if multimask_output else 1, *self.seen["image"].shape[:2]), bool)
        best = len(masks) // 2
        if points.sum():  # nothing is found at 0,0
            for x, y in points.astype(int):
                masks[best, max(0, y - 5) : y + 5, max(0, x - 5) : x + 5] = True
        scores = np.full(len(masks), 0.3)
        scores[best] = 0.9
        return masks, scores, None


@pytest.fixture
def weights(monkeypatch, tmp_path) -> Path:
    registry = {"vit_b": Network}
    fake = types.SimpleNamespace(sam_model_registry=registry, SamPredictor=Predictor)
    monkeypatch.setitem(sys.modules, "segment_anything", fake)
    cuda = types.SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(b"weights")
    return path


def test_a_click_makes_a_mask(weights):
    picture = np.zeros((48, 64, 3), np.uint8)
    mask = segment(picture, [(20, 30)], weights)
    assert (mask.shape, mask.dtype, mask.sum()) == ((48, 64), bool, 100)
    assert mask[25:35, 15:25].all()
    assert Predictor.seen["device"] == "cpu"
    assert (Predictor.seen["points"], Predictor.seen["labels"]) == ([[20, 30]], [1])
    assert Predictor.seen["three"] is True, "one click is ambiguous"


def test_several_clicks_mean_one_thing(weights):
    assert segment(np.zeros((48, 64, 3), np.uint8), [(20, 30), (40, 30)], weights).sum() == 200
    assert Predictor.seen["three"] is False


def test_what_is_missing_is_named_with_the_fix(weights, monkeypatch, tmp_path):
    with pytest.raises(OptionError, match=r"--segment needs the weights .*--segment-weights sam_vit_b_01ec64\.pth"):
        check_segmenter(None)
    with pytest.raises(InputError, match=r"none_vit_h\.pth does not exist"):
        check_segmenter(tmp_path / "none_vit_h.pth")
    with pytest.raises(OptionError, match=r"best\.pth does not say .*: vit_h, vit_l, vit_b"):
        check_segmenter("best.pth")
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    with pytest.raises(BackendError, match=r"needs Segment Anything .*pip install segment-anything torch") as caught:
        check_segmenter(weights)
    assert "\n" not in str(caught.value)


def test_weights_and_devices_that_are_none(weights, tmp_path):
    picture = np.zeros((48, 64, 3), np.uint8)
    bad = tmp_path / "bad_vit_b.pth"
    bad.write_bytes(b"something else")
    with pytest.raises(InputError, match=r"bad_vit_b\.pth holds no weights of Segment Anything's vit_b"):
        segment(picture, [(1, 1)], bad)
    with pytest.raises(BackendError, match=r"'toaster' \(Expected one of cpu, cuda\)"):
        segment(picture, [(1, 1)], weights, "toaster")
    with pytest.raises(OptionError, match="found nothing at 0,0"):
        segment(picture, [(0, 0)], weights)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"segment": ["1"]}, "segment '1' is not x,y in whole pixels, such as 120,80"),
        ({"segment": "1,2,3"}, "segment '1,2,3' is not x,y"),
        ({"segment": [(1.5, 2)]}, r"segment \(1.5, 2\) is not x,y"),
        ({"segment": ["-1,2"]}, "segment -1,2 lies outside every picture"),
        ({"segment": 7}, "segment must be a list of clicks"),
        ({"segment": ["1,2"], "mask": "m.png"}, "choose one of --segment and --mask"),
        ({"segment_weights": ""}, "segment_weights must be the name of a file"),
    ],
)
def test_wrong_options(changes, text):
    with pytest.raises(OptionError, match=text):
        MagnifyOptions(**changes)


def test_clicks_are_read():
    options = MagnifyOptions(segment=["120,80", (3, 4)], mask_grow=8)
    assert options.clicks == ((120, 80), (3, 4))
    assert options.targeting == "mask_grow=8 segment=120,80 segment=3,4"
    assert MagnifyOptions(segment="5,6").clicks == ((5, 6),)


def test_the_thing_clicked_on_is_magnified(clips: Clips, tmp_path, weights):
    source = clips("in.mkv", codec="ffv1", frames=3)
    options = MagnifyOptions(segment=["30,20"], segment_weights=weights, encode=EncodeOptions(codec="ffv1"), alpha=5)
    with Job(source, tmp_path / "out.mkv", options) as job:
        factors = job.targets.alpha_map(0)
        assert (factors[15:25, 25:35] == 5).all()
        assert (factors != 1).sum() == 100
        job.run()
    with Job(source, None, dataclasses.replace(options, mask_invert=True)) as job:
        assert (job.targets.alpha_map(0)[15:25, 25:35] == 1).all()
    with VideoReader(tmp_path / "out.mkv") as reader:
        assert sum(isinstance(item, Frame) for item in reader) == 3
        assert "segment=30,20" in str(reader.info.metadata)


@pytest.mark.parametrize("reference", ["first", "frame:2"])
def test_the_reference_is_what_was_clicked_on_as_it_is_shown(clips: Clips, tmp_path, weights, reference):
    source = clips("in.mp4", frames=3, rotation=90)  # stored 64x48, shown 48x64
    options = MagnifyOptions(segment=["10,50"], segment_weights=weights, reference=reference)
    with Job(source, tmp_path / "out.mp4", options) as job:
        with VideoReader(source) as reader:
            stored = [item for item in reader if isinstance(item, Frame)]
        due = np.rot90(stored[int(reference[-1]) if ":" in reference else 0].to_rgb())
        np.testing.assert_array_equal(Predictor.seen["image"], due)
        assert np.rot90(job.targets.alpha_map(0))[45:55, 5:15].min() == 10
    with pytest.raises(OptionError, match="segment 50,10 lies outside the picture of 48x64; x goes from 0 to 47"):
        Job(source, None, MagnifyOptions(segment=["50,10"], segment_weights=weights))


def test_info_runs_no_network(clips: Clips, weights):
    Predictor.seen = {}
    options = MagnifyOptions(segment=["10,20"], segment_weights=weights)
    with Job(clips("in.mp4", frames=2), None, options, dry=True) as job:
        assert job.targets.describe() == "what Segment Anything finds at 10,20"
    assert Predictor.seen == {}


def test_a_job_without_the_package_is_refused_before_the_input_is_opened(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    with pytest.raises(BackendError, match="pip install segment-anything"):
        magnify_video("not-there.mp4", tmp_path / "out.mp4", segment="1,2", segment_weights="vit_b.pth")
