"""The questions that are put to every method, a suite each: `python -m trainer evaluate SUITE`.

A suite is a list of items (a pair, a scene, a photograph) and a function that measures one method on one item.
What is measured on an item does not depend on what other methods or items are measured beside it, so
that a run can be stopped anywhere and extended by a method later.

A row is a flat dict: ``level`` (the number that the suite varies: alpha, px, noise), ``judge`` (the flow
estimator; empty where the truth is known without one) and the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from . import metrics, protocol
from .estimators import Flow
from .fields import FieldScene, field_scenes
from .longrun import POLICIES, drift_rows
from .methods import ExactFlow, Method, Perfect, told
from .noise import FACTORS, QUICK_FACTORS, photon_noise
from .pairs import photographs, real_pairs
from .registration import registered_displacement
from .scenes import Scene, known_motion_scenes
from .ssim import ssim
from .subpixel import ALL_LEVELS, LEVELS, MAGNIFIED

__all__ = ["SUITES", "Suite"]

Row = dict[str, Any]
Judges = dict[str, Flow]

REAL_ALPHAS = (1.0, 2.0, 4.0, 8.0, 10.0, 16.0, 32.0, 64.0)
QUICK_ALPHAS = (1.0, 2.0, 4.0, 10.0, 16.0)
COUNTS = {"scenes": (32, 8), "pairs": (10_000, 12), "photos": (8, 4), "fields": (16, 4), "long": (4, 1)}  # full, quick
FIELD_LEVELS = (0.1, 0.3, 1.0)  # px
FIELD_ALPHA = 8.0
KNOWN_LEVELS = (0.05, 0.1, 0.2, 0.5, 1.0)  # px
TOLD = (Perfect, ExactFlow)  # methods that must know the truth: a suite that has none to tell leaves them out


@dataclass(frozen=True)
class Suite:
    """One question.

    Attributes:
        name, title: as asked for, and as printed. level: what ``level`` is, with its unit.
        items: quick → names of the items; the quick ones are among the full ones, measured alike.
        measure: (item, method, judges, quick) → its rows.
        tables: what the report shows: (value, heading, statistic "median" or "mean", decimals).
        judged: whether flow estimators take part. rows: what a row's ``judge`` is, if not one of them.
    """

    name: str
    title: str
    level: str
    items: Callable[[bool], list[str]]
    measure: Callable[[str, Method, Judges, bool], Iterator[Row]]
    tables: tuple[tuple[str, str, str, int], ...]
    judged: bool = False
    rows: str = "measured with"


def _count(kind: str, quick: bool) -> int:
    return COUNTS[kind][int(quick)]


def _numbers(kind: str) -> Callable[[bool], list[str]]:
    return lambda quick: [str(number) for number in range(_count(kind, quick))]


def _flow_rows(
    judges: Judges,
    reference: np.ndarray,
    magnified: np.ndarray,
    due: Callable[[str], np.ndarray],
    alpha: float,
    frame: np.ndarray | None = None,
) -> Iterator[Row]:
    """The metrics that look through a flow estimator, a row for each judge.

    ``frame``: the unmagnified one, if ``due`` is the judges' flow to it, which then need not be found twice.
    """
    same = frame is not None and np.array_equal(magnified, frame)
    for name, judge in judges.items():
        motion = due(name)
        seen = motion if same else judge(reference, magnified)
        yield {
            "judge": name,
            "motion": metrics.motion_error(seen, motion, alpha),
            "endpoint": metrics.endpoint_error(seen, motion, alpha),
            "magnification": metrics.magnification_error(seen, motion, alpha),
            "magnification_moving": metrics.magnification_error(seen, motion, alpha, metrics.MOVES),
            "gain": metrics.realised_gain(seen, motion, alpha),
            "leakage": metrics.leakage(seen, motion),
        }


# --- real pairs -----------------------------------------------------------------------------------


@cache
def _pairs(quick: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {name: (a, b) for name, a, b in real_pairs(limit=_count("pairs", quick))}


@lru_cache(maxsize=8)
def _flow(judge: Flow, item: str, quick: bool) -> np.ndarray:
    """F(I0, I1) of a real pair: the same for every method and factor."""
    return judge(*_pairs(quick)[item])


def _real(item: str, method: Method, judges: Judges, quick: bool) -> Iterator[Row]:
    if isinstance(method, TOLD):  # nobody knows
        return
    reference, frame = _pairs(quick)[item]
    for alpha in QUICK_ALPHAS if quick else REAL_ALPHAS:
        magnified = method(reference, frame, alpha)
        if alpha == 1:
            yield {"level": alpha, "judge": "", "identity": metrics.identity_error(magnified, frame)}
        found = _flow_rows(judges, reference, magnified, lambda name: _flow(judges[name], item, quick), alpha, frame)
        for row in found:
            yield {"level": alpha, **row}


# --- known motion ---------------------------------------------------------------------------------


@cache
def _scenes(background: str, quick: bool) -> list[Scene]:
    return known_motion_scenes(_count("scenes", quick), background=background)


def _subpixel(background: str) -> Callable[[str, Method, Judges, bool], Iterator[Row]]:
    def measure(item: str, method: Method, judges: Judges, quick: bool) -> Iterator[Row]:
        scene = _scenes(background, quick)[int(item)]
        for row in protocol.subpixel(method, [scene], LEVELS if quick else ALL_LEVELS):
            yield {"level": row["d"], "judge": "", **{k: row[k] for k in ("ssim", "psnr", "gain", "background")}}

    return measure


def _known(item: str, method: Method, judges: Judges, quick: bool) -> Iterator[Row]:
    scene = _scenes("still", quick)[int(item)]
    for row in protocol.known_motion(method, [scene], KNOWN_LEVELS, (10.0,), noise=1.0):
        yield {"level": row["d"], "judge": "", **{k: row[k] for k in ("ratio", "across", "background", "psnr")}}


def _noise(item: str, method: Method, judges: Judges, quick: bool) -> Iterator[Row]:
    """Photon noise; motion of 0.2 to 2 px, as far as the item says, magnified to 10 px."""
    scene = _scenes("still", quick)[int(item)]
    d = float(np.exp(np.random.default_rng((scene.seed, 5)).uniform(np.log(0.2), np.log(2.0))))
    alpha = MAGNIFIED / d
    clean, moved, exact = scene.render(0.0, rounded=False), scene.render(d, rounded=False), scene.magnified(d, alpha)
    for factor in QUICK_FACTORS if quick else FACTORS:
        reference, frame = (photon_noise(p, factor, (scene.seed, n)) for n, p in enumerate((clean, moved)))
        magnified = told(method, scene, d)(reference, frame, alpha)
        seen = registered_displacement(scene.reference(), magnified, scene.mask(), MAGNIFIED * scene.direction)
        yield {
            "level": factor,
            "judge": "",
            "ssim": ssim(magnified, exact),
            "psnr": metrics.psnr(magnified, exact),
            "gain": float(seen.vector @ scene.direction) / MAGNIFIED,
        }


@cache
def _fields(kind: str, quick: bool) -> list[FieldScene]:
    return field_scenes(kind, _count("fields", quick))


def _field(kind: str) -> Callable[[str, Method, Judges, bool], Iterator[Row]]:
    def measure(item: str, method: Method, judges: Judges, quick: bool) -> Iterator[Row]:
        if isinstance(method, ExactFlow):  # it knows translations alone
            return
        scene = _fields(kind, quick)[int(item)]
        for d in FIELD_LEVELS:
            reference, frame, exact = scene.render(0.0), scene.render(d), scene.magnified(d, FIELD_ALPHA)
            magnified = told(method, scene, d)(reference, frame, FIELD_ALPHA)
            same = {"ssim": ssim(magnified, exact), "psnr": metrics.psnr(magnified, exact)}
            yield {"level": d, "judge": "", **same}
            for row in _flow_rows(judges, reference, magnified, lambda _, d=d: d * scene.flow(), FIELD_ALPHA):  # type: ignore[misc]
                yield {"level": d, **row}

    return measure


# --- still and long -------------------------------------------------------------------------------


@cache
def _photos(quick: bool) -> list[np.ndarray]:
    return photographs(_count("photos", quick))


def _still(item: str, method: Method, judges: Judges, quick: bool) -> Iterator[Row]:
    if isinstance(method, TOLD):  # it would be the frame without its noise
        return
    photo = _photos(quick)[int(item)]
    for alpha in (10.0, 20.0):
        ratio = protocol.still_noise_ratio(method, [photo], alpha=alpha)
        applied, registered = protocol.still_displacement(method, [photo], alpha=alpha)
        yield {"level": alpha, "judge": "", "noise": ratio, "applied": applied, "registered": registered}


def _long_items(quick: bool) -> list[str]:
    return [f"{policy}/{n}" for n in range(_count("long", quick)) for policy in POLICIES]


def _long(item: str, method: Method, judges: Judges, quick: bool) -> Iterator[Row]:
    if isinstance(method, TOLD):
        return
    policy, _, number = item.partition("/")
    for row in drift_rows(method, int(number), policy):
        yield {"judge": policy, **row}


_FLOW_TABLES = (
    ("motion", "Motion error, px", "mean", 3),
    ("endpoint", "The same as end-point error, px", "mean", 3),
    ("magnification", "Magnification error, all pixels", "mean", 2),
    ("magnification_moving", f"Magnification error where the motion exceeds {metrics.MOVES} px", "median", 2),
    ("gain", "Realised gain: 1 is right", "median", 3),
    ("leakage", "Motion of still ground, px", "mean", 3),
)
_PICTURE = (("ssim", "SSIM", "mean", 3), ("psnr", "PSNR, dB", "mean", 1))
_SUBPIXEL_TABLES = (
    *_PICTURE,
    ("gain", "Realised share of 10 px", "median", 3),
    ("background", "Background, distance from where it should be, px", "median", 3),
)


def _suites(*suites: Suite) -> dict[str, Suite]:
    return {suite.name: suite for suite in suites}


SUITES = _suites(
    Suite(
        "real",
        "Real pairs that pass the paper's filter",
        "alpha",
        lambda quick: list(_pairs(quick)),
        _real,
        (("motion", "Motion error, px, median", "median", 3), *_FLOW_TABLES,
         ("identity", "Identity error at alpha 1, code values", "mean", 3)),
        judged=True,
    ),
    Suite(
        "subpixel",
        "Sub-pixel motion magnified to 10 px, moving background",
        "motion, px",
        _numbers("scenes"),
        _subpixel("moving"),
        _SUBPIXEL_TABLES,
    ),
    Suite(
        "subpixel-still",
        "Sub-pixel motion magnified to 10 px, still background",
        "motion, px",
        _numbers("scenes"),
        _subpixel("still"),
        _SUBPIXEL_TABLES,
    ),
    Suite(
        "known",
        "Known motion ten times larger, sensor noise of 1/255",
        "motion, px",
        _numbers("scenes"),
        _known,
        (
            ("ratio", "Realised over due", "median", 3),
            ("across", "Astray across the motion, px", "median", 3),
            ("background", "Still background, px", "median", 3),
            ("psnr", "PSNR, dB", "mean", 1),
        ),
    ),
    Suite(
        "noise",
        "Photon noise; motion of 0.2 to 2 px magnified to 10 px",
        "noise factor",
        _numbers("scenes"),
        _noise,
        (*_PICTURE, ("gain", "Realised share of 10 px", "median", 3)),
    ),
    *(
        Suite(
            kind,
            f"{name}, magnified by {FIELD_ALPHA:g}",
            "motion, px",
            _numbers("fields"),
            _field(kind),
            (*_PICTURE, ("motion", "Motion error against the exact motion, px", "mean", 3),
             ("gain", "Realised gain: 1 is right", "median", 3)),
            judged=True,
        )
        for kind, name in (("rotation", "A turning disc"), ("nonrigid", "A picture that flows"))
    ),
    Suite(
        "still",
        "Nothing moves, noise of 2/255",
        "alpha",
        _numbers("photos"),
        _still,
        (
            ("noise", "std(output − input) / std(noise)", "mean", 3),
            ("applied", "Displacement applied, px", "mean", 4),
            ("registered", "Displacement of tiles, registered, px", "mean", 4),
        ),
    ),
    Suite(
        "long",
        "A vibration of 0.3 px on a camera that drifts, by reference policy",
        "second",
        _long_items,
        _long,
        (
            ("psnr", "PSNR, dB", "mean", 1),
            ("gain", "Realised gain of the vibration: 1 is right", "median", 3),
            ("jitter", "Jitter of the ground, px", "mean", 3),
        ),
        rows="reference",
    ),
)  # fmt: skip
"""Name → suite, in the order of the report."""


def judged(names: Sequence[str]) -> bool:
    """Whether any of these suites asks flow estimators."""
    return any(SUITES[name].judged for name in names)
