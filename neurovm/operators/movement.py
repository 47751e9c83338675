# SPDX-License-Identifier: Apache-2.0
"""Operators that only move codes: each says where every output code comes from.

`sources` gives, for each output, the index of the code it takes among the codes of the data inputs
(concatenated in C order), or −1 for the fill code. Lowering makes MAP layers of it, the oracle
takes by it, folding too: one definition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.errors import ModelError
from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.builder import gather, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic import Profile
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder

    Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement(Operator):
    """Base of all that only move codes: they are copied whatever the scales say, as in TFLite."""

    @property
    def data_inputs(self) -> tuple[int, ...]:
        """The inputs whose codes are moved; the others are constants read at conversion."""
        return self.inputs[:1]

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        """For each output an array of its shape: indices into the data inputs, or −1."""
        raise NotImplementedError  # each operator has its own

    def fill(self, tensors: Sequence[Tensor], profile: Profile) -> int:
        """The code, as int8, where `sources` says −1."""
        del profile
        return tensors[self.inputs[0]].codes.as_int8.zero_point

    def lower(self, builder: Builder) -> None:
        """Codes move to their new places; nothing is computed, and unmoved ones cost nothing."""
        sizes = [builder.tensors[i].size for i in self.data_inputs]
        source = joined(
            builder, self.outputs[0], [builder.value(i) for i in self.data_inputs], sizes
        )
        for output, index in zip(self.outputs, self.sources(builder.tensors), strict=True):
            if np.array_equal(index.reshape(-1), np.arange(sum(sizes))) and len(source) == 1:
                builder.alias(output, source[0])
                continue
            fill = self.fill(builder.tensors, builder.profile) if (index < 0).any() else 0
            builder.emit(output, gather(source, index, sum(sizes), fill))

    def refused(self, found: str) -> ModelError:
        return ModelError(f"operator {self.index} ({self.source_name}): {found}")

    def axis_of(self, axis: int, rank: int) -> int:
        """An axis counted from the front; ModelError outside the rank."""
        if not -rank <= axis < rank:
            raise self.refused(f"axis {axis} does not fit {rank} axes")
        return axis % rank


def positions(shape: Shape, first: int = 0) -> Indices:
    """The index of every element of a tensor whose codes begin at `first`."""
    return np.arange(first, first + math.prod(shape)).reshape(shape)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Concatenation(Movement):
    """y = the inputs one after the other along `axis`. All share one scale and zero point."""

    name: ClassVar[str] = "Concatenation"
    axis: int

    @property
    def data_inputs(self) -> tuple[int, ...]:
        return self.inputs

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shapes = [tensors[i].shape for i in self.inputs]
        axis = self.axis_of(self.axis, len(shapes[0]))
        rest = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
        if len(rest) != 1:
            raise self.refused(f"shapes {shapes} cannot be joined along axis {axis}")
        total = sum(s[axis] for s in shapes)
        return ((*shapes[0][:axis], total, *shapes[0][axis + 1 :]),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        parts, first = [], 0
        for i in self.inputs:
            parts.append(positions(tensors[i].shape, first))
            first += tensors[i].size
        return (np.concatenate(parts, axis=self.axis),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Pack(Movement):
    """y = the inputs stacked along a new axis. Inputs: values of one shape."""

    name: ClassVar[str] = "Pack"
    axis: int = 0

    @property
    def data_inputs(self) -> tuple[int, ...]:
        return self.inputs

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shapes = [tensors[i].shape for i in self.inputs]
        if len(set(shapes)) != 1:
            raise self.refused(f"shapes {shapes} cannot be stacked; equal ones are needed")
        axis = self.axis_of(self.axis, len(shapes[0]) + 1)
        return ((*shapes[0][:axis], len(shapes), *shapes[0][axis:]),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        shape, size = tensors[self.inputs[0]].shape, tensors[self.inputs[0]].size
        parts = [positions(shape, i * size) for i in range(len(self.inputs))]
        return (np.stack(parts, axis=self.axis),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Unpack(Movement):
    """The inverse of Pack: output k is x at k along `axis`. Input: x."""

    name: ClassVar[str] = "Unpack"
    axis: int = 0

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        axis = self.axis_of(self.axis, len(shape))
        if shape[axis] != len(self.outputs):
            raise self.refused(
                f"{shape} along axis {axis} does not make {len(self.outputs)} outputs"
            )
        return ((*shape[:axis], *shape[axis + 1 :]),) * len(self.outputs)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        index = np.moveaxis(positions(tensors[self.inputs[0]].shape), self.axis, 0)
        return tuple(index)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Split(Movement):
    """The outputs are consecutive parts of x along `axis`, with `sizes` (one may be −1).

    TFLite's SPLIT (equal parts; input 1 is x) and SPLIT_V. `data` is the position of x among the
    inputs.
    """

    name: ClassVar[str] = "Split"
    axis: int
    sizes: tuple[int, ...] = ()
    """Empty: equal parts."""
    data: int = 0

    @property
    def data_inputs(self) -> tuple[int, ...]:
        return (self.inputs[self.data],)

    def parts(self, tensors: Sequence[Tensor]) -> tuple[int, tuple[int, ...]]:
        """The axis from the front, and the size of each part along it."""
        shape = tensors[self.data_inputs[0]].shape
        axis, count = self.axis_of(self.axis, len(shape)), len(self.outputs)
        sizes = self.sizes or (shape[axis] // count,) * count
        if sizes.count(-1) == 1:
            rest = shape[axis] - sum(n for n in sizes if n != -1)
            sizes = tuple(rest if n == -1 else n for n in sizes)
        if len(sizes) != count or min(sizes) < 0 or sum(sizes) != shape[axis]:
            raise self.refused(f"parts of {sizes} do not make up {shape} along axis {axis}")
        return axis, sizes

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.data_inputs[0]].shape
        axis, sizes = self.parts(tensors)
        return tuple((*shape[:axis], n, *shape[axis + 1 :]) for n in sizes)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        axis, sizes = self.parts(tensors)
        index = positions(tensors[self.data_inputs[0]].shape)
        return tuple(np.split(index, np.cumsum(sizes)[:-1], axis=axis))


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Slice(Movement):
    """y = x[begin : begin + size] on every axis; a size of −1 goes to the end. Input: x."""

    name: ClassVar[str] = "Slice"
    begin: tuple[int, ...]
    size: tuple[int, ...]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        if not len(self.begin) == len(self.size) == len(shape):
            raise self.refused(f"begin {self.begin} and size {self.size} do not fit {shape}")
        sizes = tuple(
            n - b if s == -1 else s for n, b, s in zip(shape, self.begin, self.size, strict=True)
        )
        if any(
            b < 0 or s < 1 or b + s > n for n, b, s in zip(shape, self.begin, sizes, strict=True)
        ):
            raise self.refused(f"begin {self.begin} and size {self.size} reach outside {shape}")
        return (sizes,)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        (sizes,) = self.infer_shapes(tensors)
        cut = tuple(slice(b, b + s) for b, s in zip(self.begin, sizes, strict=True))
        return (positions(tensors[self.inputs[0]].shape)[cut],)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class StridedSlice(Movement):
    """y = x[begin:end:stride] an axis, with TFLite's masks. Inputs: x, begin, end, strides
    (constants).
    """

    name: ClassVar[str] = "StridedSlice"
    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0
    offset: bool = False

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x, parts = tensors[self.inputs[0]], self.slices(tensors)
        kept = [
            len(range(*part.indices(n)))
            for n, part in zip(x.shape, parts, strict=False)
            if isinstance(part, slice)
        ]
        return ((*kept, *x.shape[len(parts) :]),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        index = positions(tensors[self.inputs[0]].shape)[self.slices(tensors)]
        return (np.asarray(index),)

    def slices(self, tensors: Sequence[Tensor]) -> tuple[slice | int, ...]:
        """What Python's indexing would take; ModelError for any mask but begin, end, shrink."""
        x = tensors[self.inputs[0]]
        bounds = [tensors[i].data for i in self.inputs[1:4]]
        if self.ellipsis_mask or self.new_axis_mask or self.offset or len(bounds) != 3:
            raise self.refused("only begin, end and shrink masks are known")
        if any(b is None for b in bounds):
            raise self.refused("begin, end and strides must be constants")
        begin, end, stride = ([int(v) for v in b.reshape(-1)] for b in bounds if b is not None)
        if not len(begin) == len(end) == len(stride) <= len(x.shape) or 0 in stride:
            raise self.refused(f"begin {begin}, end {end}, strides {stride} do not fit {x.shape}")
        parts: list[slice | int] = []
        for a, (b, e, s) in enumerate(zip(begin, end, stride, strict=True)):
            if self.shrink_axis_mask >> a & 1:
                if not -x.shape[a] <= b < x.shape[a]:
                    raise self.refused(f"index {b} is outside {x.shape}")
                parts.append(b)
            else:
                first = None if self.begin_mask >> a & 1 else b
                parts.append(slice(first, None if self.end_mask >> a & 1 else e, s))
        return tuple(parts)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose(Movement):
    """y has axis `order[a]` of x as its axis a. Inputs: x, order (constant)."""

    name: ClassVar[str] = "Transpose"
    order: tuple[int, ...]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        order = tuple(self.axis_of(a, len(shape)) for a in self.order)
        if sorted(order) != list(range(len(shape))):
            raise self.refused(f"order {self.order} does not name every axis of {shape} once")
        return (tuple(shape[a] for a in order),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        return (positions(tensors[self.inputs[0]].shape).transpose(self.order),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Gather(Movement):
    """y = x at the indices along `axis`. Inputs: x, indices (constant)."""

    name: ClassVar[str] = "Gather"
    axis: int = 0

    def indices(self, tensors: Sequence[Tensor]) -> tuple[int, Indices]:
        """The axis from the front and the indices along it."""
        shape, found = tensors[self.inputs[0]].shape, tensors[self.inputs[1]].data
        axis = self.axis_of(self.axis, len(shape))
        if found is None:
            raise self.refused(
                "indices are computed at run time; constants are needed (for words: look them up "
                "outside and feed their vectors)"
            )
        index = found.astype(np.int64)
        if index.size and not 0 <= index.min() <= index.max() < shape[axis]:
            raise self.refused(
                f"indices {index.min()} to {index.max()} reach outside {shape[axis]}"
            )
        return axis, index

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        axis, index = self.indices(tensors)
        return ((*shape[:axis], *index.shape, *shape[axis + 1 :]),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        axis, index = self.indices(tensors)
        return (np.take(positions(tensors[self.inputs[0]].shape), index, axis=axis),)
