# SPDX-License-Identifier: Apache-2.0
"""Registration of the dense rules, and what a rule is given.

A rule takes a `Call` and returns the codes of its operator's output. Every value has a leading
sample axis: (N, *shape of the tensor), constants (1, *shape); samples are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, Union

import numpy as np

from neurovm.arithmetic import Codes, Profile
from neurovm.graph import Tensor
from neurovm.operators import Operator

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Op = TypeVar("_Op", bound=Operator)
_Op_co = TypeVar("_Op_co", bound=Operator, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[_Op_co]):
    """One operator to be evaluated: its tensors, its profile, and the values of its inputs."""

    operator: _Op_co
    tensors: Sequence[Tensor]
    profile: Profile
    values: Sequence[NDArray[np.generic] | None]

    def tensor(self, position: int) -> Tensor:
        """The tensor of an input."""
        return self.tensors[self.operator.inputs[position]]

    @property
    def out(self) -> Tensor:
        """The tensor of the output."""
        return self.tensors[self.operator.outputs[0]]

    def value(self, position: int) -> NDArray[np.generic]:
        """The value of an input in its own element type."""
        value = self.values[position]
        if value is None:
            raise ValueError(f"input {position} of operator {self.operator.index} is absent")
        return value

    def codes(self, position: int) -> NDArray[np.int64]:
        """The codes of an input as int64."""
        return self.value(position).astype(np.int64)

    def int8(self, position: int) -> NDArray[np.int64]:
        """The codes of an input in signed form: uint8 as code − 128."""
        return self.codes(position) - (128 if self.tensor(position).dtype == "uint8" else 0)

    def out_codes(self, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        """Codes in signed form as the output's own type has them."""
        return codes.astype(np.int64) + (128 if self.out.dtype == "uint8" else 0)

    def steps(self, position: int) -> NDArray[np.float64]:
        """Code − zero point of an input, as float64: sums of products are exact below 2^53."""
        return self.value(position).astype(np.float64) - self.meaning(position).zero_point

    def meaning(self, position: int) -> Codes:
        """Scale, zero point and type of an input's codes."""
        return self.tensor(position).codes


Result = Union["NDArray[np.generic]", tuple["NDArray[np.generic]", ...]]
_Rule = Callable[[Call[_Op]], Result]

RULES: dict[type[Operator], _Rule[Operator]] = {}
"""The dense rule of every operator: the output, or a tuple where there are several."""


def rule(operator: type[_Op]) -> Callable[[_Rule[_Op]], _Rule[_Op]]:
    """Function decorator: the one registration line of an operator's rule."""

    def register(function: _Rule[_Op]) -> _Rule[_Op]:
        RULES[operator] = function  # type: ignore[assignment]  # the key names its type
        return function

    return register
