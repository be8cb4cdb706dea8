"""The part file: one writer at a time, and nothing replaced that was not to be."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from magfilter.errors import OutputError
from magfilter.media.target import PartFile, part_path


def write(part: PartFile, text: str) -> None:
    part.path.write_text(text)


def test_one_writer_at_a_time(tmp_path):
    target = str(tmp_path / "out.mp4")
    first = PartFile(target, "in.mp4", False)
    write(first, "first")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"out\.mp4 is being written by another magfilter; wait for it"):
            PartFile(target, "in.mp4", overwrite)
    first.commit()
    assert os.listdir(tmp_path) == ["out.mp4"]
    second = PartFile(target, "in.mp4", True)  # once it is whole, the name is free again
    write(second, "second")
    assert (tmp_path / "out.mp4").read_text() == "first"
    second.commit()
    second.discard()
    assert (tmp_path / "out.mp4").read_text() == "second"


def test_what_a_dead_one_left_is_in_nobodys_way(tmp_path):
    target = str(tmp_path / "out.mp4")
    code = "import os, sys; from magfilter.media.target import PartFile; part = PartFile(sys.argv[1], 'in', False); "
    code += "part.path.write_text('a long text'); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, target]).returncode == 9
    assert part_path(target).read_text() == "a long text"
    part = PartFile(target, "in", False)
    assert part.path.read_bytes() == b""
    part.discard()
    assert os.listdir(tmp_path) == []


def test_another_process_is_seen(tmp_path):
    target = str(tmp_path / "out.mp4")
    part = PartFile(target, "in", False)
    code = "import sys; from magfilter.media.target import PartFile; PartFile(sys.argv[1], 'in', True)"
    done = subprocess.run([sys.executable, "-c", code, target], capture_output=True, text=True)
    assert "is being written by another magfilter" in done.stderr
    write(part, "mine")
    part.commit()
    assert (tmp_path / "out.mp4").read_text() == "mine"


def test_a_file_that_came_up_meanwhile_is_left_alone(tmp_path):
    target = tmp_path / "out.mp4"
    (tmp_path / "out (2).mp4").write_text("another")
    part = PartFile(str(target), "in", False)
    write(part, "mine")
    target.write_text("theirs")
    with pytest.raises(OutputError, match=r"made by something else .* left alone; this output is .*out \(3\)\.mp4"):
        part.commit()
    part.discard()
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert texts == {"out.mp4": "theirs", "out (2).mp4": "another", "out (3).mp4": "mine"}
    part = PartFile(str(target), "in", True)
    write(part, "mine")
    part.commit()
    assert target.read_text() == "mine"
