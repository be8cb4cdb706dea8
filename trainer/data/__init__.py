"""Data to train on: curating pairs of frames, reading them, augmenting them."""

from __future__ import annotations

from trainer.data.access import DecodeError
from trainer.data.augment import augment_adapt, augment_pair
from trainer.data.index import IndexFormatError, Pair, PairIndex
from trainer.data.loader import PairLoader
from trainer.data.summary import Summary, summarise

__all__ = [
    "DecodeError",
    "IndexFormatError",
    "Pair",
    "PairIndex",
    "PairLoader",
    "Summary",
    "augment_adapt",
    "augment_pair",
    "summarise",
]
