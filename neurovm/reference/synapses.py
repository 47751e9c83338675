# SPDX-License-Identifier: Apache-2.0
"""Every projection as a plain list of synapses, for the oracle and for pictures.

Nothing is clever here: each form of `neurovm.spiking.plan` is written out, one row a synapse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurovm.spiking.plan import Convolution, Dense, Procedural, Sparse, SumPool, Wires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from neurovm.spiking.plan import Synapses

    Ints = NDArray[np.int64]


class SynapseList(NamedTuple):
    """Synapse k leads from neuron source[k] to target[k]; int64 arrays of one length."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.int64]
    delay: NDArray[np.int64]
    """Ticks beyond the projection's own."""


def written_out(synapses: Synapses, n_source: int, n_target: int) -> SynapseList:
    """All synapses of a projection between populations of these sizes."""
    if isinstance(synapses, Dense):
        return _dense(synapses)
    if isinstance(synapses, Sparse):
        return _sparse(synapses)
    if isinstance(synapses, Convolution):
        return _gathered(_convolution(synapses))
    if isinstance(synapses, SumPool):
        return _gathered(_sum_pool(synapses))
    if isinstance(synapses, Wires):
        return _wires(synapses, n_source)
    return _procedural(synapses, n_source, n_target)


def by_delay(synapses: SynapseList) -> list[tuple[int, SynapseList]]:
    """The synapses of each delay."""
    parts = []
    for delay in np.unique(synapses.delay).tolist():
        at = synapses.delay == delay
        parts.append((delay, SynapseList(*(array[at] for array in synapses))))
    return parts


def _dense(synapses: Dense) -> SynapseList:
    weights = synapses.weights.astype(np.int64)
    source, target = np.indices(weights.shape).reshape(2, -1)
    return SynapseList(source, target, weights.ravel(), np.zeros(weights.size, np.int64))


def _sparse(synapses: Sparse) -> SynapseList:
    row = synapses.row.astype(np.int64)
    source = np.repeat(np.arange(row.size - 1), row[1:] - row[:-1])
    n = source.size
    delays = np.zeros(n, np.int64) if synapses.delays is None else synapses.delays.astype(np.int64)
    target, weight = synapses.target.astype(np.int64), synapses.weight.astype(np.int64)
    return SynapseList(source, target[:n], weight[:n], delays[:n])


def _neuron(shape: tuple[int, int, int], y: Ints, x: Ints, c: Ints, *, chw: bool) -> Ints:
    """The number of a neuron of (height, width, channels), counted HWC or CHW."""
    height, width, channels = shape
    return (c * height + y) * width + x if chw else (y * width + x) * channels + c


def _gathered(synapses: Iterator[tuple[Ints, Ints, Ints]]) -> SynapseList:
    parts = [np.zeros((3, 0), np.int64), *(np.stack(part) for part in synapses)]
    source, target, weight = np.concatenate(parts, axis=1)
    return SynapseList(source, target, weight, np.zeros(source.size, np.int64))


def _convolution(s: Convolution) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Tap by tap, what each target reads."""
    kernel_h, kernel_w, in_group, out_c = s.weights.shape
    out_group = out_c // s.groups
    in_h, in_w, _ = s.source_shape
    y, x, o = np.indices(s.target_shape).reshape(3, -1)
    target = _neuron(s.target_shape, y, x, o, chw=False)
    for i, j, c in np.ndindex(kernel_h, kernel_w, in_group):
        from_y = y * s.stride[0] - s.pad[0] + i * s.dilation[0]
        from_x = x * s.stride[1] - s.pad[1] + j * s.dilation[1]
        channel = o // out_group * in_group + c
        source = _neuron(s.source_shape, from_y, from_x, channel, chw=s.transposed_input)
        live = (from_y >= 0) & (from_y < in_h) & (from_x >= 0) & (from_x < in_w)
        yield source[live], target[live], s.weights[i, j, c, o][live].astype(np.int64)


def _sum_pool(s: SumPool) -> Iterator[tuple[Ints, Ints, Ints]]:
    in_h, in_w, _ = s.source_shape
    y, x, c = np.indices(s.target_shape).reshape(3, -1)
    target = _neuron(s.target_shape, y, x, c, chw=False)
    for i, j in np.ndindex(*s.window):
        from_y, from_x = y * s.stride[0] - s.pad[0] + i, x * s.stride[1] - s.pad[1] + j
        source = _neuron(s.source_shape, from_y, from_x, c, chw=s.transposed_input)
        live = (from_y >= 0) & (from_y < in_h) & (from_x >= 0) & (from_x < in_w)
        yield source[live], target[live], np.full(int(live.sum()), s.weight, np.int64)


def _wires(synapses: Wires, n_source: int) -> SynapseList:
    weight = np.broadcast_to(synapses.weight.astype(np.int64), n_source)
    source = np.flatnonzero(synapses.target >= 0)
    target = synapses.target[source].astype(np.int64)
    return SynapseList(source, target, weight[source], np.zeros(source.size, np.int64))


def _finalized(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's; products are modulo 2^64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return found


def _procedural(s: Procedural, n_source: int, n_target: int) -> SynapseList:
    source = np.repeat(np.arange(n_source), s.fan_out)
    number = np.arange(1, n_source * s.fan_out + 1).astype(np.uint64)
    u = _finalized(np.uint64(s.seed) + number * np.uint64(0x9E3779B97F4A7C15))
    low, middle, top = (
        (u >> np.uint64(at) & np.uint64((1 << bits) - 1)).astype(np.int64)
        for at, bits in ((0, 32), (32, 16), (48, 16))
    )
    return SynapseList(
        source,
        low * n_target >> 32,
        s.low + (middle * (s.high - s.low + 1) >> 16),
        s.delay_low + (top * (s.delay_high - s.delay_low + 1) >> 16),
    )
