# SPDX-License-Identifier: Apache-2.0
"""Classify: the one class of a vector of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from neurovm.steps.base import Mapped, Number, Step, StepStream
from neurovm.steps.forms import ClassForm, Scored, ValueForm, VectorForm


class Classify(Step, frozen=True, tag="classify"):
    """k = the first largest x_i where x_k ≥ least, else no class; the score is x_k

    least: a number; none where not given. score: whether results show it. Without it they differ
    only when the class does, which is what `on: change` is to tell.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    least: Number | None = None
    score: bool = True

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return ClassForm(numbers=given.numbers, labels=given.labels, shows_score=self.score)

    def stream(self, given: ValueForm) -> StepStream:
        del given
        return Mapped(self._choose)

    def _choose(self, value: Sequence[float]) -> Scored:
        score = max(value)
        chosen = self.least is None or score >= self.least
        return Scored(list(value).index(score) if chosen else -1, score)
