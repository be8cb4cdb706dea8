"""`python -m trainer …`: what it can do is to be read, what cannot be done is told in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
from click.testing import CliRunner, Result  # noqa: E402
from toys import ROOT, Translation, photographs  # noqa: E402

import trainer.train as module  # noqa: E402
from magfilter.models import shipped_models  # noqa: E402
from trainer.__main__ import main  # noqa: E402
from trainer.checkpoint import load_checkpoint  # noqa: E402
from trainer.clips import WINDOW  # noqa: E402
from trainer.loop import Diverged  # noqa: E402


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="python -m trainer")


def assert_one_line(result: Result, *parts: str, code: int = 1) -> None:
    """An error without a traceback, on one line, that has all of `parts`."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.stderr.rstrip().endswith(line), "nothing after it"
    for part in parts:
        assert part in line


# -- help


def test_help_lists_the_commands_and_torch_is_told_not_to_spin():
    """In a process of its own, which also notes OpenMP's policy at the moment torch is first looked for."""
    program = (
        "import os, runpy, sys\n"
        "class Spy:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'torch':\n"
        "            print('policy', os.environ.get('OMP_WAIT_POLICY'))\n"
        "sys.meta_path.insert(0, Spy())\n"
        "sys.argv = ['trainer', '--help']\n"
        "runpy.run_module('trainer', run_name='__main__')\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert set(line for line in result.stdout.splitlines() if line.startswith("policy")) == {"policy PASSIVE"}
    assert "Usage: python -m trainer [OPTIONS] COMMAND" in result.stdout
    assert "python -m trainer train warp.toml --photos" in result.stdout
    listed = result.stdout.split("Commands:")[1]
    for name in ("adapt", "curate", "flow", "flow-errors", "train"):
        assert any(line.startswith(f"  {name} ") for line in listed.splitlines())


@pytest.mark.parametrize("name", sorted(main.commands))
def test_the_help_of_every_command_names_its_options(name):
    result = command(name, "--help")
    assert result.exit_code == 0
    usage, _, rest = result.output.partition("\n")
    assert usage.startswith(f"Usage: python -m trainer {name} ")
    assert len(rest.split("Options:")[0].split()) > 8, "says what it does"
    for parameter in main.commands[name].params:
        for option in parameter.opts:
            assert (option if option.startswith("-") else option.upper()) in result.output
    assert max(len(line) for line in result.output.splitlines()) <= 100
    assert command(name, "-h").output == result.output


def test_the_command_to_train_has_every_way_in_and_out():
    text = command("train", "--help").output
    for option in (
        *("--network", "--width", "--photos", "--cutouts", "--clips", "--index", "--workers", "--start", "--out"),
        *("--minutes", "--steps", "--batch", "--size", "--rate", "--seed", "--set", "--device"),
    ):
        assert option in text
    assert all(name in text for name in ("warp.toml", "unet.toml", "unet-arflow.toml", "torchrun"))


# -- bad use


@pytest.fixture
def photos(tmp_path) -> Path:
    return photographs(tmp_path / "photos")


SMALL = ("--width", 8, "--size", 64, "--batch", 1, "--set", "photometric=0", "--set", "flow_loss=0")


def test_what_click_can_tell_is_told(tmp_path):
    assert_one_line(command("train", "warp.toml"), "Missing option '-o'", code=2)
    assert_one_line(command("train", "--photos", tmp_path / "no", "-o", "x"), "--photos", "does not exist", code=2)
    assert_one_line(command("train", "--network", "vgg", "-o", "x"), "'vgg'", "warp", "unet", code=2)
    assert_one_line(command("train", "--set", "colour", "-o", "x"), "Expected KEY=VALUE, got 'colour'", code=2)
    assert_one_line(command("train", "--minutes", "soon", "-o", "x"), "--minutes", "soon", code=2)
    assert_one_line(command("teach"), "No such command 'teach'", code=2)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["wrap.toml"], ["wrap.toml", "shipped are", "warp.toml"]),
        (["--set", "color=0"], ["'color'", "colour"]),
        (["--set", "colour=none"], ["colour", "'none'"]),
        (["--size", "100"], ["multiple of 64", "100"]),
        (["--steps", "-3", "--minutes", "0"], ["minutes or steps"]),
        (["--device", "abacus"], ["'abacus'"]),
        (["--width", "-4"], ["width of 0 or more, got -4"]),
        (["--seed", "-4"], ["seed of 0 or more, got -4"]),
        ([], ["--photos"]),
        (["unet.toml"], ["--index or --clips"]),
    ],
)
def test_what_cannot_be_trained_is_one_line(arguments, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_flow", lambda *_: Translation())
    assert_one_line(command("train", *arguments, "-o", tmp_path / "run"), *parts)


def test_data_that_do_not_serve_are_one_line(tmp_path, photos):
    empty = tmp_path / "empty"
    empty.mkdir()
    out = ("-o", tmp_path / "run", "--steps", 1)
    assert_one_line(command("train", "--photos", empty, *SMALL, *out), "--photos")
    (tmp_path / "index.jsonl").write_text("{}")
    arguments = ("train", "unet.toml", "--index", tmp_path / "index.jsonl", "--set", "flow=spynet:none.pth", *out)
    assert_one_line(command(*arguments), "none.pth: no such weights")
    (tmp_path / "file").touch()
    assert_one_line(command("train", "--photos", photos, *SMALL, "--steps", 1, "-o", tmp_path / "file"), "file")
    assert_one_line(command("flow", *out), "--photos")
    assert_one_line(command("flow-errors", "pwc"), "pwc")


def test_an_index_that_is_none_or_whose_clips_are_gone_is_one_line(tmp_path, monkeypatch):
    from trainer.data.index import IndexWriter

    monkeypatch.setattr(module, "load_flow", lambda *_: Translation())
    arguments = ("--network", "unet", "--width", 4, "--size", 64, "--set", "scenes=0", "--steps", 1)
    (tmp_path / "bad.jsonl").write_text("{}\n")
    out = ("-o", tmp_path / "run")
    assert_one_line(command("train", *arguments, "--index", tmp_path / "bad.jsonl", *out), "bad.jsonl", "curate")
    (tmp_path / "a.mp4").touch()
    with IndexWriter(tmp_path / "index.jsonl", tmp_path, {}) as writer:
        writer.add({"path": "a.mp4", "source": "a", "pairs": [[0, 1, 0, 1]]})
    assert_one_line(command("train", *arguments, "--index", tmp_path / "index.jsonl", *out), "32 pairs in a row")
    (tmp_path / "a.mp4").unlink()
    assert_one_line(command("train", *arguments, "--index", tmp_path / "index.jsonl", *out), "a.mp4", "curate again")


def test_a_folder_with_another_network_is_one_line(tmp_path, photos):
    arguments = ("train", "--photos", photos, *SMALL, "--set", "reuse=1", "--steps", 1, "-o", tmp_path / "run")
    assert command(*arguments).exit_code == 0
    assert_one_line(command(*arguments, "--set", "light=true"), "light False -> True", "-o")
    assert_one_line(command(*arguments, "--width", 12), "width 8 -> 12", "-o")
    result = command(*arguments, "--network", "unet", "--set", "scenes=1")
    assert_one_line(result, "network warp -> unet", "-o")


def test_a_training_that_diverges_is_one_line(tmp_path, photos, monkeypatch):
    def diverge(*_):
        raise Diverged("no finite gradient")

    monkeypatch.setattr(module, "run", diverge)
    result = command("train", "--photos", photos, *SMALL, "--steps", 1, "-o", tmp_path / "run")
    assert_one_line(result, "no finite gradient")


# -- runs


def test_the_same_command_trains_and_goes_on(tmp_path, photos, clips, monkeypatch):
    """The shipped configuration from the shipped weights, with real clips and all its losses."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    asked = []
    monkeypatch.setattr(module, "load_flow", lambda *options: asked.append(options) or Translation())
    films = tmp_path / "films"
    films.mkdir()
    Path(clips("a.mp4", frames=WINDOW, size=(160, 144))).rename(films / "a.mp4")
    out = tmp_path / "run"
    arguments = (
        *("train", "warp.toml", "--photos", photos, "--clips", films, "-o", out, "--device", "cpu"),
        *("--size", 64, "--batch", 1, "--set", "photometric_batch=1", "--set", "flow=spynet", "--set", "real_after=0"),
        *("--start", shipped_models()["warp"]),
    )
    result = command(*arguments, "--steps", 1)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    assert "step 1 " in result.stderr
    assert asked == [("spynet", torch.device("cpu"), 5)]
    first = load_checkpoint(out)
    assert first.metadata["network"] == "warp"
    assert first.state["plan"]["rate"] == 3e-4, "the configuration's"
    result = command(*arguments, "--steps", 2)
    assert result.exit_code == 0, result.output
    assert "resumed at step 1" in result.stderr
    second = load_checkpoint(out)
    assert second.state["step"] == 2
    assert any(not torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert [path.name for path in sorted(out.iterdir())] == ["checkpoint-00000002", "log.jsonl"]


def test_options_reach_settings_and_plan(tmp_path, photos, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "train", lambda *given: seen.append(given) or Path("run"))
    result = command(
        *("train", "unet.toml", "--photos", photos, "--width", 16, "--minutes", 7, "--batch", 2, "--rate", 0.001),
        *("--seed", 9, "--workers", 3, "--set", "colour=0", "--set", "accumulate = 4", "--device", "cpu", "-o", "run"),
        *("--root", tmp_path),
    )
    assert result.exit_code == 0, result.output
    ((settings, plan, data, out, device, start),) = seen
    assert (settings.network, settings.width, settings.batch, settings.colour) == ("unet", 16, 2, 0)
    assert (plan.minutes, plan.rate, plan.seed, plan.accumulate) == (7, 0.001, 9, 4)
    assert (data.photos, data.workers, data.clips, data.index) == (photos, 3, None, None)
    assert data.root == tmp_path
    assert (out, device, start) == (Path("run"), "cpu", None)


def test_options_reach_the_flow_network(tmp_path, photos, monkeypatch):
    from trainer.flow import training

    seen = []
    monkeypatch.setattr(training, "train_flow", lambda *given: seen.append(given) or Path("run"))
    result = command("flow", "--photos", photos, "--steps", 5, "--size", 128, "--set", "updates=2", "-o", "run")
    assert result.exit_code == 0, result.output
    ((settings, plan, *folders),) = seen
    assert (settings.supervision, settings.size, settings.updates, plan.steps) == ("scenes", 128, 2, 5)
    assert folders == [photos, None, None, Path("run"), "", None]
