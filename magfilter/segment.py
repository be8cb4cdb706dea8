"""`--segment x,y`: a click makes the mask, by Segment Anything (paper §3.4).

The package and its weights are the user's to bring; nothing here imports either before it is asked to.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import BackendError, InputError, OptionError

__all__ = ["check_segmenter", "segment"]

KINDS = ("vit_h", "vit_l", "vit_b")  # the published weights say in their names which they are


def check_segmenter(weights: str | os.PathLike[str] | None) -> str:
    """The kind of network that `weights` are of, if everything is there that `segment` needs.

    Raises:
        BackendError: Segment Anything is not installed.
        OptionError: no weights were named, or their name does not say which they are.
        InputError: the file is not there.
    """
    _package()
    if weights is None:
        raise OptionError(
            "--segment needs the weights of Segment Anything; download one of the files that its authors publish, "
            "and add --segment-weights sam_vit_b_01ec64.pth"
        )
    name = Path(weights).name
    kind = next((kind for kind in KINDS if kind in name), None)
    if kind is None:
        raise OptionError(f"{name} does not say which network it is for; its name must hold one of: {', '.join(KINDS)}")
    if not Path(weights).is_file():
        raise InputError(f"{os.fspath(weights)} does not exist; check the path of --segment-weights")
    return kind


def _package() -> Any:
    try:
        return importlib.import_module("segment_anything")
    except (ImportError, OSError, RuntimeError) as error:  # not there, or torch and torchvision do not fit each other
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackendError(
            f"--segment needs Segment Anything ({line}); pip install segment-anything torch torchvision, "
            "or give a mask made elsewhere with --mask FILE"
        ) from None


def segment(
    picture: NDArray[np.uint8], clicks: Sequence[tuple[int, int]], weights: str | os.PathLike[str], device: str = "auto"
) -> NDArray[np.bool_]:
    """The mask (H, W) of the thing that was clicked on.

    Args:
        picture: (H, W, 3) RGB.
        clicks: (x, y) px, all on the same thing.
        weights: file of Segment Anything's weights.
        device: "auto", or a device of torch.

    Raises:
        BackendError, OptionError, InputError: as `check_segmenter`; or the weights or the device are no good.
        OptionError: nothing was found there.
    """
    kind = check_segmenter(weights)
    package = _package()
    if device == "auto":
        device = "cuda" if importlib.import_module("torch").cuda.is_available() else "cpu"
    try:
        network = package.sam_model_registry[kind](checkpoint=os.fspath(weights))
    except Exception:  # whatever torch and pickle raise, some of it advice that does not apply
        raise InputError(
            f"{os.fspath(weights)} holds no weights of Segment Anything's {kind}; download it again"
        ) from None
    try:
        predictor = package.SamPredictor(network.to(device))
    except (RuntimeError, AssertionError) as error:
        line = str(error).strip().splitlines()[0]
        raise BackendError(f"torch cannot use device {device!r} ({line}); choose --device cpu") from None
    predictor.set_image(np.ascontiguousarray(picture))
    points, labels = np.array(clicks, np.float32), np.ones(len(clicks), np.int64)
    # One click may mean the sleeve, the coat or the person: of the three answers the surest is taken.
    masks, scores, _ = predictor.predict(points, labels, multimask_output=len(clicks) == 1)
    mask: NDArray[np.bool_] = np.asarray(masks[int(np.argmax(scores))], bool)
    if not mask.any():
        where = " and ".join(f"{x},{y}" for x, y in clicks)
        raise OptionError(f"Segment Anything found nothing at {where}; click on the middle of the object")
    return mask
