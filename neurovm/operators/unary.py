# SPDX-License-Identifier: Apache-2.0
"""Functions of one variable, code by code: a table of 256 entries each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.builder import table_layer

if TYPE_CHECKING:
    from neurovm.arithmetic import UnaryFunction
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Operator):
    """Base of all functions of one variable. `function` names the profile's rule."""

    function: ClassVar[UnaryFunction]

    @property
    def rule(self) -> tuple[UnaryFunction, float]:
        """The profile's rule, and its parameter."""
        return self.function, 0.0

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def lower(self, builder: Builder) -> None:
        """A table of 256 entries; a changed code sends where the table's value changes."""
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        function, parameter = self.rule
        table = builder.profile.unary(function, x.codes, y.codes, parameter)
        value = builder.value(self.inputs[0])
        builder.emit(self.outputs[0], table_layer(value, x.size, table[None]))


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Abs(Unary):
    """y = |x|. Input: x."""

    name: ClassVar[str] = "Abs"
    function: ClassVar[UnaryFunction] = "abs"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Elu(Unary):
    """y = x for x ≥ 0, exp(x) − 1 below. Input: x."""

    name: ClassVar[str] = "Elu"
    function: ClassVar[UnaryFunction] = "elu"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Exp(Unary):
    """y = exp(x). Input: x."""

    name: ClassVar[str] = "Exp"
    function: ClassVar[UnaryFunction] = "exp"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Gelu(Unary):
    """y = x · Φ(x), Φ by erfc, or by tanh where it is `approximate`. Input: x."""

    name: ClassVar[str] = "Gelu"
    function: ClassVar[UnaryFunction] = "gelu"
    approximate: bool = False

    @property
    def rule(self) -> tuple[UnaryFunction, float]:
        return ("gelu_tanh" if self.approximate else "gelu"), 0.0


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class HardSwish(Unary):
    """y = x · relu6(x + 3) / 6. Input: x."""

    name: ClassVar[str] = "HardSwish"
    function: ClassVar[UnaryFunction] = "hard_swish"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LeakyRelu(Unary):
    """y = x for x ≥ 0, α x below. Input: x."""

    name: ClassVar[str] = "LeakyRelu"
    function: ClassVar[UnaryFunction] = "leaky_relu"
    alpha: float

    @property
    def rule(self) -> tuple[UnaryFunction, float]:
        return self.function, self.alpha


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Unary):
    """y = ln(x); the lowest code where x ≤ 0. Input: x."""

    name: ClassVar[str] = "Log"
    function: ClassVar[UnaryFunction] = "log"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic(Unary):
    """y = 1 / (1 + exp(−x)). Input: x."""

    name: ClassVar[str] = "Logistic"
    function: ClassVar[UnaryFunction] = "logistic"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Neg(Unary):
    """y = −x. Input: x, of zero point 0 to make sense: the source negates the code itself."""

    name: ClassVar[str] = "Neg"
    function: ClassVar[UnaryFunction] = "neg"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Relu(Unary):
    """y = max(x, 0). Input: x."""

    name: ClassVar[str] = "Relu"
    function: ClassVar[UnaryFunction] = "relu"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Relu6(Unary):
    """y = min(max(x, 0), 6). Input: x."""

    name: ClassVar[str] = "Relu6"
    function: ClassVar[UnaryFunction] = "relu6"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ReluN1To1(Unary):
    """y = min(max(x, −1), 1). Input: x."""

    name: ClassVar[str] = "ReluN1To1"
    function: ClassVar[UnaryFunction] = "relu_n1_to_1"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Relu0To1(Unary):
    """y = min(max(x, 0), 1). Input: x."""

    name: ClassVar[str] = "Relu0To1"
    function: ClassVar[UnaryFunction] = "relu_0_to_1"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Rsqrt(Unary):
    """y = 1 / √x; the highest code where x = 0. Input: x, whose codes mean nothing below 0."""

    name: ClassVar[str] = "Rsqrt"
    function: ClassVar[UnaryFunction] = "rsqrt"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Sqrt(Unary):
    """y = √x. Input: x, whose codes mean nothing below 0."""

    name: ClassVar[str] = "Sqrt"
    function: ClassVar[UnaryFunction] = "sqrt"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Tanh(Unary):
    """y = tanh(x). Input: x."""

    name: ClassVar[str] = "Tanh"
    function: ClassVar[UnaryFunction] = "tanh"
