# SPDX-License-Identifier: Apache-2.0
"""Labels: what the elements of a vector are called."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.errors import StepError
from neurovm.steps.base import Label, Mapped, Step, StepStream
from neurovm.steps.forms import ValueForm, VectorForm


class Labels(Step, frozen=True, tag="labels"):
    """y = x, and element i is called labels[i] from here on.

    labels: as many as there are elements, each 1 … 256 characters; or one text with a label a line,
    as `${file:labels.txt}` gives it. They take the place of the model's own.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    labels: Annotated[list[Label], Meta(min_length=1, max_length=65536)] | str

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return VectorForm(
            numbers=given.numbers,
            size=given.size,
            unit=given.unit,
            labels=labels_of(self.labels, given.size),
        )

    def stream(self, given: ValueForm) -> StepStream:
        del given
        return Mapped(lambda value: value)


def labels_of(labels: list[str] | str, count: int, key: str = "labels") -> tuple[str, ...]:
    """The labels of `count` things; StepError where there are more or fewer."""
    named = labels.splitlines() if isinstance(labels, str) else labels
    names = tuple(name.strip() for name in named)
    if len(names) != count:
        raise StepError(key, f"{len(names)} labels", f"{count}, one for each")
    return names
