# SPDX-License-Identifier: Apache-2.0
"""quantized: a network in real units becomes a Plan of integers, with a report of what that cost.

Weights that a power of two makes whole stay exact; others are rounded to int8 or int16 (`auto`:
int8 where that is exact, or for the few synapses of large populations or with delays of their own,
else int16). The neurons of a chip take integers, and nothing is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking import plan
from neurovm.spiking.chips import chip_edges, chip_neurons
from neurovm.spiking.codes import WeightError, Weights, shared_unit
from neurovm.spiking.dynamics import dynamics
from neurovm.spiking.formats import Format, fixed_point
from neurovm.spiking.lowering import lowered
from neurovm.spiking.network import Edge, Network, Node
from neurovm.spiking.neurons import CHIPS, IF, SpeckIF
from neurovm.spiking.reach import drive_of
from neurovm.spiking.synapses import Dense

if TYPE_CHECKING:
    from neurovm.spiking.dynamics import Dynamics, Reals

_CONSTANT = "always on"
"""Name of the neuron that fires in every tick, for the bias of a current."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """`plan`; `nodes`: the network's, in the plan's order; and what became of the numbers."""

    plan: plan.Plan
    nodes: tuple[Node, ...]
    numerics: str
    weights: tuple[WeightError, ...]
    formats: tuple[Format, ...]


def quantized(network: Network, *, weights: Weights = "auto") -> Quantized:
    """The plan of a network. ModelError names what cannot be run or does not fit."""
    if weights not in get_args(Weights):
        raise ModelError(f"weights={weights!r}; accepted: {', '.join(get_args(Weights))}")
    if not network.outputs:
        raise ModelError(f"{network.name}: no population is an output")
    numerics = network.numerics()
    made = _Populations(network, weights)
    for node in network.ordered():
        made.add(node)
    if not made.built:
        raise ModelError(f"{network.name}: there is no population")
    return Quantized(
        plan=plan.Plan(tuple(made.built), tuple(made.projections()), network.dt_us),
        nodes=tuple(made.nodes),
        numerics=numerics,
        weights=tuple(made.errors),
        formats=tuple(made.formats),
    )


class _Populations:
    """Populations of the plan as they are made, and the edges that wait for their numbers."""

    def __init__(self, network: Network, weights: Weights) -> None:
        self.network = network
        self.weights: Weights = weights
        self.nodes: list[Node] = []
        self.built: list[plan.Population] = []
        self.errors: list[WeightError] = []
        self.formats: list[Format] = []
        self._made: list[tuple[Edge, plan.Synapses]] = []

    def add(self, node: Node) -> None:
        """One population and the projections into it."""
        edges = [e for e in self.network.edges if e.target is node]
        if node.neuron is None:
            self._append(node, plan.Population(node.name, node.n, "input"))
        elif type(node.neuron) in CHIPS:
            self._chip(node, edges)
        else:
            self._native(node, edges)

    def projections(self) -> list[plan.Projection]:
        """All projections, between numbers of the plan."""
        place = {node.index: i for i, node in enumerate(self.nodes)}
        return [
            plan.Projection(place[e.source.index], place[e.target.index], synapses, e.delay)
            for e, synapses in self._made
        ]

    def _append(self, node: Node, population: plan.Population) -> None:
        self.nodes.append(node)
        self.built.append(population)

    def _native(self, node: Node, edges: list[Edge]) -> None:
        where = self.network.name
        tick = dynamics(node, self.network.dt_us, where)
        if tick.current is not None and tick.current.bias.any():
            edges = [*edges, self._constant(node, tick.current.bias)]
        unit = shared_unit(edges, self.weights, f"{where}: {node.name!r}")
        drive = sum(drive_of(edge) for edge in edges)
        neurons, form = fixed_point(tick, unit, drive, node.name, where)
        self._project(edges, unit)
        self._append(node, self._population(node, neurons, form, tick))
        self.formats.append(form)

    def _population(
        self, node: Node, neurons: plan.Neurons, form: Format, tick: Dynamics
    ) -> plan.Population:
        pixels = node.hwc and node.shape[1] * node.shape[2] > 1
        return plan.Population(
            node.name,
            node.n,
            "lif" if neurons.leak_current is None else "cuba",
            neurons,
            node.shape[0] if pixels else 0,
            is_output=node in self.network.outputs,
            scale=form.unit,
            offset=tick.offset,
        )

    def _constant(self, node: Node, bias: Reals) -> Edge:
        """A neuron that fires in every tick, whose weights are the bias of each current."""
        name = f"{node.name} {_CONSTANT}"
        source = Node(-1 - node.index, name, (1,), IF(bias=1.0, v_threshold=0.5))
        one = np.array([1], np.int32)
        neurons = plan.Neurons(
            theta=one,
            reset_to=0 * one,
            leak=np.full((plan.LEAK_POWERS, 1), 1 << 31, np.uint32),
            gain=0 * one,
            bias=one,
            initial=0 * one,
        )
        self._append(source, plan.Population(name, 1, "lif", neurons))
        weights = np.broadcast_to(bias, node.n)
        if node.hwc:
            c, h, w = node.shape
            weights = weights.reshape(h, w, c).transpose(2, 0, 1).reshape(-1)
        return Edge(source, node, Dense(weights[:, None]), 0)

    def _project(self, edges: list[Edge], unit: float) -> None:
        for edge in edges:
            wide = edge.source.index < 0
            weights: Weights = "int16" if wide else self.weights
            made, error = lowered(edge, unit, weights, self.network.dt_us, self.network.name)
            self._made.append((edge, made))
            self.errors.append(error)

    def _chip(self, node: Node, edges: list[Edge]) -> None:
        where = f"{self.network.name}: {node.name!r}"
        edges = chip_edges(node, edges, where)
        neurons, kind = chip_neurons(node, where)
        pixels = isinstance(node.neuron, SpeckIF) and len(node.shape) == 3
        population = plan.Population(
            node.name,
            node.n,
            kind,
            neurons,
            node.shape[0] if pixels else 0,
            is_output=node in self.network.outputs,
        )
        self._project(edges, 1.0)
        self._append(node, population)
