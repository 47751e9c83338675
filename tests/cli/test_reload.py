# SPDX-License-Identifier: Apache-2.0
"""`neurovm reload`: what it says of every VM, what is refused, and when nobody listens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import neurovm
from benchmarks.rig import ROOT, Daemon, free_port
from neurovm.cli.exits import Exit

VM = "model: {model}\ninputs: [{{topic: {name}, payload: {{field: ''}}}}]\n"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """Two VMs of a service; the broker is away."""
    model = tmp_path / "digits.nvm"
    with neurovm.convert_tflite(ROOT / "tests/fixtures/digits_mlp.tflite") as converted:
        converted.save(model)
    server = f'node: box\nmqtt: {{server: "mqtt://127.0.0.1:{free_port()}"}}\n'
    vms = {name: VM.format(model=model, name=name) for name in ("a", "b")}
    one = Daemon(tmp_path / "d", server, **vms)
    one.start()
    monkeypatch.setenv("NEUROVM_SOCKET", str(one.folder / "neurovmd.sock"))
    yield one
    one.stop()


def test_it_says_what_became_of_every_vm(run, service: Daemon) -> None:
    folder = service.folder / "vm.d"
    nothing = run("reload")
    assert (nothing.code, nothing.out) == (Exit.OK, "no VM has changed; untouched: a, b\n")
    text = (folder / "a.yaml").read_text()
    (folder / "a.yaml").write_text(text + "max_streams: 3\n")
    (folder / "c.yaml").write_text(text.replace("topic: a", "topic: c"))
    said = run("reload", "-o", "json")
    assert said.code == Exit.OK, said.err
    found = json.loads(said.out)
    assert (found["changed"], found["added"]) == (["a"], ["c"])
    assert (found["removed"], found["untouched"], found["refused"]) == ([], ["b"], "")
    assert found["hash"] == service.status()["config"]["hash"]
    (folder / "b.yaml").unlink()
    assert run("reload").out == "removed: b; untouched: a, c\n"
    assert run("reload", "-q").out == ""


def test_what_is_refused_changes_nothing(run, service: Daemon) -> None:
    pid = service.vm("a")["pid"]
    (service.folder / "vm.d/a.yaml").write_text("modle: 3\n")
    for args in ((), ("-q",), ("-o", "json")):
        ran = run("reload", *args)
        assert ran.code == Exit.CONFIG
        assert "a.yaml:1:1" in ran.err + ran.out
    assert service.vm("a")["pid"] == pid
    assert service.status()["config"]["changes"] is None


def test_nobody_to_ask(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROVM_SOCKET", str(tmp_path / "none.sock"))
    ran = run("reload")
    assert ran.code == Exit.UNAVAILABLE
    assert "no daemon listens here" in ran.err
    assert ran.err.count("\n") == 1
