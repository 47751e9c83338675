# SPDX-License-Identifier: Apache-2.0
"""int16 codes with int8 weights: which rule an operator's sums take, by the type of its bias.

With an int64 bias sums are int64 and the multiplier is rounded to 15 bits, or (LiteRT's
FULLY_CONNECTED) the product is taken in double and rounded half away from zero. With an int32 bias
they are int32 and wrap. Each entry was measured against the runtime itself; what is missing it
refuses, or answers from memory that is not its own. Sources: tensorflow/lite/kernels/internal/
common.cc (MultiplyByQuantizedMultiplier of int64), kernels/{conv,depthwise_conv,
fully_connected}.cc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurovm.arithmetic.codes import Activation, Codes, range_half_away
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.integer_rules import integer_requantizer, weight_multipliers
from neurovm.arithmetic.requantizers import Kind, Requantizer

if TYPE_CHECKING:
    from neurovm.arithmetic.profiles import LinearOperator


class WideRule(NamedTuple):
    """A requantiser, and whether the sums before it are int64. exact: the product of the scales is
    taken in double also where an operator has one weight scale.
    """

    kind: Kind
    long: bool
    exact: bool = False


WideRules = Mapping[tuple["LinearOperator", str], WideRule]
"""Operator and element type of its bias → rule; `ABSENT` where it has none, `none:int64` where the
operator then still says of which type it would be.
"""
ABSENT = "none"

_HALF16, _AWAY64 = (
    WideRule("half16", long=True, exact=True),
    WideRule("away64", long=True, exact=True),
)
_HALFUP, _DOUBLE = WideRule("halfup", long=False), WideRule("double", long=False, exact=True)

LITERT_RULES: WideRules = {
    ("CONV_2D", "int64"): _HALF16,
    ("DEPTHWISE_CONV_2D", "int64"): _HALF16,
    ("TRANSPOSE_CONV", "int64"): _HALF16,
    ("TRANSPOSE_CONV", ABSENT): _HALF16,
    ("FULLY_CONNECTED", "int64"): _AWAY64,
    ("FULLY_CONNECTED", "int32"): _HALFUP,
    ("FULLY_CONNECTED", ABSENT): _HALFUP,
    ("FULLY_CONNECTED", f"{ABSENT}:int64"): _AWAY64,
}
TFLM_RULES: WideRules = {
    ("CONV_2D", "int64"): _HALF16,
    ("CONV_2D", "int32"): _DOUBLE,
    ("CONV_2D", ABSENT): _HALF16,
    ("DEPTHWISE_CONV_2D", "int64"): _HALF16,
    ("TRANSPOSE_CONV", "int64"): _HALF16,
    ("TRANSPOSE_CONV", ABSENT): _HALF16,
    ("FULLY_CONNECTED", "int64"): _HALF16,
    ("FULLY_CONNECTED", "int32"): _DOUBLE,
    ("FULLY_CONNECTED", ABSENT): _HALF16,
    ("FULLY_CONNECTED", f"{ABSENT}:int32"): _DOUBLE,
}


LITERT_REFUSED = frozenset({"DEPTH_TO_SPACE", "SPACE_TO_DEPTH"})
TFLM_REFUSED = LITERT_REFUSED | {
    "BATCH_TO_SPACE_ND", "GATHER", "GATHER_ND", "MIRROR_PAD", "NEG", "REDUCE_MAX", "REDUCE_MIN",
    "RESIZE_BILINEAR", "SPACE_TO_BATCH_ND", "TILE",
}  # fmt: skip
"""Operators that a runtime does not run on int16 codes, though on int8 it may."""


def wide_requantizer(
    rules: WideRules,
    operator: LinearOperator,
    bias: str,
    scale_in: float,
    scale_weights: Sequence[float],
    out: Codes,
    activation: Activation,
) -> Requantizer:
    """The requantiser of an operator with int16 codes; a weight scale for each channel, or one.

    Raises NoExactRuleError where the runtime has no answer for this type of bias.
    """
    present = bias.split(":", maxsplit=1)[0]
    rule = rules.get((operator, bias)) or rules.get((operator, present))
    if rule is None:
        known = " or ".join(b for o, b in rules if o == operator and ":" not in b)
        raise NoExactRuleError(
            f"int16 activations and a bias of type {present}; the runtime answers with {known}"
        )
    reals = weight_multipliers(operator, scale_in, scale_weights, out, exact=rule.exact)
    if rule.kind == "away64":
        lo, hi = range_half_away(activation, out)
        scales = np.array(reals, np.float64)
        return Requantizer(
            kind="away64", zero_out=out.zero_point, lo=lo, hi=hi, scale=scales, long=True
        )
    return integer_requantizer(rule.kind, reals, out, activation, long=rule.long)
