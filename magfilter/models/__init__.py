"""The shipped networks, and how a model file is found and described."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magfilter.errors import ModelError
from magfilter.networks.descriptor import Descriptor

__all__ = ["DEFAULT_MODEL", "ModelInfo", "find_model", "parse_metadata", "shipped_models"]

DEFAULT_MODEL = "warp-light"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class ModelInfo:
    """A model file and what its metadata says.

    Attributes:
        path: the ONNX file.
        descriptor: what the network needs and promises.
        record: training record: data, steps, minutes, hardware.
        version: of magfilter, when it was exported.
        precision: "fp32", or "fp16" where convolutions are computed in half precision.
    """

    path: Path
    descriptor: Descriptor
    record: dict[str, Any]
    version: str
    precision: str = "fp32"


def shipped_models() -> dict[str, Path]:
    """Name → file of every model in the package."""
    return {path.stem: path for path in sorted(HERE.glob("*.onnx"))}


def find_model(model: str | os.PathLike[str]) -> Path:
    """The file of a shipped model's name or of a path.

    Raises:
        ModelError: if there is neither a shipped model of that name nor such a file.
    """
    shipped = shipped_models()
    name = os.fspath(model)
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.is_file():
        return path
    names = ", ".join(shipped)
    if path.suffix or os.sep in name:
        raise ModelError(f"{name}: no such model file; give the path of an .onnx file, or one of: {names}")
    raise ModelError(f"no model is called {name!r}; shipped are: {names}; or give the path of an .onnx file")


def parse_metadata(path: Path, metadata: dict[str, str]) -> ModelInfo:
    """The descriptor from an ONNX file's metadata.

    Raises:
        ModelError: if the file was not exported by magfilter.
    """
    try:
        descriptor = Descriptor.from_json(metadata["magfilter.descriptor"])
        record = json.loads(metadata.get("magfilter.record", "{}"))
        if not isinstance(record, dict):
            raise ValueError("its record is no JSON object")
        version = metadata.get("magfilter.version", "unknown")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{path}: not a magfilter model (its metadata lacks a valid descriptor: {error}); "
            "make one with `python -m export onnx CHECKPOINT`"
        ) from None
    return ModelInfo(path, descriptor, record, version, metadata.get("magfilter.precision", "fp32"))
