# SPDX-License-Identifier: Apache-2.0
"""Random networks of movements, tables and convolutions: all that fusions look at, in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from case_net import Case, Net, scale_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_CODES = 600
MOST_OUTPUTS = 2


def random_network(seed: int) -> Case:
    """3 to 9 operators on an image; some results are read twice, one or two are outputs."""
    net = Net(f"NETWORK:fusions-{seed}")
    x = net.input((1, 5, 4, 3), scale=0.05, zero_point=net.zero())
    seen = [x]
    for _ in range(int(net.rng.integers(3, 10))):
        source = x if net.rng.random() < 0.8 else int(net.rng.choice(seen))
        x = STEPS[int(net.rng.integers(len(STEPS)))](net, source)
        seen.append(x)
    outputs = [x]
    if net.rng.random() < 0.3:
        outputs = sorted({x, int(net.rng.choice(seen[1:]))})[:MOST_OUTPUTS]
    return net.case(*outputs)


def _shape(net: Net, x: int) -> tuple[int, ...]:
    return tuple(net.writer.tensors[x].shape)


def _moved(net: Net, operator: str, x: int, shape: Sequence[int], *constants: object) -> int:
    y = net.like(x, shape)
    net.writer.operator(operator, [x, *(net.integers("c", c) for c in constants)], [y])
    return y


def _pad(net: Net, x: int) -> int:
    shape = _shape(net, x)
    pads = net.rng.integers(0, 3, (4, 2))
    pads[0] = 0
    if net.rng.random() < 0.7:
        pads[3] = 0
    grown = [int(n + p.sum()) for n, p in zip(shape, pads, strict=True)]
    if np.prod(grown) > MOST_CODES:
        return _table(net, x)
    return _moved(net, "PAD", x, grown, pads.tolist())


def _slice(net: Net, x: int) -> int:
    shape = _shape(net, x)
    begin = [int(net.rng.integers(0, n)) for n in shape]
    stride = [int(net.rng.integers(1, 3)) for _ in shape]
    begin[0] = 0
    if net.rng.random() < 0.7:
        begin[3], stride[3] = 0, 1
    size = [len(range(b, n, s)) for b, n, s in zip(begin, shape, stride, strict=True)]
    return _moved(net, "STRIDED_SLICE", x, size, begin, shape, stride)


def _transpose(net: Net, x: int) -> int:
    shape = _shape(net, x)
    order = [0, *(int(a) + 1 for a in net.rng.permutation(3))]
    return _moved(net, "TRANSPOSE", x, [shape[a] for a in order], order)


def _twice(net: Net, x: int) -> int:
    """The value beside itself, or beside a constant."""
    shape = _shape(net, x)
    if 2 * np.prod(shape) > MOST_CODES:
        return _slice(net, x)
    other = x
    if net.rng.random() < 0.4:
        t = net.writer.tensors[x]
        data = np.full(shape, net.rng.choice([t.zero_point[0], 17]), np.int8)
        other = net.writer.constant("k", data, scale=t.scale[0], zero_point=t.zero_point[0])
    axis = int(net.rng.integers(1, 4))
    grown = [n * 2 if a == axis else n for a, n in enumerate(shape)]
    y = net.like(x, grown)
    net.writer.operator("CONCATENATION", [x, other], [y], Axis=axis)
    return y


def _table(net: Net, x: int) -> int:
    y = net.output(_shape(net, x), scale=0.05)
    net.writer.operator(str(net.rng.choice(["RELU", "ELU"])), [x], [y])
    return y


def _product(net: Net, x: int) -> int:
    y = net.output(_shape(net, x), scale=0.2)
    net.writer.operator("MUL", [x, x], [y], FusedActivationFunction="NONE")
    return y


def _conv(net: Net, x: int) -> int:
    """Some weights 0 and some biases far out: constant channels."""
    shape = _shape(net, x)
    kernel = [int(net.rng.integers(1, min(n, 3) + 1)) for n in shape[1:3]]
    channels = int(net.rng.integers(1, 5))
    k, scales = net.weights((channels, *kernel, shape[3]), 0)
    weights = net.writer.tensors[k]
    data = np.frombuffer(weights.data, np.int8).reshape(weights.shape).copy()
    data[net.rng.random(channels) < 0.3] = 0
    weights.data = data.tobytes()
    spread = int(net.rng.choice([3000, 1 << 24]))
    b = net.bias(channels, scale_of(net, x), scales, spread)
    padding = str(net.rng.choice(["SAME", "VALID"]))
    size = list(shape[1:3])
    if padding == "VALID":
        size = [n - j + 1 for n, j in zip(size, kernel, strict=True)]
    taps = int(np.prod(kernel)) * shape[3]
    y = net.linear_out((1, *size, channels), scale_of(net, x), scales, taps, 1.0)
    geometry = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    net.writer.operator(
        "CONV_2D", [x, k, b], [y], Padding=padding, FusedActivationFunction="RELU", **geometry
    )
    return y


STEPS: tuple[Callable[[Net, int], int], ...] = (
    _conv,
    _conv,
    _pad,
    _product,
    _slice,
    _table,
    _transpose,
    _twice,
)
