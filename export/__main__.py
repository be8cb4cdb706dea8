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


class Size(click.ParamType):
    """WIDTHxHEIGHT → (height, width)."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple[int, int]:
        width, _, height = str(value).partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{value!r} is no size; give WIDTHxHEIGHT, 1920x1088 say.", param, context)
        return int(height), int(width)


FRAMES = click.option(
    "--frames", type=click.Path(exists=True, path_type=Path), multiple=True, metavar="CLIP",
    help="Compare on this clip, or every clip in this folder; repeatable.",
)  # fmt: skip
ALPHA = click.option("--alpha", type=click.FloatRange(min=0), default=10, show_default=True, help="Of the comparison.")
COUNT = click.option(
    "--count", type=click.IntRange(min=1), default=8, show_default=True, help="Frames of each clip to compare."
)


EVERY = click.option(
    "--every", type=click.IntRange(min=0), default=0, help="Frames from one of them to the next; 0 spreads them evenly."
)


@main.command("onnx")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The .onnx file to write.")
@click.option(
    "--precision", type=click.Choice(["fp32", "fp16"]), default="fp32", show_default=True,
    help="What convolutions are computed in; inputs and outputs are fp32.",
)  # fmt: skip
@click.option("--half", is_flag=True, help="The same as --precision fp16.")
@click.option("--size", type=Size(), help="Take images of this size only, as CUDA graphs want; default any multiple.")
@click.option("--note", default="", help="A sentence for the training record, on data and hardware.")
@FRAMES
@ALPHA
@COUNT
@EVERY
def onnx_(
    checkpoint: Path, out: Path, precision: str, half: bool, size: tuple[int, int] | None, note: str,
    frames: tuple[Path, ...], alpha: float, count: int, every: int,
) -> None:  # fmt: skip
    """Write what `python -m trainer train` made as ONNX, compared with torch.

    CHECKPOINT is a run's folder, one of its checkpoints, a .safetensors file of weights, an .onnx file that this
    command wrote in fp32, or the name of a shipped model.
    """
    from export.onnx import export_network, load_checkpoint
    from magfilter.models import shipped_models

    try:
        net, record = load_checkpoint(shipped_models().get(str(checkpoint), checkpoint))
        if note:
            record["note"] = note
        worst = export_network(net, record["network"], out, record, "fp16" if half else precision, size)
        _tell(out, record, worst)
        if frames:
            _compare((str(out), "onnxruntime-cpu"), (str(out), "torch"), frames, alpha, count, every)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.argument("model")
@click.option(
    "--backend", type=click.Choice(["onnxruntime-cpu", "torch", "half"]), default="onnxruntime-cpu", show_default=True,
    help="What runs MODEL. half: torch, rounding as a GPU does in half precision, which ONNX Runtime's CPU does not.",
)  # fmt: skip
@click.option(
    "--against", default="torch", show_default=True,
    help="torch (fp32, the same file's weights), or another model, run like MODEL by ONNX Runtime on the CPU.",
)  # fmt: skip
@FRAMES
@ALPHA
@COUNT
@EVERY
def parity(
    model: str, backend: str, against: str, frames: tuple[Path, ...], alpha: float, count: int, every: int
) -> None:
    """How far MODEL is from torch, or from another model, on real frames."""
    if not frames:
        raise click.UsageError("Give --frames CLIP, a video or a folder of videos.")
    other = (model, "torch") if against == "torch" else (against, "onnxruntime-cpu")
    try:
        _compare((model, backend), other, frames, alpha, count, every)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _compare(
    one: tuple[str, str], other: tuple[str, str], frames: tuple[Path, ...], alpha: float, count: int, every: int
) -> None:
    from export.parity import clips_in, compare, table

    click.echo(f"{one[0]} ({one[1]}) against {other[0]} ({other[1]}), alpha {alpha:g}:")
    rows = []
    for row in compare(one, other, clips_in(frames), alpha, count, every):
        click.echo(f"{row.clip}: PSNR {row.psnr:.1f} dB", err=True)
        rows.append(row)
    click.echo(table(rows))


@main.command()
@click.argument("model")
@click.option("--size", type=Size(), required=True, help="Of the images the network sees; rounded up to its multiple.")
@click.option("--device", default="cuda", show_default=True, help="cuda or cuda:N.")
def tensorrt(model: str, size: tuple[int, int], device: str) -> None:
    """Build the TensorRT engine that `--backend tensorrt` would build at the first frame of that size.

    MODEL is a shipped model's name or an .onnx file; the precision is the file's. $MAGFILTER_TENSORRT_LEVEL is
    the builder's level, 0 to 5, and $MAGFILTER_CACHE where engines are kept; the filter looks at both.
    """
    from magfilter.backends import open_engine
    from magfilter.errors import MagfilterError

    try:
        engine = open_engine(model, "tensorrt", device)
        path = engine.build(size)  # type: ignore[attr-defined]  # only this one has it
    except MagfilterError as error:
        raise click.ClickException(str(error)) from None
    click.echo(path)


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


if __name__ == "__main__":
    main(prog_name="python -m export")
