"""What a network needs and promises, as data beside the network.

A descriptor travels in the checkpoint and in the ONNX file's metadata, so that no
code has to guess a model's needs from its name.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["DESCRIPTORS", "Descriptor"]

MOST_PX = 1024  # to which a picture is padded, or of which one point of the output tells
SHOWN = 80  # characters of a text that is none


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
        try:
            values = json.loads(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if not isinstance(values, dict):
            raise ValueError(f"expected a JSON object, got {text[:SHOWN]!r}")
        low, high = values.get("alpha_range", (1, 0))
        values["alpha_range"] = (float(low), float(high))
        descriptor = Descriptor(**values)
        descriptor._check()
        return descriptor

    def _check(self) -> None:
        """Raise ValueError for what no network of ours needs, and the runtime would stumble over."""
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be text, got {self.name!r}")
        if self.output not in ("flow", "frame"):
            raise ValueError(f"output must be flow or frame, got {self.output!r}")
        for key, value in (("pad_multiple", self.pad_multiple), ("output_stride", self.output_stride)):
            if type(value) is not int or not 1 <= value <= MOST_PX:
                raise ValueError(f"{key} must be a whole number, 1 to {MOST_PX}, got {value!r}")
        if type(self.channels) is not int or self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {self.channels!r}")
        if self.output == "frame" and (self.channels != 3 or self.output_stride != 1):
            raise ValueError("what paints frames takes 3 channels and gives a point for every pixel")
        low, high = self.alpha_range
        if not 0 <= low <= high or high <= 1:  # a factor is divided into passes of at most `high`
            raise ValueError(f"alpha_range must be two factors, the second above 1, got {low:g} and {high:g}")


DESCRIPTORS: dict[str, Descriptor] = {
    "warp": Descriptor("warp", "flow", 64, 1, (0.0, float("inf")), 2),
    "unet": Descriptor("unet", "frame", 16, 3, (1.0, 16.0), 1),
}
