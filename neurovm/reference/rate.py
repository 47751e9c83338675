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
from neurovm.reference.weighted_sums import sums

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
            u = potentials[i] + sums(layer, sent[layer.inputs[0]]) + _bias(layer)
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


def _bias(layer: Layer) -> NDArray[np.int64]:
    """The bias of every neuron."""
    bias = np.asarray(layer.bias, np.int64)
    return np.tile(bias, layer.n // bias.size)
