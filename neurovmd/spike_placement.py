# SPDX-License-Identifier: Apache-2.0
"""When what a message brings happens: by its own times, by its arrival, or after the one before.

Everything that a message may be refused for has been looked at before anything is placed.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from neurovm.encoders import Stream as EncoderStream
from neurovm.errors import EventError
from neurovm.events import Events
from neurovmd import log
from neurovmd.overhearing import Overheard
from neurovmd.refusal import RefusedError
from neurovmd.schema import Vm
from neurovmd.shared import DropReason, Slot
from neurovmd.spike_clock import Pending, Ticks, from_on, shifted
from neurovmd.spike_inputs import EncodedBinding, Samples, SpikeInputs, SpikeUpdate
from neurovmd.spike_model import SpikeSession
from neurovmd.spike_result import Heard
from neurovmd.stream_table import AnyStream, StreamTable

MOST_TICKS = 10_000_000
"""Ticks that one message may lead over: a network that never sleeps takes seconds for them."""


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
    window they are of. `restarts`: how often its payloads' time made it begin anew.
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
    restarts: int = 0


class SpikePlacement(StreamTable[SpikeStream]):
    """The part of `SpikeStreams` that knows of time; `dt_us` is the network's tick."""

    def __init__(
        self,
        vm: Vm,
        inputs: SpikeInputs,
        dt_us: float,
        slot: Slot,
        clock_ns: Callable[[], int],
        refused: Callable[[DropReason, str, int], None],
    ) -> None:
        super().__init__(vm, slot, clock_ns, refused)
        self._inputs, self._time = inputs, vm.time
        self.overheard = Overheard(inputs.bindings)
        self._ticks = Ticks(dt_us)
        longest_us = self._ticks.start_us(MOST_TICKS)
        self._gap_us = min(round(vm.time.idle_reset_s * 1e6), longest_us)

    @abstractmethod
    def _restart(self, stream: SpikeStream, origin_us: int | None) -> None:
        """Begin a stream's session and encoders anew, after all that was heard before."""

    @abstractmethod
    def _count_late(self, stream: SpikeStream, count: int) -> None:
        """Count and name events that are let go."""

    def _check(self, stream: SpikeStream, update: SpikeUpdate) -> None:
        """RefusedError where a value is none that its encoder takes."""
        for samples in update.samples:
            try:
                encoding = stream.encodings[samples.binding.number]
                encoding.stream.check(self._merged(encoding, samples))
            except EventError as error:
                raise RefusedError(DropReason.VALUE, str(error)) from None

    def _check_span(self, update: SpikeUpdate) -> None:
        """RefusedError for a message over more time than a stream may be idle."""
        spans = [e.times_us[-1] - e.times_us[0] for e in update.events if e.times_us]
        stamps = [samples.t_us for samples in update.samples if samples.t_us is not None]
        if stamps:
            spans.append(max(stamps) - min(stamps))
        if max(spans, default=0) > self._gap_us:
            found = f"events over {max(spans) / 1e6:g} s in a message"
            accepted = f"at most {self._gap_us / 1e6:g} (time.idle_reset_s)"
            raise RefusedError(DropReason.VALUE, f"found {found}; accepted: {accepted}")

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
            self._log_restart(stream, first_us, now_us)
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

    @staticmethod
    def _log_restart(stream: SpikeStream, t_us: int, expected_us: int) -> None:
        """The 1st, 2nd, 4th, … of a stream: a sender whose clock jumps about fills no journal."""
        stream.restarts = total = stream.restarts + 1
        if total & (total - 1) == 0:
            said = {"t_us": t_us, "expected_us": expected_us, "total": total}
            log.warning("stream.restarted", stream=stream.name, **said)

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
