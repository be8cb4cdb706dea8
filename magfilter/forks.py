"""What a fork takes away: threads do not exist in the child, so whoever has some starts them again there.

And what they held: a network that is running has locks that nobody would free in the child. So a fork waits for it.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["start_here"]


class Starting(Protocol):
    """Something with threads of its own."""

    def start(self) -> None:
        """Make the threads; those that were there before, if any, are no more."""
        ...

    def settle(self) -> None:
        """Come back when the threads are doing nothing."""
        ...


_living: WeakSet[Starting] = WeakSet()


def start_here(owner: Starting) -> None:
    """Start the owner's threads now, and in every process that is forked off while it lives."""
    owner.start()
    _living.add(owner)


def _settle_in_parent() -> None:
    for owner in list(_living):
        owner.settle()


def _start_in_child() -> None:
    for owner in list(_living):
        owner.start()


if hasattr(os, "register_at_fork"):  # Windows forks nothing
    os.register_at_fork(before=_settle_in_parent, after_in_child=_start_in_child)
