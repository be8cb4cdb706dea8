"""What a training leaves on disk: checkpoints to resume from, weights to hand on.

A run's folder holds `checkpoint-00001234/`, named after the step, and in it

- `weights.safetensors`, and `averaged.safetensors` where there is an average: named tensors in full
  precision. Their header says what they are: "network", "width", "steps", "minutes" and "settings",
  the last as JSON (everything else in a header is kept, too);
- `state.pt`: optimiser, random numbers, position; tensors and plain values only.

A checkpoint is written under another name, seen to the disk, and renamed. So a folder of that
name is whole, whenever the process or the machine dies, and nothing else needs to be kept in step: the
newest one counts, and only when it is in place do older ones go, by being renamed first.

No file is ever unpickled with the right to run code.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer.files import CheckpointError, packed, pickled, sync, unpacked, unpickle, write

__all__ = [
    "HALF_FROM",
    "Checkpoint",
    "CheckpointError",
    "fill",
    "find_checkpoint",
    "halved",
    "load_checkpoint",
    "load_into",
    "load_weights",
    "save_checkpoint",
    "save_weights",
    "training_record",
    "unpickle",
]

WEIGHTS, AVERAGED, STATE = "weights.safetensors", "averaged.safetensors", "state.pt"
NAME = re.compile(r"checkpoint-(\d+)(?:\.(\d+))?")  # step, and how often that step was saved before
PICKLES = (".pth", ".pt", ".tar", ".ckpt")
HALF_FROM = 64  # values; smaller tensors stay in single precision: they cost nothing, and tell more


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint, read back; tensors on the CPU."""

    path: Path
    weights: dict[str, Tensor]
    averaged: dict[str, Tensor] | None
    state: dict[str, Any]
    metadata: dict[str, str]


# -- checkpoints


def save_checkpoint(
    folder: Path,
    *,
    weights: Mapping[str, Tensor],
    averaged: Mapping[str, Tensor] | None = None,
    state: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
    keep: int = 1,
) -> Path:
    """Write a checkpoint in one step: afterwards there is either the new one or the one before.

    Args:
        folder: of the run; made if need be.
        weights, averaged: state dicts, on any device.
        state: whatever else resuming needs: tensors, numbers, strings, bytes, None, and lists, tuples, sets
            and dicts of them. "step" must be among it, the number of steps taken.
        metadata: header of the weights, see above.
        keep: how many checkpoints to keep, this one included.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: if it cannot be written (the disk is full, say); the one before is whole then, and
            nothing half-written is left. Also if `state` holds what could not be read back, or if the
            folder holds a checkpoint of a later step, which would be taken for the newest.
        ValueError: if `keep` is below 1 or "step" is missing.
    """
    step = state.get("step")
    if not isinstance(step, int) or step < 0 or keep < 1:
        raise ValueError(f"Expected state['step'] ≥ 0 and keep ≥ 1, got {step!r} and {keep!r}.")
    files: dict[str, bytes | memoryview] = {WEIGHTS: packed(weights, metadata), STATE: pickled(dict(state))}
    if averaged is not None:
        files[AVERAGED] = packed(averaged, metadata)
    part = folder / f".checkpoint-{step:08d}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".checkpoint-*.part"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        older = _checkpoints(folder)
        target = folder / f"checkpoint-{step:08d}"
        if older:
            last, times = _position(older[-1])
            if last > step:
                raise CheckpointError(
                    f"{folder} holds a checkpoint of step {last}, later than this one of step {step}; "
                    "choose another folder, or move that checkpoint away."
                )
            if last == step:
                target = folder / f"{target.name}.{times + 1}"
        part.mkdir()
        for name, data in files.items():
            write(part / name, data)
        sync(part)
        os.rename(part, target)
        sync(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise CheckpointError(
            f"{folder}: the checkpoint of step {step} could not be written ({error.strerror or error}); "
            "what was saved before is whole. Make room or choose another folder, then run the same command again."
        ) from error
    for old in older[: max(0, len(older) + 1 - keep)]:
        # Renamed first: a kill in the middle of the removal must not leave a folder that looks whole.
        # That one more checkpoint stays is no reason to end a training.
        with suppress(OSError):
            gone = folder / f".{old.name}.part"
            os.rename(old, gone)
            shutil.rmtree(gone)
    return target


def find_checkpoint(path: Path) -> Path | None:
    """The newest checkpoint of a run's folder, or `path` if it is a checkpoint; None if there is none."""
    if (path / WEIGHTS).is_file():
        return path
    found = _checkpoints(path) if path.is_dir() else []
    return found[-1] if found else None


def load_checkpoint(path: Path) -> Checkpoint | None:
    """Read a checkpoint back.

    Args:
        path: a run's folder, whose newest checkpoint is read, or a checkpoint's.

    Returns:
        The checkpoint, or None if there is none yet.

    Raises:
        CheckpointError: if it is damaged or would run code.
    """
    while True:
        newest = find_checkpoint(path)
        if newest is None:
            return None
        try:
            return _read(newest)
        except CheckpointError:
            if newest.is_dir():
                raise
            # the run went on and replaced it meanwhile


def _read(path: Path) -> Checkpoint:
    weights, metadata = unpacked(path / WEIGHTS)
    averaged = unpacked(path / AVERAGED)[0] if (path / AVERAGED).exists() else None
    state = unpickle(path / STATE)
    if not isinstance(state, dict):
        raise CheckpointError(f"{path / STATE}: expected a dict, got {type(state).__name__}.")
    return Checkpoint(path, weights, averaged, state, metadata)


def _checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted((path for path in folder.iterdir() if NAME.fullmatch(path.name)), key=_position)


def _position(path: Path) -> tuple[int, int]:
    match = NAME.fullmatch(path.name)
    assert match
    return int(match[1]), int(match[2] or 0)


# -- weights alone


def save_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str], half: bool = True) -> None:
    """Write a state dict as a safetensors file, in one step.

    Args:
        metadata: the file's header, see above.
        half: round to half precision what `halved` does.

    Raises:
        CheckpointError: if it cannot be written; what was there before is whole then.
    """
    data = packed({name: halved(value) if half else value for name, value in weights.items()}, metadata)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part, data)
        os.replace(part, path)
        sync(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise CheckpointError(f"{path} could not be written ({error.strerror or error}).") from error


def halved(value: Tensor) -> Tensor:
    """In half precision, if it is a float tensor of some size, all of whose values fit; else as it is."""
    if not value.is_floating_point() or value.numel() < HALF_FROM:
        return value
    half = value.half()
    return half if bool(torch.isfinite(half).all()) else value


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights from whatever holds them, as (state dict in single precision on the CPU, metadata).

    Args:
        path: a run's or a checkpoint's folder (the averaged weights, if there are any), a `.safetensors`
            file, an `.onnx` file of `python -m export`, or a checkpoint of dangeng/flowmag (`.pth`).

    Raises:
        CheckpointError: if it is none of these, damaged, or would run code.
    """
    if path.is_dir():
        found = load_checkpoint(path)
        if found is None:
            raise CheckpointError(f"{path}: no such checkpoint; train one with `python -m trainer train`.")
        weights, metadata = found.averaged or found.weights, found.metadata
    elif not path.exists():
        raise CheckpointError(f"{path}: no such checkpoint; train one with `python -m trainer train`.")
    elif path.suffix == ".safetensors":
        weights, metadata = unpacked(path)
    elif path.suffix == ".onnx":
        weights, metadata = _from_onnx(path)
    elif path.suffix in PICKLES:
        from export.flowmag import load_flowmag  # it needs this module

        weights, metadata = load_flowmag(path)
    else:
        raise CheckpointError(
            f"{path}: not a checkpoint; expected a folder of `python -m trainer train`, a .safetensors or .onnx "
            "file, or a .pth of dangeng/flowmag."
        )
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}, metadata


def load_into(net: nn.Module, path: Path) -> dict[str, str]:
    """Read weights with `load_weights` and give them to `net`; returns their metadata.

    Raises:
        CheckpointError: as `load_weights` and `fill`; `net` is as it was then.
    """
    weights, metadata = load_weights(path)
    fill(net, weights, path)
    return metadata


def fill(net: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """`net.load_state_dict`, with an error that says what does not fit.

    Args:
        source: where the weights are from, for the error.

    Raises:
        CheckpointError: if they are of another network or width; `net` is as it was then.
    """
    wanted = net.state_dict()
    # Counts of batches decide nothing once trained; an ONNX file has none.
    given = {name: value for name, value in wanted.items() if name.endswith("num_batches_tracked")} | dict(weights)
    for name, value in wanted.items():
        if name in given and given[name].shape != value.shape:
            raise CheckpointError(
                f"{source}: {name} is {tuple(given[name].shape)} there and {tuple(value.shape)} in this network: "
                "they differ in width or kind; build the network as the weights' record says."
            )
    lacking, unknown = [n for n in wanted if n not in given], [n for n in given if n not in wanted]
    if lacking or unknown:
        raise CheckpointError(
            f"{source}: the weights are of another network: {_some(lacking)} missing, {_some(unknown)} unknown."
        )
    net.load_state_dict(given)


def training_record(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The header of weights as a record of their training: the settings, and what came of them.

    Numbers that it should hold and does not are left out.

    Raises:
        CheckpointError: if the settings are no JSON object or a number is none.
    """
    rest = dict(metadata)
    try:
        record = json.loads(rest.pop("settings", "{}"))
        if not isinstance(record, dict):
            raise ValueError(f"settings: expected an object, got {record!r}")
        for key, name, kind in (("width", "width", int), ("steps", "steps", int), ("minutes", "minutes_spent", float)):
            if key in rest:
                record[name] = kind(rest.pop(key))
    except ValueError as error:
        raise CheckpointError(f"The header of the weights is damaged: {error}.") from None
    return record | rest


def _from_onnx(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights that the exporter stored under their own names, those in half precision with `.half` behind."""
    import onnx
    from onnx import numpy_helper

    from magfilter.errors import ModelError
    from magfilter.models import parse_metadata
    from magfilter.networks.build import build_network

    try:
        file = onnx.load(str(path))
        info = parse_metadata(path, {item.key: item.value for item in file.metadata_props})
    except ModelError as error:
        raise CheckpointError(str(error)) from None
    except Exception as error:  # protobuf and onnx raise unrelated classes
        raise CheckpointError(f"{path}: cannot be read as an ONNX model ({error}).") from None
    stored = {item.name.removesuffix(".half"): item for item in file.graph.initializer}
    width = int(info.record.get("width", 0))
    shapes = {name: torch.empty(tuple(item.dims), device="meta") for name, item in stored.items()}
    try:
        wanted = build_network(info.descriptor.name, width, weights=shapes).state_dict()
    except ValueError as error:
        raise CheckpointError(f"{path}: its weights were folded ({error}) Use the checkpoint it is of.") from None
    names = [name for name in wanted if not name.endswith("num_batches_tracked")]
    lacking = [name for name in names if name not in stored]
    if lacking:
        raise CheckpointError(
            f"{path}: its weights were folded: {_some(lacking)} missing. Use the checkpoint it is of."
        )
    weights = {name: torch.from_numpy(numpy_helper.to_array(stored[name]).copy()) for name in names}
    record = dict(info.record)
    metadata = {"network": info.descriptor.name, "width": str(width)}
    for key, name in (("steps", "steps"), ("minutes_spent", "minutes")):
        if key in record:
            metadata[name] = str(record.pop(key))
    return weights, metadata | {"settings": json.dumps(record)}


def _some(names: list[str], most: int = 3) -> str:
    if not names:
        return "nothing"
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
