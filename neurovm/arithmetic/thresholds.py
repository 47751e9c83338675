# SPDX-License-Identifier: Apache-2.0
"""Threshold ladders: a requantiser as integer thresholds, the SD neuron's view of it.

y(A) = lo + #{k in (lo, hi] : A ≥ Θ_k} with Θ_k = min{A : y(A) ≥ k}, because every requantiser is
non-decreasing in A while A · 2^max(e, 0) does not leave int32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic.fixed_point import INT32_MAX, INT32_MIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic.requantizers import Requantizer

NEVER = 1 << 31
"""The threshold of a code that no sum reaches: above every int32."""


def sum_range(requantizer: Requantizer) -> tuple[int, int]:
    """The sums over which the requantiser is non-decreasing: int32 without what a left shift
    pushes out.
    """
    left = 0
    if requantizer.multipliers is not None:
        left = max(int(requantizer.multipliers.exponent.max()), 0)
    return INT32_MIN >> left, INT32_MAX >> left


def thresholds(requantizer: Requantizer) -> NDArray[np.int64]:
    """Θ, int64[channels, hi − lo]: column j belongs to code lo + 1 + j; NEVER where no sum reaches
    it.

    By bisection over `sum_range`, all channels and codes at once.
    """
    codes = np.arange(requantizer.lo + 1, requantizer.hi + 1, dtype=np.int64)
    lowest, highest = sum_range(requantizer)
    below = np.full((len(codes), requantizer.channels), lowest - 1, np.int64)
    reached = np.full_like(below, highest + 1)
    while True:
        open_ = reached - below > 1
        if not open_.any():
            break
        middle = np.where(open_, (below + reached) >> 1, lowest)
        up = (requantizer.codes(middle) >= codes[:, None]) & open_
        reached = np.where(up, middle, reached)
        below = np.where(open_ & ~up, middle, below)
    result: NDArray[np.int64] = np.where(reached > highest, NEVER, reached).T
    return result


def ladder(acc: NDArray[np.int64], steps: NDArray[np.int64], lo: int) -> NDArray[np.int64]:
    """Codes of the sums `acc` (…, channels) by the thresholds of `thresholds`."""
    if len(steps) == 1:
        return lo + np.searchsorted(steps[0], acc, side="right").astype(np.int64)
    y = np.empty(acc.shape, np.int64)
    for c, row in enumerate(steps):
        y[..., c] = lo + np.searchsorted(row, acc[..., c], side="right")
    return y
