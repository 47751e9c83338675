# SPDX-License-Identifier: Apache-2.0
"""Random networks over a window of frames: a hypothesis strategy beside `random_graphs`."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from random_graphs import (
    Drawing,
    add,
    average_pool,
    binary,
    conv,
    depthwise,
    fully_connected,
    max_pool,
    mean,
    move,
    pad,
    quantize,
    reshape,
    resize,
    softmax,
    unary,
)

from neurovm.graph import Graph, Source
from neurovm.operators import AveragePool2D, Concatenation, Reshape

MOST_CODES = 3000
_ALONG = (conv, conv, conv, depthwise, depthwise, average_pool, max_pool, add, unary, quantize, pad)
_SELDOM = (softmax, binary, move, mean, reshape, resize)


def _join(d: Drawing) -> None:
    """With an earlier value of the same rows, on channels or on frequencies."""
    tensor = d.tensors[d.value]
    axis = d.pick(2, 3)
    rest = [k for k in range(4) if k != axis]
    same = [
        i
        for i, t in enumerate(d.tensors)
        if t.data is None
        and len(t.shape) == 4
        and all(t.shape[k] == d.shape[k] for k in rest)
        and t.quantization == tensor.quantization
    ]
    d.append(
        Concatenation, (d.value, d.pick(*same)), tensor.scale, zero=tensor.zero_point, axis=axis
    )


def _head(d: Drawing) -> None:
    if len(d.shape) == 4 and d.pick(True, False):
        tensor = d.tensors[d.value]
        window = (d.shape[1], d.shape[2])
        d.append(
            AveragePool2D,
            (d.value,),
            tensor.scale,
            zero=tensor.zero_point,
            window=window,
            padding="VALID",
            stride=(1, 1),
            activation="NONE",
        )
    fully_connected(d)


@st.composite
def streams(draw: st.DrawFn, most_operators: int = 6) -> tuple[Graph, int]:
    """A well-formed graph of one int8 input, and the frames that is to be cut into."""
    d = Drawing(draw, np.random.default_rng(draw(st.integers(0, 1 << 30))))
    frames, width, channels = d.small(4, 24), d.small(1, 4), d.small(1, 4)
    shape = d.pick((1, frames, width, channels), (1, 1, frames, width))
    flat = d.pick(True, False, False)
    first = d.value = d.tensor((1, math.prod(shape)) if flat else shape, 0.05)
    if flat:
        zero = d.tensors[first].zero_point
        d.append(Reshape, (first,), 0.05, zero=zero, new_shape=shape)
    for _ in range(d.small(1, most_operators)):
        if len(d.shape) != 4:
            break
        before = len(d.tensors), len(d.operators), d.value
        d.pick(*_ALONG, _join, d.pick(*_SELDOM))(d)
        if math.prod(d.shape) > MOST_CODES:
            del d.tensors[before[0] :], d.operators[before[1] :]
            d.value = before[2]
    if d.pick(True, False) and math.prod(d.shape) <= MOST_CODES and len(d.shape) > 1:
        _head(d)
    if not d.operators:
        quantize(d)
    graph = Graph(
        name="random",
        source=Source(format="drawn", sha256="0" * 64, bytes=0, name="random"),
        tensors=tuple(d.tensors),
        operators=tuple(d.operators),
        inputs=(first,),
        outputs=(d.value,),
    )
    graph.check()
    return graph, frames
