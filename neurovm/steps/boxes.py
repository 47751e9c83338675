# SPDX-License-Identifier: Apache-2.0
"""What the decoders of boxes share: anchors, candidates by score, edges within the picture."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, NamedTuple

from msgspec import Meta

from neurovm.errors import StepError
from neurovm.steps.base import Label, Share, Step, check_work, index_of
from neurovm.steps.forms import Box, BoxesForm, TensorsForm, ValueForm
from neurovm.steps.labels import labels_of

MOST_BOXES = 1024
MOST_POWER = 60.0

TensorName = Annotated[int, Meta(ge=0, le=255)] | str
Size = Annotated[float, Meta(gt=0, le=100)]
"""Of an anchor, in pictures."""
AnchorSizes = Annotated[
    list[Annotated[list[Size], Meta(min_length=2, max_length=2)]],
    Meta(min_length=1, max_length=64),
]


class Candidate(NamedTuple):
    """A box as decoders find it: class, score, middle and size in pictures."""

    number: int
    score: float
    x: float
    y: float
    width: float
    height: float


class BoxDecoder(Step, frozen=True, kw_only=True):
    """A step from a network's tensors to boxes, best first.

    least: 0 … 1, boxes of lower scores are left out. most: 1 … 1024, of more the best are kept.
    labels: as of the step `labels`, of the classes without background.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (TensorsForm,)

    least: Share = 0.5
    most: Annotated[int, Meta(ge=1, le=MOST_BOXES)] = 100
    labels: Annotated[list[Label], Meta(min_length=1, max_length=65536)] | str | None = None

    def form_of(self, classes: int) -> BoxesForm:
        """Boxes of `classes` classes; StepError where labels are too many or too few."""
        named = None if self.labels is None else labels_of(self.labels, classes)
        return BoxesForm(labels=named, classes=classes, most=self.most)

    def best(self, found: Iterable[Candidate]) -> list[Box]:
        """The candidates of highest score within the picture; equal ones as they came."""
        best = heapq.nlargest(self.most, found, key=lambda each: each.score)
        return [_box(each) for each in best]


def _box(found: Candidate) -> Box:
    half_width, half_height = found.width / 2, found.height / 2
    return Box(
        found.number,
        found.score,
        _inside(found.x - half_width),
        _inside(found.y - half_height),
        _inside(found.x + half_width),
        _inside(found.y + half_height),
    )


def _inside(edge: float) -> float:
    return min(max(edge, 0.0), 1.0)


def power(x: float) -> float:
    """e^x, of x no more than MOST_POWER: far beyond any picture."""
    return math.exp(min(x, MOST_POWER))


def tensor_of(given: TensorsForm, name: int | str, key: str) -> int:
    """The number of an output; StepError where there is none."""
    names = tuple(info.name for info in given.outputs)
    number = index_of(names, name, key)
    check_work(key, given.outputs[number].size, "values")
    return number


def rows_of(given: TensorsForm, number: int, width: int | None, key: str) -> tuple[int, int]:
    """A tensor (…, rows, width) as (rows, width); StepError where it has another width."""
    shape = given.outputs[number].shape
    found = shape[-1] if len(shape) > 1 else 0
    if not found or (width is not None and found != width):
        wanted = "(…, rows, values)" if width is None else f"(…, rows, {width})"
        raise StepError(key, f"a tensor of shape {tuple(shape)}", wanted)
    return given.outputs[number].size // found, found


def highest(values: Sequence[float], start: int, end: int) -> tuple[int, float]:
    """Where, from `start`, the first largest of values[start:end] is, and what it is."""
    part = values[start:end]
    score = max(part)
    return part.index(score), score
