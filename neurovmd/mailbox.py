# SPDX-License-Identifier: Apache-2.0
"""The bounded queue from the network thread to the compute thread: one wake for a whole batch.

Nothing that the broker was not yet answered for (QoS 1) is ever dropped here: the broker bounds
those by its own window of messages in flight. When the queue is full the oldest QoS 0 message at
its head makes room, so that the newest value of a sensor survives; if a QoS 1 message stands
there, the new QoS 0 message is dropped. Drops are returned as a count.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Condition

LIMIT = 4096
LIMIT_BYTES = 8 << 20
BATCH = 64
# QoS 1 messages that may stay unacknowledged while they wait for a later result: fewer than any
# common broker delivers ahead of our acknowledgements (RabbitMQ 10, Mosquitto 20).
HELD = 8


@dataclass(slots=True, eq=False)
class Receipt:
    """A QoS 1 message to be acknowledged once it is answered (`done`).

    `held`: it was processed and waits for a later result that covers it.
    """

    mid: int
    done: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came; `receipt` None for QoS 0, `content_type` empty where it says none."""

    topic: str | None
    payload: bytes
    receipt: Receipt | None
    content_type: str = ""


class Mailbox:
    """`put` and `close` belong to the network thread, `take` and `rest` to the compute thread."""

    def __init__(self, limit: int = LIMIT, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._bytes = 0
        self._messages: deque[Message] = deque()
        self._condition = Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, batch: list[Message]) -> int:
        """Append a batch and wake the taker once; returns how many messages were dropped."""
        dropped = 0
        with self._condition:
            messages = self._messages
            for message in batch:
                while self._full() and messages[0].receipt is None:
                    self._bytes -= len(messages.popleft().payload)
                    dropped += 1
                if self._full() and message.receipt is None:
                    dropped += 1
                    continue
                messages.append(message)
                self._bytes += len(message.payload)
            self._condition.notify()
        return dropped

    def _full(self) -> bool:
        many = len(self._messages) >= self._limit or self._bytes >= self._limit_bytes
        return many and len(self._messages) > 0

    def take(self, timeout_s: float | None = None) -> list[Message] | None:
        """Up to 64 messages, oldest first; [] after `timeout_s`; None when closed and empty."""
        with self._condition:
            if not self._messages and not self._closed:
                self._condition.wait(timeout_s)
            messages = self._messages
            if not messages:
                return None if self._closed else []
            batch = [messages.popleft() for _ in range(min(BATCH, len(messages)))]
            self._bytes -= sum(len(message.payload) for message in batch)
            return batch

    def rest(self, seconds: float) -> None:
        """Wait, whatever arrives; `close` ends the wait."""
        with self._condition:
            if not self._closed:
                self._condition.wait_for(lambda: self._closed, seconds)

    def left(self) -> list[Message]:
        """What nobody has taken yet."""
        with self._condition:
            return list(self._messages)

    def close(self) -> None:
        """Take no more; what is queued is still taken."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed
