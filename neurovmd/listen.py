# SPDX-License-Identifier: Apache-2.0
"""`neurovmd listen`: what is published, as a recording.

A client of its own (QoS 1, no session kept, no will) that subscribes and writes every message as a
line until its time or its bytes are used up, or it is told to end.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from neurovm.errors import BackendError
from neurovm.recording import Writer
from neurovmd.broker import Broker
from neurovmd.config import Settings
from neurovmd.mqtt import Connection

# The broker is waited for as long as it would be listened to, but within these bounds.
CONNECT_S, LEAST_CONNECT_S = 10.0, 2.0
# So long without anything to do before the next look at the connection.
IDLE_S = 5.0

Tell = Callable[[str], None]


def wait(connection: Connection, told: int, until_s: float) -> bool:
    """One round of a connection's loop, at most until a monotonic time; True when told to end."""
    next_at = min(connection.tick(), until_s, time.monotonic() + IDLE_S)
    poll = select.poll()
    poll.register(told, select.POLLIN)
    network = connection.fileno()
    if network is not None:
        writing = select.POLLOUT if connection.wants_write() else 0
        poll.register(network, select.POLLIN | writing)
    left_ms = max(0, int((next_at - time.monotonic()) * 1000) + 1)
    ready = {number for number, _ in poll.poll(left_ms)}
    if told in ready:
        return True
    if network in ready:
        connection.readable()
    connection.writable()
    return False


class Listener:
    """Writes what it hears; the `Events` of its connection."""

    def __init__(
        self,
        settings: Settings,
        filters: dict[str, int],
        writer: Writer,
        max_message_bytes: int,
        tell: Tell,
    ) -> None:
        self._filters, self._writer, self._tell = filters, writer, tell
        self._full = False
        self._ever_up = self._gap = False
        broker = Broker.of(
            settings,
            role=f"listen-{os.getpid()}",
            will_topic="",
            max_message_bytes=max_message_bytes,
        )
        self._connection = Connection(broker, self)

    def mqtt_up(self, session_present: bool) -> None:
        del session_present
        self._connection.subscribe(self._filters)

    def mqtt_down(self, reason: str) -> None:
        if self._ever_up and not self._gap:
            self._gap = True
            self._tell(f"messages are missing from here on: {reason}")

    def mqtt_message(
        self, topic: str | None, payload: bytes, qos: int, mid: int, content_type: str = ""
    ) -> None:
        del qos, mid, content_type
        # A topic that is not UTF-8 sets nothing anywhere, and no line could hold it.
        if topic is not None and not self._full:
            self._full = not self._writer.put(topic, payload)

    def mqtt_published(self, mid: int, refusal: str) -> None:
        """Nothing is published."""

    def run(self, told: int, for_s: float, flush: Callable[[], object]) -> str:
        """Listen for so long from the first subscription on; why it ended.

        BackendError where the broker cannot be reached or grants nothing.
        """
        connect_s = min(CONNECT_S, max(for_s, LEAST_CONNECT_S))
        until_s = time.monotonic() + connect_s
        while not wait(self._connection, told, until_s):
            flush()
            if self._connection.subscribed and not self._ever_up:
                self._ever_up = True
                self._tell(f"listening to {', '.join(self._filters)}")
                until_s = time.monotonic() + for_s
            if self._connection.subscribed and self._gap:
                self._gap = False
                self._tell("listening again")
            if self._full:
                return self._end("the most bytes are reached")
            if time.monotonic() >= until_s:
                if not self._ever_up:
                    raise BackendError(self._why_not(connect_s))
                return self._end("its time is over")
        return self._end("told to end")

    def _end(self, why: str) -> str:
        self._connection.leave()
        return why

    def _why_not(self, connect_s: float) -> str:
        if self._connection.connected:
            return f"the broker grants none of {', '.join(self._filters)}"
        return f"no connection within {connect_s:g} s: {self._connection.state}"
