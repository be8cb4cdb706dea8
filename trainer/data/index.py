"""The index: which pairs of which clips to train on, as JSON Lines.

The first line is a header, ``{"format", "version", "root", "settings"}``; every other line is one
finished clip:

    path        below the root, with /; the header's root is relative to the index's own folder,
                so that index and clips can move together
    source      the data set it counts for in the table
    width, height, frames, time_base   [numerator, denominator] of seconds a tick
    candidates, kept    {"stride": pairs}
    refused     {"stride": {"mse" | "cut" | "flow_p999" | "flow_p80" | "flow_p0_01": pairs}}
    pairs       [[pts_a, pts_b, number of the first frame, stride], …]; pts are null in a clip whose
                times are missing or out of order (AVI with B-frames)
    damaged     only if decoding failed on the way: why; the pairs before are good
    skipped     in place of all but path and source, for a clip that cannot be used: why

A line is appended and synced when its clip is finished. A last line without its newline is
what a kill left: it is dropped, and its clip is walked again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

__all__ = ["IndexFormatError", "IndexWriter", "Pair", "PairIndex", "read_entries"]

FORMAT, VERSION = "magfilter-pairs", 1
_OPENING = f'{{"format":"{FORMAT}"'.encode()
_NO_TIME = np.iinfo(np.int64).min


class IndexFormatError(ValueError):
    """The file is not an index of pairs, or not one that this command may go on with."""


class Pair(NamedTuple):
    """Two frames of a clip: the clip, their times in its ticks (None: not to be trusted), the number of
    the first counted from 0, and how many frames later the second comes."""

    path: Path
    pts_a: int | None
    pts_b: int | None
    frame: int
    stride: int


def _to_line(value: dict[str, Any]) -> bytes:
    # ASCII: names that are no UTF-8 survive as escaped surrogates.
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _header(path: Path, line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
        version = header["version"] if header["format"] == FORMAT else None
    except (ValueError, KeyError, TypeError):
        version = None
    if version is None:
        raise IndexFormatError(f"{path} is not an index of pairs; name one that `python -m trainer curate` wrote.")
    if version != VERSION:
        raise IndexFormatError(f"{path} is an index of version {version}, expected {VERSION}; curate the clips again.")
    return header


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """The header, then the clips' lines, one at a time; a last line without its newline is left out.

    Raises:
        IndexFormatError: if it is no index, or a line is damaged or lists a clip a second time.
        OSError: if it cannot be read.
    """
    seen: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                yield _header(path, line)
                continue
            if not line.endswith(b"\n"):
                return
            try:
                entry = json.loads(line)
                name = entry["path"]
            except (ValueError, KeyError, TypeError):
                raise IndexFormatError(f"{path}, line {number} is damaged; delete the line and curate again.") from None
            if name in seen:
                raise IndexFormatError(
                    f"{path}, line {number} lists {name} a second time: two runs wrote at once; delete the line."
                )
            seen.add(name)
            yield entry


class IndexWriter:
    """Appends finished clips; goes on with an index that is there.

    Args:
        path: the file; its folder is made. One process may write it at a time.
        root: absolute folder that the clips' paths are relative to.
        settings: JSON-able; everything that decides which pairs are kept.

    Attributes:
        done: paths that the index already has a line for.

    Raises:
        IndexFormatError: if the file is something else, or was made with other settings.
    """

    def __init__(self, path: Path, root: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.done: set[str] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {
            "format": FORMAT, "version": VERSION, "root": _relative(root, path),
            "settings": json.loads(json.dumps(settings)),
        }  # fmt: skip
        begun = path.exists() and self._resume(header)
        self._file = path.open("ab")
        if not begun:
            self._append(header)

    def _resume(self, header: dict[str, Any]) -> bool:
        """Drop what a kill left of the last line, and see what is done; False if not even the header is whole."""
        with self.path.open("rb+") as file:
            start = file.read(len(_OPENING))
            if start != _OPENING[: len(start)]:
                raise IndexFormatError(f"{self.path} exists and is not an index of pairs; give another -o.")
            # Read backwards for the last newline: a line may be long, the file longer.
            end = position = file.seek(0, os.SEEK_END)
            keep = 0
            while position > 0 and not keep:
                step = min(1 << 16, position)
                position -= step
                file.seek(position)
                keep = file.read(step).rfind(b"\n") + 1
                keep += position if keep else 0
            if keep != end:
                file.truncate(keep)
        if not keep:
            return False
        entries = read_entries(self.path)
        there = next(entries)
        self._compare(there, header)
        self.done = {entry["path"] for entry in entries}
        return True

    def _compare(self, there: dict[str, Any], asked: dict[str, Any]) -> None:
        old = {"root": there["root"], **there["settings"]}
        new = {"root": asked["root"], **asked["settings"]}
        unlike = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if unlike:
            text = ", ".join(f"{key} {old.get(key)!r} and not {new.get(key)!r}" for key in unlike)
            raise IndexFormatError(
                f"{self.path} was made with {text}; ask for the same to go on with it, or give another -o."
            )

    def add(self, entry: dict[str, Any]) -> None:
        """Append a finished clip, and make sure that it is on the disk."""
        self._append(entry)
        self.done.add(entry["path"])

    def _append(self, value: dict[str, Any]) -> None:
        self._file.write(_to_line(value))
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _relative(root: Path, index: Path) -> str:
    try:
        return Path(os.path.relpath(root, index.resolve().parent)).as_posix()
    except ValueError:  # another drive
        return root.as_posix()


class PairIndex:
    """The pairs of an index, as columns: 26 bytes a pair in memory, whatever their number.

    The paper's 145,601 pairs (Table A1) take 3.8 MB, ten million 260 MB; a clip's name takes about
    150 bytes more. On disk a pair takes 20 to 35 bytes.

    What a pair costs to decode is up to the clip's key frames: a folder of pictures reads two
    files; a video decodes from the key frame before the pair on, on average half the distance
    between two, without the frames nothing else refers to. See `trainer.data.loader`.

    Attributes:
        path, root: the index and the folder its clips lie in.
        settings: what the pairs were chosen by.
        clips: C paths below the root; only clips with pairs.
        clip: (N,) int32, which clip; pts: (N, 2) int64, ticks, the least int64 where there is no time;
        frame: (N,) int32, number of the first frame; stride: (N,) int16.
    """

    def __init__(self, path: Path, root: Path, settings: dict[str, Any], clips: list[str], table: np.ndarray) -> None:
        """`table`: (N, 5) int64 of clip, pts_a, pts_b, frame, stride; `PairIndex.load` is the usual way in."""
        self.path, self.root, self.settings, self.clips = path, root, settings, clips
        self.clip = table[:, 0].astype(np.int32)
        self.pts = table[:, 1:3].copy()
        self.frame = table[:, 3].astype(np.int32)
        self.stride = table[:, 4].astype(np.int16)

    @classmethod
    def load(cls, path: Path | str, root: Path | str | None = None) -> PairIndex:
        """Read an index, also one that is still being written.

        Args:
            path: the file; root: where its clips lie now, if not where they lay.

        Raises:
            IndexFormatError: if it is no index, or damaged.
            FileNotFoundError: if it or clips it names are missing; says how many, and what to do.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; make it with `python -m trainer curate CLIPS -o {path}`.")
        entries = read_entries(path)
        header = next(entries, None)
        if header is None:
            raise IndexFormatError(f"{path} is empty; make it anew with `python -m trainer curate CLIPS -o {path}`.")
        base = Path(root) if root is not None else Path(os.path.normpath(path.resolve().parent / header["root"]))
        clips: list[str] = []
        columns: list[np.ndarray] = []
        for entry in entries:
            try:
                pairs = entry.get("pairs") or []
                rows = [[len(clips), *(_NO_TIME if value is None else value for value in pair)] for pair in pairs]
                if rows:
                    columns.append(np.array(rows, dtype=np.int64).reshape(len(rows), 5))
                    clips.append(entry["path"])
            except (ValueError, TypeError, OverflowError):
                raise IndexFormatError(f"{path}: the pairs of {entry['path']} are damaged; delete its line.") from None
        missing = [name for name in clips if not os.path.exists(base / name)]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(clips)} clips of {path} are not in {base} (first: {missing[0]}); "
                "give the folder they lie in now as --root, or curate again."
            )
        table = np.concatenate(columns) if columns else np.empty((0, 5), np.int64)
        return cls(path, base, header["settings"], clips, table)

    @property
    def fingerprint(self) -> str:
        """The same for the same pairs in the same order, wherever index and clips lie: 16 hexadecimal digits."""
        digest = hashlib.sha256(json.dumps(self.clips).encode())
        for column in (self.clip, self.pts, self.frame, self.stride):
            digest.update(column.tobytes())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.clip)

    def __getitem__(self, number: int) -> Pair:
        a, b = (None if value == _NO_TIME else int(value) for value in self.pts[number])
        return Pair(self.root / self.clips[self.clip[number]], a, b, int(self.frame[number]), int(self.stride[number]))
