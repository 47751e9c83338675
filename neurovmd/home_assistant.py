# SPDX-License-Identifier: Apache-2.0
"""What Home Assistant is told: a node and each of its VMs as a device of MQTT discovery.

One retained message a device, `<prefix>/device/…/config`, whose components share where they hear
whether they are available. Identifiers are made of names, so they stay from start to start.
Source: Home Assistant's documentation of its MQTT integration (device discovery payload).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from neurovm.version import __version__
from neurovmd import topics
from neurovmd.config import Deployment, Settings
from neurovmd.field_path import in_template
from neurovmd.outlets import Entity

ORIGIN = {"name": "neurovmd", "sw_version": __version__}
Components = dict[str, dict[str, Any]]

_TROUBLED = "value_json.state == 'failed' or value_json.reason"
_DIAGNOSTIC = {"entity_category": "diagnostic"}


@dataclass(frozen=True, slots=True)
class Device:
    """One discovery message: where it is published, and what it says but for its components."""

    topic: str
    head: dict[str, Any]
    components: Components

    def payload(self, gone: Components | None = None) -> dict[str, Any]:
        """The message; `gone` are components that were there before and are to be taken away."""
        left = {key: {"platform": was["platform"]} for key, was in (gone or {}).items()}
        return {**self.head, "components": {**self.components, **left}}


def node(settings: Settings) -> Device:
    """The daemon itself: what the box draws, and whether its configuration is in service."""
    base, name = _base(settings), settings.node
    components = {
        "power": _figure(f"{base}/stats", "watts", "Power", unit="W", device_class="power"),
        "problem": {
            "platform": "binary_sensor",
            "name": "Configuration",
            "device_class": "problem",
            "state_topic": f"{base}/info",
            "value_template": "{{ 'OFF' if value_json.config_state == 'current' else 'ON' }}",
            **_DIAGNOSTIC,
        },
    }
    about = {"name": name, "model": "neurovmd"}
    return _device(settings, "", about, [f"{base}/availability"], components)


def vm(
    settings: Settings, deployment: Deployment, entities: Sequence[Entity], streams: Sequence[str]
) -> Device:
    """One VM: its entities for each stream, and its figures."""
    base = f"{_base(settings)}/{deployment.name}"
    stats = f"{base}/stats"
    components: Components = {}
    for stream in streams:
        for entity in entities:
            # It splits keys at spaces when a device is taken back.
            key = f"{quote(stream, safe='')}/{quote(entity.name, safe='')}"
            components[key] = _entity(settings, deployment, stream, entity)
    total = {"state_class": "total_increasing"}
    components["/rate"] = _figure(stats, "inferences_per_s", "Inferences", unit="1/s")
    components["/dropped"] = _figure(stats, "dropped", "Dropped messages", **total)
    components["/power"] = _figure(stats, "watts", "Power", unit="W", device_class="power")
    energy = {"unit": "Wh", "device_class": "energy", **total}
    components["/energy"] = _figure(stats, "energy_wh", "Energy", **energy)
    components["/problem"] = {
        "platform": "binary_sensor",
        "name": "Problem",
        "device_class": "problem",
        "state_topic": f"{base}/state",
        "value_template": "{{ 'ON' if " + _TROUBLED + " else 'OFF' }}",
        # It is heard of also while the VM is not there.
        "availability": [{"topic": f"{_base(settings)}/availability"}],
        **_DIAGNOSTIC,
    }
    about = {
        "name": f"{settings.node} {deployment.name}",
        "model": deployment.model.name,
        "via_device": _id(settings.node),
    }
    available = [f"{_base(settings)}/availability", f"{base}/availability"]
    return _device(settings, deployment.name, about, available, components)


def _entity(
    settings: Settings, deployment: Deployment, stream: str, entity: Entity
) -> dict[str, Any]:
    shown = deployment.vm.home_assistant
    names = {**settings.names(deployment.name), "stream": stream}
    found = in_template(entity.value)
    if entity.kind == "binary_sensor":
        found = f"'ON' if {_test(entity, found)} else 'OFF'"
    label = entity.name if stream == topics.DEFAULT_STREAM else f"{stream} {entity.name}"
    said: dict[str, Any] = {
        "platform": entity.kind,
        "name": label,
        "state_topic": topics.fill(deployment.vm.output.topic, names),
        "value_template": f"{{{{ {found} }}}}",
        "unit_of_measurement": entity.unit,
        "device_class": entity.device_class,
        "state_class": entity.state_class,
        "options": entity.options,
        "expire_after": shown.expire_after_s,
    }
    return {key: value for key, value in said.items() if value is not None}


def _test(entity: Entity, found: str) -> str:
    """Whether a binary sensor is on, as an expression of Jinja."""
    if entity.above is not None:
        return f"({found} | float({entity.above!r})) > {entity.above!r}"
    if entity.holds is not None:
        # Written as JSON, which Jinja reads alike but for what ASCII has not.
        name = msgspec.json.encode(entity.holds).decode()
        return f"{name} in ({found} or [])"
    return f"({found})"


def _figure(
    topic: str,
    field: str,
    name: str,
    *,
    unit: str | None = None,
    device_class: str | None = None,
    state_class: str = "measurement",
) -> dict[str, Any]:
    """A diagnostic sensor of the node's or a VM's own figures."""
    said = {
        "platform": "sensor",
        "name": name,
        "state_topic": topic,
        "value_template": f"{{{{ value_json.{field} }}}}",
        "unit_of_measurement": unit,
        "device_class": device_class,
        "state_class": state_class,
        **_DIAGNOSTIC,
    }
    return {key: value for key, value in said.items() if value is not None}


def _device(
    settings: Settings,
    name: str,
    about: dict[str, Any],
    available: Sequence[str],
    components: Components,
) -> Device:
    identity = _id(settings.node, *([name] if name else []))
    for key, component in components.items():
        component["unique_id"] = f"{identity}/{key.lstrip('/')}" if name else f"{identity}//{key}"
    head = {
        "device": {
            "identifiers": [identity],
            "manufacturer": "neurovm",
            "sw_version": __version__,
            **about,
        },
        "origin": ORIGIN,
        "availability": [{"topic": each} for each in available],
        "availability_mode": "all",
    }
    return Device(topic(settings, name), head, components)


def topic(settings: Settings, name: str = "") -> str:
    """Where the device of a VM (empty: of the node) is published."""
    prefix = settings.config.home_assistant.discovery_prefix
    levels = [f"neurovm-{_level(settings.node)}", *([_level(name)] if name else [])]
    return f"{prefix}/device/{'/'.join(levels)}/config"


def _base(settings: Settings) -> str:
    return f"{settings.config.prefix}/{settings.node}"


def _id(*names: str) -> str:
    return "/".join(("neurovm", *names))


def _level(name: str) -> str:
    """A name as a level of a discovery topic, which may hold no dot; different ones stay so."""
    return name.replace("_", "__").replace(".", "_d")
