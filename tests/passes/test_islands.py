# SPDX-License-Identifier: Apache-2.0
"""Values between quantizations: what they become, and files that ask for too much."""

import numpy as np
import pytest
from case_net import Net
from island_cases import SHAPE, Island

import neurovm
from neurovm.converters import tflite
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.operators import Lookup
from neurovm.passes import prepare


def test_a_chain_is_one_table() -> None:
    island = Island("chain")
    x = island.real((1, 4, 3))
    for k in range(4):
        x = island.operator("NEG", [x], (1, 4, 3))
        constant = island.constant([0.1 * k, 0.2, 0.3])
        x = island.operator("ADD", [x, constant], (1, 4, 3), FusedActivationFunction="NONE")
    graph = prepare(tflite.read(island.quantized(x, (1, 4, 3)).model))
    (only,) = graph.operators
    assert isinstance(only, Lookup)
    assert only.reals is not None
    assert only.reals.value.shape == (3, 256)
    assert "computed as tables of codes: NEG 1" in graph.notes[-1]


def test_three_codes_at_once_are_refused_by_name() -> None:
    island = Island("three")
    a, b, c = (island.real() for _ in range(3))
    y = island.operator("ADD", [a, b], SHAPE, FusedActivationFunction="NONE")
    y = island.operator("ADD", [y, c], SHAPE, FusedActivationFunction="NONE")
    with pytest.raises(UnsupportedOperatorError, match="more than two codes at once"):
        neurovm.convert_tflite(island.quantized(y).model)


def test_a_constant_for_each_of_many_places_is_refused() -> None:
    """Before 256 values a place are computed: a million places would take a gigabyte."""
    island = Island("places")
    shape = (1, 1 << 20)
    x = island.real(shape)
    constant = island.constant(np.zeros(shape))
    y = island.operator("ADD", [x, constant], shape, FusedActivationFunction="NONE")
    with pytest.raises(UnsupportedOperatorError, match="1048576 different functions"):
        neurovm.convert_tflite(island.quantized(y, shape).model)


@pytest.mark.parametrize("operator", ["FILL", "TILE", "BROADCAST_TO"])
def test_a_constant_that_grows_without_measure_is_refused(operator: str) -> None:
    net = Net(f"{operator}:huge")
    x = net.input((1, 4))
    t = net.writer.tensors[x]
    size = 1 << 26
    one = net.writer.constant("one", np.zeros(1, np.int8), scale=t.scale, zero_point=t.zero_point)
    sizes = net.integers("sizes", [size])
    big = net.like(x, (size,))
    net.writer.operator(operator, [sizes, one] if operator == "FILL" else [one, sizes], [big])
    y = net.like(x, (1, 4))
    net.writer.operator("MAXIMUM", [x, big], [y])
    with pytest.raises(ModelError, match="makes a constant of 67108864 elements"):
        prepare(tflite.read(net.case(y).model))


def test_matrices_that_broadcast_without_measure_are_refused() -> None:
    net = Net("BATCH_MATMUL:huge")
    a, b = net.input((1 << 11, 1 << 11)), net.input((1 << 9, 1 << 11, 1))
    y = net.output((1 << 9, 1 << 11, 1))
    net.writer.operator("BATCH_MATMUL", [a, b], [y], AdjX=False, AdjY=False)
    net.samples = []
    with pytest.raises(ModelError, match="2147483648 elements of broadcast inputs; at most"):
        neurovm.convert_tflite(net.case(y).model)


def test_an_input_that_is_an_output_is_refused() -> None:
    net = Net("through")
    x = net.writer.tensor("x", SHAPE, dtype="int32")
    y = net.writer.tensor("y", SHAPE, dtype="int8")
    net.writer.operator("CAST", [x], [y])
    net.inputs = [x]
    with pytest.raises(ModelError, match="is an input that no operator computes with"):
        neurovm.convert_tflite(net.writer.model(inputs=[x], outputs=[y, x]))


def test_an_axis_is_turned_round_once() -> None:
    net = Net("REVERSE_V2:twice")
    x = net.input((1, 2, 3))
    y = net.like(x, (1, 2, 3))
    net.writer.operator("REVERSE_V2", [x, net.integers("axes", [1, -2])], [y])
    with pytest.raises(ModelError, match="name one twice"):
        neurovm.convert_tflite(net.case(y).model)


def test_inputs_of_one_name_are_told_apart() -> None:
    net = Net("names")
    a, b = net.input((1, 4)), net.input((1, 4))
    net.writer.tensors[b].name = net.writer.tensors[a].name
    y = net.output((1, 4))
    net.writer.operator("ADD", [a, b], [y], FusedActivationFunction="NONE")
    with neurovm.convert_tflite(net.case(y).model) as model:
        assert [info.name for info in model.inputs] == ["x0", "x0:1"]
        model.predict({"x0": net.samples[0][0], "x0:1": net.samples[1][0]})
