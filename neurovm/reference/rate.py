# SPDX-License-Identifier: Apache-2.0
"""The NumPy model of a rate-coded network: what the kernel's IF neurons must answer, bit for bit.

Input code q sends sign(q − z) at step t (from 0) where round((t + 1) k / span) > round(t k / span)
with k = min(|q − z|, span): evenly, round(T k / span) times in T steps. Each layer, in order and
within the step: u ← u + b + Σ w s; SIF then sends s = 1 where 2 u ≥ Θ and −1 where 2 u < −Θ, as
long as all it has sent, n, stays between its ends; IF 1 where u ≥ Θ; u ← u − Θ s.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators.builder import signed_codes
from neurovm.reference.oracle import run as run_graph
from neurovm.reference.weighted_sums import sums

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from neurovm.arithmetic import Profile
    from neurovm.description import RateInfo
    from neurovm.graph import Graph
    from neurovm.operators import Operator
    from neurovm.operators.builder import Layer


def spikes(codes: NDArray[np.int8], step: int, sent: tuple[int, int]) -> NDArray[np.int64]:
    """What inputs send at a step, for (z, span) `sent`: −1, 0 or 1 for each code."""
    zero, span = sent
    k = codes.astype(np.int64) - zero
    size = np.minimum(np.abs(k), span)
    due = ((step + 1) * 2 * size + span) // (2 * span) - (step * 2 * size + span) // (2 * span)
    sent_now: NDArray[np.int64] = np.sign(k) * due
    return sent_now


def run(layers: Sequence[Layer], rate: RateInfo, codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """The decoded codes of layer `rate.head`, (N, n), for input codes (N, inputs)."""
    return answer(rate, trace(layers, rate, codes, {*rate.looks, rate.steps}))


def trace(
    layers: Sequence[Layer], rate: RateInfo, codes: NDArray[np.int8], steps: Collection[int]
) -> dict[int, NDArray[np.int64]]:
    """The potentials of layer `rate.head` after these of its steps, (N, n) each.

    `layers`: those up to the head are inputs, IF or SIF layers, each reading one before it.
    """
    live = range(rate.head + 1)
    potentials = {i: np.zeros((len(codes), layers[i].n), np.int64) for i in live}
    counts = {i: np.zeros((len(codes), layers[i].n), np.int64) for i in live}
    after = {}
    for step in range(rate.steps):
        sent: dict[int, NDArray[np.int64]] = {}
        for i in live:
            layer = layers[i]
            if layer.kind == "INPUT":
                if layer.spikes:
                    sent[i] = spikes(codes, step, rate.of_inputs)
                continue
            u = potentials[i] + sums(layer, sent[layer.inputs[0]]) + _bias(layer)
            sent[i] = _fired(layer, u, counts[i])
            potentials[i] = u - sent[i] * layer.theta
            counts[i] += sent[i]
        if step + 1 in steps:
            after[step + 1] = potentials[rate.head]
    return after


def _fired(layer: Layer, u: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    if layer.neuron == "IF":
        return (u >= layer.theta).astype(np.int64)
    up = (2 * u >= layer.theta) & (count < layer.aux[0])
    down = (2 * u < -layer.theta) & (count > layer.reset_value)
    return up.astype(np.int64) - down


def answer(rate: RateInfo, after: Mapping[int, NDArray[np.int64]]) -> NDArray[np.int8]:
    """Codes (N, n) of the potentials after steps: where an exit opens, from there."""
    found = decode(rate, after[rate.steps], rate.steps)
    open_ones = np.ones(len(found), bool)
    for step, least in rate.looks.items():
        leaves = open_ones & (lead(after[step]) > least)
        found[leaves] = decode(rate, after[step], step)[leaves]
        open_ones &= ~leaves
    return found


def lead(potentials: NDArray[np.int64]) -> NDArray[np.int64]:
    """By how much the largest of each row is ahead of the next, (N,)."""
    two = np.partition(potentials, -2, axis=1)[:, -2:]
    ahead: NDArray[np.int64] = two[:, 1] - two[:, 0]
    return ahead


def decode(rate: RateInfo, potentials: NDArray[np.int64], steps: int) -> NDArray[np.int8]:
    """Codes of the head's potentials after so many steps."""
    zero, span = rate.of_head
    full = rate.theta * steps
    found = zero + (2 * span * potentials + full) // (2 * full)
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
