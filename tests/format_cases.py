# SPDX-License-Identifier: Apache-2.0
"""Cases of the other number formats: legacy uint8 networks, and weights of 4 bits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from case_net import ACTIVATIONS, Case, Net, image_shape, scale_of

SAME: dict[str, Any] = {
    "Padding": "SAME", "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1,
}  # fmt: skip
KERNELS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "FULLY_CONNECTED": ((1, 24), (5, 24)),
    "CONV_2D": ((1, 5, 6, 3), (4, 3, 3, 3)),
    "DEPTHWISE_CONV_2D": ((1, 5, 6, 3), (1, 3, 3, 6)),
}


def weighted(
    operator: str,
    form: object,
    *,
    kernel: Sequence[int],
    shape: Sequence[int],
    zero_point: int | None = None,
    axis: int | None = None,
    activation: str = "NONE",
) -> Case:
    """An operator with uint8 weights of this zero point, or (None) with int4 weights."""
    net = Net(f"{operator}:{form}-{kernel}-{zero_point}-{axis}-{activation}")
    dtype = "int8" if zero_point is None else "uint8"
    x = net.input(shape, dtype=dtype)
    if zero_point is None:
        w, scales = net.narrow_weights(kernel, axis)
    else:
        w, scales = net.legacy_weights(kernel, zero_point)
    depthwise = operator == "DEPTHWISE_CONV_2D"
    channels = kernel[3] if depthwise else kernel[0]
    b = net.bias(channels, scale_of(net, x), scales, 100 if zero_point is None else 2000)
    out: tuple[int, ...] = (1, channels)
    if len(shape) == 4:
        out = image_shape(shape, kernel[1:3], (1, 1), (1, 1), "SAME", channels)
    taps = int(np.prod(kernel[1:3] if depthwise else kernel[1:]))
    y = net.linear_out(out, scale_of(net, x), scales, taps, 18.0 if zero_point is None else 1.0)
    t = net.writer.tensors[y]
    t.dtype, t.zero_point = dtype, (net.zero(dtype),)
    options = {} if operator == "FULLY_CONNECTED" else dict(SAME)
    if depthwise:
        options["DepthMultiplier"] = channels // shape[3]
    net.writer.operator(operator, [x, w, b], [y], FusedActivationFunction=activation, **options)
    return net.case(y)


def legacy_weights() -> Iterator[Case]:
    for operator, zero_point in itertools.product(KERNELS, (128, 127, 90, 0, 255)):
        shape, kernel = KERNELS[operator]
        yield weighted(operator, "u8", kernel=kernel, shape=shape, zero_point=zero_point)
    for operator, activation in itertools.product(KERNELS, ACTIVATIONS):
        shape, kernel = KERNELS[operator]
        options: dict[str, Any] = {"zero_point": 140, "activation": activation}
        yield weighted(operator, "u8", kernel=kernel, shape=shape, **options)


def four_bits() -> Iterator[Case]:
    axes = {"FULLY_CONNECTED": 0, "CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
    for operator, activation in itertools.product(KERNELS, ("NONE", "RELU6")):
        shape, kernel = KERNELS[operator]
        for axis in (None, axes[operator]):
            options: dict[str, Any] = {"axis": axis, "activation": activation}
            yield weighted(operator, "i4", kernel=kernel, shape=shape, **options)
    for inputs, axis in itertools.product((1, 7, 8, 33), (None, 0)):
        rows = (1, inputs)
        yield weighted("FULLY_CONNECTED", "i4", kernel=(9, inputs), shape=rows, axis=axis)
    for channels, axis in itertools.product((4, 8, 11, 24), (None, 3)):
        taps, image = (1, 3, 3, channels), (1, 4, 4, channels)
        yield weighted("DEPTHWISE_CONV_2D", "i4", kernel=taps, shape=image, axis=axis)


def legacy_operators() -> Iterator[Case]:
    """The other operators of legacy networks."""
    shape = (1, 6, 5, 3)
    for operator, activation in itertools.product(("ADD", "SUB", "MUL"), ("NONE", "RELU6")):
        net = Net(f"{operator}:u8-{activation}")
        a, b = (net.input(shape, dtype="uint8") for _ in range(2))
        y = net.output(shape, dtype="uint8", zero_point=net.zero("uint8"), scale=0.4)
        net.writer.operator(operator, [a, b], [y], FusedActivationFunction=activation)
        yield net.case(y)
    for operator in ("MAXIMUM", "MINIMUM"):
        net = Net(f"{operator}:u8")
        a, b = (net.input(shape, dtype="uint8", scale=0.1, zero_point=100) for _ in range(2))
        y = net.like(a, shape)
        net.writer.operator(operator, [a, b], [y])
        yield net.case(y)
    for operator, padding, activation in itertools.product(
        ("AVERAGE_POOL_2D", "MAX_POOL_2D"), ("SAME", "VALID"), ("NONE", "RELU6")
    ):
        net = Net(f"{operator}:u8-{padding}-{activation}")
        x = net.input(shape, dtype="uint8")
        y = net.like(x, image_shape(shape, (3, 2), (2, 1), (1, 1), padding, 3))
        net.writer.operator(
            operator, [x], [y], Padding=padding, StrideH=2, StrideW=1, FilterHeight=3,
            FilterWidth=2, FusedActivationFunction=activation,
        )  # fmt: skip
        yield net.case(y)


def legacy_sums() -> Iterator[Case]:
    """Ratios of scales at which halves happen, so that the form of the sum is seen."""
    shape = (1, 5, 6, 3)
    for operator, axes, ratio in itertools.product(
        ("MEAN", "SUM"), ([1, 2], [3], [1], [1, 2, 3]), (0.5, 0.75, 2.0)
    ):
        net = Net(f"{operator}:u8-{axes}-{ratio}")
        x = net.input(shape, dtype="uint8", scale=float(np.float32(0.037)))
        out = [n for i, n in enumerate(shape) if i not in axes]
        gain = 1 if operator == "MEAN" else 2.0 ** (len(axes) + 1)
        scale = float(np.float32(scale_of(net, x) * ratio * gain))
        y = net.output(out, dtype="uint8", zero_point=net.zero("uint8"), scale=scale)
        net.writer.operator(operator, [x, net.integers("axes", axes)], [y], KeepDims=False)
        yield net.case(y)


def legacy_functions() -> Iterator[Case]:
    ends = {"LOGISTIC": (1 / 256, 0), "TANH": (1 / 128, 128), "SOFTMAX": (1 / 256, 0)}
    options = {"SOFTMAX": {"Beta": 1.0}, "LEAKY_RELU": {"Alpha": 0.2}}
    operators = (*ends, "RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH")
    for operator, scale in itertools.product(operators, (0.013, 0.09)):
        net = Net(f"{operator}:u8-{scale}")
        x = net.input((1, 256), dtype="uint8", scale=float(np.float32(scale)))
        out, zero = ends.get(operator, (scale * 1.1, 77))
        y = net.output((1, 256), dtype="uint8", scale=float(np.float32(out)), zero_point=zero)
        net.writer.operator(operator, [x], [y], **options.get(operator, {}))
        yield net.case(y)


def legacy_movements() -> Iterator[Case]:
    shape = (1, 4, 6, 2)
    net = Net("PAD:u8")
    x = net.input(shape, dtype="uint8")
    y = net.like(x, (1, 6, 7, 2))
    net.writer.operator("PAD", [x, net.integers("p", [(0, 0), (1, 1), (0, 1), (0, 0)])], [y])
    yield net.case(y)
    net = Net("CONCATENATION:u8")
    x = net.input(shape, dtype="uint8")
    z, y = net.like(x, (1, 24, 2)), net.like(x, (1, 48, 2))
    net.writer.operator("RESHAPE", [x], [z], NewShape=[1, 24, 2])
    net.writer.operator("CONCATENATION", [z, z], [y], Axis=1, FusedActivationFunction="NONE")
    yield net.case(y)


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    legacy_weights,
    four_bits,
    legacy_operators,
    legacy_sums,
    legacy_functions,
    legacy_movements,
)
