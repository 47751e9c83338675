# SPDX-License-Identifier: Apache-2.0
"""Requantisers: from an int32 sum to the code of the output, y = clamp(zero_out + R(A), lo, hi).

A `Requantizer` is parameters only; `codes` is the evaluation on arrays that the oracle uses. R by
kind, with e the exponent, m the mantissa, l = max(e, 0), r = max(−e, 0), A int32 (wrapping), or
int64 where the requantiser is `long`:

fp32    rint_even(f32(A) · scale)
        XNNPACK, qs8 gemm, igemm, dwconv with "fp32" requantisation
double  RDBPOT(SRDHM(A · 2^l, m), r)
        gemmlowp; TFLite's reference kernels (MultiplyByQuantizedMultiplier)
single  floor((A · m + 2^(30 − e)) / 2^(31 − e))
        TFLite built with TFLITE_SINGLE_ROUNDING; ruy
halfup  (SRDHM(A · 2^l, m) + ⌊2^(r − 1)⌋) >> r
        TFLite's optimised kernels (NEON, and x86 through NEON_2_SSE)
shift   (A + 2^(bits − 1)) >> bits
        XNNPACK, qs8 vadd
affine  rint_even(f32(f32(A) · scale) + offset), the zero point within offset
        XNNPACK, qs8 mean
half16  floor((A · m' + 2^(14 − e)) / 2^(15 − e)), m' the mantissa rounded to 15 bits, A int64
        TFLite's MultiplyByQuantizedMultiplier of int64 sums (int16 activations)
away64  round_half_away(A · scale) in double, A int64
        LiteRT's FULLY_CONNECTED of int16 codes
away32  round_half_away(f32(A) · scale)
        TFLite's QuantizedMeanOrSum, sums of int16 codes
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from neurovm.arithmetic.fixed_point import (
    Multipliers,
    rdbpot,
    round_half_away,
    rounding_shift_right,
    shift_left32,
    srdhm,
    wrap32,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Kind = Literal[
    "fp32", "double", "single", "halfup", "shift", "affine", "half16", "away64", "away32"
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requantizer:
    """Parameters of one requantiser; arrays have one entry a channel, or a single one for all.

    scale       float32[n]  fp32, affine, away32; float64[n] away64
    offset      float32[n]  affine
    multipliers int32[n]    double, single, halfup, half16
    bits        1 … 31      shift
    zero_out    for affine 0 (its offset holds the zero point), or -128 where codes are uint8
    long        whether A is int64: half16, away64
    tail        what channels from `tail_from` on take instead; its arrays count from channel 0
    """

    kind: Kind
    zero_out: int
    lo: int
    hi: int
    scale: NDArray[np.floating] | None = None
    offset: NDArray[np.float32] | None = None
    multipliers: Multipliers | None = None
    bits: int = 0
    long: bool = False
    tail: Requantizer | None = None
    tail_from: int = 0

    @property
    def channels(self) -> int:
        """Entries of the arrays."""
        if self.scale is not None:
            return len(self.scale)
        return 1 if self.multipliers is None else len(self.multipliers.mantissa)

    def codes(self, acc: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes, as int64, of the sums `acc` (channel last; wrapped to int32 unless `long`)."""
        sums = acc if self.long else wrap32(acc)
        y = np.clip(_RULES[self.kind](self, sums) + self.zero_out, self.lo, self.hi)
        if self.tail is not None:
            y[..., self.tail_from :] = self.tail.codes(acc)[..., self.tail_from :]
        return y


def _scale(q: Requantizer) -> NDArray[np.floating]:
    if q.scale is None:
        raise ValueError(f"a {q.kind} requantiser needs a scale")
    return q.scale


def _multipliers(q: Requantizer) -> Multipliers:
    if q.multipliers is None:
        raise ValueError(f"a {q.kind} requantiser needs multipliers")
    return q.multipliers


def _fp32(q: Requantizer, a: NDArray[np.int64]) -> NDArray[np.int64]:
    result: NDArray[np.int64] = np.rint(a.astype(np.float32) * _scale(q)).astype(np.int64)
    return result


def _affine(q: Requantizer, a: NDArray[np.int64]) -> NDArray[np.int64]:
    if q.offset is None:
        raise ValueError("an affine requantiser needs an offset")
    real = np.clip(a.astype(np.float32) * _scale(q) + q.offset, -(2.0**62), 2.0**62)
    result: NDArray[np.int64] = np.rint(real).astype(np.int64)
    return result


def _high_product(q: Requantizer, a: NDArray[np.int64]) -> NDArray[np.int64]:
    m = _multipliers(q)
    return srdhm(shift_left32(a, np.maximum(m.exponent, 0)), m.mantissa)


def _double(q: Requantizer, a: NDArray[np.int64]) -> NDArray[np.int64]:
    return rdbpot(_high_product(q, a), np.maximum(-_multipliers(q).exponent, 0))


def _halfup(q: Requantizer, a: NDArray[np.int64]) -> NDArray[np.int64]:
    return rounding_shift_right(_high_product(q, a), np.maximum(-_multipliers(q).exponent, 0))


def _single(q: Requantizer, a: NDArray[np.int64]) -> NDArray[np.int64]:
    m = _multipliers(q)
    right = 31 - m.exponent.astype(np.int64)
    result: NDArray[np.int64] = (
        a * m.mantissa.astype(np.int64) + (np.left_shift(np.int64(1), right) >> 1)
    ) >> right
    return result


def _shift(q: Requantizer, a: NDArray[np.int64]) -> NDArray[np.int64]:
    return rounding_shift_right(a, q.bits)


def _half16(q: Requantizer, a: NDArray[np.int64]) -> NDArray[np.int64]:
    m = _multipliers(q)
    mantissa = m.mantissa.astype(np.int64)
    short = np.where(mantissa < 0x7FFF0000, (mantissa + (1 << 15)) >> 16, 0x7FFF)
    right = 15 - m.exponent.astype(np.int64)
    result: NDArray[np.int64] = (a * short + np.left_shift(np.int64(1), right - 1)) >> right
    return result


def _away64(q: Requantizer, a: NDArray[np.int64]) -> NDArray[np.int64]:
    return round_half_away(a.astype(np.float64) * _scale(q))


def _away32(q: Requantizer, a: NDArray[np.int64]) -> NDArray[np.int64]:
    return round_half_away(a.astype(np.float32) * _scale(q))


_RULES: dict[Kind, Callable[[Requantizer, NDArray[np.int64]], NDArray[np.int64]]] = {
    "fp32": _fp32,
    "double": _double,
    "single": _single,
    "halfup": _halfup,
    "shift": _shift,
    "affine": _affine,
    "half16": _half16,
    "away64": _away64,
    "away32": _away32,
}
