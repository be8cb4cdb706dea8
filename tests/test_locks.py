"""What has the name of the part file, or of the lock, before a job does: refused, and nothing behind it changes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from magfilter.errors import OutputError
from magfilter.locks import hold
from magfilter.media.sequence import PictureFiles
from magfilter.media.target import PartFile, part_path

posix = pytest.mark.skipif(os.name == "nt", reason="not there")


def lay(kind: str, path: Path, victim: Path) -> None:
    """Put something under a name that is another file, or none at all."""
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "hard link":
        os.link(victim, path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
    else:
        os.mkfifo(path)


@posix
@pytest.mark.parametrize("kind", ["link", "hard link", "directory", "named pipe", "socket"])
def test_what_lies_under_the_hidden_name_is_not_written_to(tmp_path, monkeypatch, kind):
    """A link was followed: the file behind it was overwritten, and the output became the link."""
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    victim = Path("victim.txt")
    victim.write_text("victim")
    for target in ("out.mp4", "shot.%04d.png"):
        hidden = part_path(target) if target == "out.mp4" else Path(f".{target}.lock")
        lay(kind, hidden, victim)
        with pytest.raises(OutputError, match=rf"^{hidden} is a .*{kind}.*; remove it, or give the output another n"):
            PartFile(target, "in", True) if target == "out.mp4" else PictureFiles(target, "in", True, None)
        assert victim.read_text() == "victim"
        assert os.path.lexists(hidden)
        assert not os.path.lexists(target)


@posix
def test_a_link_to_nothing_makes_nothing(tmp_path):
    (tmp_path / ".out.mp4.part").symlink_to("made.txt")
    with pytest.raises(OutputError, match="is a link"):
        PartFile(str(tmp_path / "out.mp4"), "in", False)
    assert os.listdir(tmp_path) == [".out.mp4.part"]


@posix
def test_a_link_that_comes_while_the_file_is_opened(tmp_path, monkeypatch):
    victim, path = tmp_path / "victim.txt", tmp_path / "part"
    victim.write_text("victim")
    real = os.open

    def late(name, flags, mode=0o777):
        path.symlink_to(victim)
        return real(name, flags, mode)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(OutputError, match="is a link"):
        hold(path)
    monkeypatch.undo()
    assert victim.read_text() == "victim"


@posix
def test_one_that_was_removed_meanwhile_is_made_again(tmp_path, monkeypatch):
    """Whoever held it may have renamed it between opening and locking: that file is theirs, and stays as it is."""
    path = tmp_path / "part"
    real = os.open

    def late(name, flags, mode=0o777):
        handle = real(name, flags, mode)
        monkeypatch.undo()
        path.write_text("whole")
        path.rename(tmp_path / "out.mp4")
        return handle

    monkeypatch.setattr(os, "open", late)
    with hold(path) as held:
        held.write(b"new")
    assert (tmp_path / "out.mp4").read_text() == "whole"
    assert path.read_text() == "new"


@posix
def test_programs_that_are_started_do_not_hold_it(tmp_path):
    with hold(tmp_path / "part") as held:
        code = f"import os; os.fstat({held.fileno()})"
        run = subprocess.run([sys.executable, "-c", code], close_fds=False, capture_output=True, text=True)
        assert "Bad file descriptor" in run.stderr
