# SPDX-License-Identifier: Apache-2.0
"""The streams of a VM whose network spikes: events in, sessions by time stamps, results out.

A result covers the output spikes since the one before it (`on: window`: those of a window of the
stream's own time; windows without any spike, in or out, have none). Events that come when their
tick has been run are late: they are counted and named, and the others of their message count. A
message that is refused leaves everything as it was.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable

from neurovmd import log
from neurovmd.mailbox import Message
from neurovmd.result import Cost
from neurovmd.schema import Vm
from neurovmd.shared import DropReason, Slot
from neurovmd.spike_inputs import SpikeInputs
from neurovmd.spike_model import SpikeModel
from neurovmd.spike_placement import Encoding, SpikePlacement, SpikeStream
from neurovmd.spike_result import Heard, SpikeWriter
from neurovmd.stepping import StepChain, StepState
from neurovmd.stream_table import Done, log_refusal

MOST_PENDING = 1 << 20
"""Events that may wait for their tick to be over, or for their result; beyond, they do not."""

_SOPS, _DENSE_MACS = 3, 4


def log_late(stream: str, count: int, total: int) -> None:
    """Log the 1st, 2nd, 4th, 8th, ... late event."""
    if total.bit_length() != (total - count).bit_length():
        log.warning("events.late", stream=stream, events=count, total=total)


class SpikeStreams(SpikePlacement):
    """As `Streams`, for spiking networks; `late` hears of late events, after they were counted: the
    stream, how many, and how many in all.
    """

    def __init__(
        self,
        vm: Vm,
        model: SpikeModel,
        inputs: SpikeInputs,
        writer: SpikeWriter,
        topic: Callable[[str], str],
        slot: Slot,
        *,
        chain: StepChain | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        work_ns: Callable[[], int] | None = None,
        refused: Callable[[DropReason, str, int], None] = log_refusal,
        late: Callable[[str, int, int], None] | None = None,
    ) -> None:
        super().__init__(vm, inputs, model.dt_us, slot, clock_ns, refused)
        self._chain = chain
        self._model, self._writer = model, writer
        self._topic, self._wall_ns = topic, wall_ns
        self._work_ns = work_ns or clock_ns
        window_s = vm.output.window_s
        self._window_us = None if window_s is None else max(1, round(window_s * 1e6))
        self._late = late or log_late
        self._patient: dict[str, SpikeStream] = {}

    # Streams

    def _open(self, name: str) -> SpikeStream:
        stream = SpikeStream(
            name=name,
            topic=self._topic(name),
            missing=set(self._inputs.expected) if self._output.wait_for == "all" else set(),
            session=self._model.session(counters=self._slot.counters),
            encodings={
                each.number: Encoding(
                    each.encoder.stream(each.n), array("d", [each.initial]) * each.n
                )
                for each in self._inputs.encoded
            },
        )
        if self._chain is not None:
            stream.steps = self._chain.open(name)
        return stream

    def _restart(self, stream: SpikeStream, origin_us: int | None) -> None:
        """Begin the session and its encoders anew, after all that was heard before."""
        self._run(stream, self._end_us(stream))
        if self._window_us and stream.heard.any and not stream.missing:
            self._early.append(self._answer(stream, None))
        stream.session.reset()
        for encoding in stream.encodings.values():
            encoding.stream.reset()
        stream.origin_us, stream.now_us, stream.window, stream.answered_us = origin_us, 0, 0, 0

    def _count_late(self, stream: SpikeStream, count: int) -> None:
        if not count:
            return
        before = self._slot.late_events
        self._slot.late_events = total = before + count
        stream.heard.late += count
        self._late(stream.name, count, total)

    # Messages

    def _take(self, message: Message) -> SpikeStream:
        update = self._inputs.read(message.topic, message.payload)
        self._check_span(update)
        stream = self._stream(update.stream)
        self._check(stream, update)
        known_us = self._place(stream, update)
        stream.missing.difference_update(update.heard)
        stream.seq += 1
        if len(stream.pending) > MOST_PENDING:
            known_us = max(known_us, self._end_us(stream))
        self._run(stream, self._ticks.floor_us(known_us))
        self._wait(stream)
        return stream

    # Running

    def _run(self, stream: SpikeStream, until_us: int) -> None:
        """Run all ticks before `until_us`, which begins one, window by window."""
        if until_us <= stream.now_us:
            return
        counters, start_ns = self._slot.counters, self._work_ns()
        sops, macs = counters[_SOPS], counters[_DENSE_MACS]
        window_us = self._window_us
        while window_us is not None:
            end_us = self._ticks.floor_us((stream.window + 1) * window_us)
            if end_us > until_us:
                break
            self._advance(stream, end_us)
            if not stream.missing and stream.heard.any:
                stream.cost.compute_ns += self._work_ns() - start_ns
                self._early.append(self._answer(stream, None))
                start_ns = self._work_ns()
            stream.heard = Heard() if stream.heard.any else stream.heard
            stream.window += 1
            stream.answered_us = end_us
        self._advance(stream, until_us)
        cost = stream.cost
        cost.compute_ns += self._work_ns() - start_ns
        cost.sops += counters[_SOPS] - sops
        cost.dense_macs += counters[_DENSE_MACS] - macs

    def _advance(self, stream: SpikeStream, until_us: int) -> None:
        if until_us <= stream.now_us:
            return
        taken = stream.pending.take(until_us)
        ticks = self._ticks
        sent_ticks, sent = stream.session.advance_ticks(
            ticks.all_at(taken.times_us), taken.addresses, ticks.at(until_us)
        )
        stream.now_us = until_us
        stream.heard.events_in += len(taken.addresses)
        stream.heard.counts.update(sent)
        if self._output.form.is_events:
            stream.heard.times_us.extend([ticks.start_us(tick) for tick in sent_ticks])
            stream.heard.addresses += sent
        if len(stream.heard.addresses) > MOST_PENDING and not stream.missing:
            self._early.append(self._answer(stream, None))

    def _wait(self, stream: SpikeStream) -> None:
        """Plan when what is still held is to be run though nothing more is heard."""
        source = self._inputs.source
        held = len(stream.pending) or (self._window_us and stream.heard.any)
        if source == "message" or not held:
            self._patient.pop(stream.name, None)
            return
        last_us = stream.pending.times_us[-1] if len(stream.pending) else stream.now_us
        if self._window_us:
            window = last_us // self._window_us
            last_us = (window + 1) * self._window_us - 1
        ahead_s = (self._ticks.start_us(self._ticks.at(last_us) + 1) - stream.now_us) / 1e6
        patience_s = self._time.wait_s if source == "payload" else 0.0
        stream.patience_s = self._clock_ns() / 1e9 + max(ahead_s, 0.0) + patience_s
        self._patient[stream.name] = stream

    def due(self) -> list[Done]:
        """The results whose time has come."""
        now_s = self._clock_ns() / 1e9
        for stream in [each for each in self._patient.values() if (each.patience_s or 0) <= now_s]:
            self._settle(stream)
        return [*self._take_early(), *super().due()]

    def flush(self) -> list[Done]:
        """What still waits, at the end."""
        for stream in list(self._patient.values()):
            self._settle(stream)
        return [*self._take_early(), *super().flush()]

    def _take_early(self) -> list[Done]:
        early, self._early = self._early, []
        return early

    def next_due_s(self) -> float | None:
        """Seconds until `due` has something; None while nothing waits."""
        waits = [wait for wait in (super().next_due_s(),) if wait is not None]
        now_s = self._clock_ns() / 1e9
        waits += [max(0.0, (each.patience_s or 0) - now_s) for each in self._patient.values()]
        return min(waits, default=None)

    def _settle(self, stream: SpikeStream) -> None:
        """Run what a stream holds, and answer as if a message had come."""
        del self._patient[stream.name]
        end_us = self._end_us(stream)
        if self._window_us:
            window = max(stream.window, (end_us - 1) // self._window_us)
            end_us = max(end_us, self._ticks.floor_us((window + 1) * self._window_us))
        self._run(stream, end_us)
        if self._output.on == "interval":
            self._plan(stream)
        elif self._output.on != "window" and self._to_answer(stream):
            self._early.append(self._answer(stream, None))

    # Results

    def _to_answer(self, stream: SpikeStream) -> bool:
        if stream.missing or self._output.on == "window":
            return False
        if self._output.on == "always":
            return True
        potentials = bytes(stream.session.potentials) if self._writer.shows_potentials else b""
        return bool(stream.heard.counts) or potentials != stream.potentials

    def _write(self, stream: SpikeStream, first: int, cost: Cost) -> bytes:
        heard, stream.heard = stream.heard, Heard()
        potentials = stream.session.potentials
        if self._writer.shows_potentials:
            stream.potentials = bytes(potentials)
        origin_us = stream.origin_us or 0
        span = (origin_us + stream.answered_us, origin_us + stream.now_us)
        stream.answered_us = stream.now_us
        said = None
        if stream.steps is not None:
            if not self._decide_spikes(stream, stream.steps, span[1], heard):
                return b""
            said = stream.steps.tell()
        return self._writer.write(
            stream.name,
            (first, stream.seq),
            self._wall_ns() // 1000,
            span,
            heard,
            potentials,
            origin_us,
            cost,
            said,
        )

    def _decide_spikes(
        self, stream: SpikeStream, steps: StepState, t_us: int, heard: Heard
    ) -> bool:
        """Let output steps look at what a result would say; whether it is to be said."""
        values = self._writer.values(heard, stream.session.potentials)
        for topic, payload in steps.push_value(t_us, stream.seq, values):
            self._early.append(Done(None, topic, payload, passing=True))
        if not self._output.steps:
            return True
        return steps.is_change if self._output.on == "change" else steps.has_news

    def _is_silent(self, stream: SpikeStream) -> bool:
        """Its steps look at a result when it is due, not before."""
        del stream
        return False
