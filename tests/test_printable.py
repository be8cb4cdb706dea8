"""Names and tags of files may hold what commands a terminal: it is shown, and commands quote them."""

from __future__ import annotations

import io
import os
import shlex

import pytest

from magfilter.cli import command, main
from magfilter.command import _one_line
from magfilter.errors import InputError
from magfilter.find.command import suggested
from magfilter.media import VideoReader
from magfilter.media.nothing import no_frame
from magfilter.media.opacity import lost
from magfilter.printable import printable, quoted
from magfilter.progress import ProgressPrinter

needs_posix = pytest.mark.skipif(os.name == "nt", reason="Windows' names hold no control characters")
EVIL = "a\x1b]0;P\x07b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("Übung ✓ 動画 😀.mp4", "Übung ✓ 動画 😀.mp4"),
        ("10.00\u202fAM\u00a0x", "10.00\u202fAM\u00a0x"),
        (EVIL, r"a\x1b]0;P\x07b"),
        ("one\ntwo\r", r"one\ntwo\r"),
        ("\x9b2J\u202egnp\udcff", r"\x9b2J\u202egnp\udcff"),
    ],
)
def test_what_is_not_printable_is_escaped(text, shown):
    assert printable(text) == shown


def test_errors_and_warnings_are_one_printable_line():
    assert _one_line(InputError(f"{EVIL} is\nbad")) == r"a\x1b]0;P\x07b is bad"
    stream = io.StringIO()
    printer = ProgressPrinter(stream)
    printer.warn([f"{EVIL}\nmagfilter: all is well"])
    printer.line(f"one\n{EVIL}")
    assert stream.getvalue() == (
        "magfilter: warning: a\\x1b]0;P\\x07b\\nmagfilter: all is well\n" + "one\n" + "a\\x1b]0;P\\x07b\n"
    )


@needs_posix
def test_no_command_prints_control_characters(clips, capfd, tmp_path):
    clip = clips(f"{EVIL}\nforged.mkv", metadata={"title": EVIL}, audio=["e\x1b]0;P\x07"])
    for words in (
        [clip, "--info"],
        [clip, str(tmp_path / "o.xyz\x1b")],
        [clip, f"--{EVIL}"],
        [clip, "o.mp4", "-a", EVIL],
    ):
        with pytest.raises(SystemExit):
            main(words)
        out, err = capfd.readouterr()
        assert out + err
        assert not {"\x1b", "\x07"} & set(out + err)
        assert "\nforged" not in out + err
    assert command.name


@needs_posix
def test_commands_quote_names(tmp_path):
    name = str(tmp_path / "a b;touch x.webp")
    with open(name, "wb") as file:
        file.write(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02" + bytes(20))
    container = type("C", (), {"format": type("F", (), {"name": "webp_pipe"})})
    stream = type("S", (), {"index": 0})
    assert f"magick {shlex.quote(name)} -coalesce" in str(no_frame(name, name, container, stream, 1, None))
    coded = type("S", (), {"codec_context": type("X", (), {"codec": type("Y", (), {"canonical_name": "vp9"})})})
    assert f"-i {shlex.quote(name)} shot" in lost(name, coded)
    assert quoted("plain.mp4") == "plain.mp4"


@needs_posix
def test_the_interlaced_refusal_quotes(clips):
    clip = clips("a b.mkv", options={"x264-params": "tff=1:fake-interlaced=0", "flags": "+ildct+ilme"})
    with pytest.raises(InputError, match="is interlaced") as refused:
        VideoReader(clip)
    assert f"ffmpeg -i {shlex.quote(clip)} -vf" in str(refused.value)


@needs_posix
def test_the_command_that_find_offers_quotes(monkeypatch):
    import numpy as np

    found = type("F", (), {"picture": np.zeros((48, 64, 3)), "resolution": 0.1, "top": None, "rate": 25, "told": 25.0})
    vibration = type("V", (), {"frequency": 5.0, "amplitude": 1.0})
    assert "--model 'my model.onnx'" in suggested(found, vibration, {"model": "my model.onnx"})


def test_what_joins_letters_stays():
    for text in ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f468\u200d\U0001f52c"):
        assert printable(text) == text
    assert printable("a\u202eb") == "a\\u202eb"
