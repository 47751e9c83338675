# SPDX-License-Identifier: Apache-2.0
"""EMA: an exponential moving average of each value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.steps.base import MOST_SECONDS, Step, StepStream, one_of
from neurovm.steps.forms import ValueForm, VectorForm


class Ema(Step, frozen=True, tag="ema"):
    """y_n = y_{n−1} + α·(x_n − y_{n−1}), y_1 = x_1

    alpha: α itself, above 0 to 1, result by result. time_constant_s: τ in seconds, above 0;
    α = 1 − exp(−Δt/τ) of the time Δt since the result before, so that results may come unevenly.

    Source: Roberts, Control chart tests based on geometric moving averages, Technometrics 1 (1959)
    239; with uneven times the step response of a first order lag.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    alpha: Annotated[float, Meta(gt=0, le=1)] | None = None
    time_constant_s: Annotated[float, Meta(gt=0, le=MOST_SECONDS)] | None = None

    def _check(self) -> None:
        one_of(self, "alpha", "time_constant_s")

    def gives(self, given: ValueForm) -> ValueForm:
        return given

    def stream(self, given: ValueForm) -> StepStream:
        del given
        return _EmaStream(self)


class _EmaStream(StepStream):
    """Holds the last average and when it was."""

    def __init__(self, step: Ema) -> None:
        self._step = step
        self.reset()

    def reset(self) -> None:
        self._mean: list[float] = []
        self._at_us = 0

    def push(self, t_us: int, value: Sequence[float]) -> list[float]:
        if self._mean:
            alpha = self._alpha(t_us - self._at_us)
            # As a weighted sum, which cannot leave the range of what it averages.
            self._mean = [
                (1 - alpha) * y + alpha * x for x, y in zip(value, self._mean, strict=True)
            ]
        else:
            self._mean = list(value)
        self._at_us = t_us
        return self._mean

    def _alpha(self, elapsed_us: int) -> float:
        step = self._step
        if step.time_constant_s is None:
            return step.alpha or 0.0
        return -math.expm1(-elapsed_us / 1e6 / step.time_constant_s)
