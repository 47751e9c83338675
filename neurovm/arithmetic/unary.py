# SPDX-License-Identifier: Apache-2.0
"""Functions of one variable on codes by the rules of TFLite's own kernels, as tables.

Every rule gives int8[256], an entry at code + 128, in int8 form (uint8 as code − 128). `UNARY`
holds the rules XNNPACK has no part in; a profile adds its own. float32 throughout where the source
is: each operation rounds once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from neurovm.arithmetic.codes import Activation, Codes, range_half_away, ratio32
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.fixed_point import INT32_MAX, INT32_MIN, Multipliers, multiplier, rdbpot
from neurovm.arithmetic.inverse_root import inverse_root
from neurovm.arithmetic.requantizers import Requantizer
from neurovm.arithmetic.tables import INT8_CODES, unary_table_half_away

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[np.int8]
    IntArray = NDArray[np.int64]

Rule = Callable[[Codes, Codes, float], "Table"]
"""From the meaning of the input's and the output's codes and the operator's parameter."""
UnaryFunction = Literal[
    "abs", "elu", "exp", "gelu", "gelu_tanh", "hard_swish", "leaky_relu", "log", "logistic", "neg",
    "relu", "relu6", "relu_0_to_1", "relu_n1_to_1", "rsqrt", "sqrt", "square", "tanh",
]  # fmt: skip

_RSQRT_SHIFT = 20


def steps(x: Codes) -> IntArray:
    """Code − zero point of every code, in table order."""
    return INT8_CODES - x.as_int8.zero_point


def scaled(values: IntArray, real: float) -> IntArray:
    """MultiplyByQuantizedMultiplier by one real ≥ 0: `double` without zero point and bounds."""
    return scaled_by(values, *multiplier(real))


def scaled_by(values: IntArray, mantissa: int, exponent: int) -> IntArray:
    """As `scaled` by a mantissa and an exponent."""
    pair = Multipliers(np.array([mantissa], np.int32), np.array([exponent], np.int32))
    unbounded = Requantizer(kind="double", zero_out=0, lo=INT32_MIN, hi=INT32_MAX, multipliers=pair)
    return unbounded.codes(values)


def as_table(values: IntArray, low: int = -128, high: int = 127) -> Table:
    """Codes clamped to int8 (or closer)."""
    result: Table = np.clip(values, low, high).astype(np.int8)
    return result


def _relu(bounds: Activation) -> Rule:
    """double(q − z, f32(s / s_out)) + z_out within the bounds, which round half away."""

    def rule(x: Codes, out: Codes, _: float) -> Table:
        y = scaled(steps(x), ratio32(x.scale, out.scale)) + out.as_int8.zero_point
        return as_table(y, *range_half_away(bounds, out.as_int8))

    return rule


def _abs(x: Codes, out: Codes, _: float) -> Table:
    """double(|q − z|, f32(s / s_out)) + z_out; |q − z| + z_out where the scales agree."""
    y = np.abs(steps(x))
    if x.scale != out.scale:
        y = scaled(y, ratio32(x.scale, out.scale))
    return as_table(y + out.as_int8.zero_point)


def _neg(x: Codes, _out: Codes, _: float) -> Table:
    """−q of the code itself, −128 stays: neither scale nor zero point is looked at."""
    if x.dtype != "int8":
        raise NoExactRuleError(f"{x.dtype} codes of a NEG; int8 is needed")
    return (-INT8_CODES).astype(np.int8)


def _gelu(v: float) -> float:
    root = np.float32(-math.sqrt(0.5))
    return float(np.float32(0.5) * np.float32(v) * np.float32(math.erfc(np.float32(v) * root)))


def _gelu_tanh(v: float) -> float:
    x = np.float32(v)
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return float(np.float32(0.5) * x * (np.float32(1) + np.float32(math.tanh(inner))))


def _exp(v: float) -> float:
    return math.exp(min(v, 88.0))


def _log(x: Codes, out: Codes, _: float) -> Table:
    """The table rule; what is not positive gives the lowest code."""
    table = unary_table_half_away(lambda v: math.log(v) if v > 0 else 0.0, x, out)
    return np.where(steps(x) > 0, table, np.int8(-128)).astype(np.int8)


def _sqrt(x: Codes, out: Codes, _: float) -> Table:
    """trunc(f32(√v / s_out)) + z_out; below 0, where the source ends with an error, as at 0."""
    real = np.maximum(steps(x), 0).astype(np.float32) * np.float32(x.scale)
    y = np.trunc(np.sqrt(real) / np.float32(out.scale)).astype(np.int64)
    return as_table(y + out.as_int8.zero_point)


def _rsqrt(x: Codes, out: Codes, _: float) -> Table:
    """double(double(1, 1/√(q − z) · 2^20), 2^−20 / (√s · s_out)) + z_out; q = z gives the highest.

    Source: tensorflow/lite/kernels/elementwise.cc (RsqrtEvalQuantized).
    """
    mantissa, exponent = multiplier(
        1.0 / float(np.sqrt(np.float32(x.scale)) * np.float32(out.scale))
    )
    if exponent - _RSQRT_SHIFT < -31:
        raise NoExactRuleError(f"output scale {out.scale!r} of an RSQRT; a smaller one is needed")
    y = np.empty(256, np.int64)
    for i, value in enumerate(steps(x).tolist()):
        if value <= 0:
            y[i] = 127
            continue
        m, e = inverse_root(value)
        root = scaled_by(np.array([1]), m, e + _RSQRT_SHIFT)
        y[i] = scaled_by(root, mantissa, exponent - _RSQRT_SHIFT)[0] + out.as_int8.zero_point
    return as_table(y)


def _hard_swish(x: Codes, out: Codes, _: float) -> Table:
    """x · relu6(x + 3) / 6 in 16-bit fixed point.

    Source: tensorflow/lite/kernels/internal/reference/hard_swish.h.
    """
    fine = np.float32(1 / 128) * np.float32(x.scale)
    out_m, out_e = _multiplier16(float(fine / np.float32(out.scale)))
    gate_m, gate_e = _multiplier16(float(fine / (np.float32(3) / np.float32(32768))))
    if out_e > 0:
        raise NoExactRuleError(
            f"input scale {x.scale!r} of a HARD_SWISH is 128 times the output scale {out.scale!r} "
            f"or more; less is needed"
        )
    value = steps(x) << 7
    gate = value
    if gate_e > 0:
        gate = _saturated16(gate << (gate_e - 1))
    gate = _srdhm16(gate, gate_m)
    if gate_e > 0:
        gate = _saturated16(gate << 1)
    if gate_e < 0:
        gate = rdbpot(gate, -gate_e)
    gate = (gate + (1 << 15)) >> 1
    product = gate * _srdhm16(value, out_m)
    y = rdbpot(np.sign(product) * (np.abs(product) >> 15), -out_e)
    return as_table(y + out.as_int8.zero_point)


def _multiplier16(real: float) -> tuple[int, int]:
    """The multiplier rounded to 16 bits, and its exponent."""
    mantissa, exponent = multiplier(real)
    return (32767 if mantissa >= 0x7FFF0000 else (mantissa + (1 << 15)) >> 16), exponent


def _srdhm16(a: IntArray, b: int) -> IntArray:
    return (a * b + (1 << 14)) >> 15


def _saturated16(a: IntArray) -> IntArray:
    return np.clip(a, -(1 << 15), (1 << 15) - 1)


def leaky_relu_double(x: Codes, out: Codes, alpha: float) -> Table:
    """double(q − z, s / s_out), below 0 double(q − z, s · α / s_out), + z_out."""
    ratio = ratio32(x.scale, out.scale)
    negative = float(np.float32(x.scale) * np.float32(alpha) / np.float32(out.scale))
    q = steps(x)
    below = scaled(q, abs(negative)) * (-1 if negative < 0 else 1)
    y = np.where(q >= 0, scaled(q, ratio), below)
    return as_table(y + out.as_int8.zero_point)


def _half_away(f: Callable[[float], float]) -> Rule:
    return lambda x, out, _: unary_table_half_away(f, x, out)


UNARY: dict[UnaryFunction, Rule] = {
    "abs": _abs,
    "exp": _half_away(_exp),
    "gelu": _half_away(_gelu),
    "gelu_tanh": _half_away(_gelu_tanh),
    "hard_swish": _hard_swish,
    "log": _log,
    "neg": _neg,
    "relu": _relu("RELU"),
    "relu6": _relu("RELU6"),
    "relu_0_to_1": _relu("RELU_0_TO_1"),
    "relu_n1_to_1": _relu("RELU_N1_TO_1"),
    "rsqrt": _rsqrt,
    "sqrt": _sqrt,
}
"""The rules of LiteRT's built-in kernels."""
