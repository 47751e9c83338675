# SPDX-License-Identifier: Apache-2.0
"""The time of one stream of a spiking network: what a message's times become in its session.

A session counts µs from 0; tick k is [k · dt, (k + 1) · dt). `now_us`, always the beginning of a
tick, is how far the session has run: what is before it is late. A tick runs when it is over, that
is when something later is known of, as two messages may share one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field

from neurovm.events import Events


class Ticks:
    """Ticks of `dt_us` microseconds, in whole numbers: nothing is rounded on the way."""

    def __init__(self, dt_us: float) -> None:
        self._n, self._d = dt_us.as_integer_ratio()

    def at(self, t_us: int) -> int:
        """The tick of a time."""
        return t_us * self._d // self._n

    def start_us(self, tick: int) -> int:
        """The first whole microsecond of a tick."""
        return -(-tick * self._n // self._d)

    def all_at(self, times_us: array[int]) -> array[int]:
        """The ticks of times."""
        n, d = self._n, self._d
        if d == 1:
            return array("q", [t // n for t in times_us])
        return array("q", [t * d // n for t in times_us])

    def floor_us(self, t_us: int) -> int:
        """The beginning of a time's tick."""
        return self.start_us(self.at(t_us))


@dataclass(slots=True)
class Pending:
    """Spikes that were heard of and not yet run, by (time, address)."""

    times_us: array[int] = field(default_factory=lambda: array("q"))
    addresses: array[int] = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        return len(self.times_us)

    def add(self, events: Events) -> None:
        """Events in order of time, merged with those that wait."""
        if not events.times_us:
            return
        merge = bool(self.times_us) and events.times_us[0] < self.times_us[-1]
        self.times_us += events.times_us
        self.addresses += events.addresses
        if merge:
            order = sorted(range(len(self.times_us)), key=self.times_us.__getitem__)
            self.times_us = array("q", [self.times_us[at] for at in order])
            self.addresses = array("I", [self.addresses[at] for at in order])

    def withdraw(self, from_us: int, first: int, end: int) -> None:
        """Remove those at `from_us` or later with addresses `first` … `end` − 1."""
        start = bisect_left(self.times_us, from_us)
        kept = [at for at in range(start, len(self)) if not first <= self.addresses[at] < end]
        self.times_us[start:] = array("q", [self.times_us[at] for at in kept])
        self.addresses[start:] = array("I", [self.addresses[at] for at in kept])

    def take(self, until_us: int) -> Events:
        """Remove and return those before `until_us`."""
        count = bisect_left(self.times_us, until_us)
        taken = Events(self.times_us[:count], self.addresses[:count])
        del self.times_us[:count], self.addresses[:count]
        return taken


def shifted(events: Events, by_us: int) -> Events:
    """The same events later by `by_us`."""
    if not by_us:
        return events
    return Events(array("q", [t + by_us for t in events.times_us]), events.addresses)


def from_on(events: Events, start_us: int) -> Events:
    """Those at `start_us` or later."""
    first = bisect_left(events.times_us, start_us)
    return Events(events.times_us[first:], events.addresses[first:]) if first else events
