# SPDX-License-Identifier: Apache-2.0
"""Select: one output tensor of several, some of its elements, or one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.errors import StepError
from neurovm.steps.base import Mapped, Step, StepStream, index_of, place_of
from neurovm.steps.forms import Reading, TensorsForm, ValueForm, VectorForm


class Select(Step, frozen=True, tag="select"):
    """y_i = x_{elements[i]} of the output `tensor`.

    tensor: number (0 …) or name of an output; the first where not given. elements: labels or
    numbers, in the order wanted; all where not given. They keep their numbers in results.
    A step that takes a vector and stands first is given the first output, as if `select` without
    parameters stood before it.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (TensorsForm, VectorForm)

    tensor: Annotated[int, Meta(ge=0, le=255)] | str | None = None
    elements: Annotated[list[int | str], Meta(min_length=1, max_length=65536)] | None = None

    def gives(self, given: ValueForm) -> ValueForm:
        whole = self._whole(given)
        chosen = self._indices(whole)
        if chosen is None:
            return whole
        labels = whole.labels and tuple(whole.labels[at] for at in chosen)
        numbers = tuple(chosen if whole.numbers is None else [whole.numbers[at] for at in chosen])
        return VectorForm(size=len(chosen), labels=labels, numbers=numbers, unit=whole.unit)

    def stream(self, given: ValueForm) -> StepStream:
        chosen = self._indices(self._whole(given))
        tensor = self._tensor(given) if isinstance(given, TensorsForm) else None

        def pick(value: Reading | Sequence[float]) -> list[float]:
            values = value.outputs[tensor or 0] if isinstance(value, Reading) else value
            return list(values) if chosen is None else [values[at] for at in chosen]

        return Mapped(pick)

    def _tensor(self, given: TensorsForm) -> int:
        names = tuple(info.name for info in given.outputs)
        return index_of(names, self.tensor or 0, "tensor")

    def _whole(self, given: ValueForm) -> VectorForm:
        if isinstance(given, TensorsForm):
            info = given.outputs[self._tensor(given)]
            labels = info.labels if info.labels and len(info.labels) == info.size else None
            return VectorForm(size=info.size, labels=labels)
        if self.tensor is not None:
            raise StepError("tensor", repr(self.tensor), "it in the first step alone")
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return given

    def _indices(self, whole: VectorForm) -> list[int] | None:
        if self.elements is None:
            return None
        return [
            place_of(whole, whole.size, name, f"elements[{at}]")
            for at, name in enumerate(self.elements)
        ]
