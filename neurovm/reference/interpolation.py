# SPDX-License-Identifier: Apache-2.0
"""ResizeBilinear: along the columns, then along the rows, rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators import ResizeBilinear
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    from numpy.typing import NDArray


@rule(ResizeBilinear)
def resize_bilinear(call: Call[ResizeBilinear]) -> NDArray[np.generic]:
    rows, columns = call.operator.axes(call.profile, call.tensors)
    x = call.int8(0)
    left, right = x[:, :, :, columns.lower], x[:, :, :, columns.upper]
    across = columns.weight[:, None]
    line = (left << columns.bits) + (right - left) * across
    top, bottom = line[:, :, rows.lower], line[:, :, rows.upper]
    total = (top << rows.bits) + (bottom - top) * rows.weight[:, None, None]
    bits = rows.bits + columns.bits
    away = (total < 0) if rows.half_away else np.int64(0)
    return call.out_codes((total + (1 << bits - 1) - away) >> bits)
