# SPDX-License-Identifier: Apache-2.0
"""What lies between two populations: a path of linear operators, made into one kind of synapses.

Operators are laid out as NIR and PyTorch do: rows of a matrix are targets, images are (channels,
height, width), elements count in C order. A path keeps its structure where it can (a convolution
stays one, sums over windows become part of the kernel behind them, scales go into weights);
otherwise it becomes the list of its synapses. Both are the same sum in exact arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking import synapses

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, ...]
Pair = tuple[int, int]
MOST_SYNAPSES = 1 << 23
"""Of a path without structure: seconds, and a gigabyte, to follow them one by one."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """weights[…, out, in]; axes before the last two are blocks that do not see each other."""

    weights: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Convolution:
    """weights[out, in / groups, h, w] over an image of `size_in`."""

    weights: NDArray[Any]
    stride: Pair
    before: Pair
    """Zeros above and to the left."""
    after: Pair
    dilation: Pair
    groups: int
    size_in: Shape
    size_out: Shape


@dataclass(frozen=True, slots=True)
class Pool:
    """The sum over each window, times `weight`."""

    window: Pair
    stride: Pair
    padding: Pair
    weight: float
    size_in: Shape
    size_out: Shape


@dataclass(frozen=True, slots=True)
class Scale:
    """Elementwise factors, in C order."""

    factors: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Late:
    """Elementwise delays in ticks, in C order."""

    ticks: NDArray[np.int64]


Operator: TypeAlias = Matrix | Convolution | Pool | Scale | Late


@dataclass(frozen=True, slots=True)
class Path:
    """Operators in the order in which a spike passes them."""

    operators: tuple[Operator, ...]
    factor: float = 1.0
    ticks: int = 0

    @property
    def plain(self) -> bool:
        """Whether it changes nothing."""
        return not self.operators and self.factor == 1.0 and not self.ticks


@dataclass(frozen=True, slots=True)
class Listed:
    """Synapse k: source[k] → target[k]."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    ticks: NDArray[np.int64]


def simplified(operators: list[Operator]) -> Path:
    """The same path with as few operators as its structure allows."""
    path = Path(())
    for operator in operators:
        path = _with(path, operator)
    return path


def _with(path: Path, operator: Operator) -> Path:
    if isinstance(operator, Scale) and _uniform(operator.factors):
        return replace(path, factor=path.factor * float(operator.factors[0]))
    if isinstance(operator, Late) and _uniform(operator.ticks):
        return replace(path, ticks=path.ticks + int(operator.ticks[0]))
    if path.operators:
        joined = _joined(path.operators[-1], operator)
        if joined is not None:
            return replace(path, operators=(*path.operators[:-1], joined))
    return replace(path, operators=(*path.operators, operator))


def _uniform(values: NDArray[Any]) -> bool:
    return bool((values == values[0]).all())


def _joined(first: Operator, second: Operator) -> Operator | None:
    """One operator that does both, where there is one."""
    if isinstance(first, Scale) and isinstance(second, Scale):
        return Scale(first.factors.astype(np.float64) * second.factors)
    if isinstance(first, Late) and isinstance(second, Late):
        return Late(first.ticks + second.ticks)
    if isinstance(first, Matrix) and first.weights.ndim == 2:
        if isinstance(second, Scale):
            return Matrix(first.weights * second.factors.astype(np.float64)[:, None])
        if isinstance(second, Matrix) and second.weights.ndim == 2:
            return Matrix(second.weights.astype(np.float64) @ first.weights.astype(np.float64))
    if isinstance(first, Scale) and isinstance(second, Matrix) and second.weights.ndim == 2:
        return Matrix(second.weights * first.factors.astype(np.float64)[None, :])
    if isinstance(first, Convolution) and isinstance(second, Scale):
        by_channel = _by_channel(second, first.size_out)
        if by_channel is not None:
            return replace(first, weights=first.weights * by_channel[:, None, None, None])
    if isinstance(first, Scale) and isinstance(second, Convolution):
        by_channel = _by_channel(first, second.size_in)
        if by_channel is not None:
            return replace(second, weights=second.weights * _of_inputs(by_channel, second))
    if isinstance(first, Pool) and isinstance(second, Convolution):
        return _pooled(first, second)
    return None


def _by_channel(scale: Scale, size: Shape) -> NDArray[np.float64] | None:
    """One factor a channel, or None where they differ within one."""
    factors = scale.factors.astype(np.float64).reshape(size[0], -1)
    return factors[:, 0] if (factors == factors[:, :1]).all() else None


def _of_inputs(by_channel: NDArray[np.float64], c: Convolution) -> NDArray[np.float64]:
    """Factors of the input channels as they lie in the weights: (out, in / groups, 1, 1)."""
    out_c, in_g = c.weights.shape[:2]
    groups = by_channel.reshape(c.groups, in_g)
    return groups.repeat(out_c // c.groups, axis=0)[:, :, None, None]


def _pooled(pool: Pool, conv: Convolution) -> Convolution | None:
    """Windows side by side become part of the kernel.

    Where the pool drops rows at the end, the larger kernel would read them in place of zeros: then
    None, unless it never gets there.
    """
    if pool.stride != pool.window or pool.padding != (0, 0) or conv.dilation != (1, 1):
        return None
    for axis in (0, 1):
        whole = pool.size_out[1 + axis] * pool.window[axis] == pool.size_in[1 + axis]
        if not whole and conv.after[axis] > 0:
            return None
    h, w = pool.window
    weights = conv.weights.astype(np.float64).repeat(h, axis=2).repeat(w, axis=3) * pool.weight
    return Convolution(
        weights,
        (conv.stride[0] * h, conv.stride[1] * w),
        (conv.before[0] * h, conv.before[1] * w),
        (conv.after[0] * h, conv.after[1] * w),
        (1, 1),
        conv.groups,
        pool.size_in,
        conv.size_out,
    )


# Into the network's synapses


def as_synapses(
    path: Path, shapes: tuple[Shape, Shape], dt_us: float, where: str
) -> synapses.Synapses:
    """The synapses of a simplified path (without its `ticks`, which the projection has).

    shapes: those of the two populations, which may be images flattened.
    """
    n_source = math.prod(shapes[0])
    if not path.operators:
        return synapses.Wires(path.factor)
    if len(path.operators) == 1:
        (only,) = path.operators
        if isinstance(only, Scale):
            return synapses.Wires(only.factors.astype(np.float64) * path.factor)
        if isinstance(only, Matrix) and only.weights.ndim == 2:
            return synapses.Dense(_times(only.weights, path.factor))
        images = isinstance(only, (Convolution, Pool)) and shapes == (only.size_in, only.size_out)
        if isinstance(only, Pool) and images:
            return synapses.Pool(only.window, only.stride, only.padding, only.weight * path.factor)
        if isinstance(only, Convolution) and images:
            even = _even(only)
            if even is not None:
                return synapses.Convolution(
                    _times(even.weights, path.factor),
                    even.stride, even.before, even.dilation, even.groups,
                )  # fmt: skip
    listed = as_list(path.operators, n_source, where)
    delays = listed.ticks * dt_us if listed.ticks.any() else None
    weights = _times(listed.weight, path.factor)
    return synapses.Sparse(listed.source, listed.target, weights, delays)


def _times(weights: NDArray[Any], factor: float) -> NDArray[Any]:
    return weights if factor == 1.0 else weights.astype(np.float64) * factor


def _even(c: Convolution) -> Convolution | None:
    """The same with as many zeros after as before, or None.

    'same' with an even kernel puts one zero more behind; a column of zeros before the kernel makes
    it odd. What lies behind the last window is read by nobody.
    """
    weights = np.asarray(c.weights)
    before = list(c.before)
    for axis in (0, 1):
        if c.after[axis] == c.before[axis] + 1 and c.dilation[axis] == 1:
            pad = [(0, 0)] * 4
            pad[2 + axis] = (1, 0)
            weights = np.pad(weights, pad)
            before[axis] += 1
        elif c.after[axis] != c.before[axis]:
            return None
    return replace(c, weights=weights, before=(before[0], before[1]), after=(before[0], before[1]))


def as_list(operators: tuple[Operator, ...], n_source: int, where: str) -> Listed:
    """Every synapse of a path, by source, then target; those of weight 0 are left out."""
    numbers = np.arange(n_source, dtype=np.int64)
    found = Listed(numbers, numbers, np.ones(n_source), np.zeros(n_source, dtype=np.int64))
    for operator in operators:
        if isinstance(operator, Scale):
            factors = operator.factors.astype(np.float64)[found.target]
            found = replace(found, weight=found.weight * factors)
        elif isinstance(operator, Late):
            found = replace(found, ticks=found.ticks + operator.ticks[found.target])
        else:
            found = _merged(_through(found, operator, where))
    kept = found.weight != 0
    return Listed(
        found.source[kept], found.target[kept], found.weight[kept], found.ticks[kept]
    )  # fmt: skip


def _through(found: Listed, operator: Matrix | Convolution | Pool, where: str) -> Listed:
    """Each synapse followed by every synapse of the operator from where it ends."""
    limit(size_of(operator), where)
    source, target, weight = connections(operator)
    order = np.argsort(source, kind="stable")
    source, target, weight = source[order], target[order], weight[order]
    first = np.searchsorted(source, found.target, "left")
    count = np.searchsorted(source, found.target, "right") - first
    total = int(count.sum())
    limit(total, where)
    own = np.repeat(np.arange(len(count)), count)
    offset = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
    at = first[own] + offset
    return Listed(found.source[own], target[at], found.weight[own] * weight[at], found.ticks[own])


def limit(count: int, where: str) -> None:
    if count > MOST_SYNAPSES:
        raise ModelError(
            f"{where}: operators between two populations make {count} synapses together; at most "
            f"{MOST_SYNAPSES} are accepted; put a population between them"
        )


def size_of(operator: Matrix | Convolution | Pool) -> int:
    """Synapses of an operator, at most."""
    if isinstance(operator, Matrix):
        return int(operator.weights.size)
    if isinstance(operator, Pool):
        return math.prod(operator.size_out) * math.prod(operator.window)
    return math.prod(operator.size_out[1:]) * int(operator.weights.size)


def _merged(found: Listed) -> Listed:
    """Synapses between the same two, equally late, added up."""
    if not len(found.source):
        return found
    order = np.lexsort((found.ticks, found.target, found.source))
    keys = np.stack([found.source[order], found.target[order], found.ticks[order]])
    starts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
    weight = np.add.reduceat(found.weight[order], starts)
    return Listed(keys[0, starts], keys[1, starts], weight, keys[2, starts])


def connections(
    operator: Matrix | Convolution | Pool,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(source, target, weight) of every synapse but those of weight 0."""
    if isinstance(operator, Matrix):
        weights = operator.weights.reshape(-1, *operator.weights.shape[-2:])
        block, row, column = np.nonzero(weights)
        values = weights[block, row, column].astype(np.float64)
        return block * weights.shape[2] + column, block * weights.shape[1] + row, values
    if isinstance(operator, Pool):
        channels = operator.size_in[0]
        weights = np.full((channels, 1, *operator.window), operator.weight)
        operator = Convolution(
            weights, operator.stride, operator.padding, operator.padding, (1, 1), channels,
            operator.size_in, operator.size_out,
        )  # fmt: skip
    return _of_convolution(operator)


def _of_convolution(
    c: Convolution,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    out_c, in_g, kernel_h, kernel_w = c.weights.shape
    _, in_h, in_w = c.size_in
    _, out_h, out_w = c.size_out
    first = (np.arange(out_c) // (out_c // c.groups) * in_g)[:, None] + np.arange(in_g)
    parts = []
    for i in range(kernel_h):
        y = np.arange(out_h) * c.stride[0] - c.before[0] + i * c.dilation[0]
        for j in range(kernel_w):
            x = np.arange(out_w) * c.stride[1] - c.before[1] + j * c.dilation[1]
            rows = np.flatnonzero((y >= 0) & (y < in_h))
            columns = np.flatnonzero((x >= 0) & (x < in_w))
            o, g = np.nonzero(c.weights[:, :, i, j])
            pixel_in = (y[rows][:, None] * in_w + x[columns]).reshape(-1)
            pixel_out = (rows[:, None] * out_w + columns).reshape(-1)
            source = first[o, g][:, None] * (in_h * in_w) + pixel_in
            target = o[:, None] * (out_h * out_w) + pixel_out
            weight = np.broadcast_to(
                c.weights[o, g, i, j].astype(np.float64)[:, None], source.shape
            )
            parts.append((source.reshape(-1), target.reshape(-1), weight.reshape(-1)))
    sources, targets, weights = zip(*parts, strict=True)
    return np.concatenate(sources), np.concatenate(targets), np.concatenate(weights)


def applied(operator: Operator, values: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """What constant values become behind an operator (a delay leaves them as they are)."""
    if isinstance(operator, Late):
        return values
    if isinstance(operator, Scale):
        return np.asarray(values * operator.factors)
    if isinstance(operator, Matrix):
        blocks = operator.weights.reshape(-1, *operator.weights.shape[-2:]).astype(np.float64)
        return np.asarray(
            np.einsum("boi,bi->bo", blocks, values.reshape(len(blocks), -1)).reshape(-1)
        )
    limit(size_of(operator), where)
    source, target, weight = connections(operator)
    n = math.prod(operator.size_out)
    return np.bincount(target, weights=weight * values[source], minlength=n).astype(np.float64)
