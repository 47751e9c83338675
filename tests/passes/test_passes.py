# SPDX-License-Identifier: Apache-2.0
"""Each pass does its one idea, says so, and refuses what it must."""

from dataclasses import replace

import numpy as np
import pytest
from operator_cases import CASES, Net, scale_of
from tflite_writer import ModelWriter

from neurovm.converters import tflite
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.graph import Graph, Quantization
from neurovm.passes import PASSES, check_formats, drop_dead, fix_batch, prepare, resolve

BY_NAME = {case.name: case for case in CASES}


def network(dtype: str = "int8") -> Graph:
    return tflite.read(BY_NAME[f"NETWORK:{dtype}"].model, name="net")


def names(graph: Graph) -> list[str]:
    return [o.name for o in graph.operators]


def test_an_open_batch_becomes_1() -> None:
    graph = network()
    assert graph.tensors[0].signature == (-1, 6, 6, 2)
    fixed = fix_batch(graph)
    assert fixed.tensors[0].shape == (1, 6, 6, 2)
    assert fixed.tensors[0].signature is None
    assert fixed.notes == ("batch fixed to 1: x0",)


def test_a_fixed_batch_stays() -> None:
    graph = tflite.read(BY_NAME["CONV_2D:batch"].model)
    assert fix_batch(graph) is graph


def test_other_open_axes_are_refused() -> None:
    graph = network()
    opened = replace(graph.tensors[0], signature=(-1, -1, 6, 2))
    with pytest.raises(ModelError, match="only the first"):
        fix_batch(replace(graph, tensors=(opened, *graph.tensors[1:])))


def test_a_computed_shape_is_folded() -> None:
    graph = resolve(fix_batch(network()))
    assert names(graph) == ["Conv2D", "Reshape"]
    assert graph.tensors[graph.outputs[0]].shape == (1, 27)
    assert graph.notes[-1] == "folded to constants: SHAPE 1, STRIDED_SLICE 2, PACK 3"
    graph.check()


def test_every_case_has_the_shapes_it_states() -> None:
    for case in CASES:
        graph = tflite.read(case.model)
        for before, after in zip(graph.tensors, prepare(graph).tensors, strict=False):
            assert before.shape == after.shape, case.name


def with_shape(graph: Graph, index: int, shape: tuple[int, ...]) -> Graph:
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], shape=shape)
    return replace(graph, tensors=tuple(tensors))


def test_a_shape_that_contradicts_the_operator_is_refused() -> None:
    graph = tflite.read(BY_NAME["CONV_2D:wide"].model, name="wide")
    with pytest.raises(ModelError, match=r"wide.*operator 0.*the file states \(1, 2, 7, 4\)"):
        resolve(with_shape(graph, graph.outputs[0], (1, 2, 7, 4)))


def test_the_same_elements_in_another_shape_take_the_operators() -> None:
    graph = tflite.read(BY_NAME["CONV_2D:wide"].model)
    out = graph.outputs[0]
    shape = graph.tensors[out].shape
    resolved = resolve(with_shape(graph, out, (shape[2], shape[3])))
    assert resolved.tensors[out].shape == shape


def test_an_operator_of_shapes_is_refused_on_data_by_name() -> None:
    net = Net("REDUCE_PROD")
    x = net.input((1, 8))
    y = net.output((1,))
    net.writer.operator("REDUCE_PROD", [x, net.integers("axes", [1])], [y])
    with pytest.raises(UnsupportedOperatorError, match="on data it has no event rule") as caught:
        prepare(tflite.read(net.case(y).model, name="product"))
    assert (caught.value.operator, caught.value.index) == ("REDUCE_PROD", 0)


def test_a_huge_result_is_refused() -> None:
    net = Net("PAD")
    x = net.input((1, 8), scale=1.0, zero_point=0)
    p = net.writer.constant("p", np.array([[0, 1 << 30], [0, 1 << 30]], np.int32))
    y = net.output((1, 8), scale=1.0, zero_point=0)
    net.writer.operator("PAD", [x, p], [y])
    with pytest.raises(ModelError, match=r"the file states \(1, 8\)"):
        prepare(tflite.read(net.case(y).model))
    t = net.writer.tensors[y]
    t.signature = (-1, -1)
    t.shape = (1, 1)
    with pytest.raises(ModelError, match="elements are accepted"):
        prepare(tflite.read(net.case(y).model))


def test_what_nothing_reads_is_dropped() -> None:
    net = Net("dead")
    x = net.input((1, 8), scale=1.0, zero_point=0)
    y, z = (net.output((1, 8), scale=1.0, zero_point=0) for _ in range(2))
    net.writer.operator("ADD", [x, x], [y])
    net.writer.operator("ADD", [x, y], [z])
    net.writer.operator("ADD", [z, z], [net.output((1, 8), scale=1.0, zero_point=0)])
    graph = drop_dead(tflite.read(net.case(y).model))
    assert [o.index for o in graph.operators] == [0]
    assert graph.notes == ("dropped, nothing reads them: ADD 1, ADD 2",)
    assert drop_dead(graph) is graph


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_edges_may_be_of_other_types(dtype: str) -> None:
    graph = prepare(network(dtype))
    inner = {"int8": [], "uint8": ["Quantize"], "float32": ["Quantize"]}[dtype]
    last = {"int8": [], "uint8": ["Quantize"], "float32": ["Dequantize"]}[dtype]
    assert names(graph) == [*inner, "Conv2D", "Reshape", *last]


def linear(**weights: object) -> Graph:
    net = Net("FULLY_CONNECTED:formats")
    x = net.input((1, 4))
    data = np.ones((3, 4), np.int8)
    w = net.writer.constant("w", data, **({"scale": [0.1] * 3, "zero_point": [0] * 3} | weights))
    b = net.writer.constant("b", np.zeros(3, np.int32), scale=[scale_of(net, x) * 0.1])
    y = net.output((1, 3))
    net.writer.operator("FULLY_CONNECTED", [x, w, b], [y])
    return tflite.read(net.case(y).model, name="linear")


def test_weights_with_a_zero_point_are_refused() -> None:
    with pytest.raises(ModelError, match="zero point that is not 0"):
        prepare(linear(zero_point=[0, 1, 0]))


def test_weights_quantized_along_another_axis_are_refused() -> None:
    with pytest.raises(ModelError, match=r"4 scales along axis 1; one, or 3 along axis 0"):
        prepare(linear(scale=[0.1] * 4, zero_point=[0] * 4, axis=1))


def test_a_bias_of_another_length_is_refused() -> None:
    graph = linear()
    tensors = list(graph.tensors)
    tensors[2] = replace(tensors[2], shape=(2,), data=np.zeros(2, np.int32))
    with pytest.raises(ModelError, match=r"bias 'b' is int32 \(2,\); 3 constant int32"):
        check_formats(replace(graph, tensors=tuple(tensors)))


def test_weights_computed_at_run_time_are_refused() -> None:
    graph = linear()
    tensors = list(graph.tensors)
    tensors[1] = replace(tensors[1], data=None)
    with pytest.raises(UnsupportedOperatorError, match="computed at run time"):
        check_formats(replace(graph, tensors=tuple(tensors)))


@pytest.mark.parametrize("scale", [0.0, 1e-40])
def test_activations_need_a_scale(scale: float) -> None:
    graph = linear()
    tensors = list(graph.tensors)
    tensors[0] = replace(tensors[0], quantization=Quantization(scale=(scale,), zero_point=(0,)))
    with pytest.raises(ModelError, match="above 0 is needed"):
        check_formats(replace(graph, tensors=tuple(tensors)))


def test_float_values_within_the_network_are_refused() -> None:
    net = Net("floats")
    x = net.input((1, 8))
    f = net.writer.tensor("f", (1, 8), dtype="float32")
    y = net.output((1, 8))
    g = net.writer.tensor("g", (1, 8), dtype="float32")
    net.writer.operator("DEQUANTIZE", [x], [f])
    net.writer.operator("SOFTMAX", [f], [g], Beta=1.0)
    net.writer.operator("QUANTIZE", [g], [y])
    with pytest.raises(UnsupportedOperatorError, match="computes with float32 values within"):
        prepare(tflite.read(net.case(y).model))


@pytest.mark.parametrize("operator", ["MAX_POOL_2D", "PAD"])
def test_codes_that_only_move_keep_their_scale(operator: str) -> None:
    net = Net(operator)
    x = net.input((1, 4, 4, 1), scale=0.5, zero_point=0)
    y = net.output((1, 4, 4, 1), scale=0.25, zero_point=0)
    if operator == "PAD":
        p = net.writer.constant("p", np.zeros((4, 2), np.int32))
        net.writer.operator("PAD", [x, p], [y])
    else:
        net.writer.operator(operator, [x], [y], StrideH=1, StrideW=1, FilterHeight=1, FilterWidth=1)
    with pytest.raises(ModelError, match="equal ones are needed"):
        prepare(tflite.read(net.case(y).model))


def test_a_constant_output_is_refused() -> None:
    graph = network()
    shape_of = next(o for o in graph.operators if o.name == "ShapeOf")
    with pytest.raises(ModelError, match="output 'shape' is a constant"):
        prepare(replace(graph, outputs=shape_of.outputs))


def test_constants_used_without_measure_are_refused() -> None:
    w = ModelWriter()
    x = w.tensor("x", (1, 1024), scale=1.0)
    k = w.constant("k", np.zeros((1024, 1024), np.int8), scale=[1.0], zero_point=[0])
    for i in range(600):
        y = w.tensor(f"y{i}", (1, 1024), scale=1.0)
        w.operator("FULLY_CONNECTED", [x, k, -1], [y])
        x = y
    with pytest.raises(ModelError, match="constants, counted at every use"):
        prepare(tflite.read(w.model(inputs=[0], outputs=[x])))


def test_windows_without_measure_are_refused() -> None:
    w = ModelWriter()
    x = w.tensor("x", (1, 2048, 2048, 1), scale=1.0)
    y = w.tensor("y", (1, 2048, 2048, 1), scale=1.0)
    options = {"StrideH": 1, "StrideW": 1, "FilterHeight": 1024, "FilterWidth": 1024}
    w.operator("AVERAGE_POOL_2D", [x], [y], Padding="SAME", **options)
    with pytest.raises(ModelError, match="multiplications; at most"):
        prepare(tflite.read(w.model(inputs=[x], outputs=[y])))


def test_weights_of_the_lowest_code_are_noted() -> None:
    w = ModelWriter()
    x, y = w.tensor("x", (1, 2), scale=1.0), w.tensor("y", (1, 2), scale=4.0)
    for name, weights in (("low", [[-128, 1], [2, 3]]), ("high", [[-127, 1], [2, 3]])):
        k = w.constant(name, np.array(weights, np.int8), scale=[1.0], zero_point=[0])
        w.operators.clear()
        w.operator("FULLY_CONNECTED", [x, k, -1], [y])
        notes = prepare(tflite.read(w.model(inputs=[x], outputs=[y]))).notes
        assert any("-128" in n and "FULLY_CONNECTED 0" in n for n in notes) == (name == "low")


def test_a_kept_axis_must_be_the_inputs() -> None:
    net = Net("FULLY_CONNECTED:keep")
    x = net.input((1, 4, 6))
    k, _ = net.weights((3, 8), 0)
    y = net.output((1, 4, 3))
    net.writer.operator("FULLY_CONNECTED", [x, k, -1], [y], KeepNumDims=True)
    with pytest.raises(ModelError, match="last must be the 8 inputs"):
        prepare(tflite.read(net.case(y).model))


def test_groups_must_divide_the_outputs() -> None:
    net = Net("CONV_2D:groups")
    x = net.input((1, 4, 4, 4))
    k, _ = net.weights((3, 1, 1, 2), 0)
    y = net.output((1, 4, 4, 3))
    options = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    net.writer.operator("CONV_2D", [x, k, -1], [y], **options)
    with pytest.raises(ModelError, match="3 output channels do not divide into 2 groups"):
        prepare(tflite.read(net.case(y).model))


def test_passes_do_not_change_what_they_were_given() -> None:
    graph = network()
    before = (graph.tensors, graph.operators, graph.notes)
    prepare(graph)
    assert (graph.tensors, graph.operators, graph.notes) == before
    assert PASSES[0] is fix_batch
