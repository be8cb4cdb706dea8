"""Everything that a GPU machine is asked, in one command and inside ten minutes.

    python -m benchmarks.gpu -o benchmarks/results [--minutes 9]

Rows are measured in the order of their importance and written after each one, as JSON and Markdown named by the
device: whatever happens to the machine, the main rows are there. `--dry` goes the same ways on a CPU, at tiny sizes,
whose figures mean nothing. Needs torch; rows from file to file need PyAV, rows of other engines what those need.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from pathlib import Path
from typing import Any

import click

from benchmarks.budget import Budget, Entry, Record, work_through
from benchmarks.figures import FROM_FIRST
from benchmarks.gpu_rows import MEGAPIXELS, Bench
from benchmarks.machine import describe_machine, gpu_name
from benchmarks.markdown import figure, table

HD, SD = (1080, 1920), (544, 960)
DRY_HD, DRY_SD = (120, 192), (64, 128)

NETWORKS, ENGINES, WHOLE, RATES = "networks alone", "through a backend", "file to file", "matrix rates"
UNET, WARP = "unet fp16, 1080p", "warp fp16, 1080p"
REFERENCE, STRICT = "reference, 1080p", "reference without TF32, 1080p"
TARGETS = (
    ("unet fp16 1080p alone: share of the measured matrix rate", UNET, "share of matrix rate", 0.40, True),
    ("unet fp16 1080p alone: times the reference (PyTorch's settings)", UNET, "× reference", 6, True),
    ("unet fp16 1080p alone: times the reference without TF32", UNET, "× reference without TF32", 6, True),
    ("warp 1080p alone, whole picture: frames/s", WARP, "frames/s", 500, True),
    (
        "1080p file to file from the first frame: time / plain transcode",
        "1080p, file to file",
        FROM_FIRST,
        1.15,
        False,
    ),
)
"""What issue 6 asks: title, row, figure, bound, and whether more is better."""


def entries(bench: Bench, hd: tuple[int, int], sd: tuple[int, int]) -> list[Entry]:
    """All measurements, the important ones first; seconds are on the safe side for a data-centre GPU."""
    dry = bench.device == "cpu"
    out = [
        Entry(RATES, "fp16", 15, lambda: bench.matrix_row("fp16")),
        Entry(NETWORKS, REFERENCE, 20, lambda: bench.reference_row(hd)),
        Entry(NETWORKS, UNET, 30, lambda: bench.network_row("unet", hd)),
        Entry(NETWORKS, WARP, 30, lambda: bench.network_row("warp", hd)),
        Entry(NETWORKS, STRICT, 20, lambda: bench.reference_row(hd, strict=True)),
        Entry(NETWORKS, "warp fp16, 1080p through the filter's proxy", 30,
              lambda: bench.network_row("warp", hd, MEGAPIXELS)),
        Entry(RATES, "tf32", 10, lambda: bench.matrix_row("tf32")),
        Entry(RATES, "fp32", 10, lambda: bench.matrix_row("fp32")),
    ]  # fmt: skip
    for backend in ("onnxruntime-cuda", "tensorrt", "torch", *(["onnxruntime-cpu"] if dry else [])):
        for name, precision, proxy in (("warp", "fp32", MEGAPIXELS), ("unet", "fp16", 0.0), ("warp", "fp16", 0.0)):
            # TensorRT builds an engine first.
            seconds = 150 if backend == "tensorrt" else 60
            # The torch backend reads weights by their names and halves them itself.
            kept = "fp32" if backend == "torch" else precision
            if backend == "torch" and (name, precision) == ("warp", "fp16"):
                continue
            if dry and precision == "fp16" and (name == "warp" or backend == "torch"):
                continue  # exporting takes long on a CPU, and one shows what there is to see
            out.append(
                Entry(ENGINES, f"{name}, {backend}, 1080p", seconds,
                      lambda n=name, b=backend, k=kept, p=proxy: bench.engine_row(n, b, hd, k, p))
            )  # fmt: skip
    out.append(Entry(WHOLE, "1080p, file to file", 120, lambda: bench.whole_rows(hd)))
    out += [
        Entry(NETWORKS, "reference, 960x544", 15, lambda: bench.reference_row(sd)),
        Entry(NETWORKS, "unet fp16, 960x544", 20, lambda: bench.network_row("unet", sd)),
        Entry(NETWORKS, "warp fp16, 960x544", 20, lambda: bench.network_row("warp", sd)),
    ]
    return out


def judge(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of what is asked: measured, met or not, or open."""
    out = []
    strict = next((row for row in content["rows"] if row["row"] == STRICT), None)
    for title, name, what, bound, more in TARGETS:
        rows = [dict(row) for row in content["rows"] if row["row"] == name]
        for row in rows:
            if strict and row.get("ms"):
                row["× reference without TF32"] = strict["ms"] / row["ms"]
        got = [row[what] for row in rows if row.get(what) is not None and row.get("what") != "plain"]
        value = (max(got) if more else min(got)) if got else None
        met = value is not None and (value >= bound if more else value <= bound)
        verdict = "open" if value is None else "yes" if met else "no"
        if content["about"].get("dry run"):
            verdict = "dry run: means nothing"
        asked = f"{'≥' if more else '≤'} {bound:g}"
        out.append({"asked": title, "bound": asked, "measured": value, "met": verdict})
    return out


def as_markdown(content: dict[str, Any]) -> str:
    """The page of a device."""
    about = content["about"]
    parts = [f"# {about['device']}"]
    if about.get("dry run"):
        parts.append(f"**DRY RUN: {about['dry run']}**")
    parts += [table([{"machine": key, "": value} for key, value in about.items() if key != "dry run"])]
    parts += [table(judge(content))]
    for group in (RATES, NETWORKS, ENGINES, WHOLE):
        rows = [
            {key: value for key, value in row.items() if key != "group"}
            for row in content["rows"]
            if row["group"] == group
        ]
        if rows:
            parts += [f"## {group.capitalize()}", table(rows)]
    if content["open"]:
        parts += ["## Open", "\n".join(f"- {row['row']}: {figure(row['why'])}" for row in content["open"])]
    return "\n\n".join(parts)


def slug(text: str) -> str:
    """ "NVIDIA H200" → "nvidia-h200"."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


@click.command()
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write to."
)
@click.option("--minutes", default=9.0, show_default=True, help="All it may take; it ends then, whatever it is doing.")
@click.option("--dry", is_flag=True, help="On a CPU, at tiny sizes: does it all run?")
def main(out: Path, minutes: float, dry: bool) -> None:
    """Measure this machine's GPU and write what was found."""
    budget = Budget(60 * minutes)
    try:
        import torch
    except ImportError:
        raise click.ClickException("torch is not installed, and nothing here goes without it") from None
    if not dry and not torch.cuda.is_available():
        raise click.ClickException("torch sees no CUDA device; --dry runs on the CPU, benchmarks.table measures it")
    name = "cpu, dry run" if dry else gpu_name()
    about: dict[str, Any] = {"device": name, **describe_machine()}
    if dry:
        about["dry run"] = "tiny sizes and a thin network on a CPU; no figure here means anything"
    record = Record(out / slug(name), about, as_markdown)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        here = Path(folder)
        tiny: dict[str, Any] = {"width": 4, "seconds": 0.05, "side": 128, "runs": 1, "clip": 0.2} if dry else {}
        bench = Bench("cpu" if dry else "cuda", here, **tiny)

        def cut() -> None:
            record.leave_open("the row in progress and all after it", f"{minutes:g} minutes were up")
            print(as_markdown(record.content), flush=True)
            os._exit(0)  # a library in the middle of its work listens to nothing else

        watchdog = threading.Timer(60 * minutes, cut)
        watchdog.daemon = True
        watchdog.start()
        sizes = (DRY_HD, DRY_SD) if dry else (HD, SD)
        try:
            work_through(entries(bench, *sizes), budget, record, lambda text: click.echo(text, err=True))
        finally:
            watchdog.cancel()
    click.echo(as_markdown(record.content))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.gpu")
