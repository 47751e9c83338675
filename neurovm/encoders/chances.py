# SPDX-License-Identifier: Apache-2.0
"""Spikes by chance: in every tick each address with a probability of its own.

The draw of address i in tick t of sample s is number ((s · ticks) + t) · addresses + i of the seed
(`neurovm.encoders.draws`), and there is a spike where it is below the probability.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from neurovm.encoders.base import Spikes, Stream, check_counts
from neurovm.encoders.draws import draws, draws_array
from neurovm.errors import EventError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_DRAWS = 1 << 20
"""Numbers that an array is made of at a time: 8 bytes each, for one of the array."""
Chances = Callable[[Sequence[float]], list[float]]
"""From the values of a sample to the probability of each address, 0 … 1."""


class ChanceStream(Stream):
    """`ticks` ticks a sample, of which the first `silent` have no spikes."""

    def __init__(self, n: int, chances: Chances, *, ticks: int, seed: int, silent: int = 0) -> None:
        super().__init__(n)
        self._chances, self._ticks, self._seed, self._silent = chances, ticks, seed, silent
        self._drawn = 0

    def reset(self) -> None:
        self._drawn = 0

    def _push(self, values: Sequence[float]) -> Spikes:
        chances = self._chances(values)
        ticks, addresses = array("q"), array("I")
        count = len(chances)
        for tick in range(self._silent, self._ticks):
            numbers = draws(self._seed, self._drawn + tick * count, count)
            for address, (number, chance) in enumerate(zip(numbers, chances, strict=True)):
                if number < chance:
                    ticks.append(tick)
                    addresses.append(address)
        self._drawn += self._ticks * count
        return Spikes(ticks, addresses)


def chance_array(
    data: ArrayLike, chances: Chances, *, ticks: int, seed: int, channels: int, silent: int = 0
) -> NDArray[np.int8]:
    """The first sample of a ChanceStream as an array, many draws at a time. Imports numpy."""
    import numpy as np

    values = np.asarray(data, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise EventError(f"found {values.size} values, or one not finite; accepted: 1 or more")
    check_counts(ticks, channels * values.size)
    wanted = np.asarray(chances(values.ravel().tolist()))
    width = len(wanted)
    train = np.zeros((ticks, width), np.int8)
    rows = max(1, _DRAWS // width)
    for first in range(silent, ticks, rows):
        part = train[first : first + rows]
        part[:] = draws_array(seed, first * width, part.size).reshape(part.shape) < wanted
    return train.reshape((ticks, channels, *values.shape))
