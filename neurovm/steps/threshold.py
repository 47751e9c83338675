# SPDX-License-Identifier: Apache-2.0
"""Threshold: values beyond a limit, without flutter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from neurovm.errors import StepError
from neurovm.steps.base import Count, Number, Seconds, Step, StepStream, one_of
from neurovm.steps.forms import Flags, FlagsForm, ValueForm, VectorForm


class Threshold(Step, frozen=True, tag="threshold"):
    """Each value by itself, inactive at first, with `above`:

        becomes active    after `count` results in a row, over at least `for_s`, with x ≥ above
        becomes inactive  after `release_count` in a row, over `release_for_s`, with x < release

    With `below` the same of x ≤ below and x > release (hysteresis: between the two nothing turns;
    debounce: what lasts shorter does not either). The time of a row is from its first result to its
    last. above, below: one of them. release: not above `above`, not under `below`; the same where
    not given. count, release_count: 1 … 65536. for_s, release_for_s: 0 … a year.

    Source: Schmitt, A thermionic trigger, J. Sci. Instruments 15 (1938) 24; on and off delays as
    alarms have them: ISA-18.2.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    above: Number | None = None
    below: Number | None = None
    release: Number | None = None
    count: Count = 1
    for_s: Seconds = 0.0
    release_count: Count = 1
    release_for_s: Seconds = 0.0

    def _check(self) -> None:
        one_of(self, "above", "below")
        limit, release = self.limit, self.release
        if release is None:
            return
        if self.above is not None and release > limit:
            raise StepError("release", f"{release:g}", f"at most above, which is {limit:g}")
        if self.below is not None and release < limit:
            raise StepError("release", f"{release:g}", f"at least below, which is {limit:g}")

    @property
    def limit(self) -> float:
        """`above` or `below`."""
        return (self.above if self.above is not None else self.below) or 0.0

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return FlagsForm(
            numbers=given.numbers, size=given.size, labels=given.labels, falls=self.above is None
        )

    def stream(self, given: ValueForm) -> StepStream:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return _ThresholdStream(self, given.size)


class _ThresholdStream(StepStream):
    """Holds which values are active, and how long the row is that could turn each."""

    def __init__(self, step: Threshold, size: int) -> None:
        self._size = size
        # Downwards is upwards of the negative.
        self._sign = 1.0 if step.above is not None else -1.0
        self._limit = self._sign * step.limit
        self._release = self._limit if step.release is None else self._sign * step.release
        self._rise = (step.count, round(step.for_s * 1e6))
        self._fall = (step.release_count, round(step.release_for_s * 1e6))
        self.reset()

    def reset(self) -> None:
        self._active = [False] * self._size
        self._rows = [0] * self._size
        self._since_us = [0] * self._size

    def push(self, t_us: int, value: Sequence[float]) -> Flags:
        sign, active = self._sign, self._active
        for at, x in enumerate(value):
            on = active[at]
            turning = sign * x < self._release if on else sign * x >= self._limit
            if not turning:
                self._rows[at] = 0
                continue
            if not self._rows[at]:
                self._since_us[at] = t_us
            self._rows[at] += 1
            count, for_us = self._fall if on else self._rise
            if self._rows[at] >= count and t_us - self._since_us[at] >= for_us:
                active[at] = not on
                self._rows[at] = 0
        return Flags(tuple(active), tuple(value))
