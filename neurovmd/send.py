# SPDX-License-Identifier: Apache-2.0
"""`neurovmd send`: a recording back to a broker, in its own time or faster.

At QoS 1, in order, and not retained. Those unacknowledged when a connection is lost are sent again,
so a message may come twice, never too late.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator

from neurovm.errors import BackendError
from neurovm.recording import Recorded
from neurovmd.broker import Broker
from neurovmd.config import Settings
from neurovmd.listen import CONNECT_S, Tell, wait
from neurovmd.mqtt import IN_FLIGHT, Connection

AWAY_S = 30.0


class Sender:
    """Publishes messages at `speed` times the pace they had; 0 means as fast as they are taken."""

    def __init__(
        self, settings: Settings, messages: Iterator[Recorded], speed: float, tell: Tell
    ) -> None:
        self._messages, self._speed, self._tell = messages, speed, tell
        self._again: deque[Recorded] = deque()
        self._in_flight: dict[int, Recorded] = {}
        self._next: Recorded | None = None
        self._start_s = 0.0
        self._first_us: int | None = None
        self.sent = self.refused = self.left_out = 0
        broker = Broker.of(settings, role=f"send-{os.getpid()}", will_topic="")
        self._connection = Connection(broker, self)

    def mqtt_up(self, session_present: bool) -> None:
        """Nothing is subscribed."""

    def mqtt_down(self, reason: str) -> None:
        if self._in_flight:
            self._tell(f"sending {len(self._in_flight)} messages again: {reason}")
        self._again.extendleft(reversed(self._in_flight.values()))
        self._in_flight.clear()

    def mqtt_message(
        self, topic: str | None, payload: bytes, qos: int, mid: int, content_type: str = ""
    ) -> None:
        """Nothing is subscribed."""

    def mqtt_published(self, mid: int, refusal: str) -> None:
        message = self._in_flight.pop(mid, None)
        if message is None:
            return
        self.sent += 1
        if refusal:
            self.refused += 1
            self._tell(f"line {message.line}: the broker refused it: {refusal}")

    def run(self, told: int) -> bool:
        """Until all is in the broker's hands (True), or told to end (False).

        BackendError where the broker stays away, RecordingError where a line is wrong.
        """
        up_s: float | None = None
        away_s = time.monotonic() + CONNECT_S
        self._next = self._take()
        while self._next or self._again or self._in_flight:
            now_s = time.monotonic()
            if self._connection.connected:
                if up_s is None:
                    up_s = self._start_s = now_s
                away_s = now_s + AWAY_S
            elif now_s >= away_s:
                raise BackendError(f"the broker stays away: {self._connection.state}")
            due_s = self._pump()
            if wait(self._connection, told, min(due_s, away_s)):
                self._connection.leave()
                return False
        self._connection.leave()
        return True

    def _pump(self) -> float:
        """Publish what is due and fits; the monotonic time of the next message."""
        while self._connection.connected and len(self._in_flight) < IN_FLIGHT:
            if self._again:
                self._publish(self._again.popleft())
                continue
            if self._next is None:
                break
            due_s = self._due_s(self._next)
            if due_s > time.monotonic():
                return due_s
            self._publish(self._next)
            self._next = self._take()
        return time.monotonic() + AWAY_S

    def _publish(self, message: Recorded) -> None:
        mid = self._connection.publish(message.topic, message.payload or b"", qos=1)
        self._in_flight[mid] = message

    def _due_s(self, message: Recorded) -> float:
        if not self._speed or message.t_us is None:
            return 0.0
        if self._first_us is None:
            self._first_us = message.t_us
        return self._start_s + (message.t_us - self._first_us) / 1e6 / self._speed

    def _take(self) -> Recorded | None:
        """The next message that was kept whole and may be published."""
        for message in self._messages:
            if message.payload is not None and not _unpublishable(message.topic):
                return message
            self.left_out += 1
        return None


def _unpublishable(topic: str) -> bool:
    """Whether no broker would take this topic."""
    return any(letter in topic for letter in "+#\0") or len(topic.encode()) > 65535
