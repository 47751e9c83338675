# SPDX-License-Identifier: Apache-2.0
"""Rules of TFLite's own kernels that several profiles take: integer multipliers, ADD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic.codes import Activation, Codes, range_half_away
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    Multipliers,
    multiplier,
    multipliers,
)
from neurovm.arithmetic.requantizers import Kind, Requantizer
from neurovm.arithmetic.rules import AddRule
from neurovm.arithmetic.tables import requantizing_table
from neurovm.arithmetic.unary import steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic.profiles import LinearOperator

MAX_EXPONENT = 30
"""Bits by which a sum can be shifted left."""
MAX_SHORT_EXPONENT = 7
"""The same of `half16`, as its source demands."""
_ADD_LEFT_SHIFT = 20


def integer_requantizer(
    kind: Kind, reals: Sequence[float], out: Codes, activation: Activation, *, long: bool = False
) -> Requantizer:
    """A requantiser of TFLite's own kernels: integer multipliers, bounds half away from
    zero.
    """
    pairs = multipliers(reals)
    most = MAX_SHORT_EXPONENT if kind == "half16" else MAX_EXPONENT
    if pairs.exponent.max() > most:
        raise NoExactRuleError(
            f"its scales make a factor of {max(reals)!r}; less than 2^{most} is needed"
        )
    lo, hi = range_half_away(activation, out)
    return Requantizer(
        kind=kind, zero_out=out.zero_point, lo=lo, hi=hi, multipliers=pairs, long=long
    )


def weight_multipliers(
    operator: LinearOperator,
    scale_in: float,
    scale_weights: Sequence[float],
    out: Codes,
    *,
    exact: bool = False,
) -> list[float]:
    """s_in · s_w / s_out of each channel in double.

    FULLY_CONNECTED with one weight scale takes the product in float32 in LiteRT, not in TFLM, and
    not where the rule is `exact`. Source: tensorflow/lite/kernels/kernel_util.cc
    (GetQuantizedConvolutionMultipler, PopulateConvolutionQuantizationParams).
    """
    if operator == "FULLY_CONNECTED" and len(scale_weights) == 1 and not exact:
        return [float(np.float32(scale_in) * np.float32(scale_weights[0])) / float(out.scale)]
    return [float(scale_in) * float(s) / float(out.scale) for s in scale_weights]


def matmul_double(a: Codes, b: Codes, out: Codes) -> Requantizer:
    """Built-in BATCH_MATMUL: `double`, the product of the scales taken in float32.

    Source: tensorflow/lite/kernels/batch_matmul.cc (Prepare).
    """
    real = float(np.float32(a.scale) * np.float32(b.scale)) / float(out.scale)
    return integer_requantizer("double", [real], out, "NONE")


def mean_double(x: Codes, out: Codes, count: int) -> Requantizer:
    """double(S − n z) with the multiplier of s / s_out divided by n in integers.

    Source: tensorflow/lite/kernels/internal/reference/reduce.h (QuantizedMeanOrSum).
    """
    mantissa, exponent = multiplier(float(x.scale) / float(out.scale))
    shift = min(count.bit_length() - 1, 32, 31 + exponent)
    return _by_pair(((mantissa << shift) // count, exponent - shift), out)


def sum_double(x: Codes, out: Codes) -> Requantizer:
    """double(S − n z) with the multiplier of s / s_out."""
    return _by_pair(multiplier(float(x.scale) / float(out.scale)), out)


def _by_pair(pair: tuple[int, int], out: Codes) -> Requantizer:
    lo, hi = out.limits
    if pair[1] > MAX_EXPONENT:
        raise NoExactRuleError(f"its scales make a factor of 2^{pair[1]}; a smaller one is needed")
    pairs = Multipliers(np.array([pair[0]], np.int32), np.array([pair[1]], np.int32))
    return Requantizer(kind="double", zero_out=out.zero_point, lo=lo, hi=hi, multipliers=pairs)


def requantizing(x: Codes, out: Codes, kind: Kind) -> NDArray[np.signedinteger]:
    requantizer = integer_requantizer(kind, [x.scale / out.scale], out.as_int8, "NONE")
    return requantizing_table(requantizer, x, out)


def add_double(a: Codes, b: Codes, out: Codes, activation: Activation, sign: int) -> AddRule:
    """Built-in ADD: inputs · 2^20 to the scale 2 · max(s_a, s_b), the sum to s_out, `double` each.

    Source: tensorflow/lite/kernels/add.cc (PrepareGeneralSubOp's sibling) and
    internal/reference/add.h.
    """
    twice_max = 2 * max(a.scale, b.scale)
    tables = []
    for x in (a, b):
        inner = Requantizer(
            kind="double",
            zero_out=0,
            lo=INT32_MIN,
            hi=INT32_MAX,
            multipliers=multipliers([x.scale / twice_max]),
        )
        tables.append(inner.codes(steps(x) << _ADD_LEFT_SHIFT).astype(np.int32))
    outer = integer_requantizer(
        "double", [twice_max / ((1 << _ADD_LEFT_SHIFT) * out.scale)], out, activation
    )
    return AddRule(table_a=tables[0], table_b=sign * tables[1], requantizer=outer)
