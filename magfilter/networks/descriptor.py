"""What a network needs and promises, as data beside the network.

A descriptor travels in the checkpoint and in the ONNX file's metadata, so that no
code has to guess a model's needs from its name.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["DESCRIPTORS", "Descriptor"]


@dataclass(frozen=True)
class Descriptor:
    """The needs of one network."""

    name: str
    """Name of the architecture: `warp` or `unet`."""

    output: Literal["flow", "frame"]
    """`flow`: measures the motion, the runtime moves the pixels. `frame`: paints the magnified frame."""

    pad_multiple: int
    """Height and width of the network's input must be multiples of this."""

    channels: int
    """Planes of one input image: 1 (luma) or 3 (RGB), nominally 0..1."""

    alpha_range: tuple[float, float]
    """Magnification factors one pass is trained for; (0, inf) where the network does not see alpha."""

    output_stride: int
    """Pixels of the input per point of the output, in each direction."""

    def to_json(self) -> str:
        """As text for a model file's metadata."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Descriptor:
        """Read back what `to_json` wrote.

        Raises:
            ValueError, TypeError: if a field is missing, unknown or out of range.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"expected a JSON object, got {text!r}")
        low, high = values.get("alpha_range", (1, 0))
        values["alpha_range"] = (float(low), float(high))
        descriptor = Descriptor(**values)
        if descriptor.output not in ("flow", "frame") or descriptor.channels not in (1, 3):
            raise ValueError(f"unknown output {descriptor.output!r} or channels {descriptor.channels}")
        if descriptor.pad_multiple < 1 or descriptor.output_stride < 1 or not 0 <= low <= high:
            raise ValueError("pad_multiple, output_stride or alpha_range out of range")
        return descriptor


DESCRIPTORS: dict[str, Descriptor] = {
    "warp": Descriptor("warp", "flow", 64, 1, (0.0, float("inf")), 2),
    "unet": Descriptor("unet", "frame", 16, 3, (1.0, 16.0), 1),
}
