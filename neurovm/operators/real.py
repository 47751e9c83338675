# SPDX-License-Identifier: Apache-2.0
"""Operators on real values, integers and truth values, which no layer computes.

Between codes they become part of a table (`neurovm.passes.islands`), of constants a constant.
`function` names the rule of `neurovm.arithmetic.real`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.elementwise import broadcast_shape

if TYPE_CHECKING:
    from neurovm.graph import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RealUnary(Operator):
    """Base of the functions of one variable. Input: x."""

    function: ClassVar[str]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealBinary(Operator):
    """Base of the functions of two variables, broadcast. Inputs: a, b."""

    function: ClassVar[str]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        a, b = (tensors[i].shape for i in self.inputs)
        return (broadcast_shape(self, a, b),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Cast(RealUnary):
    """y = x in another type; integers wrap, fractions are cut off."""

    name: ClassVar[str] = "Cast"
    function: ClassVar[str] = "cast"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Select(Operator):
    """y = a where the condition holds, else b, broadcast. Inputs: condition (bool), a, b."""

    name: ClassVar[str] = "Select"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        condition, a, b = (tensors[i].shape for i in self.inputs)
        return (broadcast_shape(self, broadcast_shape(self, condition, a), b),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Ceil(RealUnary):
    """y = ⌈x⌉. Input: x."""

    name: ClassVar[str] = "Ceil"
    function: ClassVar[str] = "ceil"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Cos(RealUnary):
    """y = cos(x). Input: x."""

    name: ClassVar[str] = "Cos"
    function: ClassVar[str] = "cos"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Floor(RealUnary):
    """y = ⌊x⌋. Input: x."""

    name: ClassVar[str] = "Floor"
    function: ClassVar[str] = "floor"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalNot(RealUnary):
    """y = not x. Input: x."""

    name: ClassVar[str] = "LogicalNot"
    function: ClassVar[str] = "logical_not"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Round(RealUnary):
    """y = x rounded, halves to even. Input: x."""

    name: ClassVar[str] = "Round"
    function: ClassVar[str] = "round"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Sign(RealUnary):
    """y = −1, 0 or 1 as x is below, at or above 0. Input: x."""

    name: ClassVar[str] = "Sign"
    function: ClassVar[str] = "sign"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Sin(RealUnary):
    """y = sin(x). Input: x."""

    name: ClassVar[str] = "Sin"
    function: ClassVar[str] = "sin"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Square(RealUnary):
    """y = x². Input: x."""

    name: ClassVar[str] = "Square"
    function: ClassVar[str] = "square"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Equal(RealBinary):
    """y = whether a = b, broadcast. Inputs: a, b."""

    name: ClassVar[str] = "Equal"
    function: ClassVar[str] = "equal"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class FloorDiv(RealBinary):
    """y = ⌊a / b⌋, broadcast. Inputs: a, b."""

    name: ClassVar[str] = "FloorDiv"
    function: ClassVar[str] = "floor_div"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class FloorMod(RealBinary):
    """y = a − b ⌊a / b⌋, broadcast. Inputs: a, b."""

    name: ClassVar[str] = "FloorMod"
    function: ClassVar[str] = "floor_mod"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Greater(RealBinary):
    """y = whether a > b, broadcast. Inputs: a, b."""

    name: ClassVar[str] = "Greater"
    function: ClassVar[str] = "greater"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class GreaterEqual(RealBinary):
    """y = whether a ≥ b, broadcast. Inputs: a, b."""

    name: ClassVar[str] = "GreaterEqual"
    function: ClassVar[str] = "greater_equal"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Less(RealBinary):
    """y = whether a < b, broadcast. Inputs: a, b."""

    name: ClassVar[str] = "Less"
    function: ClassVar[str] = "less"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LessEqual(RealBinary):
    """y = whether a ≤ b, broadcast. Inputs: a, b."""

    name: ClassVar[str] = "LessEqual"
    function: ClassVar[str] = "less_equal"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalAnd(RealBinary):
    """y = a and b, broadcast. Inputs: a, b."""

    name: ClassVar[str] = "LogicalAnd"
    function: ClassVar[str] = "logical_and"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalOr(RealBinary):
    """y = a or b, broadcast. Inputs: a, b."""

    name: ClassVar[str] = "LogicalOr"
    function: ClassVar[str] = "logical_or"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class NotEqual(RealBinary):
    """y = whether a ≠ b, broadcast. Inputs: a, b."""

    name: ClassVar[str] = "NotEqual"
    function: ClassVar[str] = "not_equal"


COMPARISONS = (Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual)
"""Those that make truth values of codes as well."""
