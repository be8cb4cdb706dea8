"""`python -m export …`: from a checkpoint to what the filter loads."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Export magfilter's networks."""


@main.command("onnx")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The .onnx file to write.")
@click.option("--note", default="", help="A sentence for the training record, on data and hardware.")
def onnx_(checkpoint: Path, out: Path, note: str) -> None:
    """Write a checkpoint of `python -m trainer train` as ONNX, compared with torch."""
    from export.onnx import export_network, load_checkpoint

    try:
        net, record = load_checkpoint(checkpoint)
        if note:
            record["note"] = note
        worst = export_network(net, record["network"], out, record)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{out}: {out.stat().st_size / 1e6:.2f} MB, {record['steps']} steps, differs from torch by at most {worst:.1e}"
    )


@main.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The .onnx file to write.")
def resampler(out: Path) -> None:
    """Write the graph that moves a plane's samples (it has no weights)."""
    from export.onnx import export_resampler

    export_resampler(out)
    click.echo(out)


if __name__ == "__main__":
    main(prog_name="python -m export")
