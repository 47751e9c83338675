# SPDX-License-Identifier: Apache-2.0
"""The NumPy model of a rate-coded network: what the kernel's IF neurons must answer, bit for bit.

Input code q spikes at step t (from 0) where ((t + 1) k + 127) // 255 > (t k + 127) // 255 with
k = q + 128: evenly, round(T k / 255) times in T steps. Each layer, in order and within the step:
u ← u + b + Σ w s; s = 1 where u ≥ Θ, and then u ← u − Θ.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators.builder import signed_codes
from neurovm.reference.oracle import run as run_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurovm.arithmetic import Profile
    from neurovm.description import RateInfo
    from neurovm.graph import Graph
    from neurovm.operators import Operator
    from neurovm.operators.builder import Layer


def spikes(codes: NDArray[np.int8], step: int) -> NDArray[np.int64]:
    """Which inputs spike at a step: 0 or 1 for each code."""
    k = codes.astype(np.int64) + 128
    return ((step + 1) * k + 127) // 255 - (step * k + 127) // 255


def run(layers: Sequence[Layer], rate: RateInfo, codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """The decoded codes of layer `rate.head`, (N, n), for input codes (N, inputs).

    `layers`: those up to the head are inputs or IF layers, each reading one before it.
    """
    live = range(rate.head + 1)
    potentials = {i: np.zeros((len(codes), layers[i].n), np.int64) for i in live}
    for step in range(rate.steps):
        sent: dict[int, NDArray[np.int64]] = {}
        for i in live:
            layer = layers[i]
            if layer.kind == "INPUT":
                if layer.spikes:
                    sent[i] = spikes(codes, step)
                continue
            u = potentials[i] + _drive(layer, sent[layer.inputs[0]])
            sent[i] = (u >= layer.theta).astype(np.int64)
            potentials[i] = u - sent[i] * layer.theta
    return decode(rate, potentials[rate.head])


def decode(rate: RateInfo, potentials: NDArray[np.int64]) -> NDArray[np.int8]:
    """Codes of the head's potentials after the last step."""
    full = rate.theta * rate.steps
    found = rate.lo + (2 * (rate.hi - rate.lo) * potentials + full) // (2 * full)
    return np.clip(found, rate.lo, rate.hi).astype(np.int8)


def finish(
    graph: Graph,
    profile: Profile,
    tail: Sequence[Operator],
    last: int,
    codes: NDArray[np.int8],
) -> NDArray[np.int8]:
    """What the operators after the head answer to its codes, exactly: (N, outputs)."""
    rest = dataclasses.replace(graph, operators=tuple(tail), inputs=(last,))
    tensor = graph.tensors[last]
    known = run_graph(rest, profile, [codes.reshape(-1, *tensor.shape)])
    producer = next((op for op in tail if op.outputs[0] == graph.outputs[0]), None)
    held = graph.outputs[0]
    if producer is not None and producer.name == "Dequantize":
        held = producer.inputs[0]
    return signed_codes(known[held]).reshape(len(codes), -1)


def _drive(layer: Layer, sent: NDArray[np.int64]) -> NDArray[np.int64]:
    """b + Σ w s of every neuron, (N, n)."""
    weights = np.asarray(layer.weights, np.float64)  # sums stay far below 2^53
    spiked = sent.astype(np.float64)
    if layer.window is None:
        total = spiked @ weights
    else:
        total = _windows(layer, spiked, weights).reshape(len(sent), -1, weights.shape[-1])
    drive: NDArray[np.int64] = (total + np.asarray(layer.bias)).astype(np.int64)
    return drive.reshape(len(sent), -1)


def _windows(
    layer: Layer, spiked: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Σ w s of every window, (N, out H, out W, out C)."""
    w = layer.window
    if w is None:
        raise ValueError("a layer with a window is needed")
    images = spiked.reshape(len(spiked), *w.in_shape)
    rows = np.arange(w.out_shape[0]) * w.stride[0] - w.before[0]
    columns = np.arange(w.out_shape[1]) * w.stride[1] - w.before[1]
    total = np.zeros((len(spiked), *w.out_shape))
    for i in range(w.kernel[0]):
        for j in range(w.kernel[1]):
            y, x = rows + i * w.dilation[0], columns + j * w.dilation[1]
            inside = np.ix_((y >= 0) & (y < w.in_shape[0]), (x >= 0) & (x < w.in_shape[1]))
            patch = np.zeros((len(spiked), *w.out_shape[:2], w.in_shape[2]))
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
