# SPDX-License-Identifier: Apache-2.0
"""Softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurovm.operators import Softmax
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@rule(Softmax)
def softmax(call: Call[Softmax]) -> NDArray[np.generic]:
    softmax_rule = call.profile.softmax(call.meaning(0), call.out.codes, call.operator.beta)
    return call.out_codes(softmax_rule.codes(call.int8(0)))
