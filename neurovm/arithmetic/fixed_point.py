# SPDX-License-Identifier: Apache-2.0
"""Fixed-point primitives of gemmlowp and TFLite, on arrays of int64 that hold int32 values.

Source of the rules: gemmlowp/fixedpoint/fixedpoint.h, tensorflow/lite/kernels/internal/common.h and
quantization_util.cc. What is int32 there and wraps, wraps here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic.errors import NoExactRuleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]

INT32_MIN = -(1 << 31)
INT32_MAX = (1 << 31) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Multipliers:
    """Positive reals as mantissa · 2^(exponent − 31), one an entry.

    `mantissa` int32, 0 or in [2^30, 2^31); `exponent` int32, in [−31, 1023], positive = shift left.
    """

    mantissa: NDArray[np.int32]
    exponent: NDArray[np.int32]


def multiplier(real: float) -> tuple[int, int]:
    """Mantissa and exponent of a finite real ≥ 0: round half away from zero to 31 bits.

    Below 2^−32 the result is 0. Source: QuantizeMultiplier.
    """
    if not (math.isfinite(real) and real >= 0):
        raise ValueError(f"a multiplier must be finite and not negative, not {real!r}")
    fraction, exponent = math.frexp(real)
    mantissa = math.floor(fraction * (1 << 31) + 0.5)
    if mantissa == 1 << 31:
        mantissa //= 2
        exponent += 1
    if exponent < -31:
        return 0, 0
    return mantissa, exponent


def multipliers(reals: Sequence[float]) -> Multipliers:
    """`multiplier` of each entry; NoExactRuleError where scales make one that is none."""
    for real in reals:
        if not 0 <= real < math.inf:
            raise NoExactRuleError(
                f"its scales make a factor of {real!r}; finite ones from 0 on are needed"
            )
    pairs = [multiplier(real) for real in reals]
    return Multipliers(
        np.array([m for m, _ in pairs], np.int32), np.array([e for _, e in pairs], np.int32)
    )


def wrap32(a: IntArray) -> IntArray:
    """The int32 that two's complement leaves of any int64."""
    return a.astype(np.int64, copy=False).astype(np.int32).astype(np.int64)


def shift_left32(a: IntArray, bits: NDArray[np.int32] | int) -> IntArray:
    """A · 2^bits, wrapping to int32; bits ≥ 32 leave 0."""
    bits = np.minimum(np.asarray(bits, np.int64), 32)
    return wrap32(np.left_shift(a & 0xFFFFFFFF, bits))


def srdhm(a: IntArray, mantissa: NDArray[np.int32] | int) -> IntArray:
    """floor((a · mantissa + 2^30) / 2^31): the high half of the doubled product, rounded half up.

    Source: SaturatingRoundingDoublingHighMul. Its nudge depends on the sign of the product and is
    followed by a division that truncates, which together is this floor. a in int32, mantissa ≥ 0.
    """
    return (a * np.asarray(mantissa, np.int64) + (1 << 30)) >> 31


def rdbpot(a: IntArray, bits: NDArray[np.int32] | int) -> IntArray:
    """A / 2^bits rounded half away from zero, bits in [0, 31].

    Source: RoundingDivideByPOT.
    """
    bits = np.asarray(bits, np.int64)
    half = np.left_shift(np.int64(1), bits) >> 1
    result: IntArray = (a + half - ((a < 0) & (bits > 0))) >> bits
    return result


def double(rule: Multipliers, k: int, a: IntArray) -> IntArray:
    """A times entry k: MultiplyByQuantizedMultiplier, rounded twice; a and its shift wrap."""
    mantissa, exponent = int(rule.mantissa[k]), int(rule.exponent[k])
    return rdbpot(srdhm(shift_left32(a, max(exponent, 0)), mantissa), max(-exponent, 0))


def rounding_shift_right(a: IntArray, bits: NDArray[np.int32] | int) -> IntArray:
    """A / 2^bits rounded half up, bits ≥ 0."""
    bits = np.asarray(bits, np.int64)
    result: IntArray = (a + (np.left_shift(np.int64(1), bits) >> 1)) >> bits
    return result


def round_half_away(x: NDArray[np.floating]) -> IntArray:
    """Nearest integers of float32 or float64 below 2^52 in size; halves go away from zero."""
    wide = np.asarray(x, np.float64)
    return (np.sign(wide) * np.floor(np.abs(wide) + 0.5)).astype(np.int64)
