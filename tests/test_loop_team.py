"""Two processes train as one: as a single one would on both their batches, and they resume together."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
from toys import ROOT, Toy, linear  # noqa: E402

from trainer.checkpoint import load_checkpoint  # noqa: E402
from trainer.loop import Plan, Team, run  # noqa: E402

METADATA = {"network": "toy", "width": "2"}
PLAN = {"schedule": "constant", "warm_up": 1, "rate": 0.05, "accumulate": 2, "clip_norm": 0.5}


@pytest.mark.parametrize("device", ["abacus", "cuda:77", "mps", "meta"])
def test_a_device_that_is_not_there_is_named(device, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"got '{device}'"), Team.gather(device):
        pass


def test_who_trains_alone_is_a_team_of_one(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with Team.gather("cpu") as team:
        assert (team.rank, team.size, team.leads, str(team.device)) == (0, 1, True, "cpu")
        assert team.agree(3.5, False) == (3.5, False)


# What each of the two processes does: train with a toy of its own seed, then once more as after a restart, and
# write down the weights it ends with; a run whose second member meets a batch that is no number, one that only
# the second is asked to stop, and one whose checkpoint it does not see.
MEMBER = """
import os
import signal
import sys
from pathlib import Path
import torch
from toys import Toy, linear
from trainer.loop import Plan, Team, run
from test_loop_team import METADATA, PLAN

sys.modules["torch.utils.tensorboard"] = None
out = Path(sys.argv[1])
with Team.gather("cpu") as team:
    for steps in (3, 6):
        toy = Toy(seed=team.rank if steps == 3 else 99)
        net, averaged = linear(), linear()
        run(net, averaged, toy, Plan(steps=steps, **PLAN), out / "run", METADATA, team)
        torch.save([net.weight.detach(), averaged.weight, len(toy.seen)], out / f"{team.rank}-{steps}.pt")

    class Asking(Toy):
        def __call__(self, net, progress):
            if team.rank == 1 and self.calls == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().__call__(net, progress)

    # The second meets a batch that is no number, in the middle of its second step.
    rows = torch.rand(40, 3, generator=torch.Generator().manual_seed(team.rank))
    rows[12 * team.rank : 16 * team.rank] = torch.nan
    net = linear()
    run(net, linear(), Toy(rows=rows), Plan(steps=4, **PLAN), out / "spoilt", METADATA, team)
    torch.save(net.weight.detach(), out / f"{team.rank}-spoilt.pt")

    toy = Asking()
    run(linear(), linear(), toy, Plan(steps=1000, **PLAN), out / "asked", METADATA, team)
    (out / f"{team.rank}-asked.txt").write_text(str(toy.calls))
    try:
        run(linear(), linear(), Toy(), Plan(steps=9, **PLAN), out / ("run" if team.leads else "unseen"), METADATA, team)
    except ValueError as error:
        (out / f"{team.rank}-unseen.txt").write_text(str(error))
names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
(out / f"{team.rank}-threads.txt").write_text(" ".join(names))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    """The folder that two processes have trained in."""
    out = tmp_path_factory.mktemp("pair")
    (out / "member.py").write_text(MEMBER)
    common = os.environ | {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    members = [
        subprocess.Popen(
            [sys.executable, str(out / "member.py"), str(out)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [member.communicate(timeout=100)[1] for member in members]
    finally:
        for member in members:
            member.kill()
    assert [member.returncode for member in members] == [0, 0], said
    (out / "said.txt").write_text(said[0])
    assert "step" not in said[1], "only one of them reports"
    return out


class Both(Toy):
    """What two toys see, as one batch: the mean of their losses."""

    def __init__(self) -> None:
        super().__init__()
        self.toys = [Toy(seed=rank) for rank in range(2)]

    def __call__(self, net, progress):
        losses = [toy(net, progress)[0] for toy in self.toys]
        return sum(losses) / 2, {}


def test_both_hold_the_weights_of_one_that_saw_both_batches(pair, tmp_path):
    net, averaged = linear(), linear()
    run(net, averaged, Both(), Plan(steps=6, **PLAN), tmp_path, METADATA)
    one, two = (torch.load(pair / f"{rank}-6.pt") for rank in range(2))
    assert torch.equal(one[0], two[0]), "to the bit"
    assert torch.equal(one[1], two[1])
    torch.testing.assert_close(one[0], net.weight.detach())
    torch.testing.assert_close(one[1], averaged.weight.detach())
    assert (one[0] - linear().weight).abs().max() > 0.1, "they have learned something"


def test_they_write_one_checkpoint_with_both_in_it_and_resume_together(pair):
    assert sorted(path.name for path in (pair / "run").iterdir()) == ["checkpoint-00000006", "log.jsonl"]
    found = load_checkpoint(pair / "run")
    assert torch.equal(found.weights["weight"], torch.load(pair / "0-6.pt")[0])
    members = found.state["members"]
    assert len(members) == 2
    assert not torch.equal(members[0]["objective"]["g"], members[1]["objective"]["g"])
    assert not torch.equal(members[0]["random"]["cpu"], members[1]["random"]["cpu"])
    assert [torch.load(pair / f"{rank}-6.pt")[2] for rank in range(2)] == [6, 6], "three more steps of two batches"
    assert "resumed at step 3" in (pair / "said.txt").read_text()


def test_one_alone_goes_on_with_what_two_began(pair, tmp_path):
    shutil.copytree(pair / "run", tmp_path / "run")
    toy = Toy(seed=5)
    run(linear(), linear(), toy, Plan(steps=7, **PLAN), tmp_path / "run", METADATA)
    assert len(toy.seen) == 2
    assert toy.calls == 14, "it draws on where the first of them was"


def test_who_is_asked_to_stop_stops_both_after_the_same_step(pair):
    assert [(pair / f"{rank}-asked.txt").read_text() for rank in range(2)] == ["4", "4"], "two steps of two batches"
    assert load_checkpoint(pair / "asked").state["step"] == 2


def test_a_folder_that_only_one_of_them_sees_is_an_error_in_both(pair):
    for rank in range(2):
        assert "find steps [6, 0]" in (pair / f"{rank}-unseen.txt").read_text()
    assert load_checkpoint(pair / "run").state["step"] == 6


def test_a_step_that_is_not_finite_for_one_is_left_out_by_both(pair):
    found = load_checkpoint(pair / "spoilt")
    assert (found.state["step"], found.state["skipped"]) == (4, 1)
    one, two = (torch.load(pair / f"{rank}-spoilt.pt") for rank in range(2))
    assert torch.isfinite(one).all()
    assert torch.equal(one, two)


def test_nothing_of_a_team_that_has_parted_still_runs(pair):
    """Threads of the group that outlive Python's end abort the process, now and then."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("the threads of a process are read from /proc")
    for rank in range(2):
        names = (pair / f"{rank}-threads.txt").read_text()
        assert "python" in names
        assert "gloo" not in names
