# SPDX-License-Identifier: Apache-2.0
"""Where in a structured payload its values and its time are: paths such as `head.t` or `a.b[0]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal

import msgspec

from neurovmd.payload.values import MOST_US, PayloadError, Reader, Sample, bounded_us

_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]{1,6})\]")
_PATH = re.compile(r"(?:[^.\[\]]+|\[[0-9]{1,6}\])(?:\.[^.\[\]]+|\[[0-9]{1,6}\])*\Z")

_UNIT_US = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class TimeField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the message's time is: the path `field`, a number of `unit`, or text as RFC 3339 has it
    (`unit: rfc3339`), which becomes the time since 1970.
    """

    field: str
    unit: Literal["s", "ms", "us", "ns", "rfc3339"] = "s"

    def __post_init__(self) -> None:
        _check_path("field", self.field)

    def t_us(self, found: object) -> int:
        """What was found there, in µs; PayloadError where it is no time."""
        if self.unit == "rfc3339":
            try:
                return (msgspec.convert(found, Moment) - _EPOCH) // timedelta(microseconds=1)
            except (ValueError, OverflowError):
                accepted = "text as 2026-01-31T12:00:00.5Z"
                raise PayloadError(
                    f"{self.field}: found {found!r:.40}; accepted: {accepted}"
                ) from None
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            accepted = f"a number of {self.unit}"
            raise PayloadError(f"{self.field}: found {found!r:.40}; accepted: {accepted}")
        try:
            return bounded_us(found * _UNIT_US[self.unit], self.field)
        except OverflowError:
            raise PayloadError(f"{self.field}: a time without end") from None


class Located(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`field` is a path such as `value` or `a.b[0]`; empty means the whole payload.

    Numbers and true/false (1/0) are real values. Text, null and missing fields are refused.
    `t_us` is the path of the message's time in whole microseconds; `time` says path and unit.
    """

    field: str = "value"
    t_us: str | None = None
    time: TimeField | None = None

    def __post_init__(self) -> None:
        if self.field:
            _check_path("field", self.field)
        if self.t_us is not None:
            _check_path("t_us", self.t_us)
        if self.t_us is not None and self.time is not None:
            raise ValueError("time: found one beside t_us; accepted: one of time and t_us")

    @property
    def timed(self) -> bool:
        """Whether its messages say their time."""
        return self.t_us is not None or self.time is not None

    def reader(self, decode: Callable[[bytes], Any]) -> Reader:
        """One sample a message, of what `decode` makes of it."""
        steps, clock = _steps(self.field), self._clock()

        def read(topic: str | None, payload: bytes) -> Sequence[Sample]:
            del topic
            whole = decode(payload)
            return (Sample(clock(whole), _at(whole, steps, self.field)),)

        return read

    def _clock(self) -> Callable[[Any], int | None]:
        """From what a payload holds to its time."""
        time, path = self.time, self.t_us
        if time is not None:
            steps = _steps(time.field)
            return lambda whole: time.t_us(_at(whole, steps, time.field))
        if path is None:
            return lambda _: None
        whole_steps = _steps(path)

        def clock(whole: Any) -> int:
            found = _at(whole, whole_steps, path)
            if type(found) is not int or not -MOST_US <= found <= MOST_US:
                raise PayloadError(f"{path}: found {found!r:.40}; accepted: whole µs")
            return found

        return clock


def _check_path(key: str, path: str) -> None:
    if not _PATH.match(path):
        raise ValueError(f"{key}: found {path!r}; accepted: a path such as value or a.b[0]")


def _steps(path: str) -> tuple[str | int, ...]:
    return tuple(name or int(index) for name, index in _STEP.findall(path))


def _at(found: Any, steps: tuple[str | int, ...], path: str) -> Any:
    """What is at a path; PayloadError where nothing is."""
    try:
        for step in steps:
            found = found[step]
    except (KeyError, IndexError, TypeError):
        raise PayloadError(f"no field {path!r}") from None
    return found
