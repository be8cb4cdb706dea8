"""`--info` and `-v`: what would be done, in words."""

from __future__ import annotations

import math
from importlib.util import find_spec

from magfilter._version import __version__
from magfilter.backends import Engine
from magfilter.compiled import version
from magfilter.errors import OutputError
from magfilter.media.descriptors import descriptor
from magfilter.media.target import check_target
from magfilter.pipeline import Job
from magfilter.printable import printable

__all__ = ["describe_job"]


def describe_job(job: Job) -> str:
    """Streams, model, engine, and what the output would be; several lines of text.

    Args:
        job: open, dry or not; nothing is read from it or written.
    """
    magnifier, options, info = job.magnifier, job.options, job.reader.info
    engine, model = magnifier.engine, magnifier.engine.model
    rate = f"{float(info.rate):.6g} fps" if info.rate else "unknown rate"
    frames = job.reader.expected_frames
    count = f"{frames} frames" if frames else "unknown length"
    if frames and not info.frames_exact:
        count = "about " + count
    lines = [
        f"magfilter {__version__}",
        f"input    {job.source}: {info.format}, {info.width}x{info.height} {info.pixel_format} {info.codec}, "
        f"{rate}, {count}",
    ]
    for stream in info.streams:
        use = "magnified" if stream.index == info.video else "copied if the output can hold it"
        if stream.type in options.exclude:
            use = "left out"
        lines.append(f"           {stream}: {use}")
    low, high = model.descriptor.alpha_range
    lines += [
        f"model    {model.path.stem} ({model.path}), exported by magfilter {model.version}, alpha {low:g} to {high:g}",
        f"engine   {engine.name} on {engine.device}, {model.precision}"
        + (f" (auto: {engine.why})" if engine.why else "")
        + _helped(engine),
        *([f"picture  moved by {_mover()}"] if magnifier.moves_here else []),
        f"motion   alpha {_alpha(job)}, reference {magnifier.policy}"
        + (", new at shot cuts" if options.shot_cuts and magnifier.policy.kind != "frame" else "")
        + _reach(job)
        + (f", {magnifier.passes} passes" if magnifier.passes > 1 else ""),
        *(f"           {line}" for line in _choosing(job)),
    ]
    if job.targets is not None:
        lines.append(f"targets  {job.targets.describe()}")
    writer = job.writer
    if writer is not None:
        name = "stdout" if descriptor(writer.name) == 1 else writer.name
        width, height = writer.plan.size
        lines.append(
            f"output   {name}: {writer.format}, {writer.plan.codec} {writer.plan.pix_fmt}, {width}x{height}"
            + (f", {options.showing}" if options.showing else "")
        )
        notes = []
        if job.dry:  # otherwise they are said by whoever runs the job
            notes += job.warnings
            try:
                check_target(writer.name, job.source, options.overwrite, writer.format)
            except OutputError as error:
                notes.append(str(error))
        lines += [f"           warning: {note}" for note in notes]
    return "\n".join(map(printable, lines))  # each is one, whatever the names and tags in it say


def _helped(engine: Engine) -> str:
    """What makes the engine faster, or would; nothing of one on a device."""
    if getattr(engine, "compiled", False):
        return f", helped by numba {version()}"
    if engine.name != "onnxruntime-cpu" or version() is None or find_spec("onnx") is not None:
        return ""
    return ", without the package onnx (with it it is faster: pip install onnx)"


def _mover() -> str:
    numba = version()
    return f"numba {numba}" if numba else "NumPy (with numba it is faster: pip install numba)"


def _alpha(job: Job) -> str:
    ramp = job.magnifier.ramp
    if ramp is None:
        return f"{job.magnifier.alpha:g}"
    return ", ".join(f"{alpha:g} at {time:.6g} s" for time, alpha in ramp.keys)


def _reach(job: Job) -> str:
    reach = job.magnifier.reach
    if reach is None:
        return ""
    return ", and once motion outgrows " + ("the network" if math.isinf(reach) else f"{reach:g} px")


def _choosing(job: Job) -> list[str]:
    """Which part of the motion is magnified, a line for each choice."""
    part, limit = job.magnifier.part, job.magnifier.max_shift
    lines = [f"only {part.band[0]:g} to {part.band[1]:g} Hz"] if part.band else []
    lines += [f"not {low:g} to {high:g} Hz" for low, high in part.notch]
    if part.rate:
        lines[-1] += f", at {part.rate:.6g} frames a second" + (" (--fps)" if job.options.fps else "")
    if part.detrend:
        lines.append("not the camera's")
    if limit is not None:
        lines.append(f"shifted by {limit:g} px at most")
    if job.magnifier.smooth is not None:
        lines.append(f"averaged over {job.magnifier.smooth:g} px within things")
    return lines
