# SPDX-License-Identifier: Apache-2.0
"""Population: several neurons an element, each with a value it answers to most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from neurovm.encoders.base import Encoder, Stream
from neurovm.encoders.chances import ChanceStream, chance_array
from neurovm.encoders.poisson import check_rate
from neurovm.encoders.ranges import MOST_SEED, MOST_TICKS, check_above, check_count, check_finite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


class Population(Encoder, frozen=True, tag="population"):
    """Neuron k of an element has the centre c_k = low + scale · k / (out_features − 1) and spikes
    in a tick with the probability

        dt · f_max · exp(−((x − c_k) / scale)² / (2 sigma²))

    independently, repeatable by `seed`. Channel k holds neuron k of all elements.

    out_features: neurons an element, 2 … 4096. low: the value of the first centre, finite. scale:
    from the first centre to the last, above 0. sigma: width of a field in units of scale, above 0.
    seq_length: ticks of a sample, 1 … 65536. f_max: Hz, above 0, at most 1 / dt. dt: seconds of a
    tick. seed: 0 … 2^64 − 1.

    norse's population_encode gives the bell itself, to be followed by poisson_encode; its exponent
    is (x − c_k)² · scale / (2 σ²), equal for a scale of 1. There the fields get narrower in the
    value's own units as scale grows; here they keep their share of the range. Its default scale is
    the largest value at hand, which a stream cannot know.
    Source: Bohte, La Poutré, Kok, Unsupervised clustering with spiking neurons by sparse temporal
    coding and multilayer RBF networks, IEEE Trans. Neural Networks 13 (2002) 426.
    """

    out_features: int
    scale: float = 1.0
    low: float = 0.0
    sigma: float = 1.0
    seq_length: int = 1
    f_max: float = 1000.0
    dt: float = 0.001
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("out_features", self.out_features, 2, 4096)
        check_above("scale", self.scale, 0)
        check_finite("low", self.low)
        check_above("sigma", self.sigma, 0)
        check_count("seq_length", self.seq_length, 1, MOST_TICKS)
        check_rate(self.f_max, self.dt)
        check_count("seed", self.seed, 0, MOST_SEED)

    @property
    def ticks(self) -> int:
        return self.seq_length

    @property
    def channels(self) -> int:
        return self.out_features

    def stream(self, n: int) -> Stream:
        return ChanceStream(n, self.chances, ticks=self.ticks, seed=self.seed)

    def encode(self, data: ArrayLike) -> NDArray[np.int8]:
        return chance_array(
            data, self.chances, ticks=self.ticks, seed=self.seed, channels=self.channels
        )

    def bells(self, value: float) -> list[float]:
        """How much each neuron answers to a value, 0 … 1."""
        place, last = (value - self.low) / self.scale, self.out_features - 1
        width = 2 * self.sigma * self.sigma or math.ulp(0.0)
        distances = (place - k / last for k in range(self.out_features))
        # What is so far off that its square overflows answers 0.
        return [math.exp(-(min(abs(d), 1e150) ** 2) / width) for d in distances]

    def chances(self, values: Sequence[float]) -> list[float]:
        """The probability of a spike of each address in one tick."""
        share = self.dt * self.f_max
        rows = [self.bells(value) for value in values]
        return [share * row[k] for k in range(self.out_features) for row in rows]
