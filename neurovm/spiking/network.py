# SPDX-License-Identifier: Apache-2.0
"""Network: populations of neurons and projections between them, in real units.

    net = Network(dt_us=1000.0)
    x = net.input((784,), "pixels")
    h = net.population((256,), LIF(tau_us=20_000.0), "hidden")
    net.project(x, h, Dense(weights))
    net.output(h)

In every tick of dt_us each population hears what its sources sent: without delay what they sent in
this very tick (so a cycle needs a delay), with a delay what they sent that much earlier. A network
becomes integers in `neurovm.spiking.quantize` and a program in `neurovm.spiking_program`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, get_args

from neurovm.errors import ModelError
from neurovm.spiking.neurons import CHIPS, Neuron
from neurovm.spiking.shapes import check_synapses, is_number, whole_ticks
from neurovm.spiking.synapses import Sparse, merged

if TYPE_CHECKING:
    from neurovm.spiking.synapses import Synapses

Shape = tuple[int, ...]
MAX_NEURONS = (1 << 31) - 1
MAX_DELAY = 65535
"""Ticks."""


@dataclass(frozen=True, slots=True)
class Node:
    """A population or an input of one network. Three axes are (channels, height, width)."""

    index: int
    name: str
    shape: Shape
    neuron: Neuron | None
    """None: an input."""

    @property
    def n(self) -> int:
        return math.prod(self.shape)

    @property
    def hwc(self) -> bool:
        """Whether its neurons are numbered with the channel last: images but inputs."""
        return self.neuron is not None and len(self.shape) == 3


@dataclass(frozen=True, slots=True)
class Edge:
    """A projection; `delay` in ticks."""

    source: Node
    target: Node
    synapses: Synapses
    delay: int


@dataclass(slots=True)
class Network:
    """What is to be built; every method checks what it is given and raises ModelError."""

    dt_us: float
    name: str = "network"
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not is_number(self.dt_us) or not 0 < self.dt_us < math.inf:
            raise ModelError(
                f"{self.name}: a tick of {self.dt_us!r} µs; more than 0, finite, is accepted"
            )
        self.dt_us = float(self.dt_us)  # as the manifest has it, whose bytes are hashed

    def input(self, shape: int | Sequence[int], name: str = "") -> Node:
        """A source of spikes from outside; an image is (channels, height, width)."""
        return self._add(shape, None, name or f"input {len(self.nodes)}")

    def population(self, shape: int | Sequence[int], neuron: Neuron, name: str = "") -> Node:
        """Neurons of one kind."""
        if not isinstance(neuron, get_args(Neuron)):
            kinds = ", ".join(kind.__name__ for kind in get_args(Neuron))
            raise ModelError(
                f"{self.name}: a population of {neuron!r:.60}; one of {kinds} is accepted"
            )
        return self._add(shape, neuron, name or f"population {len(self.nodes)}")

    def project(
        self, source: Node, target: Node, synapses: Synapses, delay_us: float = 0.0
    ) -> Edge:
        """Synapses from one population to another, all `delay_us` late: whole ticks."""
        for end in (source, target):
            if not isinstance(end, Node):
                raise ModelError(
                    f"{self.name}: a projection to or from {end!r:.60}; what input() and "
                    f"population() return is accepted"
                )
        where = f"{self.name}: {source.name!r} → {target.name!r}"
        for node in (source, target):
            if node.index >= len(self.nodes) or self.nodes[node.index] is not node:
                raise ModelError(f"{where}: {node.name!r} belongs to another network")
        if target.neuron is None:
            raise ModelError(f"{where}: an input is driven from outside, no projection reaches it")
        delay = whole_ticks(delay_us, self.dt_us, f"{where}: a delay")
        if delay > MAX_DELAY:
            raise ModelError(f"{where}: a delay of {delay} ticks; at most {MAX_DELAY} are accepted")
        check_synapses(source, target, synapses, where)
        if isinstance(synapses, Sparse) and type(target.neuron) not in CHIPS:
            synapses = merged(synapses)  # chips clip the weights one by one
        edge = Edge(source, target, synapses, delay)
        self.edges.append(edge)
        return edge

    def output(self, population: Node) -> None:
        """Its spikes, and its potentials, are part of the answer; in the order of the ticks."""
        if population.neuron is None:
            raise ModelError(f"{self.name}: input {population.name!r} cannot be an output")
        if population not in self.outputs:
            self.outputs.append(population)

    def ordered(self) -> list[Node]:
        """Inputs, then populations in an order in which no projection without delay leads back."""
        waiting = {node.index: set[int]() for node in self.nodes}
        for edge in self.edges:
            if not edge.delay and not _chip_delay(edge):
                waiting[edge.target.index].add(edge.source.index)
        order: list[Node] = []
        while waiting:
            ready = [i for i, sources in waiting.items() if not sources & waiting.keys()]
            if not ready:
                raise ModelError(f"{self.name}: {self._cycle(waiting)}; one delay is needed in it")
            ready.sort(key=lambda i: (self.nodes[i].neuron is not None, i))
            order.append(self.nodes[ready[0]])
            del waiting[ready[0]]
        return sorted(order, key=lambda node: node.neuron is not None)

    def numerics(self) -> str:
        """`native`, or the chip whose neurons it is made of. ModelError where they are mixed."""
        found = {CHIPS.get(type(n.neuron), "native") for n in self.nodes if n.neuron is not None}
        if len(found) > 1:
            raise ModelError(
                f"{self.name}: neurons of {', '.join(sorted(found))} in one network; one of them "
                f"is accepted"
            )
        return found.pop() if found else "native"

    def _cycle(self, waiting: dict[int, set[int]]) -> str:
        """One of the cycles without delay, in words."""
        path = [min(waiting)]
        while path[-1] not in path[:-1]:
            path.append(min(waiting[path[-1]] & waiting.keys()))
        loop = path[path.index(path[-1]) :][::-1]
        return "a cycle without delay: " + " → ".join(repr(self.nodes[i].name) for i in loop)

    def _add(self, shape: int | Sequence[int], neuron: Neuron | None, name: str) -> Node:
        axes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
        whole = all(isinstance(axis, Integral) for axis in axes)
        if not whole or not axes or min(axes) < 1 or math.prod(axes) > MAX_NEURONS:
            raise ModelError(
                f"{self.name}: {name!r} has shape {axes}; whole numbers above 0, at most "
                f"{MAX_NEURONS} neurons, are accepted"
            )
        if any(node.name == name for node in self.nodes):
            raise ModelError(f"{self.name}: {name!r} is there twice")
        node = Node(len(self.nodes), name, tuple(int(a) for a in axes), neuron)
        self.nodes.append(node)
        return node


def _chip_delay(edge: Edge) -> bool:
    """Whether the target's kind adds a tick of its own."""
    return CHIPS.get(type(edge.target.neuron)) == "loihi"
