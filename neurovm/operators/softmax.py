# SPDX-License-Identifier: Apache-2.0
"""Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from neurovm.arithmetic import NoExactRuleError, SoftmaxRule
from neurovm.errors import ModelError
from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.builder import Layer

if TYPE_CHECKING:
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder


MAX_FIXED_LENGTH = 4095
"""Codes of a row whose exponentials, each up to 1, fit Q12.19."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(Operator):
    """y[r, i] = exp(β x[r, i]) / Σ_j exp(β x[r, j]) along the last axis. Input: x (…, n)."""

    name: ClassVar[str] = "Softmax"
    beta: float = 1.0

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x = tensors[self.inputs[0]]
        if not x.shape or x.size == 0:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): input {x.shape} has no last axis"
            )
        return (x.shape,)

    def lower(self, builder: Builder) -> None:
        """A row is computed again when any of its codes changed."""
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        rule = builder.profile.softmax(x.codes, y.codes.as_int8, self.beta)
        fields: dict[str, Any] = {"kind": "SOFTMAXQ"}
        if isinstance(rule, SoftmaxRule):
            fields = {"kind": "SOFTMAX", "scale": np.array([rule.scale_out], np.float32)}
        elif x.shape[-1] > MAX_FIXED_LENGTH:
            raise NoExactRuleError(
                f"rows of {x.shape[-1]}; {MAX_FIXED_LENGTH} at most are summed without overflow"
            )
        builder.emit(
            self.outputs[0],
            Layer(
                inputs=(builder.value(self.inputs[0]),),
                n=x.size,
                rows=x.size // x.shape[-1],
                out_c=x.shape[-1],
                zero_out=rule.zero_out,
                table0=rule.table,
                **fields,
            ),
        )
