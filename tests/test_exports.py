"""The public face: what it is called, and what importing it does not cost."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import magfilter
import magfilter.media

PUBLIC = {
    "BackendError",
    "CorruptInput",
    "EncodeOptions",
    "Frame",
    "InputError",
    "MagfilterError",
    "Magnifier",
    "MagnifyOptions",
    "MeasureOptions",
    "ModelError",
    "Motion",
    "OptionError",
    "OutputError",
    "Progress",
    "Report",
    "Stopped",
    "Suggestion",
    "VideoReader",
    "VideoWriter",
    "__version__",
    "find_vibrations",
    "magnify_video",
    "measure_motion",
    "suggest_alpha",
}


def test_exported_names():
    assert set(magfilter.__all__) == PUBLIC, "a change of the public names is a change of the API: say so in CHANGELOG"


@pytest.mark.parametrize("module", [magfilter, magfilter.media])
def test_exports_exist_and_are_documented(module):
    for name in module.__all__:
        thing = getattr(module, name)
        assert name == "__version__" or thing.__doc__, f"{name} has no docstring"


def test_errors_share_a_base_and_have_exit_codes():
    codes = {
        "InputError": 1,
        "OutputError": 1,
        "ModelError": 1,
        "BackendError": 1,
        "OptionError": 2,
        "CorruptInput": 69,
        "Stopped": 130,
    }
    for name, code in codes.items():
        error = getattr(magfilter, name)
        assert issubclass(error, magfilter.MagfilterError)
        assert error.exit_code == code


def test_the_package_carries_its_types():
    root = Path(__file__).parent.parent
    assert (Path(magfilter.__file__).parent / "py.typed").is_file()
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert "Typing :: Typed" in project["project"]["classifiers"]
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["magfilter"]}, "with all its files"


@pytest.mark.parametrize("what", [magfilter.find_vibrations, magfilter.MeasureOptions, magfilter.MagnifyOptions])
def test_a_model_may_be_a_path(what):
    assert str(inspect.signature(what).parameters["model"].annotation) == "str | os.PathLike[str]"


@pytest.mark.parametrize("module", ["magfilter", "magfilter.cli"])
def test_importing_is_light(module):
    heavy = ("torch", "cv2", "onnx", "PIL", "trainer", "export")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module", ["magfilter.backends.onnxruntime_cpu", "magfilter.cli", "export.onnx", "benchmarks.steps"]
)
def test_nothing_is_reported_to_anybody(module, tmp_path):
    """ONNX Runtime would keep a number for this machine, and events to send, below the home directory."""
    if module == "export.onnx":
        pytest.importorskip("onnxscript")
    code = (
        f"import sys; sys.path.append({str(Path(__file__).parent.parent)!r})\n"
        f"import {module}\n"
        "import onnxruntime\n"
        "onnxruntime.InferenceSession(__import__('magfilter.models', fromlist=['x']).find_model('warp-light'))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY")}
    subprocess.run([sys.executable, "-c", code], env=environment | {"HOME": str(tmp_path)}, check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name.lower()]


def test_who_wants_to_report_may():
    code = "import os, magfilter; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
