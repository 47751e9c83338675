# SPDX-License-Identifier: Apache-2.0
"""FullyConnected and all convolutions: A = b + Σ w (q − z) in int32, then the profile's
requantiser.

Sums are taken in float64, where they are exact: |Σ| ≤ taps · 255 · 128 stays far below 2^53.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators import Conv2D, DepthwiseConv2D, FullyConnected, TransposeConv
from neurovm.operators.weights import centred, requantizer_of
from neurovm.reference.rules import Call, rule
from neurovm.reference.window import patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Linear = Call[FullyConnected] | Call[Conv2D] | Call[DepthwiseConv2D] | Call[TransposeConv]
    Convolution = Call[Conv2D] | Call[DepthwiseConv2D]


@rule(FullyConnected)
def fully_connected(call: Call[FullyConnected]) -> NDArray[np.generic]:
    weights = _weights(call)
    rows = call.steps(0).reshape(-1, weights.shape[1])
    codes = _requantized(call, rows @ weights.T)
    return codes.reshape(-1, *call.out.shape)


@rule(Conv2D)
def conv_2d(call: Call[Conv2D]) -> NDArray[np.generic]:
    weights = _weights(call)
    images = _images(call)
    outputs, depth = weights.shape[0], weights.shape[3]
    groups = images.shape[3] // depth
    each = outputs // groups
    sums = [
        _sums(
            call,
            images[..., g * depth : (g + 1) * depth],
            weights[g * each : (g + 1) * each],
        )
        for g in range(groups)
    ]
    codes = _requantized(call, np.concatenate(sums, axis=-1))
    return codes.reshape(-1, *call.out.shape)


@rule(DepthwiseConv2D)
def depthwise_conv_2d(call: Call[DepthwiseConv2D]) -> NDArray[np.generic]:
    weights = _weights(call)[0]
    images = _images(call)
    channels = images.shape[3]
    taps = weights.reshape(*weights.shape[:2], channels, -1)
    total = np.zeros((len(images), *call.out.shape[1:3], *taps.shape[2:]), np.float64)
    for (i, j), patch in _taps(call, images, weights.shape[:2]):
        total += patch[..., None] * taps[i, j]
    codes = _requantized(call, total.reshape(*total.shape[:3], -1))
    return codes.reshape(-1, *call.out.shape)


@rule(TransposeConv)
def transpose_conv(call: Call[TransposeConv]) -> NDArray[np.generic]:
    """Each input pixel times the weights, added where it falls on the output."""
    weights = _weights(call)
    images = call.steps(0).reshape(-1, *call.tensor(0).shape[1:])
    height, width = images.shape[1:3]
    (down, across), (top, left) = call.operator.stride, call.operator.before(call.tensors)
    rows, columns = weights.shape[1:3]
    whole = (down * (height - 1) + rows, across * (width - 1) + columns)
    reach = [max(n, m + b) for n, m, b in zip(whole, call.out.shape[1:3], (top, left), strict=True)]
    total = np.zeros((len(images), *reach, weights.shape[0]), np.float64)
    for i in range(rows):
        for j in range(columns):
            last = (i + down * (height - 1) + 1, j + across * (width - 1) + 1)
            total[:, i : last[0] : down, j : last[1] : across] += images @ weights[:, i, j].T
    size = call.out.shape[1:3]
    codes = _requantized(call, total[:, top : top + size[0], left : left + size[1]])
    return codes.reshape(-1, *call.out.shape)


def _images(call: Convolution) -> NDArray[np.float64]:
    """Q − z with the samples in the batch axis; 0 is then what padding reads."""
    return call.steps(0).reshape(-1, *call.tensor(0).shape[1:])


def _weights(call: Linear) -> NDArray[np.float64]:
    return centred(call.tensor(1)).astype(np.float64)


def _taps(
    call: Convolution,
    images: NDArray[np.float64],
    kernel: tuple[int, ...],
) -> Iterator[tuple[tuple[int, int], NDArray[np.float64]]]:
    operator = call.operator
    return patches(
        images, kernel, operator.stride, operator.padding, dilation=operator.dilation, fill=0.0
    )


def _sums(
    call: Call[Conv2D], images: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Σ w (q − z) of every window: one row a window, taps first, channels last."""
    taps = list(_taps(call, images, weights.shape[1:3]))
    if not taps:  # every window lies in the padding
        return np.zeros((len(images), *call.out.shape[1:3], len(weights)), np.float64)
    rows = np.concatenate([patch for _, patch in taps], axis=-1)
    columns = np.concatenate([weights[:, i, j] for (i, j), _ in taps], axis=-1)
    result: NDArray[np.float64] = rows @ columns.T
    return result


def _requantized(call: Linear, sums: NDArray[np.float64]) -> NDArray[np.int64]:
    acc = sums.astype(np.int64)
    if len(call.values) > 2 and call.values[2] is not None:
        acc += call.codes(2)[0].reshape(-1)
    requantizer = requantizer_of(call.operator, call.profile, call.tensors, call.out.codes)
    return requantizer.codes(acc)
