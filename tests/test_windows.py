"""Windows and macOS, as far as they can be played here: files that are open, names, code pages, closed pipes."""

from __future__ import annotations

import errno
import os
import signal
import threading
import types
from pathlib import Path

import pytest

from magfilter import command
from magfilter.command import stopping_signals
from magfilter.errors import OutputError
from magfilter.media import sequence
from magfilter.media import target as targets
from magfilter.media.sequence import PictureFiles
from magfilter.media.target import PartFile

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
