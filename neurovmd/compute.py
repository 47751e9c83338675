# SPDX-License-Identifier: Apache-2.0
"""The compute thread of a worker: messages in, steps of sessions, results out.

With `on: always` each seq is answered by itself once the stream is complete (`wait_for`); before
that, and with `change` and `interval`, by the next result there is.

For a network that keeps state (`Model.stateful`) every accepted message is one step of time, also
one that changes nothing; a stream begins with its first message, and anew in a new worker.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neurovmd.mailbox import Mailbox, Message
from neurovmd.mapping import WHOLE, InputCodes, Inputs, Update, joined
from neurovmd.overhearing import Overheard
from neurovmd.pace import Pace
from neurovmd.result import Cost, ResultWriter
from neurovmd.schema import Vm
from neurovmd.shared import DropReason, Slot
from neurovmd.stepping import StepChain
from neurovmd.stream_table import AnyStream, Done, StreamTable, log_refusal

if TYPE_CHECKING:
    from neurovm import Model, Session

# Results are handed over at the end of a batch, or after this long within one.
HAND_OVER_NS = 1_000_000
PAUSE_LOOK_S = 0.25
MOST_REST_NS = 250_000_000
ROOM_LOOK_S = 0.02

_SOPS, _DENSE_MACS = 3, 4


@dataclass(slots=True, kw_only=True)
class Stream(AnyStream):
    """One sensor key of a network that answers by its codes.

    `first`: values of elements not heard yet, which a network that keeps state takes with the first
    message, as setting them before would be a step of its own. `held_inputs`: the codes of all
    inputs, where output steps look at them.
    """

    session: Session
    held_inputs: array[int] | None = None
    published: bytes | None = None
    first: tuple[array[int], InputCodes] | None = None


class Streams(StreamTable[Stream]):
    """The streams of a VM whose network answers by its codes.

    `wall_ns` is the time of day, `work_ns` measures the steps.
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
        chain: StepChain | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        work_ns: Callable[[], int] | None = None,
        refused: Callable[[DropReason, str, int], None] = log_refusal,
    ) -> None:
        super().__init__(vm, slot, clock_ns, refused)
        self._planes = vm.planes
        self._model, self._inputs, self._writer = model, inputs, writer
        self.overheard = Overheard(inputs.bindings)
        self._topic, self._wall_ns = topic, wall_ns
        self._work_ns = work_ns or clock_ns
        self._initial = inputs.initial()
        self._chain = chain

    def _open(self, name: str) -> Stream:
        session = self._model.session(counters=self._slot.counters)
        if self._planes != WHOLE:
            session.planes = self._planes
        first = self._initial if self._model.stateful else None
        if first is None:
            session.update(*self._initial)
        missing = set(self._inputs.expected) if self._output.wait_for == "all" else set()
        stream = Stream(
            name=name, topic=self._topic(name), session=session, missing=missing, first=first
        )
        if self._chain is not None:
            stream.steps = self._chain.open(name)
            if self._chain.needs_inputs:
                stream.held_inputs = self._model_inputs()
        return stream

    def _model_inputs(self) -> array[int]:
        """Codes of all inputs as a session begins, with those set that are not heard yet."""
        held = array("h", (i.zero_point for i in self._model.inputs for _ in range(i.size)))
        _set(held, *self._initial)
        return held

    def _take(self, message: Message) -> Stream:
        update = self._inputs.read(message.topic, message.payload)
        stream = self._stream(update.stream)
        self._step(stream, update)
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
        if stream.held_inputs is not None:
            _set(stream.held_inputs, indices, codes)
        if stream.steps is not None:
            start_ns, t_us = self._work_ns(), self._wall_ns() // 1000
            self._decide(stream, t_us, stream.session.output, stream.held_inputs or ())
            cost.compute_ns += self._work_ns() - start_ns

    def _to_answer(self, stream: Stream) -> bool:
        if stream.missing:
            return False
        steps = stream.steps
        if steps is not None and self._output.steps:
            return steps.has_news if self._output.on == "always" else steps.is_change
        if self._output.on == "always" or stream.published is None:
            return True
        return stream.session.changed and stream.session.output.tobytes() != stream.published

    def _write(self, stream: Stream, first: int, cost: Cost) -> bytes:
        codes = stream.session.output
        stream.published = codes.tobytes()
        start_ns = self._work_ns()
        answer = None if self._planes == WHOLE else stream.session.answer()
        cost.compute_ns += self._work_ns() - start_ns
        t_us = self._wall_ns() // 1000
        said = None if stream.steps is None else stream.steps.tell()
        return self._writer.write(stream.name, first, stream.seq, t_us, codes, cost, answer, said)


def _set(held: array[int], indices: array[int], codes: InputCodes) -> None:
    """Codes into those held; a later one wins."""
    view = memoryview(codes).cast("b") if isinstance(codes, bytes) else codes
    for at, code in zip(indices, view, strict=True):
        held[at] = int(code)


class Compute:
    """Runs `Streams` on its own thread, resting as its pace asks."""

    def __init__(
        self,
        streams: StreamTable[Any],
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
            done += self._streams.answers(message)
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
