# SPDX-License-Identifier: Apache-2.0
"""What output steps hand to one another: each form says what its values are, and how a result
shows one.

Every number is finite and within ±MOST_VALUE, the range of float32: a reading is checked, and each
step keeps to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from neurovm.description import TensorInfo

MOST_VALUE = 3.4028234663852886e38
Fields = dict[str, Any]


class Reading(NamedTuple):
    """What a network found: real values of each output tensor, and of each input where asked for;
    all flat, in C order.
    """

    outputs: Sequence[Sequence[float]]
    inputs: Sequence[Sequence[float]] = ()


class Scored(NamedTuple):
    """One class and how much speaks for it."""

    number: int
    score: float


class Flags(NamedTuple):
    """Which elements are active, and the values that decided it."""

    active: Sequence[bool]
    values: Sequence[float]


class Box(NamedTuple):
    """A rectangle of class `number`: edges in fractions of the picture, 0 … 1, left ≤ right and top
    ≤ bottom.
    """

    number: int
    score: float
    left: float
    top: float
    right: float
    bottom: float


class Change(NamedTuple):
    """One turn in the life of the event `id`: `new`, `update` or `end`. `before` is None when new.

    `before` and `after` hold `label` (or `index`), `active`, `value`, `best` (the value furthest
    beyond the threshold), `start_us`, and `end_us` once ended.
    """

    type: str
    id: str
    before: Fields | None
    after: Fields

    def fields(self) -> Fields:
        """As messages show it."""
        return self._asdict()


def clipped(value: float) -> float:
    """`value` within ±MOST_VALUE."""
    return min(max(value, -MOST_VALUE), MOST_VALUE)


@dataclass(frozen=True, kw_only=True)
class ValueForm(ABC):
    """What a step takes or gives. `momentary`: each value tells of a moment, so that equal ones
    after each other are two pieces of news, and none may be left out.
    """

    momentary: ClassVar[bool] = False
    in_words: ClassVar[str] = ""

    @abstractmethod
    def __str__(self) -> str:
        """In words, for messages."""

    @abstractmethod
    def fields(self, value: Any) -> Fields:
        """What a result says of a value."""


@dataclass(frozen=True, kw_only=True)
class TensorsForm(ValueForm):
    """All outputs of a network, and its inputs: a Reading. What a chain starts with."""

    in_words: ClassVar[str] = "the model's outputs"
    outputs: tuple[TensorInfo, ...]
    inputs: tuple[TensorInfo, ...] = ()

    def __str__(self) -> str:
        return f"the model's {len(self.outputs)} outputs"

    def fields(self, value: Reading) -> Fields:
        return {"values": [list(each) for each in value.outputs]}


@dataclass(frozen=True, kw_only=True)
class Named(ValueForm):
    """A form that speaks of elements or classes, with labels or without.

    `numbers`: what they are called by where they are some of a model's (none: as they stand).
    """

    labels: tuple[str, ...] | None = None
    numbers: tuple[int, ...] | None = None

    def name(self, at: int) -> Fields:
        """Of the element at a place: its number, and its label where it has one."""
        labels, numbers = self.labels, self.numbers
        index = at if numbers is None else numbers[at]
        if labels is None or at >= len(labels):
            return {"index": index}
        return {"index": index, "label": labels[at]}

    def called(self, at: int) -> str | int:
        """The label, else the number."""
        named = self.name(at)
        found: str | int = named["label"] if "label" in named else named["index"]
        return found


@dataclass(frozen=True, kw_only=True)
class VectorForm(Named):
    """`size` real values, a list; a single one is a scalar. `unit` of all of them, if said."""

    in_words: ClassVar[str] = "a vector"
    size: int
    unit: str | None = None

    def __str__(self) -> str:
        return "a single value" if self.size == 1 else f"a vector of {self.size} values"

    def fields(self, value: Sequence[float]) -> Fields:
        unit = {} if self.unit is None else {"unit": self.unit}
        if self.size == 1:
            return {"value": value[0], **unit}
        return {"values": list(value), **unit}

    def top(self, value: Sequence[float], k: int) -> Fields:
        """The k largest instead of all; equal ones in the order of their indices."""
        if self.size == 1:
            return self.fields(value)
        unit = {} if self.unit is None else {"unit": self.unit}
        best = sorted(range(self.size), key=lambda at: -value[at])[:k]
        return {"top": [{**self.name(at), "value": value[at], **unit} for at in best]}


@dataclass(frozen=True, kw_only=True)
class RankingForm(Named):
    """The best classes, best first: a list of Scored."""

    in_words: ClassVar[str] = "a ranking"

    def __str__(self) -> str:
        return "a ranking"

    def fields(self, value: Sequence[Scored]) -> Fields:
        return {"top": [{**self.name(index), "value": score} for index, score in value]}


@dataclass(frozen=True, kw_only=True)
class ClassForm(Named):
    """One class: Scored, or with number −1 none. `shows_score`: in results too."""

    in_words: ClassVar[str] = "a class"
    shows_score: bool = True

    def __str__(self) -> str:
        return "a class"

    def fields(self, value: Scored) -> Fields:
        said = None if value.number < 0 else self.name(value.number)
        return {"class": said, "score": value.score} if self.shows_score else {"class": said}


@dataclass(frozen=True, kw_only=True)
class KeywordForm(ClassForm):
    """A keyword in the moment it is recognized: Scored."""

    momentary: ClassVar[bool] = True

    def __str__(self) -> str:
        return "a keyword"

    def fields(self, value: Scored) -> Fields:
        return {"keyword": self.name(value.number), "score": value.score}


@dataclass(frozen=True, kw_only=True)
class FlagsForm(Named):
    """Which of `size` elements are active: Flags. `falls`: because they are low, not high."""

    in_words: ClassVar[str] = "flags"
    size: int
    falls: bool = False

    def __str__(self) -> str:
        return "a flag" if self.size == 1 else f"{self.size} flags"

    def fields(self, value: Flags) -> Fields:
        if self.size == 1:
            return {"active": value.active[0]}
        return {"active": [self.called(at) for at, on in enumerate(value.active) if on]}


@dataclass(frozen=True, kw_only=True)
class BoxesForm(Named):
    """Rectangles of `classes` classes, best first: a list of Box, at most `most`."""

    in_words: ClassVar[str] = "boxes"
    classes: int
    most: int

    def __str__(self) -> str:
        return "boxes"

    def fields(self, value: Sequence[Box]) -> Fields:
        return {
            "boxes": [
                {
                    **self.name(box.number),
                    "score": box.score,
                    "box": [box.left, box.top, box.right, box.bottom],
                }
                for box in value
            ]
        }


@dataclass(frozen=True, kw_only=True)
class EventsForm(Named):
    """Events that begin, change or end in this moment: a list of Change."""

    in_words: ClassVar[str] = "events"
    momentary: ClassVar[bool] = True

    def __str__(self) -> str:
        return "events"

    def fields(self, value: Sequence[Change]) -> Fields:
        return {"events": [change.fields() for change in value]}
