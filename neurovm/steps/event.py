# SPDX-License-Identifier: Apache-2.0
"""Event: what becomes active, lasts and ends, told as it happens under one id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from neurovm.steps.base import Seconds, Step, StepStream
from neurovm.steps.forms import Change, EventsForm, Fields, Flags, FlagsForm, ValueForm


class Event(Step, frozen=True, tag="event"):
    """Of each flag by itself:

        new     it has been active for `least_s` or longer
        update  its value is `update_by` or more from the value told last
        end     it is inactive again

    all under one `id`, unique in the stream, each with the event `before` (null when new) and
    `after`. An event that ends before `least_s` is never told. Within `cool_down_s` after an end no
    event of the same flag begins; one still active then begins then. A reset ends nothing: what was
    open stays without an end.

    least_s, cool_down_s: seconds, 0 … a year. update_by: above 0; no updates where not given.

    Source: the event life-cycle of Frigate (`new`, `update`, `end` with before and after).
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (FlagsForm,)

    least_s: Seconds = 0.0
    cool_down_s: Seconds = 0.0
    update_by: Annotated[float, Meta(gt=0, le=1e30)] | None = None

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, FlagsForm)  # noqa: S101  # by `takes`
        return EventsForm(numbers=given.numbers, labels=given.labels)

    def stream(self, given: ValueForm) -> StepStream:
        assert isinstance(given, FlagsForm)  # noqa: S101  # by `takes`
        return _EventStream(self, given)


@dataclass(slots=True)
class _Life:
    """One flag: since when it is active, the event as told last, when the one before ended."""

    since_us: int | None = None
    best: float = 0.0
    told: Fields | None = None
    id: str = ""
    ended_us: int | None = None


class _EventStream(StepStream):
    """Holds the life of each flag; numbers events from 1."""

    def __init__(self, step: Event, given: FlagsForm) -> None:
        self._step, self._given = step, given
        self._least_us = round(step.least_s * 1e6)
        self._cool_us = round(step.cool_down_s * 1e6)
        self.reset()

    def reset(self) -> None:
        self._lives = [_Life() for _ in range(self._given.size)]
        self._count = 0

    def push(self, t_us: int, value: Flags) -> list[Change] | None:
        changes = [
            change
            for at, (on, x) in enumerate(zip(value.active, value.values, strict=True))
            if (change := self._live(t_us, at, x) if on else self._end(t_us, at, x)) is not None
        ]
        return changes or None

    def _live(self, t_us: int, at: int, x: float) -> Change | None:
        life = self._lives[at]
        if life.since_us is None:
            if life.ended_us is not None and t_us - life.ended_us < self._cool_us:
                return None
            life.since_us, life.best = t_us, x
        life.best = min(life.best, x) if self._given.falls else max(life.best, x)
        if life.told is None:
            return self._tell(at, "new", x) if t_us - life.since_us >= self._least_us else None
        by = self._step.update_by
        if by is None or abs(x - life.told["value"]) < by:
            return None
        return self._tell(at, "update", x)

    def _end(self, t_us: int, at: int, x: float) -> Change | None:
        life = self._lives[at]
        change = None if life.told is None else self._tell(at, "end", x, t_us)
        if change is not None:
            life.ended_us = t_us
        life.since_us = life.told = None
        return change

    def _tell(self, at: int, turn: str, x: float, end_us: int | None = None) -> Change:
        life = self._lives[at]
        if life.told is None:
            self._count += 1
            life.id = f"{life.since_us}-{self._count}"
        after: Fields = {
            **self._given.name(at),
            "active": end_us is None,
            "value": x,
            "best": life.best,
            "start_us": life.since_us,
        }
        if end_us is not None:
            after["end_us"] = end_us
        before, life.told = life.told, after
        return Change(turn, life.id, before, after)
