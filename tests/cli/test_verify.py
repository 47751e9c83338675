# SPDX-License-Identifier: Apache-2.0
"""verify and bench, the commands."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import neurovm
from neurovm.cli.exits import Exit

needs_litert = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only",
)
needs_micro = pytest.mark.skipif(
    find_spec("tflite_micro") is None,
    reason="tflite_micro is not installed (pip install tflite_micro; x86_64 Linux)",
)
FEW = ("--count", "40", "--walk", "30")


@needs_litert
def test_identical(run, mlp: Path) -> None:
    ran = run("verify", mlp, *FEW, "-o", "json")
    assert ran.code == Exit.OK, ran.err
    proof = json.loads(ran.out)
    assert proof["identical"] is True
    assert proof["rows"] == {"given": 0, "random": 40, "walk": 30}
    assert proof["predict"] == {"elements": 700, "differing": 0, "max_delta": 0.0}
    assert proof["events"]["elements"] == 300
    ran = run("verify", mlp, *FEW)
    assert "identical to ai-edge-litert" in ran.out


@needs_litert
def test_the_certificate_is_saved_and_shown(run, mlp: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.nvm"
    ran = run("verify", mlp, *FEW, "--save", target)
    assert ran.code == Exit.OK, ran.err
    with neurovm.load(target) as model, neurovm.convert_tflite(mlp) as fresh:
        proof = model.manifest.certificate
        assert model.sha256 == fresh.sha256
    assert proof is not None
    assert proof["identical"] is True
    assert proof["model_sha256"] == model.sha256
    assert "identical to ai-edge-litert" in run("inspect", target).out


@needs_litert
def test_certify_keeps_the_bundle_of_another_profile(run, mlp: Path, tmp_path: Path) -> None:
    source = tmp_path / "mlp.tflite"
    source.write_bytes(mlp.read_bytes())
    target = source.with_suffix(".nvm")
    with neurovm.convert_tflite(source, profile="tflm") as other:
        other.save(target)
    ran = run("verify", source, *FEW, "--certify")
    assert ran.code == Exit.CANNOT_CREATE, ran.err
    assert "holds the model in profile tflm" in ran.err
    with neurovm.load(target) as kept:
        assert kept.profile == "tflm"
    ran = run("verify", source, *FEW, "--save", target)
    assert ran.code == Exit.OK, ran.err
    with neurovm.load(target) as kept:
        assert kept.profile == "xnnpack"


@needs_litert
def test_certify_keeps_it_in_the_bundle_that_was_judged(run, mlp: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.nvm"
    with neurovm.convert_tflite(mlp) as model:
        model.with_deploy({"require_certificate": True}).save(target)
        before = model.sha256
    ran = run("verify", mlp, "--model", target, *FEW, "--certify")
    assert ran.code == Exit.OK, ran.err
    assert f"saved {target}" in ran.out
    with neurovm.load(target, require_certificate=True) as model:
        assert model.sha256 == before
        assert model.manifest.deploy == {"require_certificate": True}


@needs_micro
def test_profile_tflm_is_certified_by_tflite_micro(run, mlp: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.nvm"
    ran = run("verify", mlp, *FEW, "--profile", "tflm", "--certify", "--save", target)
    assert ran.code == Exit.OK, ran.err
    assert "identical to tflite_micro" in run("inspect", target).out


def test_another_python_that_has_no_runtime(run, mlp: Path, tmp_path: Path) -> None:
    empty = tmp_path / "python"
    empty.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    empty.chmod(0o755)
    ran = run("verify", mlp, *FEW, "--python", empty)
    assert ran.code == Exit.UNAVAILABLE
    assert f"{empty} has no runtime to compare with" in ran.err
    ran = run("verify", mlp, *FEW, "--python", tmp_path / "none")
    assert ran.code == Exit.UNAVAILABLE
    assert "cannot be started" in ran.err


@needs_litert
def test_own_rows(run, mlp: Path, bundle: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(3).integers(-128, 128, (9, 64)).astype(np.int8)
    np.save(tmp_path / "a.npy", rows)
    (tmp_path / "b.csv").write_text(",".join(["1"] * 64) + "\n")
    ran = run(
        "verify", mlp, "--model", bundle, "--inputs", tmp_path / "a.npy",
        "--inputs", tmp_path / "b.csv", "--count", 0, "--walk", 0, "-o", "json",
    )  # fmt: skip
    assert ran.code == Exit.OK, ran.err
    proof = json.loads(ran.out)
    assert proof["rows"]["given"] == 10
    assert proof["layers"]
    assert all(layer["kernel"]["differing"] == 0 for layer in proof["layers"])


@needs_litert
def test_no_row_proves_nothing(run, mlp: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.nvm"
    ran = run("verify", mlp, "--count", 0, "--walk", 0, "--save", target)
    assert ran.code == Exit.DATA
    assert "no row to compare" in ran.err
    assert not target.exists()


@needs_litert
def test_without_a_walk_all_rows_run_by_events(run, mlp: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.nvm"
    ran = run("verify", mlp, "--count", 5, "--walk", 0, "--save", target)
    assert ran.code == Exit.OK, ran.err
    assert "does not count" not in ran.out
    with neurovm.load(target, require_certificate=True) as model:
        proof = model.manifest.certificate
    assert proof is not None
    assert proof["events"] == proof["session"] == {"elements": 50, "differing": 0, "max_delta": 0.0}


@needs_litert
def test_a_difference_is_exit_code_1(run, mlp: Path, monkeypatch, tmp_path: Path) -> None:
    real = neurovm.Model.predict

    def wrong(self: neurovm.Model, x: object) -> np.ndarray:
        answer = np.array(real(self, x))
        answer.reshape(-1)[0] ^= 1
        return answer

    monkeypatch.setattr(neurovm.Model, "predict", wrong)
    ran = run("verify", mlp, *FEW, "--save", tmp_path / "m.nvm")
    assert ran.code == Exit.DIFFERENT
    assert "DIFFERENT" in ran.out
    assert "predict" in ran.out
    assert not (tmp_path / "m.nvm").exists()


@needs_litert
def test_another_models_bundle(run, dscnn: Path, bundle: Path) -> None:
    ran = run("verify", dscnn, "--model", bundle, *FEW)
    assert ran.code == Exit.DATA
    assert "digits_mlp.tflite" in ran.err


def test_wrong_input(run, mlp: Path, bundle: Path, tmp_path: Path) -> None:
    assert run("verify", tmp_path / "none.tflite").code == Exit.NO_INPUT
    assert run("verify", tmp_path).code == Exit.NO_INPUT
    ran = run("verify", bundle)
    assert ran.code == Exit.USAGE
    assert "--model" in ran.err
    (tmp_path / "text.tflite").write_text("no model at all")
    assert run("verify", tmp_path / "text.tflite").code == Exit.DATA
    (tmp_path / "few.csv").write_text("1,2,3\n")
    ran = run("verify", mlp, "--inputs", tmp_path / "few.csv")
    assert ran.code == Exit.DATA
    assert "3 columns" in ran.err
    (tmp_path / "notes.txt").write_text("mine")
    assert run("verify", mlp, "--save", tmp_path / "notes.txt").code == Exit.CANNOT_CREATE


def test_bench(run, mlp: Path, bundle: Path) -> None:
    result = json.loads(run("bench", mlp, "--seconds", "0.05", "-o", "json").out)
    cases = {case["name"]: case for case in result["cases"]}
    assert cases["dense, all"]["sops"] == result["macs"]
    assert cases["auto, none"]["sops"] == 0
    assert 0 < cases["auto, 1 %"]["sops"] < result["macs"]
    assert all(c["low_us"] <= c["median_us"] <= c["high_us"] for c in result["cases"])
    if find_spec("ai_edge_litert") is not None:
        assert cases["LiteRT"]["ratio"] == 1.0
        assert cases["predict"]["ratio"] > 0
    ran = run("bench", bundle, "--seconds", "0.05")
    assert ran.code == Exit.OK
    assert "not measured; --source" in ran.out


def test_bench_draws_a_picture(run, bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / "bench.png"
    ran = run("bench", bundle, "--seconds", "0.05", "--plot", target)
    assert ran.code == Exit.OK, ran.err
    assert target.read_bytes().startswith(b"\x89PNG")
    ran = run("bench", bundle, "--seconds", "0.05", "--plot", tmp_path / "none/bench.png")
    assert ran.code == Exit.CANNOT_CREATE


def test_bench_of_wrong_files(run, tmp_path: Path, bundle: Path, dscnn: Path) -> None:
    assert run("bench", tmp_path / "none.nvm").code == Exit.NO_INPUT
    ran = run("bench", bundle, "--source", tmp_path / "none.tflite", "--seconds", "0.05")
    assert ran.code == Exit.NO_INPUT
    ran = run("bench", bundle, "--source", dscnn, "--seconds", "0.05")
    assert ran.code == Exit.DATA
    assert "digits_mlp.tflite" in ran.err


def test_a_rate_coded_bundle_is_not_measured_by_identity(run, mlp: Path, tmp_path: Path) -> None:
    with neurovm.convert_tflite(mlp, coding="rate", steps=4) as model:
        bundle = model.save(tmp_path / "rate.nvm")
    ran = run("verify", mlp, "--model", bundle)
    assert ran.code == Exit.USAGE
    assert "rate-coded" in ran.err
