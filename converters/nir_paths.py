# SPDX-License-Identifier: Apache-2.0
"""What lies between neurons: linear nodes, followed back from where they are heard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.converters.nir_graph import paddings
from neurovm.converters.nir_linear import (
    Convolution,
    Late,
    Matrix,
    Operator,
    Pool,
    Scale,
    applied,
)
from neurovm.converters.nir_primitives import NEURONS
from neurovm.errors import ModelError
from neurovm.spiking.shapes import whole_ticks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.converters.nir_graph import Graph
    from neurovm.converters.nir_primitives import Primitive

MOST_STEPS = 100_000
"""Nodes passed on all paths of a file together: each branch that joins again doubles them."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path of linear nodes, from a neuron or an input to who hears it."""

    source: str
    operators: tuple[Operator, ...]

    @property
    def delayed(self) -> bool:
        """Whether every spike arrives at least one tick late."""
        ticks = sum(
            int(operator.ticks.min()) for operator in self.operators if isinstance(operator, Late)
        )
        return ticks > 0


class Paths:
    """The routes of one graph."""

    def __init__(self, graph: Graph, dt_us: float) -> None:
        self.graph = graph
        self.dt_us = dt_us
        self.steps = 0
        self._operators: dict[str, list[Operator]] = {}
        self._biases: dict[str, NDArray[np.float64]] = {}
        self._found: dict[str, list[Route]] = {}

    def into(self, target: str) -> list[Route]:
        """Every route into a node; `bias(target)` is then known too."""
        if target not in self._found:
            self._walk(target)
        return self._found[target]

    def bias(self, target: str) -> NDArray[np.float64]:
        """What the biases on its routes add to each element, in C order, in every tick."""
        self.into(target)
        return self._biases[target]

    def _walk(self, target: str) -> None:
        total = np.zeros(math.prod(self.graph.shapes_in[target]))
        found: list[Route] = []
        # (node, operators from behind it to the target, nodes passed)
        waiting: list[tuple[str, tuple[Operator, ...], tuple[str, ...]]] = [
            (name, (), ()) for name in reversed(self.graph.before[target])
        ]
        while waiting:
            name, behind, passed = waiting.pop()
            self._count(name, passed)
            found_at = self.graph.nodes[name]
            if self._speaks(found_at):
                found.append(Route(name, behind))
                continue
            bias = self._bias_of(found_at)
            if bias is not None and bias.any():
                for operator in behind:
                    bias = applied(operator, bias, f"{self.graph.source}: bias of {name!r}")
                total += bias
            before = (*self._own(found_at), *behind)
            earlier = reversed(self.graph.before[name])
            waiting.extend((node, before, (*passed, name)) for node in earlier)
        self._found[target] = found
        self._biases[target] = total

    def _speaks(self, node: Primitive) -> bool:
        outer_input = node.type == "Input" and node.name not in self.graph.inner
        return outer_input or node.type in NEURONS

    def _count(self, name: str, passed: tuple[str, ...]) -> None:
        if name in passed:
            loop = [*passed[passed.index(name) :], name][::-1]
            raise ModelError(
                f"{self.graph.source}: a cycle without a neuron: {' → '.join(map(repr, loop))}; a "
                f"neuron in it is needed"
            )
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise ModelError(
                f"{self.graph.source}: more than {MOST_STEPS} steps on the paths of linear nodes "
                f"between neurons: they branch and join too often"
            )

    def _own(self, node: Primitive) -> list[Operator]:
        if node.name not in self._operators:
            self._operators[node.name] = self._made(node)
        return self._operators[node.name]

    def _made(self, node: Primitive) -> list[Operator]:
        shape_in = self.graph.shapes_in[node.name]
        n = math.prod(shape_in)
        if node.type in ("Affine", "Linear"):
            return [Matrix(node.fields["weight"])]
        if node.type == "Scale":
            return [Scale(_spread(node.fields["scale"], n))]
        if node.type == "Delay":
            return [Late(self._ticks(node, n))]
        if node.type in ("SumPool2d", "AvgPool2d"):
            return [self._pool(node)]
        if node.type in ("Conv1d", "Conv2d"):
            return [self._convolution(node)]
        return []

    def _ticks(self, node: Primitive, n: int) -> NDArray[np.int64]:
        delays = node.fields["delay"].reshape(-1)
        distinct, where = np.unique(delays, return_inverse=True)
        what = f"{self.graph.source}: node {node.name!r} (Delay): a delay"
        ticks = [whole_ticks(float(f"{d * 1e6:.15g}"), self.dt_us, what) for d in distinct]
        return _spread(np.array(ticks, dtype=np.int64)[where], n)

    def _pool(self, node: Primitive) -> Pool:
        window = node.whole("kernel_size", 2)
        weight = 1.0 if node.type == "SumPool2d" else 1.0 / math.prod(window)
        return Pool(
            (window[0], window[1]), _pair(node.whole("stride", 2)),
            _pair(node.whole("padding", 2)), weight,
            self.graph.shapes_in[node.name], self.graph.shapes_out[node.name],
        )  # fmt: skip

    def _convolution(self, node: Primitive) -> Convolution:
        axes = 1 if node.type == "Conv1d" else 2
        weight = node.fields["weight"]
        kernel = weight.shape[2:]
        stride, dilation = node.whole("stride", axes), node.whole("dilation", axes)
        before, after = paddings(node, kernel, dilation, axes)
        sizes = [self.graph.shapes_in[node.name], self.graph.shapes_out[node.name]]
        if axes == 1:
            weight = weight[:, :, None, :]
            stride, dilation = (1, *stride), (1, *dilation)
            before, after = (0, *before), (0, *after)
            sizes = [(size[0], 1, size[1]) for size in sizes]
        return Convolution(
            weight, _pair(stride), _pair(before), _pair(after), _pair(dilation),
            node.whole("groups", 1)[0], *sizes,
        )  # fmt: skip

    def _bias_of(self, node: Primitive) -> NDArray[np.float64] | None:
        bias = node.fields.get("bias")
        if bias is None:
            return None
        shape = self.graph.shapes_out[node.name]
        if node.type in ("Conv1d", "Conv2d"):
            bias = bias.reshape(-1, *(1,) * (len(shape) - 1))
        return np.broadcast_to(bias.astype(np.float64), shape).reshape(-1)


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    first, second = values
    return first, second


def _spread(values: NDArray[Any], n: int) -> NDArray[Any]:
    flat = values.reshape(-1)
    return np.full(n, flat[0]) if flat.size == 1 else flat
