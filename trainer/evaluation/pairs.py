"""Real test pairs: the paper's resize, crop and motion filter over clips that no network is trained on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from .estimators import SHARED, Flow, dis

EVAL_ROOT = SHARED / "data/eval"
CACHE = Path("/tmp/magfilter-eval")
SIZE = 512  # the paper evaluates at Resize(512) + CenterCrop(512)
STRIDES = (1, 5, 10, 15)  # the longer ones let the classic clips' tiny motions past the bound on MSE


Pair = tuple[str, np.ndarray, np.ndarray]
"""``(name, a, b)``: ``source#frame+stride`` and two (size, size, 3) uint8 RGB frames."""


@dataclass(frozen=True)
class PairFilter:
    """The paper's bounds on a pair (appendix A1); flow in pixels at 512×512, MSE on 0–255."""

    flow_p999: float = 20.0  # 99.9th percentile of |flow|: no large motion
    flow_p80: float = 2.0  # 80th: most of the picture nearly still
    flow_p0_01: float = 0.1  # 0.01st: something stands still, so the camera does
    mse: float = 10.0  # above this: not a repeated frame

    def reasons(self, flow: np.ndarray, a: np.ndarray, b: np.ndarray) -> list[str]:
        """Why the pair is refused; empty when it passes. ``flow`` (H, W, 2) pixels, a→b, at 512×512."""
        low, middle, high = np.percentile(np.linalg.norm(flow, axis=-1), (0.01, 80, 99.9))
        mse = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))
        bounds = (
            (high <= self.flow_p999, f"99.9th percentile of |flow| {high:.2f} > {self.flow_p999} px"),
            (middle <= self.flow_p80, f"80th percentile of |flow| {middle:.2f} > {self.flow_p80} px"),
            (low <= self.flow_p0_01, f"0.01st percentile of |flow| {low:.3f} > {self.flow_p0_01} px"),
            (mse > self.mse, f"MSE {mse:.2f} <= {self.mse}"),
        )
        return [text for passed, text in bounds if not passed]


PAPER_FILTER = PairFilter()


def paper_filter(flow_512: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[bool, list[str]]:
    """``(passes, reasons for refusal)`` by the paper's four bounds; ``flow_512`` is a→b at 512×512."""
    reasons = PAPER_FILTER.reasons(flow_512, a, b)
    return not reasons, reasons


def resize_crop(image: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Short side to ``size`` (area down, bicubic up), then the centre ``size × size``; uint8 RGB."""
    height, width = image.shape[:2]
    scale = size / min(height, width)
    target = (max(size, round(width * scale)), max(size, round(height * scale)))
    if target != (width, height):
        image = cv2.resize(image, target, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def read_image(path: Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"Not an image: {path}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_video(path: Path, first: int = 0, count: int | None = None) -> Iterator[np.ndarray]:
    """Frames ``first … first + count − 1`` of a video as (H, W, 3) uint8 RGB (to the end if ``None``)."""
    import av

    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if count is not None and index >= first + count:
                return
            if index >= first:
                yield frame.to_ndarray(format="rgb24")


def sources(root: Path = EVAL_ROOT) -> dict[str, Callable[[], list[np.ndarray]]]:
    """Name → loader of its frames, for every folder of pairs, every clip and every folder of clip frames.

    A video gives four windows of 16 frames, spread over its first 300: the windows are the only
    parts kept in memory.
    """

    def folder(path: Path) -> Callable[[], list[np.ndarray]]:
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".jpg", ".png"))
        return lambda: [read_image(p) for p in files]

    def video(path: Path) -> Callable[[], list[np.ndarray]]:
        def load() -> list[np.ndarray]:
            starts = (0, 72, 144, 216)
            wanted = {i for start in starts for i in range(start, start + 16)}
            return [f for i, f in enumerate(read_video(path, 0, max(wanted) + 1)) if i in wanted]

        return load

    found: dict[str, Callable[[], list[np.ndarray]]] = {}
    for path in sorted((root / "pairs").glob("*/")):
        found[f"pairs/{path.name}"] = folder(path)
    for path in sorted((root / "clips").iterdir()):
        if path.is_dir():
            found[f"clips/{path.name}"] = folder(path)
        elif path.suffix.lower() in (".mp4", ".avi", ".mov", ".mkv"):
            found[f"clips/{path.stem}"] = video(path)
    return found


def _candidates(name: str, count: int, strides: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Index pairs (i, i + stride) of a source's frames, never across a video's windows."""
    window = 16 if name.startswith("clips/") and count > 24 else count
    for start in range(0, count, window):
        stop = min(start + window, count)
        for stride in strides:
            yield from ((i, i + stride) for i in range(start, stop - stride))


def _spread(items: list[int], count: int) -> list[int]:
    """At most ``count`` of ``items``, evenly spread, ends included."""
    if len(items) <= count:
        return items
    return [items[round(k)] for k in np.linspace(0, len(items) - 1, count)]


def _collect(root: Path, size: int, strides: tuple[int, ...], per_source: int, flow: Flow) -> Iterator[Pair]:
    for name, load in sources(root).items():
        frames = [resize_crop(frame, size) for frame in load()]
        for stride in strides:
            passing = []
            for i, j in _candidates(name, len(frames), (stride,)):
                if not PAPER_FILTER.reasons(flow(frames[i], frames[j]), frames[i], frames[j]):
                    passing.append(i)
            for i in _spread(passing, per_source):
                yield f"{name}#{i}+{stride}", frames[i], frames[i + stride]


def real_pairs(
    eval_root: Path | str = EVAL_ROOT,
    limit: int | None = None,
    *,
    quick: bool = False,
    size: int = SIZE,
    strides: tuple[int, ...] = STRIDES,
    per_source: int = 4,
    cache: Path | str | None = CACHE,
) -> list[Pair]:
    """Real pairs that pass the paper's filter (flow by DIS): ``[(name, a, b), …]``, always the same.

    Args:
        eval_root: folder with ``pairs/*/`` (frames) and ``clips/*`` (videos or folders of frames).
        limit: at most this many, taken in turns over the sources.
        quick: the same as ``limit=24``.
        size: side of the square working images; the filter's bounds are meant for 512.
        strides: frame distances within a pair.
        per_source: at most this many passing pairs for each source and stride, evenly spread.
        cache: folder for an npz of the result, keyed by the settings; ``None`` keeps nothing.

    Names are ``source#frame+stride``; images are (size, size, 3) uint8 RGB.
    """
    root = Path(eval_root)
    if quick:
        limit = 24 if limit is None else min(limit, 24)
    settings = {
        "version": 1, "root": str(root.resolve()), "size": size, "strides": strides,
        "per_source": per_source, "filter": asdict(PAPER_FILTER), "sources": list(sources(root)),
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    path = None if cache is None else Path(cache) / f"pairs-{key}.npz"
    if path is not None and path.is_file():
        with np.load(path) as stored:
            # Each array is read once: indexing the npz reads its file anew.
            columns = stored["names"].tolist(), stored["a"], stored["b"]
            pairs = list(zip(*columns, strict=True))
    else:
        pairs = list(_collect(root, size, strides, per_source, dis))
        if path is not None and pairs:
            path.parent.mkdir(parents=True, exist_ok=True)
            names, a, b = zip(*pairs, strict=True)
            partial = path.with_suffix(".partial.npz")  # renamed when whole: two runs may meet here
            np.savez(partial, names=np.array(names), a=np.stack(a), b=np.stack(b))
            partial.rename(path)
    return pairs if limit is None else _in_turns(pairs, limit)


def _in_turns(pairs: list[Pair], limit: int) -> list[Pair]:
    """``limit`` pairs, one of each source in turn and one of each stride in turn within it."""
    seen: Counter[str] = Counter()
    by_source: dict[str, list[tuple[int, int, Pair]]] = {}
    for pair in pairs:
        source, rest = pair[0].split("#")
        kind = f"{source}+{rest.split('+')[1]}"
        group = by_source.setdefault(source, [])
        group.append((seen[kind], len(group), pair))
        seen[kind] += 1
    ranked = [
        (turn, order, item[-1])
        for order, group in enumerate(by_source.values())
        for turn, item in enumerate(sorted(group, key=lambda item: item[:2]))
    ]
    return [pair for _, _, pair in sorted(ranked, key=lambda item: item[:2])[:limit]]


def photographs(count: int | None = None, eval_root: Path | str = EVAL_ROOT, minimum: int = 300) -> list[np.ndarray]:
    """The first frame of every evaluation source whose short side is at least ``minimum`` pixels.

    Full size, (H, W, 3) uint8 RGB, in the sources' order.
    """
    found: list[np.ndarray] = []
    root = Path(eval_root)
    for path in sorted((root / "pairs").glob("*/")) + sorted((root / "clips").iterdir()):
        if count is not None and len(found) == count:
            break
        if path.is_dir():
            image = read_image(sorted(p for p in path.iterdir() if p.suffix in (".jpg", ".png"))[0])
        elif path.suffix.lower() in (".mp4", ".avi", ".mov", ".mkv"):
            image = next(read_video(path, 0, 1))
        else:
            continue
        if min(image.shape[:2]) >= minimum:
            found.append(image)
    return found
