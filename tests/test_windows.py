"""Windows and macOS, as far as they can be played here: files that are open, names, code pages, closed pipes."""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import av.error
import click
import pytest

from magfilter import command, locks
from magfilter.backends import choose, open_engine, sessions
from magfilter.command import run_command, stopping_signals, told_in_a_line
from magfilter.errors import BackendError, InputError, OutputError
from magfilter.measure import output
from magfilter.media import sequence, source
from magfilter.media import target as targets
from magfilter.media.sequence import ImageSequence, PictureFiles
from magfilter.media.target import PartFile, write_failed

ROOT = Path(__file__).parent.parent


class WindowsOs(types.ModuleType):
    """`os`, by another name."""

    name = "nt"

    def __getattr__(self, key: str) -> object:
        return getattr(os, key)


def is_open(path: str | os.PathLike[str]) -> bool:
    """Whether this process has the file open."""
    try:
        wanted = os.stat(path)
    except OSError:
        return False
    for handle in os.listdir("/proc/self/fd"):
        try:
            if os.path.samestat(os.stat(f"/proc/self/fd/{handle}"), wanted):
                return True
        except OSError:
            continue
    return False


@pytest.fixture
def windows(monkeypatch):
    """Nothing that is open can be renamed, replaced or removed; returns the names that it was tried with."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc to see which files are open")
    refused: list[str] = []

    def strict(name: str, count: int) -> None:
        plain = getattr(os, name)

        def call(*arguments, **options):
            for path in arguments[:count]:
                if is_open(path):
                    refused.append(Path(path).name)
                    raise PermissionError(errno.EACCES, "Access is denied", os.fspath(path))
            return plain(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    for name, count in (("replace", 2), ("rename", 2), ("unlink", 1), ("remove", 1)):
        strict(name, count)
    monkeypatch.setattr(targets, "os", WindowsOs("os"))
    monkeypatch.setattr(command, "os", WindowsOs("os"))
    monkeypatch.setattr(targets, "_PAUSES", (0.0, 0.0), raising=False)
    return refused


def test_an_output_that_is_open_elsewhere_costs_no_work(windows, tmp_path):
    target = tmp_path / "out.mp4"
    target.write_text("old")
    part = PartFile(str(target), "in", True)
    part.path.write_text("new")
    with target.open("rb") as player, pytest.raises(OutputError) as told:
        part.commit()
    part.discard()
    assert player.closed
    assert str(told.value) == (
        f"{target} cannot be replaced (Access is denied), as where a player has it open, and is left alone; "
        f"this output is {tmp_path / 'out (2).mp4'}"
    )
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"out.mp4": "old", "out (2).mp4": "new"}
    part = PartFile(str(target), "in", True)  # and once it is closed, it is replaced
    part.path.write_text("newest")
    part.commit()
    assert target.read_text() == "newest"


def test_a_virus_scanner_is_waited_for(windows, tmp_path, monkeypatch):
    target = tmp_path / "out.mp4"
    part = PartFile(str(target), "in", False)
    part.path.write_text("new")
    scanner = part.path.open("rb")
    monkeypatch.setattr(targets.time, "sleep", lambda seconds: scanner.close())
    part.commit()
    assert windows == [".out.mp4.part"]
    assert target.read_text() == "new"


def test_a_part_file_that_cannot_be_removed_hides_no_error(windows, tmp_path):
    part = PartFile(str(tmp_path / "out.mp4"), "in", False)
    with part.path.open("rb"):
        part.discard()
    assert windows == [".out.mp4.part"]
    part = PartFile(str(tmp_path / "out.mp4"), "in", False)  # the next job takes it over
    part.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_second_ctrl_c_ends_at_once(windows, tmp_path, monkeypatch):
    """Also where the file that is being written cannot be removed."""
    part = PartFile(str(tmp_path / "out.mp4"), "in", False)
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    stop = threading.Event()
    with stopping_signals(stop, part.target, quiet=True):
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        assert not ended
        signal.raise_signal(signal.SIGINT)
    assert ended == [130]
    assert windows == [".out.mp4.part"]
    part.discard()


def test_a_lock_that_somebody_looks_at_does_no_harm(windows, tmp_path, monkeypatch):
    monkeypatch.setattr(sequence, "os", WindowsOs("os"))
    files = PictureFiles(str(tmp_path / "shot.%04d.png"), "in.mp4", False, None)
    (tmp_path / "shot.0001.png").write_bytes(b"picture")
    with (tmp_path / ".shot.%04d.png.lock").open("rb"):
        files.commit()
    assert windows == [".shot.%04d.png.lock"]
    PictureFiles(str(tmp_path / "shot.%04d.png"), "in.mp4", True, None).commit()
    assert [path.name for path in tmp_path.iterdir()] == ["shot.0001.png"]


def on_windows(locking) -> types.ModuleType:
    """`magfilter.locks` as it is on Windows, with this for msvcrt.locking."""
    fake = types.ModuleType("msvcrt")
    fake.LK_NBLCK, fake.locking = 2, locking
    module = types.ModuleType("locks_of_windows")
    source = Path(locks.__file__).read_text("utf-8")
    platform = types.ModuleType("sys")
    platform.platform = "win32"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "msvcrt", fake)
        patch.setitem(sys.modules, "fcntl", None)
        patch.setitem(sys.modules, "sys", platform)
        exec(compile(source, locks.__file__, "exec"), module.__dict__)
    return module


def test_drives_that_know_no_locks_or_no_files_by_number(tmp_path):
    def locking(handle: int, mode: int, count: int) -> None:
        assert os.lseek(handle, 0, os.SEEK_CUR) > 1 << 32  # beyond what any file here reaches
        raise OSError(code, os.strerror(code))

    def no_numbers(handle: int) -> None:
        raise OSError(errno.EINVAL, "The parameter is incorrect")  # Python 3.12.0, on exFAT

    module = on_windows(locking)
    module.os = WindowsOs("os")
    module.os.fstat = no_numbers
    code = errno.EINVAL
    with module.hold(tmp_path / "part") as held:
        assert held.write(b"text") == 4
    code = errno.EACCES  # what is locked
    assert module.hold(tmp_path / "part") is None


@pytest.mark.parametrize("name", ["Shot.%04d.png", "shot.%04d.PNG", "shot.%04d.png"])
def test_pictures_where_capitals_make_no_other_name(tmp_path, monkeypatch, name):
    """As on Windows and macOS: a name is found however it is written, and listed as it was made."""
    made = [f"shot.{number:04}.png" for number in (7, 8)]
    for one in made:
        (tmp_path / one).write_bytes(b"picture")
        for other in {one.capitalize(), one.replace("png", "PNG")} - {one}:
            os.link(tmp_path / one, tmp_path / other)
    monkeypatch.setattr(os, "listdir", lambda folder: made)
    pattern = str(tmp_path / name)
    found = ImageSequence.find(pattern)
    assert (found.first, found.last) == (7, 8)
    with pytest.raises(OutputError, match="2 such pictures already exist, from number 7 on; use -y"):
        PictureFiles.check(pattern, "in.mp4", False)
    with pytest.raises(OutputError, match="is the input; give the output another name"):
        PictureFiles.check(pattern, str(tmp_path / "shot.%04d.png"), True)


def test_pictures_where_capitals_make_another_name(tmp_path):
    (tmp_path / "shot.0001.png").write_bytes(b"picture")
    other = str(tmp_path / "Shot.%04d.png")
    with pytest.raises(InputError, match="no file is numbered like that"):
        ImageSequence.find(other)
    PictureFiles.check(other, str(tmp_path / "shot.%04d.png"), False)


@pytest.mark.parametrize("page", ["cp1252", "cp437", "cp1251"])
def test_code_pages(page):
    """stdout in a file or pipe is in the machine's code page, which holds neither every name nor ×."""
    code = "import click; from magfilter.command import run_command\n"
    code += "run_command(click.Command('x', callback=lambda: click.echo('× 2: мост, ビデオ')), 'x', [])"
    environment = {**os.environ, "PYTHONIOENCODING": page, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\\u30d3" in done.stdout.decode(page)


def test_a_table_on_stdout_is_the_file_to_the_byte(tmp_path, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "cp1252", newline="\r\n"))  # Windows'
    for name in ("-", str(tmp_path / "table.csv")):
        output.write_table(name, "in.mp4", ["of мост.mp4"], {"number": [1.0, 2.5], "name": ["a", "мост"]})
    assert raw.getvalue() == (tmp_path / "table.csv").read_bytes()
    assert raw.getvalue() == "# of мост.mp4\nnumber,name\n1,a\n2.5,мост\n".encode()


class ClosedPipe(io.StringIO):
    """stdout whose reader has gone, on Windows."""

    def write(self, text: str) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    def fileno(self) -> int:
        raise OSError("none")


def test_a_closed_pipe_is_no_error(windows, monkeypatch, capfd):
    @click.command()
    def talking() -> None:
        with told_in_a_line(False):
            click.echo("found")

    monkeypatch.setattr(sys, "stdout", ClosedPipe())
    with pytest.raises(SystemExit) as ended:
        run_command(talking, "x", [])
    assert ended.value.code == 1
    assert capfd.readouterr().err == ""

    @click.command()
    def failing() -> None:
        with told_in_a_line(False):
            raise OSError(errno.EINVAL, "Invalid argument", "what?.npy")

    with pytest.raises(SystemExit) as ended:
        run_command(failing, "x", [])
    assert "internal error (OSError: [Errno 22] Invalid argument: 'what?.npy')" in capfd.readouterr().err


def test_what_libav_says_of_a_closed_pipe(windows):
    told = str(write_failed("-", av.error.ArgumentError(errno.EINVAL, "Invalid argument")))
    assert told.startswith("- cannot be written: Invalid argument, which is what Windows says where its reader has")
    told = str(write_failed("out.mp4", av.error.ArgumentError(errno.EINVAL, "Invalid argument")))
    assert "Windows" not in told


def test_names_with_brackets_are_names(tmp_path, monkeypatch):
    """click expands patterns where the shell does not."""
    (tmp_path / "clip1.mp4").write_bytes(b"")
    monkeypatch.setattr(click.core, "os", WindowsOs("os"))
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / "clip[1].mp4")])
    given: list[str] = []

    @click.command()
    @click.argument("source")
    def naming(source: str) -> None:
        given.append(source)

    monkeypatch.setattr(command, "keep_freed_memory", lambda: None)
    with pytest.raises(SystemExit):
        run_command(naming, "x")
    assert given == [str(tmp_path / "clip[1].mp4")]


def test_powershell_is_named_where_it_may_have_changed_the_stream(windows, monkeypatch):
    error = av.error.InvalidDataError(errno.EINVAL, "Invalid data found")
    assert "PowerShell" not in str(source._open_failed("-", error))
    monkeypatch.setattr(source, "os", WindowsOs("os"))
    assert str(source._open_failed("-", error)).endswith(
        "--input-format; PowerShell before 7.4 takes what it pipes for text and changes it, cmd does not"
    )
    assert "PowerShell" not in str(source._open_failed("in.mp4", error))


def test_nothing_is_reported_on_windows():
    code = "import onnxruntime; told = []; onnxruntime.disable_telemetry_events = lambda: told.append(1)\n"
    code += "import magfilter.backends.sessions; assert told == [1]"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_what_onnxruntime_lacks_on_windows_is_named(monkeypatch):
    failed = "DLL load failed while importing onnxruntime_pybind11_state: The specified module could not be found."
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(builtins, "__import__", failing("onnxruntime", ImportError(failed)))
    source = Path(sessions.__file__).read_text("utf-8")
    with pytest.raises(
        BackendError, match=r"install the newest Microsoft Visual C\+\+ Redistributable; if that is not"
    ):
        exec(compile(source, sessions.__file__, "exec"), {"__name__": "sessions_of_windows"})


def failing(module: str, error: Exception):
    """`__import__` for which one module cannot be imported."""
    plain = builtins.__import__

    def call(name: str, *rest):
        if name == module:
            raise error
        return plain(name, *rest)

    return call


def test_a_torch_whose_libraries_do_not_load_is_passed_over(monkeypatch, tmp_path):
    """On Windows that is an OSError, not an ImportError."""
    lost = OSError(126, "The specified module could not be found. Error loading fbgemm.dll or one of its dependencies.")
    plain = choose.import_module

    def load(name: str) -> types.ModuleType:
        if name.rpartition(".")[2] in ("tensorrt", "torch", "onnxruntime_cuda"):
            raise lost if name.endswith("torch") else BackendError("not there")
        return plain(name)

    monkeypatch.setattr(choose, "import_module", load)
    monkeypatch.setattr(choose, "find_spec", lambda name: True)
    monkeypatch.setattr(choose, "count_gpus", lambda: 1)
    engine = open_engine("warp-light", threads=1)
    assert engine.name == "onnxruntime-cpu"
    assert "the torch backend needs torch and onnx ([Errno 126] The specified module could not be found" in engine.why
    with pytest.raises(BackendError, match="install them with: pip install torch onnx"):
        open_engine("warp-light", "torch")
