# SPDX-License-Identifier: Apache-2.0
"""Cases of the functions of one variable: every code goes in, under scales that reach the ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from case_net import SAMPLES, Case, Net

RATIOS = (1.0, 0.37, 3.1, 0.9)
ZEROS = ((0, 0), (-128, -100), (17, -30), (100, -120))


def unary(
    operator: str,
    form: object,
    scale: float,
    out_scale: float,
    zeros: tuple[int, int],
    **options: Any,
) -> Case:
    """One operator on all 256 codes, shifted from sample to sample."""
    net = Net(f"{operator}:{form}-{scale:.4g}-{out_scale:.4g}-{zeros}")
    x = net.input((1, 256), scale=float(np.float32(scale)), zero_point=zeros[0])
    codes = np.arange(-128, 128).astype(np.int8)
    net.samples[0] = np.stack([np.roll(codes, 37 * i)[None] for i in range(SAMPLES)])
    y = net.output((1, 256), scale=float(np.float32(out_scale)), zero_point=zeros[1])
    net.writer.operator(operator, [x], [y], **options)
    return net.case(y)


def piecewise() -> Iterator[Case]:
    """Functions that are linear in pieces."""
    operators = ("ABS", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
    for operator, ratio, zeros in itertools.product(operators, RATIOS, ZEROS):
        scale = 0.083 if operator == "RELU6" else 0.021
        yield unary(operator, "", scale, scale / ratio, zeros)
    for zeros in ((0, 0), (13, 13), (-128, -128), (5, -9)):
        yield unary("NEG", "", 0.05, 0.05, zeros)
    alphas = (0.01, 0.2, 1.5, -0.3)
    for alpha, ratio, zeros in itertools.product(alphas, RATIOS, ZEROS[:3]):
        yield unary("LEAKY_RELU", alpha, 0.05, 0.05 / ratio, zeros, Alpha=alpha)
    for alpha, ratio in [(0.3, 200.0), (0.3, 0.003), (0.001, 1.0), (0.0, 1.0), (100.0, 1.2)]:
        yield unary("LEAKY_RELU", alpha, 0.05, 0.05 / ratio, (3, -7), Alpha=alpha)


def curves() -> Iterator[Case]:
    ends = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
    for operator, scale, zeros in itertools.product(ends, (0.007, 0.0625, 0.31), ZEROS):
        out, zero = ends[operator]
        yield unary(operator, "standard", scale, out, (zeros[0], zero))
        yield unary(operator, "other", scale, out * 1.3, zeros)
    for scale, zeros in itertools.product((0.01, 0.05, 0.21), ZEROS):
        yield unary("ELU", "", scale, scale * 0.8, zeros)
        for approximate in (False, True):
            form = "tanh" if approximate else "erfc"
            yield unary("GELU", form, scale, scale * 0.8, zeros, Approximate=approximate)
        yield unary("HARD_SWISH", "", scale, scale * 0.7, zeros)
        yield unary("EXP", "", scale / 3, scale * 1.7, zeros)
        yield unary("LOG", "", scale, 0.04, zeros)
    yield unary("HARD_SWISH", "coarse", 0.9, 0.02, (4, -3))
    for scale, out in itertools.product((0.01, 0.07, 0.3), (0.02, 0.09)):
        yield unary("SQRT", "", scale, out, (-128, -100))
        yield unary("RSQRT", "", scale, out, (-128, -100))


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (piecewise, curves)
