"""Whether what is asked for now can go on from a checkpoint, and which settings have changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from trainer.checkpoint import Checkpoint, CheckpointError, training_record

if TYPE_CHECKING:
    from trainer.loop import Plan

__all__ = ["Changes", "changes", "differences", "told"]

NEEDED = ("optimiser", "step", "elapsed", "skipped", "members")  # of a checkpoint's state
SORT = ("network", "supervision")  # what was learned, and the position in it, are of no use to another sort
SHAPE = ("width", "light")  # of the network, whose shapes themselves are compared: width 0 is a width, too
HOW_LONG = ("minutes", "steps", "save_every", "picture_every")  # what a resumption is for; they change nothing else

Changes = dict[str, tuple[Any, Any]]
"""Name → (value before, value now)."""


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Changes:
    """Settings that both have, with different values: what only one version of the trainer knows is no change."""
    return {key: (before[key], value) for key, value in now.items() if key in before and before[key] != value}


def told(changes: Changes) -> str:
    """As "batch 2 -> 3, scenes 1.0 -> 0.0"."""
    return ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changes.items())


def changes(found: Checkpoint, net: nn.Module, metadata: Mapping[str, str], plan: Plan) -> Changes:
    """How the settings a checkpoint was made with differ from those given, its end apart. Nothing is loaded.

    Args:
        net: what is to take the weights; metadata, plan: of the run that is to go on, see `trainer.loop.run`.

    Raises:
        CheckpointError: if it cannot go on: the network has another shape, the training is of another sort,
            or the checkpoint has no state of a training.
    """
    lacking = [name for name in NEEDED if name not in found.state]
    if lacking:
        raise CheckpointError(
            f"{found.path}: state.pt is no state of a training ({', '.join(lacking)} missing); choose another folder "
            "(-o), to begin with its weights by --start, say."
        )
    before = training_record(found.metadata) | found.state.get("plan", {})
    unlike = differences(before, training_record(metadata) | asdict(plan))
    unlike = {name: values for name, values in unlike.items() if name not in HOW_LONG}
    fits = _shapes(found.weights) == _shapes(net.state_dict())
    another = {name: values for name, values in unlike.items() if name in SORT or (name in SHAPE and not fits)}
    if another or not fits:
        raise CheckpointError(
            f"{found.path} is of another run: {told(another) or 'a network of another shape'}; "
            "choose another folder (-o), or give what it was begun with."
        )
    return {name: values for name, values in unlike.items() if name not in SHAPE}


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}
