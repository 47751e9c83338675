# SPDX-License-Identifier: Apache-2.0
"""Results as Sparkplug B: a connection of its own, whose will is the node's death.

The supervisor hears the VMs' results as any subscriber does and says them again. Where a primary
host is named, births wait for it to be online; what comes until then is kept, the oldest let go,
and said as historical. When that host goes offline the node dies and waits for it again
(specification 3.0, §5.3, §5.4).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from neurovmd import log, topics
from neurovmd.broker import Broker, Will
from neurovmd.config import Settings
from neurovmd.mqtt import Connection
from neurovmd.sparkplug import NAMESPACE, results
from neurovmd.sparkplug.edge import Edge, Message
from neurovmd.sparkplug.results import Result
from neurovmd.vm import Vm

MOST_STORED = 1024
# A host that asks again within this time is answered by the births just said.
BIRTH_EVERY_S = 1.0
MOST_RESULT_BYTES = 1 << 20


class Outlet:
    """The edge node of one configuration; `vms` are those in service."""

    def __init__(
        self,
        settings: Settings,
        vms: Callable[[], list[Vm]],
        *,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        asked = settings.config.sparkplug
        assert asked.group is not None  # noqa: S101  # whoever makes one has looked
        self._settings, self._vms, self._clock = settings, vms, clock
        self._edge = Edge(asked.group, settings.node, now_ms)
        self._host = asked.primary_host
        self._host_t_ms = -1
        self._is_host_online = asked.primary_host is None
        self._stored: deque[Result] = deque(maxlen=MOST_STORED)
        self._lost = 0
        self._born_at: float | None = None
        self._must_leave = False
        broker = Broker.of(
            settings, role="sparkplug", will_topic="", max_message_bytes=MOST_RESULT_BYTES
        )
        self.connection = Connection(replace(broker, will=self._will), self)

    @property
    def told(self) -> dict[str, Any]:
        """For status: whether it is connected and born, and how many results it keeps meanwhile."""
        return {
            "connected": self.connection.connected,
            "state": self.connection.state,
            "born": self._edge.is_born,
            "stored": len(self._stored),
        }

    @property
    def filters(self) -> dict[str, int]:
        """What is subscribed: commands to this node, the host's state, results."""
        found = {self._edge.command_topic: 1}
        if self._host is not None:
            found[self._state_topic] = 1
        for deployment in self._settings.deployments:
            pattern = topics.fill(deployment.vm.output.topic, self._settings.names(deployment.name))
            levels = ("+" if "{" in level else level for level in pattern.split("/"))
            found["/".join(levels)] = 1
        return found

    @property
    def _state_topic(self) -> str:
        return f"{NAMESPACE}/STATE/{self._host}"

    def _will(self) -> Will:
        topic, payload = self._edge.will()
        return Will(topic, payload, 1, retain=False)

    def tick(self) -> float:
        """Do what time asks for; returns the clock time of the next call."""
        if self._must_leave:
            self._must_leave = False
            self.connection.writable()
            self.connection.give_up("the primary host is offline")
        return self.connection.tick()

    def tell_vm(self, vm: Vm) -> None:
        """A VM's state has changed: its device lives while it is ready."""
        if vm.state == "ready":
            self._say(self._edge.alive(vm.name))
        else:
            self._say(self._edge.dead(vm.name))

    def follow(self, after: Settings) -> None:
        """Other VMs are in service, at the same place."""
        known = self.filters
        gone = {each.name for each in self._settings.deployments}
        gone -= {each.name for each in after.deployments}
        self._settings = after
        for name in gone:
            self._say(self._edge.dead(name, for_good=True))
        if self.connection.connected:
            self.connection.unsubscribe([name for name in known if name not in self.filters])
            self.connection.subscribe(self.filters)

    def leave(self) -> None:
        """Say the node's death, and disconnect for good."""
        if self._edge.is_born:
            topic, payload = self._edge.death()
            self.connection.publish(topic, payload, qos=1)
            self._edge.down()
        self.connection.leave()

    def mqtt_up(self, session_present: bool) -> None:
        del session_present  # a clean session: nothing was kept
        self._edge.up()
        self.connection.subscribe(self.filters)
        for vm in self._vms():
            self.tell_vm(vm)
        self._be_born()

    def mqtt_down(self, reason: str) -> None:
        del reason  # the connection has logged it
        self._edge.down()
        self._born_at = None
        if self._host is not None:
            self._is_host_online = False

    def mqtt_message(
        self, topic: str | None, payload: bytes, qos: int, mid: int, content_type: str = ""
    ) -> None:
        del qos, mid, content_type
        if topic == self._edge.command_topic:
            self._command(payload)
        elif self._host is not None and topic == self._state_topic:
            self._hear_host(payload)
        elif (result := results.read(payload)) is not None:
            self._hear(result)

    def mqtt_published(self, mid: int, refusal: str) -> None:
        del mid
        if refusal:
            log.error("sparkplug.refused", reason=refusal)

    def _be_born(self) -> None:
        if not self._is_host_online:
            return
        self._born_at = self._clock()
        self._say(self._edge.births())
        if self._stored:
            log.info("sparkplug.stored", results=len(self._stored), lost=self._lost)
        while self._stored:
            self._say(self._edge.result(self._stored.popleft()))
        self._lost = 0

    def _hear(self, result: Result) -> None:
        if not self._edge.is_born:
            self._lost += len(self._stored) == MOST_STORED
            self._stored.append(result)
            return
        self._say(self._edge.result(result))

    def _command(self, payload: bytes) -> None:
        if not self._edge.is_born or not self._edge.asks_for_birth(payload):
            return
        if self._born_at is not None and self._clock() < self._born_at + BIRTH_EVERY_S:
            return
        self._born_at = self._clock()
        self._say(self._edge.births())

    def _hear_host(self, payload: bytes) -> None:
        """The primary host says that it is online, or its will that it is not (§6.4.24).

        A state older than the one known is let go: wills may come late.
        """
        try:
            said: dict[str, Any] = msgspec.json.decode(payload, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return
        online, t_ms = said.get("online"), said.get("timestamp")
        if not isinstance(online, bool) or type(t_ms) is not int or t_ms < self._host_t_ms:
            return
        self._host_t_ms = t_ms
        if online and not self._is_host_online:
            self._is_host_online = True
            self._be_born()
        elif not online and self._is_host_online:
            self._is_host_online = False
            if self._edge.is_born:
                topic, death = self._edge.death()
                self.connection.publish(topic, death, qos=0)
                self._edge.down()
            self._must_leave = True  # when the client has left its callback

    def _say(self, messages: list[Message]) -> None:
        for topic, payload in messages:
            self.connection.publish(topic, payload, qos=0)
