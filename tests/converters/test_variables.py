# SPDX-License-Identifier: Apache-2.0
"""Variables of a .tflite: what becomes state, and what is refused, by name and place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from memory_cases import SHAPE, SIDE, Remembering
from operator_cases import CASES
from tflite_writer import ModelWriter

import neurovm
from neurovm.converters import tflite
from neurovm.errors import ModelError
from neurovm.graph import Graph
from neurovm.passes import prepare

BY_NAME = {case.name.removeprefix("READ_VARIABLE:"): case for case in CASES}


def graph_of(name: str) -> Graph:
    return tflite.read(BY_NAME[name].model)


def test_a_variable_is_a_state_that_begins_as_call_once_says() -> None:
    graph = graph_of("sum")
    (state,) = graph.states
    assert state.name == "v"
    assert state.owner is None
    assert state.initial.shape == SHAPE
    assert state.bytes == 15
    assert graph.tensors[state.read].data is None
    assert [op.name for op in graph.operators] == ["ReadVariable", "Add"]
    assert state.next == graph.operators[1].outputs[0]
    (note,) = graph.notes
    assert note.startswith("taken into states: CALL_ONCE 0, VAR_HANDLE 1, ASSIGN_VARIABLE ")


def test_what_is_assigned_before_it_is_read_needs_no_memory() -> None:
    assert graph_of("after-assign").states == ()
    assert len(graph_of("before-and-after-two-assigns").states) == 1


def test_a_variable_that_nothing_assigns_is_a_constant() -> None:
    graph = prepare(graph_of("never-assigned"))
    assert graph.states == ()
    assert any(note.startswith("folded to constants: READ_VARIABLE") for note in graph.notes)


def test_a_variable_that_nothing_reads_is_dropped() -> None:
    graph = graph_of("one-that-nothing-reads")
    assert {s.name for s in graph.states} == {"v", "w"}
    kept = prepare(graph)
    assert [s.name for s in kept.states] == ["v"]
    assert any("variable w" in note for note in kept.notes)


def test_handles_of_one_name_are_one_variable() -> None:
    assert len(graph_of("two-handles-of-one").states) == 1


def test_the_bundle_says_what_is_carried() -> None:
    with neurovm.convert_tflite(BY_NAME["window-1-4-int8"].model) as model:
        assert model.stateful
        assert model.manifest.state_bytes == 24
        assert [layer.kind for layer in model.explain() if layer.state_bytes] == ["STATE"]
    with neurovm.convert_tflite(BY_NAME["after-assign"].model) as model:
        assert not model.stateful


def _no_start(net: Remembering) -> None:
    net.start.operators.pop()


def _no_subgraph(net: Remembering) -> None:
    net.writer.operators[0].options["InitSubgraphIndex"] = 7


def _computed_start(net: Remembering) -> None:
    a, b = net.start.tensor("a", SHAPE, **SIDE), net.start.tensor("b", SHAPE, **SIDE)
    net.start.operator("ABS", [a], [b])


def _start_of_nothing(net: Remembering) -> None:
    value = net.start.operators[-1].inputs[1]
    net.start.tensors[value].data = None


def _other_start(net: Remembering) -> None:
    value = net.start.tensors[net.start.operators[-1].inputs[1]]
    value.shape, value.data = (2, 2), bytes(4)


def _late_start(net: Remembering) -> None:
    net.writer.operators.append(net.writer.operators.pop(0))


def _no_handle(net: Remembering) -> None:
    net.writer.operators = [o for o in net.writer.operators if o.name != "VAR_HANDLE"]


def _other_scale(net: Remembering) -> None:
    read = next(o for o in net.writer.operators if o.name == "READ_VARIABLE")
    net.writer.tensors[read.outputs[0]].scale = (0.5,)


def _float(net: Remembering) -> None:
    read = next(o for o in net.writer.operators if o.name == "READ_VARIABLE")
    tensor = net.writer.tensors[read.outputs[0]]
    tensor.dtype, tensor.scale, tensor.zero_point = "float32", (), ()


def _int32(net: Remembering) -> None:
    read = next(o for o in net.writer.operators if o.name == "READ_VARIABLE")
    tensor = net.writer.tensors[read.outputs[0]]
    tensor.dtype, tensor.scale, tensor.zero_point = "int32", (), ()


def _as_data(net: Remembering) -> None:
    add = next(o for o in net.writer.operators if o.name == "ADD")
    add.inputs = (net.handles["v"], add.inputs[1])


def _two_inputs(net: Remembering) -> None:
    read = next(o for o in net.writer.operators if o.name == "READ_VARIABLE")
    read.inputs = (*read.inputs, 0)


REFUSED: dict[str, tuple[Callable[[Remembering], None], str]] = {
    "no value": (_no_start, "variable 'v' is read before it has a value"),
    "no subgraph": (_no_subgraph, "subgraph 7; the file has 2"),
    "computed": (_computed_start, "computes initial values .ABS."),
    "not constant": (_start_of_nothing, "begins as something computed"),
    "other size": (_other_start, "begins as int8 .2, 2."),
    "late": (_late_start, "which an operator before it uses"),
    "no handle": (_no_handle, "is not that of a VAR_HANDLE"),
    "other scale": (_other_scale, "or of two scales"),
    "float": (_float, "float32"),
    "int32": (_int32, "its variable is int32; int8, uint8 or int16 is needed"),
    "handle as data": (_as_data, "ADD.*reads a resource"),
    "two inputs": (_two_inputs, "1 and 1 are needed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_by_name(name: str) -> None:
    change, words = REFUSED[name]
    net = Remembering("READ_VARIABLE:refused")
    x, v = net.x(), net.variable("v")
    y = net.add(net.read(v), x)
    net.assign(v, y)
    change(net)
    model = net.case(y).model
    with pytest.raises(ModelError, match=words):
        neurovm.convert_tflite(model)


def test_rate_coding_is_refused() -> None:
    with pytest.raises(ModelError, match=r"carries state .*'v'.* encoding: graded"):
        neurovm.convert_tflite(BY_NAME["sum"].model, coding="rate")


def test_an_operator_without_inputs_is_no_crash() -> None:
    w = ModelWriter()
    w.tensor("x", (1, 4), scale=0.5)
    w.tensor("y", (1, 4), scale=0.5)
    w.operator("READ_VARIABLE", [], [1])
    with pytest.raises(ModelError, match="1 and 1 are needed"):
        tflite.read(w.model(inputs=[0], outputs=[1]))


def test_unit_spikes_settle_before_a_step_ends() -> None:
    case = BY_NAME["swapped"]
    with (
        neurovm.convert_tflite(case.model) as graded,
        neurovm.convert_tflite(case.model, coding="unit") as unit,
    ):
        one, other = graded.session(), unit.session()
        rng = np.random.default_rng(5)
        for _ in range(20):
            codes = rng.integers(-128, 128, 15).astype(np.int8)
            assert one.step(codes).tobytes() == other.step(codes).tobytes()


def test_float_variables_that_hold_codes_are_kept_as_codes() -> None:
    graph = prepare(graph_of("float-2-0.125"))
    (state,) = graph.states
    assert state.initial.dtype == np.int8
    assert graph.tensors[state.read].dtype == "int8"
    assert any("kept as codes: v" in note for note in graph.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("scale", "otherwise than another one"),
        ("half", "half-way between two codes"),
        ("nan", "its first value is NaN"),
        ("output", "leaves the network in float32"),
    ],
)
def test_float_variables_that_hold_more_are_refused(change: str, words: str) -> None:
    net = Remembering("READ_VARIABLE:float-wrong")
    x, real = net.x(), {"dtype": "float32", "scale": None, "zero_point": 0}
    first = np.full(SHAPE, {"half": 0.0625, "nan": np.nan}.get(change, 0.25), np.float32)
    value = net.start.constant("v_0", first)
    net.variable("v")
    net.start.operators[-1].inputs = (net.start.operators[-1].inputs[0], value)
    held = net.output(SHAPE, **SIDE)
    read = net.read("v", **real)
    net.writer.operator("QUANTIZE", [read], [held])
    if change == "scale":
        net.writer.operator("QUANTIZE", [read], [net.output(SHAPE, **(SIDE | {"scale": 0.3}))])
    y, out = net.add(held, x), net.output(SHAPE, **real)
    net.writer.operator("DEQUANTIZE", [y], [out])
    net.assign("v", out)
    model = net.case(y, *([read] if change == "output" else [])).model
    with pytest.raises(ModelError, match=words):
        neurovm.convert_tflite(model)
