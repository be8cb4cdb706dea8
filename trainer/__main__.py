"""`python -m trainer …`: training, from a checkout."""

from __future__ import annotations

import os
from pathlib import Path

import click

# Threads that spin at barriers lose more than they win as soon as anything else runs beside
# the training; read by OpenMP when torch is imported, so it must be said before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Train magfilter's networks."""


@main.command()
@click.option("--network", type=click.Choice(["warp", "unet"]), default="warp", show_default=True)
@click.option(
    "--width", default=0, help="Channels at the finest resolution; 0 is the network's own (warp 32, unet 64)."
)
@click.option("--minutes", default=120.0, show_default=True, help="Wall clock to spend in all, resumed runs included.")
@click.option("--photos", type=FOLDER, required=True, help="Folder of pictures that scenes are painted with.")
@click.option("--cutouts", type=FOLDER, help="Folder of pictures with transparency: objects of the scenes.")
@click.option("--clips", type=FOLDER, help="Folder of real clips: textures, and the real half of the training.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the run; resumed if it holds one."
)
@click.option("--batch", default=8, show_default=True, help="Scenes a step.")
@click.option("--real-batch", default=4, show_default=True, help="Real pairs a step.")
@click.option("--size", default=256, show_default=True, help="Side of the training crops, px; a multiple of 64.")
@click.option("--rate", default=4e-4, show_default=True, help="Peak learning rate.")
@click.option("--seed", default=1, show_default=True)
@click.option("--device", default="", help="torch device; default: CUDA if there is one, else the CPU.")
def train(photos: Path, cutouts: Path | None, clips: Path | None, out: Path, device: str, **values) -> None:
    """Train a network until the clock says stop; the same command resumes."""
    from trainer.train import Settings
    from trainer.train import train as run

    if values["size"] % 64:
        raise click.BadParameter(f"Expected a multiple of 64, got {values['size']}.", param_hint="--size")
    try:
        click.echo(run(Settings(**values), photos, clips, cutouts, out, device))
    except ValueError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main(prog_name="python -m trainer")
