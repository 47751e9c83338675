# SPDX-License-Identifier: Apache-2.0
"""Profile `tflm`: TensorFlow Lite for Microcontrollers with its reference kernels.

gemmlowp's double rounding throughout. What TFLM itself refuses is refused here too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.arithmetic.binary import BINARY, BinaryFunction, mul_double
from neurovm.arithmetic.codes import Activation, Codes, range_half_away
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.exponential import fixed_exponentials, fixed_logistic, fixed_tanh
from neurovm.arithmetic.fixed_point import round_half_away
from neurovm.arithmetic.gates import LstmRule, SvdfRule, lstm_rule, svdf_rule
from neurovm.arithmetic.integer_rules import (
    add_double,
    integer_requantizer,
    matmul_double,
    mean_double,
    requantizing,
    sum_double,
    weight_multipliers,
)
from neurovm.arithmetic.interpolation import Interpolation, interpolation_integer
from neurovm.arithmetic.profiles import InputRounding, LinearOperator
from neurovm.arithmetic.requantizers import Requantizer
from neurovm.arithmetic.row_rules import (
    FixedLogSoftmaxRule,
    L2Rule,
    fixed_log_softmax_rule,
    l2_rule,
)
from neurovm.arithmetic.rules import AddRule, CodeMap, FixedSoftmaxRule
from neurovm.arithmetic.tables import INT8_CODES, unary_table_half_away
from neurovm.arithmetic.unary import (
    UNARY,
    Rule,
    UnaryFunction,
    as_table,
    leaky_relu_double,
    scaled,
    steps,
)
from neurovm.arithmetic.wide import TFLM_REFUSED, TFLM_RULES, wide_requantizer
from neurovm.arithmetic.wide_pairs import (
    WideAddRule,
    WideSoftmaxRule,
    product,
    wide_add,
    wide_softmax,
)
from neurovm.arithmetic.wide_unary import TFLM_WIDE_UNARY, wide_rule
from neurovm.arithmetic.xnnpack_unary import elu

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _fixed(f: Callable[[Codes], NDArray[np.int64]]) -> Rule:
    """A rule in fixed point that makes codes of one quantisation, whatever the output's says."""
    return lambda x, _out, _: as_table(f(x))


def _relu(x: Codes, out: Codes, _: float) -> NDArray[np.int8]:
    """double(q − z, s / s_out) + z_out, from the code of 0 on."""
    y = scaled(steps(x), x.scale / out.scale) + out.as_int8.zero_point
    return as_table(y, *range_half_away("RELU", out.as_int8))


def _abs(x: Codes, out: Codes, _: float) -> NDArray[np.int8]:
    """double(|q − z|, s / s_out) + z_out; |q − z| + z_out where the scales agree."""
    y = np.abs(steps(x))
    if x.scale != out.scale:
        y = scaled(y, x.scale / out.scale)
    return as_table(y + out.as_int8.zero_point)


def _relu6(x: Codes, _out: Codes, _: float) -> NDArray[np.int8]:
    """Codes between those of 0 and 6 of the input; the output's quantisation is not looked at."""
    return as_table(INT8_CODES, *range_half_away("RELU6", x.as_int8))


def _logistic(x: Codes, out: Codes, _: float) -> NDArray[np.int8]:
    """In fixed point, from the lowest code on."""
    if out.as_int8.zero_point != -128:
        raise NoExactRuleError(
            f"output zero point {out.as_int8.zero_point} of a LOGISTIC; -128 is needed (TFLM runs "
            f"no other)"
        )
    return as_table(fixed_logistic(x))


TFLM_UNARY: dict[UnaryFunction, Rule] = {
    "abs": _abs,
    "elu": lambda x, out, _: unary_table_half_away(elu, x, out),
    "hard_swish": UNARY["hard_swish"],
    "leaky_relu": leaky_relu_double,
    "logistic": _logistic,
    "relu": _relu,
    "relu6": _relu6,
    "rsqrt": UNARY["rsqrt"],
    "tanh": _fixed(fixed_tanh),
}


class Tflm:
    """See `Profile` for what each method answers."""

    name: ClassVar[str] = "tflm"
    input_rounding: ClassVar[InputRounding] = "away_divide"
    checks_bias_axis: ClassVar[bool] = False
    saturates: ClassVar[bool] = False
    needs_bias: ClassVar[frozenset[str]] = frozenset()
    refused: ClassVar[frozenset[str]] = frozenset(UNARY) - frozenset(TFLM_UNARY)

    def refusal(self, operator: str, dtypes: Collection[str]) -> str:
        """Codes of uint8 are only given another type, or shape."""
        if "int16" in dtypes and operator in TFLM_REFUSED:
            return "TFLM does not run it on int16; the operator in int8 is needed"
        converts = operator == "QUANTIZE" and "int8" in dtypes
        if "uint8" not in dtypes or operator in ("DEQUANTIZE", "RESHAPE") or converts:
            return ""
        return "TFLM does not run it on uint8"

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
        """`double` with double(s_in) · double(s_w) / double(s_out), whatever the operator."""
        del weight_bits, inputs, outputs, fixed
        if out.dtype == "uint8":
            raise NoExactRuleError("uint8 weights and activations; TFLM runs int8 only")
        if out.dtype == "int16":
            scales = scale_in, scale_weights
            return wide_requantizer(TFLM_RULES, operator, bias, *scales, out, activation)
        reals = weight_multipliers(operator, scale_in, scale_weights, out, exact=True)
        return integer_requantizer("double", reals, out, activation)

    def add(
        self, a: Codes, b: Codes, out: Codes, activation: Activation, *, subtract: bool = False
    ) -> AddRule:
        return add_double(a, b, out, activation, -1 if subtract else 1)

    def matmul(self, a: Codes, b: Codes, out: Codes) -> Requantizer:
        return matmul_double(a, b, out)

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
        del size, powers
        return wide_add(a, b, out, activation, sign=-1 if subtract else 1)

    def product(self, a: Codes, b: Codes, out: Codes, activation: Activation) -> Requantizer:
        return product(a, b, out, activation, exact=True)

    def mean(self, x: Codes, out: Codes, count: int) -> Requantizer:
        _refuse_uint8_sums(x)
        return mean_double(x, out, count)

    def sum(self, x: Codes, out: Codes, count: int) -> Requantizer:
        del count
        _refuse_uint8_sums(x)
        return sum_double(x, out)

    def batch_fill(self, x: Codes) -> int:
        """The code 0, whatever the zero point."""
        del x
        return 0

    def interpolation(
        self, length: int, size: int, *, align_corners: bool, half_pixel_centers: bool
    ) -> Interpolation:
        return interpolation_integer(
            length, size, align_corners=align_corners, half_pixel_centers=half_pixel_centers
        )

    def average_pool_range(self, out: Codes, activation: Activation) -> tuple[int, int]:
        return range_half_away(activation, out)

    def max_pool_range(self, out: Codes, activation: Activation) -> tuple[int, int]:
        return range_half_away(activation, out)

    def softmax(self, x: Codes, out: Codes, beta: float) -> FixedSoftmaxRule | WideSoftmaxRule:
        """gemmlowp's: exponentials in Q5.26, their sum in Q12.19, a reciprocal by Newton.

        From int16 codes another kernel runs.
        """
        if x.dtype == "int16":
            return wide_softmax(x, out, beta, single=True)
        bits, lowest = (16 if out.dtype == "int16" else 8), out.as_int8.limits[0]
        if out.scale != 2.0**-bits or out.as_int8.zero_point != lowest:
            raise NoExactRuleError(
                f"output scale {out.scale!r}, zero point {out.as_int8.zero_point} of a SOFTMAX; "
                f"1/{1 << bits} and {lowest} are needed"
            )
        table = fixed_exponentials(x.scale, beta)
        return FixedSoftmaxRule(table=table, zero_out=lowest, bits=bits)

    def l2_normalization(self, x: Codes, out: Codes) -> L2Rule:
        return l2_rule(x, out)

    def log_softmax(self, x: Codes, out: Codes) -> FixedLogSoftmaxRule:
        """gemmlowp's: exponentials in Q5.26, their sum in Q12.19, a logarithm of its own."""
        return fixed_log_softmax_rule(x, out)

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
            micro=True,
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
        del activation  # TFLM computes the same whatever it is
        return svdf_rule(x=x, out=out, feature=feature, time=time, state=state, narrow=narrow)

    def requantize(self, x: Codes, out: Codes, size: int) -> CodeMap:
        """`double` with double(s) / double(s_out)."""
        del size
        table = requantizing(x, out, "double")
        return CodeMap(head=table, tail=table)

    def unary(
        self, function: UnaryFunction, x: Codes, out: Codes, parameter: float = 0.0
    ) -> NDArray[np.signedinteger]:
        if x.dtype == "int16":
            return wide_rule(TFLM_WIDE_UNARY, function)(x, out, parameter)
        rule = TFLM_UNARY.get(function)
        if rule is None:
            raise NoExactRuleError("TFLM does not run it on int8")
        return rule(x, out, parameter)

    def binary(
        self, function: BinaryFunction, a: Codes, b: Codes, out: Codes, activation: Activation
    ) -> NDArray[np.int8]:
        return BINARY[function](a, b, out, activation, exact=True)

    def square(self, x: Codes, out: Codes, activation: Activation) -> NDArray[np.int8]:
        pairs: NDArray[np.int8] = mul_double(x, x, out, activation, exact=True)
        return pairs.diagonal()

    def quantize(self, real: NDArray[np.float32], out: Codes) -> NDArray[np.int64]:
        """round_half_away(f32(x / s)) + z, saturated."""
        if np.isnan(real).any():
            raise ValueError("a value to quantize is NaN; finite or infinite float32 is needed")
        lo, hi = out.limits
        with np.errstate(over="ignore"):
            steps = np.asarray(real, np.float32) / np.float32(out.scale)
        bounded = np.clip(steps, np.float32(lo - out.zero_point), np.float32(hi - out.zero_point))
        return round_half_away(bounded) + out.zero_point

    def dequantize(self, codes: NDArray[np.integer], x: Codes) -> NDArray[np.float32]:
        steps = codes.astype(np.int64) - x.zero_point
        result: NDArray[np.float32] = steps.astype(np.float32) * np.float32(x.scale)
        return result


def _refuse_uint8_sums(x: Codes) -> None:
    """TensorFlow Lite Micro has no kernel that sums them."""
    if x.dtype == "uint8":
        raise NoExactRuleError(
            "TensorFlow Lite Micro has no kernel for sums of uint8 codes; profile xnnpack, or the "
            "operator in int8, is needed"
        )
