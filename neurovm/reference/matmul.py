# SPDX-License-Identifier: Apache-2.0
"""BatchMatMul."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators import BatchMatMul
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    from numpy.typing import NDArray


@rule(BatchMatMul)
def batch_matmul(call: Call[BatchMatMul]) -> NDArray[np.generic]:
    """Sums of products in float64, which holds them exactly below 2^53."""
    operator, rank = call.operator, len(call.out.shape)
    factors = []
    for port, turned in ((0, operator.adjoint_a), (1, operator.adjoint_b)):
        x = call.steps(port)
        x = np.swapaxes(x, -1, -2) if turned else x
        factors.append(x.reshape(len(x), *(1,) * (rank + 1 - x.ndim), *x.shape[1:]))
    sums = np.matmul(*factors).astype(np.int64)
    requantizer = call.profile.matmul(call.meaning(0), call.meaning(1), call.out.codes)
    return requantizer.codes(sums)
