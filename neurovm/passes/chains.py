# SPDX-License-Identifier: Apache-2.0
"""Functions of one real input before it is quantized: a normalization, a clamp, a change of scale.

Only functions that do not decrease are followed: then every code begins at one value of the input,
and 255 thresholds say all there is to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic import NoExactRuleError, Reals
from neurovm.graph import Tensor
from neurovm.operators import (
    Add,
    Ceil,
    Div,
    Floor,
    LeakyRelu,
    Maximum,
    Minimum,
    Mul,
    Operator,
    Relu,
    Relu0To1,
    Relu6,
    ReluN1To1,
    Round,
    Sub,
)
from neurovm.passes.values import evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Function = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_SINGLE = (Ceil, Floor, LeakyRelu, Relu, Relu0To1, Relu6, ReluN1To1, Round)
_EITHER_SIDE = (Add, Maximum, Minimum, Mul)
_FIRST = (Div, Sub)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """A value that is a function of the network's float32 input `source`, element by element."""

    source: int
    function: Function


def identity(source: int) -> Chain:
    """The input itself."""
    return Chain(source=source, function=lambda x: x)


def prolonged(chain: Chain, port: int, operator: Operator, tensors: Sequence[Tensor]) -> Chain:
    """The chain and one more operator, of which it is input `port`; NoExactRuleError where that
    may decrease, or joins another live value.
    """
    others = [tensors[i] for k, i in enumerate(operator.inputs) if k != port and i != -1]
    constants = [t.data.reshape(-1) for t in others if t.data is not None and t.size == 1]
    if not _rises(operator, port, constants) or len(constants) != len(others):
        raise NoExactRuleError(
            "it computes with a real input; only sums, positive factors and clamps by one constant "
            "may stand between an input and its QUANTIZE, quantize the input first"
        )

    def function(x: NDArray[np.float32]) -> NDArray[np.float32]:
        operands = [Reals.exactly(c) for c in constants]
        operands.insert(port, Reals.exactly(chain.function(x)))
        result: NDArray[np.float32] = evaluate(operator, operands, "float32").value
        return result

    return Chain(source=chain.source, function=function)


def _rises(operator: Operator, port: int, constants: Sequence[NDArray[np.generic]]) -> bool:
    """Whether a larger value of input `port` never makes a smaller result."""
    if not all(np.isfinite(c).all() for c in constants):
        return False
    if isinstance(operator, LeakyRelu):
        return operator.alpha >= 0
    if isinstance(operator, Mul | Div):
        positive = all(float(c[0]) > 0 for c in constants)
        return positive and (port == 0 or isinstance(operator, Mul))
    return isinstance(operator, _SINGLE + _EITHER_SIDE) or (
        isinstance(operator, _FIRST) and port == 0
    )
