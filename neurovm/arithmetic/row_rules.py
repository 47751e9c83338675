# SPDX-License-Identifier: Apache-2.0
"""Rules that need a whole row: L2_NORMALIZATION and LOG_SOFTMAX. Codes are in int8 form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic.codes import Codes
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.exponential import (
    fixed_differences,
    fixed_exponentials,
    fixed_logarithm,
)
from neurovm.arithmetic.fixed_point import rdbpot
from neurovm.arithmetic.inverse_root import inverse_root
from neurovm.arithmetic.tables import INT8_CODES, exp_table
from neurovm.arithmetic.unary import scaled_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OUTPUT_BITS = 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class L2Rule:
    """y_i = clamp(double(x_i, 1/√(Σ x²) · 2^7)) with x = steps[q + 128] = q − z, steps int32[256].

    Source: tensorflow/lite/kernels/internal/reference/integer_ops/l2normalization.h.
    """

    steps: NDArray[np.int32]

    def codes(self, q: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of rows along the last axis."""
        x = self.steps.astype(np.int64)[q + 128]
        flat = x.reshape(-1, x.shape[-1])
        y = np.empty_like(flat)
        for i, row in enumerate(flat):
            mantissa, exponent = inverse_root(int((row * row).sum()))
            y[i] = scaled_by(row, mantissa, exponent + _OUTPUT_BITS)
        codes: NDArray[np.int64] = np.clip(y, -128, 127)
        return codes.reshape(x.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogSoftmaxRule:
    """y_i = clamp(rint(f32(s · q_i − f32(f32(s_in · max) + f32(ln Σ)) / s_out)) + zero_out).

    s = f32(s_in / s_out); Σ adds table[max − q_i] in order, in float32. Source:
    tensorflow/lite/kernels/internal/optimized/optimized_ops.h (LogSoftmax).
    """

    table: NDArray[np.float32]
    scale_in: float
    scale_out: float
    zero_out: int

    def codes(self, q: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of rows along the last axis."""
        largest = q.max(axis=-1, keepdims=True)
        total = np.add.accumulate(self.table[largest - q], axis=-1, dtype=np.float32)[..., -1:]
        log = np.log(total.astype(np.float64)).astype(np.float32)
        above = np.float32(self.scale_in) * largest.astype(np.float32) + log
        ratio = np.float32(self.scale_in) / np.float32(self.scale_out)
        y = np.rint(ratio * q.astype(np.float32) - above / np.float32(self.scale_out))
        codes: NDArray[np.int64] = np.clip(y.astype(np.int64) + self.zero_out, -128, 127)
        return codes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedLogSoftmaxRule:
    """y_i = clamp(RDBPOT(differences[max − q_i] − L, 22) + zero_out), L = ln Σ in Q5.26.

    Σ adds (table[max − q_i] + 2^11) >> 12, in Q12.19. Source:
    tensorflow/lite/kernels/internal/reference/integer_ops/log_softmax.h.
    """

    table: NDArray[np.int32]
    differences: NDArray[np.int32]
    zero_out: int

    def codes(self, q: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of rows along the last axis."""
        d = q.max(axis=-1, keepdims=True) - q
        total = ((self.table.astype(np.int64)[d] + (1 << 11)) >> 12).sum(axis=-1, keepdims=True)
        logs = [fixed_logarithm(int(n)) for n in total.reshape(-1)]
        log = np.array(logs, np.int64).reshape(total.shape)
        y = rdbpot(self.differences.astype(np.int64)[d] - log, 22) + self.zero_out
        codes: NDArray[np.int64] = np.clip(y, -128, 127)
        return codes


def fixed_log_softmax_rule(x: Codes, out: Codes) -> FixedLogSoftmaxRule:
    """TFLM's rule, which makes codes of scale 1/16 below 127."""
    _check_log_softmax(out)
    return FixedLogSoftmaxRule(
        table=fixed_exponentials(x.scale, 1.0),
        differences=fixed_differences(x.scale),
        zero_out=127,
    )


def _check_log_softmax(out: Codes) -> None:
    if out.scale != 1 / 16 or out.as_int8.zero_point != 127:
        raise NoExactRuleError(
            f"output scale {out.scale!r}, zero point {out.as_int8.zero_point} of a LOG_SOFTMAX; "
            f"1/16 and 127 are needed"
        )


def l2_rule(x: Codes, out: Codes) -> L2Rule:
    """The rule of both runtimes, which make codes of scale 1/128 around 0."""
    if out.scale != 1 / 128 or out.as_int8.zero_point != 0:
        raise NoExactRuleError(
            f"output scale {out.scale!r}, zero point {out.as_int8.zero_point} of an "
            f"L2_NORMALIZATION; 1/128 and 0 are needed"
        )
    return L2Rule(steps=(INT8_CODES - x.as_int8.zero_point).astype(np.int32))


def log_softmax_rule(x: Codes, out: Codes) -> LogSoftmaxRule:
    """LiteRT's rule, which makes codes of scale 1/16 below 127."""
    _check_log_softmax(out)
    return LogSoftmaxRule(
        table=exp_table(x.scale, 1.0), scale_in=x.scale, scale_out=out.scale, zero_out=127
    )
