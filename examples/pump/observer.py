# SPDX-License-Identifier: Apache-2.0
"""A subscriber that writes down what passes the broker: sensors, results, states."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from examples.pump.children import DemoError
from examples.pump.deployment import NODE, PREFIX, VM, Server
from examples.pump.recording import Decision, Event, Recording
from examples.pump.sensors import NAMES

BASE = f"{PREFIX}/{NODE}"
FILTERS = ("plant/+/sensor/+", f"{BASE}/#")
CONNECT_S = 10.0


def connect(server: Server, role: str) -> Client:
    """A connected MQTT 3.1.1 client whose network loop runs; DemoError when nobody answers."""
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"demo-{role}-{uuid.uuid4().hex[:6]}")
    answered = threading.Event()
    refusal: list[str] = []

    def on_connect(_client: Client, _data: Any, _flags: Any, reason: Any, _props: Any) -> None:
        if reason.is_failure:
            refusal.append(str(reason))
        answered.set()

    client.on_connect = on_connect
    client.max_inflight_messages_set(1000)
    try:
        client.connect(server.host, server.port)
    except OSError as error:
        raise DemoError(f"no MQTT broker at {server}: {error}") from error
    client.loop_start()
    if not answered.wait(CONNECT_S) or refusal:
        client.loop_stop()
        raise DemoError(f"the broker at {server} {refusal[0] if refusal else 'does not answer'}")
    return client


class Observer:
    """Fills `recording`; `clock` gives seconds since the start of the plant.

    Called by the client's network thread. `retained` collects the topics whose retained messages
    the demo should remove from a broker that is not its own.
    """

    def __init__(self, client: Client, recording: Recording, clock: Callable[[], float]) -> None:
        self._recording = recording
        self._clock = clock
        self._pump = {name: index for index, name in enumerate(recording.pumps)}
        self._sensor = {name: index for index, name in enumerate(NAMES)}
        self._fresh: set[str] = set()
        self.retained: set[str] = set()
        client.on_message = self._on_message
        client.subscribe([(topic, 0) for topic in FILTERS])

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            self._note(message.topic, bytes(message.payload), retained=message.retain)
        except (ValueError, KeyError, TypeError, IndexError):
            self._recording.unread += 1

    def _note(self, topic: str, payload: bytes, *, retained: bool) -> None:
        now_s = self._clock()
        levels = topic.split("/")
        if levels[0] == "plant":
            self._note_event(now_s, levels[1], levels[3], json.loads(payload))
        elif levels[-2] == "result":
            self._note_result(now_s, levels[-1], json.loads(payload))
        elif payload and not retained:  # what was retained before is another daemon's
            self.retained.add(topic)
            self._note_state(topic.removeprefix(f"{BASE}/"), payload.decode())

    def _note_event(self, now_s: float, pump: str, sensor: str, reading: dict[str, Any]) -> None:
        self._recording.events.append(
            Event(
                t_s=now_s,
                pump=self._pump[pump],
                sensor=self._sensor[sensor],
                value=float(reading["value"]),
                unit=str(reading["unit"]),
            )
        )

    def _note_result(self, now_s: float, pump: str, result: dict[str, Any]) -> None:
        best, seq = result["top"][0], int(result["seq"])
        sent_s = self._recording.sent_s[self._pump[pump]]
        self._recording.decisions.append(
            Decision(
                t_s=now_s,
                pump=self._pump[pump],
                label=str(best["label"]),
                value=float(best["value"]),
                seq=seq,
                latency_s=now_s - sent_s[seq - 1] if 0 < seq <= len(sent_s) else None,
                sops=int(result["sops"]),
                dense_macs=int(result["dense_macs"]),
                compute_us=float(result["compute_us"]),
            )
        )

    def _note_state(self, topic: str, text: str) -> None:
        if topic == "availability":
            self._recording.daemon_online = text == "online"
        elif topic == f"{VM}/state":
            self._recording.vm_state = _words(text)


def _words(state: str) -> str:
    """A VM's state as words, from plain text or from JSON with `state` and `reason`."""
    try:
        read: Any = json.loads(state)
    except ValueError:
        return state
    if not isinstance(read, dict):
        return str(read)
    return " ".join(str(read[key]) for key in ("state", "reason") if read.get(key))
