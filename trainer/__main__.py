"""`python -m trainer …`: training, from a checkout."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

# Threads that spin at barriers lose more than they win as soon as anything else runs beside
# the training; read by OpenMP when torch is imported, so it must be said before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from magfilter.models import DEFAULT_MODEL
from trainer.data.command import curate
from trainer.evaluation.command import evaluate
from trainer.evaluation.gallery import gallery
from trainer.evaluation.slice_command import slice_command

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Train magfilter's networks, from a checkout with `pip install -e ".[train]"`.

    \b
    In the order in which they are needed:
      flow     train the flow network that the losses look through (one is shipped)
      curate   walk clips and write down which pairs of frames are fit for training
      train    train `warp` or `unet`; the paper's loss, layered scenes, or both
      adapt    continue on one clip, and keep the result if it is better there
      ablate   what each part of the training is worth
      evaluate measure networks, baselines and other programs on the paper's questions and on ours
      gallery  stills with close-ups, flow plots and x-t slices of the evaluation's clips
      slice    one line of a clip over time, and magnified by each method (the filter's own: magfilter-slice)

    \b
    What comes after lies next door:
      python -m export onnx RUN -o my.onnx         a model for `magfilter --model my.onnx`
      python -m trainer evaluate all -m copy -m model:my.onnx -o runs/evaluation

    \b
    A first run of five minutes, from scratch, on clips and pictures of your own:
      python -m trainer train warp.toml --photos PHOTOS --clips CLIPS --minutes 5 -o runs/first

    Every run stops by --minutes or --steps, on Ctrl-C after its step, and goes on when the same
    command is given again. It writes log.jsonl and, where tensorboard is installed, its scalars and
    pictures: tensorboard --logdir runs
    """


def _overrides(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every training command has."""
    for option in reversed(
        (
            click.option("--minutes", type=float, help="Wall clock to spend in all, resumed parts included."),
            click.option("--steps", type=int, help="Optimiser steps in all; resumed runs then repeat to the bit."),
            click.option("--batch", type=int, help="Scenes a step."),
            click.option("--size", type=int, help="Side of the training crops, px."),
            click.option("--rate", type=float, help="Learning rate (its peak, with a cosine)."),
            click.option("--seed", type=int),
            click.option(
                "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting; may be repeated."
            ),
            click.option("--device", default="", help="torch device; default: CUDA if there is one, else the CPU."),
        )
    ):
        command = option(command)
    return command


def _changes(settings: tuple[str, ...], named: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for text in settings:
        key, separator, value = text.partition("=")
        if not separator:
            raise click.BadParameter(f"Expected KEY=VALUE, got {text!r}.", param_hint="--set")
        changes[key.strip()] = value.strip()
    changes.update({key: value for key, value in named.items() if value is not None})
    return changes


@contextlib.contextmanager
def _errors_in_a_line() -> Iterator[None]:
    from magfilter.errors import ModelError
    from trainer.data import DecodeError
    from trainer.loop import Diverged

    try:
        yield
    except (ValueError, OSError, ModelError, DecodeError, Diverged) as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.argument("config", required=False)
@click.option("--network", type=click.Choice(["warp", "unet"]), help="Without a CONFIG: which, with its defaults.")
@click.option("--width", type=int, help="Channels at the finest resolution; 0: its own (warp 32, unet 64).")
@click.option("--photos", type=FOLDER, help="Pictures that scenes are painted with.")
@click.option("--cutouts", type=FOLDER, help="Pictures with transparency: objects of the scenes.")
@click.option("--clips", type=FOLDER, help="Real clips, as `curate` finds them: textures, and the real half.")
@click.option("--index", type=FILE, help="Pairs chosen by `curate`, for the flow loss.")
@click.option("--root", type=FOLDER, help="Where the index's clips lie now, if not where they lay.")
@click.option("--workers", default=0, show_default=True, help="Processes that decode the index's pairs.")
@click.option(
    "--start", type=click.Path(exists=True, path_type=Path), help="Weights to begin with: run, .safetensors, .onnx."
)
@click.option(
    "--teacher",
    type=click.Path(exists=True, path_type=Path),
    help="A warp to imitate, by a smaller one or by unet; as --start.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@_overrides
def train(
    config: str | None, out: Path, start: Path | None, device: str, settings: tuple[str, ...], **options: Any
) -> None:
    """Train a network until the clock says stop; the same command resumes.

    CONFIG is a TOML file or the name of one that is shipped: warp.toml,
    warp-light.toml, unet.toml, unet-16.toml, unet-arflow.toml. Options override it.

    \b
    Ablations:  --set colour=0                the paper's "no regularization"
                --set scenes=0                the flow loss alone
                --set flow_loss=0             layered scenes (and photometric consistency) alone
                --set flow=own:WEIGHTS        another teacher
    Several GPUs:  torchrun --nproc-per-node 4 -m trainer train …
    """
    from trainer.train import Data, configure
    from trainer.train import train as run

    given = ("photos", "cutouts", "clips", "index", "teacher", "workers", "root")
    data = Data(**{name: options.pop(name) for name in given})

    with _errors_in_a_line():
        click.echo(run(*configure(config, _changes(settings, options)), data, out, device, start))


@main.command()
@click.option(
    "--supervision",
    type=click.Choice(["scenes", "clips"]),
    default="scenes",
    show_default=True,
    help="Exact flow of layered scenes, or real clips alone (no label anywhere).",
)
@click.option("--photos", type=FOLDER, help="Pictures that scenes are painted with.")
@click.option("--cutouts", type=FOLDER, help="Pictures with transparency: objects of the scenes.")
@click.option("--clips", type=FOLDER, help="Real clips.")
@click.option(
    "--start", type=click.Path(exists=True, path_type=Path), help="Weights to begin with: run or .safetensors."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@_overrides
def flow(
    supervision: str,
    photos: Path | None,
    cutouts: Path | None,
    clips: Path | None,
    start: Path | None,
    out: Path,
    device: str,
    settings: tuple[str, ...],
    **options: Any,
) -> None:
    """Train RAFT-small's architecture, the flow network `own` of the losses.

    `python -m trainer flow-errors` compares the result with others on known flow.
    """
    from trainer.flow.training import configure_flow, train_flow

    with _errors_in_a_line():
        changes = _changes(settings, {**options, "supervision": supervision})
        click.echo(train_flow(*configure_flow(changes), photos, clips, cutouts, out, device, start))


@main.command()
@click.argument("clip", type=FILE)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="Model to write: .onnx or .safetensors."
)
@click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, help="What to begin with: a shipped model's name or a file."
)
@click.option("--minutes", default=3.0, show_default=True, help="Of training alone; see above for what comes on top.")
@click.option("--steps", default=0, help="Instead of minutes; the paper takes 18,750.")
@click.option("--rate", default=1e-4, show_default=True, help="Adam's, constant.")
@click.option("--size", default=256, show_default=True, help="Side of the crops, px; a multiple of 64.")
@click.option("--flow", default="warp", show_default=True, help="Estimator of the losses.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting; may be repeated.")
@click.option("--seed", default=1, show_default=True)
@click.option("--device", default="", help="torch device; default: CUDA if there is one, else the CPU.")
def adapt(clip: Path, out: Path, model: str, settings: tuple[str, ...], **options: Any) -> None:
    """Continue the training on one CLIP (paper §3.5), and keep the result if it is better there.

    Every fifth frame is held out and judges, four times during the training; the best weights are
    kept. The loss on these frames before and after is printed, and if it has not fallen the weights
    stay as they were.

    On top of --minutes come reading the clip, five looks at the held-out frames and the export as ONNX: a
    few minutes on a CPU. An --out of .safetensors does without the export.

    \b
      python -m trainer adapt clip.mp4 -o clip.onnx && magfilter clip.mp4 out.mp4 --model clip.onnx
    """
    from magfilter.models import find_model
    from trainer.adapt import adapt as run

    with _errors_in_a_line():
        changes = _changes(settings, {})
        click.echo(run(clip, out, model=find_model(model), changes=changes, **options).model)


@main.command()
@click.argument("config", required=False)
@click.option("--network", type=click.Choice(["warp", "unet"]), help="Without a CONFIG: which, with its defaults.")
@click.option("--width", type=int, help="Channels at the finest resolution.")
@click.option("--photos", type=FOLDER, required=True)
@click.option("--cutouts", type=FOLDER)
@click.option("--clips", type=FOLDER, required=True)
@click.option("--index", type=FILE, help="Pairs chosen by `curate`.")
@click.option("--root", type=FOLDER, help="Where the index's clips lie now, if not where they lay.")
@click.option("--start", type=click.Path(exists=True, path_type=Path), help="Weights to begin with; default: random.")
@click.option("--unsupervised", help="A flow network that saw no label, as own:FILE.")
@click.option("--only", multiple=True, help="One of the variants; may be repeated.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the runs.")
@_overrides
def ablate(
    config: str | None,
    out: Path,
    start: Path | None,
    unsupervised: str | None,
    only: tuple[str, ...],
    device: str,
    settings: tuple[str, ...],
    **options: Any,
) -> None:
    """What each part of the training is worth: the same network and steps with and without it.

    Prints motion errors (px, median over real pairs; lower is better) by two estimators that trained
    nothing, the realised share of known motion, and how far the mean colour strays.
    """
    from trainer.ablation import ablate as run
    from trainer.evaluation.pairs import real_pairs
    from trainer.train import Data, configure

    data = Data(**{name: options.pop(name) for name in ("photos", "cutouts", "clips", "index", "root")})
    with _errors_in_a_line():
        made = configure(config, _changes(settings, options))
        pairs = lambda: real_pairs(quick=True)  # noqa: E731
        for line in run(
            *made, data, out, unsupervised=unsupervised, pairs=pairs, start=start, only=only, device=device
        ):
            click.echo(line)


@main.command("flow-errors")
@click.argument("estimators", nargs=-1, required=True)
@click.option("--updates", default=20, show_default=True, help="Iterations of a RAFT.")
def flow_errors(estimators: tuple[str, ...], updates: int) -> None:
    """End-point errors of flow ESTIMATORS where the flow is known.

    own, warp, spynet, dis, raft_small, raft_large, or NAME:WEIGHTS with a file.
    """
    from trainer.flow.errors import table

    with _errors_in_a_line():
        for line in table(list(estimators), updates=updates):
            click.echo(line)


main.add_command(curate)
main.add_command(evaluate)
main.add_command(gallery)
main.add_command(slice_command)


if __name__ == "__main__":
    main(prog_name="python -m trainer")
