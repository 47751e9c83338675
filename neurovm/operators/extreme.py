# SPDX-License-Identifier: Apache-2.0
"""Where a row has its extreme: ArgMax, of TFLite's ARG_MAX and ARG_MIN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.arithmetic import NoExactRuleError
from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.builder import Layer, gather, table_layer
from neurovm.operators.reduction import REVERSED

if TYPE_CHECKING:
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder

MAX_INDICES = 256
"""Indices that one code can name."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ArgMax(Operator):
    """y = the index of the first largest (or smallest) code of x along `axis`, as code index − 128.

    TFLite's ARG_MAX and ARG_MIN. Inputs: x, axis (constant, read at conversion).
    """

    name: ClassVar[str] = "ArgMax"
    axis: int
    smallest: bool = False

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        axis = self.axis % len(shape) if shape else 0
        if not -len(shape) <= self.axis < len(shape) or shape[axis] > MAX_INDICES:
            raise NoExactRuleError(
                f"operator {self.index} ({self.source_name}): axis {self.axis} of {shape}; an axis "
                f"of at most {MAX_INDICES} codes is needed, so that its index is one code"
            )
        return ((*shape[:axis], *shape[axis + 1 :]),)

    def lower(self, builder: Builder) -> None:
        """A row is computed again when any of its codes changed."""
        x = builder.tensors[self.inputs[0]]
        value, axis = builder.value(self.inputs[0]), self.axis % len(x.shape)
        length = x.shape[axis]
        rows = math.prod(x.shape) // length
        if axis != len(x.shape) - 1:
            index = np.moveaxis(np.arange(x.size).reshape(x.shape), axis, -1)
            value = builder.emit(self.outputs[0], gather((value,), index, x.size))
        if self.smallest:
            value = builder.emit(self.outputs[0], table_layer(value, x.size, REVERSED[None]))
        layer = Layer(kind="ARGMAX", inputs=(value,), n=rows, rows=rows, out_c=length)
        builder.emit(self.outputs[0], layer)
