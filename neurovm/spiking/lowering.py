# SPDX-License-Identifier: Apache-2.0
"""Synapses of a network, once their weights are codes, in the forms of a Plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking import plan
from neurovm.spiking.codes import codes, form_of, most_code, weight_error
from neurovm.spiking.shapes import whole_ticks
from neurovm.spiking.synapses import Convolution, Dense, Pool, Procedural, Sparse, Wires

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.codes import WeightError, Weights
    from neurovm.spiking.network import Edge, Node

    Ints = NDArray[np.int64]

MAX_DENSE = 1 << 30
"""Bytes of one projection's dense rows."""


def lowered(
    edge: Edge, unit: float, weights: Weights, dt_us: float, where: str
) -> tuple[plan.Synapses, WeightError]:
    """A projection in integers and what that cost it."""
    synapses = edge.synapses
    where = f"{where}: {edge.source.name!r} → {edge.target.name!r}"
    most = most_code(edge, weights)
    if isinstance(synapses, Procedural):
        return _procedural(edge, synapses, dt_us, where)
    real = np.asarray(synapses.weight if isinstance(synapses, Pool) else synapses.weights)
    found = codes(real, unit, most, where)
    if isinstance(synapses, Convolution):
        made: plan.Synapses = _convolution(edge, synapses, found)
        stored = "kernel"
    elif isinstance(synapses, Pool):
        made, stored = _pool(edge, synapses, int(found)), "window"
    elif isinstance(synapses, Wires):
        made, stored = _wires(edge, synapses, found), "wires"
    else:
        stored = form_of(edge, unit)
        if stored == "wires":
            made = _single(edge, synapses, found)
        elif stored == "compressed":
            made = _compressed(edge, synapses, found, dt_us, where)
        else:
            made = _dense(edge, synapses, found, where)
    return made, weight_error(edge, found, unit, stored)


def numbered(node: Node) -> Ints:
    """The number in the plan of each neuron, in the order in which the network counts them."""
    if not node.hwc:
        return np.arange(node.n)
    channels, height, width = node.shape
    found: Ints = np.arange(node.n).reshape(height, width, channels).transpose(2, 0, 1)
    return found.reshape(-1)


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    channels, height, width = shape
    return height, width, channels


def _convolution(edge: Edge, s: Convolution, found: NDArray[np.signedinteger]) -> plan.Convolution:
    return plan.Convolution(
        np.ascontiguousarray(found.transpose(2, 3, 1, 0)),
        _image(edge.source.shape),
        _image(edge.target.shape),
        s.stride,
        s.padding,
        s.dilation,
        s.groups,
        transposed_input=not edge.source.hwc,
    )


def _pool(edge: Edge, s: Pool, weight: int) -> plan.SumPool:
    return plan.SumPool(
        _image(edge.source.shape),
        _image(edge.target.shape),
        s.window,
        s.stride or s.window,
        s.padding,
        weight,
        transposed_input=not edge.source.hwc,
    )


def _wires(edge: Edge, s: Wires, found: NDArray[np.signedinteger]) -> plan.Wires:
    sources, targets = numbered(edge.source), numbered(edge.target)
    ends = np.arange(edge.source.n) if s.target is None else np.asarray(s.target, np.int64)
    target = np.full(edge.source.n, -1, np.int32)
    target[sources] = np.where(ends >= 0, targets[ends], -1)
    weight = found.reshape(-1).astype(np.int16)
    if weight.size > 1:
        ordered = np.empty_like(weight)
        ordered[sources] = weight
        weight = ordered
    return plan.Wires(target, weight)


def _single(edge: Edge, s: Dense | Sparse, found: NDArray[np.signedinteger]) -> plan.Wires:
    """Synapses of which no source has two."""
    source, ends, weight, _ = _pairs(edge, s, found)
    target = np.full(edge.source.n, -1, np.int32)
    target[source] = ends
    weights = np.zeros(edge.source.n, np.int16)
    weights[source] = weight
    return plan.Wires(target, weights)


def _pairs(
    edge: Edge, s: Dense | Sparse, found: NDArray[np.signedinteger]
) -> tuple[Ints, Ints, Ints, Ints]:
    """Source, target (numbers of the plan), weight and place among the weights of each synapse."""
    flat = found.reshape(-1).astype(np.int64)
    if isinstance(s, Sparse):
        source, target = np.asarray(s.source, np.int64), np.asarray(s.target, np.int64)
        place = np.arange(flat.size)
    else:
        place = np.flatnonzero(np.asarray(s.weights).reshape(-1))
        target, source = place // edge.source.n, place % edge.source.n
        flat = flat[place]
    return numbered(edge.source)[source], numbered(edge.target)[target], flat, place


def _dense(
    edge: Edge, s: Dense | Sparse, found: NDArray[np.signedinteger], where: str
) -> plan.Dense:
    size = edge.source.n * edge.target.n * found.dtype.itemsize
    if size > MAX_DENSE:
        raise ModelError(f"{where}: {size} bytes of dense rows; at most {MAX_DENSE} are accepted")
    if isinstance(s, Dense):
        rows = np.empty((edge.source.n, edge.target.n), found.dtype)
        rows[np.ix_(numbered(edge.source), numbered(edge.target))] = found.T
        return plan.Dense(rows)
    source, target, weight, _ = _pairs(edge, s, found)
    sums = np.zeros((edge.source.n, edge.target.n), np.int64)
    np.add.at(sums, (source, target), weight)
    if np.abs(sums).max(initial=0) > 32767:
        raise ModelError(f"{where}: synapses of one pair add up to more than 16 bits hold")
    narrow = sums.min(initial=0) >= -128 and sums.max(initial=0) <= 127
    return plan.Dense(sums.astype(np.int8) if narrow else sums.astype(np.int16))


def _compressed(
    edge: Edge, s: Dense | Sparse, found: NDArray[np.signedinteger], dt_us: float, where: str
) -> plan.Sparse:
    source, target, weight, place = _pairs(edge, s, found)
    late = np.zeros(source.size, np.int64)
    own = s.delays_us if isinstance(s, Sparse) else None
    if own is not None:
        known, at = np.unique(np.asarray(own, np.float64), return_inverse=True)
        ticks = [whole_ticks(d, dt_us, f"{where}: a delay") for d in known.tolist()]
        late = np.array(ticks, np.int64)[at.reshape(-1)][place]
        if late.max(initial=0) + edge.delay > 65535:
            raise ModelError(f"{where}: a delay beyond 65535 ticks")
    order = np.lexsort((target, late, source))
    source, target, weight, late = (a[order] for a in (source, target, weight, late))
    row = np.zeros(edge.source.n + 1, np.uint64)
    row[1:] = np.cumsum(np.bincount(source, minlength=edge.source.n))
    return plan.Sparse(
        row,
        target.astype(np.uint32),
        weight.astype(np.int8),
        None if own is None else late.astype(np.uint16),
    )


def _procedural(
    edge: Edge, s: Procedural, dt_us: float, where: str
) -> tuple[plan.Procedural, WeightError]:
    low, high = (
        whole_ticks(d, dt_us, f"{where}: a delay") for d in (s.delay_low_us, s.delay_high_us)
    )
    if high + edge.delay > 65535:
        raise ModelError(f"{where}: a delay beyond 65535 ticks")
    made = plan.Procedural(s.seed, s.fan_out, s.low, s.high, low, high)
    ends = np.array([s.low, s.high], np.int8)
    report = weight_error(edge, ends, s.scale, "computed")
    return made, report
