"""x–t slices: one line of the picture over time, the classic way to show magnified motion.

``python -m trainer.evaluation.slices IN.mp4 OUT.mp4 --line 320,40,320,200 -o slice.png``

Time runs to the right, the line from top (its first point) to bottom. Several videos are stacked,
the first on top: input above output.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .pairs import read_video

Line = tuple[float, float, float, float]
SEPARATOR = (255, 255, 255)  # RGB


def line_slice(video: Path | str, line: Line, *, first: int = 0, frames: int | None = None) -> np.ndarray:
    """The pixels along ``line`` (x0, y0, x1, y1) over time: (length, frames, 3) uint8 RGB.

    One sample a pixel of the line's length, bilinear; only the line of each frame is kept.
    """
    x0, y0, x1, y1 = line
    count = max(2, round(float(np.hypot(x1 - x0, y1 - y0))) + 1)
    xs = np.linspace(x0, x1, count, dtype=np.float32)[:, None]
    ys = np.linspace(y0, y1, count, dtype=np.float32)[:, None]
    columns = []
    for frame in read_video(Path(video), first, frames):
        height, width = frame.shape[:2]
        if min(x0, x1, y0, y1) < 0 or max(x0, x1) > width - 1 or max(y0, y1) > height - 1:
            raise ValueError(f"Line {x0:g},{y0:g},{x1:g},{y1:g} leaves the picture of {width}x{height} in {video}")
        columns.append(cv2.remap(frame, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    if not columns:
        raise ValueError(f"No frame in {video} from frame {first} on")
    return np.concatenate(columns, 1)


def stack(slices: Sequence[np.ndarray], *, scale: tuple[int, int] = (1, 1), separator: int = 2) -> np.ndarray:
    """Slices above each other, ``separator`` white pixels apart, on a common length of time.

    ``scale`` repeats each pixel (across time, along the line) times: no interpolation, so that what
    one sees is what was measured. A shorter video is filled with black at its end.
    """
    across, along = scale
    shown = [np.repeat(np.repeat(s, along, 0), across, 1) for s in slices]
    width = max(s.shape[1] for s in shown)
    parts: list[np.ndarray] = []
    for index, picture in enumerate(shown):
        if index and separator:
            parts.append(np.broadcast_to(np.array(SEPARATOR, np.uint8), (separator, width, 3)))
        parts.append(np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0))))
    return np.concatenate(parts, 0)


def write_slice(
    videos: Sequence[Path | str],
    line: Line,
    output: Path | str,
    *,
    first: int = 0,
    frames: int | None = None,
    scale: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Stack the slices of ``videos`` along ``line`` and write them to ``output`` (PNG); also returned."""
    picture = stack([line_slice(video, line, first=first, frames=frames) for video in videos], scale=scale)
    if not cv2.imwrite(str(output), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise OSError(f"Could not write {output}")
    return picture


def _line(text: str) -> Line:
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected x0,y0,x1,y1 in pixels, got {text!r}") from None
    return x0, y0, x1, y1


def _scale(text: str) -> tuple[int, int]:
    try:
        parts = [int(part) for part in text.split(",")]
        across, along = parts if len(parts) == 2 else (parts[0], parts[0])
    except (ValueError, IndexError):
        raise argparse.ArgumentTypeError(f"expected N or N,M, got {text!r}") from None
    if across < 1 or along < 1:
        raise argparse.ArgumentTypeError(f"expected factors of 1 or more, got {text!r}")
    return across, along


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m trainer.evaluation.slices``."""
    parser = argparse.ArgumentParser(prog="python -m trainer.evaluation.slices", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("videos", nargs="+", type=Path, metavar="IN", help="videos, stacked from top to bottom")
    parser.add_argument("--line", required=True, type=_line, metavar="X0,Y0,X1,Y1", help="in pixels")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="PNG")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="first frame (default 0)")
    parser.add_argument("--frames", type=int, metavar="N", help="number of frames (default: all)")
    parser.add_argument(
        "--scale", type=_scale, default=(1, 1), metavar="T[,L]", help="repeat pixels in time, along the line"
    )
    args = parser.parse_args(argv)
    try:
        picture = write_slice(
            args.videos, args.line, args.output, first=args.first, frames=args.frames, scale=args.scale
        )
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    print(f"{args.output}: {picture.shape[1]}x{picture.shape[0]}")


if __name__ == "__main__":
    main()
