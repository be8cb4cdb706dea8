"""What the console commands settle before NumPy comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

COMMANDS = ["magnify", "measure", "find", "slice_"]
CODE = """
import os, sys
from magfilter import entry
assert "numpy" not in sys.modules, "too late"
sys.argv = ["it", "--help"]
try:
    entry.{}()
finally:
    assert "numpy" in sys.modules
    print(os.environ["OPENBLAS_NUM_THREADS"])
"""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("asked", "due"), [(None, "1"), ("3", "3")])
def test_numpy_multiplies_in_the_thread_that_asks_unless_told_otherwise(command, asked, due):
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    if asked:
        environment["OPENBLAS_NUM_THREADS"] = asked
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(command)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: magfilter")
    assert done.stdout.rstrip().endswith(due)


def test_every_console_script_begins_there():
    path = Path(__file__).resolve().parents[1] / "pyproject.toml"
    scripts = tomllib.loads(path.read_text())["project"]["scripts"]
    assert sorted(scripts.values()) == sorted(f"magfilter.entry:{command}" for command in COMMANDS)
    for target in scripts.values():
        module, name = target.split(":")
        assert callable(getattr(import_module(module), name))


WHILE_IMPORTING = """
import os, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "numpy":
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
from magfilter import entry
sys.argv = ["it", "--help"]
entry.{command}()
"""


def heard() -> None:
    """A script's background job, such as this may be, has some of them ignored."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_before_there_is_a_job_end_it_quietly(command, name):
    code = WHILE_IMPORTING.format(command=command, number=int(getattr(signal, name)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=heard)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_what_was_to_be_ignored_is():
    code = WHILE_IMPORTING.format(command="magnify", number=int(signal.SIGHUP))
    nohup = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=nohup)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_is_an_exception_again_once_a_command_runs():
    code = """
import signal, sys
from magfilter import command, entry
command._check_dashes = lambda *_: print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
sys.argv = ["it", "--version"]
entry.magnify()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, preexec_fn=heard)
    assert done.stdout.splitlines()[0] == "True"
