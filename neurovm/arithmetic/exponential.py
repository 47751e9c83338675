# SPDX-License-Identifier: Apache-2.0
"""exp, tanh and the logistic function in gemmlowp's fixed point.

Source: gemmlowp/fixedpoint/fixedpoint.h (exp_on_negative_values) and
tensorflow/lite/kernels/internal/reference/softmax.h.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from neurovm.arithmetic.codes import Codes
from neurovm.arithmetic.division import half_reciprocal
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.fixed_point import INT32_MAX, INT32_MIN, multiplier

_CONSTANT, _THIRD, _EIGHTH = 1895147668, 715827883, 1 << 28
_BARREL = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""exp(−2^k), k = −2 … 4, in Q0.31."""
_ROOT, _FOURTH_ROOT = 1518500250, 1805811301
"""√½ and its own root in Q0.31."""


def fixed_exponentials(scale: float, beta: float) -> np.ndarray:
    """int32[256], Q0.31: exp(−s · β · d) at d = row maximum − code; 0 where the source skips it.

    Raises NoExactRuleError where β · s · 2^26 is not above 1.
    """
    real = min(float(beta) * float(scale) * (1 << 26), float(INT32_MAX))
    if not real > 1:
        raise NoExactRuleError(f"beta {beta!r} · scale {scale!r} of a SOFTMAX; more is needed")
    mantissa, left = multiplier(real)
    most = math.floor(31 * (1 << 26) / (1 << left))
    table = np.zeros(256, np.int32)
    for d in range(min(most, 255) + 1):
        table[d] = _exponential(_product(-d << left, mantissa))
    return table


def fixed_differences(scale: float) -> np.ndarray:
    """int32[256], Q5.26: −s · d at d = row maximum − code; INT32_MIN where the source skips it."""
    mantissa, left = multiplier(min(float(scale) * (1 << 26), float(INT32_MAX)))
    most = math.floor(31 * (1 << 26) / (1 << left))
    table = np.full(256, INT32_MIN, np.int32)
    for d in range(min(most, 255) + 1):
        table[d] = _product(-d << left, mantissa)
    return table


def fixed_logarithm(x: int) -> int:
    """ln x in Q5.26 of x ≥ 1 in Q12.19, x < 2^31.

    Source: tensorflow/lite/kernels/internal/common.h (log_x_for_x_greater_than_or_equal_to_1_impl).
    """
    zeros = 32 - x.bit_length()
    less = 31 - _product(x, _ROOT).bit_length()
    scaled = min(_product(x << (zeros - 1), _ROOT) << 1, INT32_MAX)
    r = min(scaled, x << less, INT32_MAX)
    power = max(((12 - zeros) << 25) + (1 << 23), ((12 - less) << 25) - (1 << 23))
    p, q = (r + _FOURTH_ROOT + 1) >> 1, 2 * (r - _FOURTH_ROOT)
    square = _product(q, q)
    above = _product(q, r) + _product(_product(q, square), 117049297)
    below = _product(p, 1057819769 + q + _product(127690142, square)) + _product(638450708, q)
    inverse = min(half_reciprocal(below) << 1, INT32_MAX)
    return 2 * (_product(power, 1488522236) + _product(_shifted(above, 6), inverse))


def fixed_tanh(x: Codes) -> np.ndarray:
    """int64[256]: tanh of every code in units of 1/128, as TFLM's own kernel computes it.

    Source: tensorflow/lite/kernels/internal/reference/integer_ops/tanh.h and gemmlowp's tanh.
    """

    def tanh(size: int) -> int:
        one_less = half_reciprocal(_exponential(-size)) - (1 << 29)
        return _shifted(min(one_less << 2, INT32_MAX), 24) if size else 0

    return _odd(x, lambda negative, size: -tanh(size) if negative else tanh(size), (-128, 127))


def fixed_logistic(x: Codes) -> np.ndarray:
    """int64[256]: logistic of every code in units of 1/256, less 128, as TFLM's own kernel does.

    Source: tensorflow/lite/kernels/internal/reference/integer_ops/logistic.h, gemmlowp's logistic.
    """

    def logistic(negative: bool, size: int) -> int:
        above = 1 << 30
        if size:
            above = min(half_reciprocal(_exponential(-size, 4)) << 1, INT32_MAX)
        value = INT32_MAX - above if negative and size else above
        return _shifted(value, 23) - 128

    return _odd(x, logistic, (-128, 127))


def _odd(x: Codes, function: Callable[[bool, int], int], ends: tuple[int, int]) -> np.ndarray:
    """`function` of the sign and the size (Q4.27) of every code; beyond ±15 or so the ends."""
    mantissa, left = multiplier(float(x.scale) * (1 << 27))
    radius = math.floor(15 * 2.0 ** (27 - left))
    steps = (np.arange(-128, 128) - x.as_int8.zero_point).tolist()
    values = []
    for step in steps:
        if abs(step) >= radius:
            values.append(ends[1] if step > 0 else ends[0])
            continue
        scaled = _rescaled(step, mantissa, left)
        values.append(function(scaled < 0, abs(scaled)))
    return np.array(values, np.int64)


def _rescaled(a: int, mantissa: int, exponent: int) -> int:
    """MultiplyByQuantizedMultiplier."""
    product = _product(a << max(exponent, 0), mantissa)
    return _shifted(product, -exponent) if exponent < 0 else product


def _exponential(a: int, integer_bits: int = 5) -> int:
    """exp(a), a ≤ 0 in Q5.26 (or of other integer bits), as Q0.31."""
    if a == 0:
        return INT32_MAX
    quarter = 29 - integer_bits
    below = (a & ((1 << quarter) - 1)) - (1 << quarter)
    x = (below << integer_bits) + _EIGHTH
    x2 = _product(x, x)
    x3, x4 = _product(x2, x), _product(x2, x2)
    tail = _shifted(_product(_shifted(x4, 2) + x3, _THIRD) + x2, 1)
    result = min(_CONSTANT + _product(_CONSTANT, x + tail), INT32_MAX)
    rest = below - a
    for bit, factor in enumerate(_BARREL[: integer_bits + 2], quarter):
        if rest >> bit & 1:
            result = _product(result, factor)
    return result


def _product(a: int, b: int) -> int:
    return (a * b + (1 << 30)) >> 31


def _shifted(a: int, bits: int) -> int:
    """a / 2^bits, rounded half away from zero."""
    return (a + (1 << bits - 1) - (a < 0)) >> bits
