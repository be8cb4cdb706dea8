"""The command as people type it: options, bad input, pipes, signals, exit codes."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clips, cut, picture

from magfilter import Frame, VideoReader, __version__
from magfilter.cli import main
from magfilter.models import find_model

ROOT = Path(__file__).parent.parent
FOREIGN = ROOT / "tests/foreign.onnx"  # a sound ONNX file that is no model
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs Debian's ffmpeg in the PATH")


def frames(path: str | os.PathLike[str]) -> list[Frame]:
    with VideoReader(path) as reader:
        return [item for item in reader if isinstance(item, Frame)]


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    """Runs the command in this process and in the test's folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def start(*arguments: object, code: str | None = None, **options) -> subprocess.Popen[bytes]:
    """The real command in a process of its own; `code` runs in it first."""
    command = [sys.executable, "-m", "magfilter"]
    if code:
        command = [sys.executable, "-c", f"{code}\nfrom magfilter.cli import main\nmain()"]
    ready = options.pop("preexec_fn", lambda: None)
    options.setdefault("stderr", subprocess.PIPE)
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: (reset_signals(), ready()),
        **options,
    )


def reset_signals() -> None:
    """pytest in the background of a shell, or under nohup, has signals ignored and would hand that on."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def wait_for(condition, seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


def end(process: subprocess.Popen[bytes], seconds: float = 20.0) -> tuple[int, str]:
    """(exit code, stderr) of a process that is about to end by itself."""
    try:
        _, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, (err or b"").decode()


# ---- bad input


def make_text(clips: Clips, path: Path) -> None:
    path.write_text("this is a letter, not a video\n" * 50)


def make_noise(clips: Clips, path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(5000))


def make_empty(clips: Clips, path: Path) -> None:
    path.write_bytes(b"")


def make_sound(clips: Clips, path: Path) -> None:
    with av.open(str(path), "w", format="wav") as out:
        track = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame("s16", "mono", 800)
        sound.sample_rate, sound.pts = 8000, 0
        out.mux(track.encode(sound))


def make_no_frames(clips: Clips, path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()


def make_no_index(clips: Clips, path: Path) -> None:
    os.replace(cut(clips("whole.mp4", noise=True), 0.3), path)
    os.remove(clips.folder / "whole.mp4")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (None, "bad.mp4 does not exist; check the path"),
        (make_text, "bad.mp4 is not media"),
        (make_noise, "bad.mp4 (is not media|cannot be opened|holds no frame|has no video)"),
        (make_empty, "bad.mp4 is empty"),
        (make_sound, r"bad.mp4 has no video stream \(streams: #0 audio pcm_s16le\); give a file with video"),
        (make_no_frames, "bad.mp4.* holds no frame"),
        (make_no_index, "bad.mp4 .*index"),
        (lambda clips, path: path.mkdir(), "bad.mp4 is a directory"),
    ],
    ids=["missing", "text", "noise", "empty", "sound", "no frames", "no index", "folder"],
)
@pytest.mark.parametrize("info", [False, True])
def test_bad_input(run, clips, tmp_path, make, text, info):
    if make:
        make(clips, tmp_path / "bad.mp4")
    before = sorted(os.listdir(tmp_path))
    code, out, err = run("bad.mp4", "out.mp4", *(["--info"] if info else []))
    check_refusal(code, out, err, 1, text)
    assert sorted(os.listdir(tmp_path)) == before


def check_refusal(code: int, out: str, err: str, expected: int, text: str) -> None:
    """Exactly one line, ours, that says what was expected; the exit code; nothing on stdout."""
    assert code == expected, err
    assert out == ""
    assert re.fullmatch(r"magfilter: [^\n]+\n", err), err
    assert re.search(text, err), err


NO_INPUT_NEEDED = [
    (["-a", "-1"], 2, "alpha must be a number of 0 or more.* got -1"),
    (["--alpha", "-3px"], 2, "more than 0 px, 1e-06 to 1e[+]06; got -3"),
    (["--alpha", "auto", "--alpha-end", "3"], 2, "cannot be chosen by the clip; give numbers"),
    (["--alpha", "nan"], 2, "alpha must be .* got nan"),
    (["--alpha=inf"], 2, "alpha must be .* got inf"),
    (["--alpha", "ten"], 2, "'--alpha': 'ten' is no factor; give a number"),
    (["--reference", "every:-2"], 2, "reference 'every:-2' is none of: first, previous, every:SECONDS"),
    (["--model", "best"], 1, "no model is called 'best'; shipped are: .*warp"),
    (["--model", "missing.onnx"], 1, "missing.onnx: no such model file"),
    (["--model", "garbage.onnx"], 1, "garbage.onnx: cannot be loaded as an ONNX model .*; download or export it again"),
    (["--model", "nothing.onnx"], 1, "nothing.onnx: "),
    (["--model", FOREIGN], 1, "not a magfilter model"),
    (["--backend", "tensorflow"], 2, "'tensorflow' is not one of 'auto', 'onnxruntime', 'onnxruntime-cpu', "),
    (["--device", "toaster"], 1, "'toaster'; choose --device cpu"),
    (["--proxy", "-1"], 2, "proxy must be 0"),
    (["--threads", "-1"], 2, "threads must be 0"),
    (["--max-error-rate", "2"], 2, "max_error_rate must be a share between 0 and 1"),
    (["-ss", "-1"], 2, "start must be 0 or more seconds"),
    (["-ss", "noon"], 2, "'noon' is not a time; give seconds"),
    (["-t", "0"], 2, "duration must be more than 0"),
    (["-t", "1:2:3:4"], 2, "'1:2:3:4' is not a time"),
    (["-c:v", "libx246"], 1, "unknown video encoder 'libx246'; did you mean .*libx264"),
    (["-c:v", "aac"], 1, "unknown video encoder 'aac'"),
    (["--pix-fmt", "yuv420"], 2, "unknown pixel format 'yuv420'; did you mean yuv420p"),
    (["-f", "mp5"], 2, "unknown output format 'mp5'"),
    (["-x", "tune"], 2, "'tune' is not KEY=VALUE"),
    (["-y", "-n"], 2, "-y and -n contradict each other"),
    (["--roi", "1,2,3"], 2, "roi '1,2,3' is not x,y,width,height.* such as 10,20,300,200:5"),
    (["--roi", "0,0,4,4:-1"], 2, "roi 0,0,4,4 has alpha -1"),
    (["--roi=-1,0,4,4"], 2, "roi -1,0,4,4 is no part of a picture"),
    (["--mask", "none.png"], 1, "none.png does not exist; check the path"),
    (["--mask", "garbage.onnx"], 1, "garbage.onnx is not media"),
    (["--alpha-map", "none.npy"], 1, "none.npy does not exist"),
    (["--alpha-map", "map.png"], 2, "alpha_map must be a .npy file, got map.png"),
    (["--mask-invert"], 2, "mask_invert has no mask to invert; give one with --mask FILE"),
    (["--mask-grow", "3"], 2, "mask_grow 3 has no mask to grow; give one with --mask FILE"),
    (["--mask-feather", "3"], 2, "mask_feather 3 has no edge to soften"),
    (["--mask", "none.png", "--mask-grow", "-3"], 2, "mask_grow must be 0 or more px, at most 1e[+]06; got -3"),
    (["--segment", "one"], 2, "segment .one. is not x,y in whole pixels"),
    (["--segment", "1,2", "--mask", "m.png"], 2, "choose one of --segment and --mask"),
    (["--band", "4:2"], 2, "band 4:2 is empty: LOW must be below HIGH; 2:4"),
    (["--band", "3"], 2, "band '3' is not LOW:HIGH in Hz, such as 2:4"),
    (["--band=-1:2"], 2, "band -1:2 is no band of frequencies"),
    (["--band", "2:4", "--fps", "8"], 2, "band 2:4 reaches 4 Hz, and 8 frames a second show motion only below 4 Hz"),
    (["--band", "2:4", "--reference", "previous"], 2, "previous measures velocity; use --reference first"),
    (["--notch", "2:3", "--notch", "x"], 2, "notch 'x' is not LOW:HIGH"),
    (["--fps", "1000"], 2, "fps 1000 is for band and notch only"),
    (["--max-shift", "0"], 2, "max_shift must be more than 0 px, 1e-06 to 1e[+]06; got 0"),
    (["--aplha", "3"], 2, "No such option.*--alpha"),
    (["-crf", "18"], 2, "-crf takes two dashes here: --crf"),
    (["-pix_fmt", "yuv420p"], 2, "-pix_fmt takes two dashes here: --pix-fmt"),
    (["-preset=fast"], 2, "-preset takes two dashes here: --preset"),
    (["-threads", "2"], 2, "-threads takes two dashes here: --threads"),
    (["-vcodec", "ffv1"], 2, "-vcodec is -c:v here"),
    (["-profile:v", "high"], 2, "-profile:v is -x profile=VALUE here"),
    (["-vf", "scale=2:2"], 2, "-vf is not there: filter with ffmpeg"),
    (["-vn"], 2, "-vn would leave nothing to magnify"),
    (["-map", "0"], 2, "No such option '-map'"),
    (["a third name"], 2, "unexpected extra argument"),
]


@pytest.mark.parametrize(("options", "expected", "text"), NO_INPUT_NEEDED, ids=[str(c[0][:2]) for c in NO_INPUT_NEEDED])
def test_options_are_refused_before_the_input_is_opened(run, tmp_path, options, expected, text):
    (tmp_path / "garbage.onnx").write_bytes(b"\x08\x07garbage" * 100)
    (tmp_path / "nothing.onnx").write_bytes(b"")
    before = sorted(os.listdir(tmp_path))
    check_refusal(*run("not-there.mp4", "out.mp4", *options), expected, text)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "words", [["-an"], ["-yq"], ["-a10", "-t5"], ["-ss", "-0"], ["-fnut", "-c:v", "ffv1"]], ids=str
)
def test_what_begins_with_one_dash_and_may(run, words):
    check_refusal(*run("not-there.mp4", "out.mp4", *words), 1, "not-there.mp4 does not exist")


def test_two_dashes_stand_before_names(run, tmp_path):
    check_refusal(*run("--", "-crf", "out.mp4"), 1, "-crf does not exist")


def test_engines_that_are_not_there(run, monkeypatch):
    """An explicit choice never falls back: it says what to install."""
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    check_refusal(*run("not-there.mp4", "out.mp4", "--device", "cuda"), 1, "this onnxruntime has no CUDA; pip ")
    monkeypatch.delitem(sys.modules, "magfilter.backends.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    check_refusal(*run("not-there.mp4", "out.mp4", "--backend", "torch"), 1, "pip install torch")


def test_too_few_names(run):
    check_refusal(*run(), 2, "Missing argument 'IN'")
    check_refusal(*run("in.mp4"), 2, "no output was given; write magfilter IN OUT")


@pytest.mark.parametrize(
    ("target", "options", "expected", "text"),
    [
        ("in.mp4", [], 1, "in.mp4 is the input; give the output another name"),
        ("in.mp4", ["-y"], 1, "in.mp4 is the input"),
        ("link.mp4", ["-y"], 1, "link.mp4 is the input"),
        ("old.mp4", [], 1, "old.mp4 already exists; use -y to overwrite it"),
        ("old.mp4", ["-n"], 1, "old.mp4 already exists"),
        ("no/out.mp4", [], 1, "the folder no does not exist; create it first"),
        ("out", [], 1, "no suffix; end it in .mp4"),
        ("out.docx", [], 1, "'.docx' names no video format"),
        (".", [], 1, "is a directory|no suffix"),
        ("out.mkv", ["--crf", "20", "-c:v", "ffv1"], 2, "--crf does not apply to ffv1"),
        ("out.mkv", ["--crf", "99"], 2, "--crf of libx264 goes from 0"),
        ("out.mkv", ["-x", "tunes=film"], 1, "libx264 has no option 'tunes'; did you mean tune"),
        ("out.mkv", ["-x", "tune=movie"], 1, "libx264 rejects tune=movie"),
        ("out.mkv", ["--reference", "frame:10"], 2, "frame:10 lies beyond the end: the input has 10 frames, 0 to 9"),
        ("out.mkv", ["--roi", "60,0,5,48"], 2, "roi 60,0,5,48 reaches to column 65 and row 48, outside .* of 64x48"),
        ("out.mkv", ["--mask", "square.npy"], 2, "square.npy is 48x48 and the picture 64x48, another aspect"),
        ("out.mkv", ["--band", "5:12.5"], 2, "band 5:12.5 reaches 12.5 Hz, and 25 frames .* below 12.5 Hz; .*--fps"),
        ("out.mkv", ["-ss", "9"], 1, "in.mp4 ends before the start"),
    ],
)
def test_refused_jobs_leave_nothing(run, clips, tmp_path, target, options, expected, text):
    source = Path(clips("in.mp4"))
    (tmp_path / "old.mp4").write_bytes(b"old")
    (tmp_path / "link.mp4").symlink_to(source)
    np.save(tmp_path / "square.npy", np.ones((48, 48)))
    data, before = source.read_bytes(), sorted(os.listdir(tmp_path))
    check_refusal(*run("in.mp4", target, *options), expected, text)
    assert sorted(os.listdir(tmp_path)) == before
    assert source.read_bytes() == data
    assert (tmp_path / "old.mp4").read_bytes() == b"old"


def test_odd_size_names_the_fix(run, clips, tmp_path):
    clips("in.mkv", codec="ffv1", size=(65, 49), frames=2)
    check_refusal(*run("in.mkv", "out.mp4"), 1, "odd width 65 and height 49; use --pix-fmt yuv444p or -c:v ffv1")
    code, _, _ = run("in.mkv", "out.mp4", "--pix-fmt", "yuv444p")
    assert code == 0
    assert frames(tmp_path / "out.mp4")[0].width == 65


def test_truncated(run, clips, tmp_path):
    source = cut(clips("in.mkv", frames=50, codec="ffv1", noise=True), 0.5)
    code, out, err = run(source, "out.mkv", "-a", 1)
    lines = err.splitlines()
    assert (code, out) == (69, "")
    assert [line for line in lines if line.startswith("magfilter: ") and "warning" not in line] == [lines[-1]]
    assert "frames could not be read" in lines[-1]
    assert "raise --max-error-rate" in lines[-1]
    assert any("warning" in line and "cut short or damaged" in line for line in lines)
    assert len(frames(tmp_path / "out.mkv")) >= 20
    code, _, err = run(source, "out.mkv", "-a", 1, "-y", "--max-error-rate", 0.6)
    assert code == 0
    assert "magfilter: warning: " in err


def test_truncated_within_the_tolerance(run, clips, tmp_path):
    source = cut(clips("in.mkv", frames=50, codec="ffv1", noise=True), 0.94)
    code, _, err = run(source, "out.mkv", "-a", 1)
    assert code == 0
    assert "cut short or damaged" in err
    assert 45 <= len(frames(tmp_path / "out.mkv")) < 50


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_disk_full(run, clips, tmp_path):
    clips("in.mp4", frames=30, noise=True)
    check_refusal(*run("in.mp4", "/dev/full", "-y", "-f", "nut", "-a", 1, "-q"), 1, "/dev/full: the disk is full")
    with open("/dev/full", "wb") as full:
        code, err = end(start("in.mp4", "-", "-a", 1, "-q", stdout=full, cwd=tmp_path))
    check_refusal(code, "", err, 1, "the disk is full")
    assert os.path.exists("/dev/full")


def test_disk_full_half_way(clips, tmp_path):
    """A file that may not grow any more, as on a full disk: nothing stays, the old file included."""
    clips("in.mp4", frames=30, noise=True)
    (tmp_path / "out.mkv").write_bytes(b"old")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # noqa: E731
    code, err = end(start("in.mp4", "out.mkv", "-y", "-a", 1, "-q", preexec_fn=limit, cwd=tmp_path))
    check_refusal(code, "", err, 1, "out.mkv cannot be written: File too large")
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "out.mkv"]
    assert (tmp_path / "out.mkv").read_bytes() == b"old"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("magfilter", ["--help"]),
        ("magfilter", ["in.mp4", "--info"]),
        ("magfilter.measure", ["in.mp4", "-o", "-", "-q"]),
        ("magfilter.find", ["in.mp4", "-q"]),
    ],
)
def test_standard_output_on_a_full_disk(clips, tmp_path, module, options, buffered):
    clips("in.mp4", frames=20)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": buffered}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", module, *options], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
        )
    last = done.stderr.decode().splitlines()[-1]
    assert "standard output cannot be written: no space left on device; free some space" in last
    assert "Traceback" not in done.stderr.decode()
    assert done.returncode == 1


def test_disk_full_in_the_middle_of_a_picture(clips, tmp_path):
    """What libav had begun goes; what something else left under such a name stays."""
    clips("in.mp4", frames=30, noise=True, size=(320, 240))
    (tmp_path / "p0009.png.tmp").write_bytes(b"another's")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # noqa: E731
    code, err = end(start("in.mp4", "p%04d.png", "-a", 1, "-q", preexec_fn=limit, cwd=tmp_path))
    check_refusal(code, "", err, 1, "p%04d.png cannot be written: File too large")
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "p0009.png.tmp"]


def test_a_bug_is_one_line_too(run, clips, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("magfilter.magnifier.Magnifier.measure", broken)
    clips("in.mp4")
    check_refusal(*run("in.mp4", "out.mp4"), 1, r"internal error \(RuntimeError: two lines\)")
    code, _, err = run("in.mp4", "out.mp4", "-v")
    assert code == 1
    assert "Traceback" in err
    assert os.listdir(tmp_path) == ["in.mp4"]


# ---- options as ffmpeg spells them


def test_spelling_of_ffmpeg(run, clips, tmp_path):
    clips("in.mp4", frames=100, audio=("eng",))
    (tmp_path / "out.mkv").write_bytes(b"old")
    code, out, err = run("in.mp4", "out.mkv", "-c:v", "ffv1", "-ss", "1", "-t", "2", "-an", "-y", "-a", "2.5")
    assert (code, out) == (0, "")
    assert err.startswith("50 frames in 0:0")
    with VideoReader(tmp_path / "out.mkv") as reader:
        assert [(s.type, s.codec) for s in reader.info.streams] == [("video", "ffv1")]
        assert "alpha=2.5" in str(reader.info.metadata)
    assert [f.time for f in frames(tmp_path / "out.mkv")] == pytest.approx([i / 25 for i in range(50)])


def test_options_may_stand_anywhere(run, clips, tmp_path):
    clips("in.mp4", frames=30)
    code, _, _ = run("-a10", "-f", "nut", "-ss", "0:00:01", "in.mp4", "-q", "-x", "g=5", "-x", "tune=film",
                     "-c:v", "libx264", "--preset", "ultrafast", "--crf", "30", "--", "out.bin")  # fmt: skip
    assert code == 0
    with VideoReader(tmp_path / "out.bin") as reader:
        assert (reader.info.format, reader.info.codec) == ("nut", "h264")
    assert len(frames(tmp_path / "out.bin")) == 5


@pytest.mark.parametrize("name", ["colon: a %d.mp4", "-dash.mp4", "ünï.mp4"])
def test_odd_names(run, clips, tmp_path, name):
    os.replace(clips("in.mp4", frames=2), tmp_path / name)
    code, _, _ = run("-a", 1, "--", name, "out " + name)
    assert code == 0
    assert len(frames(tmp_path / ("out " + name))) == 2


# ---- what it says


def test_info(run, clips, tmp_path):
    clips("in.mp4", frames=10, audio=("eng",))
    code, out, err = run("in.mp4", "--info", "--alpha", 20)
    assert (code, err) == (0, "")
    for text in (f"magfilter {__version__}", "64x48 yuv420p h264, 25 fps, 10 frames", "#1 audio aac [eng]: copied",
                 "model    warp-light (", "engine   onnxruntime-cpu on cpu, fp32 (auto: ",
                 "alpha 20, reference first"):  # fmt: skip
        assert text in out
    assert "\noutput" not in out
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_targets_from_the_command_line(run, clips, tmp_path):
    """Mask, regions and their edges in one line: told by --info, done, and written into the file."""
    clips("in.mkv", codec="ffv1", frames=4)
    np.save("cat.npy", np.ones((48, 64)) * (np.arange(64) < 20))
    words = ["--mask", "cat.npy", "--mask-grow", 4, "--mask-feather", 2, "--roi", "50,30,8,8:3", "--roi", "0,0,1,1"]
    code, out, err = run("in.mkv", "--info", "--mask", "cat.npy", "--mask-invert")
    assert (code, err) == (0, "")
    assert "targets  mask cat.npy, inverted; alpha 1 to 10, other than 1 on 68.8% of the picture" in out
    code, out, err = run("in.mkv", "out.mkv", "-a", 20, *words, "--info")
    assert (code, err) == (0, "")
    assert "targets  mask cat.npy, grown by 4 px; region 50,30,8,8:3; region 0,0,1,1; soft edge of 2 px; alpha 1" in out
    assert run("in.mkv", "out.mkv", "-a", 20, "-q", "-c:v", "ffv1", *words) == (0, "", "")
    with VideoReader(tmp_path / "out.mkv") as reader:
        assert "mask=cat.npy mask_grow=4 mask_feather=2 roi=50,30,8,8:3 roi=0,0,1,1" in str(reader.info.metadata)
    code, out, _ = run("in.mkv", "--info")
    assert "targets" not in out


def test_frequencies_from_the_command_line(run, clips, tmp_path):
    """Told by --info, done, and written into the file."""
    clips("in.mkv", codec="ffv1", frames=4)
    words = ["--band", "2:4", "--notch", "3:3.5", "--notch", "3.6:3.7", "--fps", 1000, "--detrend", "--max-shift", 5]
    words += ["--smooth", 16]
    code, out, err = run("in.mkv", "--info", *words)
    assert (code, err) == (0, "")
    lines = ["only 2 to 4 Hz", "not 3 to 3.5 Hz", "not 3.6 to 3.7 Hz, at 1000 frames a second (--fps)",
             "not the camera's", "shifted by 5 px at most", "averaged over 16 px within things"]  # fmt: skip
    assert "\n".join(f"           {line}" for line in lines) in out
    assert run("in.mkv", "out.mkv", "-q", "-c:v", "ffv1", *words) == (0, "", "")
    with VideoReader(tmp_path / "out.mkv") as reader:
        assert "band=2:4 notch=3:3.5 notch=3.6:3.7 fps=1000 max_shift=5 smooth=16 detrend" in str(reader.info.metadata)
    assert "only 2 to 4 Hz, at 25 frames a second\n" in run("in.mkv", "--info", "--band", "2:4")[1] + "\n"


def test_alpha_by_the_clip(run, clips, tmp_path):
    clips("in.mkv", codec="ffv1", frames=6)
    code, out, err = run("in.mkv", "--info", "--alpha", "3px")
    assert code == 0
    alpha = re.match(r"alpha ([0-9.]+): the largest motion found, [0-9.]+ px, ", err)[1]
    assert f"motion   alpha {alpha}, reference first" in out
    code, out, err = run("in.mkv", "out.mkv", "-a", "3px", "-c:v", "ffv1")
    assert (code, out) == (0, "")
    assert err.startswith(f"alpha {alpha}: ")
    with VideoReader(tmp_path / "out.mkv") as reader:
        assert f"alpha={alpha} " in str(reader.info.metadata)
    assert run("in.mkv", "out.mkv", "-y", "-q", "-a", "auto", "-c:v", "ffv1") == (0, "", "")
    check_refusal(*run("-", "out2.mkv", "-a", "auto"), 2, "a pipe cannot give; give a number")


def test_ramps_and_references_from_the_command_line(run, clips, tmp_path):
    """Told by --info, done, and written into the file."""
    clips("in.mkv", codec="ffv1", frames=6)
    words = ["--alpha-key", "0:01=20", "--alpha-key", "0=1", "--reference", "mean:2", "--reanchor", "auto"]
    code, out, err = run("in.mkv", "--info", *words)
    assert (code, err) == (0, "")
    assert "motion   alpha 1 at 0 s, 20 at 1 s, reference mean:2, new at shot cuts, and once motion outgrows" in out
    assert run("in.mkv", "out.mkv", "-q", "-c:v", "ffv1", *words) == (0, "", "")
    with VideoReader(tmp_path / "out.mkv") as reader:
        said = str(reader.info.metadata)
    assert "alpha=1 model=warp-light reference=mean:2 alpha_keys=0=1,1=20 reanchor=auto" in said
    assert "alpha 10 at 0 s, 0 at 0.2 s" in run("in.mkv", "--info", "--alpha-end", 0)[1]
    code, _, err = run("in.mkv", "out2.mkv", "--alpha-end", 5000)
    assert code == 0
    assert "magfilter: warning: alpha 5000 makes 50 px of an error of 0.01 px" in err


@pytest.mark.parametrize("key", ["3", "=3", "x=3", "1=y", "1=2=3"])
def test_what_is_no_keyframe(run, clips, key):
    clips("in.mkv", codec="ffv1", frames=2)
    code, _, err = run("in.mkv", "out.mkv", "--alpha-key", key)
    assert code == 2
    assert f"{key!r} is not TIME=ALPHA" in err or f"{key.split('=')[0]!r} is not a time" in err


def test_masks_that_end_early_are_told(run, clips):
    clips("in.mkv", codec="ffv1", frames=6)
    clips("masks.mkv", codec="ffv1", frames=3)
    code, _, err = run("in.mkv", "out.mkv", "--mask", "masks.mkv", "--reference", "previous")
    assert code == 0
    warning = "magfilter: warning: masks.mkv ends after 3 frames; its last mask is kept for those that follow"
    assert err.splitlines().count(warning) == 1


def test_info_about_an_output_writes_nothing(run, clips, tmp_path):
    clips("in.mkv", frames=10, audio=("eng",), subtitle="subrip")
    (tmp_path / "out.webm").write_bytes(b"old")
    (tmp_path / ".out.webm.part").write_bytes(b"a running job's")
    code, out, err = run("in.mkv", "out.webm", "--info", "-an")
    assert (code, err) == (0, "")
    for text in ("output   out.webm: webm, libvpx-vp9 yuv420p", "#1 audio aac [eng]: left out",
                 "stream #2 subtitle subrip [fra] is left out", "out.webm already exists; use -y"):  # fmt: skip
        assert text in out
    assert (tmp_path / "out.webm").read_bytes() == b"old"
    assert (tmp_path / ".out.webm.part").read_bytes() == b"a running job's"
    assert "output   stdout: matroska, rawvideo yuv420p" in run("in.mkv", "-", "-f", "mkv", "--info")[1]


def test_version_and_help(run):
    assert run("--version") == (0, f"magfilter, version {__version__}\n", "")
    code, out, err = run("-h")
    assert (code, err) == (0, "")
    for text in ("Usage: magfilter [OPTIONS] IN", "-c:v", "-ss", "-an", "Exit codes", "69", "130", "first|previous"):
        assert text in out


def test_quiet_and_verbose(run, clips):
    clips("in.mkv", frames=3, subtitle="subrip")
    assert run("in.mkv", "a.webm", "-q") == (0, "", "")
    code, out, err = run("in.mkv", "b.webm", "-v")
    assert (code, out) == (0, "")
    lines = err.splitlines()
    assert lines[0] == f"magfilter {__version__}"
    said = [line for line in lines if "subtitle subrip [fra] is left out" in line]
    assert len(said) == 1
    assert said[0].startswith("magfilter: warning: stream #1")
    assert any("libvpx-vp9" in line for line in lines)
    assert lines[-1].startswith("work: decode ")
    assert "\r" not in err


def test_bar_on_a_real_terminal(clips, tmp_path):
    clips("in.mp4", frames=100)
    ours, theirs = pty.openpty()
    process = start("in.mp4", "out.mp4", stderr=theirs, cwd=tmp_path)
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 1000)
        except OSError:  # how Linux says that the other side has gone
            break
    os.close(ours)
    assert process.wait(20) == 0
    assert b"\r[#" in seen
    assert b" fps  ETA 0:0" in seen
    assert seen.splitlines()[-1].startswith(b"100 frames in ") or b"\r100 frames in " in seen


def test_media_are_not_shown_on_a_terminal(clips, tmp_path):
    clips("in.mp4", frames=2)
    ours, theirs = pty.openpty()
    code, err = end(start("in.mp4", "-", stdout=theirs, cwd=tmp_path))
    check_refusal(code, "", err, 2, "stdout is a terminal; pipe it")
    code, err = end(start("-", "out.mp4", stdin=theirs, cwd=tmp_path))
    check_refusal(code, "", err, 2, "stdin is a terminal; pipe a video into it")
    os.close(ours)
    os.close(theirs)


# ---- pipes


@needs_ffmpeg
@pytest.mark.parametrize("format", ["nut", "matroska", "y4m"])
def test_between_two_ffmpegs(clips, tmp_path, format):
    source = clips("in.mp4", frames=20, size=(96, 64), audio=("eng",) if format != "y4m" else ())
    name = {"y4m": "yuv4mpegpipe"}.get(format, format)
    feed = ["ffmpeg", "-v", "error", "-i", source, "-c:v", "rawvideo", "-c:a", "copy", "-f", name, "-"]
    take = ["ffmpeg", "-v", "error", "-f", name, "-i", "-", "-map", "0", "-c", "copy", "-f", "framecrc", "-"]
    if format == "y4m":
        feed[feed.index("rawvideo")] = "wrapped_avframe"
    first = subprocess.Popen(feed, stdout=subprocess.PIPE)
    ours = start("-", "-", "-f", format, "--alpha", 5, stdin=first.stdout, stdout=subprocess.PIPE)
    last = subprocess.Popen(take, stdin=ours.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first.stdout.close()
    ours.stdout.close()
    out, complaints = last.communicate(timeout=60)
    code, err = end(ours)
    assert first.wait(10) == 0
    assert (code, last.returncode, complaints) == (0, 0, b"")
    rows = [line.split(b",") for line in out.splitlines() if not line.startswith(b"#")]
    assert sum(row[0] == b"0" for row in rows) == 20
    assert any(row[0] == b"1" for row in rows) == (format != "y4m")
    assert err.startswith("20 frames in ")


def test_a_pipe_that_brings_no_video(tmp_path):
    process = start("-", tmp_path / "out.mp4", stdin=subprocess.PIPE)
    process.stdin.write(b"no video at all\n" * 20)
    code, err = end(process)
    check_refusal(code, "", err, 1, "- is not media that libav can read.*name the format with --input-format")
    assert os.listdir(tmp_path) == []


class Feeder:
    """Writes a raw video into a pipe, frame by frame, as a camera would."""

    def __init__(self, pipe, format: str = "nut", size: tuple[int, int] = (64, 48)) -> None:
        self.pipe, self.size, self.sent = pipe, size, 0
        self.out = av.open(pipe, "w", format=format, container_options={"flush_packets": "1"})
        self.stream = self.out.add_stream("rawvideo", rate=25, time_base=Fraction(1, 25))
        self.stream.width, self.stream.height, self.stream.pix_fmt = *size, "yuv420p"

    def send(self, count: int = 1) -> None:
        for _ in range(count):
            frame = picture(self.sent, *self.size, noise=True)
            frame.pts, frame.time_base = self.sent, Fraction(1, 25)
            self.out.mux(self.stream.encode(frame))
            self.pipe.flush()
            self.sent += 1


def test_an_index_at_the_end_of_a_pipe_is_told(clips, tmp_path):
    clip = clips("in.mp4", size=(320, 240), frames=30, noise=True, options={"crf": "5"})  # more than libav holds
    with open(clip, "rb") as pipe:
        cat = subprocess.Popen(["cat"], stdin=pipe, stdout=subprocess.PIPE)
    code, err = end(start("-", "out.mkv", stdin=cat.stdout, cwd=tmp_path))
    check_refusal(code, "", err, 1, "name the file, or write it with .*-movflags .faststart")


@pytest.mark.parametrize("format", ["nut", "matroska", "y4m"])
def test_first_frame_out_before_the_last_in(tmp_path, format):
    process = start("-", "-", "-f", format, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    received = bytearray()

    def drain() -> None:
        while chunk := process.stdout.read1(1 << 20):
            received.extend(chunk)

    thread = threading.Thread(target=drain)
    thread.start()
    feeder = Feeder(process.stdin, "yuv4mpegpipe" if format == "y4m" else format)
    size = 64 * 48 * 3 // 2
    try:
        for count in range(1, 8):
            feeder.send()
            # The demuxer holds a frame until it sees the next, and so does a Matroska muxer.
            wait_for(lambda due=count - 2: len(received) >= due * size)
    finally:
        feeder.out.close()
        process.stdin.close()
        code = process.wait(20)
        thread.join()
        err = process.stderr.read().decode()
        process.stdout.close()
        process.stderr.close()
    assert code == 0, err
    target = tmp_path / "out"
    target.write_bytes(received)
    assert len(frames(target)) == 7


@pytest.mark.parametrize("format", ["nut", "matroska"])
def test_a_reader_that_leaves_ends_us_quietly(clips, tmp_path, format):
    source = clips("in.mp4", frames=60, size=(160, 120))
    process = start(source, "-", "-f", format, "-a", 1, stdout=subprocess.PIPE)
    process.stdout.read(100_000)
    process.stdout.close()
    assert end(process) == (1, "")


def test_a_listener_that_leaves_stderr_does_not_stop_the_job(clips, tmp_path):
    source = clips("in.mp4", frames=5)
    process = start(source, tmp_path / "out.mp4", "-v")
    process.stderr.close()
    process.stderr = None
    assert end(process) == (0, "")
    assert len(frames(tmp_path / "out.mp4")) == 5


def test_closed_standard_streams(clips, tmp_path):
    """The output must not come to lie on descriptor 2 and be written progress into."""
    source = clips("in.mp4", frames=5)
    shut = lambda: [os.close(number) for number in (0, 1, 2)]  # noqa: E731
    process = start(source, tmp_path / "out.mp4", "-v", stderr=None, preexec_fn=shut)
    assert process.wait(20) == 0
    assert len(frames(tmp_path / "out.mp4")) == 5


@needs_ffmpeg
def test_named_pipes(clips, tmp_path):
    """A named pipe can be read once only: neither -v nor anything else may read it twice."""
    source = clips("in.mp4", frames=10)
    os.mkfifo(tmp_path / "fifo.nut")
    feed = subprocess.Popen(["ffmpeg", "-v", "error", "-y", "-i", source, "-c:v", "rawvideo", tmp_path / "fifo.nut"])
    code, err = end(start(tmp_path / "fifo.nut", tmp_path / "out.mp4", "-v"))
    assert (code, feed.wait(10)) == (0, 0), err
    assert len(frames(tmp_path / "out.mp4")) == 10


# ---- signals


PLAYABLE = [
    ("out.mp4", ["--preset", "ultrafast", "-x", "tune=zerolatency"]),
    ("out.mkv", ["-c:v", "ffv1"]),
]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("name", "options"), PLAYABLE)
def test_ctrl_c_leaves_a_playable_file(clips, tmp_path, number, name, options):
    source = clips("in.nut", frames=1500, codec="rawvideo", noise=True)
    process = start(source, tmp_path / name, *options)
    part = tmp_path / f".{name}.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    process.send_signal(number)
    code, err = end(process)
    assert code == 130, err
    assert err.startswith("stopping: finishing the file; Ctrl-C again to give up\n")
    assert ", stopped early" in err
    assert sorted(os.listdir(tmp_path)) == ["in.nut", name]
    assert 1 <= len(frames(tmp_path / name)) < 1500


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_while_a_pipe_keeps_us_waiting(tmp_path, number):
    process = start("-", tmp_path / "out.mp4", *PLAYABLE[0][1], stdin=subprocess.PIPE)
    feeder = Feeder(process.stdin)
    feeder.send(20)  # and then nothing more, for ever
    part = tmp_path / ".out.mp4.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(5) == 130
    err = process.stderr.read().decode()
    process.stderr.close()
    feeder.out.close()
    with pytest.raises(BrokenPipeError):
        process.stdin.close()
    assert "stopped early" in err
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == ["out.mp4"]
    assert 10 <= len(frames(tmp_path / "out.mp4")) <= 20


def test_ctrl_c_is_heard_however_long_its_handler_takes(tmp_path):
    """A queue whose time-out had run out meanwhile waited for ever: on a busy machine a Ctrl-C hung now and then."""
    slow = "import os, time\nwrite = os.write\nos.write = lambda *given: (time.sleep(0.4), write(*given))[1]"
    process = start("-", tmp_path / "out.mp4", *PLAYABLE[0][1], stdin=subprocess.PIPE, code=slow)
    feeder = Feeder(process.stdin)
    feeder.send(20)
    part = tmp_path / ".out.mp4.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(10) == 130
    finally:
        process.kill()
    process.stderr.close()
    feeder.out.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    assert 10 <= len(frames(tmp_path / "out.mp4")) <= 20


def test_ctrl_c_before_anything_came(tmp_path):
    opening = (
        "import magfilter.media.source as source\n"
        "real = source.open_input\n"
        "def open_input(*arguments):\n"
        "    print(1, flush=True)\n"
        "    return real(*arguments)\n"
        "source.open_input = open_input\n"
    )
    process = start("-", tmp_path / "out.mkv", stdin=subprocess.PIPE, code=opening, stdout=subprocess.PIPE)
    process.stdout.read(1)
    time.sleep(0.2)  # let it read the pipe
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    err = process.stderr.read().decode()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    assert "nothing was written" in err
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []


def test_second_ctrl_c_aborts_at_once(clips, tmp_path):
    source = clips("in.mp4", frames=200)
    (tmp_path / "out.mkv").write_bytes(b"old")
    slow = (
        "import pathlib, time, magfilter\n"
        "def finish(self):\n"
        "    pathlib.Path('finishing').touch()\n"
        "    time.sleep(60)\n"
        "magfilter.VideoWriter.finish = finish\n"
        "real = magfilter.VideoWriter.write\n"
        "def write(self, frame):\n"
        "    real(self, frame)\n"
        "    pathlib.Path('writing').touch()\n"  # before there is any frame, the first Ctrl-C would end it
        "magfilter.VideoWriter.write = write\n"
    )
    process = start(source, tmp_path / "out.mkv", "-y", code=slow, cwd=tmp_path)
    wait_for((tmp_path / "writing").exists)
    process.send_signal(signal.SIGINT)
    wait_for((tmp_path / "finishing").exists)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    code, err = end(process)
    assert time.monotonic() - begun < 20  # it would finish after 60
    assert code == 130
    assert "Traceback" not in err
    assert sorted(os.listdir(tmp_path)) == ["finishing", "in.mp4", "out.mkv", "writing"]
    assert (tmp_path / "out.mkv").read_bytes() == b"old"


def test_a_second_signal_leaves_whole_pictures_only(clips, tmp_path):
    source = clips("in.mp4", frames=200)
    slow = (
        "import time, pathlib, magfilter\n"
        "def finish(self):\n"
        "    pathlib.Path('p0900.png.tmp').touch()\n"  # as if libav were in the middle of one
        "    pathlib.Path('ready').touch()\n"
        "    time.sleep(60)\n"
        "magfilter.VideoWriter.finish = finish\n"
    )
    ready = "from magfilter.compiled import kernels\nkernels()"
    process = start(source, "p%04d.png", "-t", "0.2", code=slow + ready, cwd=tmp_path)
    wait_for((tmp_path / "ready").exists)
    assert (tmp_path / ".p%04d.png.lock").exists()
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    code, err = end(process)
    assert code == 130, err
    assert "Traceback" not in err
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", *(f"p000{n}.png" for n in range(1, 6)), "ready"]


def test_ctrl_c_while_nobody_reads(clips, tmp_path):
    """A full pipe blocks the encoder in C; the signals must come through all the same."""
    source = clips("in.mp4", frames=100, size=(160, 120))
    process = start(source, "-", "-a", 1, stdout=subprocess.PIPE)
    process.stdout.read(1)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None  # it waits for the reader, who may be slow
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    process.stdout.close()
    process.stderr.close()


# --- adaptation -----------------------------------------------------------------------------------


@pytest.fixture
def training(monkeypatch):
    """A stand-in for the training part, which needs torch: says what it was asked for, writes the shipped model."""
    asked: dict[str, object] = {"interrupted": False}

    def adapt(clip, out, **options):
        asked.update(options, clip=clip, out=out)
        sys.stderr.write("loss before and after\n")
        if clip.name == "bad.mp4":
            raise ValueError(f"{clip}: adaptation needs at least two frames, this has 1.")
        shutil.copy(find_model("warp"), out)
        return types.SimpleNamespace(interrupted=asked["interrupted"])

    monkeypatch.setitem(sys.modules, "trainer.adapt", types.SimpleNamespace(adapt=adapt))
    return asked


def test_adapt_from_a_pipe_is_refused(run, training, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    code, _, err = run("-", "out.mkv", "--adapt")
    assert code == 2
    assert "--adapt reads the clip twice" in err


def test_adapt_without_the_training_part_names_the_fix(run, clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "trainer.adapt", None)  # what Python leaves for a module that must not be found
    code, _, err = run(clips("in.mp4", frames=3), "out.mkv", "--adapt")
    assert code == 1
    assert 'pip install -e ".[train]"' in err
    assert not Path("out.mkv").exists()


def test_adapt_trains_on_the_part_asked_for_then_filters_with_the_result(run, clips, training):
    source = clips("in.mp4", frames=6)
    code, _, err = run(source, "out.mkv", "--adapt", "--adapt-minutes", "0.5", "-t", "0.2", "-v")
    assert code == 0
    assert training["minutes"] == 0.5
    assert training["duration"] == 0.2
    assert "loss before and after" in err
    assert str(training["out"]) in err  # -v names the model in use
    assert not training["out"].exists()  # and it is gone when it has served
    assert Path("out.mkv").exists()


def test_adapt_is_quiet_when_asked_and_fails_in_one_line(run, clips, training):
    source = Path(clips("bad.mp4", frames=3))
    code, _, err = run(source, "out.mkv", "--adapt", "-q")
    assert code == 1
    assert err.strip() == f"magfilter: {source}: adaptation needs at least two frames, this has 1."


def test_interrupted_adaptation_writes_nothing(run, clips, training):
    training["interrupted"] = True
    code, _, _ = run(clips("in.mp4", frames=3), "out.mkv", "--adapt")
    assert code == 130
    assert not Path("out.mkv").exists()
