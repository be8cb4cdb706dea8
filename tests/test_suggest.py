"""alpha chosen by what moves in a clip."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from vibrations import RATE, SIZE, Disc, render, write

from magfilter import MagnifyOptions, OptionError, Stopped, Suggestion, suggest_alpha

SWING, HERTZ = 0.4, 3.0  # px
LATE = 60  # frame from which it swings


def swing(time: float) -> tuple[float, float]:
    return (SWING * math.sin(2 * math.pi * HERTZ * time), 0.0) if time * RATE >= LATE else (0.0, 0.0)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> str:
    """A disc that begins to swing after two seconds, and one that swings by a quarter of that, four times as fast."""

    def faster(time: float) -> tuple[float, float]:
        return tuple(x / 4 for x in swing(time * 4)) if time * RATE >= LATE else (0.0, 0.0)

    discs = [Disc((48, 64), swing), Disc((144, 62), faster)]
    return write(tmp_path_factory.mktemp("suggest") / "two.mkv", [render(discs, n / RATE) for n in range(2 * LATE)])


def test_the_largest_motion_becomes_the_size(two):
    found = suggest_alpha(two, size=10)
    assert found.motion == pytest.approx(SWING, rel=0.15)
    assert found.alpha == pytest.approx(10 / SWING, rel=0.2)
    assert found.frames == 40  # every third of 120: at most 48
    assert found.alpha == float(f"{found.alpha:.2g}")
    usual = suggest_alpha(two)
    assert usual.size == pytest.approx(0.03 * SIZE[0])
    assert usual.alpha == pytest.approx(usual.size / SWING, rel=0.2)


def test_only_what_is_magnified_counts(two, tmp_path):
    assert suggest_alpha(two, roi="100,0,92,128").motion == pytest.approx(SWING / 4, rel=0.25)
    mask = np.zeros(SIZE, bool)
    mask[:, 100:] = True
    np.save(tmp_path / "mask.npy", mask)
    assert suggest_alpha(two, MagnifyOptions(mask=tmp_path / "mask.npy")).motion == pytest.approx(SWING / 4, rel=0.25)
    assert suggest_alpha(two, start=LATE / RATE).motion == pytest.approx(SWING, rel=0.15)
    before = suggest_alpha(two, duration=(LATE - 1) / RATE)
    assert (before.motion, before.alpha) == (0, 100)


def test_frequencies_are_looked_at_in_a_row(two):
    """A band is a filter over time, which frames here and there would not pass as they are."""
    found = suggest_alpha(two, band="11:13")
    assert found.frames == 2 * LATE
    assert found.motion == pytest.approx(SWING / 4, rel=0.3)


@pytest.mark.parametrize("noise", [0.5, 2, 10])
def test_noise_is_no_motion(tmp_path, noise):
    grain, picture = np.random.default_rng(3), render([], 0).astype(np.float32)
    noisy = [np.clip(np.rint(picture + grain.normal(size=SIZE) * noise), 0, 255).astype(np.uint8) for _ in range(40)]
    found = suggest_alpha(write(tmp_path / "still.mkv", noisy), size=5)
    assert (found.motion, found.alpha) == (0, 100)
    assert str(found) == "alpha 100: no motion was found that shows above the noise"


def test_large_motion_is_left_as_it_is(two):
    found = suggest_alpha(two, size=0.1)
    assert found.alpha == 1
    assert str(found) == f"alpha 1: the largest motion found, {found.motion:.2g} px, is more than 0.1 px already"


def test_what_it_says():
    assert str(Suggestion(24, 0.42, 10, 48)) == "alpha 24: the largest motion found, 0.42 px, becomes 10 px"
    assert str(Suggestion(100, 0.02, 10, 48)) == (
        "alpha 100: the largest motion found, 0.02 px, becomes 2 px; give a larger --alpha for 10 px"
    )


def test_progress_and_stop(two):
    seen, stop = [], threading.Event()

    def look(step):
        seen.append((step.frames, step.expected))
        if step.frames == 5:
            stop.set()

    with pytest.raises(Stopped):
        suggest_alpha(two, progress=look, stop=stop)
    assert seen == [(n, 40) for n in range(1, 6)]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"alpha_end": 5}, "changes over time"),
        ({"alpha_keys": [(0, 1), (1, 5)]}, "changes over time"),
        ({"alpha_map": "map.npy"}, "with the place"),
        ({"size": 0}, "more than 0 px, 1e-06 to 1e[+]06; got 0"),
        ({"size": math.nan}, "more than 0 px, 1e-06 to 1e[+]06; got nan"),
    ],
)
def test_what_no_one_factor_fits(two, changes, text):
    with pytest.raises(OptionError, match=text):
        suggest_alpha(two, **changes)


def test_a_pipe_cannot_be_read_twice():
    with pytest.raises(OptionError, match="a pipe cannot give; give a number"):
        suggest_alpha("-")


def test_every_shot_is_judged_by_its_own_picture(tmp_path):
    """A black leader and a plain title have no texture by which what moves after them would show."""
    disc = Disc((48, 64), lambda t: (SWING * math.sin(2 * math.pi * HERTZ * t), 0.0))
    moving = [render([disc], n / RATE) for n in range(48)]
    plain = suggest_alpha(write(tmp_path / "plain.mkv", moving), size=10)
    assert plain.motion == pytest.approx(SWING, rel=0.15)
    for level in (0, 120):
        leader = [np.full_like(moving[0], level)] * 6
        found = suggest_alpha(write(tmp_path / f"{level}.mkv", leader + moving), size=10)
        assert found.motion == pytest.approx(plain.motion, rel=0.1), level
