# SPDX-License-Identifier: Apache-2.0
"""Softmax, LogSoftmax, L2Normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurovm.operators import L2Normalization, LogSoftmax, Softmax
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@rule(Softmax)
def softmax(call: Call[Softmax]) -> NDArray[np.generic]:
    softmax_rule = call.profile.softmax(call.meaning(0), call.out.codes, call.operator.beta)
    return call.out_codes(softmax_rule.codes(call.int8(0)))


@rule(LogSoftmax)
def log_softmax(call: Call[LogSoftmax]) -> NDArray[np.generic]:
    found = call.profile.log_softmax(call.meaning(0), call.out.codes)
    return call.out_codes(found.codes(call.int8(0)))


@rule(L2Normalization)
def l2_normalization(call: Call[L2Normalization]) -> NDArray[np.generic]:
    found = call.profile.l2_normalization(call.meaning(0), call.out.codes)
    return call.out_codes(found.codes(call.int8(0)))
