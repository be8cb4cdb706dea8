"""Curation: what the filter keeps and counts, runs that go on, and the index that comes of it."""

from __future__ import annotations

import json
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install -e .[train]")
pytest.importorskip("cv2", reason="the evaluation needs OpenCV: pip install -e .[test]")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # trainer/ is not part of the wheel

from click.testing import CliRunner  # noqa: E402
from test_data_clips import STEP, VFR, film, pictures  # noqa: E402

from trainer.data import IndexFormatError, PairIndex, summarise  # noqa: E402
from trainer.data.curate import curate, flow_refusals, squash  # noqa: E402
from trainer.evaluation.pairs import PAPER_FILTER, PairFilter  # noqa: E402


def still(one, two):
    return torch.zeros(len(one), 2, *one.shape[2:])


def frame_numbers(one):
    """Numbers of the frames that squashed images of `film` show."""
    return (one.mean((1, 2, 3)) * 219 / STEP).round().int().tolist()


def by_number(one, two):
    """Flow that breaks one bound after another, by the number of the first frame modulo 5."""
    flow = torch.zeros(len(one), 2, *one.shape[2:])
    side = one.shape[-1]
    for n, number in enumerate(frame_numbers(one)):
        match number % 5:
            case 1:
                flow[n, 0, : side // 16] = 25.0  # a small thing moves far: 6 % of the picture
            case 2:
                flow[n, 1, : side // 2] = 3.0  # half the picture moves
            case 3:
                flow[n, 0] = 0.5  # the camera moves
            case 4:
                flow[n] = torch.nan
    return flow


def curated(folder, name="pairs.jsonl", **options):
    options = {"flow": still, "flow_name": "none", "every": 1, "size": 32} | options
    return curate([folder], folder.parent / name, **options)


def entries(index):
    return [json.loads(line) for line in index.read_text().splitlines()][1:]


def test_filter_counts(tmp_path):
    film(tmp_path / "clips/a.mp4", 31)
    summary = curated(tmp_path / "clips", flow=by_number)
    line = entries(tmp_path / "pairs.jsonl")[0]
    assert line["candidates"] == {"1": 30, "5": 26}
    assert line["kept"] == {"1": 6, "5": 6}  # first frames 0, 5, …, 25
    # NaN breaks every bound on flow
    assert line["refused"]["1"] == {"cut": 0, "mse": 0, "flow_p999": 12, "flow_p80": 12, "flow_p0_01": 12}
    assert line["refused"]["5"] == {"cut": 0, "mse": 0, "flow_p999": 10, "flow_p80": 10, "flow_p0_01": 10}
    assert line["pairs"] == [[n, n + s, n, s] for n in range(0, 30, 5) for s in (1, 5)]
    assert (line["width"], line["height"], line["frames"]) == (64, 48, 31)
    counts = summary.sources["clips"]
    assert (counts.clips, counts.candidates[1], counts.kept[5], counts.refused["flow_p80"]) == (1, 30, 6, 22)


def test_filter_refuses_repeated_frames(tmp_path):
    film(tmp_path / "clips/a.mp4", 12, levels=[100 + STEP * (n // 3) for n in range(12)])  # every frame three times
    curated(tmp_path / "clips", strides=(1,))
    line = entries(tmp_path / "pairs.jsonl")[0]
    assert line["refused"]["1"]["mse"] == 8
    assert [pair[2] for pair in line["pairs"]] == [2, 5, 8]


def test_bounds_agree_with_the_evaluation():
    random = np.random.default_rng(3)
    zeros, ones = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    verdicts = set()
    for n in range(200):
        flow = (random.normal(size=(2, 64, 64)) ** 3 * 10 ** random.uniform(-2, 1)).astype(np.float32)
        flow[:, : n % 8 * 4] = 0
        flow[0] += n % 3 * 0.3
        refused = flow_refusals(flow, PAPER_FILTER)
        assert bool(refused) == bool(PAPER_FILTER.reasons(flow.transpose(1, 2, 0), zeros, ones))
        verdicts.add(tuple(refused))
    assert len(verdicts) > 4


def test_squash_matches_pil():
    """The paper's scripts squash with PIL's bilinear resize."""
    image_class = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    expected = np.asarray(image_class.fromarray(image).resize((32, 32), image_class.Resampling.BILINEAR))
    got = squash(image, 32).permute(1, 2, 0).numpy()
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1


def test_shot_cut(tmp_path):
    def picture(n):
        image = np.zeros((48, 64, 3), np.uint8)
        image[:, : 40 if n < 6 else 8] = 60 + 4 * n if n < 6 else 220 - 4 * n
        return image

    write_pictures(tmp_path / "clips/seq", [picture(n) for n in range(12)])
    curated(tmp_path / "clips")
    line = entries(tmp_path / "pairs.jsonl")[0]
    assert line["refused"]["1"]["cut"] == 1
    assert line["refused"]["5"]["cut"] == 5
    assert all(pair[2] + pair[3] < 6 or pair[2] >= 6 for pair in line["pairs"])


def write_pictures(folder, images):
    image_class = pytest.importorskip("PIL.Image")
    folder.mkdir(parents=True)
    for n, image in enumerate(images):
        image_class.fromarray(image).save(folder / f"{n:05}.png")


@pytest.mark.parametrize("frames", [6, 7, 8, 9, 10, 31])
def test_candidates_as_the_paper_counts_them(tmp_path, frames):
    """Stride 1 without overlap; at either stride (frames − stride + 1) // 2 pairs."""
    film(tmp_path / "clips/a.mp4", frames)
    curated(tmp_path / "clips", every=2)
    assert entries(tmp_path / "pairs.jsonl")[0]["candidates"] == {"1": frames // 2, "5": (frames - 4) // 2}


def test_most_spreads_evenly(tmp_path):
    film(tmp_path / "clips/a.mp4", 31)
    pictures(tmp_path / "clips/seq", 31)
    curated(tmp_path / "clips", most=3, strides=(1, 5, 40))
    for line in entries(tmp_path / "pairs.jsonl"):
        assert line["candidates"] == {"1": 3, "5": 3, "40": 0}
        assert [pair[2:] for pair in line["pairs"]] == [[0, 1], [0, 5], [12, 5], [14, 1], [25, 5], [29, 1]]


def test_variable_frame_rate(tmp_path):
    film(tmp_path / "clips/vfr.mp4", len(VFR), pts=VFR, time_base=Fraction(1, 600))
    curated(tmp_path / "clips")
    line = entries(tmp_path / "pairs.jsonl")[0]
    assert line["time_base"] == [1, 600]
    assert line["pairs"] == sorted(
        ([VFR[n], VFR[n + s], n, s] for s in (1, 5) for n in range(len(VFR) - s)), key=lambda pair: pair[2:]
    )


def test_untrustworthy_times_are_left_out(tmp_path):
    film(tmp_path / "clips/a.avi", 12)  # with B-frames
    curated(tmp_path / "clips")
    pairs = entries(tmp_path / "pairs.jsonl")[0]["pairs"]
    assert pairs
    assert all(pair[:2] == [None, None] for pair in pairs)
    index = PairIndex.load(tmp_path / "pairs.jsonl")
    assert index[0][1:] == (None, None, 0, 1)


@pytest.fixture
def mixed(tmp_path):
    """Sources, sizes and flaws: good clips, an unreadable one, one of a frame, an interlaced one, a broken picture."""
    folder = tmp_path / "clips"
    film(folder / "one/a.mp4", 12)
    film(folder / "one/b.mkv", 14, size=(96, 48))
    film(folder / "two/deep/c.mp4", 12, size=(48, 80))
    film(folder / "two/deep/single.mp4", 1)
    film(folder / "two/interlaced.mp4", 12, interlaced=True)
    (folder / "two/junk.mp4").write_bytes(b"not a film" * 99)
    pictures(folder / "two/seq", 12)
    (folder / "two/seq/im8.png").write_bytes(b"broken")
    return folder


def test_flawed_clips_are_counted(mixed, tmp_path):
    said = []
    summary = curated(mixed, flow=by_number, say=said.append)
    skipped = dict(summary.skipped)
    assert sorted(skipped) == ["two/deep/single.mp4", "two/interlaced.mp4", "two/junk.mp4"]
    assert "two frames" in skipped["two/deep/single.mp4"]
    assert "deinterlace" in skipped["two/interlaced.mp4"]
    assert "not media" in skipped["two/junk.mp4"]
    assert str(tmp_path) not in (tmp_path / "pairs.jsonl").read_text()
    ((damaged, why),) = summary.damaged
    assert damaged == "two/seq"
    assert why.startswith("after 7 frames")
    assert {name: counts.clips for name, counts in summary.sources.items()} == {"one": 2, "two": 2}
    assert len(said) == 7
    table = summary.table().splitlines()
    assert table[0].split()[:3] == ["source", "clips", "candidates"]
    assert table[1].split()[:3] == ["one", "2", str(summary.sources["one"].candidates.total())]
    assert table[3].startswith("total")
    assert "3 clips skipped:" in table
    assert "1 clip damaged:" in table


def test_same_input_same_bytes(mixed, tmp_path):
    curated(mixed, flow=by_number)
    curated(mixed, "again.jsonl", flow=by_number, batch=7)
    whole = (tmp_path / "pairs.jsonl").read_bytes()
    assert (tmp_path / "again.jsonl").read_bytes() == whole
    assert len(whole.splitlines()) == 8


def test_cut_off_index_is_finished(mixed, tmp_path):
    curated(mixed, flow=by_number)
    whole = (tmp_path / "pairs.jsonl").read_bytes()
    ends = [n for n, byte in enumerate(whole) if byte == 10]
    for length in (0, 1, 30, ends[0], ends[0] + 1, ends[1] - 3, ends[3] + 40, len(whole) - 1):
        cut = tmp_path / "cut.jsonl"
        cut.write_bytes(whole[:length])
        curated(mixed, "cut.jsonl", flow=by_number)
        assert cut.read_bytes() == whole, length


def test_stopped_run_goes_on(mixed, tmp_path):
    curated(mixed, flow=by_number)
    calls = []

    def stops(one, two):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return by_number(one, two)

    with pytest.raises(KeyboardInterrupt):
        curated(mixed, "stopped.jsonl", flow=stops)
    before = len((tmp_path / "stopped.jsonl").read_bytes().splitlines())
    assert 1 < before < 8
    said = []
    curated(mixed, "stopped.jsonl", flow=stops, say=said.append)
    assert len(said) == 8 - before  # finished clips are not walked again
    assert (tmp_path / "stopped.jsonl").read_bytes() == (tmp_path / "pairs.jsonl").read_bytes()


def test_other_settings_are_refused(tmp_path):
    film(tmp_path / "clips/a.mp4", 8)
    curated(tmp_path / "clips")
    before = (tmp_path / "pairs.jsonl").read_bytes()
    with pytest.raises(IndexFormatError, match=r"made with every 1 and not 3; .* another -o"):
        curated(tmp_path / "clips", every=3)
    with pytest.raises(IndexFormatError, match="flow 'none' and not 'raft'"):
        curated(tmp_path / "clips", flow_name="raft")
    with pytest.raises(IndexFormatError, match="root"):
        curated(tmp_path / "clips", root=tmp_path)
    with pytest.raises(IndexFormatError, match="filter"):
        curated(tmp_path / "clips", filter=PairFilter(mse=5))
    assert (tmp_path / "pairs.jsonl").read_bytes() == before


def test_other_files_are_left_alone(tmp_path):
    path = film(tmp_path / "clips/a.mp4", 8)
    (tmp_path / "clips/notes.txt").write_text("{ no newline")
    for victim in (path, tmp_path / "clips/notes.txt"):
        before = victim.read_bytes()
        with pytest.raises(IndexFormatError, match="not an index"):
            curate([path], victim, flow=still)
        assert victim.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"strides": ()}, "strides"),
        ({"strides": (0, 1)}, "strides"),
        ({"strides": (1, 1)}, "different"),
        ({"every": 0}, "every"),
        ({"most": 0}, "most"),
        ({"batch": 0}, "batch"),
        ({"flow": lambda one, two: one}, "Expected flow of shape"),
    ],
)
def test_bad_settings(tmp_path, options, match):
    film(tmp_path / "clips/a.mp4", 4)
    with pytest.raises(ValueError, match=match):
        curated(tmp_path / "clips", **options)


def test_no_clips(tmp_path):
    (tmp_path / "clips").mkdir()
    with pytest.raises(ValueError, match="No clips in"):
        curated(tmp_path / "clips")
    film(tmp_path / "a.mp4", 4)
    with pytest.raises(ValueError, match="--root"):
        curate([tmp_path / "a.mp4"], tmp_path / "i.jsonl", flow=still, root=tmp_path / "clips")


def test_load(mixed, tmp_path):
    curated(mixed)
    index = PairIndex.load(tmp_path / "pairs.jsonl")
    lines = [line for line in entries(tmp_path / "pairs.jsonl") if line.get("pairs")]
    assert len(index) == sum(len(line["pairs"]) for line in lines) == summarise(index.path).total.kept.total()
    assert index.clips == ["one/a.mp4", "one/b.mkv", "two/deep/c.mp4", "two/seq"]
    assert index.settings["every"] == 1
    columns = (index.clip, index.pts, index.frame, index.stride)
    assert sum(column.nbytes for column in columns) == 26 * len(index)
    pair = index[len(index) - 1]
    assert pair.path == mixed / "two/seq"
    assert [pair.pts_a, pair.pts_b, pair.frame, pair.stride] == lines[-1]["pairs"][-1]


def test_index_moves_with_its_clips(tmp_path):
    film(tmp_path / "here/clips/a.mp4", 8)
    curated(tmp_path / "here/clips")
    (tmp_path / "here").rename(tmp_path / "there")
    index = PairIndex.load(tmp_path / "there/pairs.jsonl")
    assert index[0].path.is_file()
    shutil.move(tmp_path / "there/clips", tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"1 of 1 clips .* \(first: a\.mp4\); give the folder"):
        PairIndex.load(tmp_path / "there/pairs.jsonl")
    assert PairIndex.load(tmp_path / "there/pairs.jsonl", root=tmp_path / "elsewhere")[0].path.is_file()


def test_load_refuses(tmp_path):
    film(tmp_path / "clips/a.mp4", 8)
    curated(tmp_path / "clips")
    path = tmp_path / "pairs.jsonl"
    head, line = path.read_text().splitlines()

    def fails(text, error, match):
        path.write_text(text)
        with pytest.raises(error, match=match):
            PairIndex.load(path)

    fails("", IndexFormatError, "empty")
    fails("hello\n", IndexFormatError, "not an index of pairs")
    fails(head.replace('"version":1', '"version":9') + "\n", IndexFormatError, "version 9, expected 1")
    fails(f"{head}\n{line}\n{line}\n", IndexFormatError, r"line 3 lists a\.mp4 a second time")
    fails(f"{head}\n{line[:-9]}\n", IndexFormatError, "line 2 is damaged")
    fails(f"{head}\n{line.replace('[[0,1,0,1]', '[[0,1,0]')}\n", IndexFormatError, r"pairs of a\.mp4 are damaged")
    with pytest.raises(FileNotFoundError, match="python -m trainer curate"):
        PairIndex.load(tmp_path / "gone.jsonl")
    path.write_text(f"{head}\n{line}")  # still being written
    assert len(PairIndex.load(path)) == 0


def test_command(tmp_path, monkeypatch):
    from trainer.data.command import curate as command

    film(tmp_path / "clips/a.mp4", 8)
    asked = []
    flows = type(sys)("trainer.flow")
    flows.load_flow = lambda name, device, updates: asked.append((name, device, updates)) or still
    monkeypatch.setitem(sys.modules, "trainer.flow", flows)
    arguments = [str(tmp_path / "clips"), "-o", str(tmp_path / "out/i.jsonl"), "--flow", "own", "--device", "cpu"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert asked == [("own", torch.device("cpu"), 20)]
    assert "kept at stride 5" in result.output
    assert len(PairIndex.load(tmp_path / "out/i.jsonl")) == 4 + 2
    result = CliRunner().invoke(command, [*arguments, "--every", "3"])
    assert result.exit_code == 1
    assert "every 2 and not 3" in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--device", "gpu9"), "Expected a torch device such as cpu, cuda or cuda:1, got 'gpu9'"),
        (("--device", "cuda:77"), "Expected a device that is there, got 'cuda:77'"),
        (("--updates", 0), "Expected updates of 1 or more, got 0"),
        (("--updates", -1), "Expected updates of 1 or more, got -1"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(options, said, tmp_path):
    from trainer.data.command import curate as command

    arguments = [tmp_path, "-o", tmp_path / "i.jsonl", "--flow", "own", *options]
    result = CliRunner().invoke(command, [str(each) for each in arguments])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {said}")
    assert len(result.stderr.splitlines()) == 1
