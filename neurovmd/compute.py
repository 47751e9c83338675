# SPDX-License-Identifier: Apache-2.0
"""The compute thread of a worker: messages in, steps of sessions, results out.

Every accepted message gets the next `seq` of its stream. A result says the last `seq` it follows
and, where it covers several, the first (`seq_first`): the ranges of a stream's results touch, so a
subscriber sees no gap. With `on: always` each seq is answered by itself once the stream is complete
(`wait_for`); before that, and with `change` and `interval`, by the next result there is.

For a network that keeps state (`Model.stateful`) every accepted message is one step of time, also
one that changes nothing; a stream begins with its first message, and anew in a new worker.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

from neurovm.errors import BackendError, ShapeError
from neurovmd import log
from neurovmd.mailbox import HELD, Mailbox, Message, Receipt
from neurovmd.mapping import WHOLE, InputCodes, Inputs, RefusedError, Update, joined
from neurovmd.pace import Pace
from neurovmd.result import Cost, ResultWriter
from neurovmd.schema import Output, Vm
from neurovmd.shared import DropReason, Slot

if TYPE_CHECKING:
    from neurovm import Model, Session

# Results are handed over at the end of a batch, or after this long within one.
HAND_OVER_NS = 1_000_000
PAUSE_LOOK_S = 0.25
MOST_REST_NS = 250_000_000
ROOM_LOOK_S = 0.02

_SOPS, _DENSE_MACS = 3, 4


@dataclass(frozen=True, slots=True)
class Done:
    """A processed message: `receipt` (None: QoS 0) and what it is answered with, if anything.

    `covers` are earlier messages that it answers too; `repeated`: it has been published before.
    """

    receipt: Receipt | None
    topic: str = ""
    payload: bytes = b""
    repeated: bool = False
    covers: tuple[Receipt, ...] = ()

    def settle(self) -> None:
        """What it answers may be acknowledged."""
        if self.receipt is not None:
            self.receipt.done = True
        for receipt in self.covers:
            receipt.done = True


def fingerprint(message: Message) -> int:
    """A number that tells a message from others when it comes again (1..2^32-1)."""
    return crc32(message.payload, crc32((message.topic or "").encode())) or 1


@dataclass(slots=True)
class Stream:
    """One sensor key: its session and what its subscriber has not been told yet.

    `first`: values of elements not heard yet, which a network that keeps state takes with the first
    message, as setting them before would be a step of its own.
    `held` are the newest messages to be acknowledged with the result that covers them; the
    publisher acknowledges older ones before they fill the broker's window.
    """

    name: str
    topic: str
    session: Session
    missing: set[int]
    seq: int = 0
    answered: int = 0
    due_s: float = 0.0
    published: bytes | None = None
    first: tuple[array[int], InputCodes] | None = None
    cost: Cost = field(default_factory=Cost)
    held: deque[Receipt] = field(default_factory=lambda: deque(maxlen=HELD))


def log_refusal(reason: DropReason, detail: str, total: int) -> None:
    """Log the 1st, 2nd, 4th, 8th, ... message refused for a reason."""
    if total & (total - 1) == 0:
        log.warning("message.dropped", reason=reason.name.lower(), total=total, detail=detail)


class Streams:
    """The streams of a VM and what is done with one message; used by one thread.

    `clock_ns` is monotonic, `wall_ns` the time of day, `work_ns` measures the steps; `refused`
    hears of each message that sets nothing, after it was counted.
    """

    def __init__(
        self,
        vm: Vm,
        model: Model,
        inputs: Inputs,
        writer: ResultWriter,
        topic: Callable[[str], str],
        slot: Slot,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        work_ns: Callable[[], int] | None = None,
        refused: Callable[[DropReason, str, int], None] = log_refusal,
    ) -> None:
        self._output: Output = vm.output
        self._max_streams, self._planes = vm.max_streams, vm.planes
        self._model, self._inputs, self._writer = model, inputs, writer
        self._topic, self._slot = topic, slot
        self._clock_ns, self._wall_ns = clock_ns, wall_ns
        self._work_ns = work_ns or clock_ns
        self._refused = refused
        self._streams: dict[str, Stream] = {}
        self._due: dict[str, Stream] = {}
        self._initial = inputs.initial()

    def accept(self, message: Message) -> Done:
        """Process one message; what it is answered with."""
        slot = self._slot
        slot.in_work = number = fingerprint(message)
        if number == slot.deadly:
            self._refuse(DropReason.BACKEND, "it ended several workers")
            return Done(message.receipt)
        try:
            update = self._inputs.read(message.topic, message.payload)
            stream = self._streams.get(update.stream) or self._open(update.stream)
            self._step(stream, update)
        except RefusedError as refusal:
            self._refuse(refusal.reason, str(refusal))
            return Done(message.receipt)
        except (BackendError, ShapeError, MemoryError) as error:
            self._refuse(DropReason.BACKEND, str(error) or "out of memory")
            return Done(message.receipt)
        if self._output.on == "interval":
            self._plan(stream)
            return self._hold(stream, message.receipt)
        if self._to_answer(stream):
            return self._answer(stream, message.receipt)
        if stream.missing:
            return self._hold(stream, message.receipt)
        return Done(message.receipt)

    def due(self) -> list[Done]:
        """The results of `on: interval` whose time has come."""
        now_s = self._clock_ns() / 1e9
        return self._answer_all([stream for stream in self._due.values() if stream.due_s <= now_s])

    def flush(self) -> list[Done]:
        """The results of `on: interval` that still wait, at the end."""
        return self._answer_all(list(self._due.values()))

    def _answer_all(self, ready: list[Stream]) -> list[Done]:
        for stream in ready:
            del self._due[stream.name]
        return [self._answer(stream, None) for stream in ready]

    def next_due_s(self) -> float | None:
        """Seconds until `due` has something; None while nothing waits for its interval."""
        if not self._due:
            return None
        first = min(stream.due_s for stream in self._due.values())
        return max(0.0, first - self._clock_ns() / 1e9)

    def _open(self, name: str) -> Stream:
        limit = min(self._max_streams, self._slot.max_streams or self._max_streams)
        if len(self._streams) >= limit:
            raise RefusedError(DropReason.STREAMS, f"stream {name!r} beyond max_streams {limit}")
        session = self._model.session(counters=self._slot.counters)
        if self._planes != WHOLE:
            session.planes = self._planes
        first = self._initial if self._model.stateful else None
        if first is None:
            session.update(*self._initial)
        missing = set(self._inputs.expected) if self._output.wait_for == "all" else set()
        stream = Stream(name, self._topic(name), session, missing, first=first)
        self._streams[name] = stream
        self._slot.streams = len(self._streams)
        return stream

    def _step(self, stream: Stream, update: Update) -> None:
        counters = self._slot.counters
        sops, macs = counters[_SOPS], counters[_DENSE_MACS]
        indices, codes = update.indices, update.codes
        if stream.first is not None:  # a later entry wins
            indices, codes = stream.first[0] + indices, joined(stream.first[1], codes)
        start_ns = self._work_ns()
        stream.session.update(indices, codes)
        stream.first = None
        cost = stream.cost
        cost.compute_ns += self._work_ns() - start_ns
        cost.sops += counters[_SOPS] - sops
        cost.dense_macs += counters[_DENSE_MACS] - macs
        stream.seq += 1
        if stream.missing:
            stream.missing.difference_update(update.indices)

    def _to_answer(self, stream: Stream) -> bool:
        if stream.missing:
            return False
        if self._output.on == "always" or stream.published is None:
            return True
        return stream.session.changed and stream.session.output.tobytes() != stream.published

    def _plan(self, stream: Stream) -> None:
        if not stream.missing and stream.name not in self._due:
            now_s = self._clock_ns() / 1e9
            period_s = self._output.interval_s or 0.0
            # A stream that was quiet answers at once, then at most once an interval.
            stream.due_s = max(now_s, stream.due_s + period_s)
            self._due[stream.name] = stream

    def _hold(self, stream: Stream, receipt: Receipt | None) -> Done:
        """Leave the message to the result that will cover it."""
        if receipt is not None:
            stream.held.append(receipt)
            receipt.held = True
        return Done(None)

    def _answer(self, stream: Stream, receipt: Receipt | None) -> Done:
        codes = stream.session.output
        stream.published = codes.tobytes()
        first, stream.answered = stream.answered + 1, stream.seq
        start_ns = self._work_ns()
        answer = None if self._planes == WHOLE else stream.session.answer()
        stream.cost.compute_ns += self._work_ns() - start_ns
        cost, stream.cost = stream.cost, Cost()
        t_us = self._wall_ns() // 1000
        payload = self._writer.write(stream.name, first, stream.seq, t_us, codes, cost, answer)
        covers = tuple(stream.held)
        stream.held.clear()
        return Done(receipt, stream.topic, payload, covers=covers)

    def _refuse(self, reason: DropReason, detail: str) -> None:
        self._refused(reason, detail, self._slot.count_drop(reason))


class Compute:
    """Runs `Streams` on its own thread, resting as its pace asks."""

    def __init__(
        self,
        streams: Streams,
        mailbox: Mailbox,
        slot: Slot,
        pace: Pace,
        hand_over: Callable[[list[Done]], None],
        wake_supervisor: Callable[[], None],
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._streams, self._mailbox, self._slot = streams, mailbox, slot
        self._pace = pace
        self._hand_over, self._wake_supervisor = hand_over, wake_supervisor
        self._has_room = has_room

    def run(self) -> None:
        """Until the mailbox is closed and empty."""
        while True:
            self._wait_while_paused()
            self._wait_for_room()
            batch = self._mailbox.take(self._streams.next_due_s())
            if batch is None:
                break
            self._wake_supervisor()
            self._process(batch)
            self._rest()
        self._hand_over(self._streams.flush())

    def _process(self, batch: list[Message]) -> None:
        slot = self._slot
        done: list[Done] = []
        handed_ns = time.monotonic_ns()
        for message in batch:
            now_ns = time.monotonic_ns()
            slot.busy_since_ns = now_ns
            done.append(self._streams.accept(message))
            if now_ns - handed_ns > HAND_OVER_NS:
                self._hand_over(done)
                slot.busy_since_ns = slot.in_work = 0
                self._rest()  # often, so that under a small duty results come evenly
                done, handed_ns = [], time.monotonic_ns()
        slot.in_work = 0
        slot.queue_depth = len(self._mailbox)
        done += self._streams.due()
        slot.busy_since_ns = 0
        if done:
            self._hand_over(done)

    def _wait_while_paused(self) -> None:
        slot = self._slot
        while (slot.paused or not slot.duty_q16) and not self._mailbox.closed:
            self._mailbox.rest(PAUSE_LOOK_S)

    def _wait_for_room(self) -> None:
        while not self._has_room() and not self._mailbox.closed:
            self._mailbox.rest(ROOM_LOOK_S)

    def _rest(self) -> None:
        """Rest for what this process has computed, read and sent.

        Under a small duty that is long; the duty is looked at often, and may have grown.
        """
        while (owed_ns := self._pace.owed_ns()) > 0:
            if self._mailbox.closed:
                self._pace.forgive()
                return
            self._mailbox.rest(min(owed_ns, MOST_REST_NS) / 1e9)
