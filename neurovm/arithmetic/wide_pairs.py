# SPDX-License-Identifier: Apache-2.0
"""Sums, products and softmax of int16 codes. Zero points are 0.

Sources: tensorflow/lite/kernels/{add,sub,mul,softmax}.cc and
tensorflow/lite/kernels/internal/reference/{add,softmax}.h.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurovm.arithmetic.codes import Activation, Codes
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.fixed_point import Multipliers, multiplier, round_half_away
from neurovm.arithmetic.integer_rules import integer_requantizer
from neurovm.arithmetic.requantizers import Requantizer
from neurovm.arithmetic.unary import scaled_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]

LEFT_SHIFT = 15
"""Bits by which codes are shifted before they are brought to a common scale."""
AT_ONCE = 16
"""Elements that LiteRT's ADD takes by vector instructions; the rest it takes one by one."""
_IDENTITY = Multipliers(np.array([1 << 30], np.int32), np.array([1], np.int32))


class Term(NamedTuple):
    """sign · double(q · 2^left, mantissa, exponent)."""

    left: int
    mantissa: int
    exponent: int
    sign: int

    def of(self, q: IntArray) -> IntArray:
        return self.sign * scaled_by(q << self.left, self.mantissa, self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WideAddRule:
    """requantizer(a' + b'): elements before `head_count` by the terms `head`, the others `tail`.

    Elements of the output count in C order.
    """

    head: tuple[Term, Term]
    tail: tuple[Term, Term]
    head_count: int
    requantizer: Requantizer

    def codes(self, a: IntArray, b: IntArray) -> IntArray:
        """Codes of a + b, broadcast, one sample a row."""
        a, b = np.broadcast_arrays(a, b)
        first, rest = (left.of(a) + right.of(b) for left, right in (self.head, self.tail))
        early = np.arange(a[0].size).reshape(a.shape[1:]) < self.head_count
        return self.requantizer.codes(np.where(early, first, rest))


def wide_add(
    a: Codes, b: Codes, out: Codes, activation: Activation, *, sign: int, vectors: int = 0
) -> WideAddRule:
    """Inputs · 2^15 to the scale 2 · max(s_a, s_b), the sum to s_out, `double` each.

    The first `vectors` elements are shifted before the multiplication and so rounded once less.
    """
    twice_max = 2 * max(a.scale, b.scale)
    pairs = [multiplier(x.scale / twice_max) for x in (a, b)]
    signs = (1, sign)
    tail = [Term(LEFT_SHIFT, m, e, s) for (m, e), s in zip(pairs, signs, strict=True)]
    head = [Term(LEFT_SHIFT + e, m, 0, s) for (m, e), s in zip(pairs, signs, strict=True)]
    if vectors and min(t.left for t in head) < 0:
        raise NoExactRuleError(
            f"input scales {a.scale!r} and {b.scale!r} of an int16 ADD; less than a factor of "
            f"2^{LEFT_SHIFT} between them is needed"
        )
    if vectors == 0:
        head = tail
    outer = twice_max / ((1 << LEFT_SHIFT) * out.scale)
    return WideAddRule(
        head=(head[0], head[1]),
        tail=(tail[0], tail[1]),
        head_count=vectors,
        requantizer=integer_requantizer("double", [outer], out, activation),
    )


def power_add(a: Codes, b: Codes, out: Codes, lo: int, hi: int, *, sign: int) -> WideAddRule | None:
    """LiteRT's for scales that are powers of two, where the model asks for it; None for others.

    One input has the output's scale, the other is shifted right, half away from zero.
    """
    exponents = [math.frexp(c.scale) for c in (a, b, out)]
    if any(fraction != 0.5 for fraction, _ in exponents):
        return None
    right = [exponents[2][1] - e for _, e in exponents[:2]]
    if min(right) != 0 or max(right) > 15:
        raise NoExactRuleError(
            f"input scales {a.scale!r} and {b.scale!r}, output scale {out.scale!r} of an int16 sum "
            f"that asks for powers of two; LiteRT takes one input of the output's scale and one of "
            f"2^-15 to 1 of it"
        )
    terms = [Term(1, 1 << 30, -bits, s) for bits, s in zip(right, (1, sign), strict=True)]
    pair = (terms[0], terms[1])
    requantizer = Requantizer(kind="double", zero_out=0, lo=lo, hi=hi, multipliers=_IDENTITY)
    return WideAddRule(head=pair, tail=pair, head_count=0, requantizer=requantizer)


def product(a: Codes, b: Codes, out: Codes, activation: Activation, *, exact: bool) -> Requantizer:
    """`double` of the product of two codes; `exact`: the factor in double, as TFLM has it."""
    real = a.scale * b.scale / out.scale
    if not exact:
        real = float(np.float32(a.scale) * np.float32(b.scale) / np.float32(out.scale))
    return integer_requantizer("double", [real], out, activation)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WideSoftmaxRule:
    """t_i = exponentials[row maximum − q_i], int16[65536]; y_i = t_i / Σ by `reciprocals`.

    `reciprocals` int16[513]: 1 / (1 + k / 512) in Q0.15, interpolated in between.
    """

    exponentials: NDArray[np.int16]
    reciprocals: NDArray[np.int16]

    def codes(self, q: IntArray) -> IntArray:
        """Codes of the softmax along the last axis."""
        t = self.exponentials.astype(np.int64)[q.max(axis=-1, keepdims=True) - q]
        total = t.sum(axis=-1, keepdims=True)
        bits = np.vectorize(int.bit_length, otypes=[np.int64])(total)
        shifted = ((total << (31 - bits)) + (1 << 13)) >> 14
        scale = looked_up(np.clip(shifted - (3 << 15), -32768, 32767), self.reciprocals)
        right = bits - 1
        y = (t * scale + (np.int64(1) << (right - 1))) >> right
        result: IntArray = np.clip(y, 0, 32767)
        return result


def wide_softmax(x: Codes, out: Codes, beta: float, *, single: bool) -> WideSoftmaxRule:
    """The rule of both runtimes, which makes codes of scale 2^−15.

    `single`: the tables are computed in float32, as TFLM does, not in double as LiteRT.
    """
    if abs(out.scale * 32768 - 1) > 1e-6 or out.zero_point != 0:
        raise NoExactRuleError(
            f"output scale {out.scale!r}, zero point {out.zero_point} of an int16 SOFTMAX; 2^-15 "
            f"and 0 are needed"
        )
    real = float(np.float32(x.scale)) * float(np.float32(beta)) / (10.0 / 65535.0)
    if not 0 < real < 1 << 14:
        raise NoExactRuleError(f"beta {beta!r} · scale {x.scale!r} of a SOFTMAX; more is needed")
    steps = scaled_by(-np.arange(65536), *multiplier(real)) + 32767
    table = sampled(math.exp, -10.0, 0.0, single=single)
    exponentials = looked_up(np.clip(steps, -32768, 32767), table).astype(np.int16)
    return WideSoftmaxRule(
        exponentials=exponentials,
        reciprocals=sampled(lambda v: 1 / (1 + v), 0.0, 1.0, single=single),
    )


def sampled(
    f: Callable[[float], float], low: float, high: float, *, single: bool
) -> NDArray[np.int16]:
    """int16[513], Q0.15: f at 512 steps from low to high, less half of what the middles are off.

    Source: tensorflow/lite/kernels/internal/common.h (LUTPopulate of int16).
    """
    real = np.float32 if single else np.float64
    step = real(high - low) / real(512)
    starts = real(low) + np.arange(513).astype(real) * step
    value, middle = (
        np.array([f(float(v)) for v in at], real) * real(32768)
        for at in (starts, starts + step / real(2))
    )
    here = round_half_away(value)
    between = round_half_away((value[1:] + here[:-1].astype(real)) / real(2))
    error = (between - round_half_away(middle[:-1])).astype(real)
    table = here - np.append(round_half_away(error / real(2)), 0)
    result: NDArray[np.int16] = np.clip(table, -32768, 32767).astype(np.int16)
    return result


def looked_up(value: IntArray, table: NDArray[np.int16]) -> IntArray:
    """The table at int16 values, interpolated. Source: LUTLookup of int16."""
    wide = table.astype(np.int64)
    place = 256 + (value >> 7)
    slope = wide[place + 1] - wide[place]
    result: IntArray = wide[place] + ((slope * (value & 127) + 64) >> 7)
    return result
