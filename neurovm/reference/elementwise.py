# SPDX-License-Identifier: Apache-2.0
"""Add."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurovm.operators import Add
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@rule(Add)
def add(call: Call[Add]) -> NDArray[np.generic]:
    rank = len(call.out.shape)
    a, b = (_aligned(call.codes(i), rank) for i in (0, 1))
    addition = call.profile.add(
        call.meaning(0), call.meaning(1), call.out.codes, call.operator.activation
    )
    return addition.codes(a, b)


def _aligned(codes: NDArray[np.int64], rank: int) -> NDArray[np.int64]:
    """The same codes with `rank` axes after the sample axis, for broadcasting."""
    shape = codes.shape[1:]
    return codes.reshape(codes.shape[0], *(1,) * (rank - len(shape)), *shape)
