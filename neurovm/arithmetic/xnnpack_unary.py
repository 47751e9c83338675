# SPDX-License-Identifier: Apache-2.0
"""Functions of one variable as XNNPACK makes them: a float table, or an 8-bit multiplier."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic.codes import Codes, ratio32
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.tables import unary_table_half_even
from neurovm.arithmetic.unary import Rule, UnaryFunction, as_table, leaky_relu_double, steps

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _half_even(f: Callable[[float], float]) -> Rule:
    return lambda x, out, _: unary_table_half_even(f, x, out)


def logistic(v: float) -> float:
    e = math.exp(min(v, 700.0))
    return e / (1 + e)


def elu(v: float) -> float:
    return v if v >= 0 else math.expm1(v)


def _leaky_relu(x: Codes, out: Codes, alpha: float) -> NDArray[np.int8]:
    """((q − z) · m + 128 >> 8) + z_out, m = rint(256 · s / s_out), below 0 rint(256 · α s / s_out).

    Outside the range of these multipliers the built-in kernel runs. Source: XNNPACK, qs8 vlrelu,
    and xnnpack_delegate.cc (VisitLeakyReluNode).
    """
    if not math.isfinite(alpha):
        raise NoExactRuleError(f"alpha {alpha!r} of a LEAKY_RELU; a finite one is needed")
    ratio = np.float32(ratio32(x.scale, out.scale))
    negative = ratio * np.float32(alpha)
    fits = 2.0**-8 <= ratio <= 2.0**7 and -127.99609375 <= negative <= 2.0**7
    if not fits or abs(negative) < 2.0**-8:
        return leaky_relu_double(x, out, alpha)
    q = steps(x)
    m = np.where(
        q >= 0, *(np.rint(np.float32(256) * r).astype(np.int64) for r in (ratio, negative))
    )
    return as_table(((q * m + 128) >> 8) + out.as_int8.zero_point)


XNNPACK_UNARY: dict[UnaryFunction, Rule] = {
    "elu": _half_even(elu),
    "leaky_relu": _leaky_relu,
    "logistic": _half_even(logistic),
    "square": _half_even(lambda v: v * v),
    "tanh": _half_even(math.tanh),
}
"""What XNNPACK takes; "square" is what it makes of a product of a value with itself."""
