# SPDX-License-Identifier: Apache-2.0
"""Functions of one variable on float32, as runtimes do them; exact ones on integers too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.real import Reals, apply, either_zero, ends_of, widened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _gelu(x: Array) -> Array:
    wide = x.astype(np.float64)
    return np.asarray(0.5 * wide * _erfc(-wide * math.sqrt(0.5)))


def _gelu_tanh(x: Array) -> Array:
    wide = x.astype(np.float64)
    inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)
    return np.asarray(0.5 * wide * (1 + np.tanh(inner)))


def _logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x.astype(np.float64))))


_EXACT: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "logical_not": np.logical_not,
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "relu6": lambda x: np.clip(x, np.float32(0), np.float32(6)),
    "relu_0_to_1": lambda x: np.clip(x, np.float32(0), np.float32(1)),
    "relu_n1_to_1": lambda x: np.clip(x, np.float32(-1), np.float32(1)),
    "sign": np.sign,
    "square": lambda x: x * x,
}
_ROUNDED: dict[str, tuple[Callable[[Any], Any], float]] = {
    "cos": (lambda x: np.cos(x.astype(np.float64)), 2.0**-22),
    "elu": (lambda x: np.where(x >= 0, x, np.expm1(x.astype(np.float64))), 0.0),
    "exp": (lambda x: np.exp(x.astype(np.float64)), 0.0),
    "gelu": (_gelu, 2.0**-22),
    "gelu_tanh": (_gelu_tanh, 2.0**-22),
    "log": (lambda x: np.log(x.astype(np.float64)), 2.0**-24),
    "logistic": (_logistic, 0.0),
    "rsqrt": (lambda x: 1 / np.sqrt(x.astype(np.float64)), 0.0),
    "sin": (lambda x: np.sin(x.astype(np.float64)), 2.0**-22),
    "sqrt": (lambda x: np.sqrt(x.astype(np.float64)), 0.0),
    "tanh": (lambda x: np.tanh(x.astype(np.float64)), 0.0),
}
"""In double, then rounded; with the part of |x| that a library's own method may be off by."""


def _by_profile(rules: dict[str, Callable[[Any], Any]], x: Reals) -> Reals:
    """What each profile makes of x by a rule of its own; the value is xnnpack's."""
    results = {name: apply(rule, [x]) for name, rule in rules.items()}
    own = {name: (r.own or {}).get(name, r.value) for name, r in results.items()}
    low, high = ends_of([end for r in results.values() for end in (r.low, r.high)])
    known = x.settled or x.own is not None
    return Reals(value=results["xnnpack"].value, low=low, high=high, own=own if known else None)


def _neg(x: Reals) -> Reals:
    """XNNPACK: 0 − x, so that no zero has a sign; TFLM: −x.

    Integers have no such zero.
    """
    if not np.issubdtype(x.value.dtype, np.floating):
        return apply(np.negative, [x])
    return _by_profile({"xnnpack": lambda v: v.dtype.type(0) - v, "tflm": np.negative}, x)


def _round(x: Reals) -> Reals:
    """To the nearest, halves to even; what TFLM rounds up to 0 has no sign.

    Source: tensorflow/lite/kernels/internal/reference/round.h.
    """

    def from_floor(v: Any) -> Any:
        nearest = np.rint(v)
        return np.where((v < 0) & (nearest == 0), v.dtype.type(0), nearest)

    return _by_profile({"xnnpack": np.rint, "tflm": from_floor}, x)


def _hard_swish(x: Reals) -> Reals:
    """XNNPACK: clamp(x + 3, 0, 6) · (x · f32(1/6)); TFLM: x · clamp(x + 3, 0, 6) / 6; in float32.

    Source: XNNPACK, f32-vhswish; tensorflow/lite/kernels/internal/reference/hard_swish.h.
    """

    def gate(v: Any) -> Any:
        return np.clip(v + np.float32(3), np.float32(0), np.float32(6))

    rules: dict[str, Callable[[Any], Any]] = {
        "xnnpack": lambda v: gate(v) * (v * np.float32(1 / 6)),
        "tflm": lambda v: v * gate(v) / np.float32(6),
    }
    return _by_profile(rules, x)


_PROFILES: dict[str, Callable[[Reals], Reals]] = {
    "hard_swish": _hard_swish,
    "neg": _neg,
    "round": _round,
}
_CUT_AT_ZERO = ("relu", "relu6", "relu_0_to_1")


def real_unary(function: str, x: Reals, parameter: float = 0.0) -> Reals:
    """A function of one variable on float32; `parameter` is the α of a leaky RELU."""
    if function == "leaky_relu":
        alpha = np.float32(parameter)
        return apply(lambda v: np.where(v < 0, v * alpha, v), [x])
    if function in _PROFILES:
        return _PROFILES[function](x)
    if function in _EXACT:
        result = apply(_EXACT[function], [x])
        return either_zero(result, x) if function in _CUT_AT_ZERO else result
    if function not in _ROUNDED:
        raise NoExactRuleError(f"{function} of real values has no rule here")
    rule, absolute = _ROUNDED[function]
    if x.value.dtype != np.float32:
        raise NoExactRuleError(f"{function} of {x.value.dtype} values; float32 is needed")
    return widened(apply(lambda v: rule(v).astype(np.float32), [x]), x, absolute)
