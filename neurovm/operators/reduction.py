# SPDX-License-Identifier: Apache-2.0
"""Operators that reduce whole axes: Mean, Sum, ReduceMax, ReduceMin.

ReduceProd is folded to a constant once the batch is fixed; it has no lowering.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.arithmetic import NoExactRuleError
from neurovm.arithmetic.tables import all_codes
from neurovm.errors import ModelError
from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.builder import Layer, Window, gather, requantizer_fields, table_layer

if TYPE_CHECKING:
    from neurovm.arithmetic import Codes, Profile, Requantizer
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder, Value

UNSIGNED = 128
"""What a uint8 code is above the int8 code that the kernel holds."""
MAX_TAPS = 65535
"""Codes along one axis of a window of the kernel."""
REVERSED = np.arange(127, -129, -1, dtype=np.int8)
"""−1 − q of every code: the order of codes turned round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction(Operator):
    """Base of all that reduce axes. Inputs: x, axes (constant, read at conversion)."""

    axes: tuple[int, ...]
    """Sorted, not negative, without repetition."""
    keep_dims: bool = False

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x = tensors[self.inputs[0]]
        if any(not 0 <= a < len(x.shape) for a in self.axes):
            raise ModelError(
                f"operator {self.index} ({self.source_name}): axes {self.axes} do not fit input "
                f"{x.shape}"
            )
        if self.keep_dims:
            return (tuple(1 if i in self.axes else n for i, n in enumerate(x.shape)),)
        return (tuple(n for i, n in enumerate(x.shape) if i not in self.axes),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summation(Reduction):
    """Base of what is computed from the sum of the codes."""

    def requantizer(self, profile: Profile, x: Codes, out: Codes, count: int) -> Requantizer:
        """The profile's rule for the raw sum of `count` codes."""
        raise NotImplementedError  # each operator has its own

    def lower(self, builder: Builder) -> None:
        """Sums of raw codes, requantized where one changed; a map says which input counts where.

        As the kernel holds uint8 as code − 128, sums of those begin at what is missing from them.
        """
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        kept = tuple(1 if i in self.axes else n for i, n in enumerate(x.shape))
        outputs = np.arange(y.size, dtype=np.uint32).reshape(kept)
        count = x.size // y.size
        rule = self.requantizer(builder.profile, x.codes, y.codes, count)
        if x.dtype == "uint8":
            rule = replace(
                rule,
                zero_out=rule.zero_out - UNSIGNED,
                lo=rule.lo - UNSIGNED,
                hi=rule.hi - UNSIGNED,
            )
            self._windowed(builder, rule, zero_in=0, begin=UNSIGNED * count)
            return
        if rule.kind != "affine":
            self._windowed(builder, rule, zero_in=x.zero_point, begin=0)
            return
        builder.emit(
            self.outputs[0],
            Layer(
                kind="MEAN",
                inputs=(builder.value(self.inputs[0]),),
                n=y.size,
                table0=np.broadcast_to(outputs, x.shape),
                acc_bound=128 * count,
                **requantizer_fields(rule, 1),
            ),
        )

    def _windowed(self, builder: Builder, rule: Requantizer, *, zero_in: int, begin: int) -> None:
        """Sums of code − zero_in from `begin` on: a window as long as what is reduced, of ones."""
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        order = [*self.axes, *(a for a in range(len(x.shape)) if a not in self.axes)]
        index = np.arange(x.size).reshape(x.shape).transpose(order).reshape(-1)
        value, count = builder.value(self.inputs[0]), x.size // y.size
        if count > MAX_TAPS:
            raise NoExactRuleError(f"{count} codes are summed; {MAX_TAPS} at most are accepted")
        if not np.array_equal(index, np.arange(x.size)):
            value = builder.emit(self.outputs[0], gather((value,), index, x.size))
        window = Window(
            in_shape=(count, 1, y.size),
            out_shape=(1, 1, y.size),
            kernel=(count, 1),
            stride=(1, 1),
            dilation=(1, 1),
            before=(0, 0),
        )
        layer = Layer(
            kind="DWCONV",
            inputs=(value,),
            n=y.size,
            window=window,
            weights=np.ones((count, 1, y.size), np.int8),
            bias=np.full(y.size, begin, np.int32),
            zero_in=zero_in,
            acc_bound=(32768 if x.dtype == "int16" else 255) * count,
            macs=x.size,
            **requantizer_fields(rule, y.size),
        )
        builder.emit(self.outputs[0], layer)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Mean(Summation):
    """y = mean of x over `axes`. Inputs: x, axes (constant, read at conversion)."""

    name: ClassVar[str] = "Mean"

    def requantizer(self, profile: Profile, x: Codes, out: Codes, count: int) -> Requantizer:
        return profile.mean(x, out, count)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Sum(Summation):
    """y = sum of x over `axes`. Inputs: x, axes (constant, read at conversion)."""

    name: ClassVar[str] = "Sum"

    def requantizer(self, profile: Profile, x: Codes, out: Codes, count: int) -> Requantizer:
        return profile.sum(x, out, count)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceMax(Reduction):
    """y = largest code of x over `axes`. Inputs: x, axes (constant, read at conversion)."""

    name: ClassVar[str] = "ReduceMax"

    def lower(self, builder: Builder) -> None:
        """As a maximum over windows as long as the axis, one layer a run of neighbouring axes."""
        x = builder.tensors[self.inputs[0]]
        builder.alias(self.outputs[0], self.largest(builder, builder.value(self.inputs[0]), x))

    def largest(self, builder: Builder, value: Value, x: Tensor) -> Value:
        """The layer of the largest codes."""
        shape = list(x.shape)
        for axis in self.axes:
            outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
            if shape[axis] > MAX_TAPS:
                raise NoExactRuleError(
                    f"an axis of {shape[axis]} codes is reduced; {MAX_TAPS} at most are accepted"
                )
            window = Window(
                in_shape=(outer, shape[axis], inner),
                out_shape=(outer, 1, inner),
                kernel=(1, shape[axis]),
                stride=(1, 1),
                dilation=(1, 1),
                before=(0, 0),
            )
            layer = Layer(kind="MAXPOOL", inputs=(value,), n=outer * inner, window=window)
            value = builder.emit(self.outputs[0], layer)
            shape[axis] = 1
        return value


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceMin(ReduceMax):
    """y = smallest code of x over `axes`. Inputs: x, axes (constant, read at conversion)."""

    name: ClassVar[str] = "ReduceMin"

    def lower(self, builder: Builder) -> None:
        """As ReduceMax, between two tables that turn the order of the codes round."""
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        codes = all_codes(x.codes)
        turn = codes[::-1].astype(x.codes.as_int8.dtype)[None]
        turned = table_layer(builder.value(self.inputs[0]), x.size, turn)
        largest = self.largest(builder, builder.emit(self.outputs[0], turned), x)
        builder.emit(self.outputs[0], table_layer(largest, y.size, turn))


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceProd(Reduction):
    """y = product of x over `axes`; folded where x is a constant (shapes). Inputs: x, axes."""

    name: ClassVar[str] = "ReduceProd"
