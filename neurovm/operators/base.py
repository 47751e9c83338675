# SPDX-License-Identifier: Apache-2.0
"""What every operator is: a frozen dataclass that knows its equation, its shapes and its lowering.

An operator's docstring is its equation, in real numbers or in codes. The integer rule of a profile
stands in `neurovm.reference`, the event rule in the kernel's layer kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from neurovm.arithmetic import NoExactRuleError

if TYPE_CHECKING:
    from neurovm.arithmetic import Profile
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder

Activation = Literal["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]
Padding = Literal["SAME", "VALID"]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator of a graph.

    `index` and `source_name` are its place and name in the source file; `inputs` and `outputs`
    index
    the graph's tensors, -1 is an absent optional input.
    """

    index: int
    source_name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    name: ClassVar[str]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        """Shapes of the outputs from the inputs'; ModelError where they contradict the operator."""
        raise NotImplementedError  # each operator has its own

    def lower(self, builder: Builder) -> None:
        """Append this operator's layers to a program; UnsupportedOperatorError where no exact rule
        exists.
        """
        raise NotImplementedError  # each operator has its own


def check_runs(operator: Operator, tensors: Sequence[Tensor], profile: Profile) -> None:
    """NoExactRuleError where the profile's runtime does not run the operator on such tensors."""
    used = [i for i in (*operator.inputs, *operator.outputs) if i != -1]
    refusal = profile.refusal(operator.source_name, {tensors[i].dtype for i in used})
    if refusal:
        raise NoExactRuleError(refusal)


REGISTRY: dict[str, type[Operator]] = {}
"""Every operator by its name."""

_OperatorType = TypeVar("_OperatorType", bound=type[Operator])


def register(cls: _OperatorType) -> _OperatorType:
    """Class decorator: the one registration line of an operator."""
    REGISTRY[cls.name] = cls
    return cls
