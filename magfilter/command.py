"""What every console command of the package does alike: errors into one line and an exit code, streams, Ctrl-C."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import NoReturn

import click

from magfilter.adaptation import Interrupted
from magfilter.compiled import kernels
from magfilter.entry import STOPPED, hear_interrupts
from magfilter.errors import MagfilterError, Stopped
from magfilter.media.descriptors import cannot_go_back
from magfilter.media.sequence import PictureFiles
from magfilter.media.target import part_path
from magfilter.memory import keep_freed_memory
from magfilter.printable import printable
from magfilter.progress import ProgressPrinter
from magfilter.report import Report
from magfilter.stages import THREAD_PREFIX, start_stage
from magfilter.stdout import StdoutError, fill_in_stdout, watch_stdout

__all__ = [
    "EXIT_INTERRUPTED",
    "compile_ahead",
    "compile_for",
    "pipe_closed",
    "run_command",
    "stopped_early",
    "stopping_signals",
    "told_in_a_line",
]

EXIT_INTERRUPTED = STOPPED
COMPILING = "compiling what measures and moves pictures, once on this machine"
PATIENCE = 3.0  # seconds; loading what was compiled before takes less
# How what ffmpeg's users type is said here, where the name is not the same with two dashes.
FFMPEG = {
    **dict.fromkeys(("c", "codec", "codec:v", "vcodec"), "is -c:v here"),
    **{
        name: f"is -x {name.removesuffix(':v')}=VALUE here"
        for name in ("b:v", "bf", "g", "level", "profile", "profile:v", "qp", "tune", "x264-params", "x265-params")
    },
    "i": "is left out here: the input stands alone, and the output after it",
    "loglevel": "is -q or -v here",
    "r": "is --framerate here, for image sequences; a video keeps its own rate",
    "to": "is -t here, which counts from the start",
    "vf": "is not there: filter with ffmpeg, and pipe what comes out",
    "vn": "would leave nothing to magnify; write -v -n for these two",
}


def run_command(command: click.Command, name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run a command as a console script and end the process.

    Whatever a user can meet becomes one line on stderr, "NAME: cause; fix", and the exit code of its error.

    Args:
        command: a click command of its own `help_option_names`.
        name: of the program, for its messages.
        arguments: instead of the process's own.
    """
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    if arguments is None:
        keep_freed_memory()
    _open_missing_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As stderr does: a file in the code page of a Windows machine holds neither × nor every name.
        sys.stdout.reconfigure(errors="backslashreplace")
    if arguments is None:
        watch_stdout(_reader_gone)
    code = _run(command, name, arguments)
    left = any(thread.name.startswith(THREAD_PREFIX) for thread in threading.enumerate())
    if left and arguments is None:
        # A thread blocked on a pipe would outlive the interpreter's clean-up, and crash in it if the pipe moved.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)


def compile_ahead(say: Callable[[str], None]) -> None:
    """Begin to load what is compiled, in a thread; if that takes long, as it does once, say so."""

    def work() -> None:
        told = threading.Timer(PATIENCE, say, [COMPILING])
        told.daemon = True
        told.start()
        kernels()
        told.cancel()

    start_stage("compile", work, lambda: None, [], threading.Event())


def compile_for(backend: str, say: Callable[[str], None]) -> None:
    """The same for what measures motion, if that may run on the CPU."""
    if backend in ("auto", "onnxruntime", "onnxruntime-cpu"):
        compile_ahead(say)


@contextmanager
def told_in_a_line(verbose: bool) -> Iterator[None]:
    """What nobody foresaw becomes a MagfilterError of one line; `verbose` shows where it came from."""
    try:
        yield
    except (MagfilterError, MemoryError, BrokenPipeError):
        raise
    except Exception as error:
        if _reader_gone(error):
            raise
        if verbose:
            traceback.print_exc()
        if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
            raise MagfilterError(
                "the system starts no more threads: no memory is left, or a limit is reached (ulimit -v, ulimit -u); "
                "try fewer --threads"
            ) from None
        kind = type(error).__name__
        raise MagfilterError(f"internal error ({kind}: {_one_line(error)}); -v shows where; please report it") from None


@contextmanager
def stopping_signals(stop: threading.Event, target: str | None, *, quiet: bool) -> Iterator[None]:
    """The first Ctrl-C ends the job with a whole file, the second at once."""
    newline = "\n" if sys.stderr.isatty() else ""

    def asked(number: int, _: object) -> None:
        if stop.is_set():
            if target is not None and not cannot_go_back(target):
                # The process ends without unwinding. Windows removes no open file: it stays until the next job.
                with suppress(OSError):
                    part_path(target).unlink(missing_ok=True)
                PictureFiles.give_up()
            os._exit(EXIT_INTERRUPTED)
        stop.set()
        if not quiet:
            # Not through sys.stderr, which the interrupted code may be in the middle of writing to.
            with suppress(OSError):
                os.write(2, f"{newline}stopping: finishing the file; Ctrl-C again to give up\n".encode())

    wanted = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:  # nohup has it ignored
        wanted.append(hangup)
    before = {number: signal.signal(number, asked) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopped_early(printer: ProgressPrinter) -> Iterator[None]:
    """Ends the program, with a line, where a stop came before there was anything to show; wipes the bar in any case."""
    try:
        yield
    except Stopped:
        printer.finish(Report(interrupted=True))
        raise SystemExit(EXIT_INTERRUPTED) from None
    finally:
        printer.clear()


def pipe_closed() -> int:
    """Whoever read our output has gone; as ffmpeg and grep do, end without a word. Returns the exit code."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _run(command: click.Command, name: str, arguments: list[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    try:
        hear_interrupts()
        _check_dashes(command, words)
        # Else click expands names on Windows, and clip[1].mp4 becomes clip1.mp4 where that is there.
        command.main(words, prog_name=name, standalone_mode=False, windows_expand_args=False)
        sys.stdout.flush()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        text = " ".join(error.format_message().split()).removesuffix(".")
        if isinstance(error, click.NoSuchOption):  # of a word with one dash click names the first letter alone
            letter = error.option_name
            whole = next((word for word in words if word[:2] == letter), letter)
            text = text.replace(repr(letter), repr(whole))
        click.echo(f"{name}: {printable(text)}; see {name} --help", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt, Interrupted):
        return EXIT_INTERRUPTED
    except OSError as error:
        if not _reader_gone(error):
            raise
        return pipe_closed()
    except MagfilterError as error:
        if isinstance(error, StdoutError):
            pipe_closed()  # what is left in its buffer must not fail again at the end
        click.echo(f"{name}: {_one_line(error)}", err=True)
        return error.exit_code
    except MemoryError:
        click.echo(f"{name}: out of memory; try --proxy 0.5, or fewer --threads", err=True)
        return 1
    return 0


def _check_dashes(command: click.Command, words: Sequence[str]) -> None:
    """Name the option that is meant where somebody writes it as ffmpeg does, with one dash.

    click would take -crf for three options of a letter each, and -vf for -v and -f.

    Raises:
        click.UsageError: there is such a word.
    """
    own = {"-h", "--help"}.union(*((*each.opts, *each.secondary_opts) for each in command.params))
    for word in takewhile(lambda word: word != "--", words):
        name = word.partition("=")[0]
        if name[:1] != "-" or name[1:2] in ("", "-") or name in own:
            continue
        twice = f"-{name.replace('_', '-')}"
        if twice in own:
            raise click.UsageError(f"{name} takes two dashes here: {twice}")
        if "-c:v" in own and name[1:] in FFMPEG:
            raise click.UsageError(f"{name} {FFMPEG[name[1:]]}")


def _reader_gone(error: BaseException) -> bool:
    """Whether stdout was written to and whoever read it has gone. Windows calls that an invalid argument."""
    if isinstance(error, BrokenPipeError):
        return True
    # Bad names of files are invalid arguments, too.
    return os.name == "nt" and isinstance(error, OSError) and error.errno == errno.EINVAL and error.filename is None


def _one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split())) or type(error).__name__


def _open_missing_streams() -> None:
    """Fill in standard streams that were closed (2>&-): the output must not be opened in their place."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None and os.open(os.devnull, os.O_RDWR) == number:
            if name == "stdout":
                fill_in_stdout(number)
            else:
                setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 (it stays open)
