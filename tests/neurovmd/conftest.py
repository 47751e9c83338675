# SPDX-License-Identifier: Apache-2.0
"""Models and a real broker for the daemon's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from one_vm import MODEL, VM, Start
from scripted_broker import Make, Scripted

import neurovm
from benchmarks.rig import ROOT, Client, Daemon, Mosquitto, find_mosquitto

FIXTURES = ROOT / "tests/fixtures"


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Converted fixtures by name: int8, uint8 and float32 at the edges."""
    folder = tmp_path_factory.mktemp("bundles")
    paths = {}
    for name in ("digits_mlp", "digits_resnet", "digits_dscnn"):
        with neurovm.convert_tflite(FIXTURES / f"{name}.tflite") as model:
            paths[name] = model.save(folder / f"{name}.nvm")
    return paths


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running Mosquitto with persistent sessions."""
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (`make test` installs it)")
    server = Mosquitto(tmp_path / "broker", autosave=False)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def scripted() -> Iterator[Make]:
    made: list[Scripted] = []

    def make(*scripts: bytes) -> Scripted:
        made.append(Scripted(*scripts))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def start(tmp_path: Path, bundles: dict[str, Path]) -> Iterator[Start]:
    """Starts daemons that are ended with the test; VMs run the converted model."""
    started: list[Daemon] = []

    def start_one(port: int, *, main: str = "", run: bool = True, **vms: str) -> Daemon:
        text = VM.replace(str(MODEL), str(bundles["digits_mlp"]))
        folder = tmp_path / f"daemon{len(started)}"
        server = f'node: box\nmqtt: {{server: "mqtt://127.0.0.1:{port}"}}\n'
        daemon = Daemon(folder, server + main, **(vms or {"digits": text}))
        started.append(daemon)
        if run:
            daemon.start()
        return daemon

    yield start_one
    for daemon in started:
        daemon.stop()


@pytest.fixture
def client(broker: Mosquitto) -> Iterator[Client]:
    one = Client(broker.port)
    one.subscribe("neurovm/#")
    yield one
    one.close()
