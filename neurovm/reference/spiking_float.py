# SPDX-License-Identifier: Apache-2.0
"""A network of `neurovm.spiking.network` in float64, tick by tick, with its weights as given.

What an integer network is compared with to say how far it is off; it knows the native neurons, and
nothing of codes, units or groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking.neurons import CHIPS, IF, CubaLI, CubaLIF, I, Threshold
from neurovm.spiking.shapes import whole_ticks
from neurovm.spiking.synapses import Convolution, Dense, Pool, Sparse, Wires

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurovm.spiking.network import Edge, Network, Node

    Reals = NDArray[np.float64]

MOST_SPIKES = 127


class FloatRun(NamedTuple):
    """Spikes and potentials of one population, (T, *shape) each, before any quantization."""

    spikes: Reals
    potentials: Reals


def heard(edge: Edge, spikes: Reals) -> Reals:
    """Σ w S of one projection without delays of its own; shapes as the network has them."""
    s = edge.synapses
    flat = spikes.reshape(-1)
    if isinstance(s, Dense):
        return np.asarray(s.weights, np.float64) @ flat
    if isinstance(s, Sparse):
        weights = np.asarray(s.weights, np.float64) * flat[s.source]
        return np.bincount(np.asarray(s.target), weights, edge.target.n).astype(np.float64)
    if isinstance(s, Wires):
        ends = np.arange(edge.source.n) if s.target is None else np.asarray(s.target)
        weights = flat * np.asarray(s.weights, np.float64)
        sums = np.bincount(ends[ends >= 0], weights[ends >= 0], edge.target.n)
        return sums.astype(np.float64)
    if isinstance(s, (Convolution, Pool)):
        return _windows(edge, s, spikes)
    raise ModelError(f"{edge.source.name}: drawn synapses have no float model")


def _windows(edge: Edge, s: Convolution | Pool, spikes: Reals) -> Reals:
    """A convolution, or a pool as one of as many groups as channels."""
    channels, height, width = edge.source.shape
    if isinstance(s, Pool):
        kernel = np.full((channels, 1, *s.window), float(s.weight))
        stride, dilation, groups = s.stride or s.window, (1, 1), channels
    else:
        kernel = np.asarray(s.weights, np.float64)
        stride, dilation, groups = s.stride, s.dilation, s.groups
    out_c, out_h, out_w = edge.target.shape
    image = spikes.reshape(groups, channels // groups, height, width)
    grouped = kernel.reshape(groups, out_c // groups, *kernel.shape[1:])
    total = np.zeros((groups, out_c // groups, out_h, out_w))
    for y, x in np.ndindex(out_h, out_w):
        for i, j in np.ndindex(*kernel.shape[2:]):
            row = y * stride[0] - s.padding[0] + i * dilation[0]
            column = x * stride[1] - s.padding[1] + j * dilation[1]
            if 0 <= row < height and 0 <= column < width:
                total[:, :, y, x] += np.einsum(
                    "goc,gc->go", grouped[:, :, :, i, j], image[:, :, row, column]
                )
    return total.reshape(-1)


class _Cells:
    """One population: state and one tick."""

    def __init__(self, node: Node, dt_us: float) -> None:
        neuron = node.neuron
        if neuron is None or type(neuron) in CHIPS:
            raise ModelError(f"{node.name}: a chip's neuron has no float model")
        self.node, self.dt_us = node, dt_us
        rest = self._of("v_leak", 0.0)
        start = getattr(neuron, "v_initial", None)
        self.v: Reals = rest if start is None else self._of("v_initial")
        self.current: Reals = np.zeros(node.n)
        self.refractory: Reals = np.zeros(node.n)
        self.period = whole_ticks(getattr(neuron, "refractory_us", 0.0), dt_us, node.name)

    def _of(self, name: str, default: float | None = None) -> Reals:
        found = np.asarray(getattr(self.node.neuron, name, default), np.float64)
        shape = (self.node.n,) if found.shape == (self.node.n,) else self.node.shape
        return np.array(np.broadcast_to(found, shape)).reshape(-1)

    def _factors(self, name: str) -> tuple[Reals, Reals]:
        ratio = self.dt_us / self._of(name)
        if getattr(self.node.neuron, "decay", "euler") == "euler":
            return 1 - ratio, ratio
        return np.exp(-ratio), 1 - np.exp(-ratio)

    def tick(self, drive: Reals) -> Reals:
        """The spikes of one tick of Σ w S."""
        neuron = self.node.neuron
        drive = drive + self._of("bias", 0.0)
        if isinstance(neuron, Threshold):
            v = drive
        elif isinstance(neuron, (IF, I)):
            v = self.v + self._of("r") * drive
        elif isinstance(neuron, (CubaLIF, CubaLI)):
            kept, taken = self._factors("tau_syn_us")
            self.current = kept * self.current + taken * self._of("w_in") * drive
            kept, taken = self._factors("tau_mem_us")
            v = kept * self.v + taken * (self._of("v_leak") + self._of("r") * self.current)
        else:
            kept, taken = self._factors("tau_us")
            v = kept * self.v + taken * (self._of("v_leak") + self._of("r") * drive)
        low = getattr(neuron, "v_min", None)
        return self._fire(v if low is None else np.maximum(v, low))

    def _fire(self, v: Reals) -> Reals:
        neuron, held = self.node.neuron, self.refractory > 0
        self.refractory = np.maximum(self.refractory - 1, 0)
        spikes: Reals = np.zeros(self.node.n)
        after = v
        if hasattr(neuron, "v_threshold"):
            theta = self._of("v_threshold")
            fires = v > theta if getattr(neuron, "fires_at", ">") == ">" else v >= theta
            spikes = fires.astype(np.float64)
            reset = getattr(neuron, "reset", "zero")
            if reset == "subtract":
                if getattr(neuron, "spikes", "one") == "many":
                    count = np.ceil(v / theta) - 1 if neuron.fires_at == ">" else v // theta  # type: ignore[union-attr] # it has a threshold
                    spikes = np.where(fires, np.minimum(count, MOST_SPIKES), 0.0)
                amount = getattr(neuron, "v_subtract", None)
                after = v - spikes * (theta if amount is None else self._of("v_subtract"))
            else:
                after = np.where(fires, self._of("v_reset") if reset == "value" else 0.0, v)
        spikes = np.where(held, 0.0, spikes)
        self.v = np.where(held, self.v, after)
        self.refractory = np.where(spikes > 0, float(self.period), self.refractory)
        return spikes


def run(network: Network, inputs: Sequence[NDArray[np.generic]]) -> dict[str, FloatRun]:
    """Every population over T ticks; `inputs`: (T, *shape) of each input, in their order."""
    ticks = len(inputs[0])
    order = network.ordered()
    cells = {n.index: _Cells(n, network.dt_us) for n in order if n.neuron is not None}
    given = iter(inputs)
    sent = {
        n.index: np.asarray(next(given), np.float64).reshape(ticks, n.n)
        if n.neuron is None
        else np.zeros((ticks, n.n))
        for n in network.nodes
    }
    seen = {index: np.zeros((ticks, cell.node.n)) for index, cell in cells.items()}
    for t in range(ticks):
        for node in order:
            if node.index not in cells:
                continue
            drive = np.zeros(node.n)
            for edge in network.edges:
                if edge.target is node:
                    drive = drive + _delayed(edge, sent[edge.source.index], t, network.dt_us)
            sent[node.index][t] = cells[node.index].tick(drive)
            seen[node.index][t] = cells[node.index].v
    return {
        c.node.name: FloatRun(
            sent[i].reshape(ticks, *c.node.shape), seen[i].reshape(ticks, *c.node.shape)
        )
        for i, c in cells.items()
    }


def _delayed(edge: Edge, sent: Reals, t: int, dt_us: float) -> Reals:
    s = edge.synapses
    if not isinstance(s, Sparse) or s.delays_us is None:
        return heard(edge, sent[t - edge.delay]) if t >= edge.delay else np.zeros(edge.target.n)
    total = np.zeros(edge.target.n)
    for delay_us, source, target, weight in zip(
        s.delays_us, s.source, s.target, s.weights, strict=True
    ):
        then = t - edge.delay - round(float(delay_us) / dt_us)
        if then >= 0:
            total[target] += float(weight) * sent[then, source]
    return total
