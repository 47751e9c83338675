# SPDX-License-Identifier: Apache-2.0
"""Rules of operators that are more than one requantiser: parameters, and their dense evaluation.

All codes here are in int8 form (uint8 as code − 128), all arrays indexed by a code at code + 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic.division import reciprocal
from neurovm.arithmetic.fixed_point import rdbpot, round_half_away, srdhm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic.requantizers import Requantizer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AddRule:
    """y = requantizer(table_a[a] + table_b[b]); tables int32[256], the sum stays within int32."""

    table_a: NDArray[np.int32]
    table_b: NDArray[np.int32]
    requantizer: Requantizer

    def codes(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of a + b, broadcast."""
        terms = self.table_a.astype(np.int64)[a + 128], self.table_b.astype(np.int64)[b + 128]
        return self.requantizer.codes(terms[0] + terms[1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SoftmaxRule:
    """y_i = clamp(round_half_away(f32(t_i · f32(1 / f32(Σ · scale_out)))) + zero_out).

    t_i = table[row maximum − q_i], table float32[256]; Σ adds the t_i in order, in float32.
    """

    table: NDArray[np.float32]
    scale_out: float
    zero_out: int
    limits: tuple[int, int] = (-128, 127)

    def codes(self, q: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of the softmax along the last axis."""
        t = self.table[q.max(axis=-1, keepdims=True) - q]
        total = np.add.accumulate(t, axis=-1, dtype=np.float32)[..., -1:]
        inverse = np.float32(1) / (total * np.float32(self.scale_out))
        return np.clip(round_half_away(t * inverse) + self.zero_out, *self.limits)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedSoftmaxRule:
    """y_i = clamp(RDBPOT(r · t_i, k + 31 − bits) + zero_out), r, k the reciprocal of Σ in Q12.19.

    t_i = table[row maximum − q_i], table int32[256] in Q0.31; Σ adds (t_i + 2^11) >> 12.
    """

    table: NDArray[np.int32]
    zero_out: int
    bits: int = 8
    """Of an output code."""

    def codes(self, q: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of the softmax along the last axis."""
        t = self.table.astype(np.int64)[q.max(axis=-1, keepdims=True) - q]
        total = ((t + (1 << 11)) >> 12).sum(axis=-1)
        pairs = [reciprocal(int(n)) for n in total.reshape(-1)]
        inverse = np.array([m for m, _ in pairs], np.int64).reshape(*total.shape, 1)
        shift = 31 - self.bits - 19
        bits = np.array([k for _, k in pairs], np.int64).reshape(*total.shape, 1) + shift
        y = np.where(bits > 31, 0, rdbpot(srdhm(t, inverse.astype(np.int32)), np.minimum(bits, 31)))
        half = 1 << self.bits - 1
        codes: NDArray[np.int64] = np.clip(y + self.zero_out, -half, half - 1)
        return codes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodeMap:
    """From one code to another: elements before `head_count` take `head`, all others `tail`.

    Both tables hold an entry for each code of the input, in the output's type; where the rule does
    not depend on the position, head_count is 0. Positions count in C order over the whole tensor.
    """

    tail: NDArray[np.signedinteger]
    head: NDArray[np.signedinteger]
    head_count: int = 0

    def codes(self, q: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of q, one row a sample: (N, elements of the tensor)."""
        places = q + len(self.tail) // 2
        y = self.tail.astype(np.int64)[places]
        y[:, : self.head_count] = self.head[places[:, : self.head_count]]
        return y
