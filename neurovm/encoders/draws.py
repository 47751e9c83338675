# SPDX-License-Identifier: Apache-2.0
"""Random numbers by index: the k-th number of a seed, the same on every machine.

    u_k = (h(seed + (k + 1) · 0x9E3779B97F4A7C15 mod 2^64) >> 11) / 2^53,   0 ≤ u_k < 1

h is the finalizer of SplitMix64. Being counted, not drawn, they can be made in any order or number.
Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1
_UNIT = 2.0**-53


def draws(seed: int, start: int, count: int) -> list[float]:
    """u_start … u_(start + count − 1) of `seed` (0 … 2^64 − 1)."""
    numbers = []
    at = (seed + (start + 1) * _GAMMA) & _MASK
    for _ in range(count):
        x = ((at ^ (at >> 30)) * _FIRST) & _MASK
        x = ((x ^ (x >> 27)) * _SECOND) & _MASK
        numbers.append(((x ^ (x >> 31)) >> 11) * _UNIT)
        at = (at + _GAMMA) & _MASK
    return numbers


def draws_array(seed: int, start: int, count: int) -> NDArray[np.float64]:
    """`draws` as float64[count], bit for bit. Imports numpy."""
    import numpy as np

    at = np.arange(start + 1, start + 1 + count, dtype=np.uint64)
    x = np.uint64(seed) + at * np.uint64(_GAMMA)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_FIRST)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_SECOND)
    x = (x ^ (x >> np.uint64(31))) >> np.uint64(11)
    numbers: NDArray[np.float64] = x.astype(np.float64) * _UNIT
    return numbers
