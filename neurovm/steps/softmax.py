# SPDX-License-Identifier: Apache-2.0
"""Softmax: logits as shares that add up to one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.steps.base import Mapped, Step, StepStream
from neurovm.steps.forms import ValueForm, VectorForm


class Softmax(Step, frozen=True, tag="softmax"):
    """y_i = exp((x_i − max x) / T) / Σ_j exp((x_j − max x) / T)

    temperature: T, above 0 to 10⁶; larger ones make shares more alike. For a model whose last layer
    gives logits: many have a softmax of their own.

    Source: Bridle, Probabilistic interpretation of feedforward classification network outputs
    (1990); temperature: Guo and others, On calibration of modern neural networks, ICML 2017.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    temperature: Annotated[float, Meta(gt=0, le=1e6)] = 1.0

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return VectorForm(numbers=given.numbers, size=given.size, labels=given.labels)

    def stream(self, given: ValueForm) -> StepStream:
        del given
        return Mapped(lambda value: softmax(value, self.temperature))


def softmax(value: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Shares of logits; the largest exponent is 0, so nothing overflows."""
    top = max(value)
    powers = [math.exp((x - top) / temperature) for x in value]
    total = math.fsum(powers)
    return [power / total for power in powers]
