# SPDX-License-Identifier: Apache-2.0
"""Functions of one variable: the profile's table, looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurovm.operators.base import REGISTRY
from neurovm.operators.unary import Unary
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def unary(call: Call[Unary]) -> NDArray[np.generic]:
    function, parameter = call.operator.rule
    table = call.profile.unary(function, call.meaning(0), call.out.codes, parameter)
    return call.out_codes(table[call.int8(0) + len(table) // 2])


for kind in REGISTRY.values():
    if issubclass(kind, Unary):
        rule(kind)(unary)
