# SPDX-License-Identifier: Apache-2.0
"""float32 and integer arithmetic as runtimes do it between codes, with what is not known of it.

`Reals` holds, beside each value, the lowest and the highest that a runtime may have made of it.
Sums, products, quotients, comparisons and the like are IEEE operations: one value. Exponentials and
their kin differ by a few units in the last place from library to library (and, in XNNPACK, from one
instruction set to the next); they come back as a narrow range, and the code they are quantized to
is exact where both ends of the range have the same one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.arithmetic.codes import Codes
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.tables import INT8_CODES
from neurovm.arithmetic.unary import scaled, steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

RELATIVE = 2.0**-21
"""How far from the rounded result a runtime's function may be: 4 units in the last place."""

_INTEGERS: dict[str, tuple[int, int]] = {
    "int8": (-(1 << 7), (1 << 7) - 1),
    "uint8": (0, (1 << 8) - 1),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reals:
    """Values of one type, and the range in which a runtime's may lie: low ≤ value ≤ high."""

    value: Any
    low: Any
    high: Any
    own: dict[str, Any] | None = None
    """The very values of each profile, by its name, where the rule is known but not the same."""

    @classmethod
    def exactly(cls, value: Array) -> Reals:
        return cls(value=value, low=value, high=value)

    @property
    def exact(self) -> bool:
        """Whether every runtime has these very values; a zero may still have either sign."""
        return bool(np.array_equal(self.low, self.high))

    @property
    def settled(self) -> bool:
        """Whether every runtime has these very values, zeros with their signs, which a division
        makes ∞ or −∞ of.
        """
        same = self.exact and self.own is None
        return same and np.array_equal(np.signbit(self.low), np.signbit(self.high))

    def map(self, function: Callable[[Any], Any]) -> Reals:
        """The same function of all three: reshaping, indexing, widening of axes."""
        own = self.own and {name: function(v) for name, v in self.own.items()}
        return Reals(
            value=function(self.value), low=function(self.low), high=function(self.high), own=own
        )

    def of(self, profile: str) -> Any:
        """The very values of a profile; None where they are not known to the last bit."""
        if self.own is not None:
            return self.own[profile]
        return self.value if self.exact else None


def apply(function: Callable[..., Any], operands: Sequence[Reals]) -> Reals:
    """A function that every runtime computes alike, of values that may lie in narrow ranges."""
    with np.errstate(all="ignore"):
        value = function(*(o.value for o in operands))
        if all(o.settled for o in operands):
            return Reals.exactly(value)
        corners = [
            function(*ends) for ends in itertools.product(*((o.low, o.high) for o in operands))
        ]
        low, high = ends_of([value, *corners])
        return Reals(value=value, low=low, high=high, own=_own(function, operands))


def ends_of(values: Sequence[Any]) -> tuple[Any, Any]:
    """The lowest and the highest in each place; of two zeros −0 is the lower."""
    low = high = values[0]
    for v in values[1:]:
        lower, higher = np.minimum(low, v), np.maximum(high, v)
        low = np.where((low == v) & np.signbit(v), v, lower)
        high = np.where((high == v) & ~np.signbit(v), v, higher)
    return low, high


def _own(function: Callable[..., Any], operands: Sequence[Reals]) -> dict[str, Any] | None:
    """What each profile makes of operands whose values it knows."""
    names = next((list(o.own) for o in operands if o.own is not None), [])
    known = {name: [o.of(name) for o in operands] for name in names}
    if not names or any(v is None for values in known.values() for v in values):
        return None
    return {name: function(*values) for name, values in known.items()}


def widened(reals: Reals, argument: Reals, absolute: float = 0.0) -> Reals:
    """float32 values that a library rounds to within RELATIVE, or absolute · |argument|."""
    with np.errstate(all="ignore"):
        spread = np.abs(reals.value.astype(np.float64)) * RELATIVE
        spread = spread + absolute * np.abs(argument.value.astype(np.float64)) + 2.0**-140
        spread = np.where(np.isfinite(spread), spread, 0.0)
        low = np.minimum(reals.low, (reals.low - spread).astype(np.float32))
        high = np.maximum(reals.high, (reals.high + spread).astype(np.float32))
    return Reals(value=reals.value, low=low, high=high)


def either_zero(result: Reals, *operands: Reals) -> Reals:
    """The larger or smaller of 0 and −0 is the one or the other, by the instruction set."""
    if not np.issubdtype(result.value.dtype, np.floating):
        return result
    negative = [
        ((o.low == 0) & np.signbit(o.low)) | ((o.low < 0) & (o.high >= 0)) for o in operands
    ]
    unsure = (
        (result.low <= 0)
        & (result.high >= 0)
        & np.logical_or.reduce(np.broadcast_arrays(*negative))
    )
    if not unsure.any():
        return result
    zero = result.value.dtype.type(0)
    low = np.where(unsure & (result.low == 0), -zero, result.low)
    high = np.where(unsure & (result.high == 0), zero, result.high)
    own = None if result.exact else result.own
    return Reals(value=result.value, low=low, high=high, own=own)


# ---- functions of two variables, choices, casts -------------------------------------------------


def _quotient(a: Any, b: Any) -> Any:
    if np.issubdtype(a.dtype, np.floating):
        return a / b
    if not np.all(b):
        raise NoExactRuleError("it divides integers by 0")
    return np.where((a < 0) != (b < 0), -(np.abs(a) // np.abs(b)), np.abs(a) // np.abs(b))


def _floored(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def rule(a: Any, b: Any) -> Any:
        if not np.all(b):
            raise NoExactRuleError("it divides by 0")
        return function(a, b)

    return rule


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "div": _quotient,
    "equal": np.equal,
    "floor_div": _floored(np.floor_divide),
    "floor_mod": _floored(np.mod),
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mul": np.multiply,
    "not_equal": np.not_equal,
    "prelu": lambda x, alpha: np.where(x < 0, x * alpha, x),
    "squared_difference": lambda a, b: (a - b) * (a - b),
    "sub": np.subtract,
}
_BOUNDS = {"RELU": (0, None), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}


def real_binary(function: str, a: Reals, b: Reals, activation: str = "NONE") -> Reals:
    """A function of two variables on one type, then the activation."""
    result = apply(_BINARY[function], [a, b])
    if function in ("maximum", "minimum"):
        result = either_zero(result, a, b)
    if activation == "NONE":
        return result
    low, high = _BOUNDS[activation]
    cut = apply(lambda v: np.clip(v, v.dtype.type(low), high and v.dtype.type(high)), [result])
    return either_zero(cut, result) if low == 0 else cut


def choose(condition: Reals, a: Reals, b: Reals) -> Reals:
    """a where the condition holds, else b."""
    return apply(np.where, [condition, a, b])


def real_cast(x: Reals, dtype: str) -> Reals:
    """To another type: integers wrap, floats are cut off towards 0 and must fit."""
    if dtype in _INTEGERS and np.issubdtype(x.value.dtype, np.floating):
        lowest, highest = _INTEGERS[dtype]
        fits = np.isfinite(x.value) & (x.low > lowest - 1.0) & (x.high < highest + 1.0)
        if not fits.all():
            raise NoExactRuleError(
                f"it casts float values outside {dtype}, which runtimes do differently"
            )
    return apply(lambda v: v.astype(dtype), [x])


def real_of(x: Codes) -> NDArray[np.float32]:
    """DEQUANTIZE of every code, in table order."""
    result: NDArray[np.float32] = (INT8_CODES - x.as_int8.zero_point).astype(
        np.float32
    ) * np.float32(x.scale)
    return result


def comparable(x: Codes) -> NDArray[np.int64]:
    """What comparisons of codes compare: `double` of (code − zero point) · 2^8 by the scale.

    Source: tensorflow/lite/kernels/comparisons.cc (ComparisonQuantized).
    """
    if x.scale >= 1:
        raise NoExactRuleError(f"it compares codes of scale {x.scale!r}; one below 1 is needed")
    return scaled(steps(x) << 8, x.scale)


def requantized_wide(x: Codes, scale: float, zero_point: int) -> NDArray[np.int32]:
    """QUANTIZE of every 8-bit code to int32: `double` of code − zero point, + zero point.

    Source: tensorflow/lite/kernels/internal/reference/requantize.h.
    """
    wide = scaled(steps(x), x.scale / scale) + zero_point
    lowest, highest = _INTEGERS["int32"]
    return np.clip(wide, lowest, highest).astype(np.int32)
