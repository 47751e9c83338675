# SPDX-License-Identifier: Apache-2.0
"""Box rows: boxes that a network has decoded itself, a row each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from msgspec import Meta, field

from neurovm.errors import StepError
from neurovm.steps.base import Mapped, StepStream
from neurovm.steps.boxes import BoxDecoder, Candidate, TensorName, highest, tensor_of
from neurovm.steps.forms import Reading, TensorsForm, ValueForm

Extent = Annotated[float, Meta(gt=0, le=1e6)]


class BoxRows(BoxDecoder, frozen=True, tag="box_rows", kw_only=True):
    """Row i of `tensor` (…, N, 4 + C), or with `objectness` (…, N, 5 + C), is a box in `order`:

        xywh  middle and size    xyxy  left, top, right, bottom    yxyx  top, left, bottom, right

    then o, then the scores s_1 … s_C. The class is the first largest s_c, the score s_c or o · s_c,
    held within 0 … 1.

    size: [width, height] of the picture in the numbers' unit, [1, 1] for fractions, as each above 0
    to 10⁶. transposed: the tensor is (…, 4 + C, N). scores: another tensor (…, N, C) that holds
    them; `tensor` is then (…, N, 4). N · (5 + C) is at most 2²⁰. Boxes overlap: `nms` comes next.

    Source: what detectors export whose last layers decode: YOLOv5 (xywh, objectness), YOLOv8 (xywh,
    transposed), SSD graphs cut before their own suppression (yxyx, scores).
    """

    tensor: TensorName = 0
    scores: TensorName | None = None
    order: Literal["xywh", "xyxy", "yxyx"] = "xywh"
    size: Annotated[list[Extent], Meta(min_length=2, max_length=2)] = field(
        default_factory=lambda: [1.0, 1.0]
    )
    objectness: bool = False
    transposed: bool = False

    def _check(self) -> None:
        if self.scores is not None and (self.objectness or self.transposed):
            found = "it with objectness or transposed"
            raise StepError("scores", found, "it without them, or no such key")

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, TensorsForm)  # noqa: S101  # by `takes`
        return self.form_of(self._shape(given)[3])

    def stream(self, given: ValueForm) -> StepStream:
        assert isinstance(given, TensorsForm)  # noqa: S101  # by `takes`
        tensor, scores, count, classes = self._shape(given)
        first = 0 if scores is not None else 5 if self.objectness else 4

        def rows(value: Reading) -> Iterator[Candidate]:
            table = _rows(value.outputs[tensor], count, transposed=self.transposed)
            marks = table if scores is None else _rows(value.outputs[scores], count)
            for row, mark in zip(table, marks, strict=True):
                index, score = highest(mark, first, first + classes)
                score *= row[4] if self.objectness else 1.0
                score = min(max(score, 0.0), 1.0)
                if score >= self.least:
                    yield Candidate(index, score, *self._place(row))

        return Mapped(lambda value: list(self.best(rows(value))))

    def _shape(self, given: TensorsForm) -> tuple[int, int | None, int, int]:
        """Numbers of both tensors, N and C."""
        number = tensor_of(given, self.tensor, "tensor")
        count, width = _counts(given, number, "tensor", transposed=self.transposed)
        if self.scores is None:
            classes = width - (5 if self.objectness else 4)
            if classes < 1:
                accepted = f"{6 if self.objectness else 5} or more"
                raise StepError("tensor", f"{width} values a box", accepted)
            return number, None, count, classes
        other = tensor_of(given, self.scores, "scores")
        rows, classes = _counts(given, other, "scores")
        if width != 4 or rows != count:
            found = f"{count} boxes of {width} values beside {rows} rows of scores"
            raise StepError("scores", found, "boxes of 4 values, as many as rows of scores")
        return number, other, count, classes

    def _place(self, row: Sequence[float]) -> tuple[float, float, float, float]:
        width, height = self.size
        a, b, c, d = row[:4]
        if self.order == "yxyx":
            a, b, c, d = b, a, d, c
        if self.order == "xywh":
            return a / width, b / height, max(c, 0.0) / width, max(d, 0.0) / height
        return (
            (a + c) / 2 / width,
            (b + d) / 2 / height,
            max(c - a, 0.0) / width,
            max(d - b, 0.0) / height,
        )


def _counts(
    given: TensorsForm, number: int, key: str, *, transposed: bool = False
) -> tuple[int, int]:
    """N and the values of each."""
    info = given.outputs[number]
    if len(info.shape) < 2 or info.shape[-1] * info.shape[-2] != info.size:
        wanted = "(1, values, boxes)" if transposed else "(1, boxes, values)"
        raise StepError(key, f"a tensor of shape {tuple(info.shape)}", wanted)
    rows, width = info.shape[-2:]
    return (width, rows) if transposed else (rows, width)


def _rows(
    values: Sequence[float], count: int, *, transposed: bool = False
) -> list[Sequence[float]]:
    """A flat tensor as N rows."""
    if transposed:
        return [values[at::count] for at in range(count)]
    width = len(values) // count
    return [values[start : start + width] for start in range(0, len(values), width)]
