"""``python -m trainer.evaluation {known,subpixel,real,still,all} --method copy|warp-dis|exact|model:NAME_OR_PATH``.

Prints Markdown tables; ``--json FILE`` keeps the numbers. ``--quick`` uses fewer pairs and scenes:
for a look between two training runs, not for a table to publish.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import protocol
from .estimators import ESTIMATORS
from .methods import Method, copy, method
from .pairs import CACHE, EVAL_ROOT, real_pairs
from .scenes import BACKGROUNDS
from .ssim import REGIONS
from .subpixel import ALL_LEVELS, LEVELS, WANTED, wanted_gain

ALPHAS = (2, 4, 10, 16)
STILL = 0.1  # px; how far the project may move what stands still, on average


def known(magnify: Method, args: argparse.Namespace) -> dict[str, Any]:
    """Realised over due displacement of known objects; prints its table."""
    scenes = protocol.known_motion_scenes(args.scenes or (20 if args.quick else 32), seed=args.seed)
    alphas = (10,) if args.quick else (2, 5, 10)
    noise = 1.0 if args.noise is None else args.noise
    rows = protocol.known_motion(magnify, scenes, alphas=alphas, noise=noise)
    print(f"\n### Known motion: {args.method}, {len(scenes)} scenes, sensor noise {noise:g}/255\n")
    print("| motion (px) | alpha | due (px) | realised/due, median (quartiles) "
          "| across (px) | background (px) | PSNR (dB) |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for r in rows:
        print(f"| {r['d']:g} | {r['alpha']:g} | {r['d'] * r['alpha']:g} "
              f"| {r['ratio']:.2f} ({r['low']:.2f}–{r['high']:.2f}) | {r['across']:.2f} "
              f"| {r['background']:.3f} | {r['psnr']:.1f} |")  # fmt: skip
    return {"rows": rows, "noise": noise, "seed": args.seed}


def subpixel(magnify: Method, args: argparse.Namespace) -> dict[str, Any]:
    """SSIM and realised gain at 10 px from ever slower motion; prints its table and what is wanted of it."""
    count = args.scenes or (20 if args.quick else 32)
    scenes = protocol.known_motion_scenes(count, seed=args.seed, background=args.background)
    noise = args.noise or 0.0
    rows = protocol.subpixel(magnify, scenes, ALL_LEVELS if args.full else LEVELS, noise=noise)
    print(f"\n### Subpixel test: {args.method}, magnified to 10 px, {len(scenes)} scenes, "
          f"{args.background} background, sensor noise {noise:g}/255\n")  # fmt: skip
    print("| motion (px) | alpha | SSIM, median | mean | unmagnified, median | mean | gain, median (quartiles) "
          "| background (px) |", *(f" {name} (of loss) |" for name in REGIONS), sep="")  # fmt: skip
    print("|---" * (8 + len(REGIONS)) + "|")
    for r in rows:
        numbers = " | ".join(f"{r[key]:.3f}" for key in ("ssim", "ssim_mean", "copy", "copy_mean"))
        parts = " | ".join(f"{r[f'ssim_{name}']:.3f} ({r[f'lost_{name}']:.0%})" for name in REGIONS)
        print(f"| {r['d']:g} | {r['alpha']:.4g} | {numbers} | {r['gain']:.3f} ({r['low']:.3f}–{r['high']:.3f}) "
              f"| {r['background']:.3f} | {parts} |")  # fmt: skip
    failed = [f"SSIM at {r['d']:g} px" for r in rows if r["ssim"] < WANTED.get(r["d"], 0)]
    failed += [f"gain at {r['d']:g} px" for r in rows if abs(r["gain"] - 1) > wanted_gain(r["d"])]
    wanted = ", ".join(f"{value:.2f} at {d:g} px" for d, value in WANTED.items())
    print(f"\nWanted: SSIM {wanted}; gain within 10 % from 0.2 px on, within 20 % below. Missed: "
          f"{', '.join(failed) or 'nothing'}.")  # fmt: skip
    return {"rows": rows, "background": args.background, "noise": noise, "seed": args.seed, "missed": failed}


def real(magnify: Method, args: argparse.Namespace) -> dict[str, Any]:
    """The paper's motion error on real pairs, beside the unmagnified frame's; prints its table."""
    pairs = real_pairs(args.eval_root, args.limit, quick=args.quick, cache=args.cache)
    spread = len({name.split("#")[0] for name, _, _ in pairs})
    methods = {"method": magnify, "copy": copy}
    alphas = (4, 10) if args.quick else ALPHAS
    errors = protocol.real_errors(methods, pairs, alphas, args.flow)
    print(f"\n### Motion error on real pairs (px): {args.method}, {len(pairs)} pairs of {spread} clips\n")
    print("| flow | alpha | median | mean | copy, median | copy, mean | ratio of medians | ratio of means |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for flow in args.flow:
        for alpha in alphas:
            ours, copied = (errors[name, flow, float(alpha)] for name in ("method", "copy"))
            row = {
                "flow": flow, "alpha": float(alpha),
                "median": float(np.median(ours)), "mean": float(ours.mean()),
                "copy_median": float(np.median(copied)), "copy_mean": float(copied.mean()),
            }  # fmt: skip
            row["ratio"] = row["median"] / row["copy_median"]
            row["ratio_mean"] = row["mean"] / row["copy_mean"]
            rows.append(row)
            numbers = ("median", "mean", "copy_median", "copy_mean", "ratio", "ratio_mean")
            print(f"| {flow} | {alpha:g} | " + " | ".join(f"{row[key]:.3f}" for key in numbers) + " |")
    each = {f"{m}/{f}/{a:g}": values.tolist() for (m, f, a), values in errors.items()}
    return {"rows": rows, "pairs": [name for name, _, _ in pairs], "each": each}


def still(magnify: Method, args: argparse.Namespace) -> dict[str, Any]:
    """Noise added to a still clip, and how far it is moved; prints a small table."""
    photos = protocol.photographs(4 if args.quick else 8, args.eval_root)
    ratio = protocol.still_noise_ratio(magnify, photos)
    applied, registered = protocol.still_displacement(magnify, photos)
    print(f"\n### Still clip with noise of 2/255: {args.method}, {len(photos)} photographs\n")
    print("| measured | alpha | value | wanted |")
    print("|---|---|---|---|")
    print(f"| std(output − input) / std(noise) | 10 | {ratio:.3f} | |")
    print(f"| mean displacement applied (px) | 20 | {applied:.4f} | < {STILL} |")
    print(f"| mean displacement of tiles, registered (px) | 20 | {registered:.4f} | |")
    return {"ratio": ratio, "applied": None if np.isnan(applied) else applied, "registered": registered}


TABLES = {"known": known, "subpixel": subpixel, "real": real, "still": still}


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m trainer.evaluation``."""
    parser = argparse.ArgumentParser(prog="python -m trainer.evaluation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("table", choices=[*TABLES, "all"])
    parser.add_argument("--method", required=True, help="copy, warp-dis, exact or model:NAME_OR_PATH")
    parser.add_argument("--quick", action="store_true", help="24 pairs, 20 scenes, fewer factors")
    parser.add_argument("--full", action="store_true", help="all 15 levels in subpixel")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    parser.add_argument("--flow", nargs="+", choices=sorted(ESTIMATORS), default=["dis", "spynet"], help="for real")
    parser.add_argument("--limit", type=int, metavar="N", help="at most this many real pairs")
    parser.add_argument("--background", choices=BACKGROUNDS, default="moving", help="in subpixel (default: moving)")
    parser.add_argument("--scenes", type=int, metavar="N", help="number of scenes in known and subpixel")
    parser.add_argument("--noise", type=float, help="sensor noise, levels (default: known 1, subpixel 0)")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes of known motion")
    parser.add_argument("--eval-root", type=Path, default=EVAL_ROOT, metavar="DIR")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help=f"(default {CACHE})")
    args = parser.parse_args(argv)
    try:
        magnify = method(args.method)
        names = list(TABLES) if args.table == "all" else [args.table]
        found = {name: TABLES[name](magnify, args) for name in names}
    except (FileNotFoundError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    if args.json:
        args.json.write_text(json.dumps({"method": args.method, "quick": args.quick, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
