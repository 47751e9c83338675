# SPDX-License-Identifier: Apache-2.0
"""Operators that change the number format of a value: Quantize, Dequantize."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.arithmetic.tables import all_codes
from neurovm.errors import ModelError
from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.builder import table_layer

if TYPE_CHECKING:
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Quantize(Operator):
    """code' = clamp(round(x / s') + z'), x real (float32) or s · (code − z) (int8, uint8,
    int16). Input: x.
    """

    name: ClassVar[str] = "Quantize"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def lower(self, builder: Builder) -> None:
        """From float32 at the edge, as values arrive; between codes a table of them all."""
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        if x.dtype == "float32":
            if self.inputs[0] not in builder.inputs:
                raise ModelError(
                    f"operator {self.index} ({self.source_name}) quantizes {x.name!r}, which is "
                    "computed "
                    f"in float32; only inputs of the network can be float32"
                )
            builder.alias(self.outputs[0], builder.value(self.inputs[0]))
            return
        rule = builder.profile.requantize(x.codes, y.codes, x.size)
        tables, run = [rule.tail], x.size
        if rule.head_count:
            tables, run = [rule.head, rule.tail], rule.head_count
        if x.codes.as_int8.dtype == y.codes.as_int8.dtype and all(
            np.array_equal(t, all_codes(x.codes)) for t in tables
        ):
            builder.alias(self.outputs[0], builder.value(self.inputs[0]))
            return
        value = builder.value(self.inputs[0])
        builder.emit(self.outputs[0], table_layer(value, x.size, np.stack(tables), run))


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Dequantize(Operator):
    """y = s · (code − z) as float32. Input: x. Only where y is an output of the network."""

    name: ClassVar[str] = "Dequantize"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def lower(self, builder: Builder) -> None:
        """No layer: the codes leave as they are, and `Model.from_codes` gives their values."""
        builder.alias(self.outputs[0], builder.value(self.inputs[0]))
