"""The arithmetic of the benchmarks. Nothing here is timed."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from vibrations import write

from benchmarks import gpu, gpu_rows, peaks, steps
from benchmarks import table as table_module
from benchmarks.budget import Budget, Entry, Record, Unavailable, work_through
from benchmarks.endtoend import PLAIN
from benchmarks.figures import FROM_FIRST, Taken, combine
from benchmarks.flops import count_events, count_graph, count_torch
from benchmarks.markdown import figure, table
from benchmarks.networks import Alone, rate_used, seen_size
from benchmarks.reference import reference_cost
from benchmarks.speed import run
from magfilter.magnifier import DEFAULT_PROXY
from magfilter.models import find_model


def small_network(path):
    """Two convolutions, the second of stride 2 and in two groups."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    def image(name, channels):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "h", "w"])

    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["frame", "reference"], ["x"]),
            helper.make_node("Conv", ["x", "one"], ["y"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["y"], ["z"]),
            helper.make_node("Conv", ["z", "two"], ["flow"], pads=[1, 1, 1, 1], strides=[2, 2], group=2),
        ],
        "small",
        [image("reference", 3), image("frame", 3)],
        [image("flow", 6)],
        [
            numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "one"),
            numpy_helper.from_array(np.ones((6, 2, 3, 3), np.float32), "two"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    return path


def test_operations_of_a_graph_are_counted_from_its_shapes(tmp_path):
    path = small_network(tmp_path / "small.onnx")
    first = 2 * (16 * 10) * 4 * 3 * 9
    second = 2 * (8 * 5) * 6 * 2 * 9
    assert count_graph(path, (16, 10)) == first + second


def test_products_count_and_other_nodes_do_not():
    def event(kind, given, weight, made):
        shapes = {"input_type_shape": [{"float": given}, {"float": weight}], "output_type_shape": [{"float": made}]}
        return {"args": {"op_name": kind, **shapes}}

    assert count_events([event("MatMul", [5, 3], [3, 7], [5, 7])]) == 2 * 5 * 3 * 7
    assert count_events([event("Gemm", [3, 5], [3, 7], [5, 7])]) == 2 * 5 * 3 * 7, "its first matrix is transposed"
    assert count_events([event("ConvTranspose", [1, 4, 5, 5], [4, 6, 2, 2], [1, 6, 10, 10])]) == 2 * 100 * 6 * 4
    assert count_events([event("Add", [5, 5], [5, 5], [5, 5]), {"name": "session"}]) == 0


def test_torch_and_the_shipped_graph_agree_on_warps_operations():
    pytest.importorskip("torch")
    assert count_graph(find_model("warp"), (128, 192)) == count_torch("warp", (128, 192))


def test_unets_operations_are_those_of_the_paper():
    pytest.importorskip("torch")
    # 630,336 products a pixel (research/magnification.md), counted on its architecture by hand
    assert count_torch("unet", (64, 96)) == 2 * 630_336 * 64 * 96


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0.0, "0"), (3, "3"), (12345.6, "12346"), (123.456, "123"), (12.345, "12.3"), (1.2345, "1.23"),
        (0.012345, "0.0123"), (-0.5, "-0.500"), (True, "True"), ("a | b\nc", "a \\| b c"),
    ],
)  # fmt: skip
def test_figures_have_three_digits(value, text):
    assert figure(value) == text


def test_a_table_has_every_column_that_any_row_has():
    lines = table([{"a": 1, "b": 0.25}, {"a": 2, "c": "x"}]).splitlines()
    assert lines == ["| a | b | c |", "|---|---|---|", "| 1 | 0.250 | – |", "| 2 | – | x |"]


def test_a_network_sees_what_the_filter_gives_it():
    assert seen_size((1080, 1920), False, 64, DEFAULT_PROXY) == (576, 960), "half of it, padded"
    assert seen_size((1080, 1920), True, 16, DEFAULT_PROXY) == (1088, 1920), "a network that paints gets all of it"
    assert seen_size((544, 960), False, 64, 0) == (576, 960)
    assert gpu_rows.MEGAPIXELS == DEFAULT_PROXY


def test_an_engine_is_held_against_the_rate_of_its_precision():
    assert rate_used("torch", "cpu", "fp16") == "fp32"
    assert rate_used("torch", "cuda:0", "fp32") == "fp16"
    assert rate_used("onnxruntime-cuda", "cuda:0", "fp32") == "fp32"
    assert rate_used("onnxruntime-cuda", "cuda:0", "fp16") == "fp16"
    assert rate_used("tensorrt", "cuda:0", "fp32") == "tf32"


def test_a_networks_row_is_made_of_ratios():
    row = table_module.network_row(Alone(0.1, (256, 256)), (576, 960), 10**9, 2e11, 5.0)
    assert row["frames/s"] == pytest.approx(10)
    assert row["× reference"] == pytest.approx(50)
    assert row["share of matrix rate"] == pytest.approx(1e10 / 2e11)
    assert row["frames/s at the matrix rate"] == pytest.approx(200)
    assert row["note"] == "timed at 256x256, scaled by pixels"
    bare = table_module.network_row(Alone(0.1, (576, 960)), (576, 960), 10**9, None, None)
    assert bare["× reference"] is None
    assert "note" not in bare


def test_whole_runs_are_medians_beside_the_plain_run_of_the_same_round():
    stages = [{"decode": 1.0, "encode": 2.0}, {"decode": 1.0, "encode": 4.0}, {"decode": 2.0, "encode": 3.0}]
    one = Taken(10, [2.0, 4.0, 6.0], [100.0, 120.0, 110.0], [2.0, 4.0, 6.0], stages, [1.8, 1.9, 1.7])
    plain = Taken(10, [1.0, 4.0, 2.0], [80.0, 60.0, 60.0], [1.0, 2.0, 2.0], stages)
    row = combine(one, plain, 8.0)
    assert row["frames/s"] == pytest.approx(2.5)
    assert row["× reference"] == pytest.approx(20)
    assert row["wall / plain"] == pytest.approx(2)
    assert row[FROM_FIRST] == pytest.approx(2)
    assert row["peak MB"] == 120
    assert row["MB / plain"] == pytest.approx(1.5)
    assert row["encode s"] == pytest.approx(0.3)
    assert row["wall / slowest stage"] == pytest.approx(1)
    assert row["cores busy"] == pytest.approx(1.8)
    assert combine(one, plain, None)["× reference"] is None


def test_memory_of_a_run_is_its_own():
    ballast = np.ones(60_000_000)  # 480 MB that this process holds
    _, peak = run([], ("platform",))
    assert peak < 100, "Linux counts what the process that starts another one holds"
    assert len(ballast)


def test_sizes_are_read():
    assert table_module.parse_size("1920x1080") == (1080, 1920)
    with pytest.raises(table_module.click.BadParameter):
        table_module.parse_size("1080p")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_the_time_budget_leaves_out_what_does_not_fit(tmp_path):
    clock = Clock()
    budget = Budget(60, clock)
    record = Record(tmp_path / "new" / "device", {"device": "fake"}, lambda content: f"{len(content['rows'])} rows")
    seen = []

    def taking(seconds, outcome):
        def measure():
            clock.now += seconds
            # What was found before is on disk by now.
            seen.append(json.loads(record.path.with_suffix(".json").read_text())["rows"] if seen else [])
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return measure

    entries = [
        Entry("a", "first", 30, taking(20, {"x": 1})),
        Entry("a", "broken", 10, taking(5, ValueError("no\nsuch thing"))),
        Entry("a", "absent", 10, taking(5, Unavailable("not installed"))),
        Entry("a", "too long", 31, taking(1, {"x": 2})),
        Entry("b", "short", 30, taking(29, [{"x": 3}, {"x": 4}])),
        Entry("b", "too late", 2, taking(1, {"x": 5})),
    ]
    work_through(entries, budget, record)
    content = json.loads((tmp_path / "new" / "device.json").read_text())
    assert [(row["row"], row["x"]) for row in content["rows"]] == [("first", 1), ("short", 3), ("short", 4)]
    assert {row["row"]: row["why"] for row in content["open"]} == {
        "broken": "ValueError: no such thing",
        "absent": "not installed",
        "too long": "not begun: 30 s left, it may take 31",
        "too late": "not begun: 1 s left, it may take 2",
    }
    assert [row["row"] for row in seen[1]] == ["first"]
    assert (tmp_path / "new" / "device.md").read_text() == "3 rows\n"
    assert not list(tmp_path.glob("**/*.part"))


def content(dry=False):
    about = {"device": "fake"} | ({"dry run": "tiny"} if dry else {})
    rows = [
        {"row": gpu.UNET, "share of matrix rate": 0.5, "× reference": 5.0, "ms": 5.0},
        {"row": gpu.STRICT, "ms": 40.0},
        {"row": "1080p, file to file", "what": PLAIN, FROM_FIRST: 1.0},
        {"row": "1080p, file to file", "what": "warp", FROM_FIRST: 1.2},
    ]
    return {"about": about, "rows": [{"group": gpu.NETWORKS, **row} for row in rows], "open": []}


def test_what_is_asked_is_judged_or_stays_open():
    met = [row["met"] for row in gpu.judge(content())]
    assert met == ["yes", "no", "yes", "open", "no"], "plain's own row is no answer"
    assert [row["measured"] for row in gpu.judge(content())] == [0.5, 5.0, 8.0, None, 1.2]
    assert {row["met"] for row in gpu.judge(content(dry=True))} == {"dry run: means nothing"}
    assert "DRY RUN" in gpu.as_markdown(content(dry=True))
    assert "DRY RUN" not in gpu.as_markdown(content())


def test_the_most_important_rows_come_first():
    names = [entry.name for entry in gpu.entries(gpu_rows.Bench("cuda", None), gpu.HD, gpu.SD)]
    assert names[1:4] == [gpu.REFERENCE, gpu.UNET, gpu.WARP]
    assert names.index("warp, onnxruntime-cuda, 1080p") < names.index("warp, tensorrt, 1080p")
    assert names.index("unet, tensorrt, 1080p") < names.index("1080p, file to file")
    assert gpu.slug("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"


def test_the_reference_is_scaled_by_pixels_where_it_would_take_too_long(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("benchmarks.reference.median_seconds", lambda *a, **k: (2.0, 3))
    cost = reference_cost((1080, 1920), width=1)
    assert cost.timed == (256, 256)
    assert cost.seconds == pytest.approx(2 * 1088 * 1920 / 256**2)
    assert reference_cost((100, 100), width=1).seconds == 2
    assert reference_cost((100, 100), width=1).timed == (112, 112)


@pytest.mark.slow
def test_gpu_runs_dry_from_end_to_end(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    result = CliRunner().invoke(gpu.main, ["-o", str(tmp_path), "--dry"], catch_exceptions=False)
    assert result.exit_code == 0
    written = json.loads((tmp_path / "cpu-dry-run.json").read_text())
    found = {row["row"] for row in written["rows"]}
    assert {gpu.UNET, gpu.WARP, gpu.REFERENCE, "unet, onnxruntime-cpu, 1080p", "1080p, file to file"} <= found
    assert all(
        row["row"].startswith(("warp, onnx", "unet, onnx", "warp, tens", "unet, tens")) for row in written["open"]
    )
    text = (tmp_path / "cpu-dry-run.md").read_text()
    assert "DRY RUN" in text
    assert text.strip() in result.output


def test_gpu_wants_a_gpu(tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    result = CliRunner().invoke(gpu.main, ["-o", str(tmp_path)])
    assert result.exit_code == 1
    assert "no CUDA device" in result.output


def test_both_look_ups_find_the_same():
    pytest.importorskip("onnx")
    numpy, onnxruntime = steps.look_ups((64, 96))
    ours, planes = numpy(), onnxruntime()[0]
    height, width = 64, 96
    waves = np.sin(np.arange(height) / 40)[:, None] * np.cos(np.arange(width) / 40)
    y = np.clip(np.arange(height)[:, None] + 3 * waves, 0, height - 1)
    x = np.clip(np.arange(width) + 3 * waves, 0, width - 1)
    cx, cy = ((t - np.floor(t)) * (1 - t + np.floor(t)) / 2 for t in (x, y))
    theirs = planes[0] - cx * planes[1] - cy * planes[2] + cx * cy * planes[3]
    np.testing.assert_allclose(ours, theirs, atol=0.02)


def test_steps_are_run_in_turn():
    clock, order = Clock(), []

    def work(name, seconds):
        def go():
            order.append(name)
            clock.now += seconds

        return go

    assert steps.in_turn([work("a", 1), work("b", 3)], 2, clock) == [1, 3]
    assert order == ["a", "b", "a", "b", "a", "b"]


def test_engines_and_the_gpu_script_need_no_pyav():
    code = """
import sys
from types import SimpleNamespace
class No:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "av":
            raise ImportError("no av")
sys.meta_path.insert(0, No())
import magfilter.backends, magfilter.backends.onnxruntime_cpu, magfilter.networks, magfilter.models
import benchmarks.gpu
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gpu_ends_when_time_is_up_whatever_it_is_doing(tmp_path):
    pytest.importorskip("torch")
    code = f"""
import time
from benchmarks import gpu
from benchmarks.budget import Entry
gpu.entries = lambda *a: [
    Entry(gpu.RATES, "quick", -99, lambda: {{"TFLOP/s": 1.0}}), Entry(gpu.RATES, "stuck", -99, lambda: time.sleep(250))
]
gpu.main(["-o", {str(tmp_path)!r}, "--dry", "--minutes", "0.03"])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    written = json.loads((tmp_path / "cpu-dry-run.json").read_text())
    assert [row["row"] for row in written["open"]] == ["the row in progress and all after it"]
    assert "minutes were up" in done.stdout


def test_a_node_depends_on_what_the_nodes_before_it_do():
    folding = pytest.importorskip("benchmarks.folding", reason="needs onnx")
    from onnx import TensorProto, helper

    def tensor(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])

    nodes = [
        helper.make_node("Abs", ["reference"], ["a"], "a"),
        helper.make_node("Abs", ["frame"], ["b"], "b"),
        helper.make_node("Neg", ["a"], ["c"], "c"),
        helper.make_node("Add", ["c", "b"], ["out"], "d"),
    ]
    graph = helper.make_graph(nodes, "g", [tensor("reference"), tensor("frame")], [tensor("out")])
    found = folding.sides(helper.make_model(graph))
    assert found == {
        "a": {"reference"}, "b": {"frame"}, "c": {"reference"}, "d": {"reference", "frame"}
    }  # fmt: skip


def test_what_folding_saves_is_a_share(monkeypatch):
    folding = pytest.importorskip("benchmarks.folding", reason="needs onnx")
    pytest.importorskip("torch")
    monkeypatch.setattr(folding, "RUNS", 2)
    assert 0 < folding.reference_share(find_model("warp-light"), (64, 64)) < 0.5
    # 35 of 38 channels of one of 20 convolutions, at full size
    assert 0.01 < folding.first_layer_share() < 0.1


def test_cuts_and_dissolves_between_clips_are_counted(tmp_path):
    from benchmarks import cuts

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        picture = np.kron(rng.integers(0, 256, (12, 20)), np.ones((8, 8))).astype(np.uint8)
        write(tmp_path / f"{name}.mkv", [picture] * 12)
    clips = cuts.shots(tmp_path)
    assert [len(frames) for frames in clips.values()] == [12, 12]
    row = cuts.in_light(clips, 0.3)
    assert (row["cuts"], row["missed"], row["frames of one shot"], row["cuts seen there"]) == (2, 0, 24, 0)
    black = cuts.in_light(clips, 0.0)
    assert black["missed"] == 2, "there is nothing to be seen"
    row = cuts.dissolved(clips, 8)
    assert (row["dissolves"], row["seen"], row["reference is the second shot's alone"]) == (2, 2, 2)


def test_light_is_taken_out_and_may_be_left_in():
    from benchmarks import light

    assert light.gain(0.5, 65535, "warp-light", bare=False) == pytest.approx(1.06, abs=0.03)
    assert light.gain(0.5, 65535, "warp-light", bare=True) < 0.1


def test_vibrations_that_are_found_of_those_that_are_there():
    result = CliRunner().invoke(peaks.main, ["--trials", "3"])
    assert result.exit_code == 0, result.output
    rows = [[part.strip() for part in line.strip("| ").split("|")] for line in result.output.splitlines()[2:]]
    found = {name: tuple(map(int, numbers)) for name, *numbers in rows}
    assert found["noise alone"] == (0, 0, 0, 0)  # the last of which is what is made up
    assert found["one"] == (3, 3, 0, 0)
    assert found["two, 1.6 resolutions apart"][:3] == (6, 6, 0)
    assert found["one, every 3. frame missing"][:3] == (3, 3, 0)


def test_a_tally_counts_what_is_missed_off_and_beside():
    tally = peaks.Tally()
    named = [SimpleNamespace(frequency=f, amplitude=a, amplitude_sigma=0.001) for f, a in ((5.01, 0.2), (9.0, 0.1))]
    tally.add([(5.0, 0.3), (7.0, 0.1)], named, 0.25)
    assert (tally.there, tally.found, tally.off, tally.beside) == (2, 1, 1, 1)
