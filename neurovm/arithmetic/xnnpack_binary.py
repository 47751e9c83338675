# SPDX-License-Identifier: Apache-2.0
"""MUL as XNNPACK computes it on x86."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic.binary import mul_double, pairs
from neurovm.arithmetic.codes import Activation, Codes, range_half_even
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.unary import as_table

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _factor(a: Codes, b: Codes, out: Codes) -> np.float32:
    product: np.float32 = np.float32(a.scale) * np.float32(b.scale)
    factor: np.float32 = product / np.float32(out.scale)
    return factor


def takes_mul(a: Codes, b: Codes, out: Codes) -> bool:
    """Whether XNNPACK takes a product of these scales; NoExactRuleError where LiteRT overflows."""
    factor = _factor(a, b, out)
    if not factor < 256:
        raise NoExactRuleError(
            f"product of the input scales / output scale of a MUL is {float(factor)!r}; "
            f"LiteRT's own arithmetic overflows from 256 on"
        )
    return bool(factor >= 2.0**-16)


def xnnpack_mul(
    a: Codes, b: Codes, out: Codes, activation: Activation, *, exact: bool = False
) -> NDArray[np.int8]:
    """rint(f32((q_a − z_a)(q_b − z_b) · f32(f32(s_a · s_b) / s_out))) + z_out.

    Source: XNNPACK, qs8 vmul with "fp32" requantisation.
    """
    if not takes_mul(a, b, out):
        return mul_double(a, b, out, activation, exact=exact)
    left, right = pairs(a, b)
    y = np.rint((left * right).astype(np.float32) * _factor(a, b, out)).astype(np.int64)
    out = out.as_int8
    return as_table(y + out.zero_point, *range_half_even(activation, out))
