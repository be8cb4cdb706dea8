"""Times that fall back: files joined end to end go on, stray times do no harm, and copies never stop the job."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.format import ContainerFormat
from clips import Clips, packets
from test_media_writer import other, rewrite, seconds

from magfilter.media.joins import Joins
from magfilter.media.rising import Rising

MS = Fraction(1, 1000)


def packet(dts, stream=0, pts=None, kind="video", duration=40):
    track = SimpleNamespace(index=stream, type=kind, disposition=0)
    shown = dts if pts is None else pts
    return SimpleNamespace(stream=track, dts=dts, pts=shown, duration=duration, time_base=MS)


def through(given, format="mpegts"):
    joins = Joins(format)
    come = [each for one in given for each in joins(one)] + joins.rest()
    assert len(come) == len(given)
    return come, joins


def joined(clips: Clips, name: str, times: int = 2, **options) -> str:
    """A clip whose bytes stand there several times."""
    path = clips(name, **options)
    whole = other(path, "joined" + Path(name).suffix)
    Path(whole).write_bytes(Path(path).read_bytes() * times)
    return whole


@pytest.mark.parametrize(
    ("name", "times"), [("in.ts", 2), ("in.ts", 3), ("in.mpg", 2), ("in.mpg", 3), ("in.mkv", 2)]
)  # of Matroska libav reads two
@pytest.mark.parametrize("out", ["out.mp4", "out.mkv", "out.ts"])
def test_joined_files_go_on(clips, name, out, times):
    """The second part came out squeezed into a thousandth of a second, or with sound the job failed."""
    made = {"codec": "mpeg2video", "time_base": Fraction(1, 25)} if name == "in.mpg" else {"audio": ("eng",)}
    source = joined(clips, name, times, frames=30, **made)
    reader, writer = rewrite(source, other(source, out))
    assert writer.warnings == []
    assert len(reader.warnings) == 1
    assert re.search(r"times fall back by 1\.\d+ seconds at 1\.\d+", reader.warnings[0])
    assert (", and 2 times in all" in reader.warnings[0]) == (times == 3)
    steps = np.diff([float(time) for time in seconds(other(source, out))])
    assert len(steps) == times * 30 - 1
    seams = steps[29::30]
    np.testing.assert_allclose(np.delete(steps, np.arange(29, len(steps), 30)), 0.04, atol=1.1e-3)
    assert (seams >= 0.039).all()
    assert (seams < 0.16).all(), seams
    if name != "in.mpg":
        assert len(packets(other(source, out), "audio")[0]) == len(packets(source, "audio")[0])


def test_sound_goes_on_with_the_picture(clips):
    source = joined(clips, "in.ts", frames=30, audio=("eng",))
    rewrite(source, other(source, "out.mkv"))
    begins = {}
    with av.open(other(source, "out.mkv")) as container:
        for each in container.demux():
            if each.pts is not None:
                begins.setdefault(each.stream.type, []).append(float(each.pts * each.time_base))
    one, two = (np.sort(begins[kind]) for kind in ("video", "audio"))
    half = len(two) // 2
    assert abs((one[30] - two[half]) - (one[0] - two[0])) < 0.002
    assert (np.diff(two) > 0.02).all()


def test_all_streams_are_moved_by_the_same():
    """What is left of the old part may come after the first of the new."""
    first = [packet(40 * n) for n in range(50)]
    sound = [packet(20 * n, 1, kind="audio", duration=20) for n in range(103)]
    text = packet(30, 2, kind="subtitle")
    again = [packet(40 * n) for n in range(50)]
    again_sound = [packet(20 * n, 1, kind="audio", duration=20) for n in range(100)]
    given = [*sound[:90], *first, *again[:2], *sound[90:], text, *again_sound, *again[2:]]
    come, joins = through(given)
    assert joins.count == 1
    assert [each.dts for each in first] == [40 * n for n in range(50)]
    assert [each.dts for each in sound] == [20 * n for n in range(103)]
    assert [each.dts for each in again] == [2060 + 40 * n for n in range(50)]
    assert [each.dts for each in again_sound] == [2060 + 20 * n for n in range(100)]
    assert text.dts == 2090
    for index in (0, 1):
        dts = [each.dts for each in come if each.stream.index == index]
        assert dts == sorted(dts)
    assert (joins.at, joins.fall) == (2.06, 2.0)


def test_what_is_no_join():
    reordered = [packet(40 * n - 80, pts=40 * (n ^ 3)) for n in range(40)]
    wrong_dts = [packet(1000 * n - 5000 * (n % 7 == 6), pts=1000 * n) for n in range(40)]
    apart = [packet(900 + 40 * n, 1) if n % 2 else packet(40 * n) for n in range(60)]
    stray = [packet(100 if n == 30 else 40 * n) for n in range(60)]
    untidy = [packet(40 * n - 400 * (n >= 30)) for n in range(60)]
    without = [packet(None) for n in range(10)]
    for given in (reordered, wrong_dts, apart, stray, untidy, without):
        before = [(each.dts, each.pts) for each in given]
        come, joins = through(given)
        assert joins.count == 0
        assert [(each.dts, each.pts) for each in come] == before
    edited = [packet(40 * (n % 30)) for n in range(60)]
    assert through(edited, "mov,mp4,m4a,3gp,3g2,mj2")[1].count == 0
    assert through(edited)[1].count == 1


def test_a_stream_that_has_ended_is_not_waited_for():
    sound = [packet(20 * n, 1, kind="audio", duration=20) for n in range(10)]
    picture = [packet(40 * (n % 100)) for n in range(200)]
    _, joins = through([*sound, *picture])
    assert joins.count == 1
    assert picture[-1].dts == 4000 + 3960


def test_a_stream_that_is_far_behind_keeps_its_own_part():
    sound = [packet(20 * (n % 1000), 1, kind="audio", duration=20) for n in range(2000)]
    picture = [packet(1000 * n, duration=1000) for n in range(20)]
    again = [packet(1000 * n, duration=1000) for n in range(20)]
    _, joins = through([*picture[:19], *sound[:1500], picture[19], *again, *sound[1500:]])
    assert joins.count == 1
    assert [each.dts for each in sound] == [20 * n for n in range(2000)]
    assert [each.dts for each in picture + again] == [1000 * n for n in range(40)]


@pytest.mark.parametrize("name", ["in.mkv", "in.nut", "in.ts"])
def test_few_pictures_and_many_reordered(clips, name):
    """Here libav guesses decoding times, and wrongly."""
    options = {"bf": "8", "b-pyramid": "normal", "b_strategy": "0"}
    source = clips(name, frames=40, rate=1, options=options, time_base=Fraction(1, 1000), pts=range(0, 40000, 1000))
    reader, _ = rewrite(source, other(source, "out.mp4"))
    assert not [line for line in reader.warnings if "fall back" in line]
    np.testing.assert_allclose(np.diff([float(time) for time in seconds(other(source, "out.mp4"))]), 1, atol=1e-3)


def test_times_of_copies_are_made_to_rise():
    target = SimpleNamespace(index=1, type="audio", time_base=Fraction(1, 48000))
    times = [0, 0, 0, 1, 1, 900, 2]
    for name, expected in (("mp4", [0, 1, 2, 48, 49, 43200, 43201]), ("matroska", [0, 0, 0, 48, 48, 43200, 43200])):
        rising, told = Rising(ContainerFormat(name, "w")), []
        for time in times:
            one = packet(time, 1, kind="audio")
            rising(one, target)
            assert one.pts >= one.dts
            told.append(round(one.dts * one.time_base * 48000))
        assert told == expected
        count = "4 packets do" if name == "mp4" else "1 packet does"
        assert rising.warnings == [f"audio stream #1: the times of {count} not rise; each is put one tick after the "
                                   "one before"]  # fmt: skip


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.avi", "out.nut", "out.mkv"])
def test_very_short_packets_of_sound(clips, name):
    """Several in a thousandth of a second have one time in Matroska, which other containers refuse."""
    source = other(clips("plain.mkv", frames=2), "in.mkv")
    with av.open(source, "w") as out:
        video, sound = out.add_stream("mpeg4", rate=25), out.add_stream("pcm_s16le", rate=48000, layout="mono")
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            picture = av.VideoFrame(64, 48, "yuv420p")
            picture.pts = number
            out.mux(video.encode(picture))
            for part in range(60):
                tone = av.AudioFrame.from_ndarray(np.full((1, 32), number * 60 + part, np.int16), "s16", "mono")
                tone.rate, tone.pts = 48000, 32 * (60 * number + part)
                out.mux(sound.encode(tone))
        out.mux([*video.encode(None), *sound.encode(None)])
    _, writer = rewrite(source, other(source, name))
    told = [line for line in writer.warnings if line.startswith("audio stream #1: the times of ")]
    assert len(told) == (name != "out.mkv")
    assert b"".join(packets(other(source, name), "audio")[0]) == b"".join(packets(source, "audio")[0])
