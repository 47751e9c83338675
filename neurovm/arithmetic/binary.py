# SPDX-License-Identifier: Apache-2.0
"""Functions of two variables on codes by the rules of TFLite's own kernels, as tables.

Every rule gives int8[256, 256], an entry at [a + 128, b + 128], in int8 form (uint8 as code − 128).
`BINARY` holds the rules XNNPACK has no part in; a profile adds its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from neurovm.arithmetic.codes import Activation, Codes, range_half_away
from neurovm.arithmetic.division import quotients
from neurovm.arithmetic.tables import INT8_CODES
from neurovm.arithmetic.unary import as_table, scaled, steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[np.int8]
    IntArray = NDArray[np.int64]


class Rule(Protocol):
    """From the meaning of both inputs' and the output's codes and the activation to a table.

    `exact`: factors of scales are taken in double, as TFLM does, not in float32 as TFLite.
    """

    def __call__(
        self, a: Codes, b: Codes, out: Codes, activation: Activation, *, exact: bool = False
    ) -> Table: ...


BinaryFunction = Literal["div", "maximum", "minimum", "mul", "prelu", "squared_difference"]

_DIFFERENCE_SHIFT = 7


def pairs(a: Codes, b: Codes) -> tuple[IntArray, IntArray]:
    """Code − zero point of every code of a (256, 1) and of b (1, 256)."""
    return steps(a)[:, None], steps(b)[None, :]


def _extreme(choose: Callable[[IntArray, IntArray], IntArray]) -> Rule:
    """The larger or smaller code, whatever the scales say."""

    def rule(
        a: Codes, b: Codes, out: Codes, activation: Activation, *, exact: bool = False
    ) -> Table:
        del a, b, out, activation, exact
        return as_table(choose(INT8_CODES[:, None], INT8_CODES[None, :]))

    return rule


def _factor(x: float, y: float, out: float, exact: bool) -> float:
    """x · y / out."""
    return x * y / out if exact else float(np.float32(x) * np.float32(y) / np.float32(out))


def mul_double(
    a: Codes, b: Codes, out: Codes, activation: Activation, *, exact: bool = False
) -> Table:
    """double((q_a − z_a)(q_b − z_b), s_a · s_b / s_out) + z_out."""
    out = out.as_int8
    left, right = pairs(a, b)
    y = scaled(left * right, _factor(a.scale, b.scale, out.scale, exact)) + out.zero_point
    return as_table(y, *range_half_away(activation, out))


def _squared_difference(
    a: Codes, b: Codes, out: Codes, activation: Activation, *, exact: bool = False
) -> Table:
    """Both inputs · 2^7 to the scale 2 max(s), the square of their difference to s_out.

    Source: tensorflow/lite/kernels/squared_difference.cc.
    """
    del activation, exact
    twice = 2.0 * max(a.scale, b.scale)
    left, right = (
        scaled(x << _DIFFERENCE_SHIFT, c.scale / twice)
        for x, c in zip(pairs(a, b), (a, b), strict=True)
    )
    square = (left - right) ** 2
    real = twice * twice / ((1 << 2 * _DIFFERENCE_SHIFT) * out.scale)
    return as_table(scaled(square, real) + out.as_int8.zero_point)


def _div(a: Codes, b: Codes, out: Codes, activation: Activation, *, exact: bool = False) -> Table:
    """See `division`; where b is 0, which the source ends with an error, the end of the range."""
    out = out.as_int8
    real = a.scale / (b.scale * out.scale)
    if not exact:
        real = float(np.float32(a.scale) / (np.float32(b.scale) * np.float32(out.scale)))
    y = quotients(steps(a), steps(b), real) + out.zero_point
    return as_table(y, *range_half_away(activation, out))


def _prelu(a: Codes, b: Codes, out: Codes, activation: Activation, *, exact: bool = False) -> Table:
    """double(q − z, s / s_out), below 0 double((q − z)(α − z_α), s · s_α / s_out), b being α."""
    del activation
    q, slope = pairs(a, b)
    ratio = _factor(a.scale, 1.0, out.scale, exact)
    product = _factor(a.scale, b.scale, out.scale, exact)
    y = np.where(q >= 0, scaled(q, ratio), scaled(q * slope, product))
    return as_table(y + out.as_int8.zero_point)


BINARY: dict[BinaryFunction, Rule] = {
    "div": _div,
    "maximum": _extreme(np.maximum),
    "minimum": _extreme(np.minimum),
    "mul": mul_double,
    "prelu": _prelu,
    "squared_difference": _squared_difference,
}
"""The rules of LiteRT's built-in kernels."""
