# SPDX-License-Identifier: Apache-2.0
"""Quantize, Dequantize."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic import Codes
from neurovm.operators import Dequantize, Quantize
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    from numpy.typing import NDArray


@rule(Quantize)
def quantize(call: Call[Quantize]) -> NDArray[np.generic]:
    """From float32 by the profile's input rounding, from codes by its code map."""
    x = call.value(0)
    if call.tensor(0).dtype == "float32":
        return call.profile.quantize(x.astype(np.float32), call.out.codes)
    source, target = call.meaning(0), call.out.codes
    rows = (call.codes(0) - _above_int8(source)).reshape(x.shape[0], -1)
    mapping = call.profile.requantize(source, target, rows.shape[1])
    return (mapping.codes(rows) + _above_int8(target)).reshape(x.shape)


@rule(Dequantize)
def dequantize(call: Call[Dequantize]) -> NDArray[np.generic]:
    return call.profile.dequantize(call.codes(0), call.meaning(0))


def _above_int8(x: Codes) -> int:
    """What uint8 codes stand above their int8 form."""
    return 128 if x.dtype == "uint8" else 0
