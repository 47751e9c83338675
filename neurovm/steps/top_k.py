# SPDX-License-Identifier: Apache-2.0
"""Top-k: the largest values, largest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.steps.base import Mapped, Number, Step, StepStream
from neurovm.steps.forms import RankingForm, Scored, ValueForm, VectorForm


class TopK(Step, frozen=True, tag="top_k"):
    """The k largest x_i with x_i ≥ least, as (i, x_i), largest first, equal ones by i.

    k: 1 … 1024. least: a number; none where not given.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    k: Annotated[int, Meta(ge=1, le=1024)] = 1
    least: Number | None = None

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return RankingForm(numbers=given.numbers, labels=given.labels)

    def stream(self, given: ValueForm) -> StepStream:
        del given
        return Mapped(self._rank)

    def _rank(self, value: Sequence[float]) -> list[Scored]:
        best = sorted(range(len(value)), key=lambda at: -value[at])[: self.k]
        least = self.least
        return [Scored(at, value[at]) for at in best if least is None or value[at] >= least]
