# SPDX-License-Identifier: Apache-2.0
"""AveragePool2D, MaxPool2D."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators import AveragePool2D, MaxPool2D
from neurovm.reference.rules import Call, rule
from neurovm.reference.window import patches

if TYPE_CHECKING:
    from numpy.typing import NDArray


@rule(AveragePool2D)
def average_pool_2d(call: Call[AveragePool2D]) -> NDArray[np.generic]:
    """S > 0 ? (S + n/2) / n : (S − n/2) / n with C division, S over the n valid codes.

    Source: tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h.
    """
    images = call.codes(0).reshape(-1, *call.tensor(0).shape[1:])
    total = _sum_of_taps(call, images)
    count = _sum_of_taps(call, np.ones((1, *images.shape[1:]), np.int64))
    mean = np.sign(total) * ((np.abs(total) + count // 2) // count)
    if call.out.dtype == "uint8":
        mean = (total + count // 2) // count
    codes = np.clip(
        mean, *call.profile.average_pool_range(call.out.codes, call.operator.activation)
    )
    result: NDArray[np.generic] = codes.reshape(-1, *call.out.shape)
    return result


def _sum_of_taps(call: Call[AveragePool2D], images: NDArray[np.int64]) -> NDArray[np.int64]:
    operator = call.operator
    taps = patches(images, operator.window, operator.stride, operator.padding, fill=0)
    return sum((patch for _, patch in taps), np.int64(0))


@rule(MaxPool2D)
def max_pool_2d(call: Call[MaxPool2D]) -> NDArray[np.generic]:
    """The largest valid code; no padding can exceed it."""
    operator = call.operator
    images = call.codes(0).reshape(-1, *call.tensor(0).shape[1:])
    lowest = call.out.codes.limits[0]
    taps = patches(images, operator.window, operator.stride, operator.padding, fill=lowest)
    largest = np.maximum.reduce([patch for _, patch in taps])
    codes = np.clip(largest, *call.profile.max_pool_range(call.out.codes, operator.activation))
    result: NDArray[np.generic] = codes.reshape(-1, *call.out.shape)
    return result
