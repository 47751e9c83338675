# SPDX-License-Identifier: Apache-2.0
"""Functions of one variable on int16 codes, as int16[65536]; entry code + 32768, zero points 0.

LiteRT and TFLM share these kernels; where they differ, the profile says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic.codes import Activation, Codes, range_half_away, ratio32
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.gates import exponential16, half_reciprocal16, interpolated16, saturated16
from neurovm.arithmetic.tables import all_codes
from neurovm.arithmetic.unary import UnaryFunction, scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]
    Table = NDArray[np.int16]

Rule = Callable[[Codes, Codes, float], "Table"]

_LOWEST, _HIGHEST = -32768, 32767
_UNIT = 2.0**-15
"""The scale that LOGISTIC and TANH make."""


def wide_table(values: IntArray, low: int = _LOWEST, high: int = _HIGHEST) -> Table:
    """Codes clamped to int16 (or closer)."""
    result: Table = np.clip(values, low, high).astype(np.int16)
    return result


def wide_relu(bounds: Activation) -> Rule:
    """double(q, f32(s / s_out)) within the bounds, which round half away."""

    def rule(x: Codes, out: Codes, _: float) -> Table:
        y = scaled(all_codes(x), ratio32(x.scale, out.scale))
        return wide_table(y, *range_half_away(bounds, out))

    return rule


def clamped_relu6(x: Codes, _out: Codes, _: float) -> Table:
    """TFLM's: codes between those of 0 and 6 of the input, whatever the output's scale."""
    return wide_table(all_codes(x), *range_half_away("RELU6", x))


def _abs(x: Codes, out: Codes, _: float) -> Table:
    """double(|q|, f32(s / s_out)); |q| where the scales agree."""
    y = np.abs(all_codes(x))
    return wide_table(y if x.scale == out.scale else scaled(y, ratio32(x.scale, out.scale)))


def _leaky_relu(x: Codes, out: Codes, alpha: float) -> Table:
    """double(q, s / s_out), below 0 double(q, s · α / s_out)."""
    negative = float(np.float32(x.scale) * np.float32(alpha) / np.float32(out.scale))
    if not math.isfinite(negative):
        raise NoExactRuleError(f"alpha {alpha!r} of a LEAKY_RELU; a finite one is needed")
    q = all_codes(x)
    below = scaled(q, abs(negative)) * (-1 if negative < 0 else 1)
    return wide_table(np.where(q >= 0, scaled(q, ratio32(x.scale, out.scale)), below))


def _thirds(x: Codes, pot_shift: int | None) -> IntArray:
    """The codes in 2^−12 / 3. Source: tensorflow/lite/kernels/activations.cc (Prepare)."""
    if pot_shift is not None:
        return all_codes(x) * (3 << pot_shift)
    factor, left = float(x.scale) * 4096.0 * 3.0, 0
    while factor <= 32767.0 / 2.0 and left <= 30:
        left += 1
        factor *= 2.0
    if factor >= 1 << 15:
        raise NoExactRuleError(
            f"input scale {x.scale!r} of an int16 LOGISTIC or TANH; less than 8/3 is needed"
        )
    half = 1 << (left - 1) if left else 0
    result: IntArray = (all_codes(x) * int(factor) + half) >> left
    return result


def _checked(x: Codes, out: Codes) -> None:
    if out.scale != _UNIT:
        raise NoExactRuleError(
            f"output scale {out.scale!r} of an int16 LOGISTIC or TANH; 2^-15 is needed"
        )
    if not 0 < x.scale < 1:
        raise NoExactRuleError(
            f"input scale {x.scale!r} of an int16 LOGISTIC or TANH; less than 1 is needed"
        )


def _power(x: Codes, most: int) -> int | None:
    """k where the input's scale is 2^(k − 12), k = 0 … most."""
    return next((k for k in range(most + 1) if x.scale == 2.0 ** (k - 12)), None)


def table_logistic(x: Codes, out: Codes, _: float) -> Table:
    """A table of 256 entries, interpolated.

    Source: tensorflow/lite/kernels/internal/reference/integer_ops/logistic.h (int16).
    """
    _checked(x, out)
    z = _thirds(x, _power(x, 0))
    y = interpolated16(np.abs(z), 9, 0x7FFF << 10)
    y = np.where(z >= 0, y + (1 << 9), (1 << 25) - y + (1 << 9) - 1)
    return wide_table(y >> 10)


def table_tanh(x: Codes, out: Codes, _: float) -> Table:
    """2 σ(2 x) − 1 by the same table.

    Source: tensorflow/lite/kernels/internal/reference/integer_ops/tanh.h (int16).
    """
    _checked(x, out)
    z = _thirds(x, _power(x, 1))
    y = interpolated16(np.abs(z), 8, 0xFFFF << 8)
    y = np.where(z >= 0, y - (1 << 23) + (1 << 7), -y + (1 << 23) + (1 << 7) - 1)
    return wide_table(y >> 8)


def fixed_logistic(x: Codes, out: Codes, parameter: float) -> Table:
    """gemmlowp's on Q3.12 where the input's scale is 2^−12, else by the table.

    Source: tensorflow/lite/kernels/internal/optimized/optimized_ops.h (Logistic of int16).
    """
    _checked(x, out)
    if _power(x, 0) is None:
        return table_logistic(x, out, parameter)
    q = all_codes(x)
    above = np.where(
        q == 0, 1 << 14, saturated16(half_reciprocal16(exponential16(-np.abs(q), 3)) << 1)
    )
    return wide_table(np.where(q < 0, _HIGHEST - above, above))


def fixed_tanh(x: Codes, out: Codes, parameter: float) -> Table:
    """gemmlowp's on Q3.12 where the input's scale is 2^−12 or 2^−11, else by the table.

    Source: tensorflow/lite/kernels/internal/optimized/optimized_ops.h (Tanh of int16).
    """
    _checked(x, out)
    shift = _power(x, 1)
    if shift is None:
        return table_tanh(x, out, parameter)
    q = saturated16(all_codes(x) << shift)
    size = exponential16(-np.abs(q), 4)
    above = saturated16((half_reciprocal16(size) - (1 << 13)) << 2)
    return wide_table(np.where(q == 0, 0, np.sign(q) * above))


def _neg(x: Codes, _out: Codes, _: float) -> Table:
    """−q of the code itself, −32768 stays: the scales are not looked at."""
    return (-all_codes(x)).astype(np.int16)


def wide_rule(rules: dict[UnaryFunction, Rule], function: UnaryFunction) -> Rule:
    """The rule of a function; NoExactRuleError where the runtime has none on int16 codes."""
    if function not in rules:
        raise NoExactRuleError(
            "the runtime does not run it on int16 codes, or its rule is not known"
        )
    return rules[function]


_SHARED: dict[UnaryFunction, Rule] = {
    "abs": _abs,
    "leaky_relu": _leaky_relu,
    "relu": wide_relu("RELU"),
}
LITERT_UNARY: dict[UnaryFunction, Rule] = _SHARED | {
    "logistic": fixed_logistic,
    "neg": _neg,
    "relu6": wide_relu("RELU6"),
    "tanh": fixed_tanh,
}
TFLM_WIDE_UNARY: dict[UnaryFunction, Rule] = _SHARED | {
    "logistic": table_logistic,
    "relu6": clamped_relu6,
    "tanh": table_tanh,
}
