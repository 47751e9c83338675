# SPDX-License-Identifier: Apache-2.0
"""Events in memory: by address, or by pixel and polarity."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from neurovm.errors import EventError

MOST_SIDE = 1 << 15


class Geometry(NamedTuple):
    """The pixels of a sensor. With `polarities` 1 an event's polarity is not looked at."""

    width: int
    height: int
    polarities: int = 2

    @property
    def size(self) -> int:
        """Number of addresses."""
        return self.width * self.height * self.polarities


class Events(NamedTuple):
    """Times in µs (q: int64), never decreasing, and the address of each (I: uint32)."""

    times_us: array[int]
    addresses: array[int]


@dataclass(frozen=True, slots=True)
class Recording:
    """What a sensor of `width` × `height` pixels saw: one entry an event in each array.

    `times_us` (q) never decrease; `x` and `y` (H) are within the sensor, `p` (B) is 1 where it got
    brighter, else 0.
    """

    times_us: array[int]
    x: array[int]
    y: array[int]
    p: array[int]
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.times_us)

    @property
    def duration_us(self) -> int:
        """From the first event to the last."""
        return self.times_us[-1] - self.times_us[0] if len(self) else 0

    def events(self, polarities: int = 2) -> Events:
        """By address; `polarities` 1 puts both on one plane."""
        geometry = Geometry(self.width, self.height, polarities)
        return Events(self.times_us, addresses_of(self.x, self.y, self.p, geometry))

    def check(self, name: str) -> Recording:
        """Itself; EventError (beginning with `name`) where an event breaks the rules above."""
        check_side(name, "width", self.width)
        check_side(name, "height", self.height)
        check_pixels(name, self.x, self.y, self.p, Geometry(self.width, self.height))
        check_order(name, self.times_us)
        return self


def addresses_of(
    x: array[int], y: array[int], p: array[int] | bytes, geometry: Geometry
) -> array[int]:
    """(p · height + y) · width + x of checked pixels."""
    width, plane = geometry.width, geometry.width * geometry.height
    if geometry.polarities == 1:
        return array("I", [b * width + a for a, b in zip(x, y, strict=True)])
    return array("I", [c * plane + b * width + a for a, b, c in zip(x, y, p, strict=True)])


def check_side(name: str, key: str, value: int) -> None:
    """EventError unless `value` may be the width or height of a sensor."""
    if not 0 < value <= MOST_SIDE:
        raise EventError(f"{name}: {key}: found {value}; accepted: 1 to {MOST_SIDE}")


def check_pixels(
    name: str, x: array[int], y: array[int], p: array[int], geometry: Geometry
) -> None:
    """EventError that names the first pixel or polarity out of range."""
    for key, values, end in (("x", x, geometry.width), ("y", y, geometry.height), ("p", p, 2)):
        check_below(name, key, values, end)


def check_below(name: str, key: str, values: array[int], end: int) -> None:
    """EventError that names the first of `values` (≥ 0) that is not below `end`."""
    if values and max(values) >= end:
        at = next(at for at, value in enumerate(values) if value >= end)
        raise EventError(
            f"{name}: event {at}: found {key} {values[at]}; accepted: 0 to {end - 1}", at
        )


def check_order(name: str, times_us: array[int]) -> None:
    """EventError that names the first event that is before its predecessor."""
    if not all(map(operator.le, times_us, islice(times_us, 1, None))):
        at = next(at for at in range(1, len(times_us)) if times_us[at] < times_us[at - 1])
        raise EventError(
            f"{name}: event {at}: found {times_us[at]} µs after {times_us[at - 1]} µs; "
            "accepted: times that never decrease",
            at,
        )


def within(name: str, times: Iterable[int]) -> array[int]:
    """Times as int64; EventError where one is beyond."""
    try:
        return array("q", times)
    except OverflowError:
        raise EventError(f"{name}: a time beyond 2^63 µs; accepted: less") from None
