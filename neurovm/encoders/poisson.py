# SPDX-License-Identifier: Apache-2.0
"""Poisson: the value is a share of the highest firing rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neurovm.encoders.base import Encoder, Stream
from neurovm.encoders.chances import ChanceStream, chance_array
from neurovm.encoders.ranges import MOST_SEED, MOST_TICKS, check_above, check_count
from neurovm.errors import EventError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def check_rate(f_max: float, dt: float) -> None:
    """EventError unless f_max (Hz) and dt (s) are positive and a tick holds at most one spike."""
    check_above("f_max", f_max, 0)
    check_above("dt", dt, 0)
    if f_max * dt > 1 + 1e-12:  # 1 / dt, as it is rounded, is allowed
        found = f"{f_max:g} with dt {dt:g}, {f_max * dt:g} spikes a tick"
        raise EventError(f"f_max: found {found}; accepted: above 0 to {1 / dt:g} Hz (1 / dt)")


class Poisson(Encoder, frozen=True, tag="poisson"):
    """P(spike of element i in a tick) = dt · f_max · min(max(x_i, 0), 1): a Poisson process of
    rate f_max · x_i, sampled once a tick, repeatable by `seed`.

    seq_length: ticks of a sample, 1 … 65536. f_max: Hz, above 0, at most 1 / dt. dt: seconds of a
    tick, above 0. seed: 0 … 2^64 − 1.

    norse's poisson_encode has the same law for x of 0 … 1 and draws from torch's generator; where
    f_max · dt is above 1 it saturates, which is refused here.
    Source: Heeger, Poisson model of spike generation, 2000.
    """

    seq_length: int = 1
    f_max: float = 100.0
    dt: float = 0.001
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("seq_length", self.seq_length, 1, MOST_TICKS)
        check_rate(self.f_max, self.dt)
        check_count("seed", self.seed, 0, MOST_SEED)

    @property
    def ticks(self) -> int:
        return self.seq_length

    def stream(self, n: int) -> Stream:
        return ChanceStream(n, self.chances, ticks=self.ticks, seed=self.seed)

    def encode(self, data: ArrayLike) -> NDArray[np.int8]:
        return chance_array(data, self.chances, ticks=self.ticks, seed=self.seed, channels=1)

    def chances(self, values: Sequence[float]) -> list[float]:
        """The probability of a spike of each element in one tick."""
        share = self.dt * self.f_max
        return [share * min(max(value, 0.0), 1.0) for value in values]
