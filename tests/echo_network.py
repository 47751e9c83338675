# SPDX-License-Identifier: Apache-2.0
"""A spiking network that hides nothing: it repeats what it hears, and says when it was run.

Output i spikes in the tick in which input i does; its potential is the number of its spikes so far.
What it refuses is what a session must refuse: late events, disorder, addresses out of range.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class EchoTensor:
    name: str
    size: int
    labels: tuple[str, ...] | None = None


@dataclass(slots=True)
class EchoSession:
    n: int
    tick: int = 0
    spikes: list[tuple[int, int]] = field(default_factory=list)
    resets: int = 0
    counts: array = field(default_factory=lambda: array("i"))

    def __post_init__(self) -> None:
        self.counts = array("i", bytes(4 * self.n))

    @property
    def potentials(self) -> memoryview:
        return memoryview(self.counts)

    def reset(self) -> None:
        self.tick, self.resets = 0, self.resets + 1
        self.counts = array("i", bytes(4 * self.n))

    def advance_ticks(self, ticks: array, addresses: array, until: int) -> tuple[array, array]:
        assert list(ticks) == sorted(ticks)
        assert all(0 <= at < self.n for at in addresses)
        assert not ticks or ticks[0] >= self.tick, "an event before the session's tick"
        assert not ticks or ticks[-1] < until
        self.tick = max(self.tick, until)
        order = sorted(zip(ticks, addresses, strict=True))
        self.spikes += order
        for _, at in order:
            self.counts[at] += 1
        return array("q", [tick for tick, _ in order]), array("I", [at for _, at in order])


class EchoModel:
    """As far as the daemon looks at a spiking model."""

    timed = True
    sha256 = "0" * 64
    backend = kind = "cpu"
    neuron, coding = "lif", "spikes"
    stateful = True
    profile = "xnnpack"

    def __init__(
        self,
        *sizes: int,
        dt_us: float = 1000.0,
        readout: bool = False,
        labels: tuple[str, ...] | None = None,
    ) -> None:
        self.dt_us = dt_us
        self.inputs = tuple(EchoTensor(f"in{at}", size) for at, size in enumerate(sizes))
        self.outputs = (EchoTensor("out", sum(sizes), labels),)
        self.readouts = (readout,)
        self.potential_scales = ((0.5, 0.0),)
        self.sessions: list[EchoSession] = []

    def session(self, *, counters: Any = None) -> EchoSession:
        del counters
        self.sessions.append(EchoSession(sum(each.size for each in self.inputs)))
        return self.sessions[-1]
