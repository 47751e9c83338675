# SPDX-License-Identifier: Apache-2.0
"""The NumPy model of a spiking network: what the kernel must answer to a Plan, bit for bit.

It walks through every tick and follows the text of `neurovm.spiking.plan` line by line in int64,
group by group, without any of the kernel's shortcuts. `neurovm.reference.spiking_neurons` has the
kinds of neurons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurovm.reference.spiking_neurons import MOST_SPIKES, state_of
from neurovm.reference.synapses import by_delay, written_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurovm.spiking.plan import Plan

    Ints = NDArray[np.int64]


class Run(NamedTuple):
    """`spikes` (T, outputs) int64; `potentials` (T, outputs) int64, leaked to each tick."""

    spikes: Ints
    potentials: Ints


def _wrapped(x: Ints) -> Ints:
    """x modulo 2^32, as int32 would hold it."""
    return (x + (1 << 31)) % (1 << 32) - (1 << 31)


class Oracle:
    """One stream on a Plan. `tick` counts the ticks that are done."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._arriving = [
            (e.source, e.target, e.delay + late, part)
            for e in plan.projections
            for late, part in by_delay(
                written_out(e.synapses, plan.populations[e.source].n, plan.populations[e.target].n)
            )
        ]
        """Source, target, delay in ticks and synapses, of each projection and delay."""
        self._longest = max((delay for _, _, delay, _ in self._arriving), default=0)
        self.n_in = sum(p.n for p in plan.populations if p.kind == "input")
        self.n_out = sum(p.n for p in plan.populations if p.is_output)
        self.reset()

    def reset(self) -> None:
        """Back to the start."""
        self.tick = 0
        self._sent: dict[int, list[Ints]] = {}
        """The spikes of every population, of the ticks that delays still need."""
        self.states = [state_of(p) for p in self.plan.populations]

    def step(self, spikes: NDArray[np.integer]) -> Ints:
        """One tick: counts (n_in,) to counts (n_out,)."""
        sent: list[Ints] = []
        self._sent[self.tick] = sent
        at = 0
        for index, (population, state) in enumerate(
            zip(self.plan.populations, self.states, strict=True)
        ):
            if state is None:
                sent.append(np.asarray(spikes[at : at + population.n], np.int64))
                at += population.n
            else:
                sent.append(state.step(self.tick, *self._drive(index, population.n)))
        self._sent.pop(self.tick - self._longest, None)
        self.tick += 1
        return self._outputs(sent)

    def _drive(self, target: int, n: int) -> tuple[Ints, NDArray[np.bool_]]:
        """The sum that reaches each neuron of a population in this tick, and whether any did."""
        drive, reached = np.zeros(n, np.int64), np.zeros(n, np.bool_)
        for source, into, delay, synapses in self._arriving:
            then = self._sent.get(self.tick - delay)
            if into != target or then is None:
                continue
            count = then[source][synapses.source]
            live = count != 0
            to = synapses.target[live]
            np.add.at(drive, to, synapses.weight[live] * count[live])
            reached[to] = True
        return _wrapped(drive), reached

    def _outputs(self, parts: Sequence[Ints]) -> Ints:
        outputs = [
            part
            for part, population in zip(parts, self.plan.populations, strict=True)
            if population.is_output
        ]
        return np.concatenate([np.zeros(0, np.int64), *outputs])

    def potentials(self) -> Ints:
        """v of the output populations (n_out,), leaked to the last tick."""
        last = self.tick - 1
        return self._outputs(
            [np.zeros(0, np.int64) if s is None else s.potentials(last) for s in self.states]
        )

    def run(self, spikes: NDArray[np.integer]) -> Run:
        """Consecutive ticks: counts (T, n_in)."""
        rows = [(self.step(row), self.potentials()) for row in spikes]
        shape = (len(spikes), self.n_out)
        sent, v = ([r[i] for r in rows] for i in (0, 1))
        return Run(np.array(sent, np.int64).reshape(shape), np.array(v, np.int64).reshape(shape))

    def advance(self, events: Sequence[tuple[int, int]], until: int) -> list[tuple[int, int]]:
        """Timed: (tick, address) in, in order of ticks, and out; up to but excluding `until`.

        Those of one tick go out in the order of their addresses, once for every spike. Ticks in
        which nothing can happen are passed over.
        """
        waiting = list(events)
        out = []
        while self.tick < until:
            if self._still():
                self.tick = min(waiting[0][0] if waiting else until, until)
                if self.tick == until:
                    break
            row = np.zeros(self.n_in, np.int64)
            while waiting and waiting[0][0] == self.tick:
                row[waiting.pop(0)[1]] += 1
            tick = self.tick
            counts = self.step(np.minimum(row, MOST_SPIKES))
            out += [(tick, int(i)) for i in np.flatnonzero(counts) for _ in range(counts[i])]
        return out

    def _still(self) -> bool:
        """Whether nothing is awake and no spike under way."""
        asleep = not any(state.awake() for state in self.states if state is not None)
        return asleep and not any(part.any() for sent in self._sent.values() for part in sent)
