# SPDX-License-Identifier: Apache-2.0
"""NIR: the Neuromorphic Intermediate Representation, from a file to a network in real units.

Every neuron of the file becomes a population, every path of linear nodes between two of them a
projection, its biases part of the neuron that hears them. What feeds an `Output` is the answer: a
firing neuron by its spikes, LI, CubaLI and I by their potential, a linear node by a readout whose
potential is what it hears.

A file carries no time step: `dt` says it. What else a file leaves open, a dialect says
(`nir_dialects.py`). Sources: NIR 1.0.8; `docs/nir.md`.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurovm.converters.nir_dialects import Dialect, dialect_of
from neurovm.converters.nir_file import RawGraph, read_file
from neurovm.converters.nir_graph import Graph, graph_of
from neurovm.converters.nir_linear import Convolution, Pool, as_synapses, simplified
from neurovm.converters.nir_neurons import Reader, microseconds, neuron_of, readout, relay
from neurovm.converters.nir_paths import Paths, Route
from neurovm.converters.nir_primitives import NEURONS, SILENT, Primitive
from neurovm.errors import ModelError
from neurovm.spiking.network import Network, Node

Shape = tuple[int, ...]


@dataclass(slots=True)
class Imported:
    """A network, and what the file left open and was decided here, in words."""

    network: Network
    version: str
    """Of NIR, as the file says it."""
    outputs: dict[str, str] = field(default_factory=dict)
    """The population that is the answer of each Output."""
    notes: list[str] = field(default_factory=list)


def read(
    source: str | os.PathLike[str],
    *,
    dt: float,
    dialect: str = "nir",
    name: str | None = None,
    **options: Any,
) -> Network:
    """The network in a .nir file.

    dt: seconds of a tick, > 0. dialect: a name of `DIALECTS`; options: single fields of `Dialect`
    in its place. Raises ModelError for a file, a dialect or a dt that cannot be used,
    UnsupportedOperatorError for a node with no exact rule here.
    """
    return imported(source, dt=dt, dialect=dialect, name=name, **options).network


def imported(
    source: str | os.PathLike[str],
    *,
    dt: float,
    dialect: str = "nir",
    name: str | None = None,
    **options: Any,
) -> Imported:
    """As `read`, with what was decided."""
    path = Path(source)
    chosen, seconds = dialect_of(dialect, **options), _seconds(dt, path.name)
    raw, version = read_file(path)
    found = network_of(raw, chosen, seconds, source=path.name, name=name or path.stem)
    found.version = version
    return found


def network_of(raw: RawGraph, dialect: Dialect, dt_s: float, *, source: str, name: str) -> Imported:
    """The network of a graph that is read already; `source` is named in errors."""
    graph = graph_of(raw, source)
    build = _Build(graph, Reader(dialect, dt_s), Network(dt_us=microseconds(dt_s), name=name))
    build.run()
    return Imported(build.network, "", build.outputs, build.notes)


def _seconds(dt: Any, source: str) -> float:
    number = isinstance(dt, (int, float)) and not isinstance(dt, bool)
    if not number or not 0 < dt < math.inf:
        raise ModelError(f"{source}: dt is {dt!r}; seconds above 0, finite, are accepted")
    return float(dt)


class _Build:
    """Fills one network from one graph."""

    def __init__(self, graph: Graph, reader: Reader, network: Network) -> None:
        self.graph = graph
        self.reader = reader
        self.network = network
        self.notes: list[str] = []
        self.outputs: dict[str, str] = {}
        self.paths = Paths(graph, network.dt_us)
        self.made: dict[str, Node] = {}
        self.compared = self._compared()

    def run(self) -> None:
        """Populations nearest to the inputs first, then projections, then outputs."""
        routes = self._routes()
        wanted = _leading(self.graph, routes)
        rank = _ranks(self.graph, routes)
        for node in self.graph.of("Input"):
            shape = _extents(self.graph.shapes_out[node.name])
            self.made[node.name] = self.network.input(shape, node.name)
        for name in sorted(wanted, key=lambda name: rank.get(name, (len(rank), name))):
            self._populate(name)
        late = closing(routes, rank, wanted)
        for target in self.made:
            for route in routes.get(target, ()):
                self._project(route, target, (route.source, target) in late)
        self._outputs()

    def _compared(self) -> dict[str, Primitive]:
        """Thresholds that compare the potential of the one neuron before them."""
        graph = self.graph
        found = {}
        for node in graph.of(*SILENT):
            after = graph.after[node.name]
            alone = len(after) == 1 and graph.before[after[0]] == [node.name]
            if alone and graph.nodes[after[0]].type == "Threshold":
                found[after[0]] = node
        return found

    def _routes(self) -> dict[str, list[Route]]:
        """What leads into each population, linear nodes followed back to where spikes come from."""
        merged = {node.name for node in self.compared.values()}
        routes = {}
        for node in self.graph.of(*NEURONS):
            if node.name not in merged:
                entry = self.compared.get(node.name, node)
                routes[node.name] = self.paths.into(entry.name)
        for name, found in routes.items():
            for route in found:
                self._sends_spikes(route, name)
        return routes

    def _sends_spikes(self, route: Route, target: str) -> None:
        source = self.graph.nodes[route.source]
        if source.type in SILENT:
            raise self.graph.fail(
                source.name,
                f"its potential leads into {target!r}, but neurons send spikes here; a Threshold "
                f"behind it, or an Output, is accepted",
            )

    def _populate(self, name: str) -> None:
        node = self.graph.nodes[name]
        before = self.compared.get(name)
        entry = before.name if before else name
        shape = self._shape(entry, self.graph.shapes_out[name])
        bias = self.paths.bias(entry).reshape(shape)
        neuron = neuron_of(
            self.reader, before or node, shape, bias, threshold=node if before else None
        )
        self.made[name] = self.network.population(shape, neuron, name)

    def _shape(self, name: str, shape: Shape) -> Shape:
        """The population's shape; one that a Flatten made of an image stays an image.

        A readout is none: its channels stay in the order of the file, at the price of its synapses
        being listed one by one.
        """
        if self.graph.nodes[name].type in (*SILENT, "Output") and not self._compares(name):
            return (math.prod(shape),) if _reordered(_extents(shape)) else _extents(shape)
        images = {
            operators[-1].size_out
            for route in self.paths.into(name)
            if (operators := simplified(list(route.operators)).operators)
            and isinstance(operators[-1], (Convolution, Pool))
        }
        if len(shape) == 1 and len(images) == 1:
            return images.pop()
        return _extents(shape)

    def _compares(self, name: str) -> bool:
        """Whether a Threshold behind it makes the potential spikes."""
        return any(node.name == name for node in self.compared.values())

    def _project(self, route: Route, target: str, late: bool) -> None:
        source = self.made.get(route.source)
        if source is None:
            return
        path = simplified(list(route.operators))
        where = f"{self.graph.source}: {route.source!r} → {target!r}"
        shapes = (source.shape, self.made[target].shape)
        synapses = as_synapses(path, shapes, self.network.dt_us, where)
        if late:
            if self.reader.dialect.loops == "refuse":
                raise ModelError(
                    f"{where}: closes a cycle without delay; a Delay in it, or loops 'one_tick', "
                    f"is accepted"
                )
            self.notes.append(f"{route.source} → {target} closes a cycle: one tick late")
        ticks = path.ticks + late
        self.network.project(source, self.made[target], synapses, ticks * self.network.dt_us)

    def _outputs(self) -> None:
        for node in self.graph.of("Output"):
            routes = self.paths.into(node.name)
            bias = self.paths.bias(node.name)
            if not routes:
                raise self.graph.fail(node.name, "no neuron and no Input leads to it")
            plain = [simplified(list(route.operators)) for route in routes]
            only = self.made[routes[0].source]
            single = len(routes) == 1 and not bias.any()
            in_order = not _reordered(only.shape)
            fresh = only.neuron is not None and only not in self.network.outputs
            if single and plain[0].plain and fresh and in_order:
                self.network.output(only)
                self.outputs[node.name] = only.name
                continue
            for route in routes:
                self._sends_spikes(route, node.name)
            shape = self._shape(node.name, self.graph.shapes_out[node.name])
            neuron = (
                relay(self.network.dt_us)
                if single and not plain[0].operators and plain[0].factor == 1.0
                else readout(self.network.dt_us, bias.reshape(shape))
            )
            self.made[node.name] = self.network.population(shape, neuron, node.name)
            self.network.output(self.made[node.name])
            self.outputs[node.name] = node.name
            for route in routes:
                self._project(route, node.name, late=False)


def _extents(shape: Shape) -> Shape:
    """A population's shape: sequences are images of height 1; more axes than an image's are one."""
    if not shape:
        return (1,)
    if len(shape) == 2:
        return (shape[0], 1, shape[1])
    return shape if len(shape) in (1, 3) else (math.prod(shape),)


def _reordered(shape: Shape) -> bool:
    """Whether the neurons of a population of this shape are numbered otherwise than in the file."""
    return len(shape) == 3 and shape[0] > 1 and shape[1] * shape[2] > 1


def _leading(graph: Graph, routes: dict[str, list[Route]]) -> set[str]:
    """Populations on a path to an Output; the others are heard by nobody."""
    reached = {node.name for node in graph.of("Output")}
    waiting = list(reached)
    while waiting:
        for name in graph.before[waiting.pop()]:
            if name not in reached:
                reached.add(name)
                waiting.append(name)
    return reached & routes.keys()


def _ranks(graph: Graph, routes: dict[str, list[Route]]) -> dict[str, tuple[int, str]]:
    """(how many projections from an input, name): the order in which a tick steps populations."""
    after: dict[str, list[str]] = {}
    for target, found in routes.items():
        for route in found:
            after.setdefault(route.source, []).append(target)
    rank = {node.name: (0, node.name) for node in graph.of("Input")}
    layer = list(rank)
    while layer:
        following = sorted({t for name in layer for t in after.get(name, ()) if t not in rank})
        for name in following:
            rank[name] = (rank[layer[0]][0] + 1, name)
        layer = following
    return rank


def closing(
    routes: dict[str, list[Route]], rank: dict[str, tuple[int, str]], wanted: set[str]
) -> set[tuple[str, str]]:
    """Projections without delay that close a cycle of such: those that lead back in rank."""
    ahead: dict[str, set[str]] = {name: set() for name in wanted}
    for target in wanted:
        for route in routes[target]:
            if route.source in wanted and not route.delayed:
                ahead[route.source].add(target)
    component = _components(ahead)
    last = (len(rank), "")
    return {
        (a, b)
        for a, targets in ahead.items()
        for b in targets
        if component[a] == component[b] and rank.get(a, last) >= rank.get(b, last)
    }


def _components(ahead: dict[str, set[str]]) -> dict[str, int]:
    """Strongly connected components, numbered (Tarjan 1972, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    component: dict[str, int] = {}
    open_nodes: list[str] = []
    for root in sorted(ahead):
        if root in index:
            continue
        work = [(root, iter(sorted(ahead[root])))]
        index[root] = low[root] = len(index)
        open_nodes.append(root)
        while work:
            name, following = work[-1]
            for other in following:
                if other not in index:
                    index[other] = low[other] = len(index)
                    open_nodes.append(other)
                    work.append((other, iter(sorted(ahead[other]))))
                    break
                if other not in component:
                    low[name] = min(low[name], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    while True:
                        member = open_nodes.pop()
                        component[member] = index[name]
                        if member == name:
                            break
    return component
