# SPDX-License-Identifier: Apache-2.0
"""Deadband: small moves are no news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.steps.base import MOST_SECONDS, Step, StepStream
from neurovm.steps.forms import ValueForm, VectorForm


class Deadband(Step, frozen=True, tag="deadband"):
    """The vector x when |x_i − y_i| ≥ by for any i, y being what was said last; else nothing

    by: above 0 to 10³⁰, in the unit of the values. most_s: after so many seconds x is said
    nevertheless, with the first result from then on; never where not given. The first is said.

    Source: the report by exception of OPC UA Part 8 (absolute deadband) and of Sparkplug.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    by: Annotated[float, Meta(gt=0, le=1e30)]
    most_s: Annotated[float, Meta(gt=0, le=MOST_SECONDS)] | None = None

    def gives(self, given: ValueForm) -> ValueForm:
        return given

    def stream(self, given: ValueForm) -> StepStream:
        del given
        return _DeadbandStream(self)


class _DeadbandStream(StepStream):
    """Holds what was said last and when."""

    def __init__(self, step: Deadband) -> None:
        self._by = step.by
        self._most_us = None if step.most_s is None else round(step.most_s * 1e6)
        self.reset()

    def reset(self) -> None:
        self._said: Sequence[float] = ()
        self._at_us = 0

    def push(self, t_us: int, value: Sequence[float]) -> Sequence[float] | None:
        overdue = self._most_us is not None and t_us - self._at_us >= self._most_us
        if self._said and not overdue and self._is_near(value):
            return None
        self._said, self._at_us = value, t_us
        return value

    def _is_near(self, value: Sequence[float]) -> bool:
        return all(abs(x - y) < self._by for x, y in zip(value, self._said, strict=True))
