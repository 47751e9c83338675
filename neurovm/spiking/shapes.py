# SPDX-License-Identifier: Apache-2.0
"""Whether synapses fit the populations they lie between, and how long they take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, get_args

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking.synapses import (
    Convolution,
    Dense,
    Pool,
    Procedural,
    Sparse,
    Synapses,
    Wires,
)

if TYPE_CHECKING:
    from neurovm.spiking.network import Node

MAX_TICKS = (1 << 31) - 1


def is_number(found: object) -> bool:
    """Whether it is one number, and no array."""
    return isinstance(found, Real)


def whole_ticks(time_us: float, dt_us: float, what: str) -> int:
    """A time as a number of ticks; ModelError where it is none, negative or between two ticks."""
    if not is_number(time_us):
        raise ModelError(f"{what}: found {time_us!r:.60}; one number of µs is accepted")
    if not 0 <= time_us < math.inf or time_us / dt_us > MAX_TICKS:
        raise ModelError(f"{what} of {time_us} µs; at least 0, finite, is accepted")
    ticks = round(time_us / dt_us)
    if abs(ticks - time_us / dt_us) > 1e-6 * max(ticks, 1):
        raise ModelError(
            f"{what} of {time_us} µs is not a whole number of ticks of {dt_us} µs; "
            f"{math.floor(time_us / dt_us) * dt_us} or {math.ceil(time_us / dt_us) * dt_us} are"
        )
    return ticks


def check_synapses(source: Node, target: Node, synapses: Synapses, where: str) -> None:
    """ModelError where weights are no finite numbers or have another shape than is needed."""
    if not isinstance(synapses, get_args(Synapses)):
        kinds = ", ".join(kind.__name__ for kind in get_args(Synapses))
        raise ModelError(f"{where}: synapses {synapses!r:.60}; one of {kinds} is accepted")
    if isinstance(synapses, Procedural):
        _check_procedural(synapses, where)
        return
    weights = np.asarray(synapses.weight if isinstance(synapses, Pool) else synapses.weights)
    if weights.dtype.kind not in "fiub":
        raise ModelError(f"{where}: weights of {weights.dtype}; numbers are accepted")
    if not np.isfinite(weights).all():
        bad = int(np.size(weights) - np.isfinite(weights).sum())
        raise ModelError(f"{where}: {bad} weights are not finite numbers (NaN or infinite)")
    if isinstance(synapses, Dense):
        _needed(weights.shape, (target.n, source.n), "weights (targets, sources)", where)
    elif isinstance(synapses, Sparse):
        _check_sparse(source, target, synapses, where)
    elif isinstance(synapses, Wires):
        _check_wires(source, target, synapses, where)
    else:
        _check_window(source, target, synapses, where)


def _needed(found: tuple[int, ...], wanted: tuple[int, ...], what: str, where: str) -> None:
    if found != wanted:
        raise ModelError(f"{where}: {what} are {found}; {wanted} are needed")


def _check_procedural(synapses: Procedural, where: str) -> None:
    fits = -128 <= synapses.low <= synapses.high <= 127 and 0 <= synapses.seed < 1 << 64
    if not fits or not 0 < synapses.fan_out < 1 << 31 or not 0 < synapses.scale < math.inf:
        raise ModelError(
            f"{where}: {synapses}; −128 ≤ low ≤ high ≤ 127, a fan-out and a scale above 0 and a "
            f"seed of 64 bits are accepted"
        )
    if synapses.delay_low_us > synapses.delay_high_us:
        raise ModelError(f"{where}: the least delay is above the greatest")


def _check_sparse(source: Node, target: Node, s: Sparse, where: str) -> None:
    n = np.size(s.source)
    _needed(np.shape(s.target), (n,), "targets", where)
    _needed(np.shape(s.weights), (n,), "weights", where)
    if s.delays_us is not None:
        _needed(np.shape(s.delays_us), (n,), "delays", where)
    for ends, node in ((s.source, source), (s.target, target)):
        numbers = np.asarray(ends)
        if n and (numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= node.n):
            raise ModelError(
                f"{where}: synapses name neurons outside 0 … {node.n - 1} of {node.name!r}"
            )


def _check_wires(source: Node, target: Node, s: Wires, where: str) -> None:
    if np.size(s.weights) != 1:
        _needed((np.size(s.weights),), (source.n,), "weights", where)
    if s.target is None:
        _needed((source.n,), (target.n,), "sources of wires one to one", where)
        return
    ends = np.asarray(s.target)
    _needed(ends.shape, (source.n,), "targets", where)
    if ends.dtype.kind not in "iu" or ends.min() < -1 or ends.max() >= target.n:
        raise ModelError(f"{where}: wires lead outside −1 … {target.n - 1} of {target.name!r}")


def _check_pairs(s: Convolution | Pool, where: str) -> None:
    """ModelError where what is given by rows and columns is not two whole numbers."""
    named: dict[str, object] = {"padding": s.padding, "stride": s.stride}
    if isinstance(s, Convolution):
        named["dilation"] = s.dilation
    else:
        named["window"] = s.window
        named["stride"] = s.window if s.stride is None else s.stride
    for name, found in named.items():
        pair = found if isinstance(found, Sequence) and len(found) == 2 else (None, None)
        if not all(isinstance(each, Integral) for each in pair):
            raise ModelError(
                f"{where}: {name} {found!r:.60}; two whole numbers (rows, columns) are accepted"
            )


def _check_window(source: Node, target: Node, s: Convolution | Pool, where: str) -> None:
    _check_pairs(s, where)
    for node in (source, target):
        if len(node.shape) != 3:
            raise ModelError(
                f"{where}: {node.name!r} has shape {node.shape}; (channels, height, width) is "
                f"needed"
            )
    in_c, *extent = source.shape
    if isinstance(s, Convolution):
        weights = np.asarray(s.weights)
        if weights.ndim != 4 or s.groups < 1 or in_c % s.groups or len(weights) % s.groups:
            raise ModelError(
                f"{where}: weights {weights.shape} in {s.groups} groups for {in_c} channels; "
                f"(out, in / groups, height, width) is needed"
            )
        _needed(weights.shape[1:2], (in_c // s.groups,), "input channels of the weights", where)
        kernel, dilation, out_c = weights.shape[2:], s.dilation, len(weights)
    else:
        kernel, dilation, out_c = s.window, (1, 1), in_c
    stride = s.stride or kernel
    if min(*kernel, *stride, *dilation) < 1 or min(s.padding) < 0:
        raise ModelError(f"{where}: {s}: sizes of 1 and more, padding of 0 and more are accepted")
    _needed(target.shape[:1], (out_c,), "channels of the target", where)
    for size, found, pad, step in zip(extent, target.shape[1:], s.padding, stride, strict=True):
        if (found - 1) * step - pad >= size:
            raise ModelError(
                f"{where}: a target of {found} in steps of {step} is longer than the source's "
                f"{size}"
            )
