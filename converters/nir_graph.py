# SPDX-License-Identifier: Apache-2.0
"""The graph of a .nir file: nested graphs dissolved, the shape of every node known.

Shapes are NIR's own, without batch: (features,), (channels, length), (channels, height, width).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurovm.converters.nir_file import RawGraph
from neurovm.converters.nir_primitives import NEURONS, Primitive, Shape, checked
from neurovm.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

    from neurovm.converters.nir_file import RawNode

MOST_NODES = 100_000
MOST_ELEMENTS = 1 << 26
"""Of what a node sends: a few words in a file must not ask for more memory than a box has."""


@dataclass(slots=True)
class Graph:
    """Nodes by name and who leads to whom. `inner` are inputs and outputs of nested graphs."""

    source: str
    nodes: dict[str, Primitive] = field(default_factory=dict)
    inner: set[str] = field(default_factory=set)
    before: dict[str, list[str]] = field(default_factory=dict)
    after: dict[str, list[str]] = field(default_factory=dict)
    shapes_in: dict[str, Shape] = field(default_factory=dict)
    shapes_out: dict[str, Shape] = field(default_factory=dict)

    def of(self, *types: str) -> list[Primitive]:
        """The nodes of these types that are not ends of nested graphs, by name."""
        return [
            node
            for name, node in sorted(self.nodes.items())
            if node.type in types and name not in self.inner
        ]

    def fail(self, name: str, words: str) -> ModelError:
        return ModelError(f"{self.source}: node {name!r} ({self.nodes[name].type}): {words}")


def graph_of(raw: RawGraph, source: str) -> Graph:
    """One flat graph with all shapes; ModelError names the node at fault."""
    graph = Graph(source)
    edges: set[tuple[str, str]] = set()
    _dissolve(raw, "", graph, edges)
    for name in graph.nodes:
        graph.before[name], graph.after[name] = [], []
    for a, b in sorted(edges):
        graph.before[b].append(a)
        graph.after[a].append(b)
    for kind in ("Input", "Output"):
        if not graph.of(kind):
            raise ModelError(f"{source}: no {kind} node; at least one is needed")
    _infer(graph)
    return graph


def _dissolve(raw: RawGraph, prefix: str, graph: Graph, edges: set[tuple[str, str]]) -> None:
    ends: dict[str, tuple[str | None, str | None]] = {}
    for name, node in raw.nodes.items():
        full = prefix + name
        if isinstance(node, RawGraph):
            _dissolve(node, full + "/", graph, edges)
            ends[name] = (_end(node, full, "Input"), _end(node, full, "Output"))
            continue
        if full in graph.nodes:
            raise ModelError(f"{graph.source}: two nodes are named {full!r}")
        if len(graph.nodes) >= MOST_NODES:
            raise ModelError(f"{graph.source}: more than {MOST_NODES} nodes")
        graph.nodes[full] = _primitive(full, node, graph)
        if prefix and node.type in ("Input", "Output"):
            graph.inner.add(full)
        ends[name] = (full, full)
    for a, b in raw.edges:
        for end in (a, b):
            if end not in ends:
                raise ModelError(
                    f"{graph.source}: edge {a!r} → {b!r}: there is no node {prefix + end!r}"
                )
        out, into = ends[a][1], ends[b][0]
        if out is None or into is None:
            nested = prefix + (a if out is None else b)
            raise ModelError(
                f"{graph.source}: edge {a!r} → {b!r}: the nested graph {nested!r} has not exactly "
                f"one {'Output' if out is None else 'Input'}, so which one is meant is not said; "
                f"one is accepted"
            )
        edges.add((out, into))


def _primitive(name: str, node: RawNode, graph: Graph) -> Primitive:
    return checked(name, node, graph.source, len(graph.nodes))


def _end(nested: RawGraph, name: str, kind: str) -> str | None:
    found = [
        inner
        for inner, node in nested.nodes.items()
        if not isinstance(node, RawGraph) and node.type == kind
    ]
    return f"{name}/{found[0]}" if len(found) == 1 else None


# Shapes


def _infer(graph: Graph) -> None:
    for name, node in graph.nodes.items():
        if node.type == "Input" and name not in graph.inner and graph.before[name]:
            raise graph.fail(name, "an edge leads into it; an input is driven from outside")
        if node.type == "Output" and name not in graph.inner and graph.after[name]:
            raise graph.fail(name, "an edge leads out of it; an output is an end")
    waiting = deque(node.name for node in graph.of("Input"))
    for name in waiting:
        graph.shapes_in[name] = _declared(graph, name)
    while waiting:
        name = waiting.popleft()
        shape = graph.shapes_out[name] = shape_out(graph, name, graph.shapes_in[name])
        if math.prod(shape) > MOST_ELEMENTS:
            raise graph.fail(name, f"shape {shape}: more than {MOST_ELEMENTS} elements")
        for target in graph.after[name]:
            if target not in graph.shapes_in:
                graph.shapes_in[target] = shape
                waiting.append(target)
            elif graph.shapes_in[target] != shape:
                raise graph.fail(
                    target,
                    f"shapes {graph.shapes_in[target]} and {shape} (of {name!r}) lead into it; "
                    f"one shape is needed",
                )
    unreached = sorted(graph.nodes.keys() - graph.shapes_out.keys())
    if unreached:
        raise graph.fail(unreached[0], "nothing leads to it from an Input")


def _declared(graph: Graph, name: str) -> Shape:
    shape = graph.nodes[name].fields["shape"]
    if shape.ndim > 1 or shape.size > 8:
        raise graph.fail(name, f"its shape is an array of {shape.shape}; one list is needed")
    return tuple(int(extent) for extent in shape.reshape(-1))


def shape_out(graph: Graph, name: str, shape: Shape) -> Shape:
    """The shape that leaves a node which `shape` enters; ModelError where it does not fit."""
    node = graph.nodes[name]
    if node.type in ("Input", "Output"):
        declared = _declared(graph, name)
        if declared != shape:
            raise graph.fail(name, f"it says shape {declared}, but {shape} leads into it")
        return shape
    if node.type in ("Affine", "Linear"):
        return _matrix_shape(graph, node, shape)
    if node.type in ("Conv1d", "Conv2d", "SumPool2d", "AvgPool2d"):
        return _window_shape(graph, node, shape)
    if node.type == "Flatten":
        return _flat_shape(graph, node, shape)
    for key, value in _elementwise(node):
        if value.size != 1 and value.shape != shape:
            raise graph.fail(name, f"{key} has shape {value.shape}, but {shape} leads into it")
    return shape


def _elementwise(node: Primitive) -> Iterator[tuple[str, NDArray[Any]]]:
    if node.type in NEURONS or node.type in ("Scale", "Delay"):
        yield from node.fields.items()


def _matrix_shape(graph: Graph, node: Primitive, shape: Shape) -> Shape:
    weight = node.fields["weight"].shape
    if len(weight) < 2:
        raise graph.fail(node.name, f"weight has shape {weight}; (…, outputs, inputs) is needed")
    wanted = (*weight[:-2], weight[-1])
    if shape != wanted:
        more = "; a Flatten is needed between" if math.prod(shape) == math.prod(wanted) else ""
        raise graph.fail(
            node.name, f"weight {weight} takes shape {wanted}, but {shape} leads into it{more}"
        )
    out = (*weight[:-2], weight[-2])
    bias = node.fields.get("bias")
    if bias is not None and bias.size != 1 and bias.shape != out:
        raise graph.fail(node.name, f"bias has shape {bias.shape}; {out} is needed")
    return out


def _window_shape(graph: Graph, node: Primitive, shape: Shape) -> Shape:
    axes = 1 if node.type == "Conv1d" else 2
    if len(shape) != axes + 1:
        wanted = "(channels, length)" if axes == 1 else "(channels, height, width)"
        raise graph.fail(node.name, f"shape {shape} leads into it; {wanted} is needed")
    kernel, channels = _kernel(graph, node, shape, axes)
    stride = node.whole("stride", axes)
    dilation = node.whole("dilation", axes) if "dilation" in node.fields else (1,) * axes
    before, after = paddings(node, kernel, dilation, axes)
    extents = []
    for k, extent in enumerate(shape[1:]):
        room = extent + before[k] + after[k] - dilation[k] * (kernel[k] - 1) - 1
        if room < 0:
            raise graph.fail(node.name, f"a window of {kernel} is larger than what it lies on")
        extents.append(room // stride[k] + 1)
    return (channels, *extents)


def _kernel(graph: Graph, node: Primitive, shape: Shape, axes: int) -> tuple[Shape, int]:
    """The window, and the channels that leave."""
    if node.type.endswith("Pool2d"):
        kernel = node.whole("kernel_size", axes)
        padding = node.whole("padding", axes)
        if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            raise graph.fail(node.name, f"padding {padding} is more than half of window {kernel}")
        return kernel, shape[0]
    weight = node.fields["weight"].shape
    (groups,) = node.whole("groups", 1)
    if len(weight) != axes + 2 or weight[0] % groups or weight[1] * groups != shape[0]:
        raise graph.fail(
            node.name,
            f"weight {weight} in {groups} groups for {shape[0]} channels; (outputs, inputs / "
            f"groups, {'length' if axes == 1 else 'height, width'}) is needed",
        )
    bias = node.fields.get("bias")
    if bias is not None and bias.size != 1 and bias.shape != (weight[0],):
        raise graph.fail(node.name, f"bias has shape {bias.shape}; ({weight[0]},) is needed")
    if node.padding == "same" and set(node.whole("stride", axes)) != {1}:
        raise graph.fail(node.name, "padding 'same' goes with a stride of 1")
    return weight[2:], weight[0]


def paddings(node: Primitive, kernel: Shape, dilation: Shape, axes: int) -> tuple[Shape, Shape]:
    """Zeros before and after, an axis each; 'same' puts the odd one behind, as PyTorch does."""
    if node.padding == "valid":
        return (0,) * axes, (0,) * axes
    if node.padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    padding = node.whole("padding", axes)
    return padding, padding


def _flat_shape(graph: Graph, node: Primitive, shape: Shape) -> Shape:
    start, end = (node.whole(key, 1)[0] for key in ("start_dim", "end_dim"))
    start, end = (d + len(shape) if d < 0 else d for d in (start, end))
    if not 0 <= start <= end < len(shape):
        raise graph.fail(
            node.name,
            f"axes {start} … {end} of shape {shape} (without batch); 0 … {len(shape) - 1} are "
            f"accepted",
        )
    return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
