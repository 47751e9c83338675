# SPDX-License-Identifier: Apache-2.0
"""Pad, Reshape: codes move, nothing is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators import Pad, Reshape
from neurovm.reference.rules import Call, rule

if TYPE_CHECKING:
    from numpy.typing import NDArray


@rule(Pad)
def pad(call: Call[Pad]) -> NDArray[np.generic]:
    """Around the codes stands the code of 0.0."""
    margins = [(0, 0), *zip(call.operator.before, call.operator.after, strict=True)]
    return np.pad(call.codes(0), margins, constant_values=call.out.codes.zero_point)


@rule(Reshape)
def reshape(call: Call[Reshape]) -> NDArray[np.generic]:
    return call.value(0).reshape(-1, *call.out.shape)
