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


def _neuron(shape: tuple[int, int, int], y: int, x: int, c: int, *, chw: bool) -> int:
    """The number of a neuron of (height, width, channels), counted HWC or CHW."""
    height, width, channels = shape
    return (c * height + y) * width + x if chw else (y * width + x) * channels + c


def _gathered(synapses: Iterator[tuple[int, int, int]]) -> SynapseList:
    rows = np.array(list(synapses), np.int64).reshape(-1, 3)
    return SynapseList(rows[:, 0], rows[:, 1], rows[:, 2], np.zeros(len(rows), np.int64))


def _convolution(s: Convolution) -> Iterator[tuple[int, int, int]]:
    kernel_h, kernel_w, in_group, out_c = s.weights.shape
    out_group = out_c // s.groups
    in_h, in_w, _ = s.source_shape
    for y, x, o in np.ndindex(*s.target_shape):
        target = _neuron(s.target_shape, y, x, o, chw=False)
        for i, j, c in np.ndindex(kernel_h, kernel_w, in_group):
            from_y = y * s.stride[0] - s.pad[0] + i * s.dilation[0]
            from_x = x * s.stride[1] - s.pad[1] + j * s.dilation[1]
            if 0 <= from_y < in_h and 0 <= from_x < in_w:
                channel = o // out_group * in_group + c
                source = _neuron(s.source_shape, from_y, from_x, channel, chw=s.transposed_input)
                yield source, target, int(s.weights[i, j, c, o])


def _sum_pool(s: SumPool) -> Iterator[tuple[int, int, int]]:
    in_h, in_w, _ = s.source_shape
    for y, x, c in np.ndindex(*s.target_shape):
        target = _neuron(s.target_shape, y, x, c, chw=False)
        for i, j in np.ndindex(*s.window):
            from_y, from_x = y * s.stride[0] - s.pad[0] + i, x * s.stride[1] - s.pad[1] + j
            if 0 <= from_y < in_h and 0 <= from_x < in_w:
                source = _neuron(s.source_shape, from_y, from_x, c, chw=s.transposed_input)
                yield source, target, s.weight


def _wires(synapses: Wires, n_source: int) -> SynapseList:
    weight = np.broadcast_to(synapses.weight.astype(np.int64), n_source)
    source = np.flatnonzero(synapses.target >= 0)
    target = synapses.target[source].astype(np.int64)
    return SynapseList(source, target, weight[source], np.zeros(source.size, np.int64))


_M64 = (1 << 64) - 1


def _finalized(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _M64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _M64
    return x ^ (x >> 31)


def _procedural(s: Procedural, n_source: int, n_target: int) -> SynapseList:
    rows = []
    for j in range(n_source):
        for k in range(s.fan_out):
            u = _finalized((s.seed + (j * s.fan_out + k + 1) * 0x9E3779B97F4A7C15) & _M64)
            target = ((u & 0xFFFFFFFF) * n_target) >> 32
            weight = s.low + ((((u >> 32) & 0xFFFF) * (s.high - s.low + 1)) >> 16)
            delay = s.delay_low + (((u >> 48) * (s.delay_high - s.delay_low + 1)) >> 16)
            rows.append((j, target, weight, delay))
    table = np.array(rows, np.int64).reshape(-1, 4)
    return SynapseList(table[:, 0], table[:, 1], table[:, 2], table[:, 3])
