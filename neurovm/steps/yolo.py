# SPDX-License-Identifier: Apache-2.0
"""YOLO: boxes from heads whose cells each hold anchors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from neurovm.errors import StepError
from neurovm.steps.base import Mapped, Parameters, StepStream
from neurovm.steps.boxes import (
    AnchorSizes,
    BoxDecoder,
    Candidate,
    TensorName,
    highest,
    power,
    tensor_of,
)
from neurovm.steps.forms import Reading, TensorsForm, ValueForm
from neurovm.steps.sigmoid import sigmoid
from neurovm.steps.softmax import softmax


class Head(Parameters, frozen=True):
    """An output tensor (…, rows, columns, A · (5 + C)) and the A sizes [width, height] of its
    anchors, in pictures.
    """

    sizes: AnchorSizes
    tensor: TensorName = 0


class Yolo(BoxDecoder, frozen=True, tag="yolo", kw_only=True):
    """In the cell (row, column) of a head, for anchor size (a_w, a_h), of its values t = (t_x, t_y,
    t_w, t_h, t_o, t_1 … t_C), with σ the sigmoid:

        form exp:     x = (column + σ(t_x)) / columns              w = a_w · exp(t_w)
        form square:  x = (column + 2σ(t_x) − ½) / columns         w = a_w · (2σ(t_w))²

    y and h alike with rows. The class is the first largest t_c, the score σ(t_o) times its share:
    `classes` sigmoid (σ(t_c)) or softmax (over all c).

    heads: 1 … 16, of the same C; all together at most 2²⁰ values. Boxes overlap: `nms` comes next.

    Source: exp: Redmon, Farhadi, YOLOv3, arXiv:1804.02767, section 2.1 (softmax: YOLO9000, 2016);
    square: Wang and others, Scaled-YOLOv4, CVPR 2021, as YOLOv5 and YOLOv7 have it.
    """

    heads: Annotated[list[Head], Meta(min_length=1, max_length=16)]
    form: Literal["exp", "square"] = "exp"
    classes: Literal["sigmoid", "softmax"] = "sigmoid"

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, TensorsForm)  # noqa: S101  # by `takes`
        return self.form_of(self._grids(given)[0].classes)

    def stream(self, given: ValueForm) -> StepStream:
        assert isinstance(given, TensorsForm)  # noqa: S101  # by `takes`
        grids = self._grids(given)

        def decode(value: Reading) -> list[object]:
            found = (
                each for grid in grids for each in self._decode(value.outputs[grid.tensor], grid)
            )
            return list(self.best(found))

        return Mapped(decode)

    def _grids(self, given: TensorsForm) -> list[_Grid]:
        grids = [_grid(head, given) for head in self.heads]
        found = {grid.classes for grid in grids}
        if len(found) > 1:
            counts = " and ".join(map(str, sorted(found)))
            raise StepError("heads", f"heads of {counts} classes", "heads of the same classes")
        return grids

    def _decode(self, t: Sequence[float], grid: _Grid) -> Iterator[Candidate]:
        width, least = 5 + grid.classes, self.least
        start = 0
        for row in range(grid.rows):
            for column in range(grid.columns):
                for size in grid.sizes:
                    objectness = sigmoid(t[start + 4])
                    if objectness >= least:  # the score is never higher
                        index, share = self._class(t, start + 5, start + width)
                        score = objectness * share
                        if score >= least:
                            t_box = t[start : start + 4]
                            place = self._place(t_box, (row, column), grid, size)
                            yield Candidate(index, score, *place)
                    start += width

    def _class(self, t: Sequence[float], start: int, end: int) -> tuple[int, float]:
        index, logit = highest(t, start, end)
        if self.classes == "sigmoid":
            return index, sigmoid(logit)
        return index, softmax(t[start:end])[index]

    def _place(
        self, t: Sequence[float], cell: tuple[int, int], grid: _Grid, size: Sequence[float]
    ) -> tuple[float, float, float, float]:
        t_x, t_y, t_w, t_h = t
        row, column = cell
        if self.form == "exp":
            x, y = sigmoid(t_x), sigmoid(t_y)
            width, height = power(t_w), power(t_h)
        else:
            x, y = 2 * sigmoid(t_x) - 0.5, 2 * sigmoid(t_y) - 0.5
            width, height = (2 * sigmoid(t_w)) ** 2, (2 * sigmoid(t_h)) ** 2
        return (
            (column + x) / grid.columns,
            (row + y) / grid.rows,
            size[0] * width,
            size[1] * height,
        )


class _Grid(Struct, frozen=True):
    """A head bound to its tensor."""

    tensor: int
    rows: int
    columns: int
    classes: int
    sizes: list[list[float]]


def _grid(head: Head, given: TensorsForm) -> _Grid:
    number = tensor_of(given, head.tensor, "heads")
    shape, anchors = given.outputs[number].shape, len(head.sizes)
    depth = shape[-1] if len(shape) >= 3 else 0
    classes = depth // anchors - 5
    rows, columns = shape[-3:-1] if depth else (0, 0)
    whole = rows * columns * depth == given.outputs[number].size
    if depth % anchors or classes < 1 or not whole:
        accepted = f"(1, rows, columns, {anchors} · (5 + classes)): {anchors} sizes are given"
        raise StepError("heads", f"a tensor of shape {tuple(shape)}", accepted)
    return _Grid(number, rows, columns, classes, head.sizes)
