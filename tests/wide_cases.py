# SPDX-License-Identifier: Apache-2.0
"""Cases of int16 codes: with int8 weights, and as operators that have none."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from case_net import ACTIVATIONS, Case, Net, image_shape, scale_of
from format_cases import SAME

KERNELS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "FULLY_CONNECTED": ((3, 24), (5, 24), 0),
    "CONV_2D": ((1, 5, 6, 3), (4, 3, 3, 3), 0),
    "DEPTHWISE_CONV_2D": ((1, 5, 6, 3), (1, 3, 3, 6), 3),
    "TRANSPOSE_CONV": ((1, 5, 6, 3), (4, 3, 3, 3), 0),
}
"""Shape of the input and of the weights, and the axis of the output channels."""
BIASES = ("int64", "int32", "none")
REFUSED = {("CONV_2D", "int32"), ("DEPTHWISE_CONV_2D", "int32"), ("TRANSPOSE_CONV", "int32")}
"""What LiteRT refuses, or answers from memory that is not its own. Those without bias too."""


def weighted(
    operator: str,
    *,
    bias: str = "int64",
    per_channel: bool = False,
    activation: str = "NONE",
    gain: float = 1.0,
    inputs: int = 0,
    largest: bool = False,
    declared: str = "",
) -> Case:
    """An operator with int16 codes and int8 weights; `inputs` of a FULLY_CONNECTED in place of 24.

    `largest`: all weights and most codes at the upper end, so that sums leave int32.
    """
    form = f"{bias}-{per_channel}-{activation}-{gain}-{inputs}-{largest}-{declared}"
    net = Net(f"{operator}:i16-{form}")
    shape, kernel, axis = KERNELS[operator]
    if inputs:
        shape, kernel = (2, inputs), (5, inputs)
    x = net.input(shape, dtype="int16", scale=net.scale(1e-4, 1e-3), zero_point=0)
    w, scales = net.weights(kernel, axis if per_channel else None)
    weights = net.writer.tensors[w]
    weights.scale = tuple(float(np.float32(s * 1e-3)) for s in scales)
    if largest:
        weights.data = np.full(kernel, 127, np.int8).tobytes()
        net.samples[0] = np.maximum(net.samples[0], 15000)
    channels = kernel[axis]
    b = -1
    if bias != "none":
        data = net.rng.integers(-100000, 100001, channels).astype(bias)
        factors = np.float32(scale_of(net, x)) * np.array(weights.scale, np.float32)
        b = net.writer.constant("b", data, scale=factors, zero_point=[0] * len(factors))
    taps = int(np.prod(kernel[1:3] if axis == 3 else kernel[1:]))
    sums = 127 * 24000 * taps if largest else 74 * 19000 * taps**0.5
    out = (shape[0], channels)
    if len(shape) == 4:
        out = image_shape(shape, (3, 3), (1, 1), (1, 1), "SAME", channels)
    scale = scale_of(net, x) * float(np.mean(weights.scale)) * sums / 12000 / gain
    y = net.output(out, dtype="int16", scale=float(np.float32(scale)), zero_point=0)
    options = {} if operator == "FULLY_CONNECTED" else dict(SAME)
    if declared:
        options["QuantizedBiasType"] = declared
    if operator == "DEPTHWISE_CONV_2D":
        options["DepthMultiplier"] = channels // shape[3]
    ins = [x, w, b]
    if operator == "TRANSPOSE_CONV":
        ins = [net.integers("size", out), w, x, *([b] if b != -1 else [])]
        options = {k: v for k, v in options.items() if not k.startswith("Dil")}
    net.writer.operator(operator, ins, [y], FusedActivationFunction=activation, **options)
    return net.case(y)


def weights() -> Iterator[Case]:
    for operator, bias, per_channel in itertools.product(KERNELS, BIASES, (False, True)):
        nothing = bias == "none" and operator in ("CONV_2D", "DEPTHWISE_CONV_2D")
        if (operator, bias) not in REFUSED and not nothing:
            yield weighted(operator, bias=bias, per_channel=per_channel)
    for operator, activation in itertools.product(KERNELS, ACTIVATIONS[1:]):
        yield weighted(operator, activation=activation, gain=4.0)
    for bias, inputs in itertools.product(BIASES, (1, 7, 64, 250)):
        yield weighted("FULLY_CONNECTED", bias=bias, inputs=inputs)
    for declared, inputs in itertools.product(("INT64", "INT32"), (64, 250)):
        yield weighted("FULLY_CONNECTED", bias="none", inputs=inputs, declared=declared)


def long_sums() -> Iterator[Case]:
    """Sums beyond int32: int64 accumulators, or (int32 bias, or none) sums that wrap."""
    for bias in BIASES:
        yield weighted("FULLY_CONNECTED", bias=bias, inputs=1500, largest=True)
    yield weighted("FULLY_CONNECTED", bias="none", inputs=1500, largest=True, declared="INT64")


def quantizations() -> Iterator[Case]:
    shape = (1, 300)
    for low, high in ((1e-4, 1e-3), (1e-3, 2e-2)):
        for source, target in (("int16", "int8"), ("int8", "int16"), ("int16", "int16")):
            net = Net(f"QUANTIZE:{source}-{target}-{low}")
            ends = [
                {"scale": net.scale(low, high), "zero_point": 0}
                if dtype == "int16"
                else {"scale": net.scale(), "zero_point": net.zero()}
                for dtype in (source, target)
            ]
            x = net.input(shape, dtype=source, **ends[0])
            y = net.output(shape, dtype=target, **ends[1])
            net.writer.operator("QUANTIZE", [x], [y])
            yield net.case(y)
    net = Net("QUANTIZE:f32-i16")
    x = net.input((1, 400), dtype="float32")
    y = net.output((1, 400), dtype="int16", scale=net.scale(1e-4, 1e-3), zero_point=0)
    net.writer.operator("QUANTIZE", [x], [y])
    yield net.case(y)
    net = Net("DEQUANTIZE:i16")
    x = net.input((1, 400), dtype="int16", scale=net.scale(1e-4, 1e-3), zero_point=0)
    y = net.writer.tensor("y", (1, 400), dtype="float32")
    net.writer.operator("DEQUANTIZE", [x], [y])
    yield net.case(y)


def moved(name: str, shape: Sequence[int], out: Sequence[int]) -> tuple[Net, int, int]:
    """A net with an int16 input and an output of the same meaning."""
    net = Net(f"{name}:i16")
    x = net.input(shape, dtype="int16", scale=3e-4, zero_point=0)
    return net, x, net.like(x, out)


def movements() -> Iterator[Case]:
    net, x, y = moved("PAD", (1, 4, 6, 2), (1, 6, 7, 2))
    net.writer.operator("PAD", [x, net.integers("p", [(0, 0), (1, 1), (0, 1), (0, 0)])], [y])
    yield net.case(y)
    net, x, y = moved("CONCATENATION", (1, 4, 6), (1, 8, 6))
    z = net.input((1, 4, 6), dtype="int16", scale=scale_of(net, x), zero_point=0)
    net.writer.operator("CONCATENATION", [x, z], [y], Axis=1, FusedActivationFunction="NONE")
    yield net.case(y)
    net, x, y = moved("TRANSPOSE", (1, 4, 6, 2), (1, 6, 2, 4))
    net.writer.operator("TRANSPOSE", [x, net.integers("p", [0, 2, 3, 1])], [y])
    yield net.case(y)
    net, x, y = moved("STRIDED_SLICE", (1, 8, 6), (1, 3, 6))
    ends = [net.integers(n, v) for n, v in (("b", [0, 1, 0]), ("e", [1, 7, 6]), ("s", [1, 2, 1]))]
    net.writer.operator("STRIDED_SLICE", [x, *ends], [y])
    yield net.case(y)
    net, x, y = moved("RESHAPE", (1, 4, 6), (1, 24))
    net.writer.operator("RESHAPE", [x, net.integers("s", [1, 24])], [y], NewShape=[1, 24])
    yield net.case(y)


def pairs() -> Iterator[Case]:
    """Two inputs: whole vectors of 16 elements and a rest, broadcast, and scales of all kinds."""
    scales = ((3e-4, 2e-4, 4e-4), (1e-4, 9e-4, 5e-4), (2.0**-12, 2.0**-12, 2.0**-11))
    shapes = (((1, 2011), (1, 2011)), ((1, 4, 300), (300,)), ((1, 7), (1, 7)))
    for operator, (left, right) in itertools.product(("ADD", "SUB", "MUL"), shapes):
        for scale, activation in itertools.product(scales, ("NONE", "RELU6")):
            net = Net(f"{operator}:i16-{left}-{right}-{scale}-{activation}")
            a = net.input(left, dtype="int16", scale=float(np.float32(scale[0])), zero_point=0)
            b = net.input(right, dtype="int16", scale=float(np.float32(scale[1])), zero_point=0)
            out = scale[2] if operator != "MUL" else scale[0] * scale[1] * 20000
            y = net.output(left, dtype="int16", scale=float(np.float32(out)), zero_point=0)
            options = {} if operator == "MUL" else {"PotScaleInt16": False}
            net.writer.operator(
                operator, [a, b], [y], FusedActivationFunction=activation, **options
            )
            yield net.case(y)
    for operator in ("MAXIMUM", "MINIMUM"):
        net = Net(f"{operator}:i16")
        a, b = (net.input((1, 5, 40), dtype="int16", scale=3e-4, zero_point=0) for _ in range(2))
        y = net.like(a, (1, 5, 40))
        net.writer.operator(operator, [a, b], [y])
        yield net.case(y)


def functions() -> Iterator[Case]:
    """Every function of one variable on every code."""
    everything = np.arange(-32768, 32768).astype(np.int16)
    forms: dict[str, tuple[float | None, dict[str, float]]] = {
        "LOGISTIC": (2.0**-15, {}), "TANH": (2.0**-15, {}), "RELU": (None, {}),
        "RELU6": (None, {}), "ABS": (None, {}), "LEAKY_RELU": (None, {"Alpha": 0.3}),
    }  # fmt: skip
    for operator, (out, options) in forms.items():
        for scale in (2.0**-12, 2.0**-11, 3e-4):
            net = Net(f"{operator}:i16-{scale}")
            scale_in = float(np.float32(scale))
            x = net.input((1, 65536), dtype="int16", scale=scale_in, zero_point=0)
            net.samples[0] = np.stack(
                [np.roll(everything, i)[None] for i in range(len(net.samples[0]))]
            )
            scale_out = float(np.float32(scale * 0.7)) if out is None else out
            y = net.output((1, 65536), dtype="int16", scale=scale_out, zero_point=0)
            net.writer.operator(operator, [x], [y], **options)
            yield net.case(y)


def softmaxes() -> Iterator[Case]:
    for source, length, beta in itertools.product(("int8", "int16"), (2, 10, 300), (1.0, 0.5)):
        for scale in (1e-4, 2e-3) if source == "int16" else (0.02, 0.1):
            net = Net(f"SOFTMAX:{source}-i16-{length}-{beta}-{scale}")
            zero = 0 if source == "int16" else net.zero()
            x = net.input(
                (3, length), dtype=source, scale=float(np.float32(scale)), zero_point=zero
            )
            ends = (2.0**-15, 0) if source == "int16" else (2.0**-16, -32768)
            y = net.output((3, length), dtype="int16", scale=ends[0], zero_point=ends[1])
            net.writer.operator("SOFTMAX", [x], [y], Beta=beta)
            yield net.case(y)


def resizes() -> Iterator[Case]:
    for operator, (align, half) in itertools.product(
        ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
        ((False, False), (True, False), (False, True)),
    ):
        net = Net(f"{operator}:i16-{align}-{half}")
        x = net.input((1, 4, 6, 3), dtype="int16", scale=3e-4, zero_point=0)
        y = net.like(x, (1, 7, 9, 3))
        net.writer.operator(
            operator, [x, net.integers("s", [7, 9])], [y], AlignCorners=align, HalfPixelCenters=half
        )
        yield net.case(y)


def reductions() -> Iterator[Case]:
    shape = (1, 7, 6, 5)
    for operator, padding in itertools.product(
        ("AVERAGE_POOL_2D", "MAX_POOL_2D"), ("SAME", "VALID")
    ):
        for activation in ("NONE", "RELU6"):
            net = Net(f"{operator}:i16-{padding}-{activation}")
            x = net.input(shape, dtype="int16", scale=3e-4, zero_point=0)
            y = net.like(x, image_shape(shape, (3, 2), (2, 1), (1, 1), padding, 5))
            net.writer.operator(
                operator, [x], [y], Padding=padding, StrideH=2, StrideW=1, FilterHeight=3,
                FilterWidth=2, FusedActivationFunction=activation,
            )  # fmt: skip
            yield net.case(y)
    for width, scale in ((1, 0.12043793), (2, 0.65802746)):  # many sums, some near a half
        net = Net(f"SUM:i16-many-{scale}")
        x = net.input((1, 700, width, 2), dtype="int16", scale=scale, zero_point=0)
        y = net.output((1, 700, 2), dtype="int16", scale=1.0, zero_point=0)
        net.writer.operator("SUM", [x, net.integers("a", [2])], [y], KeepDims=False)
        yield net.case(y)
    for operator, axes, out in itertools.product(
        ("MEAN", "SUM"), ([1, 2], [3], [1, 3]), (1e-4, 7e-4)
    ):
        net = Net(f"{operator}:i16-{axes}-{out}")
        x = net.input(shape, dtype="int16", scale=3e-4, zero_point=0)
        kept = tuple(n for i, n in enumerate(shape) if i not in axes)
        scale = out * (1 if operator == "MEAN" else 12)
        y = net.output(kept, dtype="int16", scale=float(np.float32(scale)), zero_point=0)
        net.writer.operator(operator, [x, net.integers("a", axes)], [y], KeepDims=False)
        yield net.case(y)


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    weights,
    long_sums,
    quantizations,
    movements,
    pairs,
    functions,
    softmaxes,
    resizes,
    reductions,
)
