"""A torch network made ready for a device: in half precision, channels last and as a CUDA graph where that is CUDA.

Has no need of a model file, so that benchmarks can run a network of random weights as the torch backend would. That
part for CUDA has not run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from magfilter.networks.precision import halve

__all__ = ["ready"]


def ready(net: nn.Module, device: torch.device) -> Callable[..., Tensor]:
    """The network as the torch backend calls it; on CUDA its weights are changed in place.

    Args:
        net: in evaluation mode, in single precision.

    Raises:
        ValueError: if a weight does not fit into the half precision that CUDA computes in.
    """
    net = net.to(device)
    if device.type != "cuda":
        return net
    # Tensor cores want channels last; elsewhere nothing is gained by it.
    return _Graphed(halve(net).to(memory_format=torch.channels_last))  # type: ignore[call-overload]


class _Graphed:
    """A network on CUDA, recorded once for the shapes it is called with and replayed after that."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.given: list[Tensor] = []
        self.output = torch.empty(0)

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self.graph is None or [x.shape for x in inputs] != [x.shape for x in self.inputs]:
            self._record([x.clone() for x in inputs])
        else:
            for place, new, old in zip(self.inputs, inputs, self.given, strict=True):
                if new is not old:  # the reference is the same tensor for as long as it is the reference
                    place.copy_(new)
        self.given = list(inputs)
        assert self.graph is not None
        self.graph.replay()
        return self.output

    def _record(self, inputs: list[Tensor]) -> None:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries choose their kernels on the first runs, which cannot be recorded
            for _ in range(3):
                self.net(*inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Another thread may be resampling meanwhile, which is no part of it.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self.output = self.net(*inputs)
        self.graph, self.inputs = graph, inputs
