# SPDX-License-Identifier: Apache-2.0
"""What `make bench` judges by: its streams change what they say, its exact work is exact."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import arm_instructions
import bench_models
import bench_real
import bench_report
import bench_streams
import bench_work
import instructions
import numpy as np
import pytest
import shared_files
from bench_report import Row, Spread

import neurovm
from neurovm.packing import pack

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "tests/fixtures"
NETWORKS = ("digits_cnn", "digits_dscnn", "digits_mlp", "digits_resnet", "pump_window_dscnn")


@pytest.mark.parametrize("shape", [(32, 32, 3), (49, 10, 1), (30, 1, 40), (640,), (3, 40), (1,)])
def test_a_stream_changes_what_its_name_says(shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    for stream in bench_streams.drawn(shape, (-128, 127), 1):
        rows = stream.rows
        assert rows.min() >= -128
        assert rows.max() <= 127
        changed = (rows != np.roll(rows, 1, axis=0)).sum(axis=1)
        if stream.kind == "none":
            assert changed.tolist() == [0]
        elif stream.kind == "one":
            assert set(changed) == {1}
            steps = np.abs(rows - np.roll(rows, 1, axis=0)).max(axis=1)
            assert set(steps) == {bench_streams.ONE_BY}
        elif stream.kind == "block":
            # Whole rows and columns of pixels: near the fraction, as a rectangle can be.
            assert abs(
                changed.mean() / size - stream.percent / 100
            ) <= 0.5 * stream.percent / 100 + (shape[-1] / size)
        else:
            assert set(changed) == {round(size * stream.percent / 100)}


def test_a_block_is_a_rectangle_of_whole_pixels() -> None:
    (stream,) = [
        each
        for each in bench_streams.drawn((32, 32, 3), (-128, 127), 3)
        if each.name == "1 % block"
    ]
    for before, row in zip(stream.rows, stream.rows[1:], strict=False):
        mask = (before != row).reshape(32, 32, 3)
        y, x, _ = np.nonzero(mask)
        rectangle = mask[y.min() : y.max() + 1, x.min() : x.max() + 1]
        assert rectangle.all()
        assert rectangle.shape[:2] == (3, 3)


@pytest.mark.parametrize("name", NETWORKS)
def test_exact_work_is_what_a_session_by_events_counts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In plain C, where every event is taken alone: vectors take some in groups of four channels,
    and count them whole.
    """
    monkeypatch.setenv("NEUROVM_ISA", "scalar")
    model = neurovm.convert_tflite(FIXTURES / f"{name}.tflite")
    info = model.inputs[0]
    for stream in bench_streams.drawn(info.shape[1:], info.limits, 2):
        if stream.name not in ("all", "10 % random", "5 % block", "one by 16", "nothing"):
            continue
        rows = [row.tobytes() for row in pack(model.inputs, [stream.rows])]
        found = bench_work.work(model, rows)
        session = model.session(way="events")
        session.step(rows[-1])
        before = session.counters
        for row in rows:
            session.step(row)
        after = session.counters
        counted = (after.sops - before.sops) / (after.dense_macs - before.dense_macs)
        assert found.elements == pytest.approx(counted, abs=1e-12)
        assert found.elements <= found.groups <= 1


def test_groups_of_four_stay_within_their_pixel() -> None:
    layer = {"in_c": 6}
    mask = np.zeros(12, bool)
    mask[[1, 10]] = True
    wanted = [True] * 4 + [False] * 2 + [False] * 4 + [True] * 2
    assert bench_work.spread(layer, mask).tolist() == wanted


@pytest.mark.parametrize(
    ("kind", "elements", "groups", "ratio", "passed"),
    [
        ("block", 0.1, 0.9, 0.18, True),
        ("block", 0.1, 0.9, 0.19, False),
        ("random", 0.1, 0.2, 0.33, True),
        ("random", 0.9, 0.9, 1.06, False),
        ("real", 0.9, 0.9, 1.01, False),
        ("all", 0.5, 0.5, 1.09, True),
        ("none", 0.0, 0.0, 0.03, False),
    ],
)
def test_rows_are_judged_by_their_rule(
    kind: str, elements: float, groups: float, ratio: float, passed: bool
) -> None:
    same = Spread(ratio, ratio, ratio)
    row = Row("net", kind, kind, "neurovm", "step", Spread(5, 5, 5), same, elements, groups)
    row.judge()
    assert row.passed is passed
    assert ("ok" if passed else "MISSED") in bench_report.cells(row)


def test_the_fast_network_has_the_macs_it_is_named_for() -> None:
    widths = bench_models.WIDTHS
    assert sum(a * b for a, b in itertools.pairwise(widths)) // 1000 == 50


def test_it_runs_and_answers_as_litert_does(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    out, picture = tmp_path / "bench.json", tmp_path / "bench.svg"
    options = ["--only", "digits_mlp", "--rounds", "2", "--quick", "--json", out, "--plot", picture]
    peer = ["--peer", "tvm=/nowhere/python"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/bench.py", *options, *peer],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    steps = [row for row in found["rows"] if row["who"] == "neurovm" and row["mode"] == "step"]
    assert {row["kind"] for row in steps} == {"all", "none", "block", "random", "one"}
    assert all(row["ratio"]["median"] > 0 and row["passed"] is not None for row in steps)
    assert not [row for row in found["rows"] if "differ" in row["note"]]
    (absent,) = [row for row in found["rows"] if row["who"] == "tvm"]
    assert "No such file" in absent["note"]
    assert "tvm: took no network" in done.stdout
    assert picture.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--models", "nowhere"], "there is no such folder"),
        (["--peer", "caffe=python3"], "NAME=PYTHON is wanted"),
        (["--isa", "mmx"], "this machine has"),
        (["--only", "nothing"], "there is no nothing.tflite"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], word: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/bench.py", *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert word in done.stderr


def counted(auto: int, events: int, dense: int) -> dict[tuple[str, str], int]:
    ways = {"auto": auto, "events": events, "tiles": dense + 10, "dense": dense}
    return {("all", way): n for way, n in ways.items()} | {("one", "auto"): 90, ("none", "auto"): 2}


@pytest.mark.parametrize(
    ("counts", "beyond"),
    [
        (counted(1040, 1500, 1000), set()),
        (counted(1060, 1500, 1000), {"auto"}),
        (counted(1000, 900, 1000), {"auto"}),
        (counted(300, 1500, 300), {"one"}),
        (counted(99_000, 99_000, 99_000), {"a weight"}),
    ],
)
def test_instructions_are_held_to_their_ratios(
    counts: dict[tuple[str, str], int], beyond: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"auto": 1.05, "nothing": 0.01, "one": 0.1, "a weight": 10.0}
    monkeypatch.setitem(instructions.LIMITS, ("net", "scalar"), limits)
    found = instructions.judged("net", "scalar", 100, counts)
    assert {ratio.what for ratio in found if not ratio.passed} == beyond


@shared_files.needed
@pytest.mark.parametrize("name", sorted(bench_real.STREAMS))
def test_real_streams_fit_their_networks(name: str) -> None:
    model = neurovm.convert_tflite(next(shared_files.ROOT.rglob(f"{name}.tflite")))
    found, missing = bench_real.real(name, shared_files.ROOT / "data", model.inputs[0])
    assert len(found) + len(missing) == len(bench_real.STREAMS[name])
    if not found:
        pytest.skip("; ".join(missing))
    for rows in found.values():
        assert rows.shape[1] == model.inputs[0].size
        assert -128 <= rows.min() < rows.max() <= 127


@shared_files.needed
def test_the_wake_word_is_heard_where_it_is_spoken() -> None:
    """The front end is right: the network hears its word in the recording's own windows."""
    model = neurovm.convert_tflite(shared_files.model("str_ww_ref_model"))
    rows = bench_real.wake_word(shared_files.ROOT / "data", model.inputs[0])
    said = json.loads((shared_files.ROOT / "data/streaming_ww/sww_short_test.json").read_text())
    heard = np.flatnonzero(model.predict(rows)[:, 0] > 0)
    ends_s = (heard + 30) * 512 / 16000
    for begin_s, end_s in said[0]["detection_windows"]:
        assert ((begin_s < ends_s) & (ends_s < end_s + 1)).any()
    assert 0 < len(heard) < len(rows) / 3


def test_counts_of_arm_are_one_table() -> None:
    counts = [
        arm_instructions.Count(model, cpu, ours, 200.0, 150.0, {"run_product": ours})
        for model, ours in (("a", 100.0), ("b", 400.0))
        for cpu in ("cortex-a72", "cortex-a76")
    ]
    lines = arm_instructions.table(counts, ["cortex-a72", "cortex-a76"])
    assert [line.split() for line in lines[2:]] == [
        ["a", "100", "200", "0.50", "100", "200", "0.50"],
        ["b", "400", "200", "2.00", "400", "200", "2.00"],
        ["geometric", "mean", "1.00", "1.00"],
    ]


def test_rows_for_arm_change_everywhere() -> None:
    rows = arm_instructions.changing_rows(500, 4, 1)
    assert rows.shape == (5, 500)
    assert all((a != b).all() for a, b in itertools.pairwise(rows))
