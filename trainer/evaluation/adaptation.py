"""What adaptation wins on real clips: ``python -m trainer.evaluation.adaptation CLIP… --minutes 3``.

Each clip's network is fitted to it (``trainer.adapt``), and the paper's motion error is measured
before and after with estimators that took no part in it, on pairs (frame 0, frame t) of frames spread
over the clip. DIS has a say in what is kept, SpyNet has none. Rendered by the evaluation's plain backward
warp, so that nothing needs exporting.

``--bounds`` adapts nothing, and says what there is to be won: the error of the frame as it is, of the network,
and of each judge's own flow in the network's place. By a judge, its own flow is about the best there can be.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from magfilter.models import DEFAULT_MODEL, find_model
from trainer.ablation import network_method
from trainer.adapt import adapt, read_frames
from trainer.evaluation.estimators import estimator
from trainer.evaluation.methods import Method, copy, warp_by_flow
from trainer.evaluation.protocol import motion_error

__all__ = ["clip_error", "main"]

FRAMES = 8  # pairs judged of every clip
ALPHA = 4.0


def clip_error(magnify: Method, frames: np.ndarray, judges: Sequence[str], alpha: float = ALPHA) -> dict[str, float]:
    """Median motion error, px, by each judge; ``frames`` (N, H, W, 3) uint8, the first is the reference."""
    engines = {name: estimator(name) for name in judges}
    errors: dict[str, list[float]] = {name: [] for name in judges}
    for frame in frames[1:]:
        magnified = magnify(frames[0], frame, alpha)
        for name, engine in engines.items():
            errors[name].append(motion_error(frames[0], frame, magnified, alpha, engine))
    return {name: float(np.median(values)) for name, values in errors.items()}


def bounds(clips: Sequence[Path], model: Path, judges: Sequence[str]) -> str:
    """What each judge says of the frame as it is, of the network, and of the flow of every judge, as Markdown.

    Below it, for each judge, how far below the network's the errors of the others are, in the median over the clips.
    """
    methods = {"copy": copy, "network": network_method(model)}
    methods |= {f"{name}'s flow": warp_by_flow(estimator(name)) for name in judges}
    rows: list[list[str]] = []
    against: dict[str, list[list[float]]] = {judge: [] for judge in judges}
    for clip in clips:
        frames = read_frames(clip, FRAMES).permute(0, 2, 3, 1).contiguous().numpy()
        found = [clip_error(method, frames, judges) for method in methods.values()]
        rows += [[clip.stem, judge, *(f"{errors[judge]:.3f}" for errors in found)] for judge in judges]
        for judge in judges:
            against[judge].append([errors[judge] / found[1][judge] - 1 for errors in found])
    lines = [["clip", "measured with", *methods], ["---"] * (2 + len(methods)), *rows]
    out = [f"| {' | '.join(line)} |" for line in lines]
    for judge, changes in against.items():
        medians = zip(methods, np.median(changes, 0), strict=True)
        told = ", ".join(f"{name} {change:+.1%}" for name, change in medians if name != "network")
        out += ["", f"{judge}, against the network, median: {told}"]
    return "\n".join(out)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a Markdown table, a clip a row."""
    parser = argparse.ArgumentParser(prog="python -m trainer.evaluation.adaptation", description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"a shipped model's name or a file (default {DEFAULT_MODEL})"
    )
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--flow", default="warp", help="estimator that the adaptation uses")
    parser.add_argument("--judge", nargs="+", default=["dis", "spynet"], help="estimators that judge")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--bounds", action="store_true", help="what could be won, instead of what is")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    model = find_model(args.model) if not Path(args.model).exists() else Path(args.model)
    if args.bounds:
        print(bounds(args.clips, model, args.judge))
        return
    changes = dict(text.partition("=")[::2] for text in args.settings)
    heads = [f"{judge}, {when}" for judge in args.judge for when in ("before", "after", "change")]
    print(f"\n### Motion error before and after {args.minutes:g} minutes of adaptation, alpha {ALPHA:g} (px)\n")
    print("| clip | loss before | after | " + " | ".join(heads) + " |")
    print("|---|---|---|" + "---|" * len(heads), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for clip in args.clips:
            target = Path(folder) / f"{clip.stem}.safetensors"
            found = adapt(clip, target, model=model, minutes=args.minutes, flow=args.flow, changes=changes)
            frames = read_frames(clip, FRAMES).permute(0, 2, 3, 1).contiguous().numpy()
            before, after = (clip_error(network_method(weights), frames, args.judge) for weights in (model, target))
            cells = []
            for judge in args.judge:
                change = after[judge] / before[judge] - 1
                cells += [f"{before[judge]:.4f}", f"{after[judge]:.4f}", f"{change:+.1%}"]
            print(f"| {clip.stem} | {found.before:.4f} | {found.after:.4f} | " + " | ".join(cells) + " |", flush=True)
            rows.append({"clip": clip.name, "loss": [found.before, found.after], "before": before, "after": after})
    for judge in args.judge:
        changes_ = [row["after"][judge] / row["before"][judge] - 1 for row in rows]  # type: ignore[index]
        lower = sum(change < 0 for change in changes_)
        print(f"\n{judge}: lower on {lower} of {len(rows)} clips, median change {np.median(changes_):+.1%}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
