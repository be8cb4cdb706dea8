"""How many shot cuts are seen, and how many that are none: clips cut together in any order, in less and less light.

    python -m benchmarks.cuts CLIPS

Each clip is one shot. Dissolves go from one to the next in a straight line over so many frames; what is left of the
first in the last reference that was taken says whether the second is measured against itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.markdown import table
from magfilter.cuts import CutDetector
from magfilter.media import Frame
from magfilter.media.colour import luma
from magfilter.media.reader import VideoReader

Array = NDArray[np.float32]

SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".webm")
LIGHT = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)
LENGTHS = (8, 25, 50)  # frames of a dissolve
FRAMES = 60  # of each clip
CLEAN = 0.05  # share of the first shot in a reference that hardly shows
AROUND = 4  # frames on either side of a cut
BEFORE, AFTER = 10, 30  # frames around a dissolve


def shots(folder: Path) -> dict[str, list[Array]]:
    """Lumas (H, W), 0..1, of the first frames of every clip, all of one size."""
    found: dict[str, list[Array]] = {}
    for path in sorted(item for item in folder.iterdir() if item.suffix in SUFFIXES):
        with VideoReader(path) as reader:
            frames = itertools.islice((item for item in reader if isinstance(item, Frame)), FRAMES)
            found[path.name] = [_small(luma(frame)) for frame in frames]
    return found


def _small(light: Array, height: int = 224, width: int = 384) -> Array:
    """Its nearest samples at another size, which is as good for means of blocks."""
    rows, cols = (np.arange(n) * light.shape[k] // n for k, n in enumerate((height, width)))
    return light[np.ix_(rows, cols)]


def dimmed(frame: Array, share: float) -> Array:
    """A frame in less light, in steps of 8 bits."""
    return (np.rint(frame * np.float32(255 * share)) / np.float32(255)).astype(np.float32)


def seen(frames: Iterator[Array]) -> list[int]:
    """The frames with which a new shot is said to begin."""
    detector = CutDetector()
    return [number for number, frame in enumerate(frames) if detector(frame)]


def in_light(clips: dict[str, list[Array]], share: float) -> dict[str, object]:
    """A row: cuts that are missed, and cuts where there are none."""
    pairs = list(itertools.permutations(clips.values(), 2))
    missed = sum(
        len(one[:AROUND]) not in seen(dimmed(x, share) for x in one[:AROUND] + two[:AROUND]) for one, two in pairs
    )
    wrong = sum(len(seen(dimmed(x, share) for x in frames)) for frames in clips.values())
    return {
        "brightness": share,
        "cuts": len(pairs),
        "missed": missed,
        "frames of one shot": sum(map(len, clips.values())),
        "cuts seen there": wrong,
    }


def dissolved(clips: dict[str, list[Array]], length: int) -> dict[str, object]:
    """A row: dissolves that are seen, and what is left of the first shot in the last reference."""
    left, pairs = [], list(itertools.permutations(clips.values(), 2))
    for one, two in pairs:
        shares = [min(max((k - BEFORE) / length, 0.0), 1.0) for k in range(BEFORE + length + AFTER)]
        frames = (
            dimmed((1 - share) * one[min(k, len(one) - 1)] + share * two[min(max(k - BEFORE, 0), len(two) - 1)], 1.0)
            for k, share in enumerate(shares)
        )
        left += [1 - shares[number] for number in seen(frames)[-1:]]
    return {
        "frames of a dissolve": length,
        "dissolves": len(pairs),
        "seen": len(left),
        "reference is the second shot's alone": sum(share < CLEAN for share in left),
    }


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Print what is seen of cuts and dissolves between the clips in FOLDER, each of which is one shot."""
    clips = shots(folder)
    if len(clips) < 2:
        raise click.UsageError(f"{folder} holds fewer than two clips ({', '.join(SUFFIXES)})")
    click.echo(table([in_light(clips, share) for share in LIGHT]))
    click.echo()
    click.echo(table([dissolved(clips, length) for length in LENGTHS]))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.cuts")
