# SPDX-License-Identifier: Apache-2.0
"""Movements that repeat codes or turn them round, and the constants that are made of one value.

Their counts and shapes may be computed by the network from shapes; they must be constants once
these are folded. Source of the rules: tensorflow/lite/kernels/{tile,reverse,mirror_pad,
broadcast_to,fill,range}.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.errors import ModelError
from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.movement import Movement, positions

if TYPE_CHECKING:
    from neurovm.graph import Tensor
    from neurovm.operators.movement import Indices

MAX_RANK = 8
MAX_ELEMENTS = 1 << 27


def constant(
    operator: Operator, tensors: Sequence[Tensor], position: int, what: str
) -> tuple[int, ...]:
    """The integers of an input that must be a constant by now; ModelError where it is none."""
    tensor = tensors[operator.inputs[position]]
    where = f"operator {operator.index} ({operator.source_name})"
    if tensor.data is None:
        raise ModelError(f"{where}: its {what} are computed at run time; constants are needed")
    if tensor.dtype not in ("int32", "int64") or tensor.size > 2 * MAX_RANK:
        raise ModelError(
            f"{where}: its {what} are {tensor.size} {tensor.dtype}; at most {2 * MAX_RANK} int32 "
            f"or int64 are needed"
        )
    return tuple(int(n) for n in tensor.data.reshape(-1))


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Tile(Movement):
    """y repeats x along each axis as the multiples say. Inputs: x, multiples (constant)."""

    name: ClassVar[str] = "Tile"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape, counts = tensors[self.inputs[0]].shape, constant(self, tensors, 1, "multiples")
        if len(counts) != len(shape) or min((*counts, 1)) < 1 or max((*counts, 1)) > MAX_ELEMENTS:
            raise self.refused(
                f"multiples {counts} do not fit {shape}; 1 or more an axis is needed"
            )
        return (tuple(n * k for n, k in zip(shape, counts, strict=True)),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        index = positions(tensors[self.inputs[0]].shape)
        return (np.tile(index, constant(self, tensors, 1, "multiples")),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastTo(Movement):
    """y is x, its axes of size 1 repeated to the shape. Inputs: x, shape (constant)."""

    name: ClassVar[str] = "BroadcastTo"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape, wanted = tensors[self.inputs[0]].shape, constant(self, tensors, 1, "sizes")
        padded = (1,) * (len(wanted) - len(shape)) + shape
        if len(padded) != len(wanted) or any(
            n not in (1, m) or not 1 <= m <= MAX_ELEMENTS
            for n, m in zip(padded, wanted, strict=True)
        ):
            raise self.refused(f"{shape} does not broadcast to {wanted}")
        return (wanted,)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        index = positions(tensors[self.inputs[0]].shape)
        return (np.broadcast_to(index, constant(self, tensors, 1, "sizes")),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Reverse(Movement):
    """y is x turned round along some axes. TFLite's REVERSE_V2. Inputs: x, axes (constant)."""

    name: ClassVar[str] = "Reverse"

    def axes(self, tensors: Sequence[Tensor]) -> tuple[int, ...]:
        """The axes from the front."""
        rank = len(tensors[self.inputs[0]].shape)
        axes = tuple(self.axis_of(a, rank) for a in constant(self, tensors, 1, "axes"))
        if len(set(axes)) != len(axes):
            raise self.refused(f"axes {axes} name one twice")
        return axes

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        self.axes(tensors)
        return (tensors[self.inputs[0]].shape,)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        return (np.flip(positions(tensors[self.inputs[0]].shape), self.axes(tensors)),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorPad(Movement):
    """y is x with its mirror image around it; `symmetric` repeats the edge, else it does not.

    Inputs: x, paddings (constant).
    """

    name: ClassVar[str] = "MirrorPad"
    symmetric: bool = False

    def pairs(self, tensors: Sequence[Tensor]) -> tuple[tuple[int, int], ...]:
        """Elements before and after each axis."""
        shape, flat = tensors[self.inputs[0]].shape, constant(self, tensors, 1, "paddings")
        pairs = tuple(zip(flat[0::2], flat[1::2], strict=False))
        most = [n if self.symmetric else n - 1 for n in shape]
        if len(flat) != 2 * len(shape) or any(
            not 0 <= p <= m for pair, m in zip(pairs, most, strict=True) for p in pair
        ):
            raise self.refused(
                f"paddings {flat} do not fit {shape}; a mirror image is at most {tuple(most)}"
            )
        return pairs

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape, pairs = tensors[self.inputs[0]].shape, self.pairs(tensors)
        return (tuple(b + n + a for n, (b, a) in zip(shape, pairs, strict=True)),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        index, pairs = positions(tensors[self.inputs[0]].shape), self.pairs(tensors)
        padded: Indices = (
            np.pad(index, pairs, "symmetric") if self.symmetric else np.pad(index, pairs, "reflect")
        )
        return (padded,)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Fill(Operator):
    """y holds one value everywhere. Inputs: sizes, value (constants)."""

    name: ClassVar[str] = "Fill"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        sizes = constant(self, tensors, 0, "sizes")
        if tensors[self.inputs[1]].size != 1 or any(not 1 <= n <= MAX_ELEMENTS for n in sizes):
            raise ModelError(
                f"operator {self.index} ({self.source_name}): sizes {sizes} and a value of "
                f"{tensors[self.inputs[1]].size} elements; 1 or more an axis, and one value, are "
                f"needed"
            )
        return (sizes,)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Range(Operator):
    """y = start, start + delta, … below limit. Inputs: start, limit, delta (constants)."""

    name: ClassVar[str] = "Range"

    def bounds(self, tensors: Sequence[Tensor]) -> tuple[float, float, float]:
        """Start, limit, delta; ModelError where they are no constants or make no list."""
        numbers = [tensors[i].data for i in self.inputs]
        found = [float(n.reshape(-1)[0]) for n in numbers if n is not None and n.size == 1]
        if len(found) != 3 or found[2] == 0 or not np.isfinite(found).all():
            raise ModelError(
                f"operator {self.index} ({self.source_name}): start, limit and delta {found}; "
                f"three constants, delta not 0, are needed"
            )
        return found[0], found[1], found[2]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        start, limit, delta = self.bounds(tensors)
        return ((max(0, int(np.ceil(min((limit - start) / delta, 2.0 * MAX_ELEMENTS)))),),)
