# SPDX-License-Identifier: Apache-2.0
"""The commands on a network of spiking neurons: what they show, draw and refuse."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from spiking_networks import NETWORKS

import neurovm
from neurovm.cli.app import run
from neurovm.cli.exits import Exit
from neurovm.cli.trains import read
from neurovm.spiking.network import Network
from neurovm.spiking.neurons import LI
from neurovm.spiking.synapses import Dense

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurovm.spiking_model import SpikingModel

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """native.nvm and drawn.nvm, with trains for drawn."""
    made = tmp_path_factory.mktemp("spiking")
    for name in ("native", "drawn"):
        neurovm.convert_network(NETWORKS[name]()).save(made / f"{name}.nvm")
    rng = np.random.default_rng(0)
    np.save(made / "trains.npy", (rng.random((3, 20, 30)) < 0.1).astype(np.uint8))
    (made / "events.csv").write_text("t_us,address\n100,3\n100,4\n2500,29\n19999,0\n")
    return made


@pytest.fixture(scope="module")
def drawn(folder: Path) -> SpikingModel:
    model = neurovm.load(folder / "drawn.nvm")
    assert isinstance(model, neurovm.SpikingModel)
    return model


def printed(args: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    assert run([str(a) for a in args]) == Exit.OK
    return capsys.readouterr().out


def refused(args: Sequence[object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run([str(a) for a in args])
    return code, capsys.readouterr().err


def test_inspect_and_explain_tell_of_populations(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("inspect", "explain"):
        text = printed([command, folder / "native.nvm"], capsys)
        assert "CubaLIF" in text
        assert "a tick: 500 µs; numerics: native" in text
        assert "exact" in text
        found = json.loads(printed([command, folder / "native.nvm", "-o", "json"], capsys))
        part = found["spiking"] if command == "inspect" else found
        assert [p["name"] for p in part["populations"]][:3] == ["image", "extra", "a"]
        assert {e["stored"] for e in part["projections"]} >= {"kernel", "window", "wires"}


def test_other_models_have_no_spiking_part(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(["inspect", FIXTURES / "digits_mlp.tflite", "-o", "json", "-q"], capsys)
    assert json.loads(text)["spiking"] is None


def test_predict_answers_trains(
    folder: Path, drawn: SpikingModel, capsys: pytest.CaptureFixture[str]
) -> None:
    trains = np.load(folder / "trains.npy")
    wanted = drawn.predict(trains).sum(axis=1)
    args = ["predict", folder / "drawn.nvm", folder / "trains.npy", "-o", "json"]
    rows = json.loads(printed(args, capsys))["rows"]
    assert [row["outputs"][0]["values"] for row in rows] == wanted.tolist()
    assert [row["outputs"][0]["top"][0]["index"] for row in rows] == wanted.argmax(1).tolist()
    assert "spikes" in printed(args[:-2], capsys)
    lines = printed([*args[:-1], "jsonl", "--top", 3], capsys).splitlines()
    assert [len(json.loads(line)["outputs"][0]["top"]) for line in lines] == [3, 3, 3]


def test_predict_answers_spikes_at_times(
    folder: Path, drawn: SpikingModel, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["predict", folder / "drawn.nvm", folder / "events.csv", "-o", "json"]
    row = json.loads(printed(args, capsys))["rows"][0]
    train = np.zeros((20, 30), np.int8)
    train[[0, 0, 2, 19], [3, 4, 29, 0]] = 1
    assert (row["ticks"], row["spikes_in"]) == (20, 4)
    assert row["outputs"][0]["values"] == drawn.predict(train).sum(axis=0).tolist()


def test_bench_times_ticks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["bench", folder / "drawn.nvm", "--seconds", "0.05", "-q"]
    cases = json.loads(printed([*args, "-o", "json"], capsys))["cases"]
    assert {"silence", "all inputs", "one spike, event()"} <= {case["name"] for case in cases}
    assert "SOPs" in printed(args, capsys)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t_us,address\n5,3\n4,3\n", "time goes back to 4 µs"),
        ("-5,3\n", "before the start"),
        ("5,30\n", "address 30; the model's inputs are 0 to 29"),
        ("5,3,1\n", "bad.csv:1: found '5,3,1'; accepted: t_us,address"),
        ("5,x\n", "bad.csv:1"),
        ("5,-1\n", "out of range"),
        ("900000000000000,3\n", "at most"),
        (f"{1 << 80},3\n", "out of range"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "plot"])
def test_spikes_that_cannot_be(
    folder: Path,
    tmp_path: Path,
    command: str,
    text: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "bad.csv").write_text(text)
    code, error = refused([command, folder / "drawn.nvm", tmp_path / "bad.csv"], capsys)
    assert code == Exit.DATA
    assert message in error


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 31), np.int8), "whole counts (ticks, 30)"),
        (np.zeros((4, 30)), "whole counts (ticks, 30)"),
        (np.full((4, 30), -1), "counts of -1 to -1"),
        (np.full((4, 30), 128), "counts of 128"),
    ],
)
def test_counts_that_do_not_fit(
    folder: Path,
    tmp_path: Path,
    array: np.ndarray,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "bad.npy", array)
    code, error = refused(["predict", folder / "drawn.nvm", tmp_path / "bad.npy"], capsys)
    assert code == Exit.DATA
    assert message in error


def test_no_ticks(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 30), np.int8))
    args = ["predict", folder / "drawn.nvm", tmp_path / "none.npy", "-o", "json"]
    assert [row["ticks"] for row in json.loads(printed(args, capsys))["rows"]] == [0]


def test_times_fall_into_the_ticks_of_a_session(tmp_path: Path) -> None:
    net = Network(dt_us=0.1)  # a little more than a tenth: 3 µs lie in tick 29
    x, a = net.input(1, "x"), net.population(1, LI(tau_us=10.0), "a")
    net.project(x, a, Dense(np.ones((1, 1))))
    net.output(a)
    times = range(200)
    (tmp_path / "t.csv").write_text("".join(f"{t},0\n" for t in times))
    (counts,) = read(tmp_path / "t.csv", neurovm.convert_network(net))
    assert np.flatnonzero(counts).tolist() == [t // Fraction(0.1) for t in times]


def test_files_that_are_no_arrays(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, data in (("a.npy", b"\x93NUMPY\x01\x00"), ("b.npy", b""), ("c.csv", b"\xff\xfe\x00")):
        (tmp_path / name).write_bytes(data)
        code, _ = refused(["predict", folder / "drawn.nvm", tmp_path / name], capsys)
        assert code == Exit.DATA, name


def test_what_is_not_for_spiking_networks(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    native, drawn, trains = (folder / n for n in ("native.nvm", "drawn.nvm", "trains.npy"))
    picture = tmp_path / "p.svg"
    for args, code, message in (
        (["explain", native, "--plot", picture], Exit.UNAVAILABLE, "`neurovm plot` draws a run"),
        (["predict", drawn, trains, "-o", "csv"], Exit.USAGE, "-o csv is for values"),
        (["predict", drawn, trains, "--real"], Exit.USAGE, "takes trains of spikes"),
        (["bench", drawn, "--plot", picture], Exit.USAGE, "a spiking network has a table"),
        (["plot", drawn, trains, "--to", tmp_path / "p.txt"], Exit.USAGE, ".png, .svg, .pdf"),
        (["plot", drawn, trains, "--row", 3], Exit.DATA, "row 3 of 3"),
        (["plot", drawn, trains, "--population", "b"], Exit.DATA, "there are x, a"),
    ):
        found, error = refused(args, capsys)
        assert (found, message in error) == (code, True), (args, error)
    assert not picture.exists()


def test_plot_draws(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    for name, trains, more in (
        ("png", "trains.npy", ["--row", 2, "--ticks", 30]),
        ("svg", "events.csv", ["--population", "a", "--traces", 2]),
    ):
        target = tmp_path / f"run.{name}"
        printed(["plot", folder / "drawn.nvm", folder / trains, "--to", target, *more], capsys)
        assert target.stat().st_size > 5000
    text = (tmp_path / "run.svg").read_text()
    assert "<svg" in text


def test_plot_is_for_spiking_networks(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    model = neurovm.convert_tflite(FIXTURES / "digits_mlp.tflite").save(tmp_path / "m.nvm")
    code, error = refused(["plot", model, folder / "trains.npy"], capsys)
    assert code == Exit.UNAVAILABLE
    assert "no network of spiking neurons" in error
    assert not (folder / "trains.png").exists()
