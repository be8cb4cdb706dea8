"""Checkpoints of the paper's own implementation, github.com/dangeng/flowmag, as weights of our `unet`.

The networks are the same, so every tensor has its place (names and order read from its model.py and
models/ at commit 34ae934). One differs in order: that implementation flattens (channel, frame) into the
planes of its input, R0 R1 G0 G1 B0 B1, and ours takes the frames one after the other, R0 G0 B0 R1 G1 B1,
so the columns of the first convolution change places.

A file holds `state_dict` (the generator, under DataParallel's `module.`, and beside it the flow network
that its loss used), the optimiser's state and `epoch`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magfilter.networks.unet import ENCODING, UNet
from trainer.checkpoint import CheckpointError, fill, training_record, unpickle

__all__ = ["export_flowmag", "load_flowmag"]

SOURCE = "dangeng/flowmag checkpoint"
# Our modules and theirs. Within a pair of convolutions both count 0 conv, 1 norm, 3 conv, 4 norm.
PLACES = {
    "enter": "down_layers.0.double_conv",
    **{f"down.{k}": f"down_layers.{k + 1}.maxpool_conv.1.double_conv" for k in range(4)},
    **{f"up.{k}": f"up_layers.{k}.conv.double_conv" for k in range(4)},
    "paint": "up_layers.4.conv",
}
FIRST = f"{PLACES['enter']}.0.weight"
NOT_THE_GENERATOR = ("mm_loss_fn.", "alpha_appender.")  # the loss with its flow network; a layer without weights
# Our plane 3·frame + channel is their plane 2·channel + frame; the encoding of alpha follows in both.
PLANES = [2 * channel + frame for frame in range(2) for channel in range(3)] + list(range(6, 6 + ENCODING))


def load_flowmag(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights of `UNet` from a checkpoint of dangeng/flowmag, and their metadata.

    Returns:
        (state dict in single precision, metadata as in `trainer.checkpoint`); the width is found from the shapes.

    Raises:
        CheckpointError: if the file cannot be unpickled without running code, or is not such a checkpoint;
            tensors that are missing, unknown or of another shape are named.
    """
    file = unpickle(path)
    state = file.get("state_dict", file) if isinstance(file, dict) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: not a checkpoint of dangeng/flowmag: no 'state_dict' of tensors in it.")
    theirs = _generator(path, state)
    width = int(theirs[FIRST].shape[0]) if FIRST in theirs else 0
    with torch.device("meta"):  # names and shapes are all that is wanted
        wanted = UNet(width or 64).state_dict()
    places = {name: _place(name) for name in wanted}
    lacking = [
        place for name, place in places.items() if place not in theirs and not name.endswith("num_batches_tracked")
    ]
    unknown = sorted(set(theirs) - set(places.values()))
    if lacking or unknown:
        raise CheckpointError(
            f"{path}: not the network of dangeng/flowmag: {_some(lacking)} missing, {_some(unknown)} unknown."
        )
    weights: dict[str, Tensor] = {}
    for name, value in wanted.items():
        found = theirs.get(places[name], torch.zeros((), dtype=torch.long))  # only counts of batches can be missing
        if found.shape != value.shape:
            raise CheckpointError(
                f"{path}: {places[name]} is {tuple(found.shape)}; expected {tuple(value.shape)} at width {width}."
            )
        weights[name] = found.float() if found.is_floating_point() else found
    weights["enter.0.weight"] = weights["enter.0.weight"][:, PLANES].contiguous()
    settings: dict[str, Any] = {"source": SOURCE}
    if isinstance(file.get("epoch"), int):
        settings["epoch"] = file["epoch"]
    return weights, {"network": "unet", "width": str(width), "settings": json.dumps(settings)}


def export_flowmag(checkpoint: Path, target: Path) -> tuple[float, dict[str, Any]]:
    """Write a checkpoint of dangeng/flowmag as an ONNX model that the filter loads.

    Returns:
        (largest difference between torch and ONNX Runtime, the model's record).

    Raises:
        ValueError: as `load_flowmag` and `export.onnx.export_network`.
    """
    from export.onnx import export_network

    weights, metadata = load_flowmag(checkpoint)
    record = training_record(metadata)
    net = UNet(record["width"])
    fill(net, weights, checkpoint)
    return export_network(net.eval(), "unet", target, record), record


def _generator(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The generator's part of a state dict, by its own names."""
    bare: dict[str, Tensor] = {}
    for name, value in state.items():
        while name.startswith("module."):
            name = name.removeprefix("module.")
        bare[name] = value
    if not any(name.startswith("generator.") for name in bare):  # saved without the model around it
        return bare
    rest = [name for name in bare if not name.startswith(("generator.", *NOT_THE_GENERATOR))]
    if rest:
        raise CheckpointError(f"{path}: not a checkpoint of dangeng/flowmag: it holds {rest[0]} beside its generator.")
    return {name.removeprefix("generator."): value for name, value in bare.items() if name.startswith("generator.")}


def _place(name: str) -> str:
    """Where they keep what is `name` in our network."""
    ours = next(prefix for prefix in PLACES if name.startswith(f"{prefix}."))
    return PLACES[ours] + name.removeprefix(ours)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") if names else "nothing"
