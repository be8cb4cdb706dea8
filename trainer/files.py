"""Tensors as bytes on a disk: written whole, read back without running code."""

from __future__ import annotations

import errno
import io
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

__all__ = ["CheckpointError", "check_target", "packed", "pickled", "sync", "unpacked", "unpickle", "write"]


class CheckpointError(ValueError):
    """A checkpoint or a file of weights cannot be written, read, or used here."""


def unpickle(path: Path) -> Any:
    """`torch.load` of tensors and plain values, on the CPU; never runs code.

    Raises:
        CheckpointError: if the file is not there, is damaged, or holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file.") from None
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found is None:
            raise CheckpointError(f"{path}: not a file of tensors that torch has written, or damaged.") from None
        raise CheckpointError(
            f"{path} is refused: besides tensors it holds {found[1]}, and opening such a file can run any code that "
            "its author put in. If you trust it, load it once with torch.load(..., weights_only=False) and save the "
            "tensors alone."
        ) from None
    except Exception as error:  # a damaged archive raises whatever its reader does
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: not a file of tensors that torch has written, or damaged ({line}).") from None


def packed(weights: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> bytes:
    """As a safetensors file. Copied, since the format knows neither strides nor tensors that share memory."""
    tensors = {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in weights.items()
    }
    return safetensors.torch.save(tensors, dict(metadata or {}))


def unpacked(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: missing or damaged ({error}).") from None


def pickled(state: dict[str, Any]) -> memoryview:
    """As torch writes it, and read back once: a checkpoint nobody can open is found out now, not after days."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    try:
        torch.load(buffer, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"The state to save holds {found[1] if found else 'an object'}, which could not be read back without "
            "running code; keep it to tensors, numbers, strings, bytes, lists and dicts."
        ) from None
    return buffer.getbuffer()


def write(path: Path, data: bytes | memoryview) -> None:
    """Write a file and see it to the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def check_target(path: Path) -> None:
    """See that a file can be written at `path`, before time goes into what is to be written; makes its folder.

    Raises:
        CheckpointError: if it cannot.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        part.unlink()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written ({error.strerror or error}); give another -o.") from None


def sync(folder: Path) -> None:
    """See the names in a folder to the disk; Windows does so by itself and knows no other way."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
