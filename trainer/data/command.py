"""`python -m trainer curate`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

__all__ = ["curate"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The index; gone on with."
)
@click.option("--flow", default="warp", show_default=True, help="Flow estimator, as in training; the paper's is RAFT.")
@click.option("--updates", default=20, show_default=True, help="Iterations of a RAFT.")
@click.option(
    "--stride", "strides", multiple=True, type=int, default=(1, 5), show_default=True, help="Frames between a pair's."
)
@click.option("--every", default=2, show_default=True, help="Pairs begin at every n-th frame.")
@click.option("--most", type=int, help="At most so many candidates a clip and stride, evenly spread.")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that paths in the index are relative to; default: the clips' common one. "
    "The first folder below it names a clip's source in the table.",
)
@click.option("--device", default="", help="torch device; default: CUDA if there is one, else the CPU.")
@click.option("--batch", default=4, show_default=True, help="Pairs whose flow is measured at once.")
def curate(
    clips: tuple[Path, ...],
    out: Path,
    flow: str,
    updates: int,
    strides: tuple[int, ...],
    every: int,
    most: int | None,
    root: Path | None,
    device: str,
    batch: int,
) -> None:
    """Choose pairs of frames from CLIPS to train on: small motion, a still camera, not the same frame twice.

    CLIPS are videos, folders of videos to any depth, or folders of numbered pictures. The same command
    goes on where a stopped one was.
    """
    from trainer.data.curate import curate as run
    from trainer.devices import find_device
    from trainer.flow import load_flow

    try:
        where = find_device(device)
        summary = run(
            clips, out, strides=strides, flow=load_flow(flow, device=where, updates=updates),
            flow_name=f"{flow}, {updates} updates", every=every, most=most, root=root, device=where, batch=batch,
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )  # fmt: skip
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        print(f"stopped; {out} holds the clips finished so far, and the same command goes on", file=sys.stderr)
        raise SystemExit(130) from None
    click.echo(summary.table())
