# SPDX-License-Identifier: Apache-2.0
"""inspect, explain and info: what a model and an installation are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import neurovm
from neurovm.cli.exits import Exit

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def test_inspect_a_bundle(run, bundle: Path) -> None:
    result = json.loads(run("inspect", bundle, "-o", "json").out)
    with neurovm.load(bundle) as model:
        assert result["sha256"] == model.sha256
        assert result["inputs"][0]["scale"] == model.inputs[0].scale
        assert result["outputs"][0]["labels"] == list(model.outputs[0].labels or ())
        assert result["session_bytes"] == model.manifest.limits.session_bytes
    assert result["converted"] is True
    table = run("inspect", bundle).out
    assert result["sha256"] in table
    assert "digit 0" in table


def test_yaml_holds_what_json_holds(run, bundle: Path) -> None:
    as_json = json.loads(run("inspect", bundle, "-o", "json").out)
    assert yaml.safe_load(run("inspect", bundle, "-o", "yaml").out) == as_json


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.tflite")), ids=lambda p: p.stem)
def test_inspect_and_explain_every_fixture(run, path: Path) -> None:
    inspected = json.loads(run("inspect", path, "-o", "json").out)
    explained = json.loads(run("explain", path, "-o", "json").out)
    assert inspected["converted"] is False
    assert inspected["macs"] == explained["macs"] == sum(o["macs"] for o in explained["operators"])
    assert {o["fate"] for o in explained["operators"]} <= {"events", "table", "dense", "folded"}
    assert run("inspect", path).code == run("explain", path).code == Exit.OK


def test_explain_of_a_bundle_and_its_source_agree(run, mlp: Path, bundle: Path) -> None:
    first, second = (json.loads(run("explain", p, "-o", "json").out) for p in (mlp, bundle))
    assert first["operators"] == second["operators"]


@pytest.mark.parametrize("command", ["inspect", "explain"])
def test_wrong_files(run, bundle: Path, tmp_path: Path, command: str) -> None:
    whole = bundle.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    for name, content in {
        "truncated.nvm": whole[: len(whole) // 2],
        "short.nvm": whole[:5],
        "empty.nvm": b"",
        "flipped.nvm": bytes(flipped),
        "text.nvm": b"hello, world, this is a text\n" * 10,
        "text.tflite": b"hello, world, this is a text\n" * 10,
    }.items():
        (tmp_path / name).write_bytes(content)
        ran = run(command, tmp_path / name)
        assert ran.code == Exit.DATA, name
        assert ran.out == ""
        assert name in ran.err
        assert ran.err.count("\n") == 1
    assert run(command, tmp_path / "missing.nvm").code == Exit.NO_INPUT
    assert run(command, tmp_path).code == Exit.NO_INPUT


def test_info(run) -> None:
    result = json.loads(run("info", "-o", "json").out)
    assert result["neurovm"] == neurovm.__version__
    assert "cpu" in result["backends"]
    assert "xnnpack" in result["profiles"]
    assert result["packages"]["numpy"]
    assert any(path.endswith("neurovmd.yaml") for path in result["configuration"])
    assert result["kernel"]["isa"] == result["kernel"]["isas"][-1]
    assert result["kernel"]["isas"][0] == "scalar"
    assert "neurovm  " in run("info").out


def test_cpu_name(tmp_path: Path) -> None:
    from neurovm.cli.info import cpu_name

    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Fast One\n\nprocessor\t: 1\nmodel name\t: B\n")
    assert cpu_name(file) == "Fast One"
    file.write_text("processor\t: 0\nBogoMIPS\t: 1\n\nModel\t\t: Raspberry Pi 5\n")
    assert cpu_name(file) == "Raspberry Pi 5"
    assert cpu_name(tmp_path / "none") is None
