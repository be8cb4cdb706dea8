"""The loop, on eight weights: what a step does, what a run leaves behind, and what ends it."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import signal
import sys
import threading
import types
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
from torch.optim.optimizer import register_optimizer_step_pre_hook  # noqa: E402
from toys import Toy, linear  # noqa: E402

import trainer.loop as module  # noqa: E402
from trainer.checkpoint import CheckpointError, load_checkpoint, load_weights, save_checkpoint  # noqa: E402
from trainer.loop import Diverged, Plan, run  # noqa: E402

METADATA = {"network": "toy", "width": "2", "settings": "{}"}
PLAIN = {"schedule": "constant", "warm_up": 1, "clip_norm": 0.0, "rate": 0.05}


@pytest.fixture(autouse=True)
def no_board(monkeypatch):
    """TensorBoard takes a second to import; and training works without it."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


@pytest.fixture
def every_step(monkeypatch):
    """A line of progress for every step."""
    monkeypatch.setattr(module, "TELL", -1.0)


@pytest.fixture
def minute(monkeypatch):
    """A clock that goes on by a minute whenever it is read: one step takes a minute."""
    ticks = iter(range(0, 10**6, 60))
    monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: float(next(ticks))))


@pytest.fixture
def gradients():
    """Every step's gradient of the weight, as the optimiser meets it."""
    found = []
    handle = register_optimizer_step_pre_hook(
        lambda optimiser, *_: found.append(optimiser.param_groups[0]["params"][0].grad.clone())
    )
    yield found
    handle.remove()


def go(out: Path, objective: Toy | None = None, **plan) -> Toy:
    """Train a fresh network as a new process would; returns the objective."""
    objective = objective or Toy()
    net, averaged = linear(), linear()
    torch.manual_seed(999)  # what was drawn before must not matter
    run(net, averaged, objective, Plan(**{**PLAIN, **plan}), out, METADATA)
    return objective


def lines(out: Path) -> list[dict]:
    def never(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=never) for line in (out / "log.jsonl").read_text().splitlines()]


class Meddling(Toy):
    """Does something at one of its calls, counted from 1 in this process."""

    def __init__(self, at: int, what, **options) -> None:
        super().__init__(**options)
        self.at, self.what, self.here = at, what, 0

    def __call__(self, net, progress):
        self.here += 1
        loss, log = super().__call__(net, progress)
        if self.here == self.at:
            loss = self.what(loss)
        return loss, log if math.isfinite(loss.item()) else {"loss": loss.item()}


def asking(number: int):
    def ask(loss):
        os.kill(os.getpid(), number)
        return loss

    return ask


def spoilt(loss):
    return loss * math.nan


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


# -- resuming


@pytest.mark.parametrize("plan", [{}, {"schedule": "cosine", "warm_up": 4}, {"accumulate": 3}])
def test_an_interrupted_run_ends_as_one_that_never_stopped(tmp_path, plan):
    go(tmp_path / "whole", Toy(noise=0.1), steps=6, **plan)
    calls = 3 * plan.get("accumulate", 1)
    go(tmp_path / "parts", Meddling(calls, asking(signal.SIGTERM), noise=0.1), steps=6, **plan)
    assert load_checkpoint(tmp_path / "parts").state["step"] == 3
    go(tmp_path / "parts", Toy(seed=77, noise=0.1), steps=6, **plan)
    whole, parts = (load_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    assert same(whole.weights, parts.weights)
    assert same(whole.averaged, parts.averaged)
    assert not same(whole.weights, whole.averaged)
    assert whole.state["step"] == parts.state["step"] == 6
    one, two = (found.state["members"][0] for found in (whole, parts))
    assert torch.equal(one["random"]["cpu"], two["random"]["cpu"])
    assert torch.equal(one["objective"]["g"], two["objective"]["g"])


def test_more_steps_continue_and_spent_ones_do_not(tmp_path, capsys):
    go(tmp_path, steps=3)
    assert "resumed" not in capsys.readouterr().err
    first = load_checkpoint(tmp_path)
    assert len(go(tmp_path, steps=5).seen) == 2
    assert "resumed at step 3" in capsys.readouterr().err
    second = load_checkpoint(tmp_path)
    assert second.state["step"] == 5
    assert not same(first.weights, second.weights)
    written = second.path.stat().st_mtime_ns
    for steps in (5, 4):
        assert go(tmp_path, steps=steps).seen == [], "all is done"
        assert f"nothing to do: {tmp_path} is at step 5" in capsys.readouterr().err
    assert load_checkpoint(tmp_path).path == second.path
    assert second.path.stat().st_mtime_ns == written, "as it was"


def test_a_checkpoint_says_what_it_is_of(tmp_path):
    go(tmp_path, steps=2, seed=4)
    found = load_checkpoint(tmp_path)
    assert found.metadata == {**METADATA, "steps": "2", "minutes": "0.0"}
    assert found.state["plan"]["seed"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-00000002", "log.jsonl"], "no TensorBoard"
    assert same(load_weights(tmp_path)[0], found.averaged), "the average is handed on"


@pytest.mark.parametrize(
    ("net", "metadata", "said"),
    [
        (linear(), {"network": "warp"}, "network toy -> warp"),
        (linear(), {"settings": '{"supervision": "clips"}'}, "supervision scenes -> clips"),
        (torch.nn.Linear(4, 2), {"width": "8"}, "width 2 -> 8"),
        (torch.nn.Linear(4, 2), {}, "a network of another shape"),
    ],
)
def test_a_run_of_another_sort_is_refused_and_kept(tmp_path, net, metadata, said):
    run(linear(), linear(), Toy(), Plan(steps=2), tmp_path, METADATA | {"settings": '{"supervision": "scenes"}'})
    with pytest.raises(CheckpointError, match=rf"is of another run: {said}; choose another folder \(-o\)"):
        run(net, net, Toy(), Plan(steps=4), tmp_path, METADATA | {"settings": '{"supervision": "scenes"}'} | metadata)
    assert load_checkpoint(tmp_path).state["step"] == 2


def test_a_state_without_a_training_is_refused(tmp_path):
    save_checkpoint(tmp_path, weights=linear().state_dict(), state={"step": 1, "a": torch.zeros(2)}, metadata=METADATA)
    with pytest.raises(CheckpointError, match=r"no state of a training \(optimiser, elapsed, skipped, members missing"):
        go(tmp_path, steps=2)


def test_settings_that_have_changed_are_named_where_it_goes_on(tmp_path, capsys):
    """The width in words only: 2 is what 0 stands for. What is given to go on, steps, is no change."""
    before, now = ({**METADATA, "width": w, "settings": f'{{"batch": {b}}}'} for w, b in (("2", 3), ("0", 4)))
    run(linear(), linear(), Toy(), Plan(steps=1, **PLAIN), tmp_path, before)
    run(linear(), linear(), Toy(), Plan(steps=2, **PLAIN), tmp_path, before)
    assert "changed" not in capsys.readouterr().err
    run(linear(), linear(), Toy(), Plan(steps=3, seed=5, **PLAIN), tmp_path, now)
    said = [line for line in capsys.readouterr().err.splitlines() if "changed" in line]
    assert said == ["settings changed since it was begun or last resumed: batch 3 -> 4, seed 1 -> 5"]
    run(linear(), linear(), Toy(), Plan(steps=4, rate=9.0), tmp_path, now, quiet=True)
    assert all(line.startswith("step ") for line in capsys.readouterr().err.splitlines())


# -- a step


def test_two_half_batches_are_one_batch(tmp_path, gradients):
    rows = torch.rand(24, 3, generator=torch.Generator().manual_seed(3))
    go(tmp_path / "whole", Toy(batch=8, rows=rows), steps=3)
    go(tmp_path / "halves", Toy(batch=4, rows=rows), steps=3, accumulate=2)
    assert len(gradients) == 6
    for one, two in zip(gradients[:3], gradients[3:], strict=True):
        torch.testing.assert_close(one, two)
    one, two = (load_checkpoint(tmp_path / name).weights["weight"] for name in ("whole", "halves"))
    torch.testing.assert_close(one, two)


def test_gradients_are_cut_to_the_norm_asked_for(tmp_path, gradients):
    def huge(loss):
        return loss * 1e6

    go(tmp_path / "cut", Meddling(1, huge), steps=2, clip_norm=0.1)
    go(tmp_path / "free", Meddling(1, huge), steps=2)
    assert gradients[0].norm() < 0.1 < 0.09 + gradients[0].norm()
    assert gradients[2].norm() > 1e4, "0 cuts nothing"
    torch.testing.assert_close(gradients[0] / gradients[0].norm(), gradients[2] / gradients[2].norm())


def test_the_average_is_the_weighted_mean_of_all_that_was(tmp_path):
    """d = min(average, (k + 1) / (k + 10)) after step k, and avg ← d·avg + (1 − d)·weights."""
    steps, average = 40, 0.7  # reached after 20 steps
    seen = go(tmp_path, steps=steps, average=average).seen
    found = load_checkpoint(tmp_path)
    weights = [*seen, found.weights["weight"]]
    decay = [min(average, (k + 1) / (k + 10)) for k in range(steps)]
    share = [math.prod(decay)] + [(1 - decay[k]) * math.prod(decay[k + 1 :]) for k in range(steps)]
    assert sum(share) == pytest.approx(1)
    wanted = sum(s * w for s, w in zip(share, weights, strict=True))
    torch.testing.assert_close(found.averaged["weight"], wanted)
    assert max(decay) == average > min(decay)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_rate_rises_and_falls_as_said(tmp_path, every_step, schedule):
    go(tmp_path, steps=10, warm_up=4, rate=0.01, schedule=schedule)
    fall = [0.505 + 0.495 * math.cos(math.pi * k / 10) if schedule == "cosine" else 1 for k in range(10)]
    wanted = [0.01 * min(1, (k + 1) / 4) * fall[k] for k in range(10)]
    assert [line["rate"] for line in lines(tmp_path)] == pytest.approx(wanted)


def test_a_cosine_by_the_clock_ends_at_a_hundredth(tmp_path, every_step, minute):
    go(tmp_path, minutes=100, schedule="cosine", rate=1.0)
    rates = [line["rate"] for line in lines(tmp_path)]
    assert len(rates) == 100
    assert rates[0] == 1
    assert rates[-1] == pytest.approx(0.01, abs=5e-4)


# -- what is not finite


def test_a_parameter_may_have_a_pace_of_its_own(tmp_path):
    class Paced(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slow, self.fast = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
            self.paces = {"fast": 30.0}

    class Both(Toy):
        def __call__(self, net, progress):
            loss = net.slow.sum() + net.fast.sum()
            return loss, {"loss": loss.item()}

    net = Paced()
    run(net, Paced(), Both(), Plan(steps=1, **PLAIN), tmp_path, METADATA)
    assert net.slow.item() == pytest.approx(-PLAIN["rate"], rel=1e-3)  # Adam's first step is the rate
    assert net.fast.item() == pytest.approx(30 * net.slow.item(), rel=1e-3)


def test_a_step_that_is_not_finite_is_left_out_and_counted(tmp_path, every_step, capsys):
    objective = go(tmp_path, Meddling(3, spoilt), steps=5)
    changed = [not torch.equal(a, b) for a, b in zip(objective.seen, objective.seen[1:], strict=False)]
    assert changed == [True, True, False, True], "the weights of the third step are those of the fourth"
    found = load_checkpoint(tmp_path)
    assert (found.state["step"], found.state["skipped"]) == (5, 1)
    assert all(torch.isfinite(value).all() for value in (*found.weights.values(), *found.averaged.values()))
    said = capsys.readouterr().err.splitlines()
    assert ["skipped 1" in line for line in said] == [False, False, True, True, True]
    log = lines(tmp_path)
    assert [line["skipped"] for line in log] == [0, 0, 1, 1, 1]
    assert ["loss" in line for line in log] == [True, True, False, True, True]


class Normed(torch.nn.Linear):
    """With batch statistics on the way."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x):
        return super().forward(self.norm(x))


def test_what_is_not_finite_does_not_stay_in_batch_statistics(tmp_path):
    rows = torch.rand(12, 3)
    rows[4] = math.inf  # in the second batch
    run(Normed(), Normed(), Toy(batch=4, rows=rows), Plan(steps=3, **PLAIN), tmp_path, METADATA)
    found = load_checkpoint(tmp_path)
    assert found.state["skipped"] == 1
    for weights in (found.weights, found.averaged):
        assert torch.isfinite(weights["norm.running_mean"]).all()
        assert weights["norm.num_batches_tracked"] == 2


def test_nothing_finite_any_more_ends_the_run_and_keeps_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GIVE_UP", 3)
    go(tmp_path, steps=2)
    before = load_checkpoint(tmp_path)
    with pytest.raises(Diverged, match=r"3 steps in a row .* at step 4.*lower --rate \(this was 0\.05\)"):
        go(tmp_path, Toy(rows=torch.full((400, 3), math.nan)), steps=100)
    after = load_checkpoint(tmp_path)
    assert after.state["step"] == 2
    assert same(before.weights, after.weights)
    go(tmp_path, steps=4)  # and it goes on from there
    assert load_checkpoint(tmp_path).state["step"] == 4


def test_single_bad_steps_end_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GIVE_UP", 2)
    rows = torch.rand(40, 3)
    rows[::8] = math.nan  # every other batch
    go(tmp_path, Toy(rows=rows), steps=10)
    assert load_checkpoint(tmp_path).state["skipped"] == 5


# -- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(tmp_path, number):
    handler = signal.getsignal(number)
    objective = go(tmp_path, Meddling(2, asking(number)), steps=1000)
    assert len(objective.seen) == 2
    assert load_checkpoint(tmp_path).state["step"] == 2
    assert signal.getsignal(number) is handler, "handlers are given back"


def test_beside_other_threads_signals_are_left_alone(tmp_path):
    failed = []

    def work() -> None:
        try:
            go(tmp_path, steps=2)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []
    assert load_checkpoint(tmp_path).state["step"] == 2


def test_minutes_are_of_the_whole_run(tmp_path, minute, capsys):
    go(tmp_path, minutes=3)
    found = load_checkpoint(tmp_path)
    assert (found.state["step"], found.state["elapsed"], found.metadata["minutes"]) == (3, 180, "3.0")
    assert "resumed" not in capsys.readouterr().err
    go(tmp_path, minutes=5)
    assert load_checkpoint(tmp_path).state["step"] == 5
    assert "resumed at step 3, 3.0 min" in capsys.readouterr().err


def test_time_to_go_is_never_below_none(tmp_path, minute, capsys):
    """A step ends after the minutes do."""
    go(tmp_path, minutes=2.5)
    assert "step 3  3.0 min, 0.0 to go" in capsys.readouterr().err


def test_of_steps_and_minutes_whichever_is_first(tmp_path, minute):
    go(tmp_path / "steps", steps=2, minutes=100)
    go(tmp_path / "minutes", steps=100, minutes=3)
    assert [load_checkpoint(tmp_path / name).state["step"] for name in ("steps", "minutes")] == [2, 3]


def test_checkpoints_are_written_on_the_way(tmp_path, minute, monkeypatch):
    saved = []
    save = module.save_checkpoint
    monkeypatch.setattr(module, "save_checkpoint", lambda *a, **k: saved.append(k["state"]["step"]) or save(*a, **k))
    go(tmp_path, steps=10, save_every=2.5)
    assert saved == [3, 6, 9, 10]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": 0}, "minutes or steps above 0"),
        ({"steps": 1, "schedule": "linear"}, "cosine or constant, got 'linear'"),
        ({"steps": 1, "accumulate": 0}, "accumulate of 1 or more, got 0"),
        ({"steps": 1, "rate": 0.0}, "rate above 0, got 0"),
        ({"steps": 1, "rate": math.nan}, "rate above 0, got nan"),
        ({"steps": 1, "clip_norm": -1.0}, "clip_norm of 0 or more, got -1"),
        ({"minutes": math.nan}, "minutes of 0 or more, got nan"),
        ({"minutes": math.inf}, "minutes of 0 or more, and finite, got inf"),
        ({"steps": -1, "minutes": 2.0}, "steps of 0 or more, got -1"),
        ({"steps": 1, "average": 2.0}, r"average in 0\.\.1, got 2"),
        ({"steps": 1, "seed": -4}, "seed of 0 or more, got -4"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Plan(**wrong)


# -- what can fail


def test_a_full_disk_is_one_clear_error_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    go(tmp_path, steps=2)
    before = load_checkpoint(tmp_path)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match=r"checkpoint of step 4 could not be written.*No space left"):
            go(tmp_path, steps=4)
    after = load_checkpoint(tmp_path)
    assert after.state["step"] == 2
    assert same(before.weights, after.weights)
    go(tmp_path, steps=4)
    assert load_checkpoint(tmp_path).state["step"] == 4


# -- what is said


def test_progress_is_told_with_the_time_to_go(tmp_path, every_step, minute, capsys):
    go(tmp_path, steps=4)
    said = capsys.readouterr().err.splitlines()
    pattern = re.compile(r"step (\d)  (\d\.\d) min, (\d\.\d) to go  loss \d\.\d+")
    assert [pattern.fullmatch(line).groups() for line in said] == [
        ("1", "1.0", "3.0"),
        ("2", "2.0", "2.0"),
        ("3", "3.0", "1.0"),
        ("4", "4.0", "0.0"),
    ]
    log = lines(tmp_path)
    assert [line["step"] for line in log] == [1, 2, 3, 4]
    assert [line["minutes"] for line in log] == [1, 2, 3, 4]
    assert all(0 < line["loss"] < 10 for line in log)


def test_what_is_told_is_the_mean_since_the_last_time(tmp_path, every_step, monkeypatch):
    go(tmp_path / "each", steps=6)
    monkeypatch.setattr(module, "TELL", 1e9)
    go(tmp_path / "all", steps=6)
    each, (line,) = lines(tmp_path / "each"), lines(tmp_path / "all")
    assert line["loss"] == pytest.approx(sum(item["loss"] for item in each) / 6)


def test_a_resumed_run_goes_on_with_its_log(tmp_path):
    go(tmp_path, steps=2)
    go(tmp_path, steps=3)
    assert [line["step"] for line in lines(tmp_path)] == [2, 3]


def test_tensorboard_gets_scalars_and_pictures_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard")
    pytest.importorskip("torch.utils.tensorboard", reason="an option: pip install tensorboard")
    go(tmp_path, steps=2)
    (events,) = (tmp_path / "tensorboard").iterdir()
    data = events.read_bytes()
    assert all(tag in data for tag in (b"loss", b"rate", b"weights", b"PNG"))
