# SPDX-License-Identifier: Apache-2.0
"""Keeping Home Assistant's picture right: what is published, again, anew, and taken back.

Devices are published when they change and when Home Assistant says that it has started; the states
of what they show follow. What was published stands in a file of the state folder, so that a VM that
went while the daemon was away is taken back as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from neurovmd import home_assistant, log, stats
from neurovmd.config import Deployment, Settings
from neurovmd.home_assistant import Components, Device
from neurovmd.power import PowerState
from neurovmd.reconnect import drawn
from neurovmd.vm import Vm

NAME = "home_assistant.json"
# Several changes soon after one another are one message.
SETTLE_S = 0.5
# How long after Home Assistant says that it is online it is told everything: not all nodes at once.
WELCOME_S = (1.0, 5.0)
NEVER = float("inf")

Publish = Callable[[str, bytes], object]


class _Kept(msgspec.Struct):
    """What the file holds: by topic the platform of each component, by VM the streams shown."""

    devices: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    streams: dict[str, list[str]] = msgspec.field(default_factory=dict)


class Discovery:
    """Owned by the announcer, which calls `tick` in every round, `up` when connected and `heard`
    with what it subscribed to. `publish` sends a retained message; `states` publishes again what
    the daemon says of itself.
    """

    def __init__(
        self,
        settings: Settings,
        vms: Callable[[], list[Vm]],
        power: Callable[[], PowerState | None],
        publish: Publish,
        states: Callable[[], None],
        *,
        draw: Callable[[float, float], float] = drawn,
    ) -> None:
        self._settings, self._vms, self._power = settings, vms, power
        self._publish, self._states, self._draw = publish, states, draw
        self._file = Path(settings.config.state_dir) / NAME
        self._kept = self._read()
        self._said: dict[str, bytes] = {}
        self._seen: tuple[object, ...] = ()
        self._meter = stats.Meter()
        self._told: dict[str, bytes] = {}
        self._up = False
        self._change_at = self._welcome_at = NEVER
        self._stats_at = 0.0

    @property
    def _wanted(self) -> bool:
        return self._settings.config.home_assistant.enabled

    @property
    def filters(self) -> dict[str, int]:
        """What is to be subscribed."""
        prefix = self._settings.config.home_assistant.discovery_prefix
        return {f"{prefix}/status": 1} if self._wanted else {}

    def up(self) -> None:
        """Connected: what is there is said anew."""
        self._up = True
        self._said.clear()
        self._told.clear()
        self._change_at = self._stats_at = 0.0

    def down(self) -> None:
        """Nothing can be said."""
        self._up = False

    def follow(self, settings: Settings) -> None:
        """Another configuration is in service."""
        self._settings = settings
        self._change_at = 0.0

    def heard(self, payload: bytes, now: float) -> None:
        """What Home Assistant says of itself."""
        if payload == b"online" and self._wanted:
            self._welcome_at = min(self._welcome_at, now + self._draw(*WELCOME_S))

    def tick(self, now: float) -> float:
        """Do what is due; returns when to be called next (CLOCK_MONOTONIC seconds)."""
        if not self._up or not (self._wanted or self._kept.devices):
            return NEVER
        seen = tuple((vm.name, vm.face, len(vm.streams)) for vm in self._vms())
        if seen != self._seen:
            self._seen = seen
            self._change_at = min(self._change_at, now + SETTLE_S)
        if now >= self._welcome_at:
            self._welcome_at = NEVER
            self._said.clear()
            self._say()
            self._states()
            self._told.clear()
            self._stats_at = now
        if now >= self._change_at:
            self._change_at = NEVER
            self._say()
        if self._wanted and now >= self._stats_at:
            self._stats_at = now + self._settings.config.home_assistant.stats_s
            self._tell_stats(now)
        return min(self._change_at, self._welcome_at, self._stats_at if self._wanted else NEVER)

    def _say(self) -> None:
        """Publish what changed, take back what is gone."""
        devices = {device.topic: device for device in self._devices()} if self._wanted else {}
        kept = {*devices, *self._pending()}
        for topic in [name for name in self._kept.devices if name not in kept]:
            self._publish(topic, b"")
            self._said.pop(topic, None)
            del self._kept.devices[topic]
        for device in devices.values():
            self._say_device(device)
        if not devices:
            self._kept.streams.clear()
        self._write()

    def _say_device(self, device: Device) -> None:
        payload = msgspec.json.encode(device.payload())
        if self._said.get(device.topic) == payload:
            return
        known = self._kept.devices.get(device.topic, {})
        gone: Components = {
            key: {"platform": platform}
            for key, platform in known.items()
            if key not in device.components
        }
        if gone:  # a component is taken away by its platform alone, then left out
            self._publish(device.topic, msgspec.json.encode(device.payload(gone)))
        self._publish(device.topic, payload)
        self._said[device.topic] = payload
        self._kept.devices[device.topic] = {
            key: component["platform"] for key, component in device.components.items()
        }

    def _devices(self) -> list[Device]:
        running = {vm.name: vm for vm in self._vms()}
        found = [home_assistant.node(self._settings)]
        for deployment in self._shown():
            vm = running.get(deployment.name)
            if vm is None or _is_pending(deployment, vm):
                continue
            shown = deployment.vm.home_assistant.entities
            entities = shown if shown is not None else vm.face.entities if vm.face else []
            streams = self._streams(deployment, vm)
            found.append(home_assistant.vm(self._settings, deployment, entities, streams))
        for name in [name for name in self._kept.streams if name not in running]:
            del self._kept.streams[name]
            self._meter.forget(name)
        return found

    def _shown(self) -> list[Deployment]:
        return [each for each in self._settings.deployments if each.vm.home_assistant.show]

    def _pending(self) -> list[str]:
        """Topics of VMs whose workers have not said yet what they answer with: what a start before
        this one published stays.
        """
        if not self._wanted:
            return []
        running = {vm.name: vm for vm in self._vms()}
        return [
            home_assistant.topic(self._settings, each.name)
            for each in self._shown()
            if each.name not in running or _is_pending(each, running[each.name])
        ]

    def _streams(self, deployment: Deployment, vm: Vm) -> list[str]:
        """Those shown before, then those heard since, up to the most that are shown."""
        most = self._settings.config.home_assistant.streams
        known = self._kept.streams.get(deployment.name, [])
        streams = list(dict.fromkeys([*known, *vm.streams]))[:most]
        self._kept.streams[deployment.name] = streams
        return streams

    def _tell_stats(self, now: float) -> None:
        base = f"{self._settings.config.prefix}/{self._settings.node}"
        power = self._power()
        figures: dict[str, dict[str, Any]] = {f"{base}/stats": stats.node(power)}
        for vm in self._vms():
            figures[f"{base}/{vm.name}/stats"] = self._meter.vm(vm, power, now)
        for topic, said in figures.items():
            payload = msgspec.json.encode(said)
            if self._told.get(topic) != payload:
                self._publish(topic, payload)
        self._told = {topic: msgspec.json.encode(said) for topic, said in figures.items()}

    def _read(self) -> _Kept:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return _Kept()
        except (OSError, ValueError, RecursionError) as error:
            log.warning("home_assistant.unreadable", file=self._file, error=error)
            return _Kept()

    def retract(self) -> None:
        """This node leaves the broker, or its place there: take everything back."""
        for topic in self._kept.devices:
            self._publish(topic, b"")
        self._kept = _Kept()
        self._said.clear()
        self._write()

    def _write(self) -> None:
        """Whole or not at all, and only what changed; losing it costs a device that stays."""
        text = msgspec.json.encode(self._kept)
        try:
            if self._file.exists() and self._file.read_bytes() == text:
                return
            if not self._kept.devices and not self._file.exists():
                return
            self._file.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._file.with_suffix(f".{os.getpid()}")
            with scratch.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self._file)
        except OSError as error:
            log.warning("home_assistant.not_written", file=self._file, error=error)


def _is_pending(deployment: Deployment, vm: Vm) -> bool:
    return deployment.vm.home_assistant.entities is None and vm.face is None
