"""Frames looked at before it is their turn, so that a network may measure several at once.

Whose motion is measured against which reference is decided frame by frame, in order: a cut or a large motion
replaces the reference. So what is computed ahead is a guess, against the reference of that moment, and holds
only if that is the one in force when the frame's turn comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magfilter.forks import start_here
from magfilter.media.frame import Frame

__all__ = ["Ahead", "Seen", "looking_ahead"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """What is known of a frame already.

    Attributes:
        frame: the frame.
        small: its thumbnail, see `magfilter.cuts.thumbnail`.
        image: the frame as the network wants it.
        reference: what its motion is being measured against, or None.
        motion: the network's answer to come, or None.
    """

    frame: Frame
    small: Array
    image: Array
    reference: Array | None = None
    motion: Future[Array] | None = None

    def against(self, reference: Array) -> Array | None:
        """The network's answer if it was asked against this very reference, else None.

        Raises:
            What the network raised.
        """
        if self.motion is None:
            return None
        if self.reference is not reference:
            self.motion.cancel()
            return None
        return self.motion.result()


class Ahead:
    """Frames that were looked at, until they are asked for.

    `look` and `take` may be called by two threads, each frame by one after the other.

    Args:
        run: the network, (reference, image) → answer; called by `workers` threads at once.
    """

    def __init__(self, run: Callable[[Array, Array], Array], workers: int) -> None:
        self._run, self._workers = run, workers
        start_here(self)

    def start(self) -> None:
        """See `magfilter.forks`. What other threads were about to answer never comes, and is forgotten."""
        self._pool = ThreadPoolExecutor(self._workers, "network")
        self._running: set[Future[Array]] = set()
        self._seen: dict[int, Seen] = {}
        self.first: Array | None = None
        self.last: Array | None = None
        """The images looked at first and last."""

    def settle(self) -> None:
        """See `magfilter.forks`."""
        wait(list(self._running))

    def look(self, frame: Frame, small: Array, image: Array, reference: Array | None) -> None:
        """Keep what was seen of a frame, and begin to measure it if there is a reference."""
        # The frame is kept too: while it is, no other has its id.
        motion = self._pool.submit(self._run, reference, image) if reference is not None else None
        if motion is not None:
            self._running.add(motion)
            motion.add_done_callback(self._running.discard)
        self._seen[id(frame)] = Seen(frame, small, image, reference, motion)
        self.last = image
        if self.first is None:
            self.first = image

    def take(self, frame: Frame) -> Seen | None:
        """What was seen of a frame, which is then forgotten; None if nothing was."""
        return self._seen.pop(id(frame), None)

    def drop(self) -> None:
        """Forget everything."""
        for seen in list(self._seen.values()):
            if seen.motion is not None:
                seen.motion.cancel()
        self._seen.clear()
        self.first = self.last = None


def looking_ahead(frames: Iterable[Frame], look: Callable[[Frame], None], count: int) -> Iterator[Frame]:
    """The same frames in the same order; when one is handed on, `count` have been looked at, or all there are.

    Raises:
        What `frames` or `look` raise, once all that came before has been handed on.
    """
    waiting: deque[Frame] = deque()
    try:
        for frame in frames:
            look(frame)
            waiting.append(frame)
            if len(waiting) >= count:
                yield waiting.popleft()
    except Exception:
        yield from waiting
        raise
    yield from waiting
