# SPDX-License-Identifier: Apache-2.0
"""From results to actuators: what they are told, how fast it may change, and when it is safe.

Used by the compute thread of a worker. A topic with `{stream}` is one actuator a stream, any other
one for all. Only the newest word counts: what has not been sent yet is replaced, and after a lost
connection nothing old is repeated.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from neurovmd import topics
from neurovmd.field_path import follow, steps
from neurovmd.outlets import Actuator
from neurovmd.stream_table import Done, Order

Word = float | str
NEVER_S = float("inf")
# How often a value that may change slowly is told on its way, where `every_s` does not say.
SLEW_EVERY_S = 0.1

_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class _Place:
    """One topic: what was told last and when, what is to be told, when an input was last heard."""

    actuator: Actuator
    topic: str
    heard_s: float
    told: Word | None = None
    told_s: float = -NEVER_S
    wanted: Word | None = None
    is_safe: bool = False

    def tell(self, value: Word, now_s: float) -> Done:
        self.told, self.told_s = value, now_s
        order = Order(self.actuator.qos, retain=self.actuator.retain)
        return Done(None, self.topic, self.actuator.said(value), order=order)

    def be_safe(self, now_s: float) -> list[Done]:
        """At once, however fast it may change otherwise."""
        self.wanted = None
        if self.actuator.safe is None:
            return []
        self.is_safe = True
        return [self.tell(self.actuator.safe, now_s)]

    def go_on(self, now_s: float) -> list[Done]:
        """Tell what is wanted, as far as it may be told now."""
        if self.wanted is None or now_s < self.free_s:
            return []
        value, told = self.wanted, self.told
        slew = self.actuator.slew
        if slew is not None and not isinstance(value, str) and isinstance(told, (int, float)):
            most = slew * min(now_s - self.told_s, self.step_s)
            value = min(max(value, told - most), told + most)
        if value == self.wanted:
            self.wanted = None
        return [self.tell(value, now_s)]

    @property
    def step_s(self) -> float:
        """The time between two words on the way of a value that may change slowly."""
        return self.actuator.every_s or SLEW_EVERY_S

    @property
    def free_s(self) -> float:
        """When it may be told again."""
        slow = self.actuator.slew is not None
        return self.told_s + (self.step_s if slow else self.actuator.every_s or 0.0)

    @property
    def stale_s(self) -> float:
        """When it is to be safe."""
        stale_s = self.actuator.stale_s
        return NEVER_S if self.is_safe or stale_s is None else self.heard_s + stale_s


class Actuators:
    """All actuators of a VM; `names` are what its topics are filled with."""

    def __init__(
        self,
        actuators: Sequence[Actuator],
        names: Mapping[str, str],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._actuators = [(each, steps(each.value)) for each in actuators]
        self._names, self._clock_ns = names, clock_ns
        self._places: dict[tuple[int, str], _Place] = {}
        self._at_start = True

    def heard(self, stream: str) -> None:
        """A message of a stream was accepted."""
        now_s = self._now_s()
        for place in self._of(stream, now_s):
            place.heard_s = now_s

    def drive(self, stream: str, payload: bytes) -> list[Done]:
        """What a result leads to."""
        now_s = self._now_s()
        result = _decode(payload)
        done: list[Done] = []
        for place, (_, path) in zip(self._of(stream, now_s), self._actuators, strict=True):
            value = _word(place.actuator, follow(result, path))
            if value is None:
                done += [] if place.is_safe else place.be_safe(now_s)
                continue
            place.wanted, place.is_safe = value, False
            done += place.go_on(now_s)
        return done

    def due(self) -> list[Done]:
        """What time leads to: a value that was told too fast, or is on its way, or is stale."""
        now_s = self._now_s()
        done: list[Done] = []
        if self._at_start:
            self._at_start = False
            done += [word for place in self._fixed(now_s) for word in place.be_safe(now_s)]
        for place in self._places.values():
            if now_s >= place.stale_s:
                done += place.be_safe(now_s)
            else:
                done += place.go_on(now_s)
        return done

    def next_due_s(self) -> float | None:
        """Seconds until `due` has something; None while nothing waits."""
        if self._at_start:
            return 0.0
        times = [
            min(place.stale_s, NEVER_S if place.wanted is None else place.free_s)
            for place in self._places.values()
        ]
        first_s = min(times, default=NEVER_S)
        return None if first_s == NEVER_S else max(0.0, first_s - self._now_s())

    def stop(self) -> list[Done]:
        """The end: every actuator is safe."""
        now_s = self._now_s()
        self._fixed(now_s)
        return [word for place in self._places.values() for word in place.be_safe(now_s)]

    def _of(self, stream: str, now_s: float) -> list[_Place]:
        return [self._place(at, stream, now_s) for at in range(len(self._actuators))]

    def _fixed(self, now_s: float) -> list[_Place]:
        """Those whose topic is known before any stream is."""
        fixed = [at for at, (each, _) in enumerate(self._actuators) if not is_per_stream(each)]
        return [self._place(at, "", now_s) for at in fixed]

    def _place(self, at: int, stream: str, now_s: float) -> _Place:
        actuator, _ = self._actuators[at]
        key = at, stream if is_per_stream(actuator) else ""
        place = self._places.get(key)
        if place is None:
            topic = topics.fill(actuator.topic, {**self._names, "stream": stream})
            place = self._places[key] = _Place(actuator, topic, now_s)
            if isinstance(actuator.safe, (int, float)):
                place.told = actuator.safe  # from where a value that changes slowly begins
        return place

    def _now_s(self) -> float:
        return self._clock_ns() / 1e9


def is_per_stream(actuator: Actuator) -> bool:
    """Whether each stream has one of its own."""
    return "{stream}" in actuator.topic


def safe_words(
    actuators: Sequence[Actuator], names: Mapping[str, str], streams: Sequence[str]
) -> Iterator[tuple[str, bytes, Actuator]]:
    """What is told for a worker that cannot any more: topic, payload and how."""
    for actuator in actuators:
        if actuator.safe is None:
            continue
        payload = actuator.said(actuator.safe)
        for stream in streams if is_per_stream(actuator) else ("",):
            yield topics.fill(actuator.topic, {**names, "stream": stream}), payload, actuator


def _word(actuator: Actuator, found: object) -> Word | None:
    """What a value of a result says to an actuator; None where it says nothing."""
    if actuator.map is not None:
        return actuator.map.get(_key(found))
    if isinstance(found, str):
        return found if actuator.slew is None and actuator.low is actuator.high is None else None
    if not isinstance(found, (int, float)) or not math.isfinite(found):
        return None
    return actuator.held(found)


def _key(found: object) -> str:
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found)
