"""`python -m export …`: from a checkpoint to what the filter loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.option(
    "--from-flowmag", type=click.Path(path_type=Path), metavar="CKPT", help="The same as the command flowmag."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="With --from-flowmag: the .onnx file to write.")
@click.pass_context
def main(context: click.Context, from_flowmag: Path | None, out: Path | None) -> None:
    """Export magfilter's networks."""
    if context.invoked_subcommand:
        if from_flowmag or out:
            raise click.UsageError(f"Give the options of {context.invoked_subcommand} behind its name.")
    elif from_flowmag and out:
        context.invoke(flowmag, checkpoint=from_flowmag, out=out)
    elif from_flowmag or out:
        raise click.UsageError("--from-flowmag CKPT and -o OUT go together.")
    else:
        click.echo(context.get_help())
        context.exit(2)


@main.command("onnx")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The .onnx file to write.")
@click.option("--note", default="", help="A sentence for the training record, on data and hardware.")
def onnx_(checkpoint: Path, out: Path, note: str) -> None:
    """Write what `python -m trainer train` made as ONNX, compared with torch.

    CHECKPOINT is a run's folder, one of its checkpoints, or a .safetensors file of weights.
    """
    from export.onnx import export_network, load_checkpoint

    try:
        net, record = load_checkpoint(checkpoint)
        if note:
            record["note"] = note
        worst = export_network(net, record["network"], out, record)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    _tell(out, record, worst)


@main.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The .onnx file to write.")
def flowmag(checkpoint: Path, out: Path) -> None:
    """Write a checkpoint (.pth) of the paper's own implementation, dangeng/flowmag, as ONNX."""
    from export.flowmag import export_flowmag

    try:
        worst, record = export_flowmag(checkpoint, out)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    _tell(out, record, worst)


def _tell(out: Path, record: dict[str, Any], worst: float) -> None:
    what = f"{record['steps']} steps" if "steps" in record else record.get("source", "no record of its training")
    click.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB, {what}, differs from torch by at most {worst:.1e}")


@main.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The .onnx file to write.")
def resampler(out: Path) -> None:
    """Write the graph that moves a plane's samples (it has no weights)."""
    from export.onnx import export_resampler

    export_resampler(out)
    click.echo(out)


if __name__ == "__main__":
    main(prog_name="python -m export")
