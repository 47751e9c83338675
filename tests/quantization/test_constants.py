# SPDX-License-Identifier: Apache-2.0
"""What depends on no row is folded before quantising; what is no network of rows is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from float_networks import CASES, Made, Net, network

import neurovm
from neurovm.convert import convert_quantized
from neurovm.converters import tflite_plain, tflite_writer
from neurovm.errors import ModelError, NeurovmError, UnsupportedOperatorError
from neurovm.quantization import Quantized, quantize
from neurovm.verify import verify

pytestmark = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only",
)


def made(source: bytes, rows: list[np.ndarray]) -> Quantized:
    names = [model.tensors[i].name for model in [tflite_plain.read(source)] for i in model.inputs]
    return quantize(source, dict(zip(names, rows, strict=True)))


def prove(quantized: Quantized, folder: Path, rows: list[np.ndarray]) -> None:
    """No layer loses more than rounding, and the bundle answers what LiteRT answers."""
    assert all(x.snr_db is None or x.snr_db > 30 for x in quantized.info.layers)
    path = folder / quantized.name
    path.write_bytes(quantized.data)
    with convert_quantized(quantized) as model:
        given = {t.name: r for t, r in zip(model.inputs, rows, strict=True)}
        proof = verify(path, model=model, inputs=[given], count=10, walk=10)
    assert proof.identical, proof.first_difference


def operators(quantized: Quantized) -> list[str]:
    return [op.name for op in tflite_plain.read(quantized.data).operators]


def moved_state() -> Made:
    """A state of zeros as exporters make it: SHAPE, FILL, weights times zeros, a bias."""
    net = Net()
    x = net.input(5, low=-1.0, high=1.0)
    shape = net.writer.tensor("shape", (2,), dtype="int32")
    net.writer.operator("SHAPE", [x], [shape], OutType=2)
    rows = net.writer.tensor("rows", (), dtype="int32")
    places = [net.integers([0]), net.integers([1]), net.integers([1])]
    net.writer.operator("STRIDED_SLICE", [shape, *places], [rows], ShrinkAxisMask=1)
    packed = net.writer.tensor("packed", (2,), dtype="int32")
    net.writer.operator("PACK", [rows, net.integers(np.int32(4))], [packed], ValuesCount=2, Axis=0)
    zeros = net.apply("FILL", [packed, net.writer.constant("zero", np.float32(0))], 1, 4)
    y = net.apply("FULLY_CONNECTED", [zeros, net.weights(5, 4), net.weights(5)], 1, 5)
    return net.made(net.apply("ADD", [x, y], 1, 5))


def product_of_shapes() -> Made:
    net = Net()
    x = net.input(4, 6)
    shape = net.writer.tensor("shape", (3,), dtype="int32")
    net.writer.operator("SHAPE", [net.apply("TANH", [x], 1, 4, 6)], [shape], OutType=2)
    whole = net.writer.tensor("whole", (1,), dtype="int32")
    net.writer.operator("REDUCE_PROD", [shape, net.integers([0])], [whole], KeepDims=True)
    return net.made(net.apply("RESHAPE", [x, whole], 24))


def weights_that_move() -> Made:
    """Weights that a TRANSPOSE of constants makes, and a function with no 8-bit form."""
    net = Net()
    x = net.input(6)
    turned = net.apply("TRANSPOSE", [net.weights(6, 4), net.integers([1, 0])], 4, 6)
    bias = net.apply("SIN", [net.weights(4)], 4)
    return net.made(net.apply("FULLY_CONNECTED", [x, turned, bias], 1, 4))


def joined_constants() -> Made:
    """CONCATENATION, RESHAPE and ADD of constants alone: no operator of them has a live input."""
    net = Net()
    x = net.input(4, 6)
    both = net.apply("CONCATENATION", [net.weights(1, 2, 6), net.weights(1, 2, 6)], 1, 4, 6, Axis=1)
    flat = net.apply("RESHAPE", [both, net.integers([1, 24])], 1, 24)
    back = net.apply("RESHAPE", [flat, net.integers([1, 4, 6])], 1, 4, 6)
    summed = net.apply("ADD", [back, net.weights(1, 4, 6)], 1, 4, 6)
    return net.made(net.apply("MUL", [x, summed], 1, 4, 6))


FOLDED: dict[str, tuple[Callable[[], Made], list[str]]] = {
    "state": (moved_state, ["ADD"]),
    "shapes": (product_of_shapes, ["RESHAPE"]),
    "weights": (weights_that_move, ["FULLY_CONNECTED"]),
    "joined": (joined_constants, ["MUL"]),
}


@pytest.mark.parametrize("case", sorted(FOLDED))
def test_constants_are_folded(case: str, tmp_path: Path) -> None:
    build, left = FOLDED[case]
    source, rows = build()
    quantized = made(source, rows)
    assert operators(quantized) == ["QUANTIZE", *left, "DEQUANTIZE"]
    prove(quantized, tmp_path, rows)


def test_a_folded_constant_is_what_litert_computes() -> None:
    source, rows = weights_that_move()
    tensors = tflite_plain.read(source).tensors
    weights, angles = tensors[1].data, tensors[4].data
    assert weights is not None
    assert angles is not None
    after = tflite_plain.read(made(source, rows).data)
    dense = next(op for op in after.operators if op.name == "FULLY_CONNECTED")
    kept, bias = after.tensors[dense.inputs[1]], after.tensors[dense.inputs[2]]
    assert np.allclose(
        kept.data * np.reshape(kept.quantization.scale, (4, 1)), weights.T, atol=0.01
    )
    assert np.allclose(bias.data * np.array(bias.quantization.scale), np.sin(angles), atol=0.001)


def test_squares_are_products(tmp_path: Path) -> None:
    net = Net()
    x = net.input(4, 6)
    source, rows = net.made(net.apply("SQUARE", [x], 1, 4, 6))
    prove(made(source, rows), tmp_path, rows)


@pytest.mark.parametrize(("operator", "bound"), [("MINIMUM", 1e12), ("MAXIMUM", -1e12)])
def test_a_bound_that_is_never_reached_costs_no_range(
    operator: str, bound: float, tmp_path: Path
) -> None:
    net = Net()
    x = net.input(4, 6)
    far = net.writer.constant("far", np.float32(bound))
    source, rows = net.made(net.apply(operator, [x, far], 1, 4, 6))
    prove(made(source, rows), tmp_path, rows)


def test_an_output_without_input_is_named() -> None:
    net = Net()
    x = net.input(4)
    y = net.apply("TANH", [net.weights(1, 4)], 1, 4)
    source, rows = net.made(net.apply("TANH", [x], 1, 4), y)
    with pytest.raises(ModelError, match=f"output 't{y}' depends on no input"):
        made(source, rows)


def test_constants_that_a_few_bytes_blow_up_are_refused() -> None:
    net = Net()
    x = net.input(1)
    one = net.writer.constant("one", np.float32(1))
    large = net.apply("FILL", [net.integers([2049, 2048]), one], 2049, 2048)
    source, rows = net.made(net.apply("MUL", [x, large], 2049, 2048))
    with pytest.raises(ModelError, match="4196352 elements; at most 4194304"):
        made(source, rows)


def test_random_numbers_are_no_constants() -> None:
    net = Net()
    x = net.input(4)
    y = net.apply("RANDOM_UNIFORM", [net.integers([1, 4])], 1, 4)
    source, rows = net.made(net.apply("ADD", [x, y], 1, 4))
    with pytest.raises(UnsupportedOperatorError, match=r"RANDOM_UNIFORM\).*no 8-bit form of it"):
        made(source, rows)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_constants_without_a_value_are_named(value: float) -> None:
    net = Net()
    table = np.ones((5, 3), np.float32)
    table[4] = value
    x = net.input(3)
    rows = net.apply("GATHER", [net.writer.constant("t", table), net.integers([4])], 1, 3)
    source, given = net.made(net.apply("MUL", [x, rows], 1, 3))
    with pytest.raises(ModelError, match="NaN or an infinity in constant"):
        made(source, given)


@pytest.mark.parametrize("value", [1e-45, -1e-42, 1e-38])
def test_constants_next_to_zero_have_a_scale(value: float) -> None:
    net = Net()
    x = net.input(4)
    tiny = net.writer.constant("tiny", np.float32(value))
    source, rows = net.made(net.apply("SUB", [x, tiny], 1, 4))
    with convert_quantized(made(source, rows)) as model:
        assert np.abs(model.predict(rows[0]).reshape(-1, 4) - rows[0]).max() < 0.02


def changed(case: str, seed: int) -> tuple[bytes, list[np.ndarray]]:
    """A network with one thing wrong: an input missing, a type, a shape, an operator's name."""
    rng = np.random.default_rng(seed)
    source, rows = network("float32") if case == "network" else CASES[case]()
    model = tflite_plain.read(source)
    tensors, operators = list(model.tensors), list(model.operators)
    at = int(rng.integers(len(operators)))
    op = operators[at]
    live = [i for i in (*op.inputs, *op.outputs) if i >= 0 and tensors[i].data is None]
    i = int(rng.choice(live))
    kind = seed % 4
    if kind == 0:
        place = int(rng.integers(len(op.inputs)))
        without = op.inputs[:place] + (-1,) * (seed % 2) + op.inputs[place + 1 :]
        operators[at] = dataclasses.replace(op, inputs=without)
    elif kind == 1:
        dtype = ("int32", "int64", "bool", "int8")[seed // 4 % 4]
        tensors[i] = dataclasses.replace(tensors[i], dtype=dtype)
    elif kind == 2:
        shape = tensors[i].shape
        shape = ((), shape[::-1], (0, *shape[1:]), (*shape, 1))[seed // 4 % 4]
        tensors[i] = dataclasses.replace(tensors[i], shape=shape)
    else:
        operators[at] = dataclasses.replace(op, name=str(rng.choice(sorted(CASES))))
    changed = dataclasses.replace(model, tensors=tuple(tensors), operators=tuple(operators))
    return tflite_writer.write(changed), rows


@pytest.mark.parametrize("seed", range(24))
def test_whatever_is_wrong_one_clear_error(seed: int) -> None:
    names = ["network", *sorted(CASES)]
    source, rows = changed(names[seed * 7 % len(names)], seed)
    try:
        with neurovm.convert_tflite(source, calibrate=_by_name(source, rows)) as converted:
            assert converted.manifest.approx is not None
    except NeurovmError as error:
        assert "\n" not in str(error)


def _by_name(source: bytes, rows: list[np.ndarray]) -> dict[str, np.ndarray]:
    try:
        model = tflite_plain.read(source)
    except ModelError:
        return {"x0": rows[0][:6]}
    return {model.tensors[i].name: r[:6] for i, r in zip(model.inputs, rows, strict=True)}
