# SPDX-License-Identifier: Apache-2.0
"""Files that are no NIR networks, or absurd ones: one clear error each, in bounded time."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import nir_files
import numpy as np
import pytest
from nir_files import DT, chain

from neurovm.converters import nir
from neurovm.converters.nir_file import read_file
from neurovm.errors import ModelError, NeurovmError, UnsupportedOperatorError

h5py = pytest.importorskip("h5py", reason="the nir package is not installed: no .nir is read")

D = nir_files.Draw(3)


def plain() -> nir_files.Graph:
    """Input 6 → Affine → LIF 5 → Output."""
    return chain((6,), D.linear(6, 5, bias=True), D.neuron("LIF", (5,)), out=(5,))


def changed(node: str, **fields: Any) -> nir_files.Graph:
    """`plain` with fields of one node replaced; None removes one."""
    graph = copy.deepcopy(plain())
    kind, old = graph["nodes"][node]
    graph["nodes"][node] = (kind, {k: v for k, v in (old | fields).items() if v is not None})
    return graph


def added(edges: list[tuple[str, str]], **nodes: Any) -> nir_files.Graph:
    graph = plain()
    return {"nodes": graph["nodes"] | nodes, "edges": graph["edges"] + edges}


def nested(depth: int) -> nir_files.Graph:
    graph: Any = plain()
    for _ in range(depth):
        graph = {"nodes": {"inner": graph}, "edges": []}
    return graph


def diamonds(count: int) -> nir_files.Graph:
    """Linear branches that join again: 2^count paths."""
    nodes: dict[str, Any] = {"input": ("Input", {"shape": np.array([1])})}
    edges = []
    last = "input"
    for k in range(count):
        for side in "ab":
            nodes[f"{side}{k}"] = ("Scale", {"scale": np.ones(1)})
            edges += [(last, f"{side}{k}"), (f"{side}{k}", f"j{k}")]
        nodes[f"j{k}"] = ("Scale", {"scale": np.ones(1)})
        last = f"j{k}"
    nodes |= {"n": D.neuron("LIF", (1,)), "output": ("Output", {"shape": np.array([1])})}
    return {"nodes": nodes, "edges": [*edges, (last, "n"), ("n", "output")]}


FIVE = np.ones(5)
LINEAR = D.linear(5, 5)
SCALE = ("Scale", {"scale": FIVE})
WRONG: dict[str, tuple[nir_files.Graph, str]] = {
    "NaN weights": (changed("n0", weight=np.full((5, 6), np.nan)), "30 of 30 numbers in weight"),
    "an infinite bias": (changed("n0", bias=np.array([0, 0, np.inf, 0, 0])), "1 of 5 .* bias"),
    "negative tau": (changed("n1", tau=-FIVE * DT), "tau is -0.0009.* more than 0"),
    "tau of 0": (changed("n1", tau=0 * FIVE), "tau is 0 s; more than 0"),
    "tau below dt": (changed("n1", tau=FIVE * DT / 2), "0.5 of a tick .* dt of at most"),
    "NaN tau": (changed("n1", tau=np.nan * FIVE), "'n1' .* tau are not finite"),
    "weights of another width": (changed("n0", weight=np.ones((5, 7))), r"takes shape \(7,\), but"),
    "weights of one axis": (changed("n0", weight=np.ones(6)), r"\(…, outputs, inputs\) is needed"),
    "a bias of another length": (changed("n0", bias=np.ones(4)), r"bias has shape \(4,\)"),
    "no weight": (changed("n0", weight=None), "weight missing"),
    "neurons of another shape": (changed("n1", r=np.ones(4)), r"r has shape \(4,\), but \(5,\)"),
    "an empty field": (changed("n1", r=np.ones(0)), "no numbers in it"),
    "a text for numbers": (changed("n1", r="ones"), "is the text 'ones'"),
    "an Output of another shape": (changed("output", shape=np.array([9])), r"it says shape \(9,\)"),
    "an absurd Input": (changed("input", shape=np.array([1 << 40])), "shape is .* are accepted"),
    "an Input of many axes": (changed("input", shape=np.array([9000] * 4)), "elements"),
    "an Input of many neurons": (
        changed("input", shape=np.array([1, 10_000, 10_000])), "more than 67108864 elements"),
    "an Input of 0": (changed("input", shape=np.array([0])), "shape is"),
    "a delay between ticks": (
        added([("n1", "late"), ("late", "o")], late=("Delay", {"delay": FIVE * DT * 1.5}),
              o=("Output", {"shape": np.array([5])})), "not a whole number of ticks"),
    "a negative delay": (
        added([("n1", "late"), ("late", "o")], late=("Delay", {"delay": -FIVE}),
              o=("Output", {"shape": np.array([5])})), "0 and more"),
    "a delay of days": (
        added([("n1", "late"), ("late", "o")], late=("Delay", {"delay": FIVE * 1e6}),
              o=("Output", {"shape": np.array([5])})), "delay"),
    "a cycle without a neuron": (
        added([("n1", "a"), ("a", "b"), ("b", "a"), ("b", "n1")], a=LINEAR, b=SCALE),
        "a cycle without a neuron: 'b' → 'a' → 'b'"),
    "an edge to nowhere": (added([("n1", "x")]), "there is no node 'x'"),
    "a node that nothing reaches": (added([("x", "n1")], x=SCALE), "nothing leads to it"),
    "an Output that leads on": (added([("output", "n1")]), "an output is an end"),
    "an Input that is driven": (added([("n1", "input")]), "an input is driven from outside"),
    "an unknown node": (
        added([("n1", "x")], x=("Conv3d", {"weight": FIVE})), r"Conv3d.*no primitive of NIR 1.0.8"),
    "LI into neurons": (
        added([("n0", "li"), ("li", "w"), ("w", "n1")], li=D.neuron("LI", (5,)), w=LINEAR),
        "its potential leads into 'n1'"),
    "LI into a linear node": (
        chain((5,), LINEAR, D.neuron("LI", (5,)), LINEAR, out=(5,)), "its potential leads into"),
    "no Input": ({"nodes": {"output": plain()["nodes"]["output"]}, "edges": []}, "no Input node"),
    "no Output": ({"nodes": {"input": plain()["nodes"]["input"]}, "edges": []}, "no Output node"),
    "padding in words": (
        chain((1, 4, 4), D.conv2d(1, 1, (3, 3), padding="around"), out=(1, 4, 4)),
        "padding is the text 'around'"),
    "no nodes": ({"nodes": {}, "edges": []}, "no Input node"),
    "paths without end": (diamonds(30), "branch and join too often"),
    "a pool that is all padding": (
        chain((1, 4, 4), D.pool("SumPool2d", 2, 2, 2), out=(1, 4, 4)), "more than half"),
    "a kernel larger than the image": (
        chain((1, 2, 2), D.conv2d(1, 1, (3, 3)), out=(1, 1, 1)), "larger than what it lies on"),
    "a stride of 0": (
        chain((1, 4, 4), D.conv2d(1, 1, (3, 3), stride=np.array([0, 1])), out=(1, 1, 1)),
        "stride is .*whole numbers from 1"),
    "groups that do not divide": (
        chain((3, 4, 4), D.conv2d(3, 4, (3, 3), groups=3), out=(4, 2, 2)), "in 3 groups"),
    "axes that are not there": (
        chain((6,), ("Flatten", {"start_dim": 1, "end_dim": -1}), out=(6,)), "without batch"),
    "too many synapses between two": (
        chain((1, 300, 300), D.conv2d(1, 8, (9, 9)), D.pool("SumPool2d", 2, 1),
              D.neuron("LIF", (8, 291, 291)), out=(8, 291, 291)), "synapses together"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_says_what_is_wrong(name: str) -> None:
    graph, words = WRONG[name]
    with pytest.raises(ModelError, match=words):
        nir_files.imported(graph)


def test_a_file_is_refused_as_its_graph_is(tmp_path: Path) -> None:
    for name in ("NaN weights", "a cycle without a neuron", "no Output", "padding in words"):
        graph, words = WRONG[name]
        path = nir_files.write(tmp_path / "net.nir", graph)
        with pytest.raises(ModelError, match=words):
            nir.read(path, dt=DT)


def test_refuses_nesting_without_end(tmp_path: Path) -> None:
    path = nir_files.write(tmp_path / "net.nir", nested(40))
    with pytest.raises(ModelError, match="nested deeper than 64"):
        nir.read(path, dt=DT)


def test_names_what_to_do_with_an_unknown_node() -> None:
    graph, _ = WRONG["an unknown node"]
    with pytest.raises(UnsupportedOperatorError) as error:
        nir_files.imported(graph)
    assert "CubaLIF" in error.value.nearest
    assert error.value.operator == "Conv3d"


@pytest.mark.parametrize("dt", [0, -1e-3, float("nan"), float("inf"), "1 ms", None, True])
def test_refuses_a_dt_that_is_none(dt: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="seconds above 0, finite"):
        nir.read(tmp_path / "net.nir", dt=dt)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dialect": "brian"}, "accepted: nir, snntorch"),
        ({"resets": "zero"}, "option 'resets' is not known"),
        ({"reset": "hard"}, "accepted: file, zero, subtract, none"),
        ({"spikes": "many"}, "go with reset 'subtract'"),
        ({"spikes": "many", "reset": "subtract", "reset_delay": True}, "without reset_delay"),
    ],
)
def test_refuses_options_that_mean_nothing(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        nir_files.imported(plain(), **options)


def test_refuses_a_cycle_where_it_is_told_to() -> None:
    graph = added([("n1", "w"), ("w", "n1")], w=LINEAR)
    with pytest.raises(ModelError, match="closes a cycle without delay"):
        nir_files.imported(graph, loops="refuse")
    assert nir_files.imported(graph).notes == ["n1 → n1 closes a cycle: one tick late"]


# The container


def test_refuses_what_is_no_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    with pytest.raises(ModelError, match="No such file"):
        read_file(path)
    for data in (b"", b"TFL3", b"\x89HDF\r\n\x1a", b"\x00" * 4096):
        path.write_bytes(data)
        with pytest.raises(ModelError, match="does not begin as HDF5"):
            read_file(path)


def test_refuses_other_hdf5_files(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    with h5py.File(path, "w") as file:
        file["layer"] = 3
    with pytest.raises(ModelError, match="no group 'node'"):
        read_file(path)
    with h5py.File(path, "w") as file:
        file.create_group("node")
    with pytest.raises(ModelError, match="no type"):
        read_file(path)


def test_refuses_links_out_of_the_file(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", nir_files.write(tmp_path / "net.nir", plain())
    secret.write_bytes(bytes(240))
    with h5py.File(path, "a") as file:
        weight = file["node/nodes/n0"]
        del weight["weight"]
        weight.create_dataset("weight", (5, 6), "f8", external=[(str(secret), 0, 240)])
    with pytest.raises(ModelError, match="weight: its data lie in another file"):
        read_file(path)
    for link in (h5py.ExternalLink(str(path), "/node"), h5py.SoftLink("/node")):
        other = nir_files.write(tmp_path / "other.nir", plain())
        with h5py.File(other, "a") as file:
            file["node/nodes/again"] = link
        with pytest.raises(ModelError, match="node/nodes/again: a link elsewhere"):
            read_file(other)


def test_refuses_groups_that_hold_themselves(tmp_path: Path) -> None:
    path = nir_files.write(tmp_path / "net.nir", plain())
    with h5py.File(path, "a") as file:
        file["node/nodes/self"] = file["node"]
    with pytest.raises(ModelError, match=r"nested deeper|more than"):
        read_file(path)


def test_refuses_sizes_that_the_file_cannot_hold(tmp_path: Path) -> None:
    path = nir_files.write(tmp_path / "net.nir", plain())
    for shape in ((1 << 20, 1 << 8), (1 << 31, 1 << 31)):
        with h5py.File(path, "a") as file:
            node = file["node/nodes/n0"]
            del node["weight"]
            node.create_dataset("weight", shape, "f4", chunks=(256, 256), compression="gzip")
        with pytest.raises(ModelError, match=r"cannot hold them|GiB of numbers"):
            read_file(path)


def test_refuses_types_that_are_no_numbers(tmp_path: Path) -> None:
    path = nir_files.write(tmp_path / "net.nir", plain())
    with h5py.File(path, "a") as file:
        node = file["node/nodes/n0"]
        del node["weight"]
        node["weight"] = np.ones((5, 6), dtype=np.complex64)
    with pytest.raises(ModelError, match="numbers are accepted"):
        read_file(path)


def test_truncated_anywhere(tmp_path: Path) -> None:
    whole = nir_files.write(tmp_path / "net.nir", plain()).read_bytes()
    path = tmp_path / "cut.nir"
    for k in range(8):
        path.write_bytes(whole[: 8 + k * (len(whole) - 9) // 7])
        with pytest.raises(ModelError):
            nir.read(path, dt=DT)


def test_damaged_anywhere(tmp_path: Path) -> None:
    """The library may hang on these, or be killed; here they are read or refused."""
    whole = nir_files.write(tmp_path / "net.nir", plain()).read_bytes()
    path = tmp_path / "damaged.nir"
    for seed in DAMAGED:
        draw = random.Random(seed)
        data = bytearray(whole)
        for _ in range(draw.choice((1, 2, 8))):
            data[draw.randrange(8, len(data))] = draw.choice((0, 255, draw.randrange(256)))
        path.write_bytes(data)
        try:
            raw, _ = read_file(path, timeout_s=8)
        except NeurovmError as error:
            assert str(path) in str(error)
        else:
            assert raw.nodes is not None


DAMAGED = (*range(12),)
"""Seeds of mutations."""
