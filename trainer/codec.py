"""Pairs as a codec hands them on: encoded one after the other by x264, and decoded.

Compression between frames does to small motion what noise within frames cannot teach: a block
is taken over from the frame before as it was, or drawn a quarter of a pixel beside its
neighbour, so that an edge which moved evenly comes out as a row of steps.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import torch
from torch import Tensor

__all__ = ["compressed", "through_x264"]

CRF = (6, 24)  # from nothing visible lost to the codec's default; beyond, next to no small motion is left to learn from
BETWEEN = 4  # frames on the way from one to the other, at most
BEYOND = 2  # frames after the pair: x264 saves on what nothing else is predicted from
STEP = 1.0  # px, of motion that fading from one frame into the other still shows


def through_x264(frames: list[np.ndarray], crf: float, preset: str = "veryfast") -> list[np.ndarray]:
    """Encode and decode lumas as one stream that begins with a key frame.

    Args:
        frames: (H, W) uint8 each, all of one size; crf: x264's constant rate factor, 0 loses nothing; preset: x264's.

    Returns:
        As many frames of the same shape.
    """
    height, width = frames[0].shape
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "gray"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {"crf": f"{crf:g}", "preset": preset}
    decoder = av.CodecContext.create("h264", "r")
    encoder.thread_count = decoder.thread_count = 1
    packets = []
    for n, array in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(array, "gray")
        frame.pts = n
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    return [frame.to_ndarray()[:height] for frame in decoded]  # chroma, which the decoder adds, lies below


def compressed(
    reference: Tensor, frame: Tensor, share: float, g: torch.Generator, fastest: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """A share of the pairs as x264 would hand them on, at a rate factor drawn for each.

    Args:
        reference, frame: (B, 1, H, W) luma in 0..1, sides even; a pair is the first and a later frame of its stream.
        share: of the pairs, 0 to 1; the others stay as they are.
        g: draws which, how many frames lie between, and how they are encoded.
        fastest: (B,) px, the largest motion of each pair where it is known. Slow pairs then get frames
            on the way, faded from one to the other: the later is predicted from what has already lost something.

    Returns:
        (reference, frame), new tensors on the same device.
    """
    pairs = torch.stack([reference, frame], 1)  # (B, 2, 1, H, W)
    drawn = torch.rand(len(pairs), 4, generator=g, device=g.device).cpu()
    which = [k for k in range(len(pairs)) if float(drawn[k, 0]) < share]

    def one(k: int) -> Tensor:
        _, rate, between, preset = drawn[k].tolist()
        slow = fastest is not None and float(fastest[k]) <= STEP
        steps = 1 + (round(between * BETWEEN) if slow else 0)
        ends = pairs[k, :, 0].float().cpu()
        there = [n / steps for n in range(steps + 1)]
        back = [1 - (n + 1) / BEYOND / 2 if slow else 1.0 for n in range(BEYOND)]
        way = [torch.lerp(ends[0], ends[1], amount) for amount in there + back]
        coded = through_x264(
            [(image * 255).round().clamp(0, 255).byte().numpy() for image in way],
            CRF[0] + rate * (CRF[1] - CRF[0]),
            "medium" if preset < 0.5 else "veryfast",
        )
        return torch.from_numpy(np.stack([coded[0], coded[steps]]))[:, None]

    if which:
        pairs = pairs.clone()
        with ThreadPoolExecutor(min(len(which), os.cpu_count() or 1)) as pool:  # x264 lets go of the interpreter
            coded = torch.stack(list(pool.map(one, which)))
        pairs[torch.tensor(which, device=pairs.device)] = (coded.float() / 255).to(pairs)
    return pairs[:, 0].contiguous(), pairs[:, 1].contiguous()
