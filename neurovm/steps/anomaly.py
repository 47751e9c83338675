# SPDX-License-Identifier: Apache-2.0
"""Anomaly: how unusual a value is, beside a baseline that was learned or is given."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from neurovm.errors import StepError
from neurovm.steps.base import Number, Step, StepStream, check_work
from neurovm.steps.forms import ValueForm, VectorForm, clipped
from neurovm.steps.rolling import each_of, mean

MOST_RESULTS = 1 << 16
Level = Annotated[float, Meta(gt=0, le=1e30)]


class Anomaly(Step, frozen=True, tag="anomaly"):
    """baseline normal:    s = (x − m) / max(d, floor), with both_sides |x − m| / max(d, floor);
                           m mean and d standard deviation (of n − 1) of the first `learn` results
    baseline quantile:  s = x / max(q, floor); q the `quantile` of them (between two results by
                        linear interpolation)

    each value by itself. learn: results, 2 … 65536, that are learned from and say nothing; learn
    times the size of the vector is at most 2²⁰. quantile: 0 … 1. floor: above 0. Instead of
    `learn`: mean (±10³⁰) and deviation, or level (above 0 to 10³⁰: q), for all values.

    What was learned is kept with the stream, in memory: a worker that starts anew, after a change
    of configuration or a failure, learns anew. Fix it with mean and deviation, or level, where that
    is not wanted.

    Source: the Shewhart chart (Montgomery, Introduction to statistical quality control, phase I and
    II); quantile: type 7 of Hyndman and Fan, The American Statistician 50 (1996) 361.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    learn: Annotated[int, Meta(ge=2, le=MOST_RESULTS)] | None = None
    baseline: Literal["normal", "quantile"] = "normal"
    quantile: Annotated[float, Meta(ge=0, le=1)] = 0.99
    both_sides: bool = False
    floor: Level = 1e-9
    mean: Number | None = None
    deviation: Level | None = None
    level: Level | None = None

    def _check(self) -> None:
        if (self.mean is None) != (self.deviation is None):
            raise StepError("mean", "one of mean and deviation", "both or none")
        given = [
            key
            for key, there in (
                ("learn", self.learn),
                ("mean and deviation", self.mean),
                ("level", self.level),
            )
            if there is not None
        ]
        if len(given) != 1:
            found = " and ".join(given) or "no baseline"
            raise StepError("learn", found, "one of learn, mean with deviation, and level")
        if (self.mean is not None or self.both_sides) and self.baseline == "quantile":
            raise StepError("baseline", "quantile with mean or both_sides", "normal with them")
        if self.level is not None and self.baseline == "normal":
            raise StepError("baseline", "normal with level", "quantile with it")

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        count = (self.learn or 0) * given.size
        check_work("learn", count, f"numbers: {self.learn} results of {given.size}")
        return VectorForm(numbers=given.numbers, size=given.size, labels=given.labels)

    def stream(self, given: ValueForm) -> StepStream:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return _AnomalyStream(self, given.size)


class _AnomalyStream(StepStream):
    """Holds the results it learns from, later (zero, unit) of each value's score."""

    def __init__(self, step: Anomaly, size: int) -> None:
        self._step, self._size = step, size
        self.reset()

    def reset(self) -> None:
        step = self._step
        self._rows: list[array[float]] = []
        self._scales: list[tuple[float, float]] = []
        if step.learn is None:
            fixed = (step.mean or 0.0, max(step.deviation or step.level or 0.0, step.floor))
            self._scales = [fixed] * self._size

    def push(self, t_us: int, value: Sequence[float]) -> list[float] | None:  # noqa: ARG002  # by count
        if not self._scales:
            self._learn(value)
            return None
        pairs = zip(value, self._scales, strict=True)
        scores = [clipped((x - zero) / unit) for x, (zero, unit) in pairs]
        return [abs(score) for score in scores] if self._step.both_sides else scores

    def _learn(self, value: Sequence[float]) -> None:
        step, rows = self._step, self._rows
        rows.append(array("d", value))
        if len(rows) < (step.learn or 0):
            return
        floor = step.floor
        if step.baseline == "normal":
            middles = each_of(rows, mean)
            units = each_of(rows, _deviation)
            self._scales = [(m, max(d, floor)) for m, d in zip(middles, units, strict=True)]
        else:
            levels = each_of(rows, lambda column: _quantile(column, step.quantile))
            self._scales = [(0.0, max(level, floor)) for level in levels]
        self._rows = []


def _deviation(column: Sequence[float]) -> float:
    middle = mean(column)
    return math.sqrt(math.fsum((x - middle) ** 2 for x in column) / (len(column) - 1))


def _quantile(column: Sequence[float], share: float) -> float:
    ordered = sorted(column)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    part = place - below
    return (1 - part) * ordered[below] + part * ordered[above]
