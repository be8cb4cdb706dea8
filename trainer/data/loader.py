"""Endless batches of pairs, decoded straight from their clips.

What is drawn at which position follows from the seed and the position alone: positions 0, 1, 2, …
run through one random order of all pairs after another, and position p belongs to rank p mod
world. So ranks never share a position, and a run resumes where it stopped without decoding
anything again.

What a pair costs on one core, measured on a server's Xeon with both frames cut to 512 × 512: to RGB
and resized 6 ms at 480p, 11 at 720p, 23 at 1080p; and the decoder's way from the last key frame, in
H.264 with 250 frames between two about 60 ms at 480p and 140 at 720p, with 12 between two 8 and 30.
x264 takes 250 unless told otherwise, so clips that are to be read many times are worth
`ffmpeg -i IN -c:v libx264 -crf 12 -g 12 OUT`, at two to four times the size, before they are curated.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from trainer.data.access import ClipReaders, DecodeError
from trainer.data.index import Pair, PairIndex

__all__ = ["PairLoader", "crop_box", "crop_resize"]

_ORDER, _CROP = 0, 1  # what a random stream is for


def crop_box(
    height: int, width: int, random: np.random.Generator, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a random part of a frame, drawn as torchvision's RandomResizedCrop does.

    Except where ten draws give no part that fits: torchvision then takes the largest of allowed shape from
    the middle, here it comes from anywhere. At 16:9 and the paper's bounds that is 89 % of all
    draws, and what happens at the sides of a frame would hardly ever be seen.

    Args:
        scale: bounds on the part's share of the area; ratio: on its width over its height.
    """
    h, w = 0, 0
    for _ in range(10):
        area = height * width * random.uniform(*scale)
        aspect = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            break
    else:
        aspect = min(max(width / height, ratio[0]), ratio[1])
        w, h = min(width, round(height * aspect)), min(height, round(width / aspect))
    return int(random.integers(height - h + 1)), int(random.integers(width - w + 1)), h, w


def crop_resize(one: np.ndarray, two: np.ndarray, box: tuple[int, int, int, int], size: int) -> Tensor:
    """The same part of two (H, W, 3) uint8 frames: (2, 3, size, size) uint8.

    Averaged where it shrinks: a texture that aliases seems to move otherwise than it does.
    """
    top, left, height, width = box
    parts = [torch.from_numpy(image)[top : top + height, left : left + width] for image in (one, two)]
    pair = torch.stack(parts).permute(0, 3, 1, 2)  # (2, 3, h, w)
    return F.interpolate(pair, (size, size), mode="bilinear", antialias=True).contiguous()


class _Order(NamedTuple):
    """Which pair stands at which position of this rank's share."""

    pairs: int
    seed: int
    rank: int
    world: int

    def position(self, place: int) -> int:
        """Of the `place`-th of this rank's share, among all ranks' together."""
        return place * self.world + self.rank

    def pair(self, place: int) -> int:
        """Number in the index of the `place`-th pair of this rank's share."""
        epoch, within = divmod(self.position(place), self.pairs)
        return int(_permutation(self.seed, epoch, self.pairs)[within])


@lru_cache(maxsize=2)  # a batch may lie across two epochs
def _permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """A random order of 0..count − 1; 8 bytes a pair."""
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(count)


class _Batch(NamedTuple):
    pairs: Tensor  # (B, 2, 3, S, S) uint8
    failures: list[tuple[str, str]]  # clip, and why


class _Batches(Dataset[_Batch]):
    """Batches by number. Its clips are opened in the process that reads them, and nowhere else."""

    def __init__(self, index: PairIndex, order: _Order, loader: PairLoader) -> None:
        self.index, self.order = index, order
        self.batch, self.size, self.scale, self.ratio = loader.batch, loader.size, loader.scale, loader.ratio
        self.open_clips, self.patience = loader.open_clips, loader.patience
        self.readers: ClipReaders | None = None

    def __getitem__(self, number: int) -> _Batch:
        if self.readers is None:
            self.readers = ClipReaders(self.open_clips)
        failures: list[tuple[str, str]] = []
        pairs = [self._draw(number * self.batch + n, failures) for n in range(self.batch)]
        return _Batch(torch.stack(pairs), failures)

    def _draw(self, place: int, failures: list[tuple[str, str]]) -> Tensor:
        """The pair at `place`, or in its stead the first after it in this rank's share that can be read.

        Those after it keep their own places, so that what stands at a position does not depend
        on what failed before it.
        """
        for attempt in range(self.patience):
            want = self.index[self.order.pair(place + attempt)]
            try:
                return self._cropped(want, place)
            except DecodeError as error:
                failures.append((str(want.path), str(error)))
        raise DecodeError(
            f"{self.patience} pairs in a row cannot be read, the last: {failures[-1][1]}; "
            "check that the clips are there and whole, or curate them again."
        )

    def _cropped(self, want: Pair, place: int) -> Tensor:
        assert self.readers is not None
        one, two = self.readers.read(want)
        random = np.random.default_rng((self.order.seed, _CROP, self.order.position(place)))
        return crop_resize(one, two, crop_box(*one.shape[:2], random, self.scale, self.ratio), self.size)

    def close(self) -> None:
        if self.readers is not None:
            self.readers.close()


@contextlib.contextmanager
def _nothing_left_to_collect() -> Iterator[None]:
    """For forking: nothing that is there now is ever collected in the child.

    A decoder or a session among it would wait there, in its destructor, for threads that were not forked with it.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class PairLoader:
    """Endless batches of decoded pairs: iterate to get (batch, 2, 3, size, size) uint8 RGB tensors.

    Each pair is one random part of both its frames (paper appendix A2: a share of 0.7 to 1 of the area,
    resized to `size`), which is also what lets clips of different sizes share a batch.

    With workers, `prefetch` batches of each lie ready in shared memory: workers · prefetch · batch ·
    6 · size² bytes, 2 GB for 16 workers and the paper's 40 pairs of 512 × 512. Each keeps
    `open_clips` decoders.

    Args:
        index: the pairs.
        batch: pairs a batch; size: side of the parts, px.
        seed: of order and parts, 0 or more; the same in all ranks, or their shares overlap.
        rank, world: this process's number and how many there are. Shares are disjoint; a run can only go on
            at its position with the `world` and `batch` it began with.
        workers: decoding processes; 0 decodes in this one. The batches are the same.
        start: batches already consumed by this rank.
        scale, ratio: bounds on the part's share of the area and on its width over its height.
        open_clips: clips each process keeps open.
        patience: pairs in a row that may fail to decode before it is an error.
        prefetch: batches each worker is ahead.
        pin: put batches of workers in page-locked memory, for copies to CUDA that do not block.
        context: how worker processes start: "fork", "spawn", "forkserver"; None for the system's way.

    Attributes:
        position: batches given out since the beginning of the run: the next run's `start`.
        skipped: pairs that could not be read and were replaced; failed: their clips, and why the first of each.

    Raises:
        ValueError: if the index holds no pairs, or an argument is out of range.
    """

    def __init__(
        self,
        index: PairIndex,
        batch: int,
        size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        start: int = 0,
        *,
        scale: tuple[float, float] = (0.7, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        open_clips: int = 4,
        patience: int = 32,
        prefetch: int = 2,
        pin: bool = False,
        context: str | None = None,
    ) -> None:
        if not len(index):
            raise ValueError(f"{index.path} holds no pairs; curate more clips, or with other bounds.")
        for name, value in (("batch", batch), ("size", size), ("patience", patience), ("prefetch", prefetch)):
            if value < 1:
                raise ValueError(f"Expected {name} of at least 1, got {value}.")
        if min(seed, workers, start) < 0 or not 0 <= rank < world:
            raise ValueError(
                "Expected seed, workers and start of at least 0 and a rank below world, got "
                f"seed={seed}, workers={workers}, start={start}, rank={rank}, world={world}."
            )
        self.index, self.batch, self.size = index, batch, size
        self.scale, self.ratio, self.open_clips, self.patience = scale, ratio, open_clips, patience
        self.workers, self.prefetch, self.pin, self.context = workers, prefetch, pin, context
        self.order = _Order(len(index), seed, rank, world)
        self.position = start
        self.skipped = 0
        self.failed: dict[str, str] = {}

    def __iter__(self) -> Iterator[Tensor]:
        """From `position` on, without end.

        Raises:
            DecodeError: if `patience` pairs in a row cannot be read.
        """
        batches = _Batches(self.index, self.order, self)
        numbers = itertools.count(self.position)
        source: Iterator[_Batch] = map(batches.__getitem__, numbers)
        if self.workers:
            # One item is one batch: no worker waits for another, and they come in order.
            loader = DataLoader(
                batches,
                batch_size=None,
                sampler=numbers,
                num_workers=self.workers,
                prefetch_factor=self.prefetch,
                pin_memory=self.pin,
                multiprocessing_context=self.context,
            )
            with _nothing_left_to_collect():
                source = iter(loader)
        try:
            for batch in source:
                self.position += 1
                self.skipped += len(batch.failures)
                for clip, why in batch.failures:
                    self.failed.setdefault(clip, why)
                yield batch.pairs
        finally:
            batches.close()
