# SPDX-License-Identifier: Apache-2.0
"""Sigmoid: each logit as a probability of its own."""

from __future__ import annotations

import math
from typing import ClassVar

from neurovm.steps.base import Mapped, Step, StepStream
from neurovm.steps.forms import ValueForm, VectorForm


class Sigmoid(Step, frozen=True, tag="sigmoid"):
    """y_i = 1 / (1 + exp(−x_i)), 0 … 1

    For logits of classes that do not exclude one another, or of one.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return VectorForm(numbers=given.numbers, size=given.size, labels=given.labels)

    def stream(self, given: ValueForm) -> StepStream:
        del given
        return Mapped(lambda value: [sigmoid(x) for x in value])


def sigmoid(x: float) -> float:
    """Without overflow on either side."""
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    power = math.exp(x)
    return power / (1 + power)
