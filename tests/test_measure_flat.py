"""Pictures without texture are given up at once, however large, and a stop is heard while patches are looked for."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from vibrations import SIZE, moved, texture

from magfilter.errors import Stopped
from magfilter.masks import Region
from magfilter.measure import choose, motion, register, still
from magfilter.measure.choose import choose_background, choose_patches
from magfilter.measure.motion import measure_motion
from magfilter.measure.options import MeasureOptions
from magfilter.measure.register import Patch, flat
from magfilter.measure.still import still_patches
from magfilter.measure.survey import Survey

RNG = np.random.default_rng(0)


def survey(size: tuple[int, int]) -> Survey:
    found = Survey(size, 1, False)
    for _ in range(5):
        found.add(np.zeros((2, size[0] // 2, size[1] // 2), np.float32))
    return found


@pytest.mark.parametrize("noise", [0.0, 0.002, 0.02])
@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-4, 3e-4, 1e-3, 0.01, 0.3])
def test_what_is_called_flat_tells_nothing(monkeypatch, noise, spread):
    """The glance never gives up what a patch would have told."""
    for seed in range(5):
        light = (0.5 + spread * (np.random.default_rng(seed).random((80, 90)) - 0.5)).astype(np.float32)
        if flat(light, (20, 30), (32, 32), noise):
            with monkeypatch.context() as patched:
                patched.setattr(register, "flat", lambda *_: False)
                assert not len(Patch(light, (20, 30), np.ones((32, 32)), noise).axes)


def test_texture_is_not_flat():
    light = (moved(texture(0, SIZE), SIZE, (0.0, 0.0)) / 255).astype(np.float32)
    assert not flat(light, (30, 40), (60, 80), 0.001)
    assert flat(np.full((80, 90), 0.5, np.float32), (0, 0), (80, 90), 0.001)


def test_a_flat_picture_is_given_up_at_a_glance(monkeypatch):
    """Neither its slopes are found nor its tiles compared."""
    for module, name in ((choose, "texture"), (register, "_sample"), (still, "Patch")):
        monkeypatch.setattr(module, name, None)
    light, region = np.full((400, 600), 0.5, np.float32), Region(0, 0, 600, 400)
    found, stop, warnings = survey(light.shape), threading.Event(), []
    patches, patterns = choose_patches(found, light, 0.001, (region,), warnings, stop)
    assert not len(patches[0].axes)
    options = MeasureOptions()
    background = choose_background(found, light, 0.001, (region,), patterns, options, warnings, stop)
    assert not background.patches


def test_a_stop_ends_the_search():
    light, stop = RNG.random((96, 128)).astype(np.float32), threading.Event()
    regions = (Region(0, 0, 128, 96),)
    stop.set()
    with pytest.raises(Stopped):
        choose_patches(survey(light.shape), light, 0.001, regions, [], stop)
    with pytest.raises(Stopped):
        still_patches(survey(light.shape), light, 0.001, np.zeros(light.shape, bool), 0.0, None, stop)


def test_a_stop_is_heard_while_one_patch_takes_its_time(clips, monkeypatch):
    stop, free = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        stop.set()
        free.wait(30)
        raise Stopped

    monkeypatch.setattr(motion, "choose", slow)
    begun = time.perf_counter()
    try:
        with pytest.raises(Stopped):
            measure_motion(clips("in.mkv", frames=8), stop=stop)
        assert time.perf_counter() - begun < 25
    finally:
        free.set()
