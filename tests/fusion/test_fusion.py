# SPDX-License-Identifier: Apache-2.0
"""Each fusion leaves fewer layers and the very same bits: the oracle, which knows none, judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from case_net import Case, Net, scale_of
from fusion.networks import random_network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_files import MODELS, needed
from shared_files import model as third_party

from neurovm import reference
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.graph import Graph
from neurovm.model import Model
from neurovm.operators.builder import signed_codes
from neurovm.passes import PASSES, fuse_dilation, prepare
from neurovm.program import compile_graph

PROFILE = PROFILES["xnnpack"]


def kinds(model: Model) -> list[str]:
    return [layer.kind for layer in model.explain()]


def check(case: Case, expected: Sequence[str] | None = None) -> Model:
    """The model of a case, once a session, forced events and predict answered as the oracle."""
    graph = prepare(tflite.read(case.model, name="case"))
    model = Model(compile_graph(graph, PROFILE))
    if expected is not None:
        assert kinds(model) == list(expected)
    tensors = reference.run(graph, PROFILE, case.inputs)
    wanted = np.concatenate(
        [signed_codes(tensors[i]).reshape(len(case.inputs[0]), -1) for i in graph.outputs], axis=1
    )
    for way in ("auto", "events", "dense"):
        session = model.session(way=way)
        for t in range(len(case.inputs[0])):
            codes = b"".join(signed_codes(x[t]).tobytes() for x in case.inputs)
            np.testing.assert_array_equal(np.asarray(session.step(codes)), wanted[t])
    return model


def image(net: Net, shape: Sequence[int], zero_point: int = 5) -> int:
    return net.input(shape, scale=0.05, zero_point=zero_point)


def conv(net: Net, x: int, channels: int, kernel: tuple[int, int], **options: object) -> int:
    """A VALID convolution of stride 1."""
    n, h, w, c = net.writer.tensors[x].shape
    k, scales = net.weights((channels, *kernel, c), 0)
    b = net.bias(channels, scale_of(net, x), scales, 3000)
    shape = (n, h - kernel[0] + 1, w - kernel[1] + 1, channels)
    y = net.linear_out(shape, scale_of(net, x), scales, kernel[0] * kernel[1] * c, 1.0)
    geometry = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    net.writer.operator("CONV_2D", [x, k, b], [y], Padding="VALID", **geometry, **options)
    return y


def moved(net: Net, operator: str, x: int, shape: Sequence[int], *constants: object) -> int:
    inputs = [x, *(net.integers("c", c) for c in constants)]
    y = net.like(x, shape)
    net.writer.operator(operator, inputs, [y])
    return y


# ---- movements ---------------------------------------------------------------------------------


def test_a_channel_shuffle_is_one_map() -> None:
    net = Net("NETWORK:shuffle")
    x = image(net, (1, 3, 4, 6))
    y = moved(net, "RESHAPE", x, (1, 3, 4, 2, 3), (1, 3, 4, 2, 3))
    y = moved(net, "TRANSPOSE", y, (1, 3, 4, 3, 2), (0, 1, 2, 4, 3))
    y = moved(net, "RESHAPE", y, (1, 3, 4, 6), (1, 3, 4, 6))
    y = moved(net, "PAD", y, (1, 4, 4, 6), ((0, 0), (1, 0), (0, 0), (0, 0)))
    y = moved(net, "SLICE", y, (1, 4, 2, 6), (0, 0, 1, 0), (1, 4, 2, 6))
    check(net.case(y), ["INPUT", "MAP"])


def test_a_transpose_and_its_inverse_are_nothing() -> None:
    net = Net("NETWORK:back")
    x = image(net, (1, 3, 4, 2))
    y = moved(net, "TRANSPOSE", x, (1, 4, 3, 2), (0, 2, 1, 3))
    y = moved(net, "TRANSPOSE", y, (1, 3, 4, 2), (0, 2, 1, 3))
    y = conv(net, y, 3, (2, 2))
    model = check(net.case(y), ["INPUT", "CONV"])
    first, second, _ = model.manifest.operators
    assert (first.fate, first.layers, first.holders) == ("folded", (), (None,))
    assert second.holders == (0,)  # the very codes of the input


def test_fills_of_two_codes_stay_two_maps() -> None:
    net = Net("NETWORK:fills")
    x = image(net, (1, 2, 3, 2))
    y = moved(net, "PAD", x, (1, 3, 3, 2), ((0, 0), (1, 0), (0, 0), (0, 0)))
    value = net.writer.constant("v", np.array([-77], np.int8), scale=0.05, zero_point=5)
    z = net.like(y, (1, 3, 4, 2))
    pads = net.integers("p", ((0, 0), (0, 0), (0, 1), (0, 0)))
    net.writer.operator("PADV2", [y, pads, value], [z])
    check(net.case(z), ["INPUT", "MAP", "MAP"])


# ---- tables ------------------------------------------------------------------------------------


def unary(net: Net, operator: str, x: int, **quantization: object) -> int:
    y = net.output(net.writer.tensors[x].shape, **quantization)
    net.writer.operator(operator, [x], [y])
    return y


def test_a_chain_of_unary_operators_is_one_table() -> None:
    net = Net("NETWORK:unary")
    y = image(net, (1, 40))
    y = unary(net, "RELU", y)
    y = unary(net, "ELU", y)
    y = unary(net, "LOGISTIC", y, scale=1 / 256, zero_point=-128)
    check(net.case(y), ["INPUT", "TABLE"])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_tables_of_a_constant_are_a_constant(dtype: str) -> None:
    net = Net("NETWORK:of-a-constant")
    zero = {"int8": 5, "uint8": 133, "int16": 0}[dtype]
    x = net.input((1, 3, 4, 2), dtype=dtype, scale=0.05, zero_point=zero)
    data = net.codes((1, 3, 4, 2), dtype)
    value = net.writer.constant("v", data, scale=0.05, zero_point=zero)
    for operator in ("RELU", "ABS") if dtype == "int16" else ("RELU", "RELU6"):
        value = unary(net, operator, value, dtype=dtype, scale=0.03, zero_point=zero)
    y = net.output((1, 3, 4, 2), dtype=dtype, scale=0.05, zero_point=zero)
    net.writer.operator("ADD", [x, value], [y])
    check(net.case(y), ["INPUT", "CONST", "ADD"])


def test_a_table_that_others_read_stays() -> None:
    net = Net("NETWORK:shared")
    x = image(net, (1, 40))
    a = unary(net, "RELU", x)
    b = unary(net, "ELU", a)
    y = net.output((1, 40))
    net.writer.operator("ADD", [a, b], [y], FusedActivationFunction="NONE")
    check(net.case(y), ["INPUT", "TABLE", "TABLE", "ADD"])
    check(net.case(a, y), ["INPUT", "TABLE", "TABLE", "ADD"])


def test_a_product_and_its_activation_are_one_table() -> None:
    net = Net("NETWORK:product")
    a, b = image(net, (1, 6)), image(net, (1, 6), -3)
    y = net.output((1, 6), scale=0.2)
    net.writer.operator("MUL", [a, b], [y], FusedActivationFunction="NONE")
    y = unary(net, "ELU", y)
    check(net.case(y), ["INPUT", "INPUT", "TABLE2"])


# ---- windows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pads", [((1, 1), (1, 1)), ((0, 3), (2, 0)), ((5, 4), (0, 0))])
def test_padding_goes_into_the_convolution(pads: tuple[tuple[int, int], ...]) -> None:
    net = Net(f"NETWORK:pad-{pads}")
    x = image(net, (1, 5, 6, 3))
    height, width = 5 + sum(pads[0]), 6 + sum(pads[1])
    y = moved(net, "PAD", x, (1, height, width, 3), ((0, 0), *pads, (0, 0)))
    model = check(net.case(conv(net, y, 4, (3, 2))), ["INPUT", "CONV"])
    assert model.manifest.operators[0].note == "done by layer 1"


def test_padding_of_another_code_stays() -> None:
    net = Net("NETWORK:padv2")
    x = image(net, (1, 5, 6, 3))
    value = net.writer.constant("v", np.array([-77], np.int8), scale=0.05, zero_point=5)
    y = net.like(x, (1, 7, 6, 3))
    pads = net.integers("p", ((0, 0), (1, 1), (0, 0), (0, 0)))
    net.writer.operator("PADV2", [x, pads, value], [y])
    check(net.case(conv(net, y, 4, (3, 2))), ["INPUT", "MAP", "CONV"])


def test_padding_of_channels_stays() -> None:
    net = Net("NETWORK:padded-channels")
    x = image(net, (1, 4, 4, 3))
    y = moved(net, "PAD", x, (1, 4, 4, 5), ((0, 0), (0, 0), (0, 0), (1, 1)))
    check(net.case(conv(net, y, 4, (3, 2))), ["INPUT", "MAP", "CONV"])


def test_only_what_is_read_of_a_convolution_is_computed() -> None:
    net = Net("NETWORK:crop")
    y = conv(net, image(net, (1, 9, 8, 2)), 3, (3, 3))  # (1, 7, 6, 3)
    y = moved(net, "STRIDED_SLICE", y, (1, 3, 2, 3), (0, 1, 2, 0), (1, 6, 6, 3), (1, 2, 3, 1))
    model = check(net.case(y), ["INPUT", "CONV"])
    assert model.manifest.neurons == 3 * 2 * 3
    assert model.manifest.macs == 3 * 2 * 3 * 9 * 2


def test_rows_in_another_order_are_no_crop() -> None:
    net = Net("NETWORK:mirror")
    y = conv(net, image(net, (1, 6, 5, 2)), 3, (3, 3))
    y = moved(net, "STRIDED_SLICE", y, (1, 4, 3, 3), (0, 3, 0, 0), (1, -9, 3, 3), (1, -1, 1, 1))
    check(net.case(y), ["INPUT", "CONV", "MAP"])


# ---- dilation ----------------------------------------------------------------------------------


def dilated(
    net: Net, block: tuple[int, ...], pads: Sequence[tuple[int, int]], *, depth: bool
) -> int:
    """What TensorFlow writes for a dilated convolution with explicit padding."""
    size = [9, 7][: len(block)]
    x = image(net, (1, *size, 3))
    crops = [(0, -(n + p + q) % d) for n, (p, q), d in zip(size, pads, block, strict=True)]
    pads = [(p, q + c[1]) for (p, q), c in zip(pads, crops, strict=True)]
    inner = [(n + p + q) // d for n, (p, q), d in zip(size, pads, block, strict=True)]
    phases = int(np.prod(block))
    y = moved(net, "SPACE_TO_BATCH_ND", x, (phases, *inner, 3), block, pads)
    kernel = (2, 2)
    if len(block) == 1:
        y = moved(net, "RESHAPE", y, (phases, 1, *inner, 3), (phases, 1, *inner, 3))
        kernel = (1, 2)
    y = depthwise(net, y, kernel) if depth else conv(net, y, 3, kernel)
    _, *out, channels = net.writer.tensors[y].shape
    if len(block) == 1:
        out = out[1:]
        y = moved(net, "RESHAPE", y, (phases, *out, channels), (phases, *out, channels))
    end = [n * d - c[1] for n, d, c in zip(out, block, crops, strict=True)]
    return moved(net, "BATCH_TO_SPACE_ND", y, (1, *end, channels), block, crops)


def depthwise(net: Net, x: int, kernel: tuple[int, int]) -> int:
    n, h, w, c = net.writer.tensors[x].shape
    k, scales = net.weights((1, *kernel, c), 3)
    b = net.bias(c, scale_of(net, x), scales, 3000)
    shape = (n, h - kernel[0] + 1, w - kernel[1] + 1, c)
    y = net.linear_out(shape, scale_of(net, x), scales, kernel[0] * kernel[1], 1.0)
    geometry = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    options = {"Padding": "VALID", "DepthMultiplier": 1, **geometry}
    net.writer.operator("DEPTHWISE_CONV_2D", [x, k, b], [y], **options)
    return y


@pytest.mark.parametrize("depth", [False, True])
@pytest.mark.parametrize(
    ("block", "pads"),
    [((2, 2), ((0, 0), (0, 0))), ((3, 2), ((1, 2), (0, 1))), ((4,), ((6, 0),)), ((2,), ((0, 0),))],
)
def test_phases_in_batches_are_one_dilated_convolution(
    block: tuple[int, ...], pads: tuple[tuple[int, int], ...], depth: bool
) -> None:
    net = Net(f"NETWORK:dilated-{block}-{pads}-{depth}")
    case = net.case(dilated(net, block, pads, depth=depth))
    model = check(case, ["INPUT", "DWCONV" if depth else "CONV"])
    assert any("dilated" in note for note in model.manifest.notes)
    for profile in PROFILES.values():
        before, after = without(case, fuse_dilation), prepare(tflite.read(case.model))
        answers = [reference.run(g, profile, case.inputs)[g.outputs[0]] for g in (before, after)]
        np.testing.assert_array_equal(*answers)


def without(case: Case, one: Callable[[Graph], Graph]) -> Graph:
    """What all passes but one make of a case."""
    graph = tflite.read(case.model)
    for other in PASSES:
        graph = graph if other is one else other(graph)
    return graph


# ---- constant channels -------------------------------------------------------------------------


def fully_connected(
    net: Net, x: int, weights: np.ndarray, bias: np.ndarray, **options: object
) -> int:
    k = net.writer.constant("w", weights.astype(np.int8), scale=[0.02], zero_point=[0])
    b = net.writer.constant("b", bias.astype(np.int32), scale=[0.001], zero_point=[0])
    y = net.output((1, len(weights)), scale=0.1, zero_point=-9)
    net.writer.operator("FULLY_CONNECTED", [x, k, b], [y], **options)
    return y


def test_neurons_that_never_change_go_into_the_next_bias() -> None:
    net = Net("NETWORK:constant")
    x = image(net, (1, 5))
    weights = net.rng.integers(-90, 91, (6, 5))
    weights[2] = 0
    bias = net.rng.integers(-4000, 4001, 6)
    bias[4] = -(1 << 30)  # its activation never leaves the lower end
    y = fully_connected(net, x, weights, bias, FusedActivationFunction="RELU")
    weights, bias = net.rng.integers(-90, 91, (4, 6)), net.rng.integers(-4000, 4001, 4)
    y = fully_connected(net, y, weights, bias)
    model = check(net.case(y), ["INPUT", "DENSE", "DENSE"])
    assert [layer.neurons for layer in model.explain()[1:]] == [4, 4]
    assert [op.holders for op in model.manifest.operators] == [(None,), (2,)]


def test_one_neuron_is_left_where_all_are_constant() -> None:
    net = Net("NETWORK:all-constant")
    x = image(net, (1, 5))
    y = fully_connected(net, x, np.zeros((3, 5)), net.rng.integers(-4000, 4001, 3))
    y = fully_connected(net, y, net.rng.integers(-90, 91, (4, 3)), np.zeros(4))
    model = check(net.case(y), ["INPUT", "DENSE", "DENSE"])
    assert [layer.neurons for layer in model.explain()[1:]] == [1, 4]


@pytest.mark.parametrize(("padding", "left"), [("VALID", 3), ("SAME", 4)])
def test_a_constant_channel_at_a_border_is_not_the_same_everywhere(padding: str, left: int) -> None:
    net = Net(f"NETWORK:border-{padding}")
    x = image(net, (1, 6, 6, 2))
    y = conv(net, x, 4, (2, 2))
    w = next(t for t in net.writer.tensors if t.name == "w")
    data = np.frombuffer(w.data, np.int8).reshape(w.shape).copy()
    data[1] = 0
    w.data = data.tobytes()
    k, scales = net.weights((3, 3, 3, 4), 0)
    b = net.bias(3, scale_of(net, y), scales, 3000)
    size = 5 if padding == "SAME" else 3
    z = net.linear_out((1, size, size, 3), scale_of(net, y), scales, 36, 1.0)
    options = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    net.writer.operator("CONV_2D", [y, k, b], [z], Padding=padding, **options)
    model = check(net.case(z), ["INPUT", "CONV", "CONV"])
    assert model.explain()[1].neurons == 25 * left


# ---- everything together -----------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 30))
def test_random_networks_of_what_fuses_equal_the_oracle(seed: int) -> None:
    check(random_network(seed))


@needed
@pytest.mark.parametrize("name", MODELS)
def test_third_party_models_are_the_same_without_fusions(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = prepare(tflite.read(third_party(name)))
    fused = Model(compile_graph(graph, PROFILE))
    monkeypatch.setattr("neurovm.program.fuse", lambda _draft: None)
    plain = Model(compile_graph(graph, PROFILE))
    assert len(fused.explain()) <= len(plain.explain())
    rng = np.random.default_rng(1)
    a, b = fused.session(), plain.session()
    codes = rng.integers(-128, 128, sum(t.size for t in fused.inputs)).astype(np.int8)
    for _ in range(4):
        assert bytes(a.step(codes)) == bytes(b.step(codes))
        codes[rng.integers(0, codes.size, 20)] = rng.integers(-128, 128, 20)
