# SPDX-License-Identifier: Apache-2.0
"""Operators that normalize rows: Softmax, LogSoftmax, L2Normalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from neurovm.arithmetic import FixedLogSoftmaxRule, NoExactRuleError, SoftmaxRule, WideSoftmaxRule
from neurovm.errors import ModelError
from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.builder import Layer

if TYPE_CHECKING:
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder


MAX_SQUARES = 1 << 15
"""Codes of a row whose squares, each up to 255², fit int32."""
MAX_WIDE_LENGTH = 65535
"""Codes of a row whose exponentials, each below 2^15, fit int32."""
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
        if not x.shape:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): input {x.shape} has no last axis"
            )
        return (x.shape,)

    def lower(self, builder: Builder) -> None:
        """A row is computed again when any of its codes changed."""
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        rule = builder.profile.softmax(x.codes, y.codes.as_int8, self.beta)
        fields: dict[str, Any] = {"kind": "SOFTMAX", "wide": y.dtype == "int16"}
        if isinstance(rule, WideSoftmaxRule):
            fields |= {"table0": rule.exponentials, "table1": rule.reciprocals}
            fields |= {"lo": 0}
            if x.shape[-1] > MAX_WIDE_LENGTH:
                raise NoExactRuleError(
                    f"rows of {x.shape[-1]}; {MAX_WIDE_LENGTH} at most are summed without overflow"
                )
        elif isinstance(rule, SoftmaxRule):
            fields["scale"] = np.array([rule.scale_out], np.float32)
            fields |= {"zero_out": rule.zero_out, "table0": rule.table}
        elif x.shape[-1] > MAX_FIXED_LENGTH:
            raise NoExactRuleError(
                f"rows of {x.shape[-1]}; {MAX_FIXED_LENGTH} at most are summed without overflow"
            )
        else:
            fields |= {"kind": "SOFTMAXQ", "zero_out": rule.zero_out, "table0": rule.table}
        builder.emit(
            self.outputs[0],
            Layer(
                inputs=(builder.value(self.inputs[0]),),
                n=x.size,
                rows=x.size // x.shape[-1],
                out_c=x.shape[-1],
                **fields,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows(Operator):
    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x = tensors[self.inputs[0]]
        if not x.shape:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): input {x.shape} has no last axis"
            )
        return (x.shape,)

    def _emit(self, builder: Builder, **fields: Any) -> None:
        x = builder.tensors[self.inputs[0]]
        value = builder.value(self.inputs[0])
        rows = x.size // x.shape[-1]
        layer = Layer(inputs=(value,), n=x.size, rows=rows, out_c=x.shape[-1], **fields)
        builder.emit(self.outputs[0], layer)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LogSoftmax(_Rows):
    """y[r, i] = x[r, i] − ln Σ_j exp(x[r, j]) along the last axis. Input: x (…, n)."""

    name: ClassVar[str] = "LogSoftmax"
    function: ClassVar[str] = "log_softmax"

    def lower(self, builder: Builder) -> None:
        """A row is computed again when any of its codes changed."""
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        rule = builder.profile.log_softmax(x.codes, y.codes)
        if isinstance(rule, FixedLogSoftmaxRule):
            if x.shape[-1] > MAX_FIXED_LENGTH:
                raise NoExactRuleError(
                    f"rows of {x.shape[-1]}; {MAX_FIXED_LENGTH} at most are summed without overflow"
                )
            tables = {"table0": rule.table, "table1": rule.differences}
            self._emit(builder, kind="LOGSOFTMAXQ", zero_out=rule.zero_out, **tables)
            return
        scales = np.array([rule.scale_in, rule.scale_out], np.float32)
        self._emit(
            builder, kind="LOGSOFTMAX", table0=rule.table, scale=scales, zero_out=rule.zero_out
        )


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class L2Normalization(_Rows):
    """y[r, i] = x[r, i] / √(Σ_j x[r, j]²) along the last axis. Input: x (…, n)."""

    name: ClassVar[str] = "L2Normalization"

    def lower(self, builder: Builder) -> None:
        """A row is computed again when any of its codes changed."""
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        if x.shape[-1] > MAX_SQUARES:
            raise NoExactRuleError(
                f"rows of {x.shape[-1]}; {MAX_SQUARES} at most are summed without overflow"
            )
        rule = builder.profile.l2_normalization(x.codes, y.codes)
        self._emit(builder, kind="L2NORM", table0=rule.steps)
