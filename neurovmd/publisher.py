# SPDX-License-Identifier: Apache-2.0
"""Results out and acknowledgements back, on the network thread.

At most `IN_FLIGHT` results are in flight. A QoS 1 input is acknowledged when its answer is in the
broker's hands (PUBACK), and in the order of arrival, as MQTT asks for. When a connection is lost
the receipts are void: the broker delivers those messages again. The results in flight are sent
again, and before them those acknowledged just before the loss: a broker that dies may have
acknowledged what it had not stored yet. Results keep their order, so that the last one a subscriber
hears is the newest.

A broker that keeps a connection but does not acknowledge would block everything behind it: after
`ACKNOWLEDGE_S` the oldest result in flight is `overdue` and the owner connects anew.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from neurovmd import log
from neurovmd.mailbox import HELD, Receipt
from neurovmd.mqtt import IN_FLIGHT, Connection
from neurovmd.schema import Output
from neurovmd.shared import DropReason, Slot
from neurovmd.stream_table import Done

# With so many results waiting the compute thread rests: a slow broker is felt at the intake, where
# messages of QoS 0 may be dropped, and not as answers that are missing.
BACKLOG = 1024
# Acknowledged results that are sent again after a loss: at most so many, and not older.
RECENT = 256
RECENT_NS = 5_000_000_000
# How long a broker may take to acknowledge a result.
ACKNOWLEDGE_S = 20.0


class Publisher:
    """`connection` is set by the owner before the first call; `beside` makes of a result what is
    published after it, topic and payload.
    """

    connection: Connection

    def __init__(
        self,
        output: Output,
        slot: Slot,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        beside: Callable[[bytes], tuple[str, bytes] | None] = lambda _: None,
    ) -> None:
        self._beside = beside
        self._output, self._slot, self._clock_ns = output, slot, clock_ns
        self._waiting: deque[Done] = deque()
        self._in_flight: dict[int, tuple[int, Done]] = {}
        self._orders: dict[str, Done] = {}
        self._ordered: dict[int, tuple[int, Done]] = {}
        self._recent: deque[tuple[int, Done]] = deque(maxlen=RECENT)
        self._receipts: deque[Receipt] = deque()
        self._watched = 0
        self.trouble = ""

    @property
    def watching(self) -> bool:
        """Whether the PUBACK of the message given to `watch` is still to come."""
        return self._watched != 0

    def watch(self, mid: int) -> None:
        self._watched = mid

    @property
    def idle(self) -> bool:
        """Whether every result is in the broker's hands."""
        return not (self._waiting or self._in_flight or self._orders or self._ordered)

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be sent before the broker acknowledges."""
        return len(self._in_flight) >= IN_FLIGHT

    @property
    def has_room(self) -> bool:
        """Whether more results may be made; any thread may ask."""
        return len(self._waiting) < BACKLOG

    @property
    def overdue_at_s(self) -> float | None:
        """When the oldest result in flight is overdue (clock seconds); None: none is in flight."""
        oldest = [next(iter(each.values()))[0] for each in (self._in_flight, self._ordered) if each]
        return min(oldest) / 1e9 + ACKNOWLEDGE_S if oldest else None

    def overdue(self) -> bool:
        """Whether the broker owes an acknowledgement for too long; counts and names it then."""
        at_s = self.overdue_at_s
        if at_s is None or self._clock_ns() / 1e9 < at_s:
            return False
        self._slot.unacknowledged += len(self._in_flight)
        self.trouble = f"the broker has not acknowledged a result for {ACKNOWLEDGE_S:.0f} s"
        return True

    def unanswered(self) -> list[Done]:
        """The results that the broker has not taken yet and that were not published before."""
        under_way = [item for _, item in self._in_flight.values()]
        left = (*under_way, *self._waiting)
        return [item for item in left if not item.repeated and not item.is_request]

    def received(self, receipt: Receipt) -> None:
        """Remember a QoS 1 input in order of arrival."""
        self._receipts.append(receipt)

    def take(self, done: list[Done]) -> None:
        """Queue results; messages without one count as answered."""
        for item in done:
            if item.order is not None:
                self._orders[item.topic] = item
                item.settle()  # a newer one may take its place: no message waits for it
            elif item.payload:
                self._waiting.append(item)
                self._take_beside(item)
            else:
                item.settle()

    def _take_beside(self, item: Done) -> None:
        """Queue what is published beside a result; it is none itself, and nobody waits for it."""
        if item.is_request or item.passing:
            return
        more = self._beside(item.payload)
        if more is not None:
            self._waiting.append(Done(None, *more, repeated=True))

    def pump(self) -> None:
        """Publish while there is room, then acknowledge what has been answered."""
        connection, output = self.connection, self._output
        if self._orders and connection.connected:
            self._send_orders(connection)
        while self._waiting and connection.connected and len(self._in_flight) < IN_FLIGHT:
            item = self._waiting.popleft()
            if item.is_request:
                connection.publish(item.topic, item.payload, qos=0)
                continue
            retain = output.retain and not item.passing
            mid = connection.publish(item.topic, item.payload, qos=output.qos, retain=retain)
            if output.qos:
                self._in_flight[mid] = (self._clock_ns(), item)
            else:
                self._answered(item)
        receipts = self._receipts
        # A broker has a window of unacknowledged messages and delivers nothing beyond it: those
        # that wait for a later result must never fill it.
        while receipts and (receipts[0].done or (receipts[0].held and len(receipts) > HELD)):
            connection.ack(receipts.popleft().mid)

    def _send_orders(self, connection: Connection) -> None:
        """One of a topic is on its way at a time; a newer one waits, and replaces what waits."""
        busy = {item.topic for _, item in self._ordered.values()}
        for topic in [topic for topic in self._orders if topic not in busy]:
            item = self._orders.pop(topic)
            order = item.order
            assert order is not None  # noqa: S101  # by `take`
            mid = connection.publish(topic, item.payload, qos=order.qos, retain=order.retain)
            if order.qos:
                self._ordered[mid] = (self._clock_ns(), item)

    def published(self, mid: int, refusal: str) -> None:
        """PUBACK for one of our messages."""
        if mid == self._watched:
            self._watched = 0
        if self._ordered.pop(mid, None) is not None:
            if refusal:
                log.error("order.refused", reason=refusal)
            return
        _, item = self._in_flight.pop(mid, (0, None))
        if item is None:
            return
        self.trouble = ""
        if refusal:
            total = self._slot.count_drop(DropReason.RESULT)
            log.error("result.refused", reason=refusal, total=total)
            item.settle()
        else:
            self._recent.append((self._clock_ns(), item))
            self._answered(item)

    def lost(self) -> None:
        """The connection is gone: plan what is sent again, forget what to acknowledge."""
        oldest_ns = self._clock_ns() - RECENT_NS
        again = [
            Done(None, item.topic, item.payload, repeated=True, passing=item.passing)
            for acknowledged_ns, item in self._recent
            if acknowledged_ns >= oldest_ns
        ]
        again += [item for _, item in self._in_flight.values()]
        for _, item in self._ordered.values():
            self._orders.setdefault(item.topic, item)
        self._ordered.clear()
        self._waiting.extendleft(reversed(again))
        self._in_flight.clear()
        self._recent.clear()
        self._receipts.clear()

    def _answered(self, item: Done) -> None:
        self._slot.results_out += not item.repeated
        item.settle()
