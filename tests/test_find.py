"""Finding what vibrates: known vibrations through the shipped network, and everything that may be wrong."""

from __future__ import annotations

import csv
import math
import threading
from dataclasses import replace

import av
import numpy as np
import pytest
from tiny import tiny
from vibrations import RATE, SIZE, Disc, Way, encode, render, write

from magfilter import OptionError, Stopped
from magfilter.find import Found, Vibration, command, find_vibrations, vibrations
from magfilter.find.cells import FEWEST, gathered, shapes
from magfilter.find.clock import EvenClock, UnevenClock
from magfilter.find.picture import at_its_most, draw_vibrations, title
from magfilter.masks import Region
from magfilter.measure.scale import Scale
from magfilter.models import DEFAULT_MODEL
from magfilter.overlay import ArrowGrid
from magfilter.temporal import design, parse_band

FRAMES, SWING = 90, 0.3  # px
CLEAR = np.float32(10)  # a picture full of contours
LEFT, RIGHT = (48, 64), (144, 62)


def swinging(hertz: float, angle: float, size: float = SWING) -> Way:
    def way(time: float) -> tuple[float, float]:
        far = size * math.sin(2 * math.pi * hertz * time)
        return far * math.cos(angle), far * math.sin(angle)

    return way


def film(*discs: Disc, frames: int = FRAMES, noise: float = 1.0, seed: int = 0, times=None) -> list[np.ndarray]:
    grain = np.random.default_rng(5)
    times = np.arange(frames) / RATE if times is None else times
    pictures = (render(discs, time, seed=seed) + grain.normal(size=SIZE) * noise for time in times)
    return [np.clip(np.rint(picture), 0, 255).astype(np.uint8) for picture in pictures]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> str:
    """A disc at 3 Hz, sideways, and one at 7.4 Hz, up and down and half as far."""
    discs = Disc(LEFT, swinging(3, 0)), Disc(RIGHT, swinging(7.4, math.pi / 2, SWING / 2))
    return write(tmp_path_factory.mktemp("find") / "two.mkv", film(*discs))


@pytest.fixture(scope="module")
def found(two) -> Found:
    return find_vibrations(two)


def holds(region: Region, centre: tuple[float, float]) -> bool:
    x, y = centre
    inside = region.x <= x < region.x + region.width and region.y <= y < region.y + region.height
    return inside and max(region.width, region.height) <= 80  # a disc is 54 px wide


def test_both_are_found_where_they_are(found):
    slow, fast = found.vibrations
    assert slow.frequency == pytest.approx(3, abs=0.02)
    assert fast.frequency == pytest.approx(7.4, abs=0.02)
    assert slow.amplitude == pytest.approx(SWING, rel=0.15)
    assert fast.amplitude == pytest.approx(SWING / 2, rel=0.15)
    assert holds(slow.region, LEFT)
    assert holds(fast.region, RIGHT)
    assert min(slow.over_noise, fast.over_noise) > 5
    assert found.faint is None
    assert (found.frames, found.rate, found.resolution) == (FRAMES, RATE, RATE / FRAMES)
    assert found.picture.shape == (*SIZE, 3)


def test_a_prompt_shows_no_arrays(found):
    assert len(repr(found)) < 1000
    assert "frequency=2.99" in repr(found.vibrations) or "frequency=3.0" in repr(found.vibrations)


def test_phasors_say_which_way(found):
    for vibration, across in ((found.vibrations[0], 0), (found.vibrations[1], 1)):
        along = np.abs(vibration.phasors[across]).sum()
        assert np.abs(vibration.phasors[1 - across]).sum() < 0.2 * along
        # a sine has the phase of −i at time 0
        strongest = vibration.phasors[across].ravel()[np.abs(vibration.phasors[across]).argmax()]
        assert np.angle(strongest) == pytest.approx(-math.pi / 2, abs=0.2)


def test_what_moves_against_each_other_points_opposite_ways(tmp_path):
    discs = Disc(LEFT, swinging(3, 0)), Disc(RIGHT, swinging(3, math.pi))
    found = find_vibrations(write(tmp_path / "against.mkv", film(*discs)))
    assert len(found.vibrations) == 1
    moved = at_its_most(found.vibrations[0].phasors)[0]
    middle = moved.shape[1] // 2
    left, right = moved[:, :middle].sum(), moved[:, middle:].sum()
    assert left * right < 0
    assert min(abs(left), abs(right)) > 0.7 * max(abs(left), abs(right))
    assert np.abs(moved).max() == pytest.approx(SWING, rel=0.2)


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0, 10.0])
def test_nothing_vibrates_in_a_still_clip(tmp_path, noise):
    assert not find_vibrations(write(tmp_path / "still.mkv", film(frames=60, noise=noise))).vibrations


def test_the_camera_can_be_left_out(tmp_path):
    shake, disc = swinging(5, 0.3), swinging(3, 0)
    pictures = [
        render([Disc(LEFT, lambda t: tuple(np.add(shake(t), disc(t))))], n / RATE, ground=shake) for n in range(FRAMES)
    ]
    path = write(tmp_path / "shaken.mkv", pictures)
    assert {round(each.frequency) for each in find_vibrations(path).vibrations} == {3, 5}
    (alone,) = find_vibrations(path, detrend=True).vibrations
    assert alone.frequency == pytest.approx(3, abs=0.02)
    assert holds(alone.region, LEFT)


def test_true_rate_part_and_stop(two):
    fast = find_vibrations(two, fps=300, duration=1.5)
    assert (fast.frames, fast.rate) == (45, 300)
    assert fast.vibrations[0].frequency == pytest.approx(30, abs=1)
    stop, seen = threading.Event(), []

    def after(number):
        def look(step):
            seen.append(step.expected)
            if step.frames == number:
                stop.set()

        return look

    early = find_vibrations(two, progress=after(40), stop=stop)
    assert early.interrupted
    assert 40 <= early.frames < 50
    assert set(seen) == {FRAMES}
    stop.clear()
    with pytest.raises(Stopped):
        find_vibrations(two, progress=after(3), stop=stop)
    with pytest.raises(Stopped, match="stopped before there was anything"):  # it is set from the beginning
        find_vibrations(two, stop=stop)


def test_the_first_frames_of_a_long_clip_count(two, monkeypatch):
    monkeypatch.setattr(vibrations, "LONGEST", 45)
    found = find_vibrations(two)
    assert found.frames == 45
    assert found.warnings == ["only the first 45 frames were looked at; choose others with -ss and -t"]


def test_the_longest_shot_counts(tmp_path):
    shots = [film(frames=20, seed=40), film(Disc(LEFT, swinging(3, 0)), frames=60)]
    found = find_vibrations(write(tmp_path / "cut.mkv", [picture for shot in shots for picture in shot]))
    assert found.frames == 60
    assert found.vibrations[0].frequency == pytest.approx(3, abs=0.05)
    assert found.warnings == ["the clip has cuts; its longest shot of 60 frames was looked at"]


def test_variable_rate(tmp_path):
    times = np.cumsum(np.random.default_rng(2).integers(20, 45, FRAMES))
    pictures = film(Disc(LEFT, swinging(3, 0)), times=times / 1000)
    path = encode(tmp_path / "uneven.mkv", pictures, "ffv1", "gray", pts=times.tolist())
    found = find_vibrations(path)
    assert found.vibrations[0].frequency == pytest.approx(3, abs=0.05)
    assert "variable frame rate" in found.warnings[0]


def test_missing_frames_leave_no_ghosts(tmp_path):
    """Every tenth is missing, and a third of a second; near half the rate, where bridging would cost most."""
    kept = np.array([n for n in range(120) if n % 10 != 3 and not 60 <= n < 70])
    disc = Disc(LEFT, swinging(8.9, 0, 0.6))
    path = encode(
        tmp_path / "drop.mkv", film(disc, times=kept / RATE), "ffv1", "gray", pts=(kept * 1000 // RATE).tolist()
    )
    found = find_vibrations(path)
    (only,) = found.vibrations
    assert only.frequency == pytest.approx(8.9, abs=0.02)
    assert only.amplitude == pytest.approx(0.6, rel=0.1)
    assert holds(only.region, LEFT)
    assert "drop.mkv lacks 21 of 120 frames of 30 a second" in found.warnings[0]


@pytest.mark.parametrize("missing", [0.0, 0.3, "half"])
def test_frequencies_of_frames_at_any_times(missing):
    """Two cells' vibrations near each other's images; with nothing missing, all is as with an even clock."""
    lot = np.random.default_rng(3)
    half = np.abs(np.arange(400) - 180) > 100
    kept = np.flatnonzero(half if missing == "half" else (lot.random(400) >= missing) | (np.arange(400) == 0))
    times = kept / 50
    moved = lot.normal(size=(len(kept), 2, 3, 4)).astype(np.float32) * np.float32(0.002)
    moved[:, 0, 1, :2] += 0.3 * np.cos(2 * np.pi * 4.3 * times + 0.7).astype(np.float32)[:, None]
    moved[:, 1, 1, 2:] += 0.05 * np.cos(2 * np.pi * 11.2 * times).astype(np.float32)[:, None]
    rate = (len(kept) - 1) / times[-1]
    strong, weak = shapes(moved, rate, 16, CLEAR, times)[0]
    assert [strong.frequency, weak.frequency] == pytest.approx([4.3, 11.2], abs=0.005)
    assert [strong.amplitude, weak.amplitude] == pytest.approx([0.3, 0.05], rel=0.03)
    assert weak.over_noise > 10
    assert np.angle(strong.phasors[0, 1, 0]) == pytest.approx(0.7, abs=0.02)
    if not missing:
        series = moved.reshape(400, -1).astype(float)
        uneven, even = UnevenClock(times, 50).amplitudes(series), EvenClock(400, 50).amplitudes(series)
        np.testing.assert_allclose(np.abs(uneven), np.abs(even), atol=0.002)


def test_where_frames_are_missing_no_image_is_found():
    """Every third is: the images of 18 Hz lie at 1.3 and 15.3 Hz, below half the mean rate."""
    times = np.flatnonzero(np.arange(300) % 3 != 2) / 50
    moved = np.random.default_rng(3).normal(size=(len(times), 2, 3, 4)).astype(np.float32) * np.float32(0.002)
    moved[:, 0, 1, :2] += 0.3 * np.cos(2 * np.pi * 18 * times).astype(np.float32)[:, None]
    (only,) = shapes(moved, (len(times) - 1) / times[-1], 16, CLEAR, times)[0]
    assert only.frequency == pytest.approx(18, abs=0.01)
    assert only.amplitude == pytest.approx(0.3, rel=0.03)


def test_the_command_reaches_what_is_faster_than_half_the_mean_rate():
    found = replace(found_at(12, 20, 30.0), top=15.0)
    low, high = band_of(command.suggested(found, found.vibrations[0]))
    assert low < 12 < high < 15


def test_what_an_encoder_has_frozen_is_said(tmp_path):
    pictures = film(Disc(LEFT, swinging(3, 0, 0.05)), frames=40)
    frozen = find_vibrations(encode(tmp_path / "frozen.mp4", pictures, "libx264", "yuv420p", crf="26"))
    assert frozen.vibrations == []
    assert "of its pixels do not change from frame to frame: the encoder has frozen them" in frozen.warnings[-1]
    kept = find_vibrations(write(tmp_path / "still.mkv", [pictures[0]] * 40))
    assert (kept.vibrations, kept.warnings) == ([], [])


def test_too_few_frames(tmp_path):
    path = write(tmp_path / "short.mkv", film(frames=FEWEST - 1))
    with pytest.raises(OptionError, match="15 frames in a row are too few to tell a frequency; 16 are needed"):
        find_vibrations(path)


def test_a_network_that_paints_finds_nothing(tmp_path, two):
    with pytest.raises(OptionError, match="measures no motion; use --model"):
        find_vibrations(two, model=tiny(tmp_path / "tiny.onnx"))


def test_cells_one_by_one():
    """A vibration of a single cell is no vibration; of two side by side it is, and its noise is told."""
    grain, times = np.random.default_rng(8), np.arange(200) / 50
    moved = grain.normal(size=(200, 2, 6, 8)).astype(np.float32) * np.float32(0.01)
    wave = np.sin(2 * np.pi * 4.3 * times).astype(np.float32)
    moved[:, 0, 2, 3] += 0.1 * wave
    assert shapes(moved, 50, 16, CLEAR)[0] == []
    moved[:, 0, 2, 4] += 0.08 * wave
    ((frequency, amplitude, over, phasors, core),), faint = shapes(moved, 50, 16, CLEAR)
    assert faint is None
    assert frequency == pytest.approx(4.3, abs=0.01)
    assert amplitude == pytest.approx(0.1, rel=0.05)
    assert over == pytest.approx(0.1 / (2**0.5 * 0.01 * 2 * (1.5 / 200) ** 0.5), rel=0.35)
    assert core == (2, 3, 3, 5)
    assert np.flatnonzero(np.abs(phasors[0]).ravel()).tolist() == [19, 20]
    drift = moved + np.linspace(0, 5, 200, dtype=np.float32)[:, None, None, None]
    assert shapes(drift, 50, 16, CLEAR)[0][0].amplitude == pytest.approx(amplitude, rel=0.02)


def test_what_would_not_be_seen_is_not_found():
    """Where the picture is bare, the network's motion is a guess."""
    wave = np.sin(2 * np.pi * 4.3 * np.arange(200) / 50)
    moved = np.random.default_rng(8).normal(size=(200, 2, 6, 8)).astype(np.float32) * np.float32(0.01)
    moved[:, 0] += 0.1 * wave.astype(np.float32)[:, None, None]
    sight = np.full((6, 8), 0.1, np.float32)
    assert shapes(moved, 50, 16, sight) == ([], None)
    sight[2:4, 5:8] = 1
    ((_, _, _, phasors, core),), _ = shapes(moved, 50, 16, sight)
    assert core == (2, 5, 4, 8)
    assert np.count_nonzero(phasors[0]) == 6


def test_cells_add_no_frequency_of_their_own():
    """Half of a cell moves at one frequency, and half at another: no sums or differences of them."""
    times = np.arange(200) / 50
    parts = np.zeros((200, 2, 4, 4), np.float32)
    parts[:, 0, ::2] = np.sin(2 * np.pi * 4 * times)[:, None, None]
    parts[:, 0, 1::2] = np.sin(2 * np.pi * 7 * times)[:, None, None]
    parts += np.random.default_rng(1).normal(size=parts.shape) * 0.001
    moved = gathered(parts)
    assert moved.shape == (200, 2, 2, 2)
    assert [round(each.frequency, 2) for each in shapes(moved, 50, 16, CLEAR)[0]] in ([4, 7], [7, 4])
    lone = parts * np.array([1, 0, 0, 0], np.float32).reshape(2, 2).repeat(2, 0).repeat(2, 1)
    assert np.abs(gathered(lone)[:, 0, 0, 0]).max() == pytest.approx(np.abs(lone).max(), rel=0.01)


def test_what_comes_nearest_is_told(tmp_path):
    """Motion at all frequencies, of which one is only somewhat larger."""
    grain, times = np.random.default_rng(9), np.arange(240) / 30
    wander = grain.normal(size=240).astype(np.float32)
    moved = np.zeros((240, 2, 5, 6), np.float32)
    moved[:, 0, 1:3, 1:4] = (wander + 0.42 * np.sin(2 * np.pi * 2 * times))[:, None, None] * np.float32(0.2)
    clear, faint = shapes(moved, 30, 16, CLEAR)
    assert clear == []
    assert faint.frequency == pytest.approx(2, abs=0.05)
    assert 2 < faint.over_noise < 5
    vibration = Vibration(faint.frequency, 0.08, 3.1, Region(16, 16, 48, 32), faint.phasors)
    found = Found([], vibration, np.zeros((80, 96, 3), np.uint8), ArrowGrid((40, 48), 2, 80, 96), 240, 30.0, 0.125)
    assert command.described(found).splitlines() == [
        "240 frames at 30 a second, resolution 0.125 Hz",
        f"nothing stands clear of what moves at other frequencies; what comes nearest is {faint.frequency:.4g} Hz, "
        "0.08 px, 3.1 times what is around it, at 16,16,48,32",
    ]


def found_at(frequency: float, rate: float, told: float | None, frames: int = 120) -> Found:
    vibration = Vibration(frequency, 0.4, 9.0, Region(16, 16, 48, 32), np.zeros((2, 5, 6), complex))
    picture, grid = np.zeros((80, 96, 3), np.uint8), ArrowGrid((40, 48), 2, 80, 96)
    return Found([vibration], None, picture, grid, frames, rate, rate / frames, told=told)


def band_of(line: str) -> tuple[float, float]:
    return parse_band(line.split("--band ")[1].split()[0])


@pytest.mark.parametrize("rate", [7.5, 24000 / 1001, 25, 30, 59.94, 1000, 12345.678])
@pytest.mark.parametrize("frames", [16, 120, 20_000])
def test_the_command_that_is_recommended_is_accepted(rate, frames):
    """Its band holds what was found, and ends below half the rate, also as it is written, in a few digits."""
    for share in [*np.linspace(0.02, 0.49, 95), 0.497, 0.4999, 0.5]:
        found = found_at(share * rate, rate, rate, frames)
        line = command.described(found).splitlines()[-1]
        low, high = band_of(line)
        sections = design("band", (low, high), rate)
        assert low < share * rate < high or share > 0.497
        assert "--fps" not in line
        turn = np.exp(-2j * np.pi * min(share, 0.4975) * np.arange(3))
        through = np.prod([abs(turn @ one[:3]) / abs(turn @ [1, *one[3:]]) for one in sections])
        assert through > 0.6, "what was found is in it"


def test_the_command_that_is_recommended_says_what_it_takes():
    chosen = {"fps": None, "detrend": False, "start": 3.0, "duration": 4.0, "model": DEFAULT_MODEL, "proxy": 1.0}
    found = found_at(13.6, 30, 30)
    assert command.suggested(found, found.vibrations[0], chosen).split("--alpha ")[1].split()[1:] == [
        "--band",
        "12.2:14.8",
    ]
    line = command.suggested(found, found.vibrations[0], {**chosen, "detrend": True, "fps": 30.0})
    assert line.endswith(" --band 12.2:14.8 --detrend --fps 30")
    line = command.suggested(found, found.vibrations[0], {**chosen, "model": "warp", "proxy": 0.0})
    assert line.endswith(" --band 12.2:14.8 --model warp --proxy 0")
    for told in (None, 25.0):  # the input has no rate, or one of all of a clip whose frames were denser here
        found = found_at(13.6, 30, told)
        assert command.suggested(found, found.vibrations[0], chosen).endswith(" --band 12.2:14.8 --fps 30")


def test_what_may_be_an_overtone_is_told(tmp_path):
    found = found_at(12.0, 100, 100, 400)
    own = found.vibrations[0]
    third = replace(own, frequency=36.1, amplitude=0.03)
    found = replace(found, vibrations=[own, third])
    line = command.described(found).splitlines()[-2]
    assert line.startswith("36.1 Hz is 3 times 12 Hz, and small: ")
    assert line.endswith("magfilter-measure --roi 16,16,48,32 tells")
    command.write_found(found, str(tmp_path / "found.csv"), "clip", False)
    rows = csv.DictReader(line for line in (tmp_path / "found.csv").open() if line[0] != "#")
    assert [row["multiple_of_hz"] for row in rows] == ["", "12"]
    for other in (replace(third, frequency=36.3), replace(third, amplitude=0.1), replace(third, frequency=12.1)):
        assert "times" not in command.described(replace(found, vibrations=[own, other]))


def test_amplitudes_in_the_unit_of_a_scale(found, tmp_path):
    (slow, _), scale = found.vibrations, Scale("um", 0.5)
    lines = command.described(found, scale=scale).splitlines()
    assert "amplitude um" in lines[1]
    assert lines[2].split()[1] == f"{slow.amplitude / 2:.2g}"
    assert lines[-1] == command.described(found).splitlines()[-1], "what magnifies it depends on px"
    faint = command.described(replace(found, vibrations=[], faint=slow), scale=scale)
    assert f"{slow.amplitude / 2:.2g} um, " in faint
    assert title(slow, scale).endswith(" um")
    command.write_found(found, str(tmp_path / "found.csv"), "clip", False, scale)
    (row, *_) = csv.DictReader(line for line in (tmp_path / "found.csv").open() if line[0] != "#")
    assert float(row["amplitude_um"]) == pytest.approx(float(row["amplitude_px"]) / 2)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Runs the command in the test's folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            command.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_table_picture_and_what_to_do(run, two, tmp_path):
    code, out, _ = run(two, "-o", "shapes.png", "--table", "found.csv", "--fps", 60)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "90 frames at 60 a second, resolution 0.667 Hz"
    assert lines[1].split("  ")[-1].strip() == "x,y,w,h"
    hertz, _, _, region = lines[2].split()
    assert float(hertz) == pytest.approx(6, abs=0.05)
    assert holds(Region.parse(region), LEFT)
    assert lines[4].startswith("magnify the first: magfilter IN OUT --alpha ")
    assert lines[4].endswith(f" --band {float(hertz) - 4 / 3:.3g}:{float(hertz) + 4 / 3:.3g} --fps 60")
    assert float(lines[4].split()[7]) == pytest.approx(0.03 * SIZE[0] / SWING, rel=0.15)
    with av.open(str(tmp_path / "shapes.png")) as picture:
        assert picture.streams.video[0].height > 2 * SIZE[0]  # one below the other
    with (tmp_path / "found.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if line[0] != "#"))
    assert len(rows) == 2
    assert "# settings: model=warp-light fps=60\n" in (tmp_path / "found.csv").read_text()
    assert float(rows[0]["frequency_hz"]) == pytest.approx(6, abs=0.05)
    assert ",".join(rows[0][name] for name in ("x", "y", "width", "height")) == region
    code, out, err = run(two, "-o", "shapes.png")
    assert (code, out) == (1, "")
    assert "shapes.png already exists" in err


def test_quiet_still_and_no_picture(run, tmp_path):
    still = write(tmp_path / "still.mkv", film(frames=20, noise=0))
    code, out, err = run(still, "-o", "shapes.png", "-q")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["20 frames at 30 a second, resolution 1.5 Hz", "nothing vibrates"]
    assert not (tmp_path / "shapes.png").exists()
    assert "shapes.png was not written: there is nothing to draw" in run(still, "-o", "shapes.png")[2]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--fps", "0"], "fps must be more than 0 frames a second, 1e-09 to 1e+12; got 0"),
        (["--fps", "nan"], "fps must be more than 0 frames a second, 1e-09 to 1e+12; got nan"),
        (["-t", "0"], "duration must be more than 0 seconds, at most 1e+09; got 0"),
        (["-ss", "-1"], "start must be 0 or more seconds, at most 1e+09; got -1"),
        (["--threads", "-1"], "threads must be 0"),
        (["-o", "shapes.jpg"], "shapes.jpg would hold a picture, as PNG; end the name in .png"),
        (["--table", "found.json"], "found.json would hold a table, as CSV; end the name in .csv"),
        (["--table", "-"], "the table is written to a file; name it with --table found.csv"),
    ],
)
def test_options_out_of_range(run, options, text):
    code, out, err = run("any.mp4", *options)
    assert (code, out) == (2, "")
    assert text in err


def test_refusals(run, tmp_path):
    code, _, err = run("none.mp4")
    assert code == 1
    assert "none.mp4 does not exist" in err
    assert run(write(tmp_path / "a.mkv", film(frames=3)), "-o", "-")[0] == 2


def test_arrows_stay_within_the_picture(found):
    drawn = draw_vibrations(found)
    assert drawn.dtype == np.uint8
    assert (drawn == [255, 217, 26]).all(-1).sum() > 50  # arrows, in full colour


def test_rectangles_and_directions_are_those_of_the_shown_picture(tmp_path):
    shown = film(Disc(LEFT, swinging(3, 0)), noise=0)
    stored = [np.rot90(picture, -1) for picture in shown]
    path = encode(tmp_path / "turned.mp4", stored, "libx264", "yuv420p", rotation=90, crf="1")
    found = find_vibrations(path)
    (only,) = found.vibrations
    assert found.picture.shape == (*SIZE, 3)
    assert holds(only.region, LEFT)
    assert np.abs(only.phasors[0]).sum() > 5 * np.abs(only.phasors[1]).sum()
