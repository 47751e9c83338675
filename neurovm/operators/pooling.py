# SPDX-License-Identifier: Apache-2.0
"""Operators that reduce neighbourhoods: AveragePool2D, MaxPool2D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from neurovm.arithmetic import NoExactRuleError
from neurovm.errors import ModelError
from neurovm.operators.base import Activation, Operator, Padding, Shape, register
from neurovm.operators.builder import Layer
from neurovm.operators.window import emit_each_sample, output_size, window_of

if TYPE_CHECKING:
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder


MAX_SUM = 1 << 30
"""Of the codes of one window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool2D(Operator):
    padding: Padding
    window: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    activation: Activation = "NONE"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x = tensors[self.inputs[0]]
        if len(x.shape) != 4:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): input {x.shape} must be (N, H, W, C)"
            )
        height, width = output_size(self, x.shape[1:3], self.window)
        return ((x.shape[0], height, width, x.shape[3]),)

    def _layer(self, builder: Builder, **fields: Any) -> None:
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        if (x.codes.scale, x.codes.zero_point) != (y.codes.scale, y.codes.zero_point):
            raise ModelError(
                f"operator {self.index} ({self.source_name}): input and output are quantized "
                f"differently ({x.codes} and {y.codes}); a pool needs the same scale and zero point"
            )
        window = window_of(self, builder.tensors, self.window)
        n = math.prod(window.out_shape)
        emit_each_sample(
            builder, self, lambda value: Layer(inputs=(value,), n=n, window=window, **fields)
        )


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePool2D(_Pool2D):
    """y[p, c] = act(mean of the valid x[stride·p − pad + t, c]). Input: x (1, H, W, C)."""

    name: ClassVar[str] = "AveragePool2D"

    def lower(self, builder: Builder) -> None:
        """Sums of raw codes; the quotient is taken again where a sum changed."""
        codes = builder.tensors[self.outputs[0]].codes
        lo, hi = builder.profile.average_pool_range(codes.as_int8, self.activation)
        taps = self.window[0] * self.window[1]
        rule = (int(codes.dtype == "uint8"), 0)
        bound = -codes.as_int8.limits[0] * taps
        if bound > MAX_SUM:
            raise NoExactRuleError(
                f"windows of {taps} codes; sums of {MAX_SUM} at most fit without overflow"
            )
        self._layer(builder, kind="AVGPOOL", lo=lo, hi=hi, acc_bound=bound, aux=rule)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool2D(_Pool2D):
    """y[p, c] = act(max of the valid x[stride·p − pad + t, c]). Input: x (1, H, W, C)."""

    name: ClassVar[str] = "MaxPool2D"

    def lower(self, builder: Builder) -> None:
        """The maximum is held; a window is looked at again only when its maximum fell."""
        out = builder.tensors[self.outputs[0]].codes.as_int8
        lo, hi = builder.profile.max_pool_range(out, self.activation)
        self._layer(builder, kind="MAXPOOL", lo=lo, hi=hi)
