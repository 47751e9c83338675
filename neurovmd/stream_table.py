# SPDX-License-Identifier: Apache-2.0
"""What the streams of all kinds of networks share: messages in, `seq`, when a result is due.

Every accepted message gets the next `seq` of its stream. A result says the last `seq` it follows
and, where it covers several, the first (`seq_first`): the ranges of a stream's results touch, so a
subscriber sees no gap.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar
from zlib import crc32

from neurovm.errors import BackendError, ShapeError
from neurovmd import log
from neurovmd.content_types import check
from neurovmd.mailbox import HELD, Message, Receipt
from neurovmd.overhearing import Overheard
from neurovmd.refusal import RefusedError, UnsettingError
from neurovmd.result import Cost
from neurovmd.schema import Output, Vm
from neurovmd.shared import DropReason, Slot
from neurovmd.stepping import StepState

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovmd.actuators import Actuators


@dataclass(frozen=True, slots=True)
class Order:
    """How an actuator's message is published; of several on one topic the newest alone counts."""

    qos: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Done:
    """A processed message: `receipt` (None: QoS 0) and what it is answered with, if anything.

    `covers` are earlier messages that it answers too; `repeated`: it has been published before;
    `passing`: it tells of a moment, and no broker is to keep it; `is_request`: it is no result but
    something asked of a sender, at QoS 0; `order`:
    it tells an actuator what to do.
    """

    receipt: Receipt | None
    topic: str = ""
    payload: bytes = b""
    repeated: bool = False
    covers: tuple[Receipt, ...] = ()
    passing: bool = False
    is_request: bool = False
    order: Order | None = None

    def settle(self) -> None:
        """What it answers may be acknowledged."""
        if self.receipt is not None:
            self.receipt.done = True
        for receipt in self.covers:
            receipt.done = True


def fingerprint(message: Message) -> int:
    """A number that tells a message from others when it comes again (1..2^32-1)."""
    return crc32(message.payload, crc32((message.topic or "").encode())) or 1


@dataclass(slots=True, kw_only=True)
class AnyStream:
    """One sensor key and what its subscriber has not been told yet; `missing`: what of its inputs
    was not heard yet; `steps`: the state of its output steps, where there are any.

    `held` are the newest messages to be acknowledged with the result that covers them; the
    publisher acknowledges older ones before they fill the broker's window.
    """

    name: str
    topic: str
    missing: set[int]
    steps: StepState | None = None
    seq: int = 0
    answered: int = 0
    due_s: float = 0.0
    cost: Cost = field(default_factory=Cost)
    held: deque[Receipt] = field(default_factory=lambda: deque(maxlen=HELD))


S = TypeVar("S", bound=AnyStream)


def log_refusal(reason: DropReason, detail: str, total: int) -> None:
    """Log the 1st, 2nd, 4th, 8th, ... message refused for a reason."""
    if total & (total - 1) == 0:
        log.warning("message.dropped", reason=reason.name.lower(), total=total, detail=detail)


class StreamTable(ABC, Generic[S]):
    """The streams of a VM and what is done with one message; used by one thread.

    `clock_ns` is monotonic; `refused` hears of each message that sets nothing, after it was
    counted; `overheard` is what inputs hear beside their own messages.
    """

    overheard: Overheard | None = None

    def __init__(
        self,
        vm: Vm,
        slot: Slot,
        clock_ns: Callable[[], int],
        refused: Callable[[DropReason, str, int], None],
    ) -> None:
        self._output: Output = vm.output
        self._max_streams = vm.max_streams
        self._slot, self._clock_ns, self._refused = slot, clock_ns, refused
        self._streams: dict[str, S] = {}
        self._due: dict[str, S] = {}
        self._early: list[Done] = []
        self._drives: Actuators | None = None

    def drive(self, actuators: Actuators) -> None:
        """Let results tell actuators what to do."""
        self._drives = actuators

    def answers(self, message: Message) -> list[Done]:
        """As `accept`, after the results that it led to on the way, if any."""
        done = self.accept(message)
        if self.overheard is not None:
            asked = self.overheard.requests()
            self._early += [Done(None, *request, is_request=True) for request in asked]
        if not self._early:
            return [done]
        early, self._early = self._early, []
        return [*early, done]

    def accept(self, message: Message) -> Done:
        """Process one message; what it is answered with."""
        slot = self._slot
        slot.in_work = number = fingerprint(message)
        if number == slot.deadly:
            self._refuse(DropReason.BACKEND, "it ended several workers")
            return Done(message.receipt)
        try:
            if self.overheard is not None:
                check(self.overheard.bindings, message.topic, message.content_type)
                if self.overheard.takes(message.topic, message.payload):
                    return Done(message.receipt)
            stream = self._take(message)
        except UnsettingError:
            return Done(message.receipt)
        except RefusedError as refusal:
            self._refuse(refusal.reason, str(refusal))
            return Done(message.receipt)
        except (BackendError, ShapeError, MemoryError) as error:
            self._refuse(DropReason.BACKEND, str(error) or "out of memory")
            return Done(message.receipt)
        if self._drives is not None:
            self._drives.heard(stream.name)
        if self._output.on == "interval":
            self._plan(stream)
            return self._hold(stream, message.receipt)
        if self._to_answer(stream):
            return self._answer(stream, message.receipt)
        return self._unanswered(stream, message.receipt)

    def due(self) -> list[Done]:
        """The results of `on: interval` whose time has come, and what actuators are due."""
        now_s = self._clock_ns() / 1e9
        done = self._answer_all([stream for stream in self._due.values() if stream.due_s <= now_s])
        return done if self._drives is None else [*done, *self._drives.due()]

    def flush(self) -> list[Done]:
        """The results of `on: interval` that still wait, at the end."""
        done = self._answer_all(list(self._due.values()))
        return done if self._drives is None else [*done, *self._drives.stop()]

    def _answer_all(self, ready: list[S]) -> list[Done]:
        for stream in ready:
            del self._due[stream.name]
        done = [self._answer(stream, None) for stream in ready]
        early, self._early = self._early, []
        return [*early, *done]

    def next_due_s(self) -> float | None:
        """Seconds until `due` has something; None while nothing waits for its time."""
        times = [] if self._drives is None else [self._drives.next_due_s()]
        if self._due:
            first = min(stream.due_s for stream in self._due.values())
            times.append(max(0.0, first - self._clock_ns() / 1e9))
        return min((each for each in times if each is not None), default=None)

    def _stream(self, name: str) -> S:
        """The stream of a name, new or known; RefusedError beyond `max_streams`."""
        stream = self._streams.get(name)
        if stream is None:
            limit = min(self._max_streams, self._slot.max_streams or self._max_streams)
            if len(self._streams) >= limit:
                raise RefusedError(
                    DropReason.STREAMS, f"stream {name!r} beyond max_streams {limit}"
                )
            self._streams[name] = stream = self._open(name)
            self._slot.streams = len(self._streams)
        return stream

    @abstractmethod
    def _open(self, name: str) -> S:
        """A new stream."""

    @abstractmethod
    def _take(self, message: Message) -> S:
        """Let a message do what it does; the stream it was for. RefusedError: nothing was done."""

    @abstractmethod
    def _to_answer(self, stream: S) -> bool:
        """Whether a result is due after a message, by `on`."""

    @abstractmethod
    def _write(self, stream: S, first: int, cost: Cost) -> bytes:
        """The result that covers the messages from `first` to the stream's last; empty where output
        steps have nothing to say.
        """

    def _decide(self, stream: S, t_us: int, codes: Buffer, inputs: Sequence[int] = ()) -> None:
        """Let output steps, where there are any, look at an answer of the network at `t_us`.

        `codes`: of all outputs; `inputs`: of all inputs where steps need them. What alert rules
        tell goes before the stream's next result.
        """
        if stream.steps is None or stream.missing:
            return
        for topic, payload in stream.steps.push(t_us, stream.seq, codes, inputs):
            self._early.append(Done(None, topic, payload, passing=True))

    def _unanswered(self, stream: S, receipt: Receipt | None) -> Done:
        """What becomes of a message that no result follows."""
        if stream.missing or self._output.on in ("window", "always"):
            return self._hold(stream, receipt)
        return self._without_result(receipt)

    def _plan(self, stream: S) -> None:
        if not stream.missing and stream.name not in self._due and not self._is_silent(stream):
            now_s = self._clock_ns() / 1e9
            period_s = self._output.interval_s or 0.0
            # A stream that was quiet answers at once, then at most once an interval.
            stream.due_s = max(now_s, stream.due_s + period_s)
            self._due[stream.name] = stream

    def _is_silent(self, stream: S) -> bool:
        """Whether output steps have given nothing that could be said."""
        return stream.steps is not None and not stream.steps.has_news

    def _hold(self, stream: S, receipt: Receipt | None) -> Done:
        """Leave the message to the result that will cover it."""
        if receipt is not None:
            stream.held.append(receipt)
            receipt.held = True
        return Done(None)

    def _without_result(self, receipt: Receipt | None, covers: tuple[Receipt, ...] = ()) -> Done:
        """What ends messages that no result follows: the last event that they led to, if any."""
        if not self._early or (receipt is None and not covers):
            return Done(receipt, covers=covers)
        last = self._early.pop()
        return dataclasses.replace(last, receipt=receipt, covers=(*last.covers, *covers))

    def _answer(self, stream: S, receipt: Receipt | None) -> Done:
        answered = stream.answered
        first, stream.answered = min(answered + 1, stream.seq), stream.seq
        cost, stream.cost = stream.cost, Cost()
        payload = self._write(stream, first, cost)
        covers = tuple(stream.held)
        stream.held.clear()
        if not payload:  # nothing to say: a later result covers these messages
            stream.answered, stream.cost = answered, cost
            return self._without_result(receipt, covers)
        if self._drives is not None:
            self._early += self._drives.drive(stream.name, payload)
        return Done(receipt, stream.topic, payload, covers=covers)

    def _refuse(self, reason: DropReason, detail: str) -> None:
        self._refused(reason, detail, self._slot.count_drop(reason))
