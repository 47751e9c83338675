# SPDX-License-Identifier: Apache-2.0
"""Regression: a network's numbers as quantities with a unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.errors import StepError
from neurovm.steps.base import Mapped, Number, Step, StepStream
from neurovm.steps.forms import ValueForm, VectorForm, clipped


class Regression(Step, frozen=True, tag="regression"):
    """y = min(max(scale · x + offset, low), high), in `unit`

    scale, offset: ±10³⁰; low ≤ high: ends, none where not given (float32's then). unit: 1 … 32
    characters, which a result shows beside the value.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    scale: Number = 1.0
    offset: Number = 0.0
    low: Number | None = None
    high: Number | None = None
    unit: Annotated[str, Meta(min_length=1, max_length=32)] | None = None

    def _check(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise StepError("low", f"{self.low:g}", f"at most high, which is {self.high:g}")

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return VectorForm(
            numbers=given.numbers, size=given.size, labels=given.labels, unit=self.unit
        )

    def stream(self, given: ValueForm) -> StepStream:
        del given
        return Mapped(self._map)

    def _map(self, value: Sequence[float]) -> list[float]:
        scale, offset, low, high = self.scale, self.offset, self.low, self.high
        mapped = [clipped(scale * x + offset) for x in value]
        if low is not None:
            mapped = [max(y, low) for y in mapped]
        return mapped if high is None else [min(y, high) for y in mapped]
