# SPDX-License-Identifier: Apache-2.0
"""Level crossing: a spike for every level that a value crosses, as a pixel of an event camera."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import ClassVar

from neurovm.encoders.base import Encoder, Spikes, Stream
from neurovm.encoders.ranges import check_above, check_count, check_finite, check_flag
from neurovm.errors import EventError

MOST_LEVELS = 1 << 50
"""Levels that are told apart: those beyond are the last one."""


class LevelCrossing(Encoder, frozen=True, tag="level_crossing"):
    """Levels stand at offset + k · threshold. An element that is at level k

        rises   while x ≥ offset + (k + 1) · threshold:  a spike on channel 0, k ← k + 1
        falls   while x ≤ offset + (k − 1) · threshold:  a spike on channel 1, k ← k − 1

    so that between an upward and a downward spike the value has moved by a whole threshold
    (hysteresis), and k · threshold + offset is never more than a threshold from the value. At first
    k is 0, or with `padding` the highest level not above the first sample. Without off_spike falls
    are not sent.

    threshold: distance of levels, above 0. offset: finite. most: spikes of an element in one
    sample, 1 … 127; a longer jump goes on in the next sample, so that nothing is lost.

    Source: Sayiner, Sorensen, Viswanathan, A level-crossing sampling scheme for A/D conversion,
    IEEE Trans. Circuits and Systems II 43 (1996) 335; Lichtsteiner, Posch, Delbruck, A 128×128
    120 dB 15 µs latency asynchronous temporal contrast vision sensor, IEEE JSSC 43 (2008) 566.
    """

    signals: ClassVar[bool] = True

    threshold: float = 0.1
    offset: float = 0.0
    padding: bool = False
    off_spike: bool = True
    most: int = 127

    def __post_init__(self) -> None:
        check_above("threshold", self.threshold, 0)
        check_finite("offset", self.offset)
        if self.offset + self.threshold == self.offset:
            found = f"{self.threshold:g} beside offset {self.offset:g}, which it does not change"
            raise EventError(f"threshold: found {found}; accepted: a larger one")
        check_flag("padding", self.padding)
        check_flag("off_spike", self.off_spike)
        check_count("most", self.most, 1, 127)

    @property
    def channels(self) -> int:
        return 2 if self.off_spike else 1

    def stream(self, n: int) -> Stream:
        return LevelStream(n, self)


class LevelStream(Stream):
    """Holds the level of each element."""

    def __init__(self, n: int, encoder: LevelCrossing) -> None:
        super().__init__(n)
        self._encoder = encoder
        self.reset()

    def reset(self) -> None:
        self._levels = [] if self._encoder.padding else [0] * self.n

    def _push(self, values: Sequence[float]) -> Spikes:
        if not self._levels:
            self._levels = [self._below(value) for value in values]
        rises, falls = array("I"), array("I")
        for at, value in enumerate(values):
            moved = self._move(at, value)
            if moved > 0:
                rises.extend([at] * moved)
            elif moved < 0:
                falls.extend([self.n + at] * -moved)
        addresses = rises + falls if self._encoder.off_spike else rises
        return Spikes(array("q", bytes(8 * len(addresses))), addresses)

    def _move(self, at: int, value: float) -> int:
        """Move element `at` towards `value`; by how many levels."""
        encoder, levels = self._encoder, self._levels
        threshold, offset, before = encoder.threshold, encoder.offset, levels[at]
        level = before
        while level - before < encoder.most and value >= offset + (level + 1) * threshold:
            level += 1
        while before - level < encoder.most and value <= offset + (level - 1) * threshold:
            level -= 1
        levels[at] = level
        return level - before

    def _below(self, value: float) -> int:
        """The highest level not above `value`."""
        encoder = self._encoder
        ratio = (value - encoder.offset) / encoder.threshold
        level = round(min(max(ratio, -MOST_LEVELS), MOST_LEVELS))
        # A quotient is rounded; the levels themselves decide.
        for step in (1, 1, -1, -1):
            at = encoder.offset + (level + max(step, 0)) * encoder.threshold
            if at <= value if step > 0 else at > value:
                level += step
        return level
