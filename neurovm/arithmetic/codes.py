# SPDX-License-Identifier: Apache-2.0
"""What the codes of a tensor mean, and which of them an activation leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from neurovm.arithmetic.fixed_point import round_half_away

if TYPE_CHECKING:
    from collections.abc import Callable

CodeType = Literal["int8", "uint8", "int16"]
Activation = Literal["NONE", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"]

_LIMITS: dict[str, tuple[int, int]] = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
}
_BEYOND = 1 << 17
"""Steps between any two codes of any type are fewer."""
_BOUNDS: dict[str, tuple[float, float]] = {
    "NONE": (-math.inf, math.inf),
    "RELU": (0.0, math.inf),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Codes:
    """real = scale · (code − zero_point). scale is a float32 value, > 0; zero_point fits dtype."""

    scale: float
    zero_point: int
    dtype: CodeType = "int8"

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest code."""
        return _LIMITS[self.dtype]

    @property
    def as_int8(self) -> Codes:
        """The same reals with signed codes, as kernels hold them: uint8 runs as code − 128."""
        if self.dtype != "uint8":
            return self
        return Codes(self.scale, self.zero_point - 128)


def f32(x: float) -> float:
    """X rounded to the nearest float32."""
    return float(np.float32(x))


def ratio32(a: float, b: float) -> float:
    """f32(a / b) of two float32 values."""
    return float(np.float32(a) / np.float32(b))


def range_half_even(activation: Activation, out: Codes) -> tuple[int, int]:
    """Lowest and highest code an activation leaves, by XNNPACK: rint(f32(f32(bound / scale) + z)).

    The zero point is added before the rounding, so that a half goes to the even *code*.
    """
    return _range(activation, out, lambda x: int(np.rint(x + np.float32(out.zero_point))))


def range_half_away(activation: Activation, out: Codes) -> tuple[int, int]:
    """As `range_half_even` by TFLite's own kernels: round_half_away(f32(bound / scale)) + z.

    Source: tensorflow/lite/kernels/kernel_util.cc (CalculateActivationRangeQuantized).
    """
    return _range(activation, out, lambda x: int(round_half_away(np.asarray(x))) + out.zero_point)


def _range(
    activation: Activation, out: Codes, code: Callable[[np.float32], int]
) -> tuple[int, int]:
    """A bound that is infinite, or falls outside the type, is the type's own limit."""
    lowest, highest = out.limits
    ends = []
    for bound, unbounded in zip(_BOUNDS[activation], (lowest, highest), strict=True):
        quotient = np.float32(bound) / np.float32(out.scale) if math.isfinite(bound) else None
        if quotient is None:
            ends.append(unbounded)
        elif abs(quotient) > _BEYOND:
            ends.append(highest if bound > 0 else lowest)
        else:
            ends.append(min(max(code(quotient), lowest), highest))
    return ends[0], ends[1]
