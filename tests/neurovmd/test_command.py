# SPDX-License-Identifier: Apache-2.0
"""`neurovmd` as a command: check, config, help, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from neurovm import cpus
from neurovmd.__main__ import main

VM = """\
model: digits.nvm
inputs:
  - topic: plant/{stream}/sensor/{element}
    to: {tensor: 0}
"""


@pytest.fixture
def folder(tmp_path: Path, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "vm.d").mkdir()
    (tmp_path / "vm.d/digits.yaml").write_text(VM)
    (tmp_path / "vm.d/digits.nvm").write_bytes(bundles["digits_mlp"].read_bytes())
    (tmp_path / "neurovmd.yaml").write_text("node: box\nvm_dir: vm.d\n")
    monkeypatch.setenv("NEUROVMD__LOG_LEVEL", "debug")
    return tmp_path


def test_check_is_quiet_about_a_right_configuration(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(folder / "neurovmd.yaml"), "check"]) == 0
    assert "VMs: digits" in capsys.readouterr().out
    assert main(["check", "--quiet", "--config", str(folder / "neurovmd.yaml")]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("file", "text", "key", "found"),
    [
        ("neurovmd.yaml", "mqtt: {servr: x}\n", "mqtt.servr", "servr"),
        ("vm.d/digits.yaml", VM.replace("topic", "topik"), "inputs[0].topik", "topik"),
        ("vm.d/digits.yaml", VM.replace("digits.nvm", "none.nvm"), "model", "none.nvm"),
        ("vm.d/digits.yaml", VM.replace("tensor: 0", "tensor: 1"), "inputs[0].to.tensor", "1"),
        ("vm.d/digits.nvm", "junk", "model", "digits.nvm"),
        ("neurovmd.yaml", "vm_dir: vm.d\nmqtt: {password_file: x}", "mqtt.password_file", "x"),
    ],
)
def test_check_names_what_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, key: str, found: str
) -> None:
    (folder / file).write_text(text)
    arguments = ["--config", str(folder / "neurovmd.yaml"), "check"]
    assert main(arguments) == 78
    assert found in capsys.readouterr().err
    assert main([*arguments, "--json"]) == 78
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    (error,) = report["errors"]
    assert error["key"] == key
    assert found in error["found"]
    assert error["accepted"]


def test_no_vm_is_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "vm.d/digits.yaml").unlink()
    arguments = ["--config", str(folder / "neurovmd.yaml"), "check"]
    assert main(arguments) == 0
    assert "no VM is configured" in capsys.readouterr().out
    assert main([*arguments, "--warnings-as-errors"]) == 1


def test_running_with_a_wrong_configuration_ends_with_78(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "vm.d/digits.yaml").write_text(VM.replace("{tensor: 0}", "{tensr: 0}"))
    assert main(["--config", str(folder / "neurovmd.yaml")]) == 78
    said = capsys.readouterr().err
    assert "digits.yaml:4:10: inputs[0].to.tensr: found the unknown key 'tensr'" in said
    assert "did you mean" in said


def test_config_shows_what_is_in_effect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(folder / "neurovmd.yaml"), "config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["node"] == "box"
    assert shown["log_level"] == "debug"
    assert shown["mqtt"]["keepalive_s"] == 60
    assert shown["vms"]["digits"]["max_streams"] == 64


def test_what_is_hardly_meant_is_warned_of(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "vm.d/digits.yaml").write_text(
        f"{VM}memory: '1'\nthreads: 64\noutput: {{form: {{top_k: 11}}}}\n"
    )
    monkeypatch.setattr(cpus, "usable", lambda: 3)
    assert main(["check", "-o", "json", "--config", str(folder / "neurovmd.yaml")]) == 0
    said = json.loads(capsys.readouterr().out)["warnings"]
    file = folder / "vm.d/digits.yaml"
    assert said == [
        f"{file}: output.form.top_k: found 11; the model has 10 outputs",
        f"{file}: memory: found 1 B; a worker needs some 32 MiB to start",
        f"{file}: threads: found 64; here no more than 3 are used",
    ]


def test_programs_get_json_or_yaml(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        assert main([*arguments, "--config", str(folder / "neurovmd.yaml")]) == 0
        return capsys.readouterr().out

    assert json.loads(said("check", "-o", "json"))["vms"] == ["digits"]
    assert said("check", "-o", "json") == said("check", "--json")
    assert yaml.safe_load(said("check", "-o", "yaml"))["ok"] is True
    shown = json.loads(said("config", "-o", "json"))
    assert shown == yaml.safe_load(said("config")) == yaml.safe_load(said("config", "-o", "yaml"))
    rows = {row["key"]: row for row in json.loads(said("config", "show", "--diff", "-o", "json"))}
    assert (rows["log_level"]["value"], rows["log_level"]["default"]) == ("debug", "info")
    assert rows["node"]["value"] == "box"
    assert rows["node"]["origin"].startswith(str(folder / "neurovmd.yaml"))
    assert "mqtt.keepalive_s" not in rows
    every = json.loads(said("config", "show", "--origin", "-o", "json"))
    assert {"key": "mqtt.keepalive_s", "value": 60, "default": 60, "origin": "default"} in every


def test_help_teaches_and_wrong_usage_is_64(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in ((["--help"], 0), (["--version"], 0), (["chek"], 64), (["--confg"], 64)):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == code
    said = capsys.readouterr()
    for word in (
        "vm_dir",
        "NEUROVMD__MQTT__SERVER",
        "examples:",
        "plant/{stream}/sensor/{element}",
    ):
        assert word in said.out
    assert "neurovmd: " in said.err


def test_another_system_gets_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["check"]) == 69
    assert "found darwin; the daemon runs on Linux only" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["config"], ["config", "show", "--origin"], ["check"]])
def test_output_that_cannot_be_written_is_one_line(folder: Path, command: list[str]) -> None:
    arguments = [sys.executable, "-m", "neurovmd", "--config", folder / "neurovmd.yaml", *command]
    for target, said in (("/dev/full", 1), ("closed pipe", 0)):
        if target == "closed pipe":
            read_end, write_end = os.pipe()
            os.close(read_end)
        else:
            write_end = os.open(target, os.O_WRONLY)
        done = subprocess.run(arguments, stdout=write_end, stderr=subprocess.PIPE, check=False)
        os.close(write_end)
        assert (done.returncode, done.stderr.count(b"\n")) == (74, said), done.stderr.decode()
