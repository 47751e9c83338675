# SPDX-License-Identifier: Apache-2.0
"""Small NIR graphs and the .nir files that hold them.

A graph is {"nodes": {name: (type, {field: value})}, "edges": [(a, b)]}; nodes may be graphs. A file
is laid out as NIR 1.0.8 writes it, by h5py alone, so that what nir would refuse to write can be
written too; `raw` is what would be read from it, without one.

Weights lie on a grid of 1/64 and time constants make dyadic factors of dt = 1/1024 s: the integers
of the kernel then hold them exactly, and spikes have to be equal to float64's.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from neurovm.converters.nir import Imported, network_of
from neurovm.converters.nir_dialects import dialect_of
from neurovm.converters.nir_file import RawGraph, RawNode

DT = 1 / 1024
Graph = dict[str, Any]


def write(path: Path, graph: Graph, version: str = "1.0.8") -> Path:
    """The file of a graph."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("version", data=version, dtype=h5py.string_dtype())
        _put(file.create_group("node"), graph)
    return path


def raw(graph: Graph) -> RawGraph:
    """What the file of a graph is read as."""
    nodes = {
        name: raw(node)
        if isinstance(node, dict)
        else RawNode(
            node[0], {k: v if isinstance(v, str) else np.asarray(v) for k, v in node[1].items()}
        )
        for name, node in graph["nodes"].items()
    }
    return RawGraph(nodes, list(graph["edges"]))


def imported(graph: Graph, *, dt: float = DT, dialect: str = "nir", **options: Any) -> Imported:
    """As `nir.imported`, of a graph that lies in no file."""
    return network_of(raw(graph), dialect_of(dialect, **options), dt, source="net.nir", name="net")


def _put(group: Any, node: Any) -> None:
    import h5py

    text = h5py.string_dtype()
    if isinstance(node, dict):
        group.create_dataset("type", data="NIRGraph", dtype=text)
        group.create_dataset("edges", data=np.array(node["edges"], dtype=object), dtype=text)
        inner = group.create_group("nodes")
        for name, other in node["nodes"].items():
            _put(inner.create_group(name), other)
        return
    kind, fields = node
    group.create_dataset("type", data=kind, dtype=text)
    for key, value in fields.items():
        if isinstance(value, str):
            group.create_dataset(key, data=value, dtype=text)
        elif value is not None:
            data = np.asarray(value)
            packed = {"compression": "gzip"} if data.ndim else {}
            group.create_dataset(key, data=data, **packed)


class Draw:
    """Random fields of primitives, from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def weights(self, *shape: int) -> np.ndarray:
        return (self.rng.integers(-64, 96, shape) / 64).astype(np.float32)

    def powers(self, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
        """2^low … 2^high."""
        return 2.0 ** self.rng.integers(low, high + 1, shape)

    def tau(self, shape: tuple[int, ...]) -> np.ndarray:
        """2, 4 or 8 ticks."""
        return DT * self.powers(shape, 1, 3)

    def threshold(self, shape: tuple[int, ...]) -> np.ndarray:
        """Off the grid of all sums: neither `>` nor `>=` is ever decided by equality."""
        return self.rng.integers(1, 4, shape) / 4 + 1 / 4099

    def linear(self, n_in: int, n_out: int, *, bias: bool = False) -> tuple[str, dict[str, Any]]:
        fields = {"weight": self.weights(n_out, n_in)}
        if bias:
            fields["bias"] = self.weights(n_out) / 4
        return ("Affine" if bias else "Linear", fields)

    def conv1d(self, c_in: int, c_out: int, k: int, **more: Any) -> tuple[str, dict[str, Any]]:
        fields = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | more
        weight = self.weights(c_out, c_in // fields["groups"], k)
        return "Conv1d", fields | {"weight": weight, "bias": self.weights(c_out) / 4}

    def conv2d(
        self, c_in: int, c_out: int, k: tuple[int, int], **more: Any
    ) -> tuple[str, dict[str, Any]]:
        fields: dict[str, Any] = {
            "stride": np.array([1, 1]),
            "padding": np.array([0, 0]),
            "dilation": np.array([1, 1]),
            "groups": 1,
        } | more
        weight = self.weights(c_out, c_in // fields["groups"], *k)
        return "Conv2d", fields | {"weight": weight, "bias": self.weights(c_out) / 4}

    def pool(self, kind: str, k: int, stride: int, padding: int = 0) -> tuple[str, dict[str, Any]]:
        return kind, {
            "kernel_size": np.array([k, k]),
            "stride": np.array([stride, stride]),
            "padding": np.array([padding, padding]),
        }

    def neuron(self, kind: str, shape: tuple[int, ...]) -> tuple[str, dict[str, Any]]:
        """Any of the neurons; v_reset and v_leak other than 0 in about half of them."""
        if kind == "Threshold":
            return kind, {"threshold": self.threshold(shape)}
        off = float(self.rng.integers(0, 2)) / 4
        fields: dict[str, Any] = {"r": self.powers(shape, 0, 2)}
        if kind.startswith("Cuba"):
            fields |= {
                "tau_syn": self.tau(shape),
                "tau_mem": self.tau(shape),
                "w_in": self.powers(shape, 0, 2),
            }
        elif kind in ("LI", "LIF"):
            fields["tau"] = self.tau(shape)
        else:
            fields["r"] = self.powers(shape, -1, 1) / DT
        if kind not in ("I", "IF"):
            fields["v_leak"] = np.full(shape, off)
        if kind in ("IF", "LIF", "CubaLIF"):
            fields["v_threshold"] = self.threshold(shape)
            fields["v_reset"] = np.full(shape, -off)
        return kind, fields


def chain(shape: tuple[int, ...], *nodes: Any, out: tuple[int, ...]) -> Graph:
    """Input → nodes → Output; nodes are named n0, n1, …"""
    named = {f"n{k}": node for k, node in enumerate(nodes)}
    names = ["input", *named, "output"]
    return {
        "nodes": {
            "input": ("Input", {"shape": np.array(shape)}),
            **named,
            "output": ("Output", {"shape": np.array(out)}),
        },
        "edges": list(itertools.pairwise(names)),
    }


FLATTEN = ("Flatten", {"start_dim": 0, "end_dim": -1})


def cases(seed: int = 0) -> dict[str, tuple[Graph, Graph, frozenset]]:
    """(graph, the same as the reference takes it, its edges that close a cycle) by name.

    Every primitive, each where it can stand. The reference hears a closing edge one tick late, so
    that a Delay before it is one tick shorter there.
    """
    d = Draw(seed)
    made: dict[str, Any] = {}
    for kind in ("IF", "LIF", "CubaLIF", "Threshold", "LI", "CubaLI", "I"):
        made[kind] = chain((6,), d.linear(6, 5, bias=True), d.neuron(kind, (5,)), out=(5,))
    made["Linear of a neuron to an Output"] = chain(
        (6,), d.linear(6, 5), d.neuron("LIF", (5,)), d.linear(5, 4, bias=True), out=(4,)
    )
    for kind in ("LI", "CubaLI", "I"):
        made[f"{kind} and Threshold"] = chain(
            (6,), d.linear(6, 5), d.neuron(kind, (5,)), d.neuron("Threshold", (5,)), out=(5,)
        )
    made["Scale"] = chain(
        (6,), ("Scale", {"scale": d.powers((6,), -1, 1)}), d.linear(6, 5, bias=True),
        ("Scale", {"scale": d.powers((5,), -1, 1)}), d.neuron("LIF", (5,)),
        ("Scale", {"scale": d.powers((5,), -1, 1)}), d.neuron("LIF", (5,)), out=(5,),
    )  # fmt: skip
    made["Affine after Affine"] = chain(
        (6,), d.linear(6, 4, bias=True), d.linear(4, 5, bias=True), d.neuron("LIF", (5,)), out=(5,)
    )
    made["Linear in blocks"] = chain(
        (3, 4), ("Linear", {"weight": d.weights(3, 2, 4)}), d.neuron("LIF", (3, 2)), out=(3, 2)
    )
    made |= _images(d) | _lengths(d) | _delays(d)
    return {name: (graph, graph, frozenset()) for name, graph in made.items()} | _cycles(d)


def _images(d: Draw) -> dict[str, Graph]:
    lif = lambda *shape: d.neuron("LIF", shape)  # noqa: E731 - one word a line below
    same = {"padding": np.array([1, 1])}
    return {
        "Conv2d": chain((2, 6, 5), d.conv2d(2, 3, (3, 3)), lif(3, 4, 3), out=(3, 4, 3)),
        "Conv2d, not square": chain(
            (2, 6, 7), d.conv2d(2, 3, (3, 2), stride=np.array([2, 1]), padding=np.array([1, 0])),
            lif(3, 3, 6), out=(3, 3, 6),
        ),
        "Conv2d same": chain(
            (2, 5, 4), d.conv2d(2, 3, (3, 2), padding="same"), lif(3, 5, 4), out=(3, 5, 4)
        ),
        "Conv2d same, dilated": chain(
            (2, 5, 6), d.conv2d(2, 3, (2, 2), padding="same", dilation=np.array([3, 2])),
            lif(3, 5, 6), out=(3, 5, 6),
        ),
        "Conv2d valid, dilated": chain(
            (1, 7, 7), d.conv2d(1, 2, (3, 3), padding="valid", dilation=np.array([2, 2])),
            lif(2, 3, 3), out=(2, 3, 3),
        ),
        "Conv2d in groups": chain(
            (4, 4, 4), d.conv2d(4, 6, (3, 3), groups=2, **same), lif(6, 4, 4), out=(6, 4, 4)
        ),
        "Conv2d, scaled by channel": chain(
            (2, 4, 4), ("Scale", {"scale": np.repeat([0.5, 2.0], 16).reshape(2, 4, 4)}),
            d.conv2d(2, 3, (3, 3), groups=1),
            ("Scale", {"scale": np.repeat([0.5, 2.0, 1.0], 4).reshape(3, 2, 2)}),
            lif(3, 2, 2), out=(3, 2, 2),
        ),
        "Conv2d, scaled by pixel": chain(
            (1, 4, 4), ("Scale", {"scale": d.powers((1, 4, 4), -1, 1)}), d.conv2d(1, 2, (3, 3)),
            lif(2, 2, 2), out=(2, 2, 2),
        ),
        "SumPool2d": chain((2, 6, 6), d.pool("SumPool2d", 2, 2), lif(2, 3, 3), out=(2, 3, 3)),
        "SumPool2d, overlapping": chain(
            (2, 6, 6), d.pool("SumPool2d", 3, 2, 1), lif(2, 3, 3), out=(2, 3, 3)
        ),
        "AvgPool2d": chain((2, 6, 6), d.pool("AvgPool2d", 2, 2), lif(2, 3, 3), out=(2, 3, 3)),
        "pools into Conv2d": chain(
            (2, 8, 8), d.pool("SumPool2d", 2, 2), d.conv2d(2, 3, (3, 3), **same), lif(3, 4, 4),
            d.pool("AvgPool2d", 2, 2), d.conv2d(3, 2, (2, 2)), lif(2, 1, 1), out=(2, 1, 1),
        ),
        "a pool that drops a row, into padded Conv2d": chain(
            (2, 7, 6), d.pool("SumPool2d", 2, 2), d.conv2d(2, 2, (3, 3), **same), lif(2, 3, 3),
            out=(2, 3, 3),
        ),
        "Conv2d, SumPool2d": chain(
            (1, 6, 6), d.conv2d(1, 2, (3, 3)), d.pool("SumPool2d", 2, 2), lif(2, 2, 2),
            out=(2, 2, 2),
        ),
        "images to vectors": chain(
            (2, 5, 5), d.conv2d(2, 3, (3, 3)), lif(3, 3, 3), FLATTEN, d.linear(27, 5, bias=True),
            d.neuron("CubaLIF", (5,)), d.linear(5, 3), d.neuron("LI", (3,)), out=(3,),
        ),
        "Flatten before the neuron": chain(
            (2, 5, 5), d.conv2d(2, 3, (3, 3)), FLATTEN, lif(27), d.linear(27, 4), lif(4), out=(4,)
        ),
        "Flatten in part": chain(
            (2, 3, 4), ("Flatten", {"start_dim": 1, "end_dim": 2}), lif(2, 12), out=(2, 12)
        ),
        "an input of a picture, flattened": chain(
            (2, 3, 3), FLATTEN, d.linear(18, 4), lif(4), out=(4,)
        ),
    }  # fmt: skip


def _lengths(d: Draw) -> dict[str, Graph]:
    return {
        "Conv1d": chain(
            (2, 9), d.conv1d(2, 3, 3, stride=2, padding=1), d.neuron("LIF", (3, 5)),
            d.conv1d(3, 2, 2, dilation=2), d.neuron("LIF", (2, 3)), FLATTEN, d.linear(6, 3),
            d.neuron("LI", (3,)), out=(3,),
        ),
        "Conv1d same": chain(
            (2, 7), d.conv1d(2, 2, 4, padding="same"), d.neuron("LIF", (2, 7)), out=(2, 7)
        ),
    }  # fmt: skip


def _delays(d: Draw) -> dict[str, Graph]:
    lif, late = d.neuron("LIF", (5,)), lambda ticks: ("Delay", {"delay": DT * np.array(ticks)})
    return {
        "Delay, one for all": chain((6,), late([3] * 6), d.linear(6, 5), lif, out=(5,)),
        "Delay of each source": chain(
            (6,), late([0, 1, 2, 3, 4, 9]), d.linear(6, 5), lif, out=(5,)
        ),
        "Delay of each target": chain((6,), d.linear(6, 5), late([0, 4, 2, 1, 1]), lif, out=(5,)),
        "Delay before the Output": chain((6,), d.linear(6, 5), lif, late([2] * 5), out=(5,)),
        "Delay twice": chain(
            (6,), late([0, 1, 2, 3, 4, 5]), d.linear(6, 5), late([2, 1, 0, 1, 2]), lif, out=(5,)
        ),
    }


def _cycles(d: Draw) -> dict[str, tuple[Graph, Graph, frozenset]]:
    recurrent = chain((6,), d.linear(6, 5), d.neuron("LIF", (5,)), out=(5,))
    recurrent["nodes"]["back"] = d.linear(5, 5, bias=False)
    recurrent["edges"] += [("n1", "back"), ("back", "n1")]
    delayed = chain((6,), d.linear(6, 5), d.neuron("LIF", (5,)), out=(5,))
    delayed["nodes"] |= {"back": d.linear(5, 5), "late": ("Delay", {"delay": np.full(5, 3 * DT)})}
    delayed["edges"] += [("n1", "back"), ("back", "late"), ("late", "n1")]
    shorter = {**delayed, "nodes": {**delayed["nodes"], "late": ("Delay", {"delay": [2 * DT]})}}
    two = chain(
        (6,), d.linear(6, 5), d.neuron("LIF", (5,)), d.linear(5, 4), d.neuron("CubaLIF", (4,)),
        out=(4,),
    )  # fmt: skip
    two["nodes"]["back"] = d.linear(4, 5)
    two["edges"] += [("n3", "back"), ("back", "n1")]
    joined = chain((6,), d.linear(6, 5), d.neuron("LIF", (5,)), d.linear(5, 5), out=(5,))
    joined["nodes"]["other"] = ("Output", {"shape": np.array([5])})
    joined["nodes"]["skip"] = d.linear(6, 5)
    joined["nodes"]["sum"] = d.neuron("IF", (5,))
    joined["edges"] += [("input", "skip"), ("skip", "sum"), ("n2", "sum"), ("sum", "other")]
    return {
        "recurrence": (recurrent, recurrent, frozenset([("back", "n1")])),
        "recurrence with a Delay": (delayed, shorter, frozenset([("late", "n1")])),
        "a cycle of two": (two, two, frozenset([("back", "n1")])),
        "branches that join, two Outputs": (joined, joined, frozenset()),
    }
