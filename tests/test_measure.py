"""Measuring known vibrations end to end, with the shipped network; and everything that may be wrong with an input."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import threading
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
from vibrations import RATE, SIZE, Disc, encode, moved, render, texture, write

from magfilter import InputError, MagfilterError, MeasureOptions, OptionError, OutputError, measure_motion
from magfilter.measure import command
from magfilter.measure.output import write_motion, write_peaks, write_plot, write_spectrum, write_uff
from magfilter.measure.printed import peak_table
from magfilter.measure.survey import _apart, turn_field
from magfilter.stages import Stopped

FRAMES = 60
HERTZ = 4.37  # between bins of half a hertz
ANGLE = 0.5
ROI = "60,30,72,68"
BIN = RATE / FRAMES


def swing(amplitude: float, time: float, hertz: float = HERTZ) -> tuple[float, float]:
    far = amplitude * math.sin(2 * math.pi * hertz * time)
    return far * math.cos(ANGLE), far * math.sin(ANGLE)


def disc_frames(amplitude: float, noise: float = 1.0, frames: int = FRAMES) -> list[np.ndarray]:
    disc = Disc((96, 64), lambda time: swing(amplitude, time))
    grain = np.random.default_rng(3)
    pictures = (render([disc], n / RATE) + grain.normal(0, noise, SIZE) for n in range(frames))
    return [np.clip(np.rint(picture), 0, 255).astype(np.uint8) for picture in pictures]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    """A disc that swings by 0.3 px before still ground, with noise of 1/255."""
    return write(tmp_path_factory.mktemp("disc") / "disc.mkv", disc_frames(0.3))


@pytest.fixture(scope="module")
def found(clip):
    return measure_motion(clip, roi=ROI, threads=1)


def test_a_disc_on_still_ground_is_measured_alone(found):
    region = found[0]
    peak = region.peaks[0]
    assert peak.axis == "along"
    assert peak.amplitude == pytest.approx(0.3, rel=0.02)
    assert (peak.x, peak.y) == pytest.approx((0.3 * math.cos(ANGLE), 0.3 * math.sin(ANGLE)), rel=0.03)
    assert peak.frequency == pytest.approx(HERTZ, abs=0.05 * BIN)
    assert len(region.peaks) == 1
    assert region.angle == pytest.approx(-math.degrees(ANGLE), abs=1)
    assert 0.3 < region.share < 0.6  # the disc is 0.47 of the rectangle
    assert region.note == ""
    assert not found.warnings


def test_the_uncertainty_is_the_error(found):
    """The true error is known; what is said of it comes from the still ground alone."""
    region = found[0]
    assert found.still > 3
    truth = np.array([swing(0.3, time) for time in found.times])
    error = (region.displacement - truth)[1:]
    said = np.sqrt((region.sigma[1:] ** 2).mean(0))
    # Half of the variance is the reference's noise, which is one draw.
    np.testing.assert_allclose(error.std(0), said / np.sqrt(2), rtol=0.4)
    assert (np.abs(error.mean(0)) < 3 * said).all()
    spectrum = region.spectrum
    beside = np.abs(spectrum.frequency - HERTZ) > 10 * BIN  # out of the window's skirts
    read = np.sqrt((spectrum.amplitude["x"][beside] ** 2).mean())
    assert read == pytest.approx(np.sqrt((spectrum.floor["x"][beside] ** 2).mean()), rel=0.4)


def test_a_twentieth_of_a_pixel_in_noise(tmp_path):
    clip = write(tmp_path / "small.mkv", disc_frames(0.05))
    (peak, *_) = measure_motion(clip, roi=ROI, threads=1)[0].peaks
    assert peak.amplitude == pytest.approx(0.05, rel=0.05)
    assert peak.frequency == pytest.approx(HERTZ, abs=0.2 * BIN)


def test_after_x264(tmp_path):
    clip = encode(tmp_path / "x264.mp4", disc_frames(1.0), "libx264", "yuv420p", crf="18")
    (peak, *_) = measure_motion(clip, roi=ROI, threads=1)[0].peaks
    assert peak.amplitude == pytest.approx(1, rel=0.05)
    assert peak.frequency == pytest.approx(HERTZ, abs=0.2 * BIN)


def test_what_an_encoder_has_frozen_is_said(tmp_path):
    pictures = [picture for picture in disc_frames(0.05, frames=20) for _ in (0, 1, 2)][:30]
    clip = encode(tmp_path / "x264.mp4", pictures, "libx264", "yuv420p", crf="23")
    assert any("the encoder has frozen them" in line for line in measure_motion(clip, roi=ROI, threads=1).warnings)


def test_the_whole_picture_moving_in_ten_bit(tmp_path):
    """And a region beside the whole, the true rate, a scale, and light that flickers."""
    spectrum = texture(0, SIZE)
    pictures = []
    for n in range(40):
        light = 1 + 0.1 * math.sin(1.7 * n)
        pictures.append(np.rint(200 * light * moved(spectrum, SIZE, swing(0.1, n / RATE))).clip(0).astype(np.uint16))
    clip = encode(tmp_path / "deep.mkv", pictures, "ffv1", "gray10le")
    found = measure_motion(clip, fps=1000, mm_per_px=0.5, threads=1)
    assert found.times[1] == pytest.approx(0.001)
    peak = found[0].peaks[0]
    assert peak.frequency == pytest.approx(HERTZ * 1000 / RATE, abs=0.2 * 1000 / 40)
    assert peak.amplitude == pytest.approx(0.1, rel=0.05)
    assert found[0].share == 1
    assert any("no still background" in line for line in found.warnings)
    target = tmp_path / "motion.csv"
    write_motion(found, target)
    table = list(csv.DictReader(line for line in target.open() if not line.startswith("#")))
    assert float(table[7]["r0_dx_mm"]) == pytest.approx(0.5 * found[0].displacement[7, 0], abs=1e-6)


def test_motion_at_all_frequencies_is_not_called_noise(tmp_path):
    """A chest or a branch: no single frequency stands clear, but it moves."""
    steps, grain = np.random.default_rng(6).normal(size=FRAMES) * 0.2, np.random.default_rng(3)

    def seen(size: float) -> str:
        disc = Disc((96, 64), lambda time: (size * steps[round(time * RATE)], 0.0))
        pictures = [render([disc], n / RATE) + grain.normal(size=SIZE) for n in range(FRAMES)]
        clip = write(tmp_path / f"{size}.mkv", [np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in pictures])
        return peak_table(measure_motion(clip, roi=ROI, threads=1)).splitlines()[1].strip()

    assert seen(0) == "no vibration above the noise"
    moving = seen(1)
    assert moving.startswith("no vibration stands clear of what moves at other frequencies; the most is 0.")
    assert float(moving.split()[-2]) <= RATE / 2


def test_a_turned_video_is_measured_as_a_player_shows_it(tmp_path):
    """Stored lying on its side; the rectangle and the direction are those of the upright picture."""
    pictures = disc_frames(0.5, frames=40)
    stored = [np.ascontiguousarray(np.rot90(picture, -1)) for picture in pictures]
    clip = encode(tmp_path / "turned.mp4", stored, "libx264", "yuv420p", rotation=90, crf="5")
    region = measure_motion(clip, roi=ROI, threads=1)[0]
    assert region.angle == pytest.approx(-math.degrees(ANGLE), abs=3)
    assert region.peaks[0].amplitude == pytest.approx(0.5, rel=0.05)
    with pytest.raises(OptionError, match="outside the picture of 192x128"):
        measure_motion(clip, roi="0,0,128,192")


@pytest.mark.parametrize(("still", "said"), [("70,40,52,48", True), ("4,4,40,40", False)])
def test_a_thing_is_not_its_own_background(clip, still, said):
    found = measure_motion(clip, roi=ROI, still=still, duration=0.7, threads=1)
    assert [line.startswith(f"still {still} lies on what is measured") for line in found.warnings] == [True] * said


@pytest.fixture(scope="module")
def drifting(tmp_path_factory) -> str:
    """A disc that swings by 0.4 px on a stage that drifts by 2 px: nothing in the picture rests."""

    def drift(time: float) -> tuple[float, float]:
        return 1.0 * time, 0.5 * time

    disc = Disc((96, 64), lambda time: tuple(np.add(drift(time), swing(0.4, time))))
    pictures = [render([disc], n / RATE, drift) for n in range(FRAMES)]
    return write(tmp_path_factory.mktemp("drift") / "drift.mkv", pictures)


def test_a_region_with_a_margin_that_drifts_is_told(drifting, clip):
    """The mean of both motions is too small; drawn tight, or with the drift taken off, it is not."""
    wide, tight = measure_motion(drifting, roi=["58,26,76,76", "82,50,28,28"], threads=1).regions
    assert wide.peaks[0].amplitude < 0.37
    assert wide.note.startswith("holds things that move differently, by 0.")
    assert wide.note.endswith("or, where the ground moves with the camera, measure with --detrend")
    assert tight.note == ""
    assert tight.peaks[0].amplitude == pytest.approx(0.4, rel=0.02)
    steady = measure_motion(drifting, roi="58,26,76,76", detrend=True, threads=1)
    assert steady.warnings == []
    assert steady[0].peaks[0].amplitude == pytest.approx(0.4, rel=0.02)
    resting = measure_motion(clip, roi=["58,26,76,76", "82,50,28,28"], threads=1)
    assert resting.warnings == []


def test_what_turns_or_bends_holds_no_two_motions():
    """Of things whose motion grows with the place there are no two groups; noise has none either."""
    lot = np.random.default_rng(0)
    y, x = np.mgrid[:20, :30] - np.array([10.0, 15.0])[:, None, None]
    time = np.arange(64.0)
    drift, swung = 0.02 * time, 0.4 * np.sin(time)
    inside = np.hypot(x, y) < 8

    def apart(across: np.ndarray, down: np.ndarray) -> float:
        flows = np.stack([across, down], 1) + lot.normal(0, 0.003, (64, 2, 20, 30))
        return _apart((flows - flows.mean(0)).astype(np.float32), np.ones((20, 30)))

    one = np.ones((20, 30))
    lie, stand = np.multiply.outer(drift, one), np.multiply.outer(drift * 0, one)
    assert apart(lie, stand) == 0
    assert apart(lie - np.multiply.outer(swung, y / 10), np.multiply.outer(swung, x / 10)) == 0  # turns
    assert apart(np.multiply.outer(swung, (x + 15) ** 2 / 900), stand) == 0  # bends
    assert apart(lie + np.multiply.outer(swung, inside), stand) == pytest.approx(0.4 / np.sqrt(2), rel=0.1)


def test_where_all_of_the_picture_moves_detrend_is_advised(drifting):
    """There is nothing to name with --still, and what was named moves."""
    advice = "where all of the picture moves, --detrend"
    none = measure_motion(drifting, roi="82,50,28,28", duration=1, threads=1)
    assert [advice in line for line in none.warnings] == [True]
    assert none.warnings[0].index("--detrend") < none.warnings[0].index("--still")
    named = measure_motion(drifting, roi="82,50,28,28", still="4,4,40,40", duration=1, threads=1)
    assert [line.startswith("still 4,4,40,40 moves itself, by 0.") for line in named.warnings] == [True]
    assert advice in named.warnings[0]
    (line,) = measure_motion(drifting, roi="82,50,28,28", still="4,4,40,40", detrend=True, threads=1).warnings
    assert "so its shift alone is taken off" in line


def test_vectors_turn_with_their_picture():
    flow = np.zeros((2, 4, 6), np.float32)
    flow[0, 1, 2] = 1  # to the right at row 1, column 2
    turned = turn_field(flow, 1)  # a quarter counter-clockwise: upwards, at row 6 − 1 − 2, column 1
    assert turned.shape == (2, 6, 4)
    assert turned[:, 3, 1].tolist() == [0, -1]
    np.testing.assert_array_equal(turn_field(turned, 3), flow)


def test_a_pan_is_taken_off_and_far_motion_is_followed(tmp_path):
    """A pan of 12 px, in jumps of 2 px a second frame, under a vibration."""

    def pan(time: float) -> tuple[float, float]:
        return 0.0 if time < 0.2 else min(12.0, 2 * round((time - 0.2) * RATE / 2)), 0.0

    def way(time: float) -> tuple[float, float]:
        x, y = swing(0.3, time)
        return x + pan(time)[0], y

    disc = Disc((80, 64), way)
    clip = write(tmp_path / "pan.mkv", [render([disc], n / RATE, pan) for n in range(40)])
    options = {"roi": "44,30,72,68", "threads": 1}
    found = measure_motion(clip, detrend=True, **options)
    truth = np.array([swing(0.3, time) for time in found.times])
    np.testing.assert_allclose(found[0].displacement, truth, atol=0.05)
    raw = measure_motion(clip, still="4,4,40,24", **options)
    assert raw[0].displacement[-1, 0] == pytest.approx(12, abs=0.4)  # ground and disc go together
    assert raw[0].lost == 0


def test_a_variable_rate_is_said_and_used(tmp_path):
    lot = np.random.default_rng(5)
    pts = [round(1000 * (n + (lot.uniform(0, 0.6) if n else 0)) / RATE) for n in range(50)]
    spectrum = texture(0, SIZE)
    pictures = [np.rint(moved(spectrum, SIZE, swing(0.3, t / 1000))).clip(0, 255).astype(np.uint8) for t in pts]
    clip = encode(tmp_path / "vfr.mkv", pictures, "ffv1", "gray", pts=pts)
    found = measure_motion(clip, roi=ROI, threads=1)
    assert any("variable frame rate" in line for line in found.warnings)
    np.testing.assert_allclose(found.times, np.array(pts) / 1000, atol=0.001)
    assert found[0].peaks[0].frequency == pytest.approx(HERTZ, abs=0.05)
    assert found[0].peaks[0].amplitude == pytest.approx(0.3, rel=0.05)
    even = measure_motion(clip, roi=ROI, fps=30, threads=1)
    assert not any("variable" in line for line in even.warnings)


def test_milliseconds_are_no_variable_rate(tmp_path):
    pts = [round(1000 * n / RATE) for n in range(12)]
    clip = encode(tmp_path / "ms.mkv", disc_frames(0.3, frames=12), "ffv1", "gray", pts=pts)
    found = measure_motion(clip, roi=ROI, threads=1)
    assert found.rate == pytest.approx(RATE, rel=1e-3)
    assert found.timing.even


def test_without_texture_there_is_no_number(tmp_path):
    pictures = disc_frames(0.3, frames=12)
    grain = np.random.default_rng(0)
    for picture in pictures:
        picture[:, :50] = np.rint(120 + grain.normal(0, 1, (SIZE[0], 50)))
    clip = write(tmp_path / "flat.mkv", pictures)
    found = measure_motion(clip, roi=["4,20,36,80", ROI], threads=1)
    assert np.isnan(found[0].displacement).all()
    assert np.isnan(found[0].along).all()
    assert found[0].peaks == []
    assert np.isfinite(found[1].displacement).all()
    assert any("4,20,36,80 has no texture" in line for line in found.warnings)


def a_line(path: Path, length: int, upright: bool, way) -> str:
    """A clip of pictures of one pixel's height, or width, whose content goes by `way` (s → px) along it."""
    spectrum, grain = texture(0, (1, 256)), np.random.default_rng(3)
    pictures = []
    for n in range(FRAMES):
        picture = moved(spectrum, (1, 256), (way(n / RATE), 0))[:, :length] + grain.normal(0, 1, (1, length))
        pictures.append(np.ascontiguousarray(np.clip(np.rint(picture.T if upright else picture), 0, 255), np.uint8))
    return encode(path, pictures, "rawvideo", "gray")


@pytest.mark.parametrize("upright", [False, True])
def test_a_line_scan_is_measured_along_the_line(tmp_path, upright):
    clip = a_line(tmp_path / "line.nut", 200, upright, lambda time: 0.3 * math.sin(2 * math.pi * HERTZ * time))
    found = measure_motion(clip, threads=1)[0]
    assert np.isnan(found.displacement[:, 0 if upright else 1]).all()
    assert found.peaks[0].frequency == pytest.approx(HERTZ, abs=0.05)
    assert found.peaks[0].amplitude == pytest.approx(0.3, rel=0.05)
    with pytest.raises(OptionError, match="detrend finds no textured ground"):
        measure_motion(clip, detrend=True, threads=1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("upright", [False, True])
def test_what_jumps_on_a_line_is_found_again(tmp_path, upright):
    """By the network, whose points are as far apart along the line as in any picture."""
    clip = a_line(tmp_path / "line.nut", 200, upright, lambda time: 5.0 * (round(time * RATE) % 20 >= 10))
    found = measure_motion(clip, roi="0,140,1,50" if upright else "140,0,50,1", threads=1)[0]
    due = 5.0 * (np.arange(FRAMES) % 20 >= 10)
    np.testing.assert_allclose(found.displacement[:, 1 if upright else 0], due, atol=0.15)
    assert found.lost == 0


def test_of_a_single_pixel_nothing_is_told(tmp_path):
    found = measure_motion(a_line(tmp_path / "pixel.nut", 1, False, lambda time: 0.0), threads=1)
    assert np.isnan(found[0].displacement).all()
    assert "has no texture" in found[0].note


@pytest.mark.parametrize(
    ("bearing", "told", "width", "noise"),
    [
        (0, (True, False), 2, 1),
        (90, (False, True), 2, 1),
        (30, (False, False), 2, 1),
        (30, (False, False), 0.7, 0),
        (15, (False, False), 0.5, 0),
        (60, (False, False), 0.5, 0),
    ],
)
def test_an_edge_is_followed_in_every_frame(tmp_path, bearing, told, width, noise):
    """What moves across a straight edge is measured, also where nothing tells what moves along it.

    Of a sharp one without noise the steps it is sampled in look like texture, which stands still.
    """
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    turn = math.radians(bearing)
    across = (x - SIZE[1] / 2) * math.cos(turn) + (y - SIZE[0] / 2) * math.sin(turn)
    swing = 0.4 * np.sin(2 * np.pi * 5 * np.arange(60) / RATE)
    still = moved(texture(3, SIZE), SIZE, (0, 0))
    pictures, grain = [], np.random.default_rng(0)
    for far in swing:
        picture = np.where(x < 60, still, 128 + 70 * np.tanh((across - far) / width)) + grain.normal(0, noise, SIZE)
        pictures.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    found = measure_motion(write(tmp_path / "edge.mkv", pictures), roi="80,48,32,32", still="4,4,44,120", threads=1)
    assert np.isfinite(found[0].displacement).all(0).tolist() == list(told)
    sign = np.sign(found[0].along @ swing)
    np.testing.assert_allclose(sign * found[0].along, swing, atol=0.02)
    assert found[0].peaks[0].frequency == pytest.approx(5, abs=0.1)
    assert found[0].peaks[0].amplitude == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("frames", [1, 5])
def test_too_few_frames_for_a_spectrum(tmp_path, frames):
    clip = write(tmp_path / "short.mkv", disc_frames(0.3, frames=frames))
    found = measure_motion(clip, roi=ROI, threads=1)
    assert found.frames == frames
    assert found[0].spectrum is None
    assert found[0].peaks == []
    np.testing.assert_allclose(found[0].displacement[0], 0, atol=1e-4)
    write_spectrum(found, tmp_path / "spectrum.csv")
    rows = [line for line in (tmp_path / "spectrum.csv").open() if not line.startswith("#")]
    assert len(rows) == 1
    if frames == 1 and find_spec("pyuff"):
        with pytest.raises(OutputError, match="two frames or more"):
            write_uff(found, tmp_path / "motion.uff")


def test_a_table_says_where_its_stretch_begins(clip, found, tmp_path):
    part = measure_motion(clip, roi=ROI, start=0.5, duration=0.3, threads=1)
    assert "array" not in repr(part.timing)
    for motion, name in ((part, "part.csv"), (found, "whole.csv")):
        write_motion(motion, tmp_path / name)
        said = "# begins 0.5 s into the clip: frame and time count from there\n" in (tmp_path / name).read_text()
        assert said == (motion is part)


def test_another_reference(clip):
    """Against frame 3 the same motion has another zero."""
    found = measure_motion(clip, roi=ROI, reference="frame:3", duration=0.5, threads=1)
    truth = np.array(swing(0.3, 0)) - swing(0.3, 3 / RATE)
    np.testing.assert_allclose(found[0].displacement[0], truth, atol=0.02)
    np.testing.assert_allclose(found[0].displacement[3], 0, atol=1e-4)
    with pytest.raises(OptionError, match="frame:99 lies beyond the end: the input has 15 frames"):
        measure_motion(clip, reference="frame:99", duration=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roi": "1,2,3"}, "is not x,y,width,height"),
        ({"roi": "150,0,60,20"}, "outside the picture of 192x128"),
        ({"roi": "0,0,9,9:5"}, "nothing is magnified here"),
        ({"still": "0,0,300,20"}, "outside the picture of 192x128"),
        ({"fps": 0.0}, "fps must be more than 0"),
        ({"mm_per_px": -1.0}, "mm_per_px must be more than 0"),
        ({"um_per_px": 0.0}, "um_per_px must be more than 0 um a pixel"),
        ({"mm_per_px": 1.0, "um_per_px": 1.0}, "give one of --mm-per-px and --um-per-px"),
        ({"reference": "previous"}, "use first or frame:N"),
        ({"threads": -1}, "threads must be 0"),
        ({"start": -1.0}, "start must be 0 or more"),
    ],
)
def test_wrong_options_are_refused(clip, options, message):
    with pytest.raises(OptionError, match=message):
        measure_motion(clip, **options)


def test_a_region_may_be_numbers():
    assert [str(region) for region in MeasureOptions(roi=(1, 2, 3, 4)).regions] == ["1,2,3,4"]
    assert [str(region) for region in MeasureOptions(roi=[(1, 2, 3, 4), "5,6,7,8"]).regions] == ["1,2,3,4", "5,6,7,8"]
    assert MeasureOptions().regions == ()


def test_an_unknown_rate_is_refused_by_name(tmp_path, monkeypatch):
    """Of a stream without times; where frames have times, those tell the rate."""
    monkeypatch.setattr("magfilter.media.probe.frame_rate", lambda stream: None)
    pictures = disc_frames(0.3, frames=12)
    raw = encode(tmp_path / "raw.h264", pictures, "libx264", "yuv420p", bf="0")
    with pytest.raises(OptionError, match=r"does not say its frame rate.*give --fps RATE"):
        measure_motion(raw)
    assert measure_motion(raw, roi=ROI, fps=500, threads=1).rate == 500
    timed = measure_motion(write(tmp_path / "timed.mkv", pictures), roi=ROI, threads=1)
    assert timed.rate == pytest.approx(RATE, rel=0.01)


def test_what_is_no_video(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        measure_motion(tmp_path / "none.mp4")


def test_a_stop_keeps_what_was_measured(clip):
    stop, steps = threading.Event(), []

    def progress(step) -> None:
        steps.append(step)
        if step.expected == 15 and step.frames == 4:
            stop.set()

    found = measure_motion(clip, roi=ROI, duration=0.5, threads=1, progress=progress, stop=stop)
    assert found.interrupted
    assert found.frames == 4
    with pytest.raises(Stopped):
        measure_motion(clip, roi=ROI, duration=0.5, threads=1, stop=stop)


# -- the command


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        command.main(list(arguments))
    return int(end.value.code or 0)


def test_the_command_writes_tables_and_prints_peaks(clip, tmp_path, capfd):
    motion, spectrum = tmp_path / "motion.csv", tmp_path / "spectrum.csv"
    arguments = [clip, "--roi", ROI, "-o", str(motion), "--spectrum", str(spectrum), "--threads", "1"]
    assert run(*arguments) == 0
    out, err = capfd.readouterr()
    assert "over noise" in out
    assert "4.37" in out
    assert "60 frames" in err
    lines = motion.read_text().splitlines()
    assert any(line.startswith("# ") and ROI in line for line in lines)
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert len(rows) == FRAMES
    assert list(rows[0])[:5] == ["frame", "time_s", "r0_dx_px", "r0_dy_px", "r0_along_px"]
    assert float(rows[1]["time_s"]) == pytest.approx(1 / RATE)
    assert float(rows[1]["r0_along_px"]) == pytest.approx(np.hypot(*swing(0.3, 1 / RATE)), abs=0.02)
    table = np.genfromtxt(
        spectrum, delimiter=",", names=True, skip_header=sum(1 for x in spectrum.open() if x[0] == "#")
    )
    top = int(np.argmax(table["r0_along_px"]))
    assert table["frequency_hz"][top] == pytest.approx(HERTZ, abs=BIN / 4)
    assert table["r0_along_px"][top] == pytest.approx(0.3, rel=0.03)
    assert run(*arguments) == 1
    assert "already exists; use -y" in capfd.readouterr().err


@pytest.mark.parametrize("unit", ["mm", "um"])
def test_peaks_as_a_table(found, tmp_path, unit):
    scaled = replace(found, **{f"{unit}_per_px": 0.5})
    write_peaks(scaled, tmp_path / "peaks.csv")
    (row,) = csv.DictReader(line for line in (tmp_path / "peaks.csv").open() if line[0] != "#")
    (peak,) = found[0].peaks
    assert (row["region"], row["axis"], row["phase_deg"]) == ("r0", "along", "0")
    assert float(row["frequency_hz"]) == pytest.approx(peak.frequency)
    assert float(row["frequency_sigma_hz"]) == pytest.approx(peak.frequency_sigma)
    assert float(row[f"amplitude_{unit}"]) == pytest.approx(0.5 * peak.amplitude)
    assert float(row["amplitude_sigma_px"]) == pytest.approx(peak.amplitude_sigma)
    assert float(row["over_noise"]) == pytest.approx(peak.over_noise)


def test_micrometres(clip, tmp_path, capfd):
    """Beside px in tables, and in their place on the terminal."""
    names = {kind: tmp_path / f"{kind}.csv" for kind in ("motion", "spectrum", "peaks")}
    tables = ["-o", str(names["motion"]), "--spectrum", str(names["spectrum"]), "--peaks", str(names["peaks"])]
    assert run(clip, "--roi", ROI, "--um-per-px", "0.108", "--threads", "1", *tables) == 0
    out = capfd.readouterr().out
    assert "amplitude um" in out
    assert "x um" in out
    assert f"{0.3 * 0.108:.2g}" in out
    for kind, column in (("motion", "r0_dx_um"), ("spectrum", "r0_along_floor_um"), ("peaks", "amplitude_sigma_um")):
        lines = names[kind].read_text().splitlines()
        assert "# scale: 0.108 um a pixel" in lines
        (first, *_) = csv.DictReader(line for line in lines if line[0] != "#")
        assert float(first[column]) == pytest.approx(0.108 * float(first[column.replace("_um", "_px")]))


def test_tables_say_what_was_chosen(clip, tmp_path):
    """Once, in every table: what makes the result another one and is not the default."""
    names = [str(tmp_path / f"{kind}.csv") for kind in ("motion", "spectrum", "peaks")]
    tables = ["-o", names[0], "--spectrum", names[1], "--peaks", names[2]]
    chosen = ["--still", "4,4,40,40", "-ss", "0.5", "-t", "0.7", "--proxy", "0.5", "--fps", "1000", "--mm-per-px", "2"]
    assert run(clip, "--roi", ROI, "--threads", "1", *chosen, *tables) == 0
    for name in names:
        head = [line for line in Path(name).read_text().splitlines() if line[0] == "#"]
        assert "# settings: model=warp-light still=4,4,40,40 fps=1000 duration=0.7 proxy=0.5" in head
        assert any(line.startswith("# begins 0.5 s into the clip") for line in head)
        assert "# scale: 2 mm a pixel" in head
    assert MeasureOptions(threads=2, model="my/own.onnx").settings == "model=own"


def test_a_stream_gives_the_same(clip, found, tmp_path):
    """Through a pipe, to a table on stdout; what the survey sees of it differs, the motion does not."""
    with av.open(clip) as source, av.open(str(tmp_path / "in.nut"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    done = subprocess.run(
        [sys.executable, "-m", "magfilter.measure", "-", "--roi", ROI, "-o", "-", "--threads", "1"],
        stdin=(tmp_path / "in.nut").open("rb"),
        capture_output=True,
        text=True,
        check=True,
    )
    rows = list(csv.DictReader(line for line in done.stdout.splitlines() if not line.startswith("#")))
    seen = np.array([[float(row["r0_dx_px"]), float(row["r0_dy_px"])] for row in rows])
    np.testing.assert_allclose(seen, found[0].displacement, atol=0.01)
    assert "over noise" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--roi", "180,0,60,20"), 2, "outside the picture"),
        (("--fps", "-3"), 2, "fps must be more than 0"),
        (("-o", "x.csv", "--spectrum", "x.csv"), 2, "the same name"),
        (("--plot", "-"), 2, "writes a file"),
        (("-o", "motion.json"), 2, "motion.json would hold a table, as CSV; end the name in .csv"),
        (("--peaks", "peaks.png"), 2, "would hold a table, as CSV; end the name in .csv"),
        (("--uff", "motion.csv"), 2, "would hold Universal File Format; end the name in .uff"),
        (("-o", "/nowhere/x.csv"), 1, "does not exist; create it"),
        (("--colour",), 2, "see magfilter-measure --help"),
    ],
)
def test_exit_codes(clip, arguments, code, message, capfd):
    assert run(clip, *arguments) == code
    err = capfd.readouterr().err
    assert message in err
    assert err.startswith("magfilter-measure: ")


@pytest.mark.parametrize(("option", "module", "extra"), [("--plot", "matplotlib", "plot"), ("--uff", "pyuff", "uff")])
def test_a_missing_extra_is_named_with_its_command(clip, tmp_path, monkeypatch, capfd, option, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    assert run(clip, option, str(tmp_path / ("out.uff" if extra == "uff" else "out.png"))) == 1
    assert f'pip install "magfilter[{extra}]"' in capfd.readouterr().err


def test_help_names_its_options(capfd):
    assert run("-h") == 0
    out = capfd.readouterr().out
    for option in ("--roi", "--mm-per-px", "--still", "--uff", "-ss"):
        assert option in out
    for text in ("zero to peak", "the peaks are printed on stderr"):
        assert text in " ".join(out.split())


def test_the_plot_is_a_picture(found, tmp_path):
    pytest.importorskip("matplotlib")
    write_plot(found, tmp_path / "plot.png")
    write_plot(replace(found, um_per_px=0.1), tmp_path / "plot.svg")
    assert "displacement, µm" in (tmp_path / "plot.svg").read_text("utf-8")  # a comment beside the outlines
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="already exists"):
        write_plot(found, tmp_path / "plot.png")
    with pytest.raises(MagfilterError, match=r"writes no \.bmpx"):
        write_plot(found, tmp_path / "plot.bmpx")


def test_uff_reads_back(found, tmp_path):
    pyuff = pytest.importorskip("pyuff")
    write_uff(found, tmp_path / "motion.uff")
    sets = pyuff.UFF(str(tmp_path / "motion.uff")).read_sets()
    assert [s["type"] for s in sets] == [58] * 4  # x and y, over time and over frequency
    np.testing.assert_allclose(sets[0]["data"], found[0].displacement[:, 0], atol=1e-6)
    np.testing.assert_allclose(sets[0]["x"], found.times, rtol=1e-5)  # the format has six digits there
    assert (sets[0]["rsp_node"], sets[0]["rsp_dir"], sets[0]["func_type"]) == (1, 1, 1)
    np.testing.assert_allclose(sets[1]["data"], found[0].spectrum.amplitude["x"], atol=1e-6)


@pytest.mark.parametrize(("unit", "metres"), [("mm", 1e-3), ("um", 1e-6)])
def test_uff_is_in_metres_where_the_scale_is_known(found, tmp_path, unit, metres):
    pyuff = pytest.importorskip("pyuff")
    write_uff(replace(found, **{f"{unit}_per_px": 0.5}), tmp_path / "motion.uff")
    first, second, *_ = pyuff.UFF(str(tmp_path / "motion.uff")).read_sets()
    assert first["ordinate_axis_units_lab"].strip() == "m"
    np.testing.assert_allclose(first["data"], 0.5 * metres * found[0].displacement[:, 0], rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(second["data"], 0.5 * metres * found[0].spectrum.amplitude["x"], rtol=1e-4, atol=1e-12)


@pytest.fixture(scope="module")
def cut(tmp_path_factory) -> str:
    """Two shots of the same place in the picture: a disc that swings, then another that does at another frequency."""
    one = disc_frames(0.3)[:40]
    disc = Disc((96, 64), lambda time: swing(0.2, time, 6.2))
    two = [render([disc], n / RATE, seed=30) for n in range(80)]
    return write(tmp_path_factory.mktemp("cut") / "cut.mkv", [*one, *two])


def test_the_shot_of_the_reference_is_measured(cut):
    motion = measure_motion(cut, roi=ROI, threads=1)
    assert motion.frames == 40
    assert np.abs(motion[0].displacement).max() < 0.5
    assert motion[0].peaks[0].amplitude == pytest.approx(0.3, rel=0.02)
    (warning,) = [line for line in motion.warnings if "another shot" in line]
    assert "from the shot cut at 1.333 s on" in warning
    assert "choose another shot with -ss and -t" in warning


def test_a_later_shot_is_measured_against_a_frame_of_its_own(cut, tmp_path):
    motion = measure_motion(cut, roi=ROI, threads=1, reference="frame:50")
    assert motion.frames == 80
    assert (motion.start, motion.times[0]) == (pytest.approx(40 / RATE, abs=0.002), 0)
    np.testing.assert_allclose(motion[0].displacement[10], 0, atol=0.01)
    assert motion[0].peaks[0].frequency == pytest.approx(6.2, abs=0.02)
    assert motion[0].peaks[0].amplitude == pytest.approx(0.2, rel=0.03)
    assert "before the shot cut at 1.333 s is another shot" in " ".join(motion.warnings)
    write_motion(motion, tmp_path / "motion.csv")
    assert "# begins 1.333 s into the clip" in (tmp_path / "motion.csv").read_text().replace("1.33333", "1.333")


def test_a_stream_ends_at_a_cut_too(cut):
    with open(cut, "rb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "magfilter.measure", "-", "--roi", ROI, "-o", "-", "--threads", "1"],
            stdin=stream,
            capture_output=True,
            text=True,
            check=True,
        )
    assert len([line for line in done.stdout.splitlines() if line[0].isdigit()]) == 40
    assert "from the shot cut at 1.333 s on" in done.stderr


def test_a_short_shot_is_surveyed_in_full(cut, monkeypatch):
    """Of a long clip one frame in many is looked at, which would leave none of its first shot."""
    monkeypatch.setattr("magfilter.measure.motion.VideoReader.expected_frames", property(lambda _: 100_000))
    assert measure_motion(cut, roi=ROI, threads=1)[0].peaks[0].amplitude == pytest.approx(0.3, rel=0.02)
