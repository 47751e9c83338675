# SPDX-License-Identifier: Apache-2.0
"""Cases of BATCH_MATMUL: every way round, broadcasts, constants, zero points of 0."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from case_net import Case, Net

FORMS = [
    ((2, 5, 7), (2, 7, 3)),
    ((4, 1), (1, 6)),
    ((2, 3, 4, 5), (1, 3, 5, 2)),
    ((3, 4, 5), (5, 6)),
    ((5, 6), (2, 6, 3)),
    ((1, 1, 40), (1, 40, 9)),
]


def turned(shape: Sequence[int]) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2])


def batch_matmul() -> Iterator[Case]:
    for (a, b), adjoint, zero, constant in itertools.product(
        FORMS,
        [(False, False), (True, False), (False, True), (True, True)],
        [None, 0],
        [False, True],
    ):
        net = Net(f"BATCH_MATMUL:{a}-{b}-{adjoint}-{zero}-{constant}")
        scales = net.scale(), net.scale()
        left = net.input(turned(a) if adjoint[0] else a, scale=scales[0])
        shape = turned(b) if adjoint[1] else b
        if constant:
            point = net.zero() if zero is None else zero
            codes = net.codes(shape)
            right = net.writer.constant("b", codes, scale=scales[1], zero_point=point)
        else:
            right = net.input(shape, scale=scales[1], zero_point=zero)
        leading = np.broadcast_shapes(a[:-2], b[:-2])
        scale = scales[0] * scales[1] * 74 * 74 * a[-1] ** 0.5 / 40
        y = net.output((*leading, a[-2], b[-1]), scale=float(np.float32(scale)))
        net.writer.operator("BATCH_MATMUL", [left, right], [y], AdjX=adjoint[0], AdjY=adjoint[1])
        yield net.case(y)
    net = Net("BATCH_MATMUL:gram")
    x = net.input((2, 4, 6))
    y = net.output((2, 4, 4), scale=0.5)
    net.writer.operator("BATCH_MATMUL", [x, x], [y], AdjX=False, AdjY=True)
    yield net.case(y)


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (batch_matmul,)
