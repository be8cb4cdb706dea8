"""torch: for people who have it anyway. No other engine needs it, and no other module of the runtime imports it but
those of `magfilter.device`, which render with it on a GPU.

On CUDA convolutions are computed in half precision, channels last, and replayed as a CUDA graph; that has not run
on a GPU yet, and neither has MPS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from magfilter.backends.graphed import ready
from magfilter.device.render import TorchRenderer
from magfilter.device.resample import moved
from magfilter.errors import BackendError, ModelError
from magfilter.models import ModelInfo, parse_metadata
from magfilter.networks.build import build_network
from magfilter.networks.precision import fold

__all__ = ["TorchEngine"]

Array = NDArray[np.float32]


class TorchEngine:
    """A model's weights, read from its ONNX file, in the torch network. See `magfilter.backends.Engine`."""

    name = "torch"
    why = ""
    at_once = 1

    def __init__(self, path: Path, device: str, threads: int) -> None:
        if threads:
            torch.set_num_threads(threads)
        self._device = _pick(device)
        self.device = str(self._device)
        self.net, self.model = _load(path)
        try:
            self._run: Callable[..., Tensor] = ready(self.net, self._device)
        except ValueError as error:
            raise ModelError(f"{path}: {error}; choose --backend onnxruntime-cuda") from None
        # On a CPU NumPy is faster.
        self.renderer = TorchRenderer(self._device) if self._device.type == "cuda" else None
        self._reference: tuple[Array, Tensor] | None = None

    @torch.inference_mode()
    def run(self, reference: Array, frame: Array, alpha: float | Array) -> Array:
        if self._reference is None or self._reference[0] is not reference:
            self._reference = (reference, self._send(reference))
        inputs = [self._reference[1], self._send(frame)]
        if self.model.descriptor.output == "frame":
            factors = torch.as_tensor(alpha, dtype=torch.float32, device=self._device)
            inputs.append(factors[None, None] if factors.dim() else factors.view(1, 1, 1, 1))
        result: Array = self._run(*inputs)[0].float().cpu().numpy()
        return result

    def _send(self, image: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(image))[None].to(self._device)

    @torch.inference_mode()
    def resample(self, plane: NDArray[Any], displacement: Array, step: tuple[float, float], peak: int) -> NDArray[Any]:
        field = torch.from_numpy(np.ascontiguousarray(displacement)).to(self._device)
        source = torch.from_numpy(plane.astype(np.float32)).to(self._device)
        result: NDArray[Any] = moved(source[None], field, step, peak)[0].cpu().numpy().astype(plane.dtype)
        return result


def _load(path: Path) -> tuple[nn.Module, ModelInfo]:
    """The network with a file's weights, in single precision, and what the file says of itself."""
    try:
        file = onnx.load(str(path))
    except Exception as error:  # protobuf and onnx raise unrelated classes
        raise ModelError(f"{path}: cannot be read as an ONNX model ({error}); download or export it again") from None
    info = parse_metadata(path, {item.key: item.value for item in file.metadata_props})
    stored = {item.name.removesuffix(".half"): item for item in file.graph.initializer}
    shapes = {name: torch.empty(tuple(item.dims), device="meta") for name, item in stored.items()}
    net = _like(path, info, shapes).eval()
    if info.precision == "fp16":
        fold(net)  # as the exporter did
    state = net.state_dict()
    lacking = [key for key in state if key not in stored and not key.endswith("num_batches_tracked")]
    if lacking:
        raise ModelError(
            f"{path}: folded for ONNX Runtime, the weights of {lacking[0]} are not in it; "
            "use --backend onnxruntime, or export it again"
        )
    for key, value in state.items():
        if key in stored:
            array = numpy_helper.to_array(stored[key]).astype(np.float32)
            state[key] = torch.from_numpy(array.copy()).reshape(value.shape)
    net.load_state_dict(state)
    return net, info


def _like(path: Path, info: ModelInfo, shapes: Mapping[str, Tensor]) -> nn.Module:
    try:
        return build_network(info.descriptor.name, int(info.record.get("width", 0)), weights=shapes)
    except ValueError as error:
        raise ModelError(
            f"{path}: folded for ONNX Runtime ({error}); use --backend onnxruntime, or export it again"
        ) from None


def _pick(device: str) -> torch.device:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        line = str(error).strip().splitlines()[0]
        raise BackendError(f"torch cannot use device {device!r} ({line}); choose --device cpu") from None
    return chosen
