# SPDX-License-Identifier: Apache-2.0
"""Alert rules: when something that steps give is beyond a limit, an event tells of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from neurovm.errors import StepError
from neurovm.steps.base import Count, Label, Number, Parameters, Seconds, Step, place_of
from neurovm.steps.event import Event
from neurovm.steps.forms import BoxesForm, TensorsForm, ValueForm, VectorForm
from neurovm.steps.presence import Presence
from neurovm.steps.select import Select
from neurovm.steps.threshold import Threshold


class When(Parameters, frozen=True):
    """Of the element `label` (name or number; each one by itself where not given) what the step
    `threshold` watches: above or below, release, count, for_s, release_for_s.
    """

    label: Label | int | None = None
    above: Number | None = None
    below: Number | None = None
    release: Number | None = None
    count: Count = 1
    for_s: Seconds = 0.0
    release_for_s: Seconds = 0.0

    def _check(self) -> None:
        self.threshold()

    def threshold(self) -> Threshold:
        """The step; StepError where its parameters do not fit one another."""
        return Threshold(
            above=self.above,
            below=self.below,
            release=self.release,
            count=self.count,
            for_s=self.for_s,
            release_for_s=self.release_for_s,
        )


class Alert(Parameters, frozen=True):
    """`when` as events by `name`: steps `threshold` and `event` (cool_down_s, update_by), after the
    last vector or boxes that an output's steps give; without such steps the first output.
    """

    name: Label
    when: When
    cool_down_s: Seconds = 0.0
    update_by: Annotated[float, Meta(gt=0, le=1e30)] | None = None

    def steps(self, form: ValueForm) -> list[Step]:
        """The rule as steps after values of `form`; StepError where it does not fit them."""
        first: list[Step] = []
        if isinstance(form, BoxesForm):
            form = Presence().gives(form)
            first.append(Presence())
        if isinstance(form, TensorsForm):
            form = Select().gives(form)
            first.append(Select())
        if not isinstance(form, VectorForm):
            raise StepError("", f"{form} before it", "a vector or boxes in output.steps")
        label = self.when.label
        if label is not None:
            place_of(form, form.size, label, "when.label")
            first.append(Select(elements=[label]))
        event = Event(cool_down_s=self.cool_down_s, update_by=self.update_by)
        return [*first, self.when.threshold(), event]
