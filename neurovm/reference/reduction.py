# SPDX-License-Identifier: Apache-2.0
"""Mean, Sum, ReduceMax, ReduceMin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators import Mean, ReduceMax, ReduceMin, Sum
from neurovm.operators.reduction import Reduction, Summation
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _axes(call: Call[Reduction]) -> tuple[int, ...]:
    return tuple(a + 1 for a in call.operator.axes)


def _shaped(call: Call[Reduction], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    return codes.reshape(-1, *call.out.shape)


def summation(call: Call[Summation]) -> NDArray[np.generic]:
    """The requantised sum of the raw codes."""
    shape = call.tensor(0).shape
    count = int(np.prod([shape[a] for a in call.operator.axes], dtype=np.int64))
    total = call.codes(0).sum(axis=_axes(call))
    requantizer = call.operator.requantizer(call.profile, call.meaning(0), call.out.codes, count)
    if requantizer.kind != "affine":
        total = total - count * call.meaning(0).zero_point
    return _shaped(call, requantizer.codes(total))


rule(Mean)(summation)
rule(Sum)(summation)


@rule(ReduceMax)
def reduce_max(call: Call[ReduceMax]) -> NDArray[np.generic]:
    return _shaped(call, call.codes(0).max(axis=_axes(call)))


@rule(ReduceMin)
def reduce_min(call: Call[ReduceMin]) -> NDArray[np.generic]:
    return _shaped(call, call.codes(0).min(axis=_axes(call)))
