# SPDX-License-Identifier: Apache-2.0
"""What the daemon publishes of itself: availability, `info`, each VM's `state`; all retained."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from neurovmd import log, status
from neurovmd.actuators import safe_words
from neurovmd.broker import Broker
from neurovmd.config import Settings
from neurovmd.discovery import Discovery
from neurovmd.mqtt import Connection
from neurovmd.outlets import Sparkplug
from neurovmd.power import PowerState
from neurovmd.vm import Vm

if TYPE_CHECKING:
    from neurovmd.sparkplug.outlet import Outlet

FAREWELL_S = 1.5


class Announcer:
    """The supervisor's own connection and what is said on it; repeated at every connect.

    `vms` are those in service, `info` is what to say of the daemon, `power` what the box draws.
    """

    def __init__(
        self,
        settings: Settings,
        vms: Callable[[], list[Vm]],
        info: Callable[[], dict[str, Any]],
        power: Callable[[], PowerState | None],
    ) -> None:
        self._vms, self._info = vms, info
        self._watched = 0
        self._base, self.connection = self._connect(settings)
        self._discovery = Discovery(settings, vms, power, self._retain, self._tell_all)
        self._sparkplug = self._outlet(settings)

    def _connect(self, settings: Settings) -> tuple[str, Connection]:
        """The topics' base and a connection that is not open yet."""
        base = f"{settings.config.prefix}/{settings.node}"
        broker = Broker.of(settings, role="main", will_topic=f"{base}/availability")
        return base, Connection(broker, self)

    def _outlet(self, settings: Settings) -> Outlet | None:
        """The Sparkplug node, where one is asked for; its modules cost nothing elsewhere."""
        if settings.config.sparkplug.group is None:
            return None
        from neurovmd.sparkplug.outlet import Outlet

        return Outlet(settings, self._vms)

    @property
    def sparkplug(self) -> dict[str, Any] | None:
        """How the Sparkplug node is; None where there is none."""
        return None if self._sparkplug is None else self._sparkplug.told

    @property
    def connections(self) -> list[Connection]:
        """The daemon's own and, where there is one, the Sparkplug node's."""
        more = [] if self._sparkplug is None else [self._sparkplug.connection]
        return [self.connection, *more]

    def follow(self, before: Settings, after: Settings) -> None:
        """A new configuration is in service: take back what is no longer so, move where it says."""
        gone = {each.name for each in before.deployments}
        moved = _place(before) != _place(after)
        if not moved:
            gone -= {each.name for each in after.deployments}
        for name in gone:
            self._publish(f"{name}/state", b"")
            self._publish(f"{name}/stats", b"")
        known = self._discovery.filters
        if moved:
            self._discovery.retract()
            self._publish("stats", b"")
            self._publish("info", b"")
            self._publish("availability", b"offline")
            self.connection.leave()
            self.connection.forget()
            self._discovery.down()
            self._base, self.connection = self._connect(after)
        self._discovery.follow(after)
        self._follow_sparkplug(after, moved=moved or _sparkplug(before) != _sparkplug(after))
        if not moved and known != self._discovery.filters:
            self.connection.unsubscribe(list(known))
            self.connection.subscribe(self._discovery.filters)
        self.tell()

    def _follow_sparkplug(self, after: Settings, *, moved: bool) -> None:
        if moved:
            if self._sparkplug is not None:
                self._sparkplug.leave()
                self._sparkplug.connection.forget()
            self._sparkplug = self._outlet(after)
        elif self._sparkplug is not None:
            self._sparkplug.follow(after)

    def tick(self, now: float) -> float:
        """Do what time asks for; returns when it next does (CLOCK_MONOTONIC seconds)."""
        times = [self.connection.tick(), self._discovery.tick(now)]
        if self._sparkplug is not None:
            times.append(self._sparkplug.tick())
        return min(times)

    def tell(self) -> None:
        """Publish what the daemon says of itself."""
        self._publish("info", msgspec.json.encode(self._info()))

    def tell_vm(self, vm: Vm) -> None:
        """Publish the state of one VM."""
        self._publish(f"{vm.name}/state", msgspec.json.encode(status.state(vm)))
        if self._sparkplug is not None:
            self._sparkplug.tell_vm(vm)
        if vm.state in ("failed", "stopped"):
            self.make_safe(vm)

    def make_safe(self, vm: Vm) -> None:
        """Tell its actuators what its worker cannot tell any more: it ended otherwise than it
        should, or has not begun again since the connection was lost.
        """
        names = vm.settings.names(vm.name)
        for topic, payload, actuator in safe_words(
            vm.deployment.vm.actuators, names, list(vm.streams)
        ):
            self.connection.publish(topic, payload, qos=actuator.qos, retain=actuator.retain)

    def begin_farewell(self) -> None:
        """Say `offline`; `leaving` tells when it has arrived."""
        self._watched = self._publish("availability", b"offline")
        if self._sparkplug is not None:
            self._sparkplug.leave()

    def forget(self) -> None:
        """In a forked child: close the inherited sockets without a word."""
        for connection in self.connections:
            connection.forget()

    @property
    def leaving(self) -> bool:
        """Whether the last word is still under way."""
        return bool(self._watched) and self.connection.connected

    def mqtt_up(self, session_present: bool) -> None:
        del session_present  # it keeps none
        self._tell_all()
        self.connection.subscribe(self._discovery.filters)
        self._discovery.up()

    def _tell_all(self) -> None:
        self._publish("availability", b"online")
        self.tell()
        for vm in self._vms():
            self.tell_vm(vm)

    def mqtt_down(self, reason: str) -> None:
        """The connection has logged it, STATUS= shows it."""
        del reason
        self._discovery.down()

    def mqtt_message(
        self, topic: str | None, payload: bytes, qos: int, mid: int, content_type: str = ""
    ) -> None:
        """Home Assistant has come or gone; nothing else is subscribed."""
        del qos, mid, content_type
        if topic in self._discovery.filters:
            self._discovery.heard(payload, time.monotonic())

    def mqtt_published(self, mid: int, refusal: str) -> None:
        if mid == self._watched:
            self._watched = 0
        if refusal:
            log.error("mqtt.refused", reason=refusal)

    def _publish(self, name: str, payload: bytes) -> int:
        """Publish a retained message below `<prefix>/<node>`."""
        return self._retain(f"{self._base}/{name}", payload)

    def _retain(self, topic: str, payload: bytes) -> int:
        return self.connection.publish(topic, payload, retain=True)


def _place(settings: Settings) -> tuple[object, ...]:
    return settings.node, settings.config.prefix, settings.config.mqtt


def _sparkplug(settings: Settings) -> Sparkplug:
    return settings.config.sparkplug
