"""What the console commands settle before NumPy comes."""

from __future__ import annotations

import os
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
