# SPDX-License-Identifier: Apache-2.0
"""Operators that work element by element on two inputs: Add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.errors import ModelError
from neurovm.operators.base import Activation, Operator, Shape, register
from neurovm.operators.builder import Layer, gather, requantizer_fields

if TYPE_CHECKING:
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder, Value


def broadcast_shape(operator: Operator, a: Shape, b: Shape) -> Shape:
    """NumPy's broadcasting, which TFLite follows; ModelError where the shapes do not meet."""
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    shape = []
    for m, n in pairs:
        if m != n and 1 not in (m, n):
            raise ModelError(
                f"operator {operator.index} ({operator.source_name}): shapes {a} and {b} do not "
                "broadcast; "
                f"equal sizes, or 1, are needed on every axis"
            )
        shape.append(n if m == 1 else m)
    return tuple(shape)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Operator):
    """y = act(a + b), element by element, broadcast. Inputs: a, b (either may be constant)."""

    name: ClassVar[str] = "Add"
    activation: Activation = "NONE"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return (
            broadcast_shape(self, tensors[self.inputs[0]].shape, tensors[self.inputs[1]].shape),
        )

    def lower(self, builder: Builder) -> None:
        """An element is computed again when one of its inputs changed, from two tables.

        A broadcast input is spread by a MAP layer first.
        """
        y = builder.tensors[self.outputs[0]]
        a, b = (builder.tensors[i] for i in self.inputs)
        rule = builder.profile.add(a.codes, b.codes, y.codes.as_int8, self.activation)
        builder.emit(
            self.outputs[0],
            Layer(
                kind="ADD",
                inputs=(self._spread(builder, 0), self._spread(builder, 1)),
                n=y.size,
                table0=rule.table_a,
                table1=rule.table_b,
                **requantizer_fields(rule.requantizer, 1),
            ),
        )

    def _spread(self, builder: Builder, port: int) -> Value:
        x, shape = builder.tensors[self.inputs[port]], builder.tensors[self.outputs[0]].shape
        value = builder.value(self.inputs[port])
        if x.shape == shape or x.size == builder.tensors[self.outputs[0]].size:
            return value
        index = np.broadcast_to(np.arange(x.size, dtype=np.int32).reshape(x.shape), shape)
        return builder.emit(self.outputs[0], gather((value,), index, x.size))
