"""The plumbing of a job: queues between its threads, and waiting that signals can end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from magfilter.errors import Stopped
from magfilter.media import CopiedPacket

__all__ = ["LARGE", "THREAD_PREFIX", "Lane", "Stopped", "patiently", "start_stage"]

T = TypeVar("T")

THREAD_PREFIX = "magfilter-"
FRAMES_AHEAD = 2  # frames that may wait between two stages; one where frames are large
LARGE = 16e6  # bytes
PACKETS_AHEAD = 512  # copied packets are small and must not hold up the frames
POLL = 0.1  # seconds between looks at the stop and failure flags


class Lane:
    """A queue between two stages, bounded by frames, that a stage's end or failure passes through.

    Args:
        gone: set when a stage has failed, or nobody is interested any more: everyone leaves.
        frame: bytes of a frame.
        ahead: frames that may wait, large or not; 0 for the usual.
    """

    END = object()

    def __init__(self, gone: threading.Event, frame: float = 0, ahead: int = 0) -> None:
        # No SimpleQueue: a signal that comes as its time-out ends makes it wait for ever (CPython up to 3.12
        # computes what is left, and takes less than nothing for no time-out).
        self._items: queue.Queue[Any] = queue.Queue()
        self._room = threading.Semaphore(ahead or (1 if frame > LARGE else FRAMES_AHEAD))
        self._small = threading.Semaphore(PACKETS_AHEAD)
        self._gone = gone
        self._lock = threading.Lock()
        self._ended = False

    def _gate(self, item: Any) -> threading.Semaphore:
        return self._small if isinstance(item, CopiedPacket) else self._room

    def put(self, item: Any) -> bool:
        """Hand on an item; False when nobody wants it any more."""
        gate = self._gate(item)
        while not gate.acquire(timeout=POLL):
            if self._gone.is_set() or self._ended:
                return False
        with self._lock:
            if self._ended or self._gone.is_set():
                return False
            self._items.put(item)
            return True

    def end(self) -> None:
        """Nothing comes after this; whatever is put later is refused. May be called again."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._items.put(self.END)

    def __iter__(self) -> Iterator[Any]:
        while not self._gone.is_set():
            try:
                item = self._items.get(timeout=POLL)
            except queue.Empty:
                continue
            if item is self.END:
                return
            self._gate(item).release()
            yield item


def start_stage(
    name: str, work: Callable[[], None], ended: Callable[[], None], failures: list[BaseException], gone: threading.Event
) -> threading.Thread:
    """Start a stage's thread; its failure is noted and sends everyone home, and `ended` is called in any case."""

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
            gone.set()
        finally:
            ended()

    # A daemon, because a read from a pipe that nobody writes to can be neither interrupted nor waited for.
    thread = threading.Thread(target=run, name=THREAD_PREFIX + name, daemon=True)
    thread.start()
    return thread


def patiently(work: Callable[[], T], stop: threading.Event) -> T:
    """The result of `work`, done in a thread of its own.

    libav blocks in C while it waits for a pipe's first bytes, and Python runs no signal handler
    meanwhile. Waiting here instead keeps Ctrl-C alive.

    Raises:
        Stopped: `stop` was set first; the thread is left behind.
    """
    results: list[T] = []
    failures: list[BaseException] = []
    done = threading.Event()
    start_stage("open", lambda: results.append(work()), done.set, failures, threading.Event())
    while not done.wait(POLL):
        if stop.is_set():
            raise Stopped
    if failures:
        raise failures[0]
    return results[0]
