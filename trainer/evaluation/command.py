"""`python -m trainer evaluate`: methods on suites, resumable, as tables and figures."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from magfilter.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from .methods import Method
    from .report import Table

__all__ = ["evaluate"]

JUDGES = ("dis", "spynet")
METHODS = ("copy", "warp-nearest", "warp-bilinear", "phase", f"model:{DEFAULT_MODEL}")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("suites", nargs=-1, required=True)
@click.option("-m", "--methods", multiple=True, help=f"May be repeated. Default: {', '.join(METHODS)}.")
@click.option(
    "--judge", "judges", multiple=True, help=f"Flow estimators; may be repeated. Default: {', '.join(JUDGES)}."
)
@click.option("--quick", is_flag=True, help="Fewer items and levels.")
@click.option("--jobs", type=click.IntRange(1), help="Processes. Default: one a core.")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the run.")
@click.option(
    "--into",
    "pages",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A page whose tables are replaced, such as RESULTS.md; may be repeated.",
)
def evaluate(
    suites: tuple[str, ...],
    methods: tuple[str, ...],
    judges: tuple[str, ...],
    quick: bool,
    jobs: int | None,
    out: Path,
    pages: tuple[Path, ...],
) -> None:
    """Measure magnifiers on SUITES: real, subpixel, subpixel-still, known, noise, rotation, nonrigid,
    still, long, or all.

    Writes records.jsonl (a line for each item and method; what is there is not done again), report.md,
    report.json and curves as PNG. Never trust one flow estimator alone, least of all one that took part in
    a method's training.

    \b
    Methods:
      copy                        the frame as it is: what doing nothing scores
      model:NAME, model:FILE      a network through the filter; behind an @ options of
                                  magfilter.Magnifier that are numbers: model:warp@smooth=8
      warp-nearest, warp-bilinear the paper's baselines (App. A7); …-holes without inpainting;
                                  :FLOW for an estimator other than dis
      phase                       phase-based Eulerian magnification
      command:"prog {in} {out} --x {alpha}"
                                  any other program, file to file
      exact, exact:MODEL          the filter told the exact flow, where known: its rendering alone
      perfect                     the exact picture, where known: what a judge says of no error
    LABEL=METHOD heads its column with LABEL.
    """
    from .suites import SUITES

    names = list(SUITES) if "all" in suites else list(dict.fromkeys(suites))
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise click.ClickException(f"Unknown suite {unknown[0]!r}; known: {', '.join(SUITES)}, all")
    wanted = tuple(dict.fromkeys(methods or METHODS)), tuple(dict.fromkeys(judges or JUDGES))
    try:
        failed, total = _measure(out, names, *wanted, quick, jobs)
        _report(out, names, *wanted, quick, pages)
    except KeyboardInterrupt:
        click.echo("Stopped. What is done is kept; the same command goes on.", err=True)
        raise SystemExit(130) from None
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if failed:
        raise click.ClickException(f"{failed} of {total} items failed; the same command tries them again.")


def _measure(
    out: Path, names: list[str], methods: tuple[str, ...], judges: tuple[str, ...], quick: bool, jobs: int | None
) -> tuple[int, int]:
    """Do what is missing; returns how many items failed, and of how many.

    Raises:
        ValueError, OSError: before the first item, for a typo must not cost an hour.
    """
    from .estimators import estimator
    from .methods import method
    from .runner import labelled, open_tasks, run_tasks
    from .suites import judged

    labels: set[str] = set()
    for name in methods:
        label, spec = labelled(name)
        if label in labels:
            raise ValueError(f"Two methods are called {label!r}")
        labels.add(label)
        _try(method(spec))
    if judged(names):
        for name in judges:
            estimator(name)
    tasks = open_tasks(out, names, methods, judges, quick)
    return run_tasks(out, tasks, min(jobs or os.cpu_count() or 1, max(1, len(tasks)))), len(tasks)


def _try(made: Method) -> None:
    """Open the network of a method that has one: a missing file is said now, and once."""
    import numpy as np

    from .methods import Model

    if isinstance(made, Model):
        grey = np.full((64, 64, 3), 128, np.uint8)
        made(grey, grey, 2.0)


def _report(
    out: Path, names: list[str], methods: tuple[str, ...], judges: tuple[str, ...], quick: bool, pages: tuple[Path, ...]
) -> None:
    """report.md, report.json and the curves of a run, and the tables of pages."""
    from .report import as_json, fill_page, tables
    from .runner import records_of
    from .suites import SUITES

    made = tables(records_of(out, names, methods, judges, quick), methods, names)
    (out / "report.json").write_text(json.dumps(as_json(made), indent=1, allow_nan=False) + "\n", "utf-8")
    lines = [f"# Evaluation{', quick form' if quick else ''}\n"]
    for name in names:
        mine = [table for table in made if table.name.startswith(f"{name}/")]
        if mine:
            lines.append(f"## {SUITES[name].title} ({mine[0].items} items)\n")
        for table in mine:
            lines += [f"### {table.heading}\n", table.markdown()]
            lines += [f"![{table.heading}]({file.name})\n" for file in _draw(out, table, SUITES[name].title)]
    (out / "report.md").write_text("\n".join(lines), "utf-8")
    click.echo(out / "report.md")
    for page in pages:
        filled, missing = fill_page(page, made)
        click.echo(f"{page}: {len(filled)} tables" + (f"; not measured: {', '.join(missing)}" if missing else ""))


def _draw(out: Path, table: Table, title: str) -> Iterator[Path]:
    """The curves of a table with three levels or more, a picture for each judge."""
    from . import figures
    from .report import series

    def shown(text: str) -> str:
        return text.replace("$", r"\$")  # or matplotlib takes what stands between two of them for a formula

    for judge, found in series(table).items():
        curves = {shown(name): (x, y) for name, (x, y) in found.items() if len(x) > 2}
        if curves:
            ending = "-" + re.sub(r"[^\w.]+", "-", judge) if judge else ""  # a judge may be a path
            file = out / f"{table.name.replace('/', '-')}{ending}.png"
            heading = shown(f"{title} ({judge})" if judge else title)
            log = all(level > 0 for x, _ in curves.values() for level in x)
            figures.curves(file, curves, x_label=table.level, y_label=table.heading, title=heading, log_x=log)
            yield file
