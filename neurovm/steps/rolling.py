# SPDX-License-Identifier: Apache-2.0
"""Mean and median of the last results, each value by itself."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.errors import StepError
from neurovm.steps.base import Step, StepStream, check_work
from neurovm.steps.forms import ValueForm, VectorForm

Rule = Callable[[Sequence[float]], float]
MOST_RESULTS = 4096


class Rolling(Step, frozen=True):
    """A rule over the last `n` results (1 … 4096), as many as there are, but `least` (1 … n)."""

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    n: Annotated[int, Meta(ge=1, le=MOST_RESULTS)]
    least: Annotated[int, Meta(ge=1, le=MOST_RESULTS)] = 1

    def _check(self) -> None:
        if self.least > self.n:
            raise StepError("least", str(self.least), f"1 to n, which is {self.n}")

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        check_work("n", self.n * given.size, f"numbers: {self.n} results of {given.size}")
        return given

    def stream(self, given: ValueForm) -> StepStream:
        del given
        return _RollingStream(self, self._rule())

    def _rule(self) -> Rule:
        raise NotImplementedError  # each has its own


class Mean(Rolling, frozen=True, tag="mean"):
    """y_t = (x_{t−n+1} + … + x_t) / n, rounded once

    n: results, 1 … 4096; before there are n, of those there are. least: how many there have to be
    before anything is said, 1 … n. n times the size of the vector is at most 2²⁰.

    Source: the posterior smoothing of Chen, Parada, Heigold, Small-footprint keyword spotting using
    deep neural networks, ICASSP 2014, section 2.3.
    """

    def _rule(self) -> Rule:
        return mean


class Median(Rolling, frozen=True, tag="median"):
    """y_t = the middle one of x_{t−n+1}, …, x_t in order; of an even number the mean of the two

    n, least: as of `mean`. A spike of fewer than n / 2 results leaves no trace.

    Source: Tukey, Exploratory data analysis (1977), running medians.
    """

    def _rule(self) -> Rule:
        from statistics import median  # with fractions and more behind it, for who asks for it

        return median


class _RollingStream(StepStream):
    """Holds the last results."""

    def __init__(self, step: Rolling, rule: Rule) -> None:
        self._least, self._rule = step.least, rule
        self._rows: deque[array[float]] = deque(maxlen=step.n)

    def reset(self) -> None:
        self._rows.clear()

    def push(self, t_us: int, value: Sequence[float]) -> list[float] | None:  # noqa: ARG002  # by count
        self._rows.append(array("d", value))
        return None if len(self._rows) < self._least else each_of(self._rows, self._rule)


def mean(column: Sequence[float]) -> float:
    """Of one or more numbers, rounded once."""
    return math.fsum(column) / len(column)


def each_of(rows: Sequence[Sequence[float]], rule: Rule) -> list[float]:
    """`rule` of each element's values in `rows`."""
    return [rule(column) for column in zip(*rows, strict=True)]
