# SPDX-License-Identifier: Apache-2.0
"""Operators of two inputs, element by element: Add, Sub, and those by a table of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators import Add, Sub
from neurovm.operators.base import REGISTRY
from neurovm.operators.elementwise import Binary
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    from numpy.typing import NDArray


def total(call: Call[Add] | Call[Sub]) -> NDArray[np.generic]:
    if call.out.dtype == "int16":
        wide = call.operator.wide_rule(call.profile, call.tensors)
        return wide.codes(*_aligned(call))
    addition = call.profile.add(
        call.meaning(0),
        call.meaning(1),
        call.out.codes.as_int8,
        call.operator.activation,
        subtract=call.operator.subtract,
    )
    return call.out_codes(addition.codes(*_aligned(call)))


def look_up(call: Call[Binary]) -> NDArray[np.generic]:
    if call.out.dtype == "int16":
        return _of_pairs(call)
    table = call.operator.table(call.profile, call.tensors)
    a, b = _aligned(call)
    return call.out_codes(table[a + 128] if table.ndim == 1 else table[a + 128, b + 128])


def _of_pairs(call: Call[Binary]) -> NDArray[np.generic]:
    """Functions of two int16 codes."""
    a, b = _aligned(call)
    if call.operator.function == "mul":
        return call.operator.product(call.profile, call.tensors).codes(a * b)
    return np.maximum(a, b) if call.operator.function == "maximum" else np.minimum(a, b)


def _aligned(
    call: Call[Add] | Call[Sub] | Call[Binary],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both inputs in int8 form, with the output's number of axes after the sample axis."""
    rank = len(call.out.shape)

    def aligned(port: int) -> NDArray[np.int64]:
        x = call.int8(port)
        return x.reshape(len(x), *(1,) * (rank + 1 - x.ndim), *x.shape[1:])

    return aligned(0), aligned(1)


rule(Add)(total)
rule(Sub)(total)
for kind in REGISTRY.values():
    if issubclass(kind, Binary):
        rule(kind)(look_up)
