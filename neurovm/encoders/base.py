# SPDX-License-Identifier: Apache-2.0
"""What all encoders share: spikes, the state of a stream, and the same for arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import msgspec

from neurovm.encoders.ranges import check_count
from neurovm.errors import EventError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

MOST_ELEMENTS = 1 << 24
MOST_COUNTS = 1 << 31
"""Bytes of an array of spike counts."""


class Spikes(NamedTuple):
    """Spikes of one sample in the order (tick, address); an address may stand several times.

    `ticks` are counted from the sample's own (q: int64), `addresses` are uint32 (I).
    """

    ticks: array[int]
    addresses: array[int]


def spikes_of(pairs: Sequence[tuple[int, int]]) -> Spikes:
    """Spikes of (tick, address) pairs, put in order."""
    ordered = sorted(pairs)
    return Spikes(array("q", [t for t, _ in ordered]), array("I", [a for _, a in ordered]))


def check_counts(ticks: int, addresses: int) -> None:
    """EventError where an array of counts would be too large."""
    if ticks * addresses > MOST_COUNTS:
        found = f"{ticks} ticks of {addresses} addresses"
        raise EventError(f"found {found}; accepted: at most {MOST_COUNTS} counts in an array")


class Stream(ABC):
    """The state of one stream of samples of `n` elements; used by one thread."""

    def __init__(self, n: int) -> None:
        check_count("n", n, 1, MOST_ELEMENTS)
        self.n = n

    def push(self, values: Sequence[float]) -> Spikes:
        """The spikes of the next sample: `n` finite numbers.

        EventError for anything else, and the stream is as it was before.
        """
        self.check(values)
        return self._push(values)

    def check(self, values: Sequence[float]) -> None:
        """EventError where `push` would refuse the values."""
        if len(values) != self.n:
            raise EventError(f"found {len(values)} values; accepted: {self.n}")
        for at, value in enumerate(values):
            if not math.isfinite(value):
                raise EventError(f"value {at}: found {value}; accepted: a finite number", at)

    def reset(self) -> None:  # noqa: B027  # many have no state
        """As before the first sample."""

    @abstractmethod
    def _push(self, values: Sequence[float]) -> Spikes:
        """As `push`, of checked values."""


class Encoder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """The parameters of an encoder; hashable, equal where all of them are."""

    signals: ClassVar[bool] = False
    """Whether samples follow one another in time (delta), or each stands for itself (rate)."""

    @property
    def ticks(self) -> int:
        """Ticks that a sample lasts."""
        return 1

    @property
    def channels(self) -> int:
        """Spike channels of an element."""
        return 1

    def stream(self, n: int) -> Stream:
        """A stream of samples of `n` elements (1 … 2^24), from its beginning."""
        raise NotImplementedError  # each encoder has its own

    def encode(self, data: ArrayLike) -> NDArray[np.int8]:
        """Spike counts of an array, from the beginning of a stream.

        `data` is one sample of any shape (`rate`, `poisson`, `latency`, `population`, `phase`) and
        gives (ticks, channels, *shape); or samples along the first axis (`delta`,
        `level_crossing`), which gives (samples, channels, *shape[1:]). Imports numpy.
        """
        import numpy as np

        values = np.asarray(data, np.float64)
        samples = values if self.signals else values[None]
        if samples.ndim == 0 or not samples.size:
            raise EventError(f"found an array of shape {values.shape}; accepted: a sample or more")
        shape = samples.shape[1:]
        n = math.prod(shape)
        check_counts(len(samples) * self.ticks, self.channels * n)
        stream = self.stream(n)
        train = np.zeros((len(samples) * self.ticks, self.channels * n), np.int8)
        for at, sample in enumerate(samples):
            spikes = stream.push(sample.ravel().tolist())
            rows = np.asarray(spikes.ticks) + at * self.ticks
            np.add.at(train, (rows, np.asarray(spikes.addresses, np.intp)), 1)
        return train.reshape((len(train), self.channels, *shape))
