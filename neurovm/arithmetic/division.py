# SPDX-License-Identifier: Apache-2.0
"""DIV of TFLite: the numerator times a fixed-point reciprocal.

Source: tensorflow/lite/kernels/internal/reference/div.h (DivElementwise), common.h (GetReciprocal)
and gemmlowp's one_over_one_plus_x_for_x_in_0_1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.fixed_point import INT32_MAX, INT32_MIN, multiplier, srdhm, wrap32

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]

_48_OVER_17, _MINUS_32_OVER_17 = 1515870810, -1010580540
"""In Q2.29."""


def quotients(a: IntArray, b: IntArray, real: float) -> IntArray:
    """a / b · real, int64[len(a), len(b)], for a and b in −255 … 255; b = 0 gives an end of int32.

    The last shift of the source reaches beyond 31 bits for numerators −1, 0 and 1. C leaves that
    undefined; processors shift by the distance mod 32, and so does this.
    """
    mantissa, exponent = multiplier(real)
    result = np.empty((len(a), len(b)), np.int64)
    for j, divisor in enumerate(b.tolist()):
        if divisor == 0:
            result[:, j] = np.where(a >= 0, 1 << 16, -(1 << 16))
            continue
        numerator = a if divisor > 0 else -a
        inverse, bits = reciprocal(abs(divisor))
        headroom = _sign_bits(numerator)
        unscaled = srdhm(wrap32(numerator << headroom), np.int32(inverse))
        right = headroom + bits - exponent
        if (right < 0).any():
            raise NoExactRuleError(
                f"scales of a DIV make a factor of {real!r}; a smaller one is needed"
            )
        result[:, j] = _shift_right(srdhm(unscaled, np.int32(mantissa)), right)
    return result


def reciprocal(x: int) -> tuple[int, int]:
    """m and k with 1 / x = m · 2^(−31 − k), x in [1, 2^31)."""
    left = 32 - x.bit_length()
    return _saturated(half_reciprocal((x << left) - (1 << 31)) << 1), 31 - left


def half_reciprocal(fraction: int) -> int:
    """2 / (1 + x) of x in [0, 1), Q0.31, by three Newton steps: Q2.29."""
    half = (fraction + INT32_MAX + 1) >> 1
    estimate = _saturated(_48_OVER_17 + _product(half, _MINUS_32_OVER_17))
    for _ in range(3):
        rest = (1 << 29) - _product(half, estimate)
        estimate = _saturated(estimate + _saturated(_product(estimate, rest) << 2))
    return estimate


def _product(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul, for factors of either sign."""
    return (a * b + (1 << 30)) >> 31


def _saturated(a: int) -> int:
    return min(max(a, INT32_MIN), INT32_MAX)


def _sign_bits(a: IntArray) -> IntArray:
    """Leading bits of an int32 that repeat its sign bit."""
    lengths = [int(v if v >= 0 else ~v).bit_length() for v in a.tolist()]
    return 31 - np.array(lengths, np.int64)


def _shift_right(x: IntArray, bits: IntArray) -> IntArray:
    """gemmlowp's RoundingDivideByPOT as processors run it, also for 32 bits and more."""
    mask = wrap32((np.int64(1) << bits) - 1)
    threshold = (mask >> 1) + (x < 0)
    return (x >> (bits % 32)) + ((x & mask) > threshold)
