# SPDX-License-Identifier: Apache-2.0
"""Variables: memory that a network reads and assigns by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from neurovm.operators.base import Operator, Shape, register

if TYPE_CHECKING:
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ReadVariable(Operator):
    """y = what a variable holds. TFLite's READ_VARIABLE.

    Input: the tensor it holds at that point of the execution, that of a state of the graph before
    it is assigned, else the one that was assigned last.
    """

    name: ClassVar[str] = "ReadVariable"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        held, out = tensors[self.inputs[0]], tensors[self.outputs[0]]
        return (out.shape if out.size == held.size else held.shape,)

    def lower(self, builder: Builder) -> None:
        """No layer: the same codes in the same order."""
        builder.alias(self.outputs[0], builder.value(self.inputs[0]))
