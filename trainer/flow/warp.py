"""Our own `warp` network as an estimator for the losses: it measures a twentieth of a pixel, which RAFT does not."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from magfilter.networks.build import build_network
from trainer.checkpoint import CheckpointError, fill, load_weights
from trainer.textures import LUMA

__all__ = ["WarpFlow", "load_warp_flow"]


class WarpFlow(nn.Module):
    """`warp` for two (B, 3, H, W) RGB batches in 0..1 of any size → flow (B, 2, H, W), px.

    The gradient reaches the images through the finest scale alone: what coarser ones found is held there
    (see `WarpNet.pyramid`), as RAFT holds the flow between its updates.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        height, width = one.shape[-2:]
        multiple = int(self.net.pad_multiple)  # type: ignore[arg-type]
        pad = (0, -width % multiple, 0, -height % multiple)
        weights = one.new_tensor(LUMA).view(1, 3, 1, 1)
        pair = [F.pad((image * weights).sum(1, keepdim=True), pad, mode="replicate") for image in (one, two)]
        full = F.interpolate(self.net(*pair), scale_factor=2, mode="bilinear", align_corners=False)
        return full[..., :height, :width]


def load_warp_flow(path: Path) -> WarpFlow:
    """From a run, .safetensors or .onnx.

    Raises:
        CheckpointError: if it holds no `warp`.
    """
    weights, _ = load_weights(path)
    try:
        net = build_network("warp", weights=weights)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    fill(net, weights, path)
    return WarpFlow(net)
