# SPDX-License-Identifier: Apache-2.0
"""Profile `xnnpack`: LiteRT ≥ 2 as everybody runs it, on x86.

Operators that XNNPACK takes follow its rule; the others follow LiteRT's optimised built-in
kernels, which is why one network mixes `fp32`, `double`, `halfup` and float tables. Which operator
goes where: tensorflow/lite/delegates/xnnpack/xnnpack_delegate.cc.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.arithmetic.binary import BINARY, BinaryFunction, mul_double
from neurovm.arithmetic.codes import (
    Activation,
    Codes,
    range_half_away,
    range_half_even,
    ratio32,
)
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.gates import LstmRule, SvdfRule, lstm_rule, svdf_rule
from neurovm.arithmetic.integer_rules import (
    add_double,
    integer_requantizer,
    matmul_double,
    mean_double,
    requantizing,
    weight_multipliers,
)
from neurovm.arithmetic.interpolation import Interpolation, interpolation_float
from neurovm.arithmetic.profiles import InputRounding, LinearOperator
from neurovm.arithmetic.requantizers import Requantizer
from neurovm.arithmetic.row_rules import L2Rule, LogSoftmaxRule, l2_rule, log_softmax_rule
from neurovm.arithmetic.rules import AddRule, CodeMap, SoftmaxRule
from neurovm.arithmetic.tables import (
    INT8_CODES,
    eight_bit_table,
    exp_table,
)
from neurovm.arithmetic.unary import UNARY, UnaryFunction, as_table, steps
from neurovm.arithmetic.wide import LITERT_REFUSED, LITERT_RULES, wide_requantizer
from neurovm.arithmetic.wide_pairs import (
    AT_ONCE,
    WideAddRule,
    WideSoftmaxRule,
    power_add,
    product,
    wide_add,
    wide_softmax,
)
from neurovm.arithmetic.wide_unary import LITERT_UNARY, wide_rule
from neurovm.arithmetic.xnnpack_binary import takes_mul, xnnpack_mul
from neurovm.arithmetic.xnnpack_unary import XNNPACK_UNARY

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST_NORMAL = 2.0**-126
"""XNNPACK takes weights only with scales from here on; 0 is the scale that occurs below."""


class Xnnpack:
    """See `Profile` for what each method answers."""

    name: ClassVar[str] = "xnnpack"
    input_rounding: ClassVar[InputRounding] = "even_reciprocal"
    checks_bias_axis: ClassVar[bool] = True
    saturates: ClassVar[bool] = True
    needs_bias: ClassVar[frozenset[str]] = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})
    refused: ClassVar[frozenset[str]] = frozenset()

    def refusal(self, operator: str, dtypes: Collection[str]) -> str:
        if operator == "QUANTIZE" and "int32" in dtypes:
            return "LiteRT does not quantize to int32; int8, uint8 or int16 is needed"
        if "int16" in dtypes and operator in LITERT_REFUSED:
            return "LiteRT does not run it on int16; the operator in int8 is needed"
        return ""

    def linear(
        self,
        *,
        scale_in: float,
        scale_weights: Sequence[float],
        out: Codes,
        activation: Activation,
        operator: LinearOperator = "CONV_2D",
        weight_bits: int = 8,
        inputs: int = 0,
        outputs: int = 0,
        fixed: bool = True,
        bias: str = "",
    ) -> Requantizer:
        """`fp32` with scale f32(f32(s_in · s_w) / s_out), where XNNPACK takes the operator.

        It refuses scales of 256 and more, and LiteRT the model with it. A zero weight scale, a
        computed size of the output, and weights of 4 bits but for most FULLY_CONNECTED, move the
        operator to the built-in kernel, as do int16 codes.
        """
        if out.dtype == "int16":
            scales = scale_in, scale_weights
            return wide_requantizer(LITERT_RULES, operator, bias, *scales, out, activation)
        products = np.float32(scale_in) * np.asarray(scale_weights, np.float32)
        scale = products / np.float32(out.scale)
        if not bool((scale < 256).all()):
            raise NoExactRuleError(
                f"input scale · weight scale / output scale is {float(scale.max())!r}; "
                f"LiteRT runs such layers only below 256"
            )
        delegated = fixed and min(scale_weights) >= SMALLEST_NORMAL
        if weight_bits == 4:
            delegated = delegated and operator == "FULLY_CONNECTED" and inputs % 2 == 0
        if not delegated:
            reals = weight_multipliers(operator, scale_in, scale_weights, out)
            by_eights = operator in ("DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
            return _halfup(reals, out, activation, outputs if by_eights else 0)
        lo, hi = range_half_even(activation, out)
        return Requantizer(kind="fp32", zero_out=out.zero_point, lo=lo, hi=hi, scale=scale)

    def add(
        self, a: Codes, b: Codes, out: Codes, activation: Activation, *, subtract: bool = False
    ) -> AddRule:
        """qs8 vadd: 20-bit multipliers, one sum, one half-up shift; out of its range of scales
        `double`.
        """
        sign = -1 if subtract else 1
        ratios = ratio32(a.scale, out.scale), ratio32(b.scale, out.scale)
        if max(ratios) >= 256:
            raise NoExactRuleError(
                f"input scale / output scale of an ADD is {max(ratios)!r}; "
                f"LiteRT's own arithmetic overflows from 256 on"
            )
        if min(ratios) < 2.0**-10:
            return add_double(a, b, out, activation, sign)
        bits = 20 - (math.frexp(max(ratios))[1] - 1)
        tables = [
            (np.rint(np.ldexp(np.float32(ratio), bits)).astype(np.int64) * steps(x)).astype(
                np.int32
            )
            for ratio, x in zip(ratios, (a, b), strict=True)
        ]
        lo, hi = range_half_even(activation, out)
        requantizer = Requantizer(kind="shift", zero_out=out.zero_point, lo=lo, hi=hi, bits=bits)
        return AddRule(table_a=tables[0], table_b=sign * tables[1], requantizer=requantizer)

    def matmul(self, a: Codes, b: Codes, out: Codes) -> Requantizer:
        """`fp32` where the zero point of b is 0, which XNNPACK asks for; else `double`."""
        if b.zero_point != 0:
            return matmul_double(a, b, out)
        scale = np.float32(a.scale) * np.float32(b.scale) / np.float32(out.scale)
        lo, hi = out.limits
        return Requantizer(
            kind="fp32", zero_out=out.zero_point, lo=lo, hi=hi, scale=np.array([scale])
        )

    def wide_add(
        self,
        a: Codes,
        b: Codes,
        out: Codes,
        activation: Activation,
        *,
        subtract: bool = False,
        size: int = 0,
        powers: bool = False,
    ) -> WideAddRule:
        """ADD takes 16 elements at once where nothing is broadcast, and those are rounded less."""
        sign = -1 if subtract else 1
        if powers:
            lo, hi = range_half_away(activation, out)
            found = power_add(a, b, out, lo, hi, sign=sign)
            if found is not None:
                return found
        vectors = 0 if subtract else size // AT_ONCE * AT_ONCE
        return wide_add(a, b, out, activation, sign=sign, vectors=vectors)

    def product(self, a: Codes, b: Codes, out: Codes, activation: Activation) -> Requantizer:
        return product(a, b, out, activation, exact=False)

    def mean(self, x: Codes, out: Codes, count: int) -> Requantizer:
        """rint(f32(f32(f32(S) · c) + b)), c = f32(f32(s / s_out) · f32(1 / n)), b = f32(z_out −
        f32(f32(n z) c)).
        """
        if x.dtype == "int16":
            return mean_double(x, out, count)
        scale = np.float32(ratio32(x.scale, out.scale)) * (np.float32(1) / np.float32(count))
        return _affine(x, out, count, scale)

    def sum(self, x: Codes, out: Codes, count: int) -> Requantizer:
        """As `mean` with c = f32(s / s_out); of int16 codes round_half_away(f32(f32(S) · c)), S the
        sum of q − z, as the built-in kernel does.
        """
        scale = np.float32(ratio32(x.scale, out.scale))
        if x.dtype == "int16":
            lo, hi = out.limits
            scales = np.array([scale], np.float32)
            return Requantizer(kind="away32", zero_out=out.zero_point, lo=lo, hi=hi, scale=scales)
        return _affine(x, out, count, scale)

    def batch_fill(self, x: Codes) -> int:
        return x.zero_point

    def interpolation(
        self, length: int, size: int, *, align_corners: bool, half_pixel_centers: bool
    ) -> Interpolation:
        return interpolation_float(
            length, size, align_corners=align_corners, half_pixel_centers=half_pixel_centers
        )

    def average_pool_range(self, out: Codes, activation: Activation) -> tuple[int, int]:
        """Built-in kernel: bounds round half away from zero."""
        return range_half_away(activation, out)

    def max_pool_range(self, out: Codes, activation: Activation) -> tuple[int, int]:
        """XNNPACK: bounds round half to even."""
        return range_half_even(activation, out)

    def softmax(self, x: Codes, out: Codes, beta: float) -> SoftmaxRule | WideSoftmaxRule:
        """Built-in kernel of x86: a float32 table of exp; the output must be 1/256, −128.

        Of 16 bits it must be 2^−16, −32768. From int16 codes another kernel runs.
        """
        if x.dtype == "int16":
            return wide_softmax(x, out, beta, single=False)
        steps, lowest = 1 << (16 if out.dtype == "int16" else 8), out.as_int8.limits[0]
        if abs(out.scale * steps - 1) > 0.001 or out.as_int8.zero_point != lowest:
            raise NoExactRuleError(
                f"output scale {out.scale!r}, zero point {out.as_int8.zero_point} of a SOFTMAX; "
                f"1/{steps} and {lowest} are needed (LiteRT runs no other)"
            )
        if not 0 < np.float32(x.scale) * np.float32(beta) < math.inf:
            raise NoExactRuleError(f"beta {beta!r} of a SOFTMAX; above 0 and finite is needed")
        return SoftmaxRule(
            table=exp_table(x.scale, beta),
            scale_out=out.scale,
            zero_out=out.as_int8.zero_point,
            limits=out.as_int8.limits,
        )

    def l2_normalization(self, x: Codes, out: Codes) -> L2Rule:
        return l2_rule(x, out)

    def log_softmax(self, x: Codes, out: Codes) -> LogSoftmaxRule:
        return log_softmax_rule(x, out)

    def lstm(
        self,
        *,
        x: Codes,
        hidden: Codes,
        weights: Sequence[float],
        cell_power: int,
        cell_clip: float,
    ) -> LstmRule:
        return lstm_rule(
            micro=False,
            x=x,
            hidden=hidden,
            weights=weights,
            cell_power=cell_power,
            cell_clip=cell_clip,
        )

    def svdf(
        self,
        *,
        x: Codes,
        out: Codes,
        feature: float,
        time: float,
        state: float,
        narrow: bool,
        activation: Activation,
    ) -> SvdfRule:
        if narrow:
            raise NoExactRuleError(
                "an int8 state of an SVDF, with which LiteRT writes beyond its memory; int16 is "
                "needed, or profile tflm"
            )
        if activation != "RELU":
            raise NoExactRuleError(
                f"activation {activation} of an SVDF, which LiteRT refuses; RELU is needed, or "
                f"profile tflm"
            )
        return svdf_rule(x=x, out=out, feature=feature, time=time, state=state, narrow=narrow)

    def requantize(self, x: Codes, out: Codes, size: int) -> CodeMap:
        """Within one type an 8-bit multiplier; between int8 and uint8 `halfup`, the last size mod
        16 `double`.
        """
        ratio = ratio32(x.scale, out.scale)
        double = requantizing(x, out, "double")
        if "int16" in (x.dtype, out.dtype):
            return CodeMap(head=double, tail=double)
        if x.dtype != out.dtype:
            if x.as_int8 == out.as_int8:
                copy = INT8_CODES.astype(np.int8)
                return CodeMap(head=copy, tail=copy)
            head = requantizing(x, out, "halfup")
            return CodeMap(head=head, tail=double, head_count=size // 16 * 16)
        if not 2.0**-8 <= ratio <= 2.0**7:
            return CodeMap(head=double, tail=double)
        table = eight_bit_table(ratio, x, out)
        return CodeMap(head=table, tail=table)

    def unary(
        self, function: UnaryFunction, x: Codes, out: Codes, parameter: float = 0.0
    ) -> NDArray[np.signedinteger]:
        if x.dtype == "int16":
            return wide_rule(LITERT_UNARY, function)(x, out, parameter)
        rule = XNNPACK_UNARY.get(function) or UNARY[function]
        return rule(x, out, parameter)

    def binary(
        self, function: BinaryFunction, a: Codes, b: Codes, out: Codes, activation: Activation
    ) -> NDArray[np.int8]:
        rule = xnnpack_mul if function == "mul" else BINARY[function]
        return rule(a, b, out, activation, exact=False)

    def square(self, x: Codes, out: Codes, activation: Activation) -> NDArray[np.int8]:
        """XNNPACK makes a product of a value with itself a float table."""
        if not takes_mul(x, x, out):
            pairs: NDArray[np.int8] = mul_double(x, x, out, activation)
            return pairs.diagonal()
        table = XNNPACK_UNARY["square"](x, out, 0.0)
        return as_table(table.astype(np.int64), *range_half_even(activation, out.as_int8))

    def quantize(self, real: NDArray[np.float32], out: Codes) -> NDArray[np.int64]:
        """rint(f32(x · f32(1 / s))) + z, saturated."""
        if np.isnan(real).any():
            raise ValueError("a value to quantize is NaN; finite or infinite float32 is needed")
        lo, hi = out.limits
        with np.errstate(over="ignore"):
            scaled = np.asarray(real, np.float32) * (np.float32(1) / np.float32(out.scale))
        bounded = np.clip(scaled, np.float32(lo - out.zero_point), np.float32(hi - out.zero_point))
        result: NDArray[np.int64] = np.rint(bounded).astype(np.int64) + out.zero_point
        return result

    def dequantize(self, codes: NDArray[np.integer], x: Codes) -> NDArray[np.float32]:
        steps = codes.astype(np.int64) - x.zero_point
        result: NDArray[np.float32] = steps.astype(np.float32) * np.float32(x.scale)
        return result


def _affine(x: Codes, out: Codes, count: int, scale: np.float32) -> Requantizer:
    """XNNPACK's reductions of `count` raw codes. Source: XNNPACK, qs8 and qu8 rdsum and rsum."""
    offset = np.float32(out.zero_point) - np.float32(count * x.zero_point) * scale
    lo, hi = out.limits
    return Requantizer(
        kind="affine",
        zero_out=0,
        lo=lo,
        hi=hi,
        scale=np.array([scale], np.float32),
        offset=np.array([offset], np.float32),
    )


def _halfup(
    reals: Sequence[float], out: Codes, activation: Activation, by_eights: int
) -> Requantizer:
    """`halfup`; of `by_eights` channels that run by eights the last mod 8 take `double`.

    Their kernel requantises eight channels at a time by vector instructions and the rest one by
    one (measured with LiteRT 2.3 for 1 … 105 channels: 0 other elements).
    """
    head = integer_requantizer("halfup", reals, out, activation)
    whole = by_eights // 8 * 8
    if by_eights == whole:
        return head
    if whole == 0:
        return replace(head, kind="double")
    return replace(head, tail=replace(head, kind="double"), tail_from=whole)
