# SPDX-License-Identifier: Apache-2.0
"""Weighted sums of layers of a program, densely: Σ w v without bias, in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.operators.builder import Layer


def sums(
    layer: Layer, values: NDArray[np.integer], weights: NDArray[np.generic] | None = None
) -> NDArray[np.int64]:
    """Σ w v of every neuron of a DENSE, CONV or DWCONV layer, (N, n), for values (N, inputs).

    `weights` in place of the layer's own. |Σ| must stay below 2^53; taps outside add nothing.
    """
    taken = np.asarray(layer.weights if weights is None else weights, np.float64)
    given = values.astype(np.float64)
    total = given @ taken if layer.window is None else _windows(layer, given, taken)
    whole: NDArray[np.int64] = total.astype(np.int64)
    return whole.reshape(len(values), -1)


def _windows(
    layer: Layer, given: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Σ w s of every window, (N, out H, out W, out C)."""
    w = layer.window
    if w is None:
        raise ValueError("a layer with a window is needed")
    images = given.reshape(len(given), *w.in_shape)
    rows = np.arange(w.out_shape[0]) * w.stride[0] - w.before[0]
    columns = np.arange(w.out_shape[1]) * w.stride[1] - w.before[1]
    total = np.zeros((len(given), *w.out_shape))
    for i in range(w.kernel[0]):
        for j in range(w.kernel[1]):
            y, x = rows + i * w.dilation[0], columns + j * w.dilation[1]
            inside = np.ix_((y >= 0) & (y < w.in_shape[0]), (x >= 0) & (x < w.in_shape[1]))
            patch = np.zeros((len(given), *w.out_shape[:2], w.in_shape[2]))
            read = images[:, np.clip(y, 0, w.in_shape[0] - 1)][
                :, :, np.clip(x, 0, w.in_shape[1] - 1)
            ]
            patch[:, inside[0], inside[1]] = read[:, inside[0], inside[1]]
            total += _tap(layer, patch, weights.reshape(*w.kernel, -1, w.out_shape[2])[i, j])
    return total


def _tap(
    layer: Layer, patch: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    groups = layer.window.groups if layer.window is not None else 1
    if layer.kind == "DWCONV":  # groups is the channel multiplier; weights (1, out C)
        depthwise: NDArray[np.float64] = np.repeat(patch, groups, axis=-1) * weights[0]
        return depthwise
    parts = zip(np.split(patch, groups, axis=-1), np.split(weights, groups, axis=-1), strict=True)
    return np.concatenate([p @ w for p, w in parts], axis=-1)
