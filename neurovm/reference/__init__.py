# SPDX-License-Identifier: Apache-2.0
"""The dense NumPy rule of every operator, one family a file: the oracle of every test.

It imports arithmetic, graph and operators, never the kernel, so that it stays independent of what
it judges.
"""

from neurovm.reference import (
    elementwise,
    interpolation,
    layout,
    linear,
    lookup,
    matmul,
    pooling,
    quantize,
    recurrent,
    reduction,
    softmax,
    unary,
)
from neurovm.reference.oracle import Stream, run
from neurovm.reference.rules import RULES

FAMILIES = (
    elementwise,
    interpolation,
    layout,
    linear,
    lookup,
    matmul,
    pooling,
    quantize,
    recurrent,
    reduction,
    softmax,
    unary,
)
"""One line a family: importing it registers its rules."""

__all__ = ["FAMILIES", "RULES", "Stream", "run"]
