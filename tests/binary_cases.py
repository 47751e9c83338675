# SPDX-License-Identifier: Apache-2.0
"""Cases of the operators of two inputs: broadcasts, constants, equal inputs, ends of the scales."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from case_net import ACTIVATIONS, SAMPLES, Case, Net

FUSED = ("SUB", "MUL", "DIV")
PLAIN = ("MAXIMUM", "MINIMUM", "PRELU", "SQUARED_DIFFERENCE")
GAIN = {"MUL": 20.0, "SQUARED_DIFFERENCE": 40.0, "DIV": 0.5, "PRELU": 1.0}
SHAPES = [
    ((1, 4, 5, 3), (1, 4, 5, 3)),
    ((1, 4, 5, 3), (1, 1, 1, 3)),
    ((1, 6), (1, 1)),
    ((1, 4, 1, 3), (1, 1, 5, 3)),
    ((1, 4, 5, 3), (3,)),
]


def binary(
    operator: str,
    form: object,
    a: Sequence[int],
    b: Sequence[int],
    scales: Sequence[float] | None = None,
    activation: str | None = None,
    constant: str = "",
) -> Case:
    """One operator; `constant` names its constant inputs of "ab". Divisors are never 0."""
    net = Net(f"{operator}:{form}-{a}-{b}-{scales}-{activation}-{constant}")
    if scales is None:
        left, right = net.scale(), net.scale()
        product = operator in ("MUL", "SQUARED_DIFFERENCE")
        scales = (left, right, left * (right if product else 1) * GAIN.get(operator, 1.0))
        scales = (*scales[:2], left / right / 40) if operator == "DIV" else scales
    values = []
    for name, shape, scale in zip("ab", (a, b), scales, strict=False):
        zero = net.zero()
        codes = net.codes((SAMPLES, *shape))
        if operator == "DIV" and name == "b":
            codes[codes == zero] = zero - 1 if zero > 0 else zero + 1
        if name in constant:
            data = codes[0]
            values.append(net.writer.constant(name, data, scale=f32(scale), zero_point=zero))
        else:
            values.append(net.input(shape, scale=f32(scale), zero_point=zero))
            net.samples[-1] = codes
    y = net.output(np.broadcast_shapes(tuple(a), tuple(b)), scale=f32(scales[2]))
    options = {} if activation is None else {"FusedActivationFunction": activation}
    net.writer.operator(operator, values, [y], **options)
    return net.case(y)


def f32(x: float) -> float:
    return float(np.float32(x))


def fused() -> Iterator[Case]:
    for operator, (a, b), activation in itertools.product(FUSED, SHAPES, ACTIVATIONS):
        yield binary(operator, "", a, b, None, activation)
    for operator, constant in itertools.product(FUSED, ("a", "b")):
        for a, b in [((1, 4, 5, 3), (3,)), ((1, 7), ()), ((2, 3), (2, 3)), ((1, 2, 3), (2, 1))]:
            shapes = (a, b) if constant == "b" else (b, a)
            yield binary(operator, "", *shapes, None, "NONE", constant)
    yield binary("MUL", "wide", (1, 2, 300), (300,), None, "RELU", "b")
    yield binary("MUL", "both", (1, 5, 1), (4,), None, "NONE", "b")


def plain() -> Iterator[Case]:
    for operator, (a, b) in itertools.product(PLAIN, SHAPES):
        if operator == "PRELU" and 1 not in a[1:]:
            yield binary(operator, "", a, b[-3:], None, None, "b")
        elif operator != "PRELU":
            yield binary(operator, "", a, b)
            yield binary(operator, "", a, b, None, None, "b")


def with_itself() -> Iterator[Case]:
    for operator, scale in itertools.product(
        ("SUB", "MUL", "MAXIMUM", "SQUARED_DIFFERENCE"), (0.02, 0.11, 0.4)
    ):
        for activation in ("NONE", "RELU6") if operator in FUSED else (None,):
            net = Net(f"{operator}:itself-{scale}-{activation}")
            x = net.input((1, 256), scale=f32(scale))
            codes = np.arange(-128, 128).astype(np.int8)[None]
            net.samples[0] = np.stack([np.roll(codes, i, 1) for i in range(SAMPLES)])
            y = net.output((1, 256), scale=f32(scale * scale * 100))
            options = {} if activation is None else {"FusedActivationFunction": activation}
            net.writer.operator(operator, [x, x], [y], **options)
            yield net.case(y)


def ends_of_scales() -> Iterator[Case]:
    shape = (1, 400)
    for s in [(0.1, 0.1, 12.0), (2.0**-11, 1.0, 1.0), (1.0, 1e-5, 0.9), (0.2, 30.0, 0.7)]:
        for activation in ("NONE", "RELU_N1_TO_1"):
            yield binary("SUB", "ratio", shape, shape, s, activation)
    for s in [(0.1, 0.1, 2000.0), (1.0, 0.25, 0.002), (2.0**-8, 2.0**-8, 1.0), (0.3, 0.2, 0.11)]:
        for activation in ("NONE", "RELU"):
            yield binary("MUL", "ratio", shape, shape, s, activation)
    for s in [(0.1, 0.1, 0.3), (0.01, 0.4, 20.0), (3.0, 0.02, 7.0)]:
        yield binary("SQUARED_DIFFERENCE", "ratio", shape, shape, s)
        yield binary("PRELU", "ratio", (1, 7, 40), (1, 40), (s[0], s[1], s[0] * 1.1), None, "b")
    for s in [(0.1, 0.1, 0.02), (0.1, 0.3, 0.01), (2.0, 0.03, 1.0)]:
        yield binary("DIV", "ratio", shape, shape, s, "NONE")


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (fused, plain, with_itself, ends_of_scales)
