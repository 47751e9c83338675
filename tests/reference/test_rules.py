# SPDX-License-Identifier: Apache-2.0
"""The oracle's rules on cases small enough to compute by hand, and what it refuses."""

import numpy as np
import pytest
from operator_cases import Net, scale_of

from neurovm import reference
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.errors import ShapeError, UnsupportedOperatorError
from neurovm.graph import Graph
from neurovm.passes import prepare

XNNPACK = PROFILES["xnnpack"]


def pool(operator: str, x: list[list[int]], activation: str = "NONE") -> list[int]:
    net = Net(operator)
    a = np.array(x, np.int8)[None, :, :, None]
    i = net.input(a.shape, scale=1.0, zero_point=0)
    y = net.output((1, 1, 1, 1), scale=1.0, zero_point=0)
    net.writer.operator(
        operator, [i], [y], Padding="VALID", StrideH=1, StrideW=1,
        FilterHeight=a.shape[1], FilterWidth=a.shape[2], FusedActivationFunction=activation,
    )  # fmt: skip
    graph = prepare(tflite.read(net.case(y).model))
    return reference.run(graph, XNNPACK, [a])[y].reshape(-1).tolist()


def test_average_rounds_half_away_from_zero() -> None:
    assert pool("AVERAGE_POOL_2D", [[1, 2]]) == [2]
    assert pool("AVERAGE_POOL_2D", [[-1, -2]]) == [-2]
    assert pool("AVERAGE_POOL_2D", [[1, 1, 2]]) == [1]
    assert pool("AVERAGE_POOL_2D", [[-128, -128]]) == [-128]
    assert pool("AVERAGE_POOL_2D", [[-5, -5]], "RELU") == [0]


def test_max() -> None:
    assert pool("MAX_POOL_2D", [[-3, -7], [-128, -4]]) == [-3]
    assert pool("MAX_POOL_2D", [[100, 2]], "RELU6") == [6]


def identity() -> Graph:
    net = Net("FULLY_CONNECTED:identity")
    x = net.input((1, 2), scale=0.5, zero_point=1)
    w = net.writer.constant("w", np.eye(2, dtype=np.int8), scale=[1.0], zero_point=[0])
    y = net.output((1, 2), scale=0.5, zero_point=-1)
    net.writer.operator("FULLY_CONNECTED", [x, w, -1], [y])
    return prepare(tflite.read(net.case(y).model))


def test_samples_are_independent_and_any_number_runs() -> None:
    graph = identity()
    x = np.array([[5, 6], [-128, 127], [1, 1]], np.int8)
    y = reference.run(graph, XNNPACK, {0: x})[2]
    assert y.tolist() == [[[3, 4]], [[-128, 125]], [[-1, -1]]]
    assert y.dtype == np.int8


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = identity()
    x = np.random.default_rng(0).integers(-128, 128, (37, 2)).astype(np.int8)
    whole = reference.run(graph, XNNPACK, [x])
    monkeypatch.setattr("neurovm.reference.oracle._CHUNK_ELEMENTS", 8)
    parts = reference.run(graph, XNNPACK, [x])
    assert all(np.array_equal(whole[i], parts[i]) for i in whole)


@pytest.mark.parametrize(
    "x", [np.zeros((1, 2), np.uint8), np.zeros(3, np.int8), np.zeros((0, 2), np.int8)]
)
def test_refuses_inputs_of_other_shape_or_type(x: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="is needed"):
        reference.run(identity(), XNNPACK, [x])


def test_names_the_operator_where_no_rule_is_exact() -> None:
    net = Net("FULLY_CONNECTED:too-large")
    x = net.input((1, 2), scale=100.0)
    w, _ = net.weights((3, 2), 0)
    y = net.output((1, 3), scale=1e-6)
    net.writer.operator("FULLY_CONNECTED", [x, w, -1], [y])
    graph = prepare(tflite.read(net.case(y).model, name="large"))
    with pytest.raises(UnsupportedOperatorError, match=r"operator 0 \(FULLY_CONNECTED\).*256"):
        reference.run(graph, XNNPACK, net.samples)


def test_absent_bias_of_a_convolution_is_zero() -> None:
    """LiteRT refuses such models; TFLM takes b = 0."""
    outputs = []
    for with_bias in (True, False):
        net = Net("CONV_2D:bias")
        x = net.input((1, 4, 4, 2))
        w, scales = net.weights((3, 2, 2, 2), 0)
        b = net.bias(3, scale_of(net, x), scales, 0) if with_bias else -1
        y = net.linear_out((1, 3, 3, 3), scale_of(net, x), scales, 8, 1.0)
        net.writer.tensors[y].zero_point = (0,)
        net.writer.tensors[x].zero_point = (0,)
        net.writer.operator(
            "CONV_2D", [x, w, b], [y], Padding="VALID", StrideH=1, StrideW=1,
            DilationHFactor=1, DilationWFactor=1,
        )  # fmt: skip
        graph = prepare(tflite.read(net.case(y).model))
        codes = np.arange(32, dtype=np.int8).reshape(1, 1, 4, 4, 2)
        outputs.append(reference.run(graph, PROFILES["tflm"], [codes])[y])
    assert np.array_equal(*outputs)
