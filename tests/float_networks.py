# SPDX-License-Identifier: Apache-2.0
"""Small float networks: one of every operator that is quantised, and whole ones in each storage.

CASES[name]()          -> (bytes of a float .tflite, rows for each input)
network("float16")     -> a network of convolutions, sums and joins, stored so
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tflite_writer import ModelWriter

Made = tuple[bytes, list[np.ndarray]]
ROWS = 24


class Net:
    """A float network in the making; inputs draw their rows from one seed."""

    def __init__(self, seed: int = 0) -> None:
        self.writer = ModelWriter()
        self.rng = np.random.default_rng(seed)
        self.inputs: list[int] = []
        self.rows: list[np.ndarray] = []

    def input(self, *shape: int, low: float = -2.0, high: float = 2.0) -> int:
        rows = self.rng.uniform(low, high, (ROWS, *shape)).astype(np.float32)
        self.rows.append(rows)
        self.inputs.append(self.tensor(1, *shape, name=f"x{len(self.inputs)}"))
        return self.inputs[-1]

    def tensor(self, *shape: int, name: str | None = None) -> int:
        name = name or f"t{len(self.writer.tensors)}"
        return self.writer.tensor(name, shape, dtype="float32")

    def weights(self, *shape: int, size: float = 0.5) -> int:
        data = self.rng.normal(0, size, shape).astype(np.float32)
        return self.writer.constant(f"w{len(self.writer.tensors)}", data)

    def integers(self, *values: Any) -> int:
        data = np.array(values[0] if len(values) == 1 else values, np.int32)
        return self.writer.constant(f"i{len(self.writer.tensors)}", data)

    def apply(self, operator: str, inputs: Sequence[int], *shape: int, **options: Any) -> int:
        y = self.tensor(*shape)
        self.writer.operator(operator, inputs, [y], **options)
        return y

    def made(self, *outputs: int) -> Made:
        return self.writer.model(inputs=self.inputs, outputs=list(outputs)), self.rows


def unary(operator: str, *, low: float = -3.0, high: float = 3.0, **options: Any) -> Made:
    net = Net()
    x = net.input(6, 5, low=low, high=high)
    return net.made(net.apply(operator, [x], 1, 6, 5, **options))


def binary(operator: str, **options: Any) -> Made:
    """Of two inputs; one is far smaller than the other."""
    net = Net()
    a, b = net.input(4, 6), net.input(4, 6, low=0.5, high=0.9)
    return net.made(net.apply(operator, [a, b], 1, 4, 6, **options))


def with_constant(operator: str, *shape: int, **options: Any) -> Made:
    net = Net()
    x = net.input(4, 4, 6)
    return net.made(net.apply(operator, [x, net.weights(*shape)], 1, 4, 4, 6, **options))


def divided() -> Made:
    """By constants: LiteRT stops at a divisor whose code is that of 0.0."""
    net = Net()
    x = net.input(4, 6)
    divisors = net.writer.constant("d", net.rng.uniform(0.5, 2.0, (6,)).astype(np.float32))
    return net.made(net.apply("DIV", [x, divisors], 1, 4, 6))


def moved(
    operator: str, shape: Sequence[int], out: Sequence[int], *integers: Any, **options: Any
) -> Made:
    """An operator that moves codes, with constant integers as its further inputs."""
    net = Net()
    inputs = [net.input(*shape), *(net.integers(i) for i in integers)]
    return net.made(net.apply(operator, inputs, 1, *out, **options))


def several(
    operator: str, inputs: Callable[[Net, int], list[int]], outs: list[Any], **o: Any
) -> Made:
    """An operator with several outputs."""
    net = Net()
    x = net.input(4, 6)
    made = [net.tensor(*shape) for shape in outs]
    net.writer.operator(operator, inputs(net, x), made, **o)
    return net.made(*made)


def convolution(operator: str, *weights: int, bias: bool = True, **options: Any) -> Made:
    net = Net()
    x = net.input(6, 6, 3)
    channels = weights[3] if operator == "DEPTHWISE_CONV_2D" else weights[0]
    inputs = [x, net.weights(*weights), *([net.weights(channels)] if bias else [])]
    return net.made(
        net.apply(
            operator, inputs, 1, 6, 6, channels, Padding="SAME", StrideH=1, StrideW=1,
            DilationHFactor=1, DilationWFactor=1, **options,
        )
    )  # fmt: skip


def transposed() -> Made:
    net = Net()
    x = net.input(3, 3, 2)
    inputs = [net.integers([1, 6, 6, 4]), net.weights(4, 3, 3, 2), x]
    y = net.apply("TRANSPOSE_CONV", inputs, 1, 6, 6, 4, Padding="SAME", StrideH=2, StrideW=2)
    return net.made(y)


def pooled(operator: str) -> Made:
    return moved(
        operator, (6, 6, 3), (3, 3, 3), Padding="VALID", FilterHeight=2, FilterWidth=2,
        StrideH=2, StrideW=2,
    )  # fmt: skip


def dense(bias: bool = True) -> Made:
    net = Net()
    x = net.input(20)
    inputs = [x, net.weights(7, 20), net.weights(7) if bias else -1]
    return net.made(net.apply("FULLY_CONNECTED", inputs, 1, 7, FusedActivationFunction="RELU"))


def joined(operator: str, *shape: int, **options: Any) -> Made:
    """A sigmoid, whose scale is fixed, beside two wider tensors."""
    net = Net()
    a, b = net.input(4, 6), net.input(4, 6, low=-7, high=5)
    s = net.apply("LOGISTIC", [a], 1, 4, 6)
    return net.made(net.apply(operator, [s, b, a], *shape, **options))


def matrices() -> Made:
    """Live by live, then by constants."""
    net = Net()
    a, b = net.input(4, 6), net.input(6, 5)
    y = net.apply("BATCH_MATMUL", [a, b], 1, 4, 5, AdjX=False, AdjY=False)
    return net.made(net.apply("BATCH_MATMUL", [y, net.weights(1, 5, 3)], 1, 4, 3))


def filled() -> Made:
    """A constant tensor that an operator makes, added."""
    net = Net()
    x = net.input(4, 6)
    value = net.writer.constant("value", np.float32(1.5))
    y = net.apply("FILL", [net.integers(1, 4, 6), value], 1, 4, 6)
    return net.made(net.apply("ADD", [x, y], 1, 4, 6))


def gathered() -> Made:
    """By indices that RANGE makes."""
    net = Net()
    x = net.input(6, 3)
    places = net.writer.tensor("places", (3,), dtype="int32")
    ends = [net.integers(np.int32(n)) for n in (0, 6, 2)]
    net.writer.operator("RANGE", ends, [places])
    return net.made(net.apply("GATHER", [x, places], 1, 3, 3, Axis=1))


def argument() -> Made:
    net = Net()
    x = net.input(4, 6)
    y = net.writer.tensor("place", (1, 4), dtype="int64")
    x = net.apply("TANH", [x], 1, 4, 6)
    net.writer.operator("ARG_MAX", [x, net.integers(np.int32(2))], [y], OutputType=4)
    return net.made(y)


def padded() -> Made:
    net = Net()
    x = net.input(3, 4)
    value = net.writer.constant("value", np.float32(-4.5))
    pads = net.integers([[0, 0], [1, 0], [0, 2]])
    return net.made(net.apply("PADV2", [x, pads, value], 1, 4, 6))


def shaped() -> Made:
    """RESHAPE to a shape that SHAPE gives."""
    net = Net()
    a, b = net.input(4, 6), net.input(24)
    shape = net.writer.tensor("shape", (3,), dtype="int32")
    net.writer.operator("SHAPE", [a], [shape], OutType=2)
    y = net.apply("RESHAPE", [b, shape], 1, 4, 6)
    return net.made(net.apply("ADD", [a, y], 1, 4, 6))


def batches() -> Made:
    """A dilated convolution as exporters write it: into batches, VALID, and back."""
    net = Net()
    x = net.input(6, 6, 2)
    block = net.integers([2, 2])
    apart = net.apply("SPACE_TO_BATCH_ND", [x, block, net.integers([[2, 2], [2, 2]])], 4, 5, 5, 2)
    inputs = [apart, net.weights(3, 3, 3, 2), net.weights(3)]
    y = net.apply(
        "CONV_2D", inputs, 4, 3, 3, 3, Padding="VALID", StrideH=1, StrideW=1,
        DilationHFactor=1, DilationWFactor=1,
    )  # fmt: skip
    return net.made(
        net.apply("BATCH_TO_SPACE_ND", [y, block, net.integers([[0, 0], [0, 0]])], 1, 6, 6, 3)
    )


CASES: dict[str, Callable[[], Made]] = {
    "ABS": lambda: unary("ABS"),
    "ADD": lambda: binary("ADD", FusedActivationFunction="RELU6"),
    "ARG_MAX": argument,
    "AVERAGE_POOL_2D": lambda: pooled("AVERAGE_POOL_2D"),
    "BATCH_MATMUL": matrices,
    "BATCH_TO_SPACE_ND": batches,
    "BROADCAST_TO": lambda: moved("BROADCAST_TO", (1, 6), (4, 6), [1, 4, 6]),
    "CONCATENATION": lambda: joined("CONCATENATION", 1, 4, 18, Axis=2),
    "CONV_2D": lambda: convolution("CONV_2D", 5, 3, 3, 3, FusedActivationFunction="RELU"),
    "DEPTHWISE_CONV_2D": lambda: convolution("DEPTHWISE_CONV_2D", 1, 3, 3, 6, DepthMultiplier=2),
    "DEPTH_TO_SPACE": lambda: moved("DEPTH_TO_SPACE", (2, 2, 8), (4, 4, 2), BlockSize=2),
    "DIV": divided,
    "ELU": lambda: unary("ELU"),
    "EXP": lambda: unary("EXP"),
    "EXPAND_DIMS": lambda: moved("EXPAND_DIMS", (4, 6), (1, 4, 6), 1),
    "FILL": filled,
    "FULLY_CONNECTED": dense,
    "GATHER": lambda: moved("GATHER", (4, 6), (3, 6), [2, 0, 2], Axis=1),
    "GELU": lambda: unary("GELU"),
    "HARD_SWISH": lambda: unary("HARD_SWISH", low=-5),
    "L2_NORMALIZATION": lambda: unary("L2_NORMALIZATION"),
    "LEAKY_RELU": lambda: unary("LEAKY_RELU", Alpha=0.2),
    "LOG": lambda: unary("LOG", low=0.5, high=9.0),
    "LOGISTIC": lambda: unary("LOGISTIC"),
    "LOG_SOFTMAX": lambda: unary("LOG_SOFTMAX"),
    "MAXIMUM": lambda: binary("MAXIMUM"),
    "MAX_POOL_2D": lambda: pooled("MAX_POOL_2D"),
    "MEAN": lambda: moved("MEAN", (4, 6, 3), (3,), [1, 2]),
    "MINIMUM": lambda: binary("MINIMUM"),
    "MIRROR_PAD": lambda: moved("MIRROR_PAD", (3, 4), (5, 6), [[0, 0], [1, 1], [1, 1]], Mode=0),
    "MUL": lambda: with_constant("MUL", 6),
    "NEG": lambda: unary("NEG", low=-1.0),
    "PACK": lambda: joined("PACK", 3, 1, 4, 6, ValuesCount=3, Axis=0),
    "PAD": lambda: moved("PAD", (3, 4), (4, 6), [[0, 0], [1, 0], [0, 2]]),
    "PADV2": padded,
    "PRELU": lambda: with_constant("PRELU", 1, 1, 6),
    "RANGE": gathered,
    "REDUCE_MAX": lambda: moved("REDUCE_MAX", (4, 6, 3), (3,), [1, 2]),
    "REDUCE_MIN": lambda: moved("REDUCE_MIN", (4, 6, 3), (3,), [1, 2]),
    "RELU": lambda: unary("RELU"),
    "RELU6": lambda: unary("RELU6", high=9.0),
    "RELU_0_TO_1": lambda: unary("RELU_0_TO_1"),
    "RELU_N1_TO_1": lambda: unary("RELU_N1_TO_1"),
    "RESHAPE": lambda: moved("RESHAPE", (4, 6), (24,), [1, 24]),
    "RESIZE_BILINEAR": lambda: moved("RESIZE_BILINEAR", (3, 3, 2), (6, 5, 2), [6, 5]),
    "RESIZE_NEAREST_NEIGHBOR": lambda: moved(
        "RESIZE_NEAREST_NEIGHBOR", (3, 3, 2), (6, 5, 2), [6, 5]
    ),
    "REVERSE_V2": lambda: moved("REVERSE_V2", (4, 6), (4, 6), [1]),
    "RSQRT": lambda: unary("RSQRT", low=0.5, high=9.0),
    "SHAPE": shaped,
    "SLICE": lambda: moved("SLICE", (4, 6), (2, 3), [0, 1, 2], [1, 2, 3]),
    "SOFTMAX": lambda: unary("SOFTMAX", Beta=1.0),
    "SPACE_TO_BATCH_ND": batches,
    "SPACE_TO_DEPTH": lambda: moved("SPACE_TO_DEPTH", (4, 4, 2), (2, 2, 8), BlockSize=2),
    "SPLIT": lambda: several(
        "SPLIT", lambda n, x: [n.integers(np.int32(2)), x], [(1, 4, 3)] * 2, NumSplits=2
    ),
    "SPLIT_V": lambda: several(
        "SPLIT_V",
        lambda n, x: [x, n.integers([1, 5]), n.integers(np.int32(2))],
        [(1, 4, 1), (1, 4, 5)],
        NumSplits=2,
    ),
    "SQRT": lambda: unary("SQRT", low=0.1, high=9.0),
    "SQUARED_DIFFERENCE": lambda: binary("SQUARED_DIFFERENCE"),
    "SQUEEZE": lambda: moved("SQUEEZE", (1, 4, 6), (4, 6), SqueezeDims=[1]),
    "STRIDED_SLICE": lambda: moved(
        "STRIDED_SLICE", (4, 6), (4, 3), [0, 0, 0], [1, 4, 6], [1, 1, 2]
    ),
    "SUB": lambda: with_constant("SUB", 6),
    "SUM": lambda: moved("SUM", (4, 6, 3), (3,), [1, 2]),
    "TANH": lambda: unary("TANH"),
    "TILE": lambda: moved("TILE", (2, 3), (4, 3), [1, 2, 1]),
    "TRANSPOSE": lambda: moved("TRANSPOSE", (4, 6), (6, 4), [0, 2, 1]),
    "TRANSPOSE_CONV": transposed,
    "UNPACK": lambda: several("UNPACK", lambda _, x: [x], [(1, 6)] * 4, Num=4, Axis=1),
}


class Stored:
    """Weights as a file stores them: "float32", "float16" (behind DEQUANTIZE), "hybrid" int8."""

    def __init__(self, net: Net, storage: str) -> None:
        self.net, self.storage = net, storage

    def weights(self, axis: int, *shape: int) -> int:
        data = self.net.rng.normal(0, 0.4, shape).astype(np.float32)
        writer = self.net.writer
        name = f"w{len(writer.tensors)}"
        if self.storage == "float32":
            return writer.constant(name, data)
        if self.storage == "float16":
            half = writer.constant(f"{name}_half", data.astype(np.float16))
            full = self.net.tensor(*shape, name=name)
            writer.operator("DEQUANTIZE", [half], [full])
            return full
        others = tuple(a for a in range(len(shape)) if a != axis)
        scale = np.abs(data).max(axis=others) / 127
        along = [1] * len(shape)
        along[axis] = -1
        codes = np.rint(data / scale.reshape(along)).astype(np.int8)
        return writer.constant(name, codes, scale=scale, zero_point=[0] * len(scale), axis=axis)


def network(storage: str, seed: int = 3) -> Made:
    """Two branches that are summed and joined, a pool, a dense layer, a softmax."""
    net = Net(seed)
    stored = Stored(net, storage)
    window = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    x = net.input(8, 8, 3, low=-1.0, high=1.0)
    a = net.apply(
        "CONV_2D", [x, stored.weights(0, 8, 3, 3, 3), net.weights(8)], 1, 8, 8, 8,
        Padding="SAME", FusedActivationFunction="RELU", **window,
    )  # fmt: skip
    b = net.apply(
        "CONV_2D", [a, stored.weights(0, 8, 1, 1, 8), net.weights(8)], 1, 8, 8, 8,
        Padding="SAME", **window,
    )  # fmt: skip
    c = net.apply("ADD", [a, b], 1, 8, 8, 8, FusedActivationFunction="RELU")
    d = net.apply("CONCATENATION", [c, a], 1, 8, 8, 16, Axis=3)
    e = net.apply("MEAN", [d, net.integers([1, 2])], 1, 16)
    f = net.apply("FULLY_CONNECTED", [e, stored.weights(0, 5, 16), net.weights(5)], 1, 5)
    return net.made(net.apply("SOFTMAX", [f], 1, 5, Beta=1.0))
