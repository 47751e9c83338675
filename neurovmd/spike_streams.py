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
from dataclasses import dataclass, field

from neurovm.encoders import Stream as EncoderStream
from neurovm.errors import EventError
from neurovm.events import Events
from neurovmd import log
from neurovmd.mailbox import Message
from neurovmd.refusal import RefusedError
from neurovmd.result import Cost
from neurovmd.schema import Time, Vm
from neurovmd.shared import DropReason, Slot
from neurovmd.spike_clock import Pending, Ticks, from_on, shifted
from neurovmd.spike_inputs import EncodedBinding, Samples, SpikeInputs, SpikeUpdate
from neurovmd.spike_model import SpikeModel, SpikeSession
from neurovmd.spike_result import Heard, SpikeWriter
from neurovmd.stream_table import AnyStream, Done, StreamTable, log_refusal

MOST_PENDING = 1 << 20
"""Events that may wait for their tick to be over, or for their result; beyond, they do not."""

_SOPS, _DENSE_MACS = 3, 4


@dataclass(slots=True)
class Encoding:
    """An encoder of a stream: its state and its last values."""

    stream: EncoderStream
    values: array[float]


@dataclass(slots=True, kw_only=True)
class SpikeStream(AnyStream):
    """One sensor key of a spiking network.

    `origin_us` is the time, by the stream's own clock, of the session's beginning (None: not yet
    known). `heard` are the output spikes since the last result, `window_us` the beginning of the
    window they are of.
    """

    session: SpikeSession
    encodings: dict[int, Encoding]
    origin_us: int | None = None
    now_us: int = 0
    pending: Pending = field(default_factory=Pending)
    heard: Heard = field(default_factory=Heard)
    window: int = 0
    answered_us: int = 0
    potentials: bytes = b""
    patience_s: float | None = None


def log_late(stream: str, count: int, total: int) -> None:
    """Log the 1st, 2nd, 4th, 8th, ... late event."""
    if total.bit_length() != (total - count).bit_length():
        log.warning("events.late", stream=stream, events=count, total=total)


class SpikeStreams(StreamTable[SpikeStream]):
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
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        work_ns: Callable[[], int] | None = None,
        refused: Callable[[DropReason, str, int], None] = log_refusal,
        late: Callable[[str, int, int], None] | None = None,
    ) -> None:
        super().__init__(vm, slot, clock_ns, refused)
        self._model, self._inputs, self._writer = model, inputs, writer
        self._topic, self._wall_ns = topic, wall_ns
        self._work_ns = work_ns or clock_ns
        self._time: Time = vm.time
        self._ticks = Ticks(model.dt_us)
        self._gap_us = round(vm.time.idle_reset_s * 1e6)
        window_s = vm.output.window_s
        self._window_us = None if window_s is None else max(1, round(window_s * 1e6))
        self._late = late or log_late
        self._patient: dict[str, SpikeStream] = {}

    # Streams

    def _open(self, name: str) -> SpikeStream:
        return SpikeStream(
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
        span_us = max((self._span_us(events) for events in update.events), default=0)
        if span_us > self._gap_us:
            found = f"events over {span_us / 1e6:g} s in a message"
            accepted = f"at most {self._gap_us / 1e6:g} (time.idle_reset_s)"
            raise RefusedError(DropReason.VALUE, f"found {found}; accepted: {accepted}")
        stream = self._stream(update.stream)
        for samples in update.samples:
            try:
                encoding = stream.encodings[samples.binding.number]
                encoding.stream.check(self._merged(encoding, samples))
            except EventError as error:  # a value that its encoder does not take
                raise RefusedError(DropReason.VALUE, str(error)) from None
        known_us = self._place(stream, update)
        stream.missing.difference_update(update.heard)
        stream.seq += 1
        if len(stream.pending) > MOST_PENDING:
            known_us = max(known_us, self._end_us(stream))
        self._run(stream, self._ticks.floor_us(known_us))
        self._wait(stream)
        return stream

    @staticmethod
    def _span_us(events: Events) -> int:
        return events.times_us[-1] - events.times_us[0] if events.times_us else 0

    def _place(self, stream: SpikeStream, update: SpikeUpdate) -> int:
        """Put what a message brings at its time; the time up to which all is known then."""
        source = self._inputs.source
        if source == "message":
            return self._place_next(stream, update)
        if source == "arrival":
            return self._place_arrived(stream, update)
        return self._place_stamped(stream, update)

    def _place_next(self, stream: SpikeStream, update: SpikeUpdate) -> int:
        """A message begins where the one before ended, and is over with its last tick."""
        if self._time.reset == "message":
            self._restart(stream, 0)
        stream.origin_us = 0
        start_us = end_us = stream.now_us
        for events in update.events:
            if events.times_us:
                stream.pending.add(shifted(events, start_us - events.times_us[0]))
        for samples in update.samples:
            end_us = max(end_us, self._encode(stream, samples, start_us))
        return max(end_us, self._end_us(stream))

    def _end_us(self, stream: SpikeStream) -> int:
        """When all is over that a stream still holds."""
        if not len(stream.pending):
            return stream.now_us
        return self._ticks.start_us(self._ticks.at(stream.pending.times_us[-1]) + 1)

    def _place_arrived(self, stream: SpikeStream, update: SpikeUpdate) -> int:
        """A message's first event is now; nothing is late."""
        at_us = self._clock_ns() // 1000
        origin_us = stream.origin_us
        if origin_us is None or at_us - origin_us - stream.now_us > self._gap_us:
            self._restart(stream, at_us)
            origin_us = at_us
        known_us = at_us - origin_us
        start_us = max(known_us, stream.now_us)
        for events in update.events:
            if events.times_us:
                stream.pending.add(shifted(events, start_us - events.times_us[0]))
        for samples in update.samples:
            self._encode(stream, samples, start_us)
        return known_us

    def _place_stamped(self, stream: SpikeStream, update: SpikeUpdate) -> int:
        """A message's times are its own; what is before the session's is late."""
        firsts = [events.times_us[0] for events in update.events if events.times_us]
        lasts = [events.times_us[-1] for events in update.events if events.times_us]
        stamps = [samples.t_us for samples in update.samples if samples.t_us is not None]
        if not firsts and not stamps:
            return stream.now_us
        first_us, last_us = min(firsts + stamps), max(lasts + stamps)
        if stream.origin_us is None:
            stream.origin_us = first_us
        now_us = stream.origin_us + stream.now_us
        origin_us = stream.origin_us
        if first_us - now_us > self._gap_us or now_us - last_us > self._gap_us:
            log.warning("stream.restarted", stream=stream.name, t_us=first_us, expected_us=now_us)
            self._restart(stream, first_us)
            origin_us = first_us
        for events in update.events:
            moved = shifted(events, -origin_us)
            timely = from_on(moved, stream.now_us)
            late = len(moved.times_us) - len(timely.times_us)
            self._count_late(stream, late)
            stream.pending.add(timely)
        for samples in update.samples:
            if samples.t_us is not None:
                start_us = samples.t_us - origin_us
                if start_us < stream.now_us:
                    self._count_late(stream, 1)
                self._encode(stream, samples, max(start_us, stream.now_us))
        return last_us - origin_us

    def _encode(self, stream: SpikeStream, samples: Samples, start_us: int) -> int:
        """Make spikes of a sample from a time on; when they are over.

        They take the place of what is left of the sample before, if that lasts longer. Before every
        element was heard, where that is waited for, values are only kept.
        """
        binding, encoder, ticks = samples.binding, samples.binding.encoder, self._ticks
        encoding = stream.encodings[binding.number]
        encoding.values = self._merged(encoding, samples)
        if self._still_missing(stream, binding, samples):
            return start_us
        tick = ticks.at(start_us)
        if not encoder.signals:
            end = binding.first + binding.n * encoder.channels
            stream.pending.withdraw(ticks.start_us(tick), binding.first, end)
        spikes = encoding.stream.push(encoding.values)
        times_us = array("q", [ticks.start_us(tick + k) for k in spikes.ticks])
        addresses = array("I", [binding.first + at for at in spikes.addresses])
        stream.pending.add(Events(times_us, addresses))
        return ticks.start_us(tick + encoder.ticks)

    @staticmethod
    def _merged(encoding: Encoding, samples: Samples) -> array[float]:
        """The last values, with those of a sample."""
        values = array("d", encoding.values)
        for at, value in zip(samples.indices, samples.values, strict=True):
            values[at - samples.binding.number] = value
        return values

    @staticmethod
    def _still_missing(stream: SpikeStream, binding: EncodedBinding, samples: Samples) -> bool:
        own = set(range(binding.number, binding.number + binding.n)) & stream.missing
        return bool(own - set(samples.indices))

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
        return self._writer.write(
            stream.name,
            (first, stream.seq),
            self._wall_ns() // 1000,
            span,
            heard,
            potentials,
            origin_us,
            cost,
        )
