# SPDX-License-Identifier: Apache-2.0
"""How much one tick can bring to a neuron: the sum of the weights that lead to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.spiking.neurons import IF, LIF, CubaLIF, SpeckIF
from neurovm.spiking.synapses import Convolution, Dense, Pool, Procedural, Sparse

if TYPE_CHECKING:
    from neurovm.spiking.network import Edge

MOST_SPIKES = 127


def drive_of(edge: Edge) -> float:
    """The largest |Σ w S| that one projection can bring to one neuron in one tick.

    Inputs are taken to send one spike a tick; drawn synapses to be spread as chance spreads them.
    """
    neuron = edge.source.neuron
    many = isinstance(neuron, SpeckIF) or (
        isinstance(neuron, (IF, LIF, CubaLIF)) and neuron.spikes == "many"
    )
    return fan_in(edge) * (MOST_SPIKES if many else 1)


def fan_in(edge: Edge) -> float:
    """The largest sum of |weights| of one target neuron."""
    synapses = edge.synapses
    if isinstance(synapses, Procedural):
        mean = edge.source.n * synapses.fan_out / edge.target.n
        count = min(mean + 8 * mean**0.5 + 8, edge.source.n * synapses.fan_out)
        return float(count * max(abs(synapses.low), abs(synapses.high)) * synapses.scale)
    if isinstance(synapses, Pool):
        return abs(synapses.weight) * synapses.window[0] * synapses.window[1]
    weights = np.abs(np.asarray(synapses.weights, np.float64))
    if isinstance(synapses, Dense):
        return float(weights.sum(axis=1).max(initial=0.0))
    if isinstance(synapses, Convolution):
        return float(weights.sum(axis=(1, 2, 3)).max(initial=0.0))
    if isinstance(synapses, Sparse):
        target = np.asarray(synapses.target, np.int64)
    else:
        count = edge.source.n
        target = np.arange(count) if synapses.target is None else np.asarray(synapses.target)
        weights = np.broadcast_to(weights.reshape(-1), count)[target >= 0]
        target = target[target >= 0]
    sums = np.bincount(target, weights, minlength=1)
    return float(sums.max(initial=0.0))
