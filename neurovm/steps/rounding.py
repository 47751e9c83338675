# SPDX-License-Identifier: Apache-2.0
"""Round: no more digits than mean something."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.steps.base import Mapped, Step, StepStream
from neurovm.steps.forms import ValueForm, VectorForm


class Round(Step, frozen=True, tag="round"):
    """y_i = the decimal number of `digits` places nearest to x_i, of two as near the even one

    digits: 0 … 12 behind the point. With `on: change` what differs by less is no news.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    digits: Annotated[int, Meta(ge=0, le=12)] = 3

    def gives(self, given: ValueForm) -> ValueForm:
        return given

    def stream(self, given: ValueForm) -> StepStream:
        del given
        digits = self.digits
        # + 0.0 turns −0.0, which would be shown, into 0.0.
        return Mapped(lambda value: [round(x, digits) + 0.0 for x in value])
