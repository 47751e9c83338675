# SPDX-License-Identifier: Apache-2.0
"""Random chains of tables, products and movements: what the source runtime merges and rewrites."""

from __future__ import annotations

import numpy as np
from case_net import Case, Net

STANDARD = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
UNARY = ("ABS", "ELU", "HARD_SWISH", "LEAKY_RELU", "QUANTIZE", "RELU")
BINARY = ("ADD", "MAXIMUM", "MUL", "SUB")
OPERATORS = (*STANDARD, *UNARY, *BINARY, "itself", "constant", "TRANSPOSE", "CONCATENATION")


def f32(x: float) -> float:
    return float(np.float32(x))


def binary(net: Net, operator: str, a: int, b: int) -> int:
    first, second = (net.writer.tensors[i] for i in (a, b))
    product = first.scale[0] * second.scale[0] * 40
    scale = product if operator == "MUL" else max(first.scale[0], second.scale[0])
    y = net.output(first.shape, scale=f32(scale))
    options = {} if operator == "MAXIMUM" else {"FusedActivationFunction": "NONE"}
    net.writer.operator(operator, [a, b], [y], **options)
    return y


def constant(net: Net, x: int) -> int:
    """A product with a scalar or a row."""
    t = net.writer.tensors[x]
    shape = (1,) if net.rng.random() < 0.5 else t.shape[-1:]
    c = net.writer.constant("c", net.codes(shape), scale=0.02, zero_point=3)
    y = net.output(t.shape, scale=f32(t.scale[0]))
    net.writer.operator("MUL", [x, c], [y], FusedActivationFunction="RELU")
    return y


def unary(net: Net, operator: str, x: int) -> int:
    t = net.writer.tensors[x]
    scale, zero = STANDARD.get(operator, (f32(t.scale[0] * 0.9), net.zero()))
    y = net.output(t.shape, scale=scale, zero_point=zero)
    net.writer.operator(operator, [x], [y], **({"Alpha": 0.1} if operator == "LEAKY_RELU" else {}))
    return y


def move(net: Net, operator: str, x: int) -> int:
    n, height, width, channels = net.writer.tensors[x].shape
    if operator == "TRANSPOSE":
        y = net.like(x, (n, width, height, channels))
        net.writer.operator(operator, [x, net.integers("order", [0, 2, 1, 3])], [y])
        return y
    y = net.like(x, (n, height, width, 2 * channels))
    net.writer.operator(operator, [x, x], [y], Axis=3, FusedActivationFunction="NONE")
    return y


def random_chain(seed: int) -> Case:
    """A chain of 2 to 6 operators."""
    net = Net(f"NETWORK:chain-{seed}")
    x = net.input((1, 5, 6, 4), scale=f32(0.05))
    seen = [x]
    for _ in range(int(net.rng.integers(2, 7))):
        operator = str(net.rng.choice(OPERATORS))
        if operator in BINARY:
            shape = net.writer.tensors[x].shape
            others = [i for i in seen if net.writer.tensors[i].shape == shape]
            x = binary(net, operator, x, int(net.rng.choice(others)))
        elif operator == "itself":
            x = binary(net, "MUL", x, x)
        elif operator == "constant":
            x = constant(net, x)
        elif operator in ("TRANSPOSE", "CONCATENATION"):
            x = move(net, operator, x)
        else:
            x = unary(net, operator, x)
        seen.append(x)
    return net.case(x)
