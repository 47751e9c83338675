# SPDX-License-Identifier: Apache-2.0
"""A whole Home Assistant beside the daemon: what it makes of what it is told.

Where NEUROVM_HOMEASSISTANT names a Python with the packages `homeassistant` and `paho-mqtt`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from one_vm import VM, Start, connected

from benchmarks.rig import Client, Mosquitto, wait_for

PYTHON = os.environ.get("NEUROVM_HOMEASSISTANT", "")
START_S = 180.0
SCORES = VM.replace("form: {values: codes}", "retain: true, form: {top_k: 1}")
FIGURES = {"rate", "dropped", "power", "energy", "problem"}


def entry(port: int) -> dict[str, Any]:
    """Its MQTT integration, set up as a user does it by hand."""
    at = "2025-01-01T00:00:00+00:00"
    one = {
        "created_at": at,
        "modified_at": at,
        "data": {"broker": "127.0.0.1", "port": port, "discovery": True},
        "disabled_by": None,
        "discovery_keys": {},
        "domain": "mqtt",
        "entry_id": "01JTESTMQTT0000000000000000",
        "minor_version": 2,
        "options": {},
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "source": "user",
        "subentries": [],
        "title": "broker",
        "unique_id": None,
        "version": 1,
    }
    data = {"entries": [one]}
    return {"version": 1, "minor_version": 5, "key": "core.config_entries", "data": data}


class Hass:
    """One run of it with a folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self._storage = folder / ".storage"
        self._storage.mkdir(parents=True)
        self.log = folder / "home-assistant.log"
        (folder / "configuration.yaml").write_text("homeassistant: {name: test}\n")
        (self._storage / "core.config_entries").write_text(json.dumps(entry(port)))
        self._out = (folder / "out").open("wb")
        program = [PYTHON, "-m", "homeassistant", "-c", str(folder)]
        self.child = subprocess.Popen(program, stdout=self._out, stderr=self._out)

    def entities(self) -> dict[str, str]:
        """Entity ids by unique id, of ours."""
        found = self._read("core.entity_registry").get("entities", [])
        ours = [each for each in found if str(each["unique_id"]).startswith("neurovm/")]
        return {each["unique_id"]: each["entity_id"] for each in ours}

    def stop(self) -> dict[str, str]:
        """End it; the last states by entity id."""
        self.child.terminate()
        self.child.wait(60.0)
        self._out.close()
        states = self._read("core.restore_state")
        return {each["state"]["entity_id"]: each["state"]["state"] for each in states}

    def _read(self, name: str) -> Any:
        path = self._storage / name
        with contextlib.suppress(FileNotFoundError, ValueError):
            return json.loads(path.read_text())["data"]
        return {}


@pytest.fixture
def hass(tmp_path: Path, broker: Mosquitto) -> Iterator[Hass]:
    if not PYTHON:
        pytest.skip("NEUROVM_HOMEASSISTANT names no Python with homeassistant")
    one = Hass(tmp_path / "hass", broker.port)
    yield one
    if one.child.poll() is None:
        one.child.kill()
        one.child.wait()


def test_it_shows_what_a_vm_finds_and_forgets_what_went(
    broker: Mosquitto, start: Start, hass: Hass
) -> None:
    daemon = start(
        broker.port, main="home_assistant: {enabled: true, stats_s: 1}\n", one=SCORES, two=SCORES
    )
    connected(daemon, "one")
    connected(daemon, "two")
    client = Client(broker.port)
    client.subscribe("#")
    client.publish("plant/p/sensor/5", '{"value": 0.5}')
    result = client.wait("neurovm/box/one/result/p", bool)

    def ids(vm: str) -> set[str]:
        return {f"neurovm/box/{vm}/{name}" for name in FIGURES | {"p/class", "p/score"}}

    node = {"neurovm/box//power", "neurovm/box//problem"}
    wait_for(lambda: set(hass.entities()) == ids("one") | ids("two") | node, "entities", START_S)
    client.wait("homeassistant/status", lambda said: said == b"online", START_S)
    (daemon.folder / "vm.d/two.yaml").unlink()
    assert daemon.child is not None
    daemon.child.send_signal(signal.SIGHUP)
    wait_for(lambda: set(hass.entities()) == ids("one") | node, "two is forgotten", START_S)
    known = hass.entities()
    client.messages.clear()
    client.wait("neurovm/box/one/stats", bool)
    states = hass.stop()
    best = result["top"][0]
    assert states[known["neurovm/box/one/p/class"]] == str(best["index"])
    assert float(states[known["neurovm/box/one/p/score"]]) == pytest.approx(best["value"])
    assert states[known["neurovm/box/one/problem"]] == "off"
    assert float(states[known["neurovm/box/one/energy"]]) > 0
    log = hass.log.read_text()
    assert not [line for line in log.splitlines() if "mqtt" in line and " INFO " not in line]
    client.close()
