# SPDX-License-Identifier: Apache-2.0
"""Home Assistant's rules for a device of MQTT discovery, written from its documentation.

`judge` says what is wrong with one message. Where a Python with the package `homeassistant` is
named by NEUROVM_HOMEASSISTANT, its own schemas judge too.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

TOPIC = re.compile(r"[^+#]+/device/(?:[a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config\Z")
SHARED = {"availability", "availability_mode", "state_topic"}
HEAD = {"device", "origin", "components", *SHARED}
BOTH = {"platform", "unique_id", "name", "state_topic", "value_template", "device_class"}
BOTH |= {"entity_category", "expire_after", "availability"}
SENSOR = BOTH | {"unit_of_measurement", "state_class", "options"}
STATE_CLASSES = {"measurement", "total", "total_increasing"}
UNITS = {"power": {"W", "kW"}, "energy": {"Wh", "kWh"}, "temperature": {"°C", "°F", "K"}}

ITS_OWN = """
import json, sys
from homeassistant.components.mqtt import binary_sensor, sensor
from homeassistant.components.mqtt.discovery import TOPIC_MATCHER
from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA, SHARED_OPTIONS
from homeassistant.helpers import frame
# It would tell the running instance of templates made outside of one; there is none here.
frame.report_usage = lambda *_, **__: None
judges = {"sensor": sensor.DISCOVERY_SCHEMA, "binary_sensor": binary_sensor.DISCOVERY_SCHEMA}
for topic, said in json.load(sys.stdin):
    assert TOPIC_MATCHER.fullmatch(topic.split("/", 1)[1]), topic
    DEVICE_DISCOVERY_SCHEMA(said)
    for component in said["components"].values():
        judge = judges[component.pop("platform")]
        if not component:
            continue
        for key in SHARED_OPTIONS:
            if key in said and key not in component:
                component[key] = said[key]
        judge({**component, "device": said["device"], "origin": said["origin"]})
"""


def judge(topic: str, said: dict[str, Any]) -> list[str]:
    """What is wrong with one message; empty where nothing is."""
    wrong = [] if TOPIC.match(topic) else [f"topic {topic}"]
    wrong += [f"unknown {key}" for key in set(said) - HEAD]
    if not said["device"].get("identifiers") or not said["origin"].get("name"):
        wrong.append("a device without identifiers, or no origin")
    ids = [each["unique_id"] for each in said["components"].values() if len(each) > 1]
    if len(ids) != len(set(ids)):
        wrong.append("a unique_id twice")
    for key, component in said["components"].items():
        wrong += [f"{key}: {fault}" for fault in _component(key, component, said)]
    return wrong


def _component(key: str, said: dict[str, Any], head: dict[str, Any]) -> list[str]:
    if said["platform"] not in ("sensor", "binary_sensor"):
        return [f"platform {said['platform']}"]
    if len(said) == 1:  # taken away
        return []
    allowed = SENSOR if said["platform"] == "sensor" else BOTH
    wrong = [f"unknown {name}" for name in set(said) - allowed]
    wrong += ["a space in its key"] if " " in key else []
    topic = said.get("state_topic", head.get("state_topic", ""))
    wrong += [] if topic and not set("+#") & set(topic) else [f"state_topic {topic!r}"]
    wrong += [] if said.get("state_class", "total") in STATE_CLASSES else ["state_class"]
    kind, unit = said.get("device_class"), said.get("unit_of_measurement")
    if kind == "enum" and (not said.get("options") or "state_class" in said or unit):
        wrong.append("enum without options, or with a state_class or unit")
    if "options" in said and kind != "enum":
        wrong.append("options without device_class enum")
    if kind in UNITS and unit not in UNITS[kind]:
        wrong.append(f"{kind} in {unit}")
    return wrong


def judge_by_its_own(python: str, messages: list[tuple[str, dict[str, Any]]]) -> None:
    """Home Assistant's own schemas; CalledProcessError says what they refuse."""
    subprocess.run(
        [python, "-c", ITS_OWN], input=json.dumps(messages), text=True, check=True, timeout=120
    )
