# SPDX-License-Identifier: Apache-2.0
"""create and build: a folder that works as it stands, and bundles that carry their manifest."""

from __future__ import annotations

import json
import re
import select
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pytest

import neurovm
from neurovm import certificate, manifest
from neurovm.cli import calibration
from neurovm.cli.create import NAMES, SCHEMA, TEMPLATES
from neurovm.cli.exits import Exit

TOP = Path(__file__).resolve().parents[2]
DOCUMENTED = (TOP / "tests" / "manifest" / "documented.yaml").read_text()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("template", NAMES)
def test_every_template_builds_answers_and_tests_itself(run, here: Path, template: str) -> None:
    assert run("create", "box", "--template", template).code == Exit.OK
    ran = run("build", "box", "-o", "json")
    assert ran.code == Exit.OK, ran.err
    result = json.loads(ran.out)
    exact = result["calibration"]["lines"][0]
    assert exact["accuracy"] > 0.9
    with neurovm.load(result["file"]) as model:
        assert (model.name, model.sha256) == ("box", result["sha256"])
        assert model.outputs[0].labels == tuple((here / "box/labels.txt").read_text().split())
        vm = manifest.from_deploy(model.manifest.deploy, "box.nvm")
        assert vm == manifest.read(here / "box").vm
        assert model.approximate == (vm.coding == "rate") == result["approx"]
    own = subprocess.run(
        [sys.executable, "box/test_model.py"],
        env={"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )
    assert own.stdout == "right\n", own.stderr


def test_the_first_template_is_the_documented_manifest(run, here: Path) -> None:
    run("create", "hello-world")
    written = (here / "hello-world" / "neurovm.yaml").read_text()
    assert [line for line in DOCUMENTED.splitlines() if line not in written.splitlines()] == []


def test_a_created_folder_holds_what_its_readme_says(run, here: Path) -> None:
    for template in NAMES:
        run("create", template, "--template", template)
        folder = here / template
        text = (folder / "README.md").read_text()
        assert "@" not in text
        table = re.findall(r"`([\w.]+)`", text.split("| file |")[1])
        assert {path.name for path in folder.iterdir()} == {*table, "README.md"}
        assert (folder / ".neurovm.schema.json").read_bytes() == SCHEMA.read_bytes()


def test_templates_share_the_models_of_the_fixtures() -> None:
    pairs = (
        ("digits", TOP / "tests/fixtures/digits_mlp.tflite"),
        ("plant", TOP / "examples/pump/pump.tflite"),
    )
    for name, model in pairs:
        assert (TEMPLATES / name / "model.tflite").read_bytes() == model.read_bytes()


def test_synthetic_data_say_so() -> None:
    said = " ".join((TEMPLATES / "keyword" / "README.md").read_text().split())
    assert "synthetic tones, not speech" in said
    assert "simulated" in (TEMPLATES / "vibration" / "README.md").read_text()


@pytest.mark.parametrize("name", ["a b", "../x", ".x", "info", "x" * 65, "a/b", ""])
def test_names_are_those_a_topic_can_hold(run, here: Path, name: str) -> None:
    ran = run("create", name)
    assert ran.code == Exit.USAGE
    assert "NAME" in ran.err
    assert list(here.iterdir()) == []


def test_an_existing_folder_is_left_alone(run, here: Path) -> None:
    (here / "box").mkdir()
    ran = run("create", "box")
    assert ran.code == Exit.CANNOT_CREATE
    assert "exists already" in ran.err
    assert [path.name for path in here.iterdir()] == ["box"]
    assert list((here / "box").iterdir()) == []


@pytest.fixture
def box(run, here: Path) -> Path:
    run("create", "box")
    return here / "box"


def edit(folder: Path, old: str, new: str) -> None:
    file = folder / "neurovm.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("what", "size"), [("neurons", "82"), ("synapses", "4,464")], ids=["neurons", "synapses"]
)
def test_a_budget_refuses_a_bigger_model_with_figures(run, box: Path, what: str, size: str) -> None:
    edit(box, f"{what}: 10", f"{what}: 9 #")
    ran = run("build", box)
    assert ran.code == Exit.CONFIG
    assert f"hardware.{what}: found a budget of 9; accepted: {size} or more" in ran.err
    assert "neurovm.yaml:1" in ran.err
    assert not (box / "box.nvm").exists()


def test_what_the_daemon_would_refuse_is_named_in_the_manifest(run, box: Path) -> None:
    with (box / "neurovm.yaml").open("a") as file:
        file.write("inputs:\n  - topic: a/{strm}\n")
    line = (box / "neurovm.yaml").read_text().splitlines().index("  - topic: a/{strm}") + 1
    ran = run("build", box)
    assert ran.code == Exit.CONFIG
    assert f"neurovm.yaml:{line}:5: inputs[0].topic: found {{strm}}; accepted: " in ran.err
    assert not (box / "box.nvm").exists()


def test_rate_is_measured_against_the_exact_network_by_steps(run, box: Path) -> None:
    edit(box, 'encoding: "rate"', 'encoding: "rate"\n  steps: 32')
    result = json.loads(run("build", box, "-o", "json").out)
    lines = {line["steps"]: line for line in result["calibration"]["lines"]}
    assert {None, 1, 32, 128} <= set(lines)
    assert lines[None]["agreement"] == 1
    assert lines[128]["agreement"] > 0.95
    assert lines[128]["gap"] < lines[8]["gap"]
    assert lines[128]["spikes"] > lines[8]["spikes"]
    table = run("build", box).out
    assert "→ 32" in table
    assert "agreement" in table


def test_a_network_without_a_rate_coded_form_is_refused_by_name(run, box: Path) -> None:
    shutil.copy(TOP / "tests/fixtures/digits_cnn.tflite", box / "model.tflite")
    ran = run("build", box)
    assert ran.code == Exit.DATA
    assert "MAX_POOL_2D" in ran.err
    assert "encoding: graded" in ran.err


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("model.tflite", "none.tflite"), Exit.CONFIG, "neurovm.yaml:29:1: source:"),
        (("samples.csv", "none.csv"), Exit.CONFIG, "calibration.samples:"),
        (("samples.csv", "labels.txt"), Exit.DATA, "columns"),
        (("answers.txt", "neurovm.yaml"), Exit.DATA, "whole number"),
        (("labels.txt", "answers.txt"), Exit.DATA, "100 labels"),
        (("version", "versoin"), Exit.CONFIG, "version (did you mean this?)"),
    ],
)
def test_what_is_wrong_is_said(
    run, box: Path, change: tuple[str, str], code: Exit, said: str
) -> None:
    edit(box, *change)
    ran = run("build", box)
    assert ran.code == code
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert not (box / "box.nvm").exists()


def test_what_is_hardly_meant_is_said_at_the_manifest(run, box: Path) -> None:
    file = box / "neurovm.yaml"
    text = file.read_text().replace("128Mi", "1") + "output: {form: {top_k: 999}}\n"
    file.write_text(text)
    ran = run("build", box, "--no-calibration")
    assert ran.code == Exit.OK
    assert f"warning: {file}: output.form.top_k: found 999; the model has 10 outputs" in ran.err
    assert f"warning: {file}: memory: found 1 B; a worker needs some 32 MiB" in ran.err
    assert run("build", box, "--no-calibration", "-q").err == ""


def test_samples_without_end_are_not_read(run, box: Path) -> None:
    with (box / "samples.csv").open("r+b") as file:
        file.truncate(3 << 30)  # nothing of it is on the disk
    ran = run("build", box)
    assert ran.code == Exit.DATA
    assert "samples.csv: 3,221,225,472 bytes of samples; accepted: up to 1,073,741,824" in ran.err


def test_a_folder_without_a_manifest(run, tmp_path: Path) -> None:
    ran = run("build", tmp_path)
    assert ran.code == Exit.CONFIG
    assert "neurovm.yaml" in ran.err


def test_building_again_changes_nothing(run, box: Path) -> None:
    first = run("build", box, "--no-calibration")
    data = (box / "box.nvm").read_bytes()
    assert run("build", box, "--no-calibration").out == first.out
    assert (box / "box.nvm").read_bytes() == data


def test_the_schema_is_json_and_knows_the_documented_keys(run) -> None:
    schema = json.loads(run("schema").out)
    keys = schema["$defs"]["VmManifest"]["properties"]
    fields = {field.name for field in msgspec.structs.fields(manifest.VmManifest)}
    assert set(keys) == fields


@pytest.mark.skipif(
    find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only",
)
def test_build_makes_the_certificate_that_the_manifest_requires(run, here: Path) -> None:
    run("create", "box", "--template", "plant")
    text = (here / "box/neurovm.yaml").read_text()
    (here / "box/neurovm.yaml").write_text(f"{text}require_certificate: true\n")
    ran = run("build", "box", "--no-calibration", "-o", "json")
    assert ran.code == Exit.OK, ran.err
    with neurovm.load(json.loads(ran.out)["file"], require_certificate=True) as model:
        proof = certificate.of(model.manifest, "box")
        assert proof is not None
        assert proof.rows == {"given": 100, "random": 1000, "walk": 500}


def test_an_approximation_has_no_certificate(run, here: Path) -> None:
    run("create", "hello-world")
    path = here / "hello-world/neurovm.yaml"
    path.write_text(f"{path.read_text()}require_certificate: true\n")
    ran = run("build", "hello-world")
    assert ran.code == Exit.CONFIG
    assert "encoding: rate" in ran.err


def test_times_are_those_of_the_model_alone() -> None:
    """Where the machine has other things to do, the table stays as it is."""
    with neurovm.convert_tflite(TOP / "tests/fixtures/digits_mlp.tflite") as model:
        codes = np.zeros((4, 64), np.int8)
        quick = calibration.measure(model, codes, None, None, None)[1]
        waiting = calibration.measure(_Waiting(model), codes, None, None, None)[1]
    assert waiting.us < WAIT_S * 1e6 / 2
    assert (waiting.sops, waiting.spikes) == (quick.sops, quick.spikes)


WAIT_S = 0.05


class _Waiting:
    """A model whose every answer waits for the processor, which others have."""

    def __init__(self, model: neurovm.Model) -> None:
        self._session = model.session()
        self.outputs = model.outputs

    def session(self) -> _Waiting:
        return self

    @property
    def counters(self) -> object:
        return self._session.counters

    def step(self, row: bytes) -> bytes:
        select.select([], [], [], WAIT_S)
        return self._session.step(row)
