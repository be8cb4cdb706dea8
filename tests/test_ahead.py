"""Frames measured before their turn: what comes out must not depend on it."""

from __future__ import annotations

import os
import signal
import threading
from fractions import Fraction

import numpy as np
import pytest
from tiny import tiny
from vibrations import Disc, render

from magfilter.ahead import Ahead, looking_ahead
from magfilter.backends import open_engine
from magfilter.magnifier import Magnifier
from magfilter.media.frame import Colour, Frame, PixelLayout

RATE = 25


def film(count: int, way, seeds=(1,)) -> list[Frame]:
    """A disc on textured ground, `count` frames for each seed, which is a shot."""
    frames = []
    for seed in seeds:
        for n in range(count):
            plane = np.ascontiguousarray(render([Disc((60, 60), way)], n / RATE, seed=seed))
            plane = plane if plane.ndim == 2 else np.ascontiguousarray(plane[..., 0])
            frames.append(
                Frame((plane,), PixelLayout.from_name("gray"), Colour(1, 1, 1, 1), len(frames), Fraction(1, RATE), 1)
            )
    return frames


def magnified(frames: list[Frame], ahead: int, **options) -> tuple[list[Frame], Magnifier]:
    """All of them, `ahead` of which are foreseen when one is measured."""
    magnifier = Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu", **options)
    out = []
    for n in range(len(frames) + ahead):
        if ahead and n < len(frames):
            magnifier.foresee(frames[n])
        if n >= ahead:
            out.append(magnifier.push(frames[n - ahead]))
    return out, magnifier


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reference": "previous"},
        {"reference": "every:0.2"},
        {"reference": "every:0.2", "cross_fade": 0},
        {"reanchor": 1.0},
        {"band": "2:6", "fps": RATE},
    ],
    ids=str,
)
def test_what_comes_out_is_the_same_to_the_bit(options):
    frames = film(8, lambda t: (6 * t, 2 * t), seeds=(1, 2))  # a cut, and more than a pixel of motion
    plain, one = magnified(frames, 0, **options)
    ahead, other = magnified(frames, 3, **options)
    assert one.references == other.references > 1
    for n, (a, b) in enumerate(zip(plain, ahead, strict=True)):
        np.testing.assert_array_equal(a.planes[0], b.planes[0], err_msg=f"frame {n}")
    assert any((a.planes[0] != frame.planes[0]).any() for a, frame in zip(plain, frames, strict=True))


@pytest.mark.parametrize("options", [{}, {"reference": "previous"}, {"reference": "mean:1"}], ids=str)
def test_a_stream_is_what_one_push_after_the_other_gives(options):
    frames = film(8, lambda t: (6 * t, 2 * t), seeds=(1, 2))
    plain, _ = magnified(frames, 0, **options)
    magnifier = Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu", **options)
    flows = []
    for a, b in zip(plain, magnifier.stream(frames), strict=True):
        np.testing.assert_array_equal(a.planes[0], b.planes[0])
        flows.append(magnifier.flow)
    assert [flow is None for flow in flows] == [n % 8 == 0 for n in range(16)], "each frame's own, none at a cut"


def test_a_stream_of_arrays_gives_arrays_and_asks_for_two_at_a_time():
    arrays = [frame.to_rgb() for frame in film(5, lambda t: (6 * t, 0))]
    asked = []

    def source():
        for array in arrays:
            asked.append(len(asked))
            yield array

    one, other = (Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu") for _ in range(2))
    for n, found in enumerate(other.stream(source())):
        np.testing.assert_array_equal(found, one.push(arrays[n]))
        assert len(asked) == min(n + 2, 5)
    assert n == 4
    assert list(other.stream([])) == []


def test_a_source_that_fails_loses_no_frame():
    frames = film(5, lambda t: (6 * t, 0))

    def camera():
        yield from frames
        raise OSError("unplugged")

    came, waiting = [], looking_ahead(camera(), lambda _: None, 4)
    with pytest.raises(OSError, match="unplugged"):
        came.extend(waiting)
    assert came == frames


def test_every_frame_of_a_stream_comes_back_as_its_kind():
    frames = film(6, lambda t: (6 * t, 0))
    mixed = [frame.to_rgb() if n % 3 else frame for n, frame in enumerate(frames)]
    shown = Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu").stream(mixed)
    assert [type(found) for found in shown] == [type(given) for given in mixed]


def test_who_leaves_a_stream_may_go_on():
    frames = film(6, lambda t: (6 * t, 0))
    plain, _ = magnified(frames, 0)
    magnifier = Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu")
    shown = magnifier.stream(frames)
    assert next(shown) is frames[0]
    next(shown)
    shown.close()
    assert not magnifier._ahead._seen, "what was looked at ahead is forgotten"
    np.testing.assert_array_equal(magnifier.push(frames[2]).planes[0], plain[2].planes[0])


def test_large_frames_wait_for_their_turn(monkeypatch):
    frames = film(3, lambda t: (6 * t, 0))
    magnifier = Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu")
    monkeypatch.setattr("magfilter.magnifier.LARGE", frames[0].planes[0].nbytes - 1)
    magnifier.foresee(frames[0])
    assert not magnifier._ahead._seen
    assert [frame.pts for frame in magnifier.stream(frames)] == [0, 1, 2]


def test_a_guess_that_holds_is_not_measured_again(monkeypatch):
    frames = film(6, lambda t: (t, 0))
    magnifier = Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu")
    runs = []
    ahead = magnifier._ahead
    run = ahead._run
    monkeypatch.setattr(ahead, "_run", lambda one, two: runs.append(threading.current_thread().name) or run(one, two))
    monkeypatch.setattr(magnifier, "_motion", lambda *_: pytest.fail("measured in its turn"))
    for frame in frames:
        magnifier.foresee(frame)
    for frame in frames:
        magnifier.push(frame)
    assert len(runs) == len(frames) - 1
    assert all(name.startswith("network") for name in runs)
    assert not ahead._seen


def test_reset_forgets_what_was_foreseen():
    frames = film(3, lambda t: (t, 0))
    magnifier = Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu")
    for frame in frames:
        magnifier.foresee(frame)
    magnifier.reset()
    assert not magnifier._ahead._seen
    assert magnifier._ahead.first is None
    assert magnifier.push(frames[1]) is frames[1]  # the reference now


def test_what_the_network_raises_is_raised_when_the_frame_is_measured():
    def fails(reference, image):
        raise RuntimeError("no memory")

    ahead = Ahead(fails, 2)
    frame = film(1, lambda t: (0, 0))[0]
    image = np.zeros((1, 64, 64), np.float32)
    ahead.look(frame, image[0], image, image)
    with pytest.raises(RuntimeError, match="no memory"):
        ahead.take(frame).against(image)


def test_another_reference_makes_the_guess_worthless():
    ahead = Ahead(lambda one, two: two - one, 2)
    frame = film(1, lambda t: (0, 0))[0]
    image = np.ones((1, 64, 64), np.float32)
    ahead.look(frame, image[0], image, image)
    assert ahead.take(frame).against(image.copy()) is None  # equal, but not the one in force
    assert ahead.take(frame) is None


def test_a_frame_of_another_size_is_refused_in_its_turn():
    small, large = film(1, lambda t: (0, 0))[0], None
    magnifier = Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu")
    magnifier.foresee(small)
    magnifier.push(small)
    plane = np.pad(small.planes[0], 8)
    large = small.replace(planes=(plane,))
    magnifier.foresee(large)
    with pytest.raises(ValueError, match="Expected frames of"):
        magnifier.push(large)


def test_nothing_is_measured_against_a_picture_of_another_size(monkeypatch):
    """Where nothing has been measured yet, so that no size is in force: the network would be asked in vain."""
    one, two = film(2, lambda t: (t, t))
    magnifier = Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu")
    monkeypatch.setattr(magnifier._ahead, "_run", lambda one, two: pytest.fail("asked"))
    magnifier.foresee(one)
    magnifier.foresee(two.replace(planes=(two.planes[0][:50],)))
    assert [seen.motion for seen in magnifier._ahead._seen.values()] == [None, None]


def test_nothing_is_foreseen_where_nothing_is_measured():
    assert not Magnifier(1, threads=2, at_once=2, backend="onnxruntime-cpu").foresees
    assert not Magnifier(8, threads=1, at_once=2, backend="onnxruntime-cpu").foresees
    assert not Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu", reference="mean:1").foresees
    assert Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu").foresees


@pytest.mark.parametrize(("threads", "asked", "runs"), [(1, 4, 1), (2, 4, 2), (8, 4, 4), (8, 1, 1)])
def test_an_engine_shares_its_threads_out(threads, asked, runs):
    assert open_engine("warp-light", "onnxruntime-cpu", "cpu", threads, asked).at_once == runs


def test_a_network_that_paints_keeps_all_threads(tmp_path):
    assert open_engine(tiny(tmp_path / "tiny.onnx"), "onnxruntime-cpu", "cpu", 4, 4).at_once == 1


def test_runs_side_by_side_answer_as_one_after_the_other():
    engine = open_engine("warp-light", "onnxruntime-cpu", "cpu", 4, 4)
    rng = np.random.default_rng(0)
    reference, *frames = (rng.random((1, 128, 128), np.float32) for _ in range(9))
    alone = [engine.run(reference, frame, 1.0) for frame in frames]
    found: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: engine.run(reference, frames[n], 1.0)})) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, one in enumerate(alone):
        np.testing.assert_array_equal(found[n], one)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_goes_on_where_its_parent_was():
    frames = film(4, lambda t: (6 * t, 2 * t))
    magnifier = Magnifier(8, threads=2, at_once=2, backend="onnxruntime-cpu")
    magnifier.push(frames[0])
    magnifier.push(frames[1])
    magnifier.foresee(frames[2])
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)  # ends it if it hangs
            os.write(write, magnifier.push(frames[2]).planes[0].tobytes())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    with open(read, "rb") as pipe:
        there = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert there == magnifier.push(frames[2]).planes[0].tobytes() != frames[2].planes[0].tobytes()
