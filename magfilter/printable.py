"""Names and tags as they may be shown: files hold what they like, and a terminal does what control characters say."""

from __future__ import annotations

import os
import shlex
import unicodedata

__all__ = ["printable", "quoted"]


JOINERS = "\u200c\u200d"  # of Persian, of emoji


def printable(text: str) -> str:
    """The text on one line, with whatever is not printable as in a string of Python's: \\x1b, \\n, \\u202e.

    Letters of every script stay, and what joins or parts them, and spaces of every width.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in JOINERS or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode()
        for c in text
    )


def quoted(name: str) -> str:
    """A name as it stands in a command that is offered for pasting. Windows' shells each have rules of their own."""
    return name if os.name == "nt" else shlex.quote(name)
