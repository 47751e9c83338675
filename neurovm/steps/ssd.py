# SPDX-License-Identifier: Apache-2.0
"""SSD: boxes from offsets to anchors and class scores, in two tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from neurovm.errors import StepError
from neurovm.steps.base import Mapped, Parameters, StepStream
from neurovm.steps.boxes import (
    AnchorSizes,
    BoxDecoder,
    Candidate,
    TensorName,
    highest,
    power,
    rows_of,
    tensor_of,
)
from neurovm.steps.forms import Reading, TensorsForm, ValueForm
from neurovm.steps.sigmoid import sigmoid
from neurovm.steps.softmax import softmax

Scale = Annotated[float, Meta(gt=0, le=1e6)]
Cells = Annotated[int, Meta(ge=1, le=1024)]


class Grid(Parameters, frozen=True):
    """Anchors of one layer: `rows` × `columns` cells, in the middle of each one of every size
    [width, height] (in pictures), in C order of (row, column, size).
    """

    rows: Cells
    columns: Cells
    sizes: AnchorSizes

    @property
    def count(self) -> int:
        return self.rows * self.columns * len(self.sizes)

    def anchors(self) -> Iterator[tuple[float, float, float, float]]:
        """Middle x, y, width, height."""
        for row in range(self.rows):
            for column in range(self.columns):
                for width, height in self.sizes:
                    yield (column + 0.5) / self.columns, (row + 0.5) / self.rows, width, height


class Ssd(BoxDecoder, frozen=True, tag="ssd", kw_only=True):
    """Anchor i with middle (a_x, a_y) and size (a_w, a_h), offsets t of tensor `boxes` (…, N, 4):

        x = a_x + a_w · t_x / centre_scale      w = a_w · exp(t_w / size_scale)
        y = a_y + a_h · t_y / centre_scale      h = a_h · exp(t_h / size_scale)

    Its class is the first largest of row i of tensor `scores` (…, N, C) after `activation` (softmax
    over all C, background too), the background left out; its score that value, held within 0 … 1.

    anchors: grids whose anchors one after the other are N. order: of t, yxhw or xywh. centre_scale,
    size_scale: above 0 to 10⁶. background: the number of that class; none where null. N · C is at
    most 2²⁰. Boxes overlap: `nms` comes next.

    Source: Liu and others, SSD: single shot multibox detector, ECCV 2016, section 2.2; scales and
    order: the box coder of TensorFlow's object detection (10, 5, yxhw).
    """

    anchors: Annotated[list[Grid], Meta(min_length=1, max_length=64)]
    boxes: TensorName = 0
    scores: TensorName = 1
    order: Literal["yxhw", "xywh"] = "yxhw"
    centre_scale: Scale = 10.0
    size_scale: Scale = 5.0
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    background: Annotated[int, Meta(ge=0, le=65535)] | None = 0

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, TensorsForm)  # noqa: S101  # by `takes`
        _, _, classes = self._tensors(given)
        return self.form_of(classes - (self.background is not None))

    def stream(self, given: ValueForm) -> StepStream:
        assert isinstance(given, TensorsForm)  # noqa: S101  # by `takes`
        boxes, scores, classes = self._tensors(given)
        anchors = [anchor for grid in self.anchors for anchor in grid.anchors()]

        def decode(value: Reading) -> list[object]:
            found = self._scored(value.outputs[scores], classes)
            offsets = value.outputs[boxes]
            return list(
                self.best(
                    Candidate(index, score, *self._place(anchors[at], offsets, 4 * at))
                    for at, index, score in found
                )
            )

        return Mapped(decode)

    def _tensors(self, given: TensorsForm) -> tuple[int, int, int]:
        """Numbers of both tensors, and C."""
        boxes = tensor_of(given, self.boxes, "boxes")
        scores = tensor_of(given, self.scores, "scores")
        count, _ = rows_of(given, boxes, 4, "boxes")
        rows, classes = rows_of(given, scores, None, "scores")
        anchors = sum(grid.count for grid in self.anchors)
        if rows != count:
            raise StepError("scores", f"{rows} rows", f"{count}, as boxes has")
        if anchors != count:
            raise StepError("anchors", f"{anchors} anchors", f"{count}, one for each box")
        if self.background is not None and (classes < 2 or self.background >= classes):
            accepted = f"0 to {classes - 1} of 2 classes or more, or null"
            raise StepError("background", str(self.background), accepted)
        return boxes, scores, classes

    def _scored(self, scores: Sequence[float], classes: int) -> Iterator[tuple[int, int, float]]:
        """Anchor, class and score of what is above `least`."""
        background, activation, least = self.background, self.activation, self.least
        for at in range(len(scores) // classes):
            row = scores[at * classes : (at + 1) * classes]
            if activation == "softmax":
                row = softmax(row)
            if background is not None:
                row = [*row[:background], *row[background + 1 :]]
            index, score = highest(row, 0, len(row))
            if activation == "sigmoid":
                score = sigmoid(score)
            score = min(max(score, 0.0), 1.0)
            if score >= least:
                yield at, index, score

    def _place(
        self, anchor: tuple[float, float, float, float], t: Sequence[float], start: int
    ) -> tuple[float, float, float, float]:
        x, y, width, height = anchor
        if self.order == "yxhw":
            t_y, t_x, t_h, t_w = t[start : start + 4]
        else:
            t_x, t_y, t_w, t_h = t[start : start + 4]
        return (
            x + width * t_x / self.centre_scale,
            y + height * t_y / self.centre_scale,
            width * power(t_w / self.size_scale),
            height * power(t_h / self.size_scale),
        )
