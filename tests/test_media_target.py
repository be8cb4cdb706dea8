"""The part file: one writer at a time, and nothing replaced that was not to be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from magfilter.errors import OutputError
from magfilter.measure.output import write_table
from magfilter.media.descriptors import cannot_go_back, descriptor
from magfilter.media.target import PartFile, container_format, part_path


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


posix = pytest.mark.skipif(os.name == "nt", reason="descriptors have no names there")


@posix
def test_names_of_open_descriptors(tmp_path):
    link, second = tmp_path / "link", tmp_path / "second"
    link.symlink_to("/proc/self/fd/1")
    second.symlink_to("link")
    for name in ("-", "pipe:1", "/dev/stdout", "/dev/fd/1", "/dev/../dev/fd/1", "/proc/self/fd/1", link, second):
        assert descriptor(str(name)) == 1, name
    assert descriptor(f"/proc/{os.getpid()}/fd/12") == 12
    link.unlink()
    link.symlink_to(tmp_path / "out.mp4")
    for name in (link, tmp_path / "no", "/dev/null", "/dev/fd/x", "/proc/1/fd/1", "1"):
        assert descriptor(str(name)) is None, name
    second.unlink()
    second.symlink_to(second)
    assert descriptor(str(second)) is None
    assert not cannot_go_back(str(link))
    assert not cannot_go_back("/dev/null")


WRITE_TO = """
import sys
from magfilter.media.target import PartFile
part = PartFile(sys.argv[1], "in", True)
assert part.name == "pipe:1" and part.pipe
part.commit()
part.discard()
"""


@posix
def test_a_link_to_stdout_stays_and_is_written_to(tmp_path):
    """A file took the place of the link, which as root may be /dev/stdout, and stdout stayed empty."""
    link, out = tmp_path / "stdout", tmp_path / "out.nut"
    link.symlink_to("/proc/self/fd/1")
    with out.open("wb") as file:
        subprocess.run([sys.executable, "-c", WRITE_TO, str(link)], stdout=file, check=True)
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.nut", "stdout"]
    assert container_format(str(link), None) == "nut"


@posix
def test_a_table_into_an_open_descriptor(tmp_path):
    with (tmp_path / "table.csv").open("wb") as file:
        write_table(f"/dev/fd/{file.fileno()}", "in", ["told"], {"a": [1.0]})
        file.write(b"more")
    assert (tmp_path / "table.csv").read_text() == "# told\na\n1\nmore"


@posix
def test_what_a_link_leads_to_is_written(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "real.mp4", tmp_path / "link.mp4"
    link.symlink_to(Path("folder") / "real.mp4")  # to nothing yet
    part = PartFile(str(link), "in", False)
    assert part.path == part_path(str(link)) == part_path(str(target))
    write(part, "one")
    part.commit()
    assert link.is_symlink()
    assert target.read_text() == "one"
    with pytest.raises(OutputError, match="already exists"):
        PartFile(str(link), "in", False)
    part = PartFile(str(link), "in", True)
    write(part, "two")
    part.commit()
    assert link.is_symlink()
    assert target.read_text() == "two"
    with pytest.raises(OutputError, match="is the input"):
        PartFile(str(link), str(target), True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "link.mp4", "real.mp4"]
