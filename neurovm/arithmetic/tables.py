# SPDX-License-Identifier: Apache-2.0
"""Tables made once at conversion. An entry stands at index code + 128, the code in int8 form; those
of int16 codes at code + 32768.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic.codes import Codes, f32
from neurovm.arithmetic.fixed_point import round_half_away

if TYPE_CHECKING:
    from neurovm.arithmetic.requantizers import Requantizer

INT8_CODES = np.arange(-128, 128, dtype=np.int64)
"""Every int8 code, in table order."""


def all_codes(x: Codes) -> np.ndarray:
    """Every code of x in signed form, in table order: int64[256], of int16 int64[65536]."""
    lowest, highest = x.as_int8.limits
    return np.arange(lowest, highest + 1, dtype=np.int64)


def requantizing_table(requantizer: Requantizer, x: Codes, out: Codes) -> np.ndarray:
    """requantizer(code − zero point of x) of each code of x, as codes of out in signed form."""
    steps = all_codes(x) - x.as_int8.zero_point
    return requantizer.codes(steps).astype(out.as_int8.dtype)


def eight_bit_table(ratio: float, x: Codes, out: Codes) -> np.ndarray:
    """int8[256] of clamp(((q − z)·m + 128 >> 8) + z_out), m = rint(f32(256 · ratio)).

    Source: XNNPACK, qs8 vcvt.
    """
    m = int(np.rint(np.float32(256.0) * np.float32(ratio)))
    a = (INT8_CODES - x.as_int8.zero_point) * m
    y = ((a + 128) >> 8) + out.as_int8.zero_point
    result: np.ndarray = np.clip(y, -128, 127).astype(np.int8)
    return result


def unary_table_half_even(f: Callable[[float], float], x: Codes, out: Codes) -> np.ndarray:
    """int8[256] of a real function, by XNNPACK's rule.

    v = f32(f32(q − z) · s), y = rint(f32(f32(f(v)) · f32(1 / s_out)) + z_out); f takes and returns
    double and is rounded to float32 once. Source: XNNPACK, create_unary_elementwise_nc's reference
    tables.
    """
    scaled = _real_function(f, x) * (np.float32(1) / np.float32(out.scale))
    y = np.rint(scaled + np.float32(out.as_int8.zero_point))
    result: np.ndarray = np.clip(y, -128, 127).astype(np.int8)
    return result


def unary_table_half_away(f: Callable[[float], float], x: Codes, out: Codes) -> np.ndarray:
    """As `unary_table_half_even`, with y = round_half_away(f32(f(v) / s_out as a product)) + z_out.

    Source: tensorflow/lite/kernels/internal/common.h, LUTPopulate.
    """
    scaled = _real_function(f, x) * (np.float32(1) / np.float32(out.scale))
    y = round_half_away(np.clip(scaled, -1e9, 1e9)) + out.as_int8.zero_point
    return np.clip(y, -128, 127).astype(np.int8)


def _real_function(f: Callable[[float], float], x: Codes) -> np.ndarray:
    real = (INT8_CODES - x.as_int8.zero_point).astype(np.float32) * np.float32(x.scale)
    return np.array([f(float(v)) for v in real], np.float32)


def exp_table(scale: float, beta: float) -> np.ndarray:
    """float32[256]: f32(exp(f32(f32(−scale · beta) · d))) at d = row maximum − code, 0 … 255.

    exp in double, rounded once. Source: tensorflow/lite/kernels/internal/optimized/optimized_ops.h
    (PopulateSoftmaxLookupTable; its expf differs from the rounded exp by an ulp at most).
    """
    slope = np.float32(-np.float32(scale) * np.float32(beta))
    with np.errstate(over="ignore"):
        arguments = slope * np.arange(256, dtype=np.float32)
    return np.array([f32(math.exp(float(a))) for a in arguments], np.float32)
