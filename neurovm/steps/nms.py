# SPDX-License-Identifier: Apache-2.0
"""NMS: of boxes that overlap, the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.steps.base import Mapped, Share, Step, StepStream
from neurovm.steps.forms import Box, BoxesForm, ValueForm

MOST_KEPT = 256


class Nms(Step, frozen=True, tag="nms"):
    """From the highest score down (equal ones as they come) a box is kept unless IoU with one kept
    of its class is above `iou`:

        IoU(a, b) = |a ∩ b| / |a ∪ b|, 0 where the union has no area

    iou: 0 … 1. most: 1 … 256 boxes are kept. across: whether boxes of other classes count too.
    Work is at most the boxes that come (1024) times `most`.

    Source: greedy suppression as of Girshick and others, Rich feature hierarchies, CVPR 2014.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (BoxesForm,)

    iou: Share = 0.5
    most: Annotated[int, Meta(ge=1, le=MOST_KEPT)] = 20
    across: bool = False

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, BoxesForm)  # noqa: S101  # by `takes`
        most = min(given.most, self.most)
        return BoxesForm(labels=given.labels, classes=given.classes, most=most)

    def stream(self, given: ValueForm) -> StepStream:
        del given
        return Mapped(self._keep)

    def _keep(self, value: Sequence[Box]) -> list[Box]:
        kept: list[Box] = []
        for box in sorted(value, key=lambda each: -each.score):
            if len(kept) == self.most:
                break
            rivals = (each for each in kept if self.across or each.number == box.number)
            if all(overlap(box, rival) <= self.iou for rival in rivals):
                kept.append(box)
        return kept


def overlap(a: Box, b: Box) -> float:
    """IoU, 0 … 1."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    union = _area(a) + _area(b) - shared
    return shared / union if union > 0 else 0.0


def _area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)
