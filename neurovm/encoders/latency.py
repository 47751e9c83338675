# SPDX-License-Identifier: Apache-2.0
"""Latency: one spike an element, the earlier the larger its value."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neurovm.encoders.base import Encoder, Spikes, Stream, spikes_of
from neurovm.encoders.ranges import (
    MOST_TICKS,
    check_above,
    check_between,
    check_count,
    check_flag,
)
from neurovm.errors import EventError


class Latency(Encoder, frozen=True, tag="latency"):
    """The time of element i is that at which an RC circuit fed with x_i reaches `threshold` θ,

        t_i = tau · ln(x / (x − θ)),  x = max(x_i, θ + epsilon)          (default)
        t_i = tau · (1 − max(x_i, θ))                                    (linear)

    then, with f = first_spike_time and N = num_steps:

        t ← t + f
        normalize, default: t ← (t − f) · (N − 1 − f) / max(t − f) + f
        normalize, linear:  tau = N − 1 − f from the start; where x_i > 1 gave a time before 0,
                            t ← f + (t − min t) · (N − 1 − f) / (max t − min t)

    and the spike is sent in tick round(t_i), halves to even; none where that is N or later. What is
    below the threshold fires last, or with `clip` not at all.

    num_steps: ticks of a sample, 1 … 65536. threshold: between 0 and 1. epsilon, tau: above 0.
    first_spike_time: 0 … num_steps − 1. linear without normalize refuses values above 1.

    snntorch.spikegen.latency (1.0, with its bypass=True) has the same times, in float32, for one
    sample of 0 … 1. It differs in three things. It normalizes over a whole batch, so that a
    sample's spikes depend on its neighbours; here it is over the sample. It refuses values outside
    0 … 1, and without bypass those that are too late, which here have no spike. And where all times
    are 0, normalize divides by 0; here they are f.
    """

    num_steps: int = 1
    threshold: float = 0.01
    epsilon: float = 1e-7
    tau: float = 1.0
    first_spike_time: int = 0
    clip: bool = False
    normalize: bool = False
    linear: bool = False

    def __post_init__(self) -> None:
        check_count("num_steps", self.num_steps, 1, MOST_TICKS)
        check_between("threshold", self.threshold, 0, 1)
        check_above("epsilon", self.epsilon, 0)
        if self.threshold + self.epsilon == self.threshold:
            found = (
                f"{self.epsilon:g} beside threshold {self.threshold:g}, which it does not change"
            )
            raise EventError(f"epsilon: found {found}; accepted: a larger one")
        check_above("tau", self.tau, 0)
        check_count("first_spike_time", self.first_spike_time, 0, self.num_steps - 1)
        for key in ("clip", "normalize", "linear"):
            check_flag(key, getattr(self, key))

    @property
    def ticks(self) -> int:
        return self.num_steps

    def stream(self, n: int) -> Stream:
        return LatencyStream(n, self)

    def times(self, values: Sequence[float]) -> list[float]:
        """The time of each element of a sample, in ticks."""
        return self._linear(values) if self.linear else self._charging(values)

    def _charging(self, values: Sequence[float]) -> list[float]:
        theta, first = self.threshold, self.first_spike_time
        raised = (max(value, theta + self.epsilon) for value in values)
        times = [self.tau * math.log(value / (value - theta)) + first for value in raised]
        if self.normalize:
            longest = max(time - first for time in times)
            room = self.num_steps - 1 - first
            times = [
                (time - first) * room / longest + first if longest else float(first)
                for time in times
            ]
        return times

    def _linear(self, values: Sequence[float]) -> list[float]:
        theta, first = self.threshold, self.first_spike_time
        room = self.num_steps - 1 - first
        tau = room if self.normalize else self.tau
        times = [tau * (1 - max(value, theta)) + first for value in values]
        earliest, latest = min(times), max(times)
        if earliest < 0:  # only with normalize
            span = latest - earliest
            times = [
                first + (time - earliest) / span * room if span else float(first) for time in times
            ]
        return times


class LatencyStream(Stream):
    """Without state: each sample stands for itself."""

    def __init__(self, n: int, encoder: Latency) -> None:
        super().__init__(n)
        self._encoder = encoder

    def check(self, values: Sequence[float]) -> None:
        super().check(values)
        if self._encoder.linear and not self._encoder.normalize:
            for at, value in enumerate(values):
                if value > 1:
                    accepted = "at most 1 with linear, unless normalize"
                    raise EventError(f"value {at}: found {value}; accepted: {accepted}", at)

    def _push(self, values: Sequence[float]) -> Spikes:
        encoder = self._encoder
        count, theta = encoder.num_steps, encoder.threshold
        return spikes_of(
            [
                (round(time), address)
                for address, time in enumerate(encoder.times(values))
                if time < count  # before it is rounded: it may be endless
                and round(time) < count
                and not (encoder.clip and values[address] < theta)
            ]
        )
