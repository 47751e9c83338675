# SPDX-License-Identifier: Apache-2.0
"""Operators that move codes without arithmetic, and those that only ever handle shapes.

ShapeOf, StridedSlice and Pack are folded to constants once the batch is fixed; they have no
lowering.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.errors import ModelError
from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.builder import gather

if TYPE_CHECKING:
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Operator):
    """y is x with `before[a]` and `after[a]` zeros (real 0.0) around axis a. Inputs: x, paddings
    (constant).
    """

    name: ClassVar[str] = "Pad"
    before: tuple[int, ...]
    after: tuple[int, ...]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x = tensors[self.inputs[0]]
        if (
            not len(self.before) == len(self.after) == len(x.shape)
            or min((*self.before, *self.after, 0)) < 0
        ):
            raise ModelError(
                f"operator {self.index} ({self.source_name}): paddings {self.before}, "
                f"{self.after} do not fit input "
                f"{x.shape}; one pair of non-negative numbers an axis is needed"
            )
        return (tuple(b + n + a for b, n, a in zip(self.before, x.shape, self.after, strict=True)),)

    def lower(self, builder: Builder) -> None:
        """Codes move to their new places; the rim holds the code of 0.0 and never sends."""
        x = builder.tensors[self.inputs[0]]
        index = np.pad(
            np.arange(x.size, dtype=np.int32).reshape(x.shape),
            tuple(zip(self.before, self.after, strict=True)),
            constant_values=-1,
        )
        value = builder.value(self.inputs[0])
        fill = x.codes.as_int8.zero_point
        builder.emit(self.outputs[0], gather((value,), index, x.size, fill))


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape(Operator):
    """y holds the elements of x in the same (C) order under another shape.

    Inputs: x, and where the source gives it so, the shape (constant after folding).
    """

    name: ClassVar[str] = "Reshape"
    new_shape: Shape | None = None
    """The source's attribute; the shape input counts first. One entry may be -1."""

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x = tensors[self.inputs[0]]
        wanted = self.new_shape
        if (
            len(self.inputs) > 1
            and self.inputs[1] != -1
            and (data := tensors[self.inputs[1]].data) is not None
        ):
            wanted = tuple(int(n) for n in data.reshape(-1))
        if wanted is None:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): the new shape is computed at run "
                "time; "
                f"a constant shape (a fixed batch) is needed"
            )
        known = math.prod(n for n in wanted if n != -1)
        if wanted.count(-1) == 1 and known > 0 and x.size % known == 0:
            wanted = tuple(x.size // known if n == -1 else n for n in wanted)
        if math.prod(wanted) != x.size or min((*wanted, 0)) < 0:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): shape {wanted} does not hold the "
                f"{x.size} elements of {x.shape}"
            )
        return (wanted,)

    def lower(self, builder: Builder) -> None:
        """No layer: the same codes in the same order."""
        builder.alias(self.outputs[0], builder.value(self.inputs[0]))


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeOf(Operator):
    """y = the shape of x, int32 or int64. TFLite's SHAPE. Input: x."""

    name: ClassVar[str] = "ShapeOf"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return ((len(tensors[self.inputs[0]].shape),),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class StridedSlice(Operator):
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
        index = self.slices(tensors)
        x = tensors[self.inputs[0]]
        shape: list[int] = []
        for n, part in zip(x.shape, index, strict=False):
            if isinstance(part, slice):
                shape.append(len(range(*part.indices(n))))
        return ((*shape, *x.shape[len(index) :]),)

    def slices(self, tensors: Sequence[Tensor]) -> tuple[slice | int, ...]:
        """What Python's indexing would take; ModelError for any mask but begin, end, shrink."""
        x = tensors[self.inputs[0]]
        bounds = [tensors[i].data for i in self.inputs[1:4]]
        if self.ellipsis_mask or self.new_axis_mask or self.offset or len(bounds) != 3:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): only begin, end and shrink masks "
                "are known"
            )
        if any(b is None for b in bounds):
            raise ModelError(
                f"operator {self.index} ({self.source_name}): begin, end and strides must be "
                "constants"
            )
        begin, end, stride = ([int(v) for v in b.reshape(-1)] for b in bounds if b is not None)
        if not len(begin) == len(end) == len(stride) <= len(x.shape) or 0 in stride:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): begin {begin}, end {end}, strides "
                f"{stride} do not fit {x.shape}"
            )
        parts: list[slice | int] = []
        for a, (b, e, s) in enumerate(zip(begin, end, stride, strict=True)):
            if self.shrink_axis_mask >> a & 1:
                if not -x.shape[a] <= b < x.shape[a]:
                    raise ModelError(
                        f"operator {self.index} ({self.source_name}): index {b} is outside "
                        f"{x.shape}"
                    )
                parts.append(b)
            else:
                parts.append(
                    slice(
                        None if self.begin_mask >> a & 1 else b,
                        None if self.end_mask >> a & 1 else e,
                        s,
                    )
                )
        return tuple(parts)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Pack(Operator):
    """y = the inputs stacked along a new axis. Inputs: values of one shape."""

    name: ClassVar[str] = "Pack"
    axis: int = 0

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shapes = {tensors[i].shape for i in self.inputs}
        first = tensors[self.inputs[0]].shape
        axis = self.axis + len(first) + 1 if self.axis < 0 else self.axis
        if len(shapes) != 1 or not 0 <= axis <= len(first):
            raise ModelError(
                f"operator {self.index} ({self.source_name}): shapes {sorted(shapes)} cannot be "
                f"stacked along axis {self.axis}"
            )
        return ((*first[:axis], len(self.inputs), *first[axis:]),)
