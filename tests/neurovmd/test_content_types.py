# SPDX-License-Identifier: Apache-2.0
"""Content types of MQTT 5: other formats are refused, other words say nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from one_vm import RESULT, Start, connected
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import neurovm
from benchmarks.rig import Client, Mosquitto, wait_for
from neurovmd.binding import inputs_of, streams_of
from neurovmd.content_types import contradicts
from neurovmd.mailbox import Message
from neurovmd.payload import Cbor, ImageFormat, Json, Pcm, Raw, Senml, SparkplugB, Text
from neurovmd.schema import Vm
from neurovmd.shared import DropReason, SharedBlock


@pytest.mark.parametrize(
    ("payload", "fit", "other"),
    [
        (Json(), ["application/json", "application/json; charset=utf-8", "Application/JSON",
                  "application/vnd.x+json", "application/senml+json", "text/json"],
         ["application/cbor", "application/vnd.x+cbor", "image/png", "audio/wav"]),
        (Cbor(), ["application/cbor", "application/vnd.x+cbor"], ["application/json", "image/png"]),
        (Senml(), ["application/senml+json", "application/senml+cbor", "application/cbor"],
         ["image/jpeg", "audio/l16"]),
        (ImageFormat(), ["image/jpeg", "image/png"], ["application/json", "audio/wav"]),
        (Pcm(16000), ["audio/L16;rate=16000", "audio/wav"], ["image/png", "application/json"]),
        (Text(features=4), ["application/json"], ["application/cbor"]),
        (Raw(), [], ["application/json", "audio/wav"]),
        (SparkplugB(), [], ["application/json", "application/senml+cbor"]),
    ],
)  # fmt: skip
def test_what_fits_and_what_contradicts(payload: Any, fit: list[str], other: list[str]) -> None:
    for content_type in (*fit, "", "text/plain", "application/octet-stream", "x", "/", ";;", "+"):
        assert not contradicts(content_type, payload)
    for content_type in other:
        assert contradicts(content_type, payload)


def test_a_contradiction_is_counted(bundles: dict[str, Path]) -> None:
    entries = [
        {"topic": "a", "payload": {"format": name, "field": ""}} for name in ("json", "cbor")
    ]
    block = SharedBlock(2)
    for entry, (fits, other) in zip(entries, (("json", "cbor"), ("cbor", "json")), strict=True):
        vm = msgspec.convert({"model": "x.nvm", "inputs": [entry]}, Vm)
        slot = block.slot(0 if fits == "json" else 1)
        with neurovm.load(bundles["digits_mlp"]) as model:
            inputs = inputs_of(vm, {}, model)
            table = streams_of("x", vm, model, inputs, str, str, slot)
            values = msgspec.json.encode([0.5] * 64) if fits == "json" else b"\x98\x40" + 64 * b"\1"
            for content_type in ("", f"application/{fits}", "text/plain"):
                table.answers(Message("a", values, None, content_type))
            assert sum(slot.dropped) == 0
            table.answers(Message("a", values, None, f"application/{other}"))
            assert slot.dropped[DropReason.PAYLOAD] == 1


def test_through_a_broker(broker: Mosquitto, client: Client, start: Start) -> None:
    daemon = start(broker.port)
    connected(daemon)
    sender = Client(broker.port, mqtt5=True)

    def send(content_type: str) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
        properties.ContentType = content_type
        topic = "plant/p/sensor/3"
        said = sender.paho.publish(topic, b'{"value": 1}', 1, properties=properties)
        said.wait_for_publish(20.0)

    send("application/cbor")
    wait_for(lambda: daemon.vm("digits")["dropped"]["payload"] == 1, "the refusal")
    send("application/json")
    client.wait(RESULT, lambda found: found["seq"] == 1)
    assert daemon.vm("digits")["dropped"]["payload"] == 1
    sender.close()
