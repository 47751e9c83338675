# SPDX-License-Identifier: Apache-2.0
"""Operators that work element by element on two inputs, broadcast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from neurovm.arithmetic import BinaryFunction
from neurovm.errors import ModelError
from neurovm.operators.base import Activation, Operator, Shape, register
from neurovm.operators.builder import (
    Layer,
    gather,
    requantizer_fields,
    signed_codes,
    table2_layer,
    table_layer,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic import Profile, Requantizer, WideAddRule
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder, Value

PAIRS: dict[BinaryFunction, int] = {"mul": 0, "minimum": 1, "maximum": 2}
"""The kernel's number of each function of two int16 codes."""
MAX_TABLES = 256
"""Tables of one layer; beyond, one table of pairs takes less memory."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementwise(Operator):
    """Base of all that take two inputs, of which either may be constant."""

    activation: Activation = "NONE"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return (
            broadcast_shape(self, tensors[self.inputs[0]].shape, tensors[self.inputs[1]].shape),
        )

    def spread(self, builder: Builder, port: int) -> Value:
        """The layer of an input, spread by a MAP layer where it is broadcast."""
        x, shape = builder.tensors[self.inputs[port]], builder.tensors[self.outputs[0]].shape
        value = builder.value(self.inputs[port])
        if x.size == math.prod(shape):
            return value
        index = np.broadcast_to(np.arange(x.size, dtype=np.int32).reshape(x.shape), shape)
        return builder.emit(self.outputs[0], gather((value,), index, x.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sum(Elementwise):
    subtract: ClassVar[bool] = False
    powers: bool = False
    """Whether int16 codes take the rule of scales that are powers of two."""

    def wide_rule(self, profile: Profile, tensors: Sequence[Tensor]) -> WideAddRule:
        """The profile's rule of int16 codes."""
        y = tensors[self.outputs[0]]
        a, b = (tensors[i] for i in self.inputs)
        return profile.wide_add(
            a.codes,
            b.codes,
            y.codes,
            self.activation,
            subtract=self.subtract,
            size=y.size if a.shape == b.shape else 0,
            powers=self.powers,
        )

    def _wide(self, builder: Builder) -> None:
        rule = self.wide_rule(builder.profile, builder.tensors)
        tables = [
            np.array([first, rest], np.int32)
            for first, rest in zip(rule.head, rule.tail, strict=True)
        ]
        fields = requantizer_fields(rule.requantizer, 1)
        layer = Layer(
            kind="ADD",
            inputs=(self.spread(builder, 0), self.spread(builder, 1)),
            n=builder.tensors[self.outputs[0]].size,
            table0=tables[0],
            table1=tables[1],
            **fields | {"aux": (0, rule.head_count)},
        )
        builder.emit(self.outputs[0], layer)

    def lower(self, builder: Builder) -> None:
        """An element is computed again when one of its inputs changed, from two tables.

        A broadcast input is spread by a MAP layer first.
        """
        y = builder.tensors[self.outputs[0]]
        a, b = (builder.tensors[i] for i in self.inputs)
        if y.dtype == "int16":
            self._wide(builder)
            return
        rule = builder.profile.add(
            a.codes, b.codes, y.codes.as_int8, self.activation, subtract=self.subtract
        )
        builder.emit(
            self.outputs[0],
            Layer(
                kind="ADD",
                inputs=(self.spread(builder, 0), self.spread(builder, 1)),
                n=y.size,
                table0=rule.table_a,
                table1=rule.table_b,
                **requantizer_fields(rule.requantizer, 1),
            ),
        )


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Add(_Sum):
    """y = act(a + b), element by element, broadcast. Inputs: a, b (either may be constant)."""

    name: ClassVar[str] = "Add"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Sub(_Sum):
    """y = act(a − b), element by element, broadcast. Inputs: a, b (either may be constant)."""

    name: ClassVar[str] = "Sub"
    subtract: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Elementwise):
    """Base of the functions of two variables. `function` names the profile's rule."""

    function: ClassVar[BinaryFunction]

    def table(self, profile: Profile, tensors: Sequence[Tensor]) -> NDArray[np.int8]:
        """int8[256, 256] of both codes; of one and the same value int8[256]."""
        a, b = (tensors[i].codes for i in self.inputs)
        out = tensors[self.outputs[0]].codes
        if self.inputs[0] == self.inputs[1]:
            if self.function == "mul":
                return profile.square(a, out, self.activation)
            return profile.binary(self.function, a, a, out, self.activation).diagonal()
        return profile.binary(self.function, a, b, out, self.activation)

    def lower(self, builder: Builder) -> None:
        """An element is looked up again when one of its inputs changed, in a table of all pairs.

        With a constant that repeats along the output, one table an entry of it; a value with
        itself is a function of one variable. A broadcast input is spread by a MAP layer first.
        """
        y = builder.tensors[self.outputs[0]]
        if y.dtype == "int16":
            self._wide(builder)
            return
        table = self.table(builder.profile, builder.tensors)
        if table.ndim == 1:
            layer = table_layer(builder.value(self.inputs[0]), y.size, table[None])
        else:
            layer = self._with_constant(builder, table) or table2_layer(
                self.spread(builder, 0), self.spread(builder, 1), y.size, table
            )
        builder.emit(self.outputs[0], layer)

    def product(self, profile: Profile, tensors: Sequence[Tensor]) -> Requantizer:
        """What requantises the product of int16 codes."""
        a, b, y = (tensors[i].codes for i in (*self.inputs, self.outputs[0]))
        return profile.product(a, b, y, self.activation)

    def _wide(self, builder: Builder) -> None:
        """int16 codes have no table of all pairs: the function is computed."""
        fields: dict[str, Any] = {}
        if self.function == "mul":
            rule = self.product(builder.profile, builder.tensors)
            fields = requantizer_fields(rule, 1)
        layer = Layer(
            kind="PAIR",
            inputs=(self.spread(builder, 0), self.spread(builder, 1)),
            n=builder.tensors[self.outputs[0]].size,
            **fields | {"aux": (PAIRS[self.function], 0)},
        )
        builder.emit(self.outputs[0], layer)

    def _with_constant(self, builder: Builder, table: NDArray[np.int8]) -> Layer | None:
        """A TABLE layer where one input is a scalar or a row along the last axis, else None."""
        y = builder.tensors[self.outputs[0]]
        for port, other in ((0, 1), (1, 0)):
            constant = builder.tensors[self.inputs[port]]
            fits = constant.size == 1 or constant.shape[-1:] == (constant.size,)
            whole = builder.tensors[self.inputs[other]].size == y.size
            if constant.data is None or not fits or not whole or constant.size > MAX_TABLES:
                continue
            codes = signed_codes(constant.data).reshape(-1).astype(np.int64) + 128
            tables = table[codes] if port == 0 else table[:, codes].T
            value = builder.value(self.inputs[other])
            return table_layer(value, y.size, np.ascontiguousarray(tables))
        return None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Div(Binary):
    """y = act(a / b), element by element, broadcast. Inputs: a, b (either may be constant)."""

    name: ClassVar[str] = "Div"
    function: ClassVar[BinaryFunction] = "div"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Maximum(Binary):
    """y = the larger code of a and b, broadcast. Inputs: a, b (either may be constant)."""

    name: ClassVar[str] = "Maximum"
    function: ClassVar[BinaryFunction] = "maximum"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum(Binary):
    """y = the smaller code of a and b, broadcast. Inputs: a, b (either may be constant)."""

    name: ClassVar[str] = "Minimum"
    function: ClassVar[BinaryFunction] = "minimum"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Mul(Binary):
    """y = act(a · b), element by element, broadcast. Inputs: a, b (either may be constant)."""

    name: ClassVar[str] = "Mul"
    function: ClassVar[BinaryFunction] = "mul"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Prelu(Binary):
    """y = x for x ≥ 0, α x below, broadcast. Inputs: x, α (usually constant)."""

    name: ClassVar[str] = "Prelu"
    function: ClassVar[BinaryFunction] = "prelu"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x, alpha = (tensors[i].shape for i in self.inputs)
        if broadcast_shape(self, x, alpha) != x:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): slopes {alpha} do not broadcast to "
                f"the input {x}"
            )
        return (x,)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class SquaredDifference(Binary):
    """y = (a − b)², element by element, broadcast. Inputs: a, b (either may be constant)."""

    name: ClassVar[str] = "SquaredDifference"
    function: ClassVar[BinaryFunction] = "squared_difference"
