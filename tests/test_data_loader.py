"""The loader: the frames that the index names, in an order that only seed and position decide."""

from __future__ import annotations

import gc
import itertools
import os
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

from test_data_clips import film, number_of, pictures  # noqa: E402
from test_data_curate import still  # noqa: E402

from trainer.data import DecodeError, PairIndex, PairLoader  # noqa: E402
from trainer.data.curate import curate  # noqa: E402
from trainer.data.loader import crop_box, crop_resize  # noqa: E402


@pytest.fixture
def index(tmp_path):
    """Clips of several kinds and sizes, every one's frames telling their numbers: 106 pairs."""
    folder = tmp_path / "clips"
    film(folder / "a.mp4", 20)
    film(folder / "b.mkv", 12, size=(96, 48))
    film(folder / "c.avi", 10, size=(48, 80))
    pictures(folder / "d", 20, size=(80, 64))
    curate([folder], tmp_path / "pairs.jsonl", flow=still, every=1, size=32)
    return PairIndex.load(tmp_path / "pairs.jsonl")


def take(loader, count):
    return list(itertools.islice(loader, count))


def same(one, two):
    return len(one) == len(two) and all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def drawn(loader, batches):
    """Numbers in the index of the pairs that the loader gives out at these batches."""
    places = itertools.chain(*(range(n * loader.batch, (n + 1) * loader.batch) for n in batches))
    return [loader.order.pair(place) for place in places]


def test_frames_are_those_of_the_index(index):
    loader = PairLoader(index, 7, 16, seed=3)
    batches = take(loader, 20)
    assert batches[0].shape == (7, 2, 3, 16, 16)
    assert batches[0].dtype == torch.uint8
    shown = [tuple(number_of(frame) for frame in pair) for batch in batches for pair in batch]
    wanted = [(index[n].frame, index[n].frame + index[n].stride) for n in drawn(loader, range(20))]
    assert shown == wanted
    assert loader.position == 20
    assert loader.skipped == 0


def test_every_pair_once_an_epoch(index):
    loader = PairLoader(index, 1, 8, seed=3)
    first, second = drawn(loader, range(len(index))), drawn(loader, range(len(index), 2 * len(index)))
    assert sorted(first) == sorted(second) == list(range(len(index)))
    assert first != second
    assert first != sorted(first)
    assert drawn(PairLoader(index, 1, 8, seed=4), range(len(index))) != first


def test_resumes_at_its_position(index):
    batches = take(PairLoader(index, 5, 16, seed=1), 30)  # across an epoch's end
    loader = PairLoader(index, 5, 16, seed=1)
    some = take(loader, 4)
    assert loader.position == 4
    assert same([*some, *take(loader, 3)], batches[:7])  # the same loader goes on
    resumed = PairLoader(index, 5, 16, 1, 0, 1, 0, 26)
    opened = []
    resumed.index = type("Watched", (), {"__getitem__": lambda _, n: opened.append(n) or index[n]})()
    assert same(take(resumed, 4), batches[26:])
    assert opened == drawn(resumed, range(26, 30))  # nothing else was decoded


def test_parts_differ_between_epochs_and_seeds(tmp_path):
    random = np.random.default_rng(0)
    image_class = pytest.importorskip("PIL.Image")
    (tmp_path / "clips/seq").mkdir(parents=True)
    picture = random.integers(20, 236, (64, 64, 3))
    for n in range(2):  # alike enough to be one shot
        noisy = picture + random.integers(-15, 16, picture.shape)
        image_class.fromarray(noisy.astype(np.uint8)).save(tmp_path / f"clips/seq/{n}.png")
    curate([tmp_path / "clips"], tmp_path / "i.jsonl", flow=still, strides=(1,), size=32)
    index = PairIndex.load(tmp_path / "i.jsonl")
    assert len(index) == 1
    one, two = take(PairLoader(index, 1, 32, seed=0), 2)
    (other,) = take(PairLoader(index, 1, 32, seed=1), 1)
    assert not torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_have_disjoint_shares(index, world):
    loaders = [PairLoader(index, 2, 8, seed=5, rank=rank, world=world) for rank in range(world)]
    together = [drawn(loader, range(len(index))) for loader in loaders]
    alone = drawn(PairLoader(index, 1, 8, seed=5), range(2 * world * len(index)))
    for rank, share in enumerate(together):
        assert share == alone[rank::world]
    counts = Counter(itertools.chain(*together))
    assert set(counts.values()) == {2 * world}


def test_workers_give_the_same(index):
    alone = take(PairLoader(index, 4, 16, seed=2, start=3), 9)
    loader = PairLoader(index, 4, 16, seed=2, workers=2, start=3)
    assert same(take(loader, 9), alone)
    assert loader.position == 12


class _Trap:
    """Part of a cycle, as a decoder in PyAV's frames is; tells when it is destroyed in another process."""

    def __init__(self, told):
        self.itself, self.home, self.told = self, os.getpid(), told

    def __del__(self):
        if os.getpid() != self.home:
            self.told.write_text("collected in a worker")


COLLECTING = threading.Event()  # a hook into forks cannot be taken out again
os.register_at_fork(after_in_child=lambda: COLLECTING.is_set() and gc.collect())


def test_forked_workers_collect_nothing_of_their_parent(index, tmp_path):
    """libav's decoders wait for their threads when they are destroyed, and in a fork there are none: a hang."""
    told = tmp_path / "told"
    gc.disable()
    COLLECTING.set()
    try:
        _Trap(told)  # garbage from the start
        taken = take(PairLoader(index, 4, 16, seed=2, workers=1, context="fork"), 3)
    finally:
        COLLECTING.clear()
        gc.enable()
    assert len(taken) == 3
    assert not told.exists()
    assert gc.get_freeze_count() == 0


@pytest.mark.slow
def test_spawned_workers_give_the_same(index):
    alone = take(PairLoader(index, 4, 16, seed=2), 3)
    assert same(take(PairLoader(index, 4, 16, seed=2, workers=1, context="spawn"), 3), alone)


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_pairs_are_replaced(index, workers):
    whole = PairLoader(index, 6, 16, seed=2)
    (index.root / "b.mkv").write_bytes(b"gone")
    loader = PairLoader(index, 6, 16, seed=2, workers=workers)
    batches = take(loader, 6)
    broken = {n for n in range(len(index)) if index[n].path.name == "b.mkv"}
    order = drawn(whole, range(12))
    wanted, skipped = [], 0
    for place in range(36):
        instead = next(n for n in range(place, 72) if order[n] not in broken)
        skipped += instead - place
        wanted.append(index[order[instead]].frame)
    assert [number_of(pair[0]) for batch in batches for pair in batch] == wanted
    assert loader.skipped == skipped > 0
    assert list(loader.failed) == [str(index.root / "b.mkv")]


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_failures(index, workers):
    for name in index.clips:
        path = index.root / name
        if path.is_file():
            path.unlink()
        else:
            for picture in path.iterdir():
                picture.write_bytes(b"")
    with pytest.raises(DecodeError, match="5 pairs in a row"):
        next(iter(PairLoader(index, 2, 16, seed=2, patience=5, workers=workers)))


@pytest.mark.parametrize(
    "options",
    [
        {"batch": 0}, {"size": 0}, {"seed": -1}, {"rank": 1}, {"rank": -1}, {"world": 0}, {"workers": -1},
        {"start": -1}, {"patience": 0}, {"prefetch": 0},
    ],
)  # fmt: skip
def test_bad_arguments(index, options):
    with pytest.raises(ValueError, match="Expected"):
        PairLoader(**({"index": index, "batch": 1, "size": 8, "seed": 0} | options))


def test_empty_index(tmp_path):
    film(tmp_path / "a.mp4", 4, levels=[100] * 4)
    curate([tmp_path / "a.mp4"], tmp_path / "i.jsonl", flow=still)
    with pytest.raises(ValueError, match="holds no pairs"):
        PairLoader(PairIndex.load(tmp_path / "i.jsonl"), 1, 8, 0)


def test_crop_box():
    random = np.random.default_rng(0)
    boxes = np.array([crop_box(270, 480, random, (0.7, 1.0), (3 / 4, 4 / 3)) for _ in range(500)])
    top, left, height, width = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 270).all()
    assert (left + width <= 480).all()
    assert len(np.unique(left)) > 50
    boxes = np.array([crop_box(300, 300, random, (0.7, 1.0), (3 / 4, 4 / 3)) for _ in range(500)])
    height, width = boxes[:, 2:].T
    assert height.min() * width.min() > 0
    assert 0.69 < (height * width / 300**2).min() < 0.75
    assert (height * width).max() / 300**2 > 0.95
    assert (width / height).min() > 0.74
    assert (width / height).max() < 1.34
    # No part of 70 % of such a strip has the shape; the largest that does is taken, from anywhere.
    boxes = [crop_box(30, 300, random, (0.7, 1.0), (3 / 4, 4 / 3)) for _ in range(300)]
    assert {box[:1] + box[2:] for box in boxes} == {(0, 30, 40)}
    assert (min(box[1] for box in boxes), max(box[1] for box in boxes)) == pytest.approx((0, 260), abs=9)
    assert crop_box(300, 30, random, (0.7, 1.0), (3 / 4, 4 / 3))[1:] == (0, 40, 30)


def test_crop_is_the_same_in_both_frames():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    pair = crop_resize(image, image.copy(), (5, 7, 40, 50), 24)
    assert pair.shape == (2, 3, 24, 24)
    assert torch.equal(pair[0], pair[1])
    part = crop_resize(image, np.roll(image, 3, axis=1), (0, 10, 40, 40), 40)
    assert torch.equal(part[0][:, :, :-3], part[1][:, :, 3:])  # not resized: exact, and moved by 3
