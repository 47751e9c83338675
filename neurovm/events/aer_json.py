# SPDX-License-Identifier: Apache-2.0
"""Address events as JSON, for what is written by hand or by scripts.

    {"t_us": [0, 1500], "addr": [17, 3]}
    {"t_us": [0, 1500], "x": [4, 5], "y": [0, 0], "p": [1, 0], "base_us": 1760000000000000}

`t_us` are whole numbers, never decreasing, to which `base_us` (0 where it is missing) is added;
with `"differences": true` each is the time after the event before. `p` may be missing where the
sensor has one polarity. All lists are equally long. Other keys are ignored.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import Any

import msgspec

from neurovm.errors import EventError
from neurovm.events.address import (
    Events,
    Geometry,
    addresses_of,
    check_below,
    check_order,
    check_pixels,
    within,
)


class _Lists(msgspec.Struct, frozen=True):
    t_us: list[int]
    addr: list[int] | None = None
    x: list[int] | None = None
    y: list[int] | None = None
    p: list[int] | None = None
    base_us: int = 0
    differences: bool = False


_decode = msgspec.json.Decoder(_Lists).decode
_encode = msgspec.json.Encoder().encode
_NAME = "events"


def dump(events: Events) -> bytes:
    """As `{"t_us": …, "addr": …}`."""
    return _encode({"t_us": events.times_us.tolist(), "addr": events.addresses.tolist()})


def load(payload: bytes, size: int | Geometry, name: str = _NAME) -> Events:
    """The events of a payload; EventError names what is wrong.

    `size`: the number of addresses, or the sensor's geometry, which x and y need.
    """
    try:
        lists = _decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise EventError(f"{name}: not events in JSON: {error}") from None
    times_us = _times(lists, name)
    if lists.addr is not None:
        if lists.x is not None or lists.y is not None:
            raise EventError(f"{name}: found addr beside x and y; accepted: one of them")
        addresses = _numbers(name, "addr", lists.addr, "I", len(times_us))
        check_below(name, "addr", addresses, size.size if isinstance(size, Geometry) else size)
        return Events(times_us, addresses)
    return Events(times_us, _pixels(lists, size, name))


def _pixels(lists: _Lists, size: int | Geometry, name: str) -> array[int]:
    """Addresses of x, y and p."""
    if not isinstance(size, Geometry):
        raise EventError(f"{name}: found no addr; accepted: t_us and addr")
    count = len(lists.t_us)
    x, y = _numbers(name, "x", lists.x, "H", count), _numbers(name, "y", lists.y, "H", count)
    absent = [0] * count if size.polarities == 1 else None
    p = _numbers(name, "p", absent if lists.p is None else lists.p, "B", count)
    check_pixels(name, x, y, p, size)
    return addresses_of(x, y, p, size)


def _numbers(name: str, key: str, values: list[int] | None, kind: Any, count: int) -> array[int]:
    """One list; EventError where it is missing, of another length, or no such numbers."""
    if values is None:
        raise EventError(f"{name}: found no {key}; accepted: t_us with addr, or with x, y and p")
    if len(values) != count:
        raise EventError(f"{name}: {key}: found {len(values)} entries; accepted: {count}, as t_us")
    try:
        return array(kind, values)
    except OverflowError:
        end = 1 << 8 * array(kind).itemsize
        at = next(at for at, value in enumerate(values) if not 0 <= value < end)
        raise EventError(
            f"{name}: event {at}: found {key} {values[at]}; accepted: 0 to {end - 1}", at
        ) from None


def _times(lists: _Lists, name: str) -> array[int]:
    base = lists.base_us
    times = accumulate(lists.t_us) if lists.differences else lists.t_us
    times_us = within(name, (base + time for time in times))
    check_order(name, times_us)
    return times_us
