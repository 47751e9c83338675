# SPDX-License-Identifier: Apache-2.0
"""Operators that change shapes and leave codes in their order, and those that only handle shapes.

ShapeOf is folded to a constant once the batch is fixed; it has no lowering.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from neurovm.errors import ModelError
from neurovm.operators.base import Operator, Shape, register

if TYPE_CHECKING:
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder


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
class Squeeze(Operator):
    """y = x without the axes of size 1 in `axes` (empty: all of size 1). Input: x."""

    name: ClassVar[str] = "Squeeze"
    axes: tuple[int, ...] = ()

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        gone = {a % len(shape) for a in self.axes if -len(shape) <= a < len(shape)}
        if len(gone) != len(set(self.axes)) or any(shape[a] != 1 for a in gone):
            raise ModelError(
                f"operator {self.index} ({self.source_name}): axes {self.axes} of {shape} cannot "
                f"be dropped; axes of size 1 are needed"
            )
        gone = gone or {a for a, n in enumerate(shape) if n == 1}
        return (tuple(n for a, n in enumerate(shape) if a not in gone),)

    def lower(self, builder: Builder) -> None:
        """No layer: the same codes in the same order."""
        builder.alias(self.outputs[0], builder.value(self.inputs[0]))


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandDims(Operator):
    """y = x with a new axis of size 1 at `axis`. Inputs: x, axis (constant)."""

    name: ClassVar[str] = "ExpandDims"
    axis: int

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        if not -len(shape) - 1 <= self.axis <= len(shape):
            raise ModelError(
                f"operator {self.index} ({self.source_name}): axis {self.axis} does not fit {shape}"
            )
        axis = self.axis % (len(shape) + 1)
        return ((*shape[:axis], 1, *shape[axis:]),)

    def lower(self, builder: Builder) -> None:
        """No layer: the same codes in the same order."""
        builder.alias(self.outputs[0], builder.value(self.inputs[0]))
