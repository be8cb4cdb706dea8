"""The evaluation's measurements give known answers where the answer is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
pytest.importorskip("torch", reason="the evaluation's flow networks need torch: pip install -e .[train]")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

from trainer.evaluation import estimators, methods, pairs, protocol  # noqa: E402

FLOW = estimators.SHARED / "data/eval/flow"
needs_shared = pytest.mark.skipif(
    not (FLOW.is_dir() and (estimators.SHARED / "data/weights/spynet_reds4.pth").is_file()),
    reason=f"needs the project's data in {estimators.SHARED} (or MAGFILTER_SHARED)",
)


def texture(seed: int, size: tuple[int, int] = (360, 420), shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A photograph's stand-in: a sum of random waves, 1/f, moved exactly by ``shift`` (x, y) pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    picture = np.zeros((*size, 3))
    for _ in range(60):
        length, angle = 5 * 2 ** rng.uniform(0, 4), rng.uniform(0, 2 * np.pi)
        phase = (np.cos(angle) * (x - shift[0]) + np.sin(angle) * (y - shift[1])) / length + rng.uniform()
        picture += np.sin(2 * np.pi * phase)[..., None] * rng.normal(0, 1, 3) * length**0.35
    return np.clip(np.rint(127 + 55 * picture / picture.std()), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [texture(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def scenes(photos) -> list[protocol.Scene]:
    return protocol.known_motion_scenes(4, (256, 256), seed=3, photos=photos)


def brightness_flow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A stand-in whose flow is read off the brightness: u = v = mean(b) − mean(a) pixels."""
    return np.full((*a.shape[:2], 2), float(b.mean()) - float(a.mean()), np.float32)


def flat(level: int) -> np.ndarray:
    return np.full((32, 32, 3), level, np.uint8)


# --- motion error ---------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [2, 4, 10])
def test_copy_scores_the_missing_motion(alpha):
    a, b = flat(100), flat(103)
    error = protocol.motion_error(a, b, methods.copy(a, b, alpha), alpha, brightness_flow)
    assert error == pytest.approx((alpha - 1) * 3)


def test_perfect_magnifier_scores_zero():
    a, b = flat(100), flat(103)
    assert protocol.motion_error(a, b, flat(112), 4, brightness_flow) == 0
    known = brightness_flow(a, b)
    assert protocol.motion_error(a, b, flat(112), 4, brightness_flow, flow_ab=known) == 0


def test_perfect_magnifier_scores_near_zero_by_dis():
    a, b, magnified = (texture(1, (192, 192), shift=(u, 0)) for u in (0, 0.5, 2.0))
    copied = protocol.motion_error(a, b, b, 4, "dis")
    assert copied == pytest.approx(0.75, rel=0.1)  # (4 − 1) · 0.5 px in u, none in v
    assert protocol.motion_error(a, b, magnified, 4, "dis") < 0.15 * copied


def test_real_errors_of_every_method_estimator_and_factor(monkeypatch):
    monkeypatch.setitem(estimators.ESTIMATORS, "fake", lambda: brightness_flow)
    found = protocol.real_errors(
        {"copy": methods.copy, "exact": lambda a, b, alpha: flat(100 + int(alpha) * 3)},
        [("one", flat(100), flat(103)), ("two", flat(100), flat(103))],
        alphas=(2, 4),
        flows=("fake",),
    )
    assert found["copy", "fake", 4.0].tolist() == [9.0, 9.0]
    assert found["exact", "fake", 2.0].tolist() == [0.0, 0.0]


# --- estimators -----------------------------------------------------------------------------------


def test_dis_measures_a_known_shift():
    a, b = texture(2, (192, 192)), texture(2, (192, 192), shift=(0.5, -1.0))
    flow = estimators.estimator("dis")(a, b)
    assert flow.shape == (192, 192, 2)
    assert flow.dtype == np.float32
    assert np.median(flow, (0, 1)) == pytest.approx([0.5, -1.0], abs=0.05)


def test_unknown_estimator_names_the_known():
    with pytest.raises(ValueError, match=r"'pwc'.*dis, .*spynet"):
        estimators.estimator("pwc")


def test_spynet_without_weights_says_where_it_looked(tmp_path):
    with pytest.raises(ValueError, match=r"none\.pth"):
        estimators.estimator(f"spynet:{tmp_path / 'none.pth'}")


def test_spynet_keeps_the_size_of_any_picture(tmp_path):
    import torch

    from trainer.flow.spynet import SPyNet

    network = SPyNet()
    for parameter in network.parameters():
        parameter.data.zero_()
    torch.save(network.state_dict(), tmp_path / "zero.pth")
    flow = estimators.estimator(f"spynet:{tmp_path / 'zero.pth'}")(texture(0, (50, 71)), texture(0, (50, 71)))
    assert flow.shape == (50, 71, 2)
    assert not flow.any()


@needs_shared
def test_spynet_on_rubberwhale():
    a, b = (pairs.read_image(FLOW / f"RubberWhale_frame{n}.png") for n in (10, 11))
    raw = (FLOW / "RubberWhale_flow10.flo").read_bytes()
    width, height = np.frombuffer(raw, np.int32, 2, 4)
    truth = np.frombuffer(raw, np.float32, offset=12).reshape(height, width, 2)
    error = np.linalg.norm(estimators.estimator("spynet")(a, b) - truth, axis=-1)
    # 0.121 is what the project's README measured; unknown flow is marked by huge values.
    assert error[np.abs(truth).max(-1) < 1e3].mean() == pytest.approx(0.121, abs=0.01)


# --- pairs ----------------------------------------------------------------------------------------


def test_paper_filter_passes_and_names_each_bound():
    a = texture(0, (128, 128))
    b = 255 - a

    def flow(length: float, share: float, rest: float = 0.0) -> np.ndarray:
        field = np.full((128 * 128, 2), rest / np.sqrt(2), np.float32)
        field[: int(share * len(field))] = length / np.sqrt(2)
        return field.reshape(128, 128, 2)

    assert protocol.paper_filter(flow(19, 0.1), a, b) == (True, [])
    for refused, reason in (
        (flow(21, 0.1), "99.9th"),
        (flow(2.1, 0.3), "80th"),
        (flow(1, 0.5, rest=0.11), "0.01st"),
    ):
        passes, reasons = protocol.paper_filter(refused, a, b)
        assert not passes
        assert len(reasons) == 1
        assert reasons[0].startswith(reason)
    assert protocol.paper_filter(flow(1, 0.1), a, a) == (False, ["MSE 0.00 <= 10.0"])


@pytest.mark.parametrize("size", [(100, 180), (300, 200), (64, 64)])
def test_resize_crop_is_square(size):
    assert pairs.resize_crop(texture(0, size), 64).shape == (64, 64, 3)


@pytest.fixture
def eval_root(tmp_path) -> Path:
    """Two sources: an object that moves over a still picture, and one that is still all the time."""
    for name, step in (("moving", 3), ("still", 0)):
        folder = tmp_path / "pairs" / name
        folder.mkdir(parents=True)
        background = texture(5, (300, 300))
        for index in range(7):
            frame = background.copy()
            frame[100:160, 100 + index * step : 160 + index * step] = texture(6, (60, 60))
            cv2.imwrite(str(folder / f"{index:05d}.png"), frame)
    (tmp_path / "clips").mkdir()
    return tmp_path


def test_real_pairs_filters_caches_and_repeats(eval_root, tmp_path, monkeypatch):
    settings = {"size": 128, "strides": (1, 5), "per_source": 2, "cache": tmp_path / "cache"}
    found = pairs.real_pairs(eval_root, **settings)
    assert {name.split("#")[0] for name, _, _ in found} == {"pairs/moving"}
    assert [name.split("#")[1] for name, _, _ in found] == ["0+1", "5+1", "0+5", "1+5"]
    assert all(a.shape == b.shape == (128, 128, 3) for _, a, b in found)
    monkeypatch.setattr(pairs, "_collect", lambda *_: pytest.fail("the cache was not used"))
    again = pairs.real_pairs(eval_root, **settings)
    assert [name for name, _, _ in again] == [name for name, _, _ in found]
    assert all(np.array_equal(x[1], y[1]) and np.array_equal(x[2], y[2]) for x, y in zip(found, again, strict=True))
    short = pairs.real_pairs(eval_root, 2, **settings)
    assert [name.split("#")[1] for name, _, _ in short] == ["0+1", "0+5"]


# --- known motion ---------------------------------------------------------------------------------


def test_registration_measures_exact_shifts(scenes):
    for scene in scenes:
        for d in (0, 0.04, 0.3, 1.37, 4.5, 10):
            due = d * scene.direction
            for guess in (due, 10 * scene.direction):
                seen = protocol.registered_displacement(scene.reference(), scene.frame(d), scene.mask(), guess)
                assert seen.vector == pytest.approx(due, abs=0.03)


def test_registration_does_not_mind_gain_and_offset(scenes):
    scene = scenes[0]
    dimmed = np.rint(scene.frame(2.6) * 0.85 + 20).astype(np.uint8)
    seen = protocol.registered_displacement(scene.reference(), dimmed, scene.mask(), 2.6 * scene.direction)
    assert seen.vector == pytest.approx(2.6 * scene.direction, abs=0.03)


def test_registration_finds_an_object_that_stayed(scenes):
    scene = scenes[0]
    seen = protocol.registered_displacement(scene.reference(), scene.reference(), scene.mask(), np.array([9.0, -4]))
    assert seen.vector == pytest.approx([0, 0], abs=1e-6)
    assert seen.score == pytest.approx(1, abs=1e-3)


def test_registration_refuses_a_tiny_object(scenes):
    mask = np.zeros((256, 256))
    mask[:10, :10] = 1
    with pytest.raises(ValueError, match="too small"):
        protocol.registered_displacement(scenes[0].reference(), scenes[0].reference(), mask, np.zeros(2))


def test_background_displacement_is_the_background_s(scenes):
    scene = scenes[0]
    path = 5 * scene.direction
    assert protocol.background_displacement(scene.reference(), scene.frame(5), scene.mask(), path) < 1e-3
    rolled = np.roll(scene.frame(5), 2, axis=1)
    assert protocol.background_displacement(scene.reference(), rolled, scene.mask(), path) == pytest.approx(2, abs=0.02)


def test_known_motion_of_copy_and_of_an_exact_magnifier(scenes):
    (row,) = protocol.known_motion(methods.copy, scenes, (0.5,), (4,))
    assert row["ratio"] == pytest.approx(1 / 4, abs=0.005)
    assert row["background"] < 1e-3
    (row,) = protocol.known_motion(lambda r, f, alpha: scenes[0].magnified(0.5, alpha), scenes[:1], (0.5,), (10,))
    assert row["ratio"] == pytest.approx(1, abs=0.005)
    assert row["across"] < 0.01
    assert row["psnr"] > 55  # nothing but rounding to 8 bit


def test_scenes_repeat_and_their_noise_is_as_asked(photos):
    one, two = (protocol.known_motion_scenes(2, (256, 256), seed=8, photos=photos)[1] for _ in range(2))
    assert np.array_equal(one.frame(0.3, 2.0), two.frame(0.3, 2.0))
    middle = (one.render() > 20) & (one.render() < 235)
    added = one.reference(2.0).astype(float) - one.render(rounded=False)
    assert added[middle].std() == pytest.approx(2, rel=0.05)


def test_scenes_need_texture():
    with pytest.raises(ValueError, match="texture"):
        protocol.known_motion_scenes(1, photos=[flat(90).repeat(12, 0).repeat(12, 1)] * 2)


# --- methods ----------------------------------------------------------------------------------------


def test_backward_warp_moves_by_what_is_missing():
    reference, frame = texture(3, (96, 96)), texture(3, (96, 96), shift=(0.5, 0))
    flow = np.zeros((96, 96, 2), np.float32)
    flow[..., 0] = 0.5
    magnified = methods.warp_by_flow(lambda a, b: flow)(reference, frame, 8)
    due = texture(3, (96, 96), shift=(4, 0))
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(magnified[inner].astype(int) - due[inner]).mean() < 1.5


def test_methods_by_name():
    assert methods.method("copy") is methods.copy
    assert {"copy", "warp-dis", "model"} <= set(methods.METHODS)
    with pytest.raises(ValueError, match="Unknown method 'x'"):
        methods.method("x")
    with pytest.raises(ValueError, match="model:NAME"):
        methods.method("model")


def test_model_starts_anew_with_each_reference(monkeypatch):
    import magfilter

    made = []

    class Fake:
        """Returns (number of frames since the reference) · alpha as the picture's level."""

        def __init__(self, alpha, *, model, shot_cuts, threads, **options):
            made.append((alpha, model, shot_cuts, *options.items()))
            self.alpha, self.count = alpha, -1

        def reset(self):
            self.count = -1

        def push(self, frame):
            self.count += 1
            return flat(int(self.count * self.alpha))

    monkeypatch.setattr(magfilter, "Magnifier", Fake)
    magnify = methods.method("model:some.onnx")
    assert [magnify(flat(0), flat(1), alpha)[0, 0, 0] for alpha in (4.0, 4.0, 10.0)] == [4, 4, 10]
    assert made == [(4.0, "some.onnx", False), (10.0, "some.onnx", False)]
    methods.method("model:a@b.onnx@smooth=8,max_shift=2.5")(flat(0), flat(1), 2.0)
    assert made[2:] == [(2.0, "a@b.onnx", False, ("smooth", 8.0), ("max_shift", 2.5))]


def test_options_of_a_model_that_are_none():
    with pytest.raises(ValueError, match="a number for smooth in model:warp@smooth=much, got 'much'"):
        methods.method("model:warp@smooth=much")
    with pytest.raises(ValueError, match="smooth must be more than 0"):
        methods.method("model:warp@smooth=-1")(flat(0), flat(1), 2.0)
    with pytest.raises(ValueError, match="smoth"):
        methods.method("model:warp@smoth=1")(flat(0), flat(1), 2.0)
