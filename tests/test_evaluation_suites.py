"""The suites put to methods whose score is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
pytest.importorskip("skimage", reason="SSIM is scikit-image's")
from test_evaluation import brightness_flow, flat, texture  # puts the repository on the path, too

from trainer.evaluation import fields, longrun, methods, noise, scenes, suites
from trainer.evaluation.estimators import dis

CACHED = (suites._pairs, suites._flow, suites._scenes, suites._fields, suites._photos, longrun._take)


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [texture(seed, (420, 460)) for seed in range(4)]


@pytest.fixture(autouse=True)
def small(photos, monkeypatch):
    """Two items of each suite, one in the quick form, of generated pictures; few levels."""
    for module in (scenes, fields, suites):
        monkeypatch.setattr(module, "photographs", lambda count=None: photos[:count])
    made = [("one", flat(100), flat(103)), ("two", flat(50), flat(51))]
    monkeypatch.setattr(suites, "real_pairs", lambda limit: made[:limit])
    monkeypatch.setattr(suites, "COUNTS", dict.fromkeys(suites.COUNTS, (2, 1)))
    monkeypatch.setattr(suites, "LEVELS", (0.1, 1.0))
    monkeypatch.setattr(suites, "KNOWN_LEVELS", (0.2,))
    monkeypatch.setattr(suites, "QUICK_FACTORS", (0.01,))
    monkeypatch.setattr(suites, "FIELD_LEVELS", (1.0,))
    monkeypatch.setattr(longrun, "FRAMES", 16)  # the same drift in half the time
    for kept in CACHED:
        kept.cache_clear()
    yield
    for kept in CACHED:
        kept.cache_clear()


def rows(suite: str, magnify: methods.Method, item: str = "0", **judges) -> list[dict]:
    return list(suites.SUITES[suite].measure(item, magnify, judges, True))


# --- all ------------------------------------------------------------------------------------------


def test_quick_items_are_among_the_full_ones_and_the_same():
    for suite in suites.SUITES.values():
        few, many = suite.items(True), suite.items(False)
        assert len(set(many)) == len(many)
        assert 0 < len(few) < len(many)
        assert set(few) < set(many)
    for background in scenes.BACKGROUNDS:
        few, many = (suites._scenes(background, quick)[0].render(0.5) for quick in (True, False))
        assert np.array_equal(few, many)
    for kind in fields.KINDS:
        few, many = (suites._fields(kind, quick)[0].render(0.5) for quick in (True, False))
        assert np.array_equal(few, many)
    assert np.array_equal(suites._photos(True)[0], suites._photos(False)[0])


def test_tables_name_what_is_measured():
    measured = {
        "real": rows("real", methods.copy, "one", fake=brightness_flow),
        "known": rows("known", methods.copy),
        "noise": rows("noise", methods.copy),
        "rotation": rows("rotation", methods.copy, fake=brightness_flow),
        "still": rows("still", methods.copy),
    }
    for name, found in measured.items():
        keys = {key for row in found for key in row}
        assert {value for value, *_ in suites.SUITES[name].tables} <= keys
        assert all({"level", "judge"} <= set(row) for row in found)


def test_those_who_must_be_told_are_left_out_where_nobody_knows():
    for magnify in (methods.method("perfect"), methods.method("exact")):
        assert rows("real", magnify, "one", fake=brightness_flow) == []
        assert rows("still", magnify) == []
        assert rows("long", magnify, "every/0") == []
    assert rows("rotation", methods.method("exact")) == []


def test_judges_are_asked_of_where_they_judge():
    assert suites.judged(["noise", "real"])
    assert not suites.judged(["noise", "still", "long", "known", "subpixel"])


# --- real pairs -----------------------------------------------------------------------------------


def test_real_pairs_of_the_copy():
    found = rows("real", methods.copy, "one", fake=brightness_flow, same=brightness_flow)
    (identity,) = (row for row in found if "identity" in row)
    assert identity == {"level": 1.0, "judge": "", "identity": 0}
    seen = [row for row in found if row["judge"] == "fake"]
    assert [row["level"] for row in seen] == list(suites.QUICK_ALPHAS)
    for row in seen:  # u = v = 3 px
        alpha = row["level"]
        assert row["motion"] == pytest.approx(3 * (alpha - 1))
        assert row["endpoint"] == pytest.approx(3 * np.sqrt(2) * (alpha - 1))
        assert row["magnification"] == pytest.approx(alpha - 1, abs=1e-3)
        assert row["gain"] == pytest.approx(1 / alpha)
        assert np.isnan(row["leakage"])  # nothing is still
    assert [row["motion"] for row in found if row["judge"] == "same"] == [row["motion"] for row in seen]


def test_full_form_asks_for_more_factors():
    found = suites.SUITES["real"].measure("two", methods.copy, {"fake": brightness_flow}, False)
    assert [row["level"] for row in found if row["judge"]] == list(suites.REAL_ALPHAS)


def test_identity_error_is_what_alpha_1_does():
    found = rows("real", lambda reference, frame, alpha: frame + 2, "one", fake=brightness_flow)
    assert [row["identity"] for row in found if "identity" in row] == [2]


def test_motion_of_a_pair_is_asked_once_for_all_factors_and_methods():
    asked = []

    def judge(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        asked.append(float(b.mean()))
        return brightness_flow(a, b)

    rows("real", lambda reference, frame, alpha: flat(100 + round(3 * alpha)), "one", judge=judge)
    rows("real", lambda reference, frame, alpha: flat(200), "one", judge=judge)
    assert asked.count(103) == 1  # as F(I0, I1), which is also what the first method shows at alpha 1


# --- known motion ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["subpixel", "subpixel-still"])
def test_subpixel(suite):
    for row in rows(suite, methods.method("perfect")):
        assert row["ssim"] == pytest.approx(1)
        assert row["gain"] == pytest.approx(1, abs=0.005)
        assert row["background"] < 1e-3
        assert row["psnr"] == np.inf
    for row in rows(suite, methods.copy):
        assert row["gain"] == pytest.approx(row["level"] / 10, abs=0.005)
        assert row["ssim"] < 0.95


def test_full_form_of_subpixel_has_all_levels(monkeypatch):
    monkeypatch.setattr(suites, "ALL_LEVELS", (0.04, 0.2, 1.0))
    asked = []
    monkeypatch.setattr(suites.protocol, "subpixel", lambda magnify, scenes, levels: asked.append(levels) or [])
    for quick in (True, False):
        list(suites.SUITES["subpixel"].measure("0", methods.copy, {}, quick))
    assert asked == [(0.1, 1.0), (0.04, 0.2, 1.0)]


def test_known():
    (row,) = rows("known", methods.method("perfect"))
    assert row["ratio"] == pytest.approx(1, abs=0.01)
    assert row["across"] < 0.02
    (row,) = rows("known", methods.copy)
    assert row["level"] == 0.2
    assert row["ratio"] == pytest.approx(0.1, abs=0.01)
    assert row["background"] < 0.02  # noise alone


def test_noise():
    (row,) = rows("noise", methods.method("perfect"))
    assert row["level"] == 0.01
    assert row["ssim"] == pytest.approx(1)
    assert row["gain"] == pytest.approx(1, abs=0.005)
    (copied,) = rows("noise", methods.copy)
    assert 0.02 - 0.003 < copied["gain"] < 0.2 + 0.003  # 0.2 to 2 of 10 px
    assert copied["ssim"] < 0.95
    assert copied == rows("noise", methods.copy)[0]  # the same noise each time


def test_noise_costs(monkeypatch):
    monkeypatch.setattr(suites, "QUICK_FACTORS", (0.01, 1.0, 100.0))
    similar = [row["ssim"] for row in rows("noise", methods.copy)]
    assert similar[0] > similar[1] > similar[2] + 0.1


def test_photon_noise_is_that_of_so_many_photons():
    grey = np.full((64, 64, 3), 127.5)
    for factor, deviation in ((0.1, 1.27), (1.0, 4.03), (10.0, 12.7)):
        shown = noise.photon_noise(grey, factor, (1, 2))
        assert shown.dtype == np.uint8
        assert shown.std() == pytest.approx(deviation, rel=0.05)
        assert shown.mean() == pytest.approx(127.5, abs=0.5)
    assert not noise.photon_noise(np.zeros((8, 8, 3)), 1.0, (1,)).any()  # no light, no noise
    one, same, other = (noise.photon_noise(grey, 1.0, seed) for seed in ((1, 2), (1, 2), (1, 3)))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len(noise.FACTORS) == 21
    assert set(noise.QUICK_FACTORS) <= set(noise.FACTORS)


@pytest.mark.parametrize("kind", fields.KINDS)
def test_fields(kind):
    scene = suites._fields(kind, True)[0]
    flow = scene.flow()
    known = {scene.render(amount).tobytes(): amount for amount in (0.0, 1.0, 8.0)}

    def truth(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (known[b.tobytes()] - known[a.tobytes()]) * flow

    picture, seen = rows(kind, methods.method("perfect"), truth=truth)
    assert (picture["judge"], seen["judge"]) == ("", "truth")
    assert picture["ssim"] == pytest.approx(1)
    assert picture["psnr"] == np.inf
    assert seen["gain"] == pytest.approx(1)
    assert seen["motion"] == pytest.approx(0)
    picture, copied = rows(kind, methods.copy, truth=truth)
    assert picture["ssim"] < 0.98
    assert copied["gain"] == pytest.approx(1 / 8)
    assert copied["motion"] == pytest.approx(7 * np.abs(flow).mean())
    _, seen = rows(kind, methods.method("perfect"), dis=dis)
    assert seen["gain"] == pytest.approx(1, abs=0.1)  # an estimator's own error
    assert seen["motion"] < 0.3 * copied["motion"]


# --- still and long -------------------------------------------------------------------------------


def test_still():
    found = rows("still", methods.copy)
    assert [row["level"] for row in found] == [10, 20]
    for row in found:
        assert row["noise"] == 0
        assert np.isnan(row["applied"])  # it does not say
        assert row["registered"] == pytest.approx(0, abs=1e-6)
    shaken = rows("still", lambda reference, frame, alpha: np.roll(frame, 1, axis=1))
    assert [row["registered"] for row in shaken] == pytest.approx([1, 1], abs=0.05)


def exact(take: longrun.Take) -> methods.Method:
    """A pair method that knows the take: it finds both frames in it."""
    times = {take.frame(t).tobytes(): t for t in range(longrun.FRAMES)}
    assert len(times) == longrun.FRAMES

    def magnify(reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        assert alpha == longrun.ALPHA
        return take.exact(times[frame.tobytes()], times[reference.tobytes()])

    return magnify


@pytest.mark.parametrize("policy", longrun.POLICIES)
def test_long_take(policy):
    magnify = exact(longrun._take(0))
    found = rows("long", magnify, f"{policy}/0")
    assert [(row["judge"], row["level"]) for row in found] == [(policy, 0), (policy, 1)]
    for row in found:
        assert row["gain"] == pytest.approx(1, abs=0.005)
        assert row["jitter"] == pytest.approx(0, abs=1e-3)
        assert row["psnr"] == np.inf
    for row in rows("long", methods.copy, f"{policy}/0"):
        assert row["gain"] == pytest.approx(1 / longrun.ALPHA, abs=0.005)
        # It lags behind steadily, with "first" by 8 px in the end, and that is no jitter.
        assert row["jitter"] < 0.02


def test_jitter_of_a_long_take_is_the_grounds():
    take = longrun._take(0)
    perfect, turn = exact(take), iter(range(100))

    def shaking(reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        return np.roll(perfect(reference, frame, alpha), next(turn) % 2, axis=1)

    for row in rows("long", shaking, "every/0"):  # to and fro by 1 px: second differences of 2
        assert row["jitter"] == pytest.approx(2, abs=0.05)


def test_frames_of_a_take_are_magnified_exactly():
    take = longrun._take(0)
    assert np.array_equal(take.exact(5, 5), take.frame(5))
    here, first = take._at(5)[0], take._at(2)[0]
    assert take.due(5, 2) == pytest.approx(first + longrun.ALPHA * (here - first))
    assert take.left_behind(2, 2) == pytest.approx([0, 0])
