# SPDX-License-Identifier: Apache-2.0
"""Presence: how surely each class is somewhere in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from neurovm.steps.base import Mapped, Step, StepStream
from neurovm.steps.forms import Box, BoxesForm, ValueForm, VectorForm


class Presence(Step, frozen=True, tag="presence"):
    """y_c = the highest score of the boxes of class c, 0 where there are none

    Turns boxes into a vector that can be smoothed, and watched by a threshold.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (BoxesForm,)

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, BoxesForm)  # noqa: S101  # by `takes`
        return VectorForm(size=given.classes, labels=given.labels)

    def stream(self, given: ValueForm) -> StepStream:
        assert isinstance(given, BoxesForm)  # noqa: S101  # by `takes`
        classes = given.classes

        def best(value: Sequence[Box]) -> list[float]:
            scores = [0.0] * classes
            for box in value:
                scores[box.number] = max(scores[box.number], box.score)
            return scores

        return Mapped(best)
