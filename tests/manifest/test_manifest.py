# SPDX-License-Identifier: Apache-2.0
"""neurovm.yaml: what is accepted, what every key becomes, and that every refusal says where."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from manifest.conftest import EVERY_KEY
from manifest.mutations import judge, located, mutated

from neurovm import manifest
from neurovm.arithmetic import PROFILES
from neurovm.backends.base import BACKENDS
from neurovm.errors import ConfigError
from neurovmd import config

TOP = Path(__file__).resolve().parents[2]
SCHEMA = TOP / "neurovm" / "neurovm.schema.json"
MUTATIONS = 400


def test_the_documented_manifest_is_accepted_as_it_stands(documented: str) -> None:
    vm = manifest.parse(documented).vm
    assert vm.name == "hello-world"
    assert (vm.runtime.type, vm.runtime.version) == ("neurovm", "1.0.0")
    assert (vm.hardware.neurons, vm.hardware.synapses) == (1000, 10000)
    assert (vm.network.type, vm.coding, vm.steps) == ("spiking", "rate", manifest.DEFAULT_STEPS)
    assert (vm.security.sandbox, vm.security.capabilities) == (True, ["NET_BIND_SERVICE"])


def test_the_daemon_takes_what_the_documented_manifest_becomes(
    documented: str, tmp_path: Path
) -> None:
    settings = manifest.vm_settings(manifest.parse(documented).vm, "hello-world.nvm")
    assert settings["memory"] == 128 * 2**20
    assert settings["cpu"] == 0.5
    (tmp_path / "vm.d").mkdir()
    (tmp_path / "vm.d" / "hello-world.yaml").write_text(json.dumps(settings))
    (tmp_path / "neurovmd.yaml").write_text("vm_dir: vm.d\n")
    (deployment,) = config.load(tmp_path / "neurovmd.yaml", environ={}).deployments
    assert deployment.vm.inputs[0].topic == "{prefix}/{node}/{vm}/in/{stream}"
    assert deployment.vm.memory_bytes == 128 * 2**20


def test_absent_keys_have_the_stated_defaults() -> None:
    vm = manifest.parse('version: "1.0"\nname: x\n').vm
    assert (vm.coding, vm.profile, vm.backend) == ("graded", "xnnpack", "cpu")
    assert (vm.hardware.neurons, vm.resources.memory, vm.inputs) == (None, None, None)
    assert vm.security.sandbox
    assert vm.security.capabilities == []


def test_every_key_survives_the_way_through_a_bundle() -> None:
    vm = manifest.parse(EVERY_KEY).vm
    carried = json.loads(json.dumps(manifest.as_deploy(vm)))
    assert manifest.from_deploy(carried, "x.nvm") == vm


@pytest.mark.parametrize(
    ("old", "new", "place", "key", "found", "accepted"),
    [
        ("neurons: 1000", "neuron: 1000", (10, 3), "hardware.neuron", "'neuron'", "neurons (did"),
        ("neurons: 1000", "neurons: 0", (10, 3), "hardware.neurons", "0", "a whole number, 1"),
        ('"1W"', '"1X"', (12, 3), "hardware.power_limit", "'1X'", "W, mW, kW"),
        ('"1.0"', "1.0", (2, 1), "version", "1.0", '"1.0"'),
        ('"1.0.0"', '"1.9.0"', (7, 3), "runtime.version", "'1.9.0'", "1.0.0 to 1.3.0"),
        ('"1.0.0"', '"one"', (7, 3), "runtime.version", "'one'", "a version such as"),
        ('"rate"', '"rat"', (16, 3), "network.encoding", "'rat'", "graded, bitplane, ttfs, rate"),
        ('"rate"', '"ttfs"\n  planes: 3', (17, 3), "network.planes", "3", "encoding: bitplane"),
        ('"rate"', '"bitplane"\n  planes: 9', (17, 3), "network.planes", "9", "8"),
        ('"rate"', '"graded"\n  steps: 9', (17, 3), "network.steps", "9", "encoding: rate"),
        ("128Mi", "128Mx", (19, 3), "resources.memory", "'128Mx'", "MiB"),
        ('"0.5"', '"1500m"', (20, 3), "resources.cpu", "'1500m'", "1000m"),
        (
            "NET_BIND_SERVICE",
            "NET_BIND",
            (24, 3),
            "security.capabilities",
            "BIND",
            "BIND_SERVICE (",
        ),
        ("neurons: 1000", "neu: 1", (10, 3), "hardware.neu", "'neu'", "neurons (did"),
        (
            '"1W"',
            "-5",
            (12, 3),
            "hardware.power_limit",
            "-5",
            "above 0 with one of W, mW, kW (W where",
        ),
        ('"0.5"', "0", (20, 3), "resources.cpu", "0", "above 0 with m or without"),
        ("synapses: 10000", "synapses: x", (11, 3), "hardware.synapses", "'x'", "or no such key"),
        ("NET_BIND", "NET_BNID", (24, 3), "security.capabilities", "BNID", "NET_BIND_SERVICE (did"),
        ("sandbox: true", "sandbox: 1", (23, 3), "security.sandbox", "1", "true or false"),
        ("hello-world", "a b", (3, 1), "name", "'a b'", "letter or digit"),
        ("hello-world", "info", (3, 1), "name", "'info'", "does not use"),
        ('name: "hello-world"\n', "", (1, 1), "name", "nothing", "letter or digit"),
        ("security:", "securty:", (22, 1), "securty", "'securty'", "security (did"),
        ("profile: xnnpack", "profile: gemmlowp", (29, 1), "profile", "gemmlowp", "xnnpack, tflm"),
        ("backend: cpu", "backend: tpu", (30, 1), "backend", "tpu", "cpu"),
        ('"model.tflite"', "model.h5", (27, 1), "source", "model.h5", ".tflite"),
        ("rows: 64", "rows: 0", (31, 59), "calibration.rows", "0", "1 to"),
        ("inputs:\n", "inputs: 3\nx:\n", (32, 1), "inputs", "3", "list"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    old: str, new: str, place: tuple[int, int], key: str, found: str, accepted: str
) -> None:
    assert old in EVERY_KEY
    with pytest.raises(ConfigError) as caught:
        manifest.parse(EVERY_KEY.replace(old, new, 1))
    error = caught.value
    assert (error.line, error.column, error.key) == (*place, key)
    assert found in error.found
    assert accepted in error.accepted
    assert str(error).startswith(f"neurovm.yaml:{place[0]}:{place[1]}: ")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: &x [1]\nb: *x\n", "anchor"),
        ("a: " + "[" * 40 + "]" * 40 + "\n", "levels"),
        ("a: [" + "1," * 30_000 + "]\n", "values"),
        ("#" * 300_000, "characters"),
        ("a: 1\na: 2\n", "a second time"),
        ("a: [1\n", "syntax error"),
        ("- 1\n", "a list"),
        ("--- {}\n--- {}\n", "second document"),
    ],
)
def test_hostile_yaml_is_bounded(text: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        manifest.parse(text)
    assert found in caught.value.found


def test_damaged_manifests_give_one_located_error_or_a_valid_result() -> None:
    rng = random.Random(20260101)
    kinds = set()
    for _ in range(MUTATIONS):
        data = mutated(rng)
        error = judge(data)
        kinds.add(error is None)
        assert error is None or located(error), (data, error)
    assert kinds == {True, False}  # the damage is neither always nor never fatal


def test_a_file_is_read_by_its_folder_and_names_paths_beside_it(tmp_path: Path) -> None:
    (tmp_path / "neurovm.yaml").write_text('version: "1.0"\nname: x\n')
    found = manifest.read(tmp_path)
    with pytest.raises(ConfigError, match=r"no \.tflite file"):
        found.source()
    (tmp_path / "net.tflite").touch()
    assert found.source() == tmp_path / "net.tflite"
    (tmp_path / "other.tflite").touch()
    with pytest.raises(ConfigError, match=r"net\.tflite, other\.tflite"):
        found.source()


def test_profiles_and_backends_are_those_there_are() -> None:
    properties = json.loads(SCHEMA.read_text())["$defs"]["VmManifest"]["properties"]
    assert set(properties["profile"]["enum"]) == set(PROFILES)
    assert set(properties["backend"]["enum"]) == set(BACKENDS)


def test_the_published_schema_is_what_the_code_gives() -> None:
    ran = subprocess.run(
        [sys.executable, "scripts/manifest_schema.py", "--check"],
        cwd=TOP,
        env={"PYTHONPATH": "."},
        check=False,
    )
    assert ran.returncode == 0, "run: python scripts/manifest_schema.py"


def test_reading_a_manifest_loads_no_numpy() -> None:
    code = (
        "import sys; from neurovm import manifest; manifest.parse(sys.stdin.read());"
        "print('numpy' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], input=EVERY_KEY, cwd=TOP, capture_output=True, text=True
    )
    assert ran.stdout == "False\n", ran.stderr


def test_where_results_go_is_handed_on() -> None:
    shown, driven = {"show": False}, [{"topic": "a"}]
    vm = manifest.VmManifest(version="1.0", name="eye", home_assistant=shown, actuators=driven)
    settings = manifest.vm_settings(vm, "eye.nvm")
    assert (settings["home_assistant"], settings["actuators"]) == (shown, driven)


def test_a_spiking_network_is_heard_as_events_where_nothing_else_is_said() -> None:
    vm = manifest.VmManifest(version="1.0", name="eye", time={"source": "message"})
    settings = manifest.vm_settings(vm, "eye.nvm", spiking=True)
    assert settings["inputs"][0]["payload"] == {"format": "aer"}
    assert settings["time"] == {"source": "message"}
    plain = manifest.vm_settings(manifest.VmManifest(version="1.0", name="eye"), "eye.nvm")
    assert plain["inputs"][0]["payload"] == {"format": "json", "field": ""}
    assert "time" not in plain
