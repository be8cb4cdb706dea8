"""Checkpoints: whole whatever happens while one is written, never code, and refused where they do not fit."""

from __future__ import annotations

import errno
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
safetensors = pytest.importorskip("safetensors.torch", reason="the trainer needs safetensors: pip install -e .[train]")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

import trainer.checkpoint as module  # noqa: E402
from magfilter.models import shipped_models  # noqa: E402
from magfilter.networks.build import build_network  # noqa: E402
from magfilter.networks.warp import WarpNet  # noqa: E402
from trainer.checkpoint import (  # noqa: E402
    CheckpointError,
    find_checkpoint,
    load_checkpoint,
    load_into,
    load_weights,
    save_checkpoint,
    save_weights,
    training_record,
    unpickle,
)

METADATA = {"network": "warp", "width": "4", "steps": "7", "minutes": "1.5", "settings": '{"batch": 8, "rate": 0.0004}'}


def weights(fill: float = 1.0) -> dict[str, torch.Tensor]:
    return {"a.weight": torch.full((40, 3), fill), "a.bias": torch.full((3,), -fill), "a.count": torch.tensor(5)}


def save(folder: Path, step: int, **changes) -> Path:
    """A checkpoint all of whose parts tell its step."""
    arguments = {
        "weights": weights(step),
        "averaged": weights(step + 0.5),
        "state": {"step": step, "optimiser": {"moment": torch.full((30,), float(step))}},
        "metadata": METADATA | {"steps": str(step)},
    } | changes
    return save_checkpoint(folder, **arguments)


def step_of(folder: Path) -> int:
    """The step that every part of the newest checkpoint agrees on."""
    found = load_checkpoint(folder)
    steps = {
        found.state["step"],
        int(found.state["optimiser"]["moment"][0]),
        int(found.weights["a.weight"][0, 0]),
        int(found.averaged["a.weight"][0, 0] - 0.5),
        int(found.metadata["steps"]),
    }
    assert len(steps) == 1, "parts of two checkpoints"
    return steps.pop()


# -- there and back


def test_everything_comes_back_to_the_bit(tmp_path):
    net = torch.nn.Linear(5, 3)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-4)
    net(torch.rand(2, 5)).sum().backward()
    optimiser.step()
    state = {
        "step": 12,
        "optimiser": optimiser.state_dict(),
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numbers": [1, 2.5, None, "text", b"bytes", (True, {3, 4})],
        "large": 2**100,
        "half": torch.rand(3).bfloat16(),
    }
    path = save_checkpoint(
        tmp_path / "new" / "run", weights=net.state_dict(), averaged=None, state=state, metadata=METADATA
    )
    found = load_checkpoint(tmp_path / "new" / "run")
    assert found.path == path == find_checkpoint(tmp_path / "new" / "run")
    assert found.averaged is None
    assert found.metadata == METADATA
    for name, value in net.state_dict().items():
        assert torch.equal(found.weights[name], value)
    assert found.state["python"] == state["python"]
    assert found.state["numbers"] == state["numbers"]
    assert found.state["large"] == 2**100
    assert torch.equal(found.state["half"], state["half"])
    torch.optim.Adam(net.parameters()).load_state_dict(found.state["optimiser"])
    torch.set_rng_state(found.state["torch"])
    assert torch.equal(found.state["optimiser"]["state"][0]["exp_avg"], optimiser.state[net.weight]["exp_avg"])


def test_strides_and_shared_memory_do_not_matter(tmp_path):
    net = torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
    both = {"one": net.weight, "same": net.weight, "part": net.weight[1:3], "wide": torch.ones(1, 2).expand(3, 2)}
    save_checkpoint(tmp_path, weights=both, state={"step": 0})
    for name, value in load_checkpoint(tmp_path).weights.items():
        assert torch.equal(value, both[name])


def test_a_snapshot_is_taken(tmp_path):
    values = weights(1)
    path = save(tmp_path, 1, weights=values)
    values["a.weight"].zero_()
    assert load_checkpoint(path).weights["a.weight"][0, 0] == 1


def test_nothing_yet_is_nothing(tmp_path):
    assert load_checkpoint(tmp_path) is None
    assert load_checkpoint(tmp_path / "not there") is None


def test_the_newest_counts_and_the_others_go(tmp_path):
    for step in (3, 20, 100):
        save(tmp_path, step)
        assert step_of(tmp_path) == step
        assert [path.name for path in tmp_path.iterdir()] == [f"checkpoint-{step:08d}"]


@pytest.mark.parametrize("keep", [2, 4])
def test_as_many_are_kept_as_asked_for(tmp_path, keep):
    for step in range(6):
        save(tmp_path, step, keep=keep)
        kept = sorted(int(path.name[-8:]) for path in tmp_path.iterdir())
        assert kept == list(range(max(0, step + 1 - keep), step + 1))
    assert step_of(tmp_path) == 5
    assert step_of(tmp_path / "checkpoint-00000004") == 4
    save(tmp_path, 6)
    assert len(list(tmp_path.iterdir())) == 1


def test_other_files_of_the_run_are_left_alone(tmp_path):
    (tmp_path / "log.jsonl").write_text("{}")
    (tmp_path / "checkpoint-00000009x").mkdir()
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-00000002",
        "checkpoint-00000009x",
        "log.jsonl",
    ]


def test_a_step_may_be_saved_again(tmp_path):
    """A run that is resumed when its time is spent ends at the step it began with."""
    for value in range(12):
        save(tmp_path, 7, weights=weights(value))
        assert load_checkpoint(tmp_path).weights["a.weight"][0, 0] == value
        assert len(list(tmp_path.iterdir())) == 1
    save(tmp_path, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000008"]


def test_an_earlier_step_is_not_written_behind_a_later_one(tmp_path):
    save(tmp_path, 9)
    with pytest.raises(CheckpointError, match="step 9, later than this one of step 3"):
        save(tmp_path, 3)
    assert step_of(tmp_path) == 9


@pytest.mark.parametrize("change", [{"state": {}}, {"state": {"step": -1}}, {"keep": 0}], ids=str)
def test_wrong_arguments_are_told_at_once(tmp_path, change):
    with pytest.raises(ValueError, match="Expected state"):
        save(tmp_path, 1, **change)
    assert not list(tmp_path.iterdir())


def test_a_state_that_could_not_be_read_back_is_not_written(tmp_path):
    save(tmp_path, 1)
    for thing in (Path("a path"), random.Random(1)):
        with pytest.raises(CheckpointError, match="could not be read back without running code"):
            save(tmp_path, 2, state={"step": 2, "thing": thing})
    assert step_of(tmp_path) == 1


# -- what can go wrong while it is written


class Killed(BaseException):
    """The process is gone: nothing after it runs that a program could run."""


class Saboteur:
    """Lets so many calls to the system pass, then fails one, having done half of it if it was a write."""

    CALLS = ("mkdir", "rename", "replace", "fsync", "rmdir", "unlink")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failure: Callable[[], BaseException]) -> None:
        self.failure, self.left, self.broken = failure, -1, False  # left: calls to go, never if negative
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self.watched(getattr(os, name)))
        opened = Path.open

        def unbuffered(path: Path, mode: str = "r", *args, **kwargs):
            return Written(opened(path, mode, *args, **kwargs), self) if "w" in mode else opened(path, mode)

        monkeypatch.setattr(Path, "open", unbuffered)

    def watched(self, call: Callable) -> Callable:
        def wrapped(*args, **kwargs):
            self.count()
            return call(*args, **kwargs)

        return wrapped

    def count(self) -> None:
        if self.broken and self.failure is dead:
            raise Killed  # a dead process does not clean up either
        self.left -= 1
        if self.left == 0:
            self.broken = True
            raise self.failure()


class Written:
    """A file of which the failing write leaves half."""

    def __init__(self, file, saboteur: Saboteur) -> None:
        self.file, self.saboteur = file, saboteur

    def write(self, data) -> int:
        try:
            self.saboteur.count()
        except BaseException:
            self.file.write(data[: len(data) // 2])
            raise
        return self.file.write(data)

    def __getattr__(self, name: str):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def dead() -> Killed:
    return Killed()


def every_call(tmp_path: Path, saboteur: Saboteur) -> Iterator[tuple[Path, BaseException | None]]:
    """(folder with step 1 in it, what came of saving step 2) with each call failing that saving makes."""
    for call in range(1, 100):
        folder = tmp_path / str(call)
        save(folder, 1)
        saboteur.left, saboteur.broken, error = call, False, None
        try:
            save(folder, 2)
        except (CheckpointError, Killed) as caught:
            error = caught
        passed, saboteur.left, saboteur.broken = saboteur.left > 0, -1, False
        if passed:
            return
        yield folder, error
        save(folder, 3)
        assert step_of(folder) == 3
        assert [path.name for path in folder.iterdir()] == ["checkpoint-00000003"], "what was left is swept up"


def test_a_full_disk_leaves_the_last_checkpoint_and_nothing_else(tmp_path, monkeypatch):
    outcomes = []
    for folder, error in every_call(tmp_path, Saboteur(monkeypatch, full)):
        outcomes.append(step_of(folder))
        if outcomes[-1] == 1:
            assert isinstance(error, CheckpointError)
            assert "No space left on device" in str(error)
            assert "what was saved before is whole" in str(error)
            assert [path.name for path in folder.iterdir()] == ["checkpoint-00000001"], "no partial is left"
    # making the run's folder fails without harm: it is there already
    assert outcomes[0] == 2
    assert len(outcomes) > outcomes.count(1) >= 9, "before it is in place and after"
    assert outcomes[1:] == sorted(outcomes[1:])


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    outcomes, left_over = [], 0
    for folder, error in every_call(tmp_path, Saboteur(monkeypatch, dead)):
        assert isinstance(error, Killed)
        outcomes.append(step_of(folder))
        left_over += any(path.name.startswith(".") for path in folder.iterdir())
    assert len(outcomes) > outcomes.count(1) >= 10
    assert outcomes == sorted(outcomes)
    assert left_over >= 8, "the kills did leave something"


@pytest.mark.skipif(os.name != "posix", reason="limits of a process")
def test_a_write_that_the_system_refuses_is_one_clear_error(tmp_path):
    """No imitation: files of this process may not grow beyond 4 kB for a moment."""
    import resource

    save(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(CheckpointError, match="step 2 could not be written"):
            save(tmp_path, 2, weights={"large": torch.zeros(4096)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert step_of(tmp_path) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="could not be written"):
        save(tmp_path / "file" / "run", 1)


def test_a_reader_follows_a_run_that_goes_on(tmp_path, monkeypatch):
    """Between finding the newest checkpoint and opening it, the run may have replaced it."""
    save(tmp_path, 1)
    read, first = module._read, []

    def overtaken(path: Path):
        if not first:
            first.append(path)
            save(tmp_path, 2)
        return read(path)

    monkeypatch.setattr(module, "_read", overtaken)
    assert load_checkpoint(tmp_path).state["step"] == 2


# -- what is refused


class Trap:
    """A pickle that runs code when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return (os.mkdir, (self.mark,))


def test_code_is_never_run(tmp_path):
    path, mark = save(tmp_path, 1), tmp_path / "it ran"
    torch.save({"step": 1, "trap": Trap(mark)}, path / "state.pt")
    for load in (load_checkpoint, load_weights):
        with pytest.raises(CheckpointError, match=r"state\.pt is refused.*mkdir.*can run any code"):
            load(tmp_path)
    torch.save({"state_dict": Trap(mark)}, tmp_path / "trap.pth")
    with pytest.raises(CheckpointError, match=r"trap\.pth is refused"):
        load_weights(tmp_path / "trap.pth")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "averaged.safetensors", "state.pt"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_damaged_checkpoint_is_named(tmp_path, name, damage):
    path = save(tmp_path, 1) / name
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "garbage": b"garbage" * 99, "empty": b""}[damage])
    with pytest.raises(CheckpointError, match=f"checkpoint-00000001/{name}.*damaged"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["weights.safetensors", "state.pt"])
def test_a_checkpoint_that_lacks_a_part_is_refused(tmp_path, name):
    (save(tmp_path, 1) / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(tmp_path / "checkpoint-00000001" if name == "state.pt" else tmp_path)


# -- weights


def test_averaged_weights_are_preferred(tmp_path):
    path = save(tmp_path, 3)
    for where in (tmp_path, path):
        found, metadata = load_weights(where)
        assert found["a.weight"][0, 0] == 3.5
        assert metadata["steps"] == "3"
    save(tmp_path, 4, averaged=None)
    assert load_weights(tmp_path)[0]["a.weight"][0, 0] == 4


def test_weights_are_written_in_half_and_read_in_single_precision(tmp_path):
    values = {
        "large": torch.rand(30, 30) + 1 / 3,
        "small": torch.rand(3) + 1 / 3,
        "loud": torch.full((100,), 1e6),
        "count": torch.tensor(4),
    }
    path = tmp_path / "new" / "w.safetensors"
    save_weights(path, values, METADATA)
    stored = {name: str(value.dtype) for name, value in safetensors.load_file(path).items()}
    assert stored == {
        "large": "torch.float16",
        "small": "torch.float32",
        "loud": "torch.float32",
        "count": "torch.int64",
    }
    found, metadata = load_weights(path)
    assert metadata == METADATA
    assert {value.dtype for value in found.values()} == {torch.float32, torch.int64}
    assert torch.equal(found["large"], values["large"].half().float())
    for name in ("small", "loud", "count"):
        assert torch.equal(found[name], values[name])
    save_weights(path, values, METADATA, half=False)
    assert torch.equal(load_weights(path)[0]["large"], values["large"])
    assert [p.name for p in path.parent.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("failure", [full, dead])
def test_weights_are_written_in_one_step(tmp_path, monkeypatch, failure):
    path = tmp_path / "w.safetensors"
    save_weights(path, weights(1), METADATA)
    saboteur = Saboteur(monkeypatch, failure)
    said: list[str] = []
    for call in range(1, 12):
        saboteur.left, saboteur.broken = call, False
        try:
            save_weights(path, weights(call + 1), METADATA)
        except (CheckpointError, Killed) as error:
            said.append(str(error))
        saboteur.left, saboteur.broken = -1, False
        assert load_weights(path)[0]["a.weight"].unique().numel() == 1
        if failure is full:
            assert len(list(tmp_path.iterdir())) == 1
    assert len(said) >= 4
    assert failure is dead or all("w.safetensors could not be written (No space left" in text for text in said)
    assert load_weights(path)[0]["a.weight"][0, 0] == 12


def test_weights_fill_the_network_they_are_of(tmp_path):
    one, two = build_network("unet", 4), build_network("unet", 4)
    path = tmp_path / "w.safetensors"
    save_weights(path, one.state_dict(), METADATA, half=False)
    assert load_into(two, path) == METADATA
    for name, value in two.state_dict().items():
        assert torch.equal(value, one.state_dict()[name])


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (lambda: build_network("unet", 8), r"enter\.0\.weight is \(4, 38, 3, 3\) there and \(8, 38, 3, 3\)"),
        (
            lambda: WarpNet((4, 8, 12)),
            r"cell\.damping, cell\.trust, cell\.prior and 25 more missing, down\.0\.0\.bias, .* unknown",
        ),
        (
            lambda: build_network("unet", 4).enter,
            r"0\.weight, 0\.bias, .* missing, down\.0\.0\.bias, .* and 125 more unknown",
        ),
    ],
    ids=["width", "network", "part"],
)
def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path, net, said):
    path = tmp_path / "w.safetensors"
    save_weights(path, build_network("unet", 4).state_dict(), METADATA)
    target = net()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(CheckpointError, match=rf"w\.safetensors: .*{said}"):
        load_into(target, path)
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_shipped_model_is_weights_too():
    """The training can start from what the filter ships."""
    pytest.importorskip("onnx")
    found, metadata = load_weights(shipped_models()["warp"])
    net = build_network("warp")
    assert load_into(net, shipped_models()["warp"]) == metadata
    assert metadata["network"] == "warp"
    assert set(found) == set(net.state_dict())
    assert {value.dtype for value in found.values()} == {torch.float32}
    record = training_record(metadata)
    assert record["steps"] > 0
    assert record["minutes_spent"] > 0
    assert record["batch"] > 0
    image = torch.nn.functional.avg_pool2d(torch.rand(1, 1, 70, 70, generator=torch.Generator().manual_seed(0)), 7, 1)
    with torch.no_grad():
        flow = net(image, image.roll(1, 3))[0, 0]
    assert flow[8:24, 8:24].median() == pytest.approx(1.0, abs=0.1), "and it measures"


@pytest.mark.parametrize("name", ["w.safetensors", "w.onnx", "w.pth", "w.jpg"])
def test_garbage_and_nothing_are_refused(tmp_path, name):
    with pytest.raises(CheckpointError, match=rf"{name}: no such checkpoint"):
        load_weights(tmp_path / name)
    (tmp_path / name).write_bytes(b"garbage" * 99)
    with pytest.raises(CheckpointError, match=rf"{name}: "):
        load_weights(tmp_path / name)
    with pytest.raises(CheckpointError, match=r": no such checkpoint; train one"):
        load_weights(tmp_path)


def test_a_foreign_onnx_file_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    onnx.save(onnx.ModelProto(), tmp_path / "foreign.onnx")
    with pytest.raises(CheckpointError, match=r"foreign\.onnx: not a magfilter model"):
        load_weights(tmp_path / "foreign.onnx")


def test_missing_pickles_are_told(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        unpickle(tmp_path / "state.pt")


def test_the_record_of_a_training_is_its_settings_and_what_came_of_them():
    record = training_record(METADATA | {"source": "a test"})
    assert record == {
        "batch": 8,
        "rate": 0.0004,
        "network": "warp",
        "width": 4,
        "steps": 7,
        "minutes_spent": 1.5,
        "source": "a test",
    }
    json.dumps(record)
    assert training_record({}) == {}
    for damaged in ({"settings": "[1]"}, {"settings": "{"}, {"width": "wide"}):
        with pytest.raises(CheckpointError, match="header of the weights is damaged"):
            training_record(damaged)
