# SPDX-License-Identifier: Apache-2.0
"""Logistic function and tanh of int16 values in fixed point, as tables of all 65536 of them.

Source of the rules: gemmlowp/fixedpoint/fixedpoint.h with 16-bit raw types (LiteRT's portable
ApplySigmoid and ApplyTanh), and tensorflow/lite/kernels/internal/reference/integer_ops/
{logistic,tanh}.h (TFLM). Results are in Q0.15, the argument x stands at index x + 32768.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from neurovm.arithmetic.codes import Codes
from neurovm.arithmetic.fixed_point import Multipliers, multipliers

IntArray = NDArray[np.int64]

INT16_MIN, INT16_MAX = -(1 << 15), (1 << 15) - 1
MOST_INTEGER_BITS = 6

_CONSTANT, _THIRD = 1895147668, 715827883
"""exp(−1/8) and 1/3 in Q0.31."""
_BARREL = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""exp(−2^k), k = −2 … 4, in Q0.31."""
_START, _SLOPE = 1515870810, -1010580540
"""48/17 and −32/17 in Q2.29: the first estimate of a reciprocal."""
_STEPS_A_UNIT = 24
"""Entries of TFLM's table of the logistic function between x and x + 1."""


@dataclass(frozen=True, slots=True, eq=False)
class LstmRule:
    """How an int8 LSTM with an int16 cell computes: tables int16[65536], multipliers, shifts.

    With R_k the `double` requantiser by multiplier k, sat the saturation to int16, RDBPOT(x, n) =
    x / 2^n with halves away from zero, and gates k = 0 … 3 (i, f, g, o):

        gate_k = sat(sat(R_k(W x + b)) + R_(4 + k)(R h))
        c' = sat(RDBPOT(logistic(f) c, 15) + RDBPOT(logistic(i) tanh(g), input_shift)), in ± clip
        y = clamp(R_8(logistic(o) cell_tanh(c')) + zero_hidden)

    `stepwise`: the sum R h is saturated too before it is added, and both products of c' are rounded
    twice: RDBPOT((x + 1) >> 1, n − 1).
    """

    logistic: NDArray[np.int16]
    tanh: NDArray[np.int16]
    cell_tanh: NDArray[np.int16]
    multipliers: Multipliers
    input_shift: int
    clip: int
    """0: none."""
    zero_hidden: int
    stepwise: bool


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The functions of one runtime: `tanh` by integer bits of its argument."""

    logistic: NDArray[np.int16]
    tanh: dict[int, NDArray[np.int16]]


@cache
def curves(*, micro: bool) -> Curves:
    """Those of gemmlowp, or of TFLM's table."""
    bits = range(MOST_INTEGER_BITS + 1)
    if micro:
        return Curves(table_logistic16(), {n: table_tanh16(n) for n in bits})
    return Curves(fixed_logistic16(), {n: fixed_tanh16(n) for n in bits})


def lstm_rule(
    *,
    micro: bool,
    x: Codes,
    hidden: Codes,
    weights: Sequence[float],
    cell_power: int,
    cell_clip: float,
) -> LstmRule:
    """See `Profile.lstm`. Products of scales are float32 in LiteRT, double in TFLM (`micro`).

    Source: tensorflow/lite/kernels/{unidirectional_sequence_lstm,lstm_eval}.cc and
    tensorflow/lite/micro/kernels/lstm_eval.cc.
    """
    functions = curves(micro=micro)
    real = np.float64 if micro else np.float32
    reals = [
        float(real(scale) * real(source) * real(2.0**12))
        for scale, source in zip(weights, [x.scale] * 4 + [hidden.scale] * 4, strict=True)
    ]
    reals.append(float(real(2.0**-30) / real(hidden.scale)))
    cell = np.float32(2.0**cell_power)
    clip = min(max(float(np.float32(cell_clip) / cell), -32768.0), 32767.0)
    return LstmRule(
        logistic=functions.logistic,
        tanh=functions.tanh[3],
        cell_tanh=functions.tanh[15 + cell_power],
        multipliers=multipliers(reals),
        input_shift=30 + cell_power,
        clip=int(clip),
        zero_hidden=hidden.zero_point,
        stepwise=micro,
    )


@dataclass(frozen=True, slots=True, eq=False)
class SvdfRule:
    """How an int8 SVDF computes: `multipliers` of the features (to the state's codes) and of the
    output, both by the `double` requantiser; `narrow`: the state is int8, not int16.
    """

    multipliers: Multipliers
    narrow: bool


def svdf_rule(
    *, x: Codes, out: Codes, feature: float, time: float, state: float, narrow: bool
) -> SvdfRule:
    """See `Profile.svdf`. Source: tensorflow/lite/kernels/svdf.cc, micro/kernels/svdf_common.cc."""
    f32 = np.float32
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        first = f32(f32(x.scale) * f32(feature)) / f32(state)
        second = f32(f32(state) * f32(time)) / f32(out.scale)
    return SvdfRule(multipliers=multipliers([float(first), float(second)]), narrow=narrow)


def fixed_logistic16() -> NDArray[np.int16]:
    """int16[65536]: logistic of x / 2^12, by gemmlowp."""
    x = np.arange(INT16_MIN, INT16_MAX + 1)
    above = saturated16(half_reciprocal16(exponential16(np.maximum(-np.abs(x), INT16_MIN), 3)) << 1)
    values = np.where(x > 0, above, INT16_MAX - above)
    values[x == 0] = 1 << 14
    return values.astype(np.int16)


def fixed_tanh16(integer_bits: int) -> NDArray[np.int16]:
    """int16[65536]: tanh of x / 2^(15 − integer_bits), integer_bits 0 to 6, by gemmlowp."""
    x = np.arange(INT16_MIN, INT16_MAX + 1)
    ratio = half_reciprocal16(exponential16(-np.abs(x), integer_bits + 1)) - (1 << 13)
    size = saturated16(ratio << 2)
    values = np.where(x < 0, -size, size)
    values[x == 0] = 0
    return values.astype(np.int16)


def table_logistic16() -> NDArray[np.int16]:
    """int16[65536]: logistic of x / 2^12, by TFLM's table of 256 entries."""
    x = np.arange(INT16_MIN, INT16_MAX + 1) * 3
    size = np.abs(x)
    above = interpolated16(size, 9, 0x7FFF << 10)
    return ((np.where(x >= 0, above, (1 << 25) - above - 1) + (1 << 9)) >> 10).astype(np.int16)


def table_tanh16(integer_bits: int) -> NDArray[np.int16]:
    """int16[65536]: tanh of x / 2^(15 − integer_bits), by TFLM's table of 256 entries."""
    x = np.arange(INT16_MIN, INT16_MAX + 1) * 3
    left = integer_bits - 3
    x = x << left if left >= 0 else (x + (1 << (-left - 1))) >> -left
    above = interpolated16(np.abs(x), 8, 0xFFFF << 8) - (1 << 23)
    return ((np.where(x >= 0, above, -above - 1) + (1 << 7)) >> 8).astype(np.int16)


def interpolated16(size: IntArray, bits: int, most: int) -> IntArray:
    """TFLM's logistic table at size / 2^bits, in Q0.16 times 2^bits; `most` beyond its end."""
    x = np.arange(256) / _STEPS_A_UNIT
    exact = 1 / (1 + np.exp(-x))
    # Each entry leaves out half of what a straight line between entries overshoots.
    bend = exact * (1 - exact) * (1 - 2 * exact) / (16 * _STEPS_A_UNIT**2)
    table = np.rint(65536 * (exact - bend)).astype(np.int64)
    table[255] = 65535
    place = np.minimum(size >> bits, 254)
    low, high = table[place], table[place + 1]
    between = (low << bits) + (size & ((1 << bits) - 1)) * (high - low)
    return np.where(size >> bits >= 255, most, between)


def half_reciprocal16(a: IntArray) -> IntArray:
    """2 / (1 + a) for a in Q0.15 from 0 to 1, in Q2.13: three steps of Newton's method."""
    half = (a + INT16_MAX + 1) >> 1
    x = _constant(_START) + _product(half, _constant(_SLOPE))
    for _ in range(3):
        x = x + saturated16(_product(x, (1 << 13) - _product(half, x)) << 2)
    return x


def exponential16(a: IntArray, integer_bits: int) -> IntArray:
    """exp(a), a ≤ 0 with so many integer bits, in Q0.15."""
    quarter = 13 - integer_bits
    below = (a & ((1 << quarter) - 1)) - (1 << quarter)
    x = saturated16(below << integer_bits) + (1 << 12)
    x2 = _product(x, x)
    x3, x4 = _product(x2, x), _product(x2, x2)
    third = _product(_rounded(x4, 2) + x3, np.int64(_constant(_THIRD)))
    tail = _rounded(third + x2, 1)
    constant = np.int64(_constant(_CONSTANT))
    result = saturated16(constant + _product(constant, x + tail))
    rest = below - a
    for bit, factor in enumerate(_BARREL[: integer_bits + 2], quarter):
        result = np.where(rest >> bit & 1, _product(result, np.int64(_constant(factor))), result)
    if integer_bits > 5:
        result = np.where(a < -(1 << (20 - integer_bits)), 0, result)
    return np.where(a == 0, INT16_MAX, result)


def _constant(in_32_bits: int) -> int:
    return (in_32_bits + (1 << 15)) >> 16


def _product(a: IntArray, b: IntArray | int) -> IntArray:
    """SaturatingRoundingDoublingHighMul of int16."""
    return saturated16((a * b + (1 << 14)) >> 15)


def _rounded(x: IntArray, bits: int) -> IntArray:
    """x / 2^bits, halves away from zero."""
    return (x + (1 << (bits - 1)) - (x < 0)) >> bits


def saturated16(x: IntArray) -> IntArray:
    return np.clip(x, INT16_MIN, INT16_MAX)
