# SPDX-License-Identifier: Apache-2.0
"""Delta: a spike when a value has moved by a threshold since it last sent one."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import ClassVar

from neurovm.encoders.base import Encoder, Spikes, Stream
from neurovm.encoders.ranges import check_above, check_flag


class Delta(Encoder, frozen=True, tag="delta"):
    """Send-on-delta: with r_i the value of the sample in which element i last sent,

        x_i − r_i ≥ threshold    a spike on channel 0, r_i ← x_i
        x_i − r_i ≤ −threshold   a spike on channel 1 (only with off_spike), r_i ← x_i

    At first r_i is 0, or with `padding` the first sample. Without off_spike a fall is not sent, yet
    r_i follows it, so that the next rise is measured from where it began.

    threshold: above 0, in the value's units.

    snntorch.spikegen.delta compares neighbouring samples: what changes by less than the threshold
    from one to the next is never sent, however far it goes, so a receiver's error has no bound.
    Here it stays below the threshold. Both agree where the value moves by at least the threshold
    or not at all. Its −1 is a spike on channel 1 here.
    Source: Miskowicz, Send-on-delta concept: an event-based data reporting strategy, Sensors 6
    (2006) 49.
    """

    signals: ClassVar[bool] = True

    threshold: float = 0.1
    padding: bool = False
    off_spike: bool = False

    def __post_init__(self) -> None:
        check_above("threshold", self.threshold, 0)
        check_flag("padding", self.padding)
        check_flag("off_spike", self.off_spike)

    @property
    def channels(self) -> int:
        return 2 if self.off_spike else 1

    def stream(self, n: int) -> Stream:
        return DeltaStream(n, self)


class DeltaStream(Stream):
    """Holds the last sent value of each element."""

    def __init__(self, n: int, encoder: Delta) -> None:
        super().__init__(n)
        self._encoder = encoder
        self.reset()

    def reset(self) -> None:
        self._sent = [] if self._encoder.padding else [0.0] * self.n

    def _push(self, values: Sequence[float]) -> Spikes:
        if not self._sent:
            self._sent = list(values)
        sent, threshold, n = self._sent, self._encoder.threshold, self.n
        rises, falls = array("I"), array("I")
        for at, value in enumerate(values):
            change = value - sent[at]
            if change >= threshold:
                rises.append(at)
                sent[at] = value
            elif change <= -threshold:
                falls.append(n + at)
                sent[at] = value
        addresses = rises + falls if self._encoder.off_spike else rises
        return Spikes(array("q", bytes(8 * len(addresses))), addresses)
