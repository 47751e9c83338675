# SPDX-License-Identifier: Apache-2.0
"""Cases of values that are no codes: float operators between quantizations, casts, comparisons,
choices, indices.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from case_net import Case, Net, scale_of

UNARY = (
    "ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LEAKY_RELU",
    "LOGISTIC", "NEG", "RELU", "RELU6", "RELU_N1_TO_1", "ROUND", "SIGN", "SIN", "SQUARE", "TANH",
)  # fmt: skip
BINARY = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
COMPARISONS = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")
SHAPE = (1, 3, 4)


class Island:
    """A network whose middle is float: `real` gives real values of an input's codes."""

    def __init__(self, name: str) -> None:
        self.net = Net(name)

    def real(self, shape: Sequence[int] = SHAPE, **quantization: float) -> int:
        x = self.net.input(shape, **quantization)
        return self.operator("DEQUANTIZE", [x], shape)

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        dtype: str = "float32",
        **o: object,
    ) -> int:
        y = self.net.writer.tensor(f"v{len(self.net.writer.tensors)}", shape, dtype=dtype)
        self.net.writer.operator(name, inputs, [y], **o)
        return y

    def constant(self, values: object, dtype: str = "float32") -> int:
        tensors = self.net.writer.tensors
        return self.net.writer.constant(f"c{len(tensors)}", np.array(values, dtype))

    def quantized(self, value: int, shape: Sequence[int] = SHAPE, **quantization: float) -> Case:
        y = self.net.output(shape, **{"scale": self.net.scale(0.02, 0.08)} | quantization)
        self.net.writer.operator("QUANTIZE", [value], [y])
        return self.net.case(y)


def unary() -> Iterator[Case]:
    for operator, scale in itertools.product(UNARY, [0.013, 0.11]):
        island = Island(f"{operator}:float-{scale}")
        x = island.real(scale=scale)
        options = {"Alpha": 0.3} if operator == "LEAKY_RELU" else {}
        yield island.quantized(island.operator(operator, [x], SHAPE, **options))

    for operator in ("LOG", "RSQRT", "SQRT"):  # Of values that are not negative.
        island = Island(f"{operator}:float")
        x = island.real(scale=0.05, zero_point=-128)
        yield island.quantized(island.operator(operator, [x], SHAPE))


def zeros() -> Iterator[Case]:
    """1 / ±0: the sign of a zero is the end of the range."""
    for operator in ("ABS", "CEIL", "FLOOR", "NEG", "ROUND", "MUL", "SUB"):
        island = Island(f"{operator}:zero")
        x = island.real(scale=0.11, zero_point=24)
        if operator in ("MUL", "SUB"):
            pair = [x, island.constant(-2)] if operator == "MUL" else [island.constant(0), x]
            y = island.operator(operator, pair, SHAPE, FusedActivationFunction="NONE")
        else:
            y = island.operator(operator, [x], SHAPE)
        y = island.operator("DIV", [island.constant(1.3), y], SHAPE, FusedActivationFunction="NONE")
        yield island.quantized(y, scale=0.05)


def binary() -> Iterator[Case]:
    for operator, constant in itertools.product(BINARY, [0.7, [0.3, -1.5, 2.25, 0.5], None]):
        if operator == "DIV" and constant is None:
            continue  # 0 / 0 has no code.
        island = Island(f"{operator}:float-{constant}")
        x = island.real(scale=0.03, zero_point=4)
        if constant is None:
            other = island.real((1, 1, 4), scale=0.02, zero_point=-128)
        else:
            other = island.constant(constant)
        options = {} if operator in BINARY[4:] else {"FusedActivationFunction": "NONE"}
        yield island.quantized(island.operator(operator, [x, other], SHAPE, **options))


def chains() -> Iterator[Case]:
    """What exporters leave in float: a normalization, parts taken and joined, a code twice."""
    island = Island("MUL:chain")
    x = island.real((1, 4, 3))
    y = island.operator(
        "MUL", [x, island.constant([0.5, 1.25, -0.75])], (1, 4, 3), FusedActivationFunction="NONE"
    )
    y = island.operator(
        "ADD", [y, island.constant([0.1, 0.2, 0.3])], (1, 4, 3), FusedActivationFunction="RELU"
    )
    yield island.quantized(y, (1, 4, 3))
    island = Island("NEG:moved")
    x = island.real((1, 2, 6))
    y = island.operator("NEG", [x], (1, 2, 6))
    y = island.operator("RESHAPE", [y, island.net.integers("s", [1, 3, 4])], (1, 3, 4))
    y = island.operator("TRANSPOSE", [y, island.net.integers("t", [0, 2, 1])], (1, 4, 3))
    yield island.quantized(y, (1, 4, 3))
    island = Island("ADD:twice")
    x = island.real()
    y = island.operator("SQUARE", [x], SHAPE)
    y = island.operator("ADD", [x, y], SHAPE, FusedActivationFunction="NONE")
    yield island.quantized(y)
    island = Island("NEG:float-output")
    y = island.operator("NEG", [island.real()], SHAPE)
    yield island.net.case(y)


def casts() -> Iterator[Case]:
    for source, target in [
        ("int8", "float32"),
        ("uint8", "int32"),
        ("int8", "int64"),
        ("uint8", "float32"),
    ]:
        island = Island(f"CAST:{source}-{target}")
        x = island.net.writer.tensor("x0", SHAPE, dtype=source)
        island.net.inputs.append(x)
        island.net.samples.append(island.net.codes((6, *SHAPE), source))
        y = island.operator("CAST", [x], SHAPE, target)
        if target == "float32" and source == "uint8":  # Pixels made real numbers.
            options = {"FusedActivationFunction": "NONE"}
            y = island.operator("MUL", [y, island.constant(1 / 127.5)], SHAPE, **options)
            y = island.operator("SUB", [y, island.constant(1.0)], SHAPE, **options)
            yield island.quantized(y, scale=0.0079)
        else:
            yield island.net.case(y)
    island = Island("CAST:int32-int8")
    x = island.net.writer.tensor("x0", SHAPE, dtype="int32")
    island.net.inputs.append(x)
    island.net.samples.append(
        island.net.rng.integers(-(2**31), 2**31, (6, *SHAPE)).astype(np.int32)
    )
    yield island.net.case(island.operator("CAST", [x], SHAPE, "int8"))


def truths() -> Iterator[Case]:
    """Comparisons of codes, and what is chosen by them."""
    for operator, live in itertools.product(COMPARISONS, [True, False]):
        island = Island(f"{operator}:{live}")
        net = island.net
        a = net.input(SHAPE, scale=0.05)
        if live:
            b = net.input(SHAPE, scale=0.07)
        else:
            b = net.writer.constant("b", np.array(9, np.int8), scale=0.02, zero_point=-3)
        yield net.case(island.operator(operator, [a, b], SHAPE, "bool"))
    for form in ("same", "other", "constant", "real"):
        island = Island(f"SELECT_V2:{form}")
        net = island.net
        a = net.input(SHAPE, scale=0.05)
        zero = net.writer.constant("zero", np.array(0, np.int8), scale=0.02, zero_point=0)
        truth = island.operator("GREATER", [a, zero], SHAPE, "bool")
        if form == "real":
            x, y = (island.operator("DEQUANTIZE", [i], SHAPE) for i in (a, net.like(a, SHAPE)))
            net.inputs.append(net.writer.operators[-1].inputs[0])
            net.samples.append(net.codes((6, *SHAPE)))
            yield island.quantized(island.operator("SELECT_V2", [truth, x, y], SHAPE))
            continue
        sides = []
        for _ in range(2):
            sides.append(net.like(a, SHAPE))
            if form == "other":
                net.inputs.append(sides[-1])
                net.samples.append(net.codes((6, *SHAPE)))
            else:
                net.writer.operator("ABS", [a], [sides[-1]])
        if form == "constant":
            sides[1] = net.writer.constant(
                "c", np.array(5, np.int8), scale=scale_of(net, a), zero_point=0
            )
        y = net.like(a, SHAPE)
        operator = "SELECT" if form == "same" else "SELECT_V2"
        net.writer.operator(operator, [truth, *sides], [y])
        yield net.case(y)
    island = Island("LOGICAL_AND:NOT")
    net = island.net
    a, b = net.input(SHAPE, scale=0.05), net.input(SHAPE, scale=0.05)
    zero = net.writer.constant("zero", np.array(0, np.int8), scale=0.02, zero_point=0)
    truth = [island.operator("LESS", [i, zero], SHAPE, "bool") for i in (a, b)]
    both = island.operator("LOGICAL_AND", truth, SHAPE, "bool")
    either = island.operator("LOGICAL_OR", [both, truth[1]], SHAPE, "bool")
    yield net.case(island.operator("LOGICAL_NOT", [either], SHAPE, "bool"))


def indices() -> Iterator[Case]:
    forms = itertools.product(
        ["ARG_MAX", "ARG_MIN"],
        [((1, 12), -1), ((2, 3, 5), 1), ((1, 4, 256), 2)],
        ["int32", "int64"],
    )
    for operator, (shape, axis), dtype in forms:
        island = Island(f"{operator}:{shape}-{axis}-{dtype}")
        x = island.net.input(shape)
        samples = island.net.samples[-1]
        samples[0] = samples[0] // 64  # Many equal ones.
        out = np.delete(shape, axis).tolist()
        y = island.operator(
            operator, [x, island.net.integers("axis", axis)], out, dtype, OutputType=dtype.upper()
        )
        yield island.net.case(y)
    island = Island("ARG_MAX:cast")
    x = island.net.input((1, 5, 9))
    y = island.operator(
        "ARG_MAX", [x, island.net.integers("axis", 2)], (1, 5), "int64", OutputType="INT64"
    )
    y = island.operator("CAST", [y], (1, 5), "float32")
    yield island.net.case(
        island.operator("EXPAND_DIMS", [y, island.net.integers("at", -1)], (1, 5, 1))
    )


def real_inputs() -> Iterator[Case]:
    """What a network does with a real input before it quantizes it."""
    forms = {
        "pixels": [("MUL", 1 / 127.5), ("SUB", 1.0)],
        "standard": [("SUB", 0.37), ("DIV", 1.9)],
        "clamp": [("ADD", 2.5), ("RELU6", None), ("MUL", 0.1)],
        "steps": [("MUL", 0.7), ("FLOOR", None), ("MAXIMUM", -3.0), ("LEAKY_RELU", 0.25)],
    }
    for form, steps in forms.items():
        island = Island(f"{steps[0][0]}:input-{form}")
        value = island.net.input(SHAPE, dtype="float32")
        if form == "pixels":
            island.net.samples[-1] = island.net.rng.uniform(-9, 270, (6, *SHAPE)).astype(np.float32)
        for operator, constant in steps:
            unary = constant is None or operator == "LEAKY_RELU"
            inputs = [value] if unary else [value, island.constant(constant)]
            options: dict[str, object] = {}
            if operator in ("ADD", "SUB", "MUL", "DIV"):
                options = {"FusedActivationFunction": "NONE"}
            if operator == "LEAKY_RELU":
                options = {"Alpha": constant}
            value = island.operator(operator, inputs, SHAPE, **options)
        yield island.quantized(value, scale=0.0078 if form == "pixels" else 0.05)


def wide() -> Iterator[Case]:
    """int8 to int32, which TFLM knows and LiteRT does not: see `test_value_edges`."""
    island = Island("QUANTIZE:int32")
    x = island.net.input(SHAPE, scale=0.05)
    y = island.net.output(SHAPE, dtype="int32", scale=0.0007, zero_point=11)
    island.net.writer.operator("QUANTIZE", [x], [y])
    yield island.net.case(y)


def numbers() -> Iterator[Case]:
    """Sizes that a network computes from sizes, in integers."""
    net = Net("FLOOR_DIV:sizes")
    x = net.input((1, 6, 4), signature=(-1, 6, 4))
    w = net.writer
    shape = w.tensor("shape", (3,), dtype="int32")
    w.operator("SHAPE", [x], [shape], OutType="INT32")
    half, rest = w.tensor("half", (3,), dtype="int32"), w.tensor("rest", (3,), dtype="int32")
    w.operator("FLOOR_DIV", [shape, net.integers("by", [1, 2, 1])], [half])
    w.operator("FLOOR_MOD", [shape, net.integers("mod", [2, 4, 3])], [rest])
    sizes = w.tensor("sizes", (3,), dtype="int32")
    w.operator("MUL", [half, rest], [sizes], FusedActivationFunction="NONE")
    y = net.like(x, (1, 6, 4))
    w.operator("RESHAPE", [x, sizes], [y])
    yield net.case(y)


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    unary,
    zeros,
    binary,
    chains,
    casts,
    truths,
    indices,
    real_inputs,
    numbers,
)
