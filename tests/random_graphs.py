# SPDX-License-Identifier: Apache-2.0
"""Random quantized networks for property tests: a hypothesis strategy that draws `Graph`s.

Hypothesis chooses the structure (and shrinks it); weights and scales come from a seeded generator.
Scales are chosen so that codes spread over their range instead of sticking to its ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from neurovm.graph import Graph, Quantization, Source, Tensor
from neurovm.operators import (
    Abs,
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Elu,
    FullyConnected,
    Gather,
    HardSwish,
    Logistic,
    Maximum,
    MaxPool2D,
    Mean,
    Mul,
    Operator,
    Pad,
    Quantize,
    ReduceMax,
    ReduceMin,
    Relu,
    Reshape,
    ResizeBilinear,
    ResizeNearestNeighbor,
    Softmax,
    SquaredDifference,
    Sub,
    Tanh,
    Transpose,
)

MOST_CODES = 600
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


def f32(x: float) -> float:
    return float(np.float32(x))


@dataclass
class Drawing:
    """A graph in the making. `value` is the tensor the next operator reads."""

    draw: st.DrawFn
    rng: np.random.Generator
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    value: int = -1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensors[self.value].shape

    @property
    def spread(self) -> float:
        """Rough size of a typical real value of the current tensor."""
        return self.tensors[self.value].scale * 60

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def small(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def tensor(self, shape: tuple[int, ...], scale: float, zero: int | None = None) -> int:
        zero = int(self.rng.integers(-128, 128)) if zero is None else zero
        quantization = Quantization(scale=(f32(scale),), zero_point=(zero,))
        name = f"t{len(self.tensors)}"
        self.tensors.append(Tensor(name=name, shape=shape, dtype="int8", quantization=quantization))
        return len(self.tensors) - 1

    def constant(self, data: np.ndarray, scale: tuple[float, ...], axis: int = 0) -> int:
        zeros = (0,) * len(scale)
        quantization = Quantization(scale=tuple(map(f32, scale)), zero_point=zeros, axis=axis)
        self.tensors.append(
            Tensor(
                name=f"c{len(self.tensors)}",
                shape=data.shape,
                dtype=data.dtype.name,
                quantization=quantization,
                data=data,
            )
        )
        return len(self.tensors) - 1

    def append(
        self, kind: type[Operator], inputs: tuple[int, ...], scale: float, **attributes: Any
    ) -> None:
        index = len(self.operators)
        zero = attributes.pop("zero", None)
        probe = kind(index=index, source_name=kind.name, inputs=inputs, outputs=(-1,), **attributes)
        (shape,) = probe.infer_shapes(self.tensors)
        output = self.tensor(shape, scale, zero)
        self.operators.append(
            kind(index=index, source_name=kind.name, inputs=inputs, outputs=(output,), **attributes)
        )
        self.value = output


def _weights(
    d: Drawing,
    shape: tuple[int, ...],
    channels: int,
    axis: int,
    fan_in: int,
    *,
    bias_needed: bool = True,
) -> tuple[int, int, float]:
    """Weights, bias (LiteRT runs no convolution without) and a fitting output scale."""
    per_channel = d.pick(True, False)
    scales = d.rng.uniform(0.002, 0.05, channels if per_channel else 1)
    w = d.rng.integers(-127, 128, shape).astype(np.int8)
    if d.pick(True, False):
        w[d.rng.random(shape) < 0.7] = 0
    s_in = d.tensors[d.value].scale
    bias = d.rng.integers(-(1 << 12), 1 << 12, channels).astype(np.int32)
    s_out = float(scales.mean()) * s_in * 70 * 60 * math.sqrt(fan_in) / d.pick(30, 60, 150)
    weights = d.constant(w, tuple(scales), axis)
    biases = (
        d.constant(bias, tuple(scales * s_in)) if bias_needed or d.pick(True, True, False) else -1
    )
    return weights, biases, s_out


def fully_connected(d: Drawing) -> None:
    fan_in = d.shape[-1] if d.pick(True, False) else math.prod(d.shape)
    outputs = d.small(1, 20)
    w, b, scale = _weights(d, (outputs, fan_in), outputs, 0, fan_in, bias_needed=False)
    activation = d.pick(*ACTIVATIONS)
    d.append(
        FullyConnected,
        (d.value, w, b),
        scale,
        activation=activation,
        keep_num_dims=fan_in == d.shape[-1],
    )


def _window(d: Drawing) -> dict[str, Any]:
    return {
        "padding": d.pick("SAME", "VALID"),
        "stride": (d.small(1, 3), d.small(1, 3)),
        "activation": d.pick(*ACTIVATIONS),
    }


def _kernel(d: Drawing, dilation: tuple[int, int]) -> tuple[int, int]:
    """A kernel that fits the image even without padding."""
    most = [max(1, (n - 1) // k + 1) for n, k in zip(d.shape[1:3], dilation, strict=True)]
    return d.small(1, min(4, most[0])), d.small(1, min(4, most[1]))


def conv(d: Drawing) -> None:
    dilation = d.pick((1, 1), (1, 1), (2, 1), (2, 2))
    kernel = _kernel(d, dilation)
    channels_in = d.shape[3]
    groups = d.pick(*[g for g in (1, 1, 2) if channels_in % g == 0])
    outputs = groups * d.small(1, 9)
    fan_in = kernel[0] * kernel[1] * channels_in // groups
    w, b, scale = _weights(d, (outputs, *kernel, channels_in // groups), outputs, 0, fan_in)
    d.append(Conv2D, (d.value, w, b), scale, dilation=dilation, **_window(d))


def depthwise(d: Drawing) -> None:
    dilation = d.pick((1, 1), (1, 1), (1, 2))
    kernel = _kernel(d, dilation)
    outputs = d.shape[3] * d.pick(1, 1, 2)
    w, b, scale = _weights(d, (1, *kernel, outputs), outputs, 3, kernel[0] * kernel[1])
    d.append(DepthwiseConv2D, (d.value, w, b), scale, dilation=dilation, **_window(d))


def _pool(d: Drawing, kind: type[Operator]) -> None:
    tensor = d.tensors[d.value]
    d.append(
        kind,
        (d.value,),
        tensor.scale,
        zero=tensor.zero_point,
        window=_kernel(d, (1, 1)),
        **_window(d),
    )


def average_pool(d: Drawing) -> None:
    _pool(d, AveragePool2D)


def max_pool(d: Drawing) -> None:
    _pool(d, MaxPool2D)


def mean(d: Drawing) -> None:
    rank = len(d.shape)
    axes = d.pick(*[a for a in ((1,), (1, 2), (2,), (rank - 1,)) if max(a) < rank])
    scale = d.tensors[d.value].scale * d.pick(0.3, 1.0, 1.7)
    d.append(Mean, (d.value,), scale, axes=axes, keep_dims=d.pick(True, False))


def add(d: Drawing) -> None:
    """With itself, an earlier value of the same shape, a constant, or a broadcast one."""
    same = [
        i
        for i, t in enumerate(d.tensors)
        if t.data is None and t.shape == d.shape and t.dtype == "int8"
    ]
    other = d.pick(*same)
    if d.pick(True, False, False):
        shape = d.pick(d.shape, (1,) * len(d.shape), (d.shape[-1],))
        data = d.rng.integers(-128, 128, shape).astype(np.int8)
        other = d.constant(data, (d.tensors[d.value].scale * d.pick(0.4, 1.0, 3.0),))
    inputs = d.pick((d.value, other), (other, d.value))
    scale = sum(d.tensors[i].scale for i in inputs) * d.pick(0.5, 1.0)
    d.append(Add, inputs, scale, activation=d.pick(*ACTIVATIONS))


def pad(d: Drawing) -> None:
    tensor = d.tensors[d.value]
    inner = [(d.small(0, 2), d.small(0, 2)) for _ in d.shape[1:]]
    before, after = (0, *(b for b, _ in inner)), (0, *(a for _, a in inner))
    d.append(Pad, (d.value,), tensor.scale, zero=tensor.zero_point, before=before, after=after)


def reshape(d: Drawing) -> None:
    tensor = d.tensors[d.value]
    size = math.prod(d.shape)
    rows = d.pick(*[n for n in (1, 2, 3) if size % n == 0])
    shape = d.pick((1, size), (1, rows, size // rows), (1, 1, rows, size // rows))
    d.append(Reshape, (d.value,), tensor.scale, zero=tensor.zero_point, new_shape=shape)


def softmax(d: Drawing) -> None:
    d.append(Softmax, (d.value,), 1 / 256, zero=-128, beta=d.pick(1.0, 0.5))


def quantize(d: Drawing) -> None:
    d.append(Quantize, (d.value,), d.tensors[d.value].scale * d.pick(0.5, 1.0, 1.9, 300.0))


def unary(d: Drawing) -> None:
    kind = d.pick(Abs, Elu, HardSwish, Logistic, Relu, Tanh)
    d.append(kind, (d.value,), d.tensors[d.value].scale * d.pick(0.5, 1.0, 1.3))


def binary(d: Drawing) -> None:
    """With itself, an earlier value, or a constant that is broadcast."""
    kind = d.pick(Mul, Mul, Sub, Maximum, SquaredDifference)
    same = [
        i
        for i, t in enumerate(d.tensors)
        if t.data is None and t.shape == d.shape and t.dtype == "int8"
    ]
    other = d.pick(*same)
    if d.pick(True, False):
        shape = d.pick(d.shape, (1,) * len(d.shape), (d.shape[-1],))
        data = d.rng.integers(-128, 128, shape).astype(np.int8)
        other = d.constant(data, (d.tensors[d.value].scale,))
    factor = d.tensors[other].scale * 40 if kind in (Mul, SquaredDifference) else 1.0
    d.append(kind, (d.value, other), d.tensors[d.value].scale * factor)


def move(d: Drawing) -> None:
    """Codes to other places: turned, joined, or strided backwards."""
    tensor = d.tensors[d.value]
    same = {"zero": tensor.zero_point}
    order = d.draw(st.permutations(range(len(d.shape))))
    axis = d.small(0, len(d.shape) - 1)
    kind, inputs, attributes = d.pick(
        (Transpose, (d.value,), {"order": tuple(order)}),
        (Concatenation, (d.value, d.value), {"axis": axis}),
        (Gather, (d.value, _reversed_index(d, axis)), {"axis": axis}),
    )
    d.append(kind, inputs, tensor.scale, **attributes, **same)


def _reversed_index(d: Drawing, axis: int) -> int:
    return d.constant(np.arange(d.shape[axis], dtype=np.int32)[::-1].copy(), (1.0,))


def resize(d: Drawing) -> None:
    tensor = d.tensors[d.value]
    kind = d.pick(ResizeBilinear, ResizeNearestNeighbor)
    size = (d.small(1, 7), d.small(1, 7))
    mode = d.pick({}, {"align_corners": True}, {"half_pixel_centers": True})
    d.append(kind, (d.value,), tensor.scale, zero=tensor.zero_point, size=size, **mode)


def extreme(d: Drawing) -> None:
    tensor = d.tensors[d.value]
    axes = tuple(sorted({d.small(0, len(d.shape) - 1), len(d.shape) - 1}))
    kind, keep = d.pick(ReduceMax, ReduceMin), d.pick(True, False)
    d.append(kind, (d.value,), tensor.scale, zero=tensor.zero_point, axes=axes, keep_dims=keep)


FLAT = (
    fully_connected, add, mean, reshape, softmax, quantize, pad, unary, binary, binary, move,
)  # fmt: skip
IMAGE = (*FLAT, conv, conv, depthwise, average_pool, max_pool, resize, extreme)


def _open(d: Drawing, shape: tuple[int, ...]) -> tuple[int, ...]:
    """One input (int8; uint8 or float32 behind a QUANTIZE), or two that are added."""
    first = d.value = d.tensor(shape, 0.05)
    kind = d.pick("int8", "int8", "int8", "uint8", "float32", "two")
    if kind == "two":
        second = d.value = d.tensor(d.pick(shape, shape[-1:]), 0.08)
        d.append(Add, (first, second), 0.1)
        return first, second
    if kind == "uint8":
        zero = (d.tensors[first].zero_point + 128,)
        quantization = Quantization(scale=(f32(0.05 * d.pick(1.0, 1.3)),), zero_point=zero)
        d.tensors[first] = replace(d.tensors[first], dtype="uint8", quantization=quantization)
        d.append(Quantize, (first,), 0.05, zero=d.tensors[first].zero_point - 128)
    if kind == "float32":
        d.tensors[first] = replace(d.tensors[first], dtype="float32", quantization=None)
        d.append(Quantize, (first,), 0.05)
    return (first,)


@st.composite
def graphs(draw: st.DrawFn, most_operators: int = 5) -> Graph:
    """A well-formed graph of 1 … most_operators operators with at most two outputs."""
    d = Drawing(draw, np.random.default_rng(draw(st.integers(0, 1 << 30))))
    image = (d.pick(1, 1, 1, 2), d.small(1, 6), d.small(1, 6), d.small(1, 5))
    inputs = _open(d, d.pick(image, image, (1, d.small(1, 40))))
    for _ in range(d.small(1, most_operators)):
        fitting = IMAGE if len(d.shape) == 4 else FLAT
        if len(d.shape) < 2:
            fitting = (fully_connected, add, quantize, unary, binary)
        before = len(d.tensors), len(d.operators), d.value
        d.pick(*fitting)(d)
        if math.prod(d.shape) > MOST_CODES:
            del d.tensors[before[0] :], d.operators[before[1] :]
            d.value = before[2]
    if not d.operators:
        fully_connected(d)
    outputs = [d.value]
    inner = [op.outputs[0] for op in d.operators[:-1]]
    if inner and d.pick(True, False, False):
        outputs.insert(d.small(0, 1), d.pick(*inner))
    graph = Graph(
        name="random",
        source=Source(format="drawn", sha256="0" * 64, bytes=0, name="random"),
        tensors=tuple(d.tensors),
        operators=tuple(d.operators),
        inputs=inputs,
        outputs=tuple(outputs),
    )
    graph.check()
    return graph
