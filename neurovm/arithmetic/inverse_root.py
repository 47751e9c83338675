# SPDX-License-Identifier: Apache-2.0
"""1/√n of an integer in gemmlowp's fixed point: what RSQRT and L2_NORMALIZATION multiply by.

Source of the rule: tensorflow/lite/kernels/internal/quantization_util.h
(GetInvSqrtQuantizedMultiplierExp), five Newton steps from 1 in Q3.28.
"""

from __future__ import annotations

import numpy as np

from neurovm.arithmetic.fixed_point import INT32_MAX, INT32_MIN, srdhm

_ONE, _ONE_AND_A_HALF, _HALF_ROOT_2 = 1 << 28, (1 << 28) + (1 << 27), 1518500250


def inverse_root(n: int) -> tuple[int, int]:
    """Mantissa m and exponent e of 1/√n = m · 2^(e − 31), n in [0, 2^31); n ≤ 1 gives 2^31 − 1, 0.

    e is ≤ 0.
    """
    if n <= 1:
        return INT32_MAX, 0
    right = 11
    while n >= 1 << 29:
        n //= 4
        right += 1
    pairs = (31 - n.bit_length()) // 2 - 1
    right -= pairs
    n <<= 2 * pairs
    value = n >> 1
    half = _rounded_half(value)
    x = _ONE
    for _ in range(5):
        cube = _shifted(_product(_product(x, x), x), 6)
        x = _shifted(_product(_ONE_AND_A_HALF, x) - _product(half, cube), 3)
    mantissa = _product(x, _HALF_ROOT_2)
    return (mantissa << -right, 0) if right < 0 else (mantissa, -right)


def _product(a: int, b: int) -> int:
    return int(srdhm(np.int64(a), np.int32(b)))


def _rounded_half(a: int) -> int:
    """a / 2 rounded half away from zero; a is not negative here."""
    return (a + 1) >> 1


def _shifted(a: int, bits: int) -> int:
    """a · 2^bits, saturated to int32."""
    return min(max(a << bits, INT32_MIN), INT32_MAX)
