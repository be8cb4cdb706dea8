"""README and docs/ point to what is there, and use options that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from magfilter import cli, slice_command
from magfilter.find import command as find
from magfilter.measure import command as measure

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "RESULTS.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS: dict[str, click.Command] = {
    "magfilter": cli.command,
    "magfilter-find": find.command,
    "magfilter-measure": measure.command,
    "magfilter-slice": slice_command.command,
}


def options(command: click.Command) -> set[str]:
    """Every spelling of every option."""
    known = [each for each in command.params if isinstance(each, click.Option)]
    return {name for each in known for name in (*each.opts, *each.secondary_opts)} | {"-h", "--help"}


def calls(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Calls of our commands in a page's blocks of code, and the options that they use."""
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            for part in re.split(r"\||&&", line.removeprefix("$ ").split("  #")[0]):
                words = part.split()
                if words and words[0] in COMMANDS:
                    yield words[0], [word for word in words[1:] if re.match(r"--?[a-z]", word)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_commands_in_the_docs_use_options_that_exist():
    found = [(page.name, *call) for page in PAGES for call in calls(page)]
    assert len(found) > 20
    wrong = [
        (page, name, used) for page, name, all_used in found for used in all_used if used not in options(COMMANDS[name])
    ]
    assert not wrong


def test_the_manual_names_every_option():
    text = (ROOT / "docs/manual.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*?) \| ", text[text.index("## Options") : text.index("## Exit codes")], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"-[-\w:]+", row)}
    for each in cli.command.params:
        if isinstance(each, click.Option):
            assert named & {*each.opts, *each.secondary_opts}, each.opts
