"""`python -m trainer evaluate`: methods on suites, resumable, as tables and figures."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["evaluate"]

METHODS = ("copy", "warp-nearest", "warp-bilinear", "phase", "model:warp")


@click.command()
@click.argument("suites", nargs=-1, required=True)
@click.option("-m", "--methods", multiple=True, help=f"May be repeated. Default: {', '.join(METHODS)}.")
@click.option("--judge", "judges", multiple=True, help="Flow estimators; may be repeated. Default: dis, spynet.")
@click.option("--quick", is_flag=True, help="Fewer items and levels.")
@click.option("--jobs", type=click.IntRange(1), help="Processes. Default: one a core.")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the run.")
@click.option(
    "--into",
    "page",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A page whose tables are replaced, such as RESULTS.md.",
)
def evaluate(
    suites: tuple[str, ...],
    methods: tuple[str, ...],
    judges: tuple[str, ...],
    quick: bool,
    jobs: int | None,
    out: Path,
    page: Path | None,
) -> None:
    """Measure magnifiers on SUITES: real, subpixel, subpixel-still, known, noise, rotation, nonrigid,
    still, long, or all.

    Writes records.jsonl (a line for each item and method; what is there is not done again), report.md,
    report.json and curves as PNG. Never trust one flow estimator alone, least of all one that took part in
    a method's training.

    \b
    Methods:
      copy                        the frame as it is: what doing nothing scores
      model:NAME, model:FILE      a network through the filter
      warp-nearest, warp-bilinear the paper's baselines (App. A7); …-holes without inpainting;
                                  :FLOW for an estimator other than dis
      phase                       phase-based Eulerian magnification
      command:"prog {in} {out} --x {alpha}"
                                  any other program, file to file
      perfect                     the exact picture, where it is known: what a judge says of no error at all
    LABEL=METHOD heads its column with LABEL.
    """
    import os

    from .estimators import estimator
    from .methods import method
    from .runner import labelled, open_tasks, read_records, run_tasks
    from .suites import SUITES, judged

    names = list(SUITES) if "all" in suites else list(dict.fromkeys(suites))
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise click.ClickException(f"Unknown suite {unknown[0]!r}; known: {', '.join(SUITES)}, all")
    methods, judges = methods or METHODS, judges or ("dis", "spynet")
    try:  # before the first item: a typo must not cost an hour
        for name in methods:
            method(labelled(name)[1])
        if judged(names):
            for name in judges:
                estimator(name)
        tasks = open_tasks(out, names, methods, judges, quick)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    failed = run_tasks(out, tasks, min(jobs or os.cpu_count() or 1, max(1, len(tasks))))
    records = [r for r in read_records(out) if r["quick"] == quick]
    write_report(out, records, methods, names, quick, page)
    if failed:
        raise click.ClickException(f"{failed} of {len(tasks)} items failed; the same command tries them again.")


def write_report(
    out: Path,
    records: list[dict[str, object]],
    methods: tuple[str, ...],
    names: list[str],
    quick: bool,
    page: Path | None,
) -> None:
    """report.md, report.json and the curves of a run, and the tables of a page."""
    from . import figures
    from .report import as_json, fill_page, series, tables
    from .suites import SUITES

    made = tables(records, methods, names)
    (out / "report.json").write_text(json.dumps(as_json(made), indent=1) + "\n")
    lines = [f"# Evaluation{', quick form' if quick else ''}\n"]
    for name in names:
        suite = SUITES[name]
        mine = [table for table in made if table.name.startswith(f"{name}/")]
        if mine:
            lines.append(f"## {suite.title} ({mine[0].items} items)\n")
        for table in mine:
            lines += [f"### {table.heading}\n", table.markdown()]
            for judge, curves in series(table).items():
                if all(len(x) > 2 for x, _ in curves.values()):
                    file = out / (table.name.replace("/", "-") + (f"-{judge}" if judge else "") + ".png")
                    figures.curves(
                        file, curves, x_label=table.level, y_label=table.heading, title=f"{suite.title}{f' ({judge})' if judge else ''}",
                        log_x=name != "long",
                    )  # fmt: skip
                    lines.append(f"![{table.heading}]({file.name})\n")
    (out / "report.md").write_text("\n".join(lines))
    click.echo(out / "report.md")
    if page is not None:
        filled, missing = fill_page(page, made)
        click.echo(f"{page}: {len(filled)} tables" + (f"; not measured: {', '.join(missing)}" if missing else ""))
