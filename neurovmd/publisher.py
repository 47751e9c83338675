# SPDX-License-Identifier: Apache-2.0
"""Results out and acknowledgements back, on the network thread.

At most `WINDOW` results are in flight, so that after a reconnect no more are sent again than any
broker takes. A QoS 1 input is acknowledged when its answer is in the broker's hands (PUBACK), and
in the order of arrival, as MQTT asks for. When the connection is lost the receipts are void: the
broker delivers those messages again, and the results in flight are sent again by the client.
"""

from __future__ import annotations

from collections import deque

from neurovmd import log
from neurovmd.compute import Done
from neurovmd.mailbox import Receipt
from neurovmd.mqtt import Connection
from neurovmd.schema import Output
from neurovmd.shared import DropReason, Slot

WINDOW = 20


class Publisher:
    """`connection` is set by the owner before the first call."""

    connection: Connection

    def __init__(self, output: Output, slot: Slot) -> None:
        self._output, self._slot = output, slot
        self._waiting: deque[Done] = deque()
        self._in_flight: dict[int, Receipt | None] = {}
        self._receipts: deque[Receipt] = deque()
        self._watched = 0

    @property
    def watching(self) -> bool:
        """Whether the PUBACK of the message given to `watch` is still to come."""
        return self._watched != 0

    def watch(self, mid: int) -> None:
        self._watched = mid

    @property
    def idle(self) -> bool:
        """Whether every result is in the broker's hands."""
        return not self._waiting and not self._in_flight

    def received(self, receipt: Receipt) -> None:
        """Remember a QoS 1 input in order of arrival."""
        self._receipts.append(receipt)

    def take(self, done: list[Done]) -> None:
        """Queue results; messages without one count as answered."""
        for item in done:
            if item.payload:
                self._waiting.append(item)
            elif item.receipt is not None:
                item.receipt.done = True

    def pump(self) -> None:
        """Publish while there is room, then acknowledge what has been answered."""
        connection, output = self.connection, self._output
        while self._waiting and connection.connected and len(self._in_flight) < WINDOW:
            item = self._waiting.popleft()
            mid = connection.publish(item.topic, item.payload, qos=output.qos, retain=output.retain)
            if output.qos:
                self._in_flight[mid] = item.receipt
            else:
                self._answered(item.receipt)
        while self._receipts and self._receipts[0].done:
            connection.ack(self._receipts.popleft().mid)

    def published(self, mid: int, refusal: str) -> None:
        """PUBACK for one of our messages."""
        if mid == self._watched:
            self._watched = 0
        if mid not in self._in_flight:
            return
        receipt = self._in_flight.pop(mid)
        if refusal:
            total = self._slot.count_drop(DropReason.RESULT)
            log.error("result.refused", reason=refusal, total=total)
            if receipt is not None:
                receipt.done = True
        else:
            self._answered(receipt)

    def lost(self) -> None:
        """The connection is gone: acknowledgements of its messages would mean nothing."""
        self._receipts.clear()

    def _answered(self, receipt: Receipt | None) -> None:
        self._slot.results_out += 1
        if receipt is not None:
            receipt.done = True
