# SPDX-License-Identifier: Apache-2.0
"""Rate: the value is the probability of a spike in each tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neurovm.encoders.base import Encoder, Stream
from neurovm.encoders.chances import ChanceStream, chance_array
from neurovm.encoders.ranges import MOST_SEED, MOST_TICKS, check_count, check_finite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


class Rate(Encoder, frozen=True, tag="rate"):
    """P(spike of element i in tick t) = min(max(gain · x_i + offset, 0), 1), 0 for
    t < first_spike_time; independent in every tick and element, repeatable by `seed`.

    num_steps: ticks of a sample, 1 … 65536. gain, offset: finite. first_spike_time: 0 …
    num_steps − 1. seed: 0 … 2^64 − 1.

    snntorch.spikegen.rate has the same law and draws from torch's generator instead of a seed.
    """

    num_steps: int = 1
    gain: float = 1.0
    offset: float = 0.0
    first_spike_time: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("num_steps", self.num_steps, 1, MOST_TICKS)
        check_finite("gain", self.gain)
        check_finite("offset", self.offset)
        check_count("first_spike_time", self.first_spike_time, 0, self.num_steps - 1)
        check_count("seed", self.seed, 0, MOST_SEED)

    @property
    def ticks(self) -> int:
        return self.num_steps

    def stream(self, n: int) -> Stream:
        silent = self.first_spike_time
        return ChanceStream(n, self.chances, ticks=self.ticks, seed=self.seed, silent=silent)

    def encode(self, data: ArrayLike) -> NDArray[np.int8]:
        return chance_array(
            data,
            self.chances,
            ticks=self.ticks,
            seed=self.seed,
            channels=1,
            silent=self.first_spike_time,
        )

    def chances(self, values: Sequence[float]) -> list[float]:
        """The probability of a spike of each element in one tick."""
        gain, offset = self.gain, self.offset
        return [min(max(gain * value + offset, 0.0), 1.0) for value in values]
