"""From a configuration and folders of data to a run that resumes, for both networks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
from toys import Translation, photographs  # noqa: E402

import trainer.loop as loop  # noqa: E402
import trainer.train as module  # noqa: E402
from magfilter.models import shipped_models  # noqa: E402
from magfilter.networks.build import build_network  # noqa: E402
from trainer.checkpoint import load_checkpoint, load_into, load_weights, save_weights  # noqa: E402
from trainer.clips import WINDOW  # noqa: E402
from trainer.data.index import IndexWriter  # noqa: E402
from trainer.loop import Plan, Team  # noqa: E402
from trainer.objectives import UNetObjective, WarpObjective  # noqa: E402
from trainer.settings import Settings  # noqa: E402
from trainer.train import CONFIGS, Data, configure, fill, make_objective, train  # noqa: E402

# -- configurations

SHIPPED = sorted(path.name for path in CONFIGS.glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration_is_valid(name):
    settings, plan = configure(name, {})
    assert name.startswith(settings.network)
    assert plan.minutes > 60
    assert plan.steps == 0
    assert configure(CONFIGS / name, {}) == (settings, plan), "by its path as by its name"


def test_shipped_configurations_are_what_they_say():
    assert SHIPPED == ["unet-16.toml", "unet-arflow.toml", "unet.toml", "warp-light.toml", "warp.toml"]
    warp, _ = configure("warp.toml", {})
    assert min(warp.scenes, warp.photometric, warp.flow_loss) > 0
    unet, plan = configure("unet.toml", {})
    assert (unet.flow_loss, unet.colour, unet.largest_alpha, unet.updates) == (1, 10, 16, 5), "the paper's"
    assert (plan.rate, plan.schedule) == (3e-4, "constant")
    assert not unet.paints, "unlabelled pairs and nothing else"
    assert unet.needs_pairs


def test_a_file_of_ones_own_and_changes_to_it(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("network = 'unet'\n[plan]\nminutes = 7\nrate = 1\n[anything]\nbatch = 3\n")
    settings, plan = configure(file, {"batch": 5, "colour": "0", "jitter": "false", "norm": '"charbonnier"'})
    assert (settings.network, settings.batch, settings.norm) == ("unet", 5, "charbonnier")
    assert (settings.colour, type(settings.colour), settings.jitter) == (0, float, False)
    assert (plan.minutes, plan.rate) == (7, 1)


def test_steps_stand_instead_of_the_files_minutes():
    _, plan = configure("warp.toml", {"steps": 9})
    assert (plan.steps, plan.minutes) == (9, 0)
    _, plan = configure("warp.toml", {"steps": 9, "minutes": 2.0})
    assert (plan.steps, plan.minutes) == (9, 2)
    _, plan = configure(None, {})
    assert (plan.steps, plan.minutes) == (0, 120)


def test_an_unknown_name_is_told_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"'widht'; known are accumulate, average, .*width, windows"):
        configure(None, {"widht": 4})
    file = tmp_path / "mine.toml"
    file.write_text("[plan]\nsteps = 1\nlearning_rate = 1e-4\n")
    with pytest.raises(ValueError, match="'learning_rate'"):
        configure(file, {})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("batch", 1.5, "batch to be a int, got 1.5"),
        ("batch", "many", "batch to be a int, got 'many'"),
        ("batch", True, "batch to be a int, got True"),
        ("rate", "", "rate to be a float, got ''"),
        ("jitter", 1, "jitter to be a bool, got 1"),
        ("norm", 2, "norm to be a str, got 2"),
        ("scenes", [1.0], "scenes to be a float"),
        ("norm", "'l1", 'norm to be a str, got "\'l1"'),
    ],
)
def test_a_value_of_the_wrong_kind_is_told(name, value, said):
    with pytest.raises(ValueError, match=said):
        configure(None, {name: value})


def test_a_missing_or_broken_file_is_told(tmp_path):
    for path in ("wrap.toml", tmp_path / "none.toml", tmp_path):
        with pytest.raises(
            ValueError, match=r"no such configuration; shipped are .*unet\.toml, warp-light\.toml, warp\.toml"
        ):
            configure(path, {})
    broken = tmp_path / "broken.toml"
    broken.write_text("rate = = 1")
    with pytest.raises(ValueError, match=r"broken\.toml: .*line 1"):
        configure(broken, {})


def test_numbers_may_be_texts_and_whole_numbers_floats():
    settings, plan = fill(Settings, {"scenes": 2, "batch": "4", "rate": "1e-3", "steps": "12"})
    assert (settings.scenes, settings.batch, plan.rate, plan.steps) == (2.0, 4, 1e-3, 12)
    assert type(settings.scenes) is float


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"network": "vgg"}, "warp or unet, got 'vgg'"),
        ({"size": 100}, "multiple of 64, got 100"),
        ({"size": 0}, "multiple of 64, got 0"),
        ({"norm": "l2"}, "l1 or charbonnier, got 'l2'"),
        ({"scenes_share": 1.5}, r"0\.\.1, got 1\.5"),
        ({"largest_alpha": 0.5}, r"got 0\.5"),
        ({"scenes": 0.0, "photometric": 0.0, "flow_loss": 0.0}, "at least one of the weights"),
        ({"network": "unet", "scenes": 0.0, "flow_loss": 0.0}, "at least one of the weights"),
        ({"pairs": 0}, "pairs of 1 or more, got 0"),
        ({"flow_every": 0}, "flow_every of 1 or more"),
        ({"width": -4}, "width of 0 or more, got -4"),
        ({"updates": 0}, "updates of 1 or more, got 0"),
        ({"scenes": float("nan")}, "scenes of 0 or more, got nan"),
        ({"colour": -1.0}, "colour of 0 or more, got -1"),
        ({"slowest": 0.0}, "0 < slowest <= fastest"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Settings(**wrong)


# -- runs

TINY = {"size": 64, "batch": 1, "reuse": 2, "photometric_batch": 1, "photometric_every": 2, "pairs": 2, "updates": 1}
WARP = Settings(network="warp", width=8, flow_loss=0.0, **TINY)
UNET = Settings(network="unet", width=4, scenes=0.0, **TINY)
PLAN = Plan(steps=6, warm_up=2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return photographs(tmp_path_factory.mktemp("material") / "photos")


@pytest.fixture
def films(clips) -> Path:
    """A folder with one clip of a dozen frames and one that is none."""
    folder = clips.folder / "films"
    folder.mkdir()
    shutil.move(clips("a.mp4", frames=WINDOW, size=(160, 144)), folder / "a.mp4")
    (folder / "broken.mp4").write_bytes(b"no video" * 100)
    return folder


@pytest.fixture
def index(films) -> Path:
    """All pairs of neighbours of the clip, as `curate` would list them."""
    ticks = [3600 * n for n in range(WINDOW)]
    with IndexWriter(films / "pairs.jsonl", films, {}) as writer:
        pairs = [[ticks[n], ticks[n + 1], n, 1] for n in range(WINDOW - 1)]
        writer.add({"path": "a.mp4", "source": "a", "pairs": pairs})
    return films / "pairs.jsonl"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No TensorBoard, and a flow that costs nothing."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(module, "load_flow", lambda name, device, updates: Translation())


def interrupt_at(monkeypatch, kind: type, step: int) -> None:
    """Ask for an end in the middle of a step."""
    work, calls = kind.__call__, []

    def call(self, net, progress):
        calls.append(progress)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return work(self, net, progress)

    monkeypatch.setattr(kind, "__call__", call)


@pytest.mark.parametrize("case", ["scenes", "scenes and clips", "pairs from clips", "pairs from an index"])
def test_a_run_that_was_interrupted_ends_as_one_that_never_was(case, photos, films, index, tmp_path, monkeypatch):
    """After three steps, with a painted batch in use (it serves twice), to the bit."""
    settings, kind, data = {
        "scenes": (WARP, WarpObjective, Data(photos=photos)),
        "scenes and clips": (WARP, WarpObjective, Data(photos=photos, clips=films)),
        "pairs from clips": (UNET, UNetObjective, Data(clips=films)),
        "pairs from an index": (UNET, UNetObjective, Data(index=index)),
    }[case]
    if case == "scenes":
        settings = replace(settings, photometric=0.0)
    ends = {}
    for name in ("whole", "parts"):
        out = tmp_path / name
        with monkeypatch.context() as patch:
            if name == "parts":
                interrupt_at(patch, kind, 3)
                train(settings, PLAN, data, out, "cpu")
                assert load_checkpoint(out).state["step"] == 3
        torch.manual_seed(12345)
        train(settings, PLAN, data, out, "cpu")
        ends[name] = load_checkpoint(out)
    whole, parts = ends.values()
    assert whole.state["step"] == parts.state["step"] == 6
    for one, two in ((whole.weights, parts.weights), (whole.averaged, parts.averaged)):
        assert all(torch.equal(one[key], two[key]) for key in one)
    moments = [end.state["optimiser"]["state"][0]["exp_avg"] for end in (whole, parts)]
    assert torch.equal(*moments)
    assert moments[0].any()


def test_other_pairs_are_drawn_from_their_beginning(films, index, tmp_path, capsys):
    """From clips at first, then from an index, then from one of half as many pairs; the same one goes on."""
    other = films / "other.jsonl"
    other.write_text(index.read_text().replace(",[3600,7200,1,1]", ""))
    shutil.copy(other, films / "moved.jsonl")
    for steps, data, anew in (
        (1, Data(clips=films), False),
        (2, Data(index=index), True),
        (3, Data(index=other), True),
        (4, Data(index=films / "moved.jsonl"), False),
        (5, Data(clips=films), True),
    ):
        train(UNET, Plan(steps=steps), data, tmp_path / "run", "cpu")
        assert ("pairs of frames are drawn from their beginning" in capsys.readouterr().err) == anew
        pairs = load_checkpoint(tmp_path / "run").state["members"][0]["objective"]["pairs"]
        if data.index:
            assert pairs["position"] == (2 if steps == 4 else 1)


def test_a_run_of_before_indexes_were_told_apart_goes_on(index, tmp_path):
    pairs = module._IndexPairs(Data(index=index), UNET, 1, Team())
    state = {"position": 3, "g": pairs.g.get_state()}
    pairs.restore(state)
    assert pairs.position == 3


def test_the_width_a_network_has_anyway_is_no_other(photos, tmp_path, capsys):
    settings = replace(WARP, photometric=0.0, width=0)
    for steps, width in ((1, 0), (2, 32)):
        train(replace(settings, width=width), Plan(steps=steps), Data(photos=photos), tmp_path / "run", "cpu")
    assert load_checkpoint(tmp_path / "run").state["step"] == 2
    assert "changed" not in capsys.readouterr().err


def test_what_is_kept_says_all_that_decided_the_outcome(photos, tmp_path, capsys):
    settings = replace(WARP, photometric=0.0)
    train(settings, Plan(steps=1, seed=5), Data(photos=photos), tmp_path / "run", "cpu")
    metadata = load_checkpoint(tmp_path / "run").metadata
    assert (metadata["network"], metadata["width"], metadata["steps"]) == ("warp", "8", "1")
    record = json.loads(metadata["settings"])
    assert (record["size"], record["seed"], record["scenes"]) == (64, 5, 1.0)
    assert "warp: 2 tiles, 0 cut-outs, on 1 × cpu" in capsys.readouterr().err


def test_the_seed_decides_the_outcome(photos, tmp_path):
    settings = replace(WARP, photometric=0.0)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(settings, Plan(steps=1, seed=seed), Data(photos=photos), tmp_path / name, "cpu")
    a, b, c = (load_checkpoint(tmp_path / name).weights for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["cell.judge.enter.0.0.weight"], c["cell.judge.enter.0.0.weight"])


def test_warp_learns_by_all_three_parts_at_once(photos, films, tmp_path, capsys):
    settings = replace(WARP, flow_loss=0.02, flow_every=1)
    train(settings, Plan(steps=2), Data(photos=photos, clips=films), tmp_path / "run", "cpu")
    said = capsys.readouterr().err
    assert "1 windows of clips (1 clips skipped)" in said
    assert "pairs not curated: straight from the clips" in said
    assert all(f"  {name} " in said for name in ("loss", "scenes", "photometric", "magnification", "colour"))


def test_unet_counts_its_batches(films, tmp_path, capsys):
    train(UNET, Plan(steps=2), Data(clips=films), tmp_path / "run", "cpu")
    found = load_checkpoint(tmp_path / "run")
    assert found.weights["enter.1.num_batches_tracked"] == found.averaged["enter.1.num_batches_tracked"] == 2
    assert found.averaged["enter.1.running_var"].std() > 0


def test_curated_pairs_are_what_an_index_gives(index, tmp_path, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr("trainer.data.augment_pair", lambda pairs, g: drawn.append(pairs) or pairs)
    train(UNET, Plan(steps=2), Data(index=index), tmp_path / "run", "cpu")
    assert "11 curated pairs" in capsys.readouterr().err
    assert [pairs.shape for pairs in drawn] == [(2, 2, 3, 64, 64)] * 2
    assert all(0 <= pairs.min() < pairs.max() <= 1 for pairs in drawn)
    plain = replace(UNET, jitter=False)
    train(plain, Plan(steps=2), Data(index=index), tmp_path / "plain", "cpu")
    assert len(drawn) == 2, "no jitter where none is wanted"


def test_an_index_may_have_its_clips_elsewhere(films, index, tmp_path):
    shutil.move(index, tmp_path / "pairs.jsonl")
    with pytest.raises(FileNotFoundError, match="give the folder they lie in now as --root"):
        train(UNET, Plan(steps=1), Data(index=tmp_path / "pairs.jsonl"), tmp_path / "run", "cpu")
    train(UNET, Plan(steps=1), Data(index=tmp_path / "pairs.jsonl", root=films), tmp_path / "run", "cpu")


def test_clips_that_cannot_be_read_any_more_are_named_once_and_counted(films, index, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loop, "TELL", -1.0)
    shutil.copy(films / "a.mp4", films / "b.mp4")
    with IndexWriter(index, films, {}) as writer:
        writer.add({"path": "b.mp4", "source": "b", "pairs": [[3600 * n, 3600 * n + 3600, n, 1] for n in range(11)]})
    (films / "b.mp4").write_bytes(b"gone")
    train(UNET, Plan(steps=4), Data(index=index), tmp_path / "run", "cpu")
    said = capsys.readouterr().err
    (warning,) = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert "b.mp4" in warning
    counted = [json.loads(line)["unreadable pairs"] for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert counted == sorted(counted)
    assert counted[-1] > 1
    assert f"  unreadable pairs {counted[-1]}" in said


def test_a_run_may_begin_with_given_weights(photos, tmp_path, monkeypatch):
    """Those of the shipped model, before the first step; a run that is there goes on with its own."""
    begun = []

    def fake(net, averaged, *rest):
        begun.append((net.state_dict(), averaged.state_dict()))

    monkeypatch.setattr(module, "run", fake)
    settings = replace(WARP, photometric=0.0, width=0)
    start = shipped_models()["warp"]
    train(settings, Plan(steps=1), Data(photos=photos), tmp_path / "run", "cpu", start)
    shipped = build_network("warp")
    load_into(shipped, start)
    for weights in begun[0]:
        assert all(torch.equal(weights[key], value) for key, value in shipped.state_dict().items())
    with pytest.raises(ValueError, match="differ in width or kind"):
        train(WARP, Plan(steps=1), Data(photos=photos), tmp_path / "run", "cpu", start)


def test_a_light_network_begins_with_its_teachers_damping(photos, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(module, "run", lambda net, averaged, *rest: begun.append((net.state_dict(),)))
    start = shipped_models()["warp"]
    settings = replace(WARP, photometric=0.0, light=True)
    train(settings, Plan(steps=1), Data(photos=photos, teacher=start), tmp_path / "run", "cpu")
    taught, _ = load_weights(start)
    same = [name for name, value in taught.items() if name in begun[0][0] and value.equal(begun[0][0][name])]
    assert {"cell.damping", "cell.trust", "cell.prior", "cell.near"} <= set(same)
    assert begun[0][0]["cell.judge.enter.0.0.weight"].shape[-1] == 1


def test_only_a_warp_teaches(photos, tmp_path):
    path = tmp_path / "unet.safetensors"
    save_weights(path, build_network("unet", 4).state_dict(), {"network": "unet", "width": "4"})
    with pytest.raises(ValueError, match="a teacher is a warp"):
        train(WARP, Plan(steps=1), Data(photos=photos, teacher=path), tmp_path / "run", "cpu")
    with pytest.raises(ValueError, match="a teacher is a warp"):
        train(UNET, Plan(steps=1), Data(clips=photos, teacher=path), tmp_path / "unet", "cpu")


def test_a_warp_teaches_a_unet_on_real_pairs(films, photos):
    settings = replace(UNET, scenes=1.0, flow_loss=0.0, teacher=1.0)
    data = Data(photos=photos, clips=films, teacher=shipped_models()["warp"])
    objective = make_objective(settings, Plan(steps=1), data, Team())
    _, log = objective(build_network("unet", 4), 0.0)
    assert log["teacher, unmagnified"] > 0
    with pytest.raises(ValueError, match="Pairs of real frames need --index or --clips"):
        make_objective(settings, Plan(steps=1), replace(data, clips=None), Team())


def test_a_unet_that_begins_with_the_frame_keeps_its_statistics(films, photos, tmp_path):
    settings = Settings(network="unet", width=16, linear_first=True, size=64, batch=2, pairs=2, flow_loss=0.0)
    data = Data(photos=photos, clips=films, teacher=shipped_models()["warp-light"])
    ends = [load_checkpoint(train(settings, Plan(steps=n), data, tmp_path / str(n), "cpu")) for n in (1, 3)]
    norms = [name for name in ends[0].weights if "running_" in name]
    assert norms
    for name, value in ends[0].weights.items():
        if name in norms:
            assert torch.equal(value, ends[1].weights[name])
            assert torch.equal(value, ends[1].averaged[name])
    assert not torch.equal(ends[0].weights["paint.weight"], ends[1].weights["paint.weight"])


def test_a_run_by_the_clock_goes_on_by_the_clock(photos, tmp_path, monkeypatch, capsys):
    ticks = iter(range(0, 10**6, 60))
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(monotonic=lambda: float(next(ticks))))
    settings = replace(WARP, photometric=0.0)
    for minutes, steps in ((2.0, 2), (3.0, 3), (3.0, 3)):
        train(settings, Plan(minutes=minutes), Data(photos=photos), tmp_path / "run", "cpu")
        assert load_checkpoint(tmp_path / "run").state["step"] == steps
    assert "resumed at step 2, 2.0 min" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"photometric": 0.0}, "--photos"),
        ({"scenes": 0.0}, "--clips"),
        ({"scenes": 0.0, "photometric": 0.0, "flow_loss": 1.0}, "--index or --clips"),
        ({"network": "unet", "scenes": 0.0, "flow_loss": 1.0}, "--index or --clips"),
        ({"network": "unet", "scenes": 0.0, "flow_loss": 1.0, "scenes_share": 1.0}, "--photos"),
    ],
)
def test_data_that_are_missing_are_told_by_their_option(changes, option, tmp_path):
    settings = replace(WARP, **changes)
    with pytest.raises(ValueError, match=rf"need {option}, or a configuration without them"):
        train(settings, PLAN, Data(), tmp_path / "run", "cpu")
    assert not (tmp_path / "run").exists()


def test_pairs_of_painted_scenes_need_nothing_but_photographs(photos, tmp_path):
    settings = replace(UNET, scenes_share=1.0)
    train(settings, Plan(steps=1), Data(photos=photos), tmp_path / "run", "cpu")
    assert load_checkpoint(tmp_path / "run").state["step"] == 1


def test_pictures_that_give_nothing_are_counted(photos, tmp_path, capsys):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "broken.jpg").write_bytes(b"no picture")
    make_objective(replace(WARP, photometric=0.0), PLAN, Data(photos=folder), Team())
    assert "2 tiles, 0 cut-outs, 2 pictures skipped, on" in capsys.readouterr().err
