# SPDX-License-Identifier: Apache-2.0
"""What operators make of values that are no codes: of constants, and of functions of codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurovm.arithmetic import NoExactRuleError, Reals
from neurovm.arithmetic.real import choose, real_binary, real_cast
from neurovm.arithmetic.real_unary import real_unary
from neurovm.graph import DType
from neurovm.operators import (
    Add,
    Binary,
    Cast,
    Operator,
    RealBinary,
    RealUnary,
    Select,
    Sub,
    Unary,
)


def has_rule(operator: Operator) -> bool:
    """Whether `evaluate` knows the operator."""
    known = Add | Binary | RealBinary | RealUnary | Select | Sub | Unary
    return isinstance(operator, known)


def evaluate(operator: Operator, operands: Sequence[Reals], dtype: DType) -> Reals:
    """The operator's result of type `dtype`; NoExactRuleError where runtimes give several."""
    result = _result(operator, operands, dtype)
    if result.value.dtype != np.dtype(dtype):
        raise NoExactRuleError(
            f"it makes {result.value.dtype} of its inputs, which the file calls {dtype}"
        )
    return result


def _result(operator: Operator, operands: Sequence[Reals], dtype: DType) -> Reals:
    if isinstance(operator, Cast):
        return real_cast(operands[0], dtype)
    if isinstance(operator, Unary):
        function, parameter = operator.rule
        return real_unary(function, operands[0], parameter)
    if isinstance(operator, RealUnary):
        return real_unary(operator.function, operands[0])
    if isinstance(operator, Select):
        return choose(*operands)
    if isinstance(operator, RealBinary):
        return real_binary(operator.function, *_two(operands))
    if isinstance(operator, Add | Sub):
        return real_binary(operator.name.lower(), *_two(operands), operator.activation)
    if isinstance(operator, Binary):
        return real_binary(operator.function, *_two(operands), operator.activation)
    raise NoExactRuleError("it has no rule for values that are no codes")


def _two(operands: Sequence[Reals]) -> tuple[Reals, Reals]:
    first, second = operands
    return first, second
