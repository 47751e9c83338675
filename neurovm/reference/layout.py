# SPDX-License-Identifier: Apache-2.0
"""Codes that move, or stay and only change their shape: nothing is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators import ExpandDims, Movement, Operator, ReadVariable, Reshape, Squeeze
from neurovm.operators.base import REGISTRY
from neurovm.reference.rules import RULES, Call, Result, rule

if TYPE_CHECKING:
    from numpy.typing import NDArray


def reshape(call: Call[Operator]) -> NDArray[np.generic]:
    """The same values under the output's shape."""
    return call.value(0).reshape(-1, *call.out.shape)


def move(call: Call[Movement]) -> Result:
    """Every output takes the codes its sources name; −1 is the fill code."""
    operator = call.operator
    values = [call.value(operator.inputs.index(i)) for i in operator.data_inputs]
    count = max(len(v) for v in values)
    rows = [np.broadcast_to(v, (count, *v.shape[1:])).reshape(count, -1) for v in values]
    codes = np.concatenate(rows, axis=1)
    results = []
    for index in operator.sources(call.tensors):
        taken = codes[:, np.maximum(index, 0).reshape(-1)].reshape(count, *index.shape)
        if (index < 0).any():
            fill = operator.fill(call.tensors, call.profile) + (
                128 if codes.dtype == np.uint8 else 0
            )
            taken = np.where(index < 0, np.asarray(fill, codes.dtype), taken)
        results.append(taken)
    return tuple(results)


RULES.update(dict.fromkeys((ExpandDims, ReadVariable, Reshape, Squeeze), reshape))
for kind in REGISTRY.values():
    if issubclass(kind, Movement):
        rule(kind)(move)
