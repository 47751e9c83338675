# SPDX-License-Identifier: Apache-2.0
"""Neurons and weights of chips: integers, checked against what the chip can hold."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking import plan
from neurovm.spiking.dynamics import values
from neurovm.spiking.neurons import LoihiCuba, SpeckIF, TrueNorth
from neurovm.spiking.synapses import Pool, Procedural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.network import Edge, Node
    from neurovm.spiking.neurons import Values

_RANGES = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}


def chip_edges(node: Node, edges: list[Edge], where: str) -> list[Edge]:
    """The projections with weights as the chip keeps them."""
    for edge in edges:
        if isinstance(edge.synapses, Procedural):
            raise ModelError(f"{where}: drawn synapses are no chip's")
        real = edge.synapses.weight if isinstance(edge.synapses, Pool) else edge.synapses.weights
        if (np.asarray(real) % 1 != 0).any():
            raise ModelError(f"{where}: weights of a chip's neuron are whole numbers")
    if isinstance(node.neuron, LoihiCuba):
        return _loihi_edges(node.neuron, edges, where)
    low, high = (-128, 127) if isinstance(node.neuron, SpeckIF) else (-255, 255)
    for edge in edges:
        weights = _weights(edge)
        if weights.size and (weights.min() < low or weights.max() > high):
            raise ModelError(
                f"{where}: weights {weights.min()} … {weights.max()}; {low} … {high} are accepted"
            )
    return edges


def chip_neurons(
    node: Node, where: str
) -> tuple[plan.Neurons | plan.LoihiNeurons | plan.TrueNorthNeurons, plan.Kind]:
    """The integer neuron of a chip, and its kind."""
    neuron = node.neuron
    if isinstance(neuron, LoihiCuba):
        return _loihi(node, neuron, where), "loihi"
    if isinstance(neuron, SpeckIF):
        return _speck(node, neuron, where), "lif"
    if isinstance(neuron, TrueNorth):
        return _truenorth(node, neuron, where), "truenorth"
    raise ModelError(f"{where}: a {type(neuron).__name__} is no chip's neuron")


def _weights(edge: Edge) -> NDArray[np.int64]:
    synapses = edge.synapses
    if isinstance(synapses, Procedural):
        return np.zeros(0, np.int64)
    real = synapses.weight if isinstance(synapses, Pool) else synapses.weights
    return np.asarray(real).astype(np.int64)


def _loihi_edges(neuron: LoihiCuba, edges: list[Edge], where: str) -> list[Edge]:
    """Clipped to the sign mode, truncated to the bits, and a tick later."""
    if neuron.sign_mode not in _RANGES or not 1 <= neuron.num_weight_bits <= 8:
        raise ModelError(
            f"{where}: {neuron.num_weight_bits} weight bits, sign_mode {neuron.sign_mode!r}; 1 … 8 "
            f"and {', '.join(_RANGES)} are accepted"
        )
    low, high = _RANGES[neuron.sign_mode]
    shift = 8 - neuron.num_weight_bits + (neuron.sign_mode == "mixed")
    made = []
    for edge in edges:
        kept = np.clip(_weights(edge), low, high)
        if neuron.sign_mode == "inhibitory":
            kept = -(-kept >> shift << shift)
        else:
            kept = kept >> shift << shift
        field = "weight" if isinstance(edge.synapses, Pool) else "weights"
        whole = int(kept) if field == "weight" else kept
        synapses = dataclasses.replace(edge.synapses, **{field: whole})  # type: ignore[arg-type] # a weight
        made.append(dataclasses.replace(edge, synapses=synapses, delay=edge.delay + 1))
    return made


def _ints(
    node: Node, found: Values, name: str, low: int, high: int, where: str, *, full: bool = False
) -> NDArray[np.int32]:
    """Whole numbers low … high, 1 or n of them (`full`: n)."""
    real = values(node, found, name, where)
    if (real % 1 != 0).any() or real.min() < low or real.max() > high:
        raise ModelError(f"{where}: {name} is {found!r}; whole numbers {low} … {high} are accepted")
    return np.array(np.broadcast_to(real, node.n) if full else real).astype(np.int32)


def _loihi(node: Node, neuron: LoihiCuba, where: str) -> plan.LoihiNeurons:
    exponent = neuron.bias_exponent
    if not -7 <= exponent <= 7 or not -8 <= neuron.weight_exponent <= 7:
        raise ModelError(
            f"{where}: bias exponent {exponent}, weight exponent {neuron.weight_exponent}; "
            f"−7 … 7 and −8 … 7 are accepted"
        )
    mantissa = _ints(node, neuron.bias_mantissa, "bias_mantissa", -4096, 4095, where)
    bias = mantissa << exponent if exponent >= 0 else mantissa >> -exponent
    return plan.LoihiNeurons(
        _ints(node, neuron.current_decay, "current_decay", 0, 4095, where),
        _ints(node, neuron.voltage_decay, "voltage_decay", 0, 4095, where),
        _ints(node, neuron.threshold, "threshold", 0, (1 << 17) - 1, where),
        bias.astype(np.int32),
        neuron.weight_exponent,
    )


def _speck(node: Node, neuron: SpeckIF, where: str) -> plan.Neurons:
    if not 1 <= neuron.threshold <= 32767 or not -32768 <= neuron.v_min <= 0:
        raise ModelError(
            f"{where}: threshold {neuron.threshold}, v_min {neuron.v_min}; 1 … 32767 and "
            f"−32768 … 0 are accepted"
        )
    one = np.array([1], np.int32)
    return plan.Neurons(
        theta=one * neuron.threshold,
        reset_to=one * neuron.threshold,
        leak=np.full((plan.LEAK_POWERS, 1), 1 << 31, np.uint32),
        gain=one,
        bias=_ints(node, neuron.bias, "bias", -128, 127, where),
        initial=0 * one,
        fire="many",
        reset="subtract",
        v_min=neuron.v_min,
    )


def _truenorth(node: Node, neuron: TrueNorth, where: str) -> plan.TrueNorthNeurons:
    if neuron.reset_mode not in (0, 1, 2) or neuron.floor_mode not in (0, 1):
        raise ModelError(
            f"{where}: reset_mode {neuron.reset_mode}, floor_mode {neuron.floor_mode}; 0 … 2 and "
            f"0 … 1 are accepted"
        )
    top = (1 << 18) - 1
    return plan.TrueNorthNeurons(
        _ints(node, neuron.leak, "leak", -255, 255, where, full=True),
        _ints(node, neuron.threshold, "threshold", 1, top, where, full=True),
        _ints(node, neuron.negative_threshold, "negative_threshold", -top, 0, where, full=True),
        _ints(node, neuron.reset_to, "reset_to", -top, top, where, full=True),
        neuron.reset_mode,
        neuron.floor_mode,
    )
