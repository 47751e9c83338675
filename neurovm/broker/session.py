# SPDX-License-Identifier: Apache-2.0
"""What a broker knows of one client: subscriptions, and messages that it has still to take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from neurovm.broker import packets, topics
from neurovm.broker.packets import Kind, Message

WINDOW = 64
"""So many messages are on their way to a client without its word."""
MOST_WAITING = 10_000
MOST_WAITING_BYTES = 64 << 20
"""So many more wait for it; what comes then is lost."""
MOST_UNSENT_BYTES = 4 << 20
"""So much of a slow client's output is kept before its messages of QoS 0 are lost."""
MOST_RECEIVED = 1000
"""So many messages of QoS 2 may a client leave half sent."""

Send = Callable[[bytes], None]


@dataclass(slots=True)
class Session:
    """One client, connected (`send` is set) or away.

    `sent` are messages of QoS 1 and 2 by packet identifier, None once a PUBREC has come for it;
    `received` are the identifiers of QoS 2 whose PUBREL is to come.
    """

    client: str
    clean: bool
    send: Send | None = None
    unsent_bytes: Callable[[], int] | None = None
    subscriptions: dict[str, int] = field(default_factory=dict)
    sent: dict[int, Message | None] = field(default_factory=dict)
    received: set[int] = field(default_factory=set)
    lost: int = 0
    _waiting: deque[Message] = field(default_factory=deque)
    _waiting_bytes: int = 0
    _last_id: int = 0

    def qos_of(self, topic: str) -> int | None:
        """The highest QoS of the filters that a topic falls under; None where there is none."""
        return max(
            (qos for wish, qos in self.subscriptions.items() if topics.matches(wish, topic)),
            default=None,
        )

    def deliver(self, message: Message, granted: int) -> None:
        """Send a message now, or once the client can take it."""
        message = replace(message, qos=min(message.qos, granted))
        if message.qos:
            size = self._waiting_bytes + len(message.payload)
            if len(self._waiting) >= MOST_WAITING or size > MOST_WAITING_BYTES:
                self.lost += 1
                return
            self._waiting.append(message)
            self._waiting_bytes = size
            self.flush()
        elif self.send is None or self._is_slow():
            self.lost += self.send is not None
        else:
            self.send(packets.publish(message))

    def _is_slow(self) -> bool:
        return self.unsent_bytes is not None and self.unsent_bytes() > MOST_UNSENT_BYTES

    def flush(self) -> None:
        """Send what waits, as far as the window reaches."""
        while self.send is not None and self._waiting and len(self.sent) < WINDOW:
            message, packet_id = self._waiting.popleft(), self._next_id()
            self._waiting_bytes -= len(message.payload)
            self.sent[packet_id] = message
            self.send(packets.publish(message, packet_id))

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % 0xFFFF + 1
            if self._last_id not in self.sent:
                return self._last_id

    def resume(self) -> None:
        """Send again, in order, what the client has not acknowledged (section 4.4)."""
        for packet_id, message in self.sent.items():
            if self.send is None:
                return
            if message is None:
                self.send(packets.acknowledgement(Kind.PUBREL, packet_id))
            else:
                self.send(packets.publish(message, packet_id, again=True))
        self.flush()

    def acknowledged(self, packet_id: int) -> None:
        """PUBACK or PUBCOMP: the client has it."""
        self.sent.pop(packet_id, None)
        self.flush()

    def half_acknowledged(self, packet_id: int) -> None:
        """PUBREC: the client has it, and waits for our PUBREL."""
        if packet_id in self.sent:
            self.sent[packet_id] = None
        if self.send is not None:
            self.send(packets.acknowledgement(Kind.PUBREL, packet_id))

    def first_time(self, packet_id: int) -> bool:
        """Whether a message of QoS 2 came for the first time."""
        if packet_id in self.received:
            return False
        if len(self.received) >= MOST_RECEIVED:
            raise packets.MalformedError("too many messages of QoS 2 without PUBREL")
        self.received.add(packet_id)
        return True
