# SPDX-License-Identifier: Apache-2.0
"""Packed address events, for messages and `.aer` files. All numbers are little-endian.

A block is a header of 24 bytes and `count` records of 8:

    offset  type    header
    0       4 × u8  "NAER"
    4       u8      layout: 1 = t,addr   2 = x,y,p,t
    5       u8      flags: bit 0 = times are differences; the others 0
    6       u16     0
    8       u16     width in pixels  (0 in layout 1)
    10      u16     height in pixels (0 in layout 1)
    12      u32     count
    16      i64     base time in µs

    offset  type    record t,addr       offset  type  record x,y,p,t
    0       u32     t                   0       u16   x
    4       u32     address             2       u16   y (bits 0 … 14), polarity (bit 15)
                                        4       u32   t

`t` is in µs after the base; where times are differences, after the event before (the first: after
the base). So a block spans 71 minutes, or with differences any time without a longer gap. A message
is one block, a file one or more of equal layout and size. Times never decrease.
"""

from __future__ import annotations

import operator
import struct
import sys
from array import array
from functools import lru_cache
from itertools import accumulate, islice
from typing import NamedTuple

from neurovm.errors import EventError
from neurovm.events.address import (
    Events,
    Geometry,
    Recording,
    check_below,
    check_order,
    check_pixels,
    check_side,
    within,
)

MAGIC = b"NAER"
T_ADDR, XYPT = 1, 2
LAYOUTS = {T_ADDR: "t,addr", XYPT: "x,y,p,t"}
HEADER = struct.Struct("<4sBBHHHIq")
RECORD_BYTES = 8
_DIFFERENCES = 1
_Y_BITS = 0x7FFF
_NAME = "packed events"


class Head(NamedTuple):
    """The header of a block."""

    layout: int
    differences: bool
    width: int
    height: int
    events: int
    base_us: int

    @property
    def bytes(self) -> int:
        """Of the whole block."""
        return HEADER.size + RECORD_BYTES * self.events


def pack(events: Events, *, base_us: int | None = None, differences: bool = False) -> bytes:
    """A block of layout t,addr. `base_us` None: the first event's time."""
    records = array("I", bytes(RECORD_BYTES * len(events.times_us)))
    base = _base(events.times_us, base_us)
    records[0::2] = _offsets(events.times_us, base, differences)
    records[1::2] = events.addresses
    head = (MAGIC, T_ADDR, differences, 0, 0, 0, len(events.times_us), base)
    return HEADER.pack(*head) + _little(records).tobytes()


def pack_xypt(
    recording: Recording, *, base_us: int | None = None, differences: bool = False
) -> bytes:
    """A block of layout x,y,p,t. `base_us` None: the first event's time."""
    recording.check(_NAME)
    count = len(recording)
    base = _base(recording.times_us, base_us)
    places = array("H", bytes(4 * count))
    places[0::2] = recording.x
    places[1::2] = array("H", [y | p << 15 for y, p in zip(recording.y, recording.p, strict=True)])
    records = array("I", bytes(RECORD_BYTES * count))
    records[0::2] = array("I", _little(places).tobytes())
    # The places are bytes in their order already: the times have to be brought into theirs.
    records[1::2] = _little(_offsets(recording.times_us, base, differences))
    head = (MAGIC, XYPT, differences, 0, recording.width, recording.height, count, base)
    return HEADER.pack(*head) + records.tobytes()


def head_of(block: bytes | memoryview, name: str = _NAME) -> Head:
    """The header at the beginning of `block`, checked; EventError where it is none."""
    if len(block) < HEADER.size:
        raise EventError(f"{name}: found {len(block)} bytes; accepted: {HEADER.size} or more")
    magic, layout, flags, zero, width, height, count, base_us = HEADER.unpack_from(block)
    if magic != MAGIC:
        raise EventError(f"{name}: found {bytes(magic)!r} at its beginning; accepted: {MAGIC!r}")
    if layout not in LAYOUTS:
        raise EventError(f"{name}: layout: found {layout}; accepted: 1 (t,addr), 2 (x,y,p,t)")
    if flags & ~_DIFFERENCES or zero:
        raise EventError(f"{name}: flags: found {flags:#x}, {zero:#x}; accepted: 0 or 1, 0")
    if layout == XYPT:
        check_side(name, "width", width)
        check_side(name, "height", height)
    elif width or height:
        raise EventError(f"{name}: found {width} × {height} pixels; accepted: 0 × 0 with t,addr")
    return Head(layout, bool(flags & _DIFFERENCES), width, height, count, base_us)


def unpack(block: bytes, size: int | Geometry, name: str = _NAME) -> Events:
    """The events of one block, which is all of `block`.

    `size`: the number of addresses, or the sensor's geometry, which a block of layout x,y,p,t must
    have. EventError names what is wrong; nothing is returned then.
    """
    head = _whole(block, name)
    if head.layout == XYPT:
        if not isinstance(size, Geometry):
            raise EventError(f"{name}: layout: found x,y,p,t; accepted: t,addr")
        if (head.width, head.height) != size[:2]:
            found = f"{head.width} × {head.height} pixels"
            raise EventError(f"{name}: found {found}; accepted: {size.width} × {size.height}")
        return _by_address(block, head, size, name)
    records = _words(block, "I")
    addresses = records[1::2]
    check_below(name, "address", addresses, size.size if isinstance(size, Geometry) else size)
    return Events(_times(records[0::2], head, name), addresses)


def unpack_recording(block: bytes, name: str = _NAME) -> Recording:
    """A block of layout x,y,p,t as a recording."""
    head = _whole(block, name)
    if head.layout != XYPT:
        raise EventError(f"{name}: layout: found t,addr; accepted: x,y,p,t")
    times_us, x, y, p = _pixels(block, head, name)
    return Recording(times_us, x, y, p, head.width, head.height)


def _whole(block: bytes, name: str) -> Head:
    head = head_of(block, name)
    if len(block) != head.bytes:
        found = f"{len(block)} bytes, {(len(block) - HEADER.size) // RECORD_BYTES} whole events"
        accepted = f"{head.bytes} bytes, {head.events} events, as its header says"
        raise EventError(f"{name}: found {found}; accepted: {accepted}")
    return head


@lru_cache(maxsize=64)
def _rows(geometry: Geometry) -> dict[int, int]:
    """The address of the first pixel of each row, by y and polarity as a record has them."""
    height, width = geometry.height, geometry.width
    plane = height * width if geometry.polarities == 2 else 0
    return {p << 15 | y: p * plane + y * width for p in range(2) for y in range(height)}


def _by_address(block: bytes, head: Head, geometry: Geometry, name: str) -> Events:
    """As `_pixels`, with one look at each event: streams are read this way."""
    places, rows = _words(block, "H"), _rows(geometry)
    x = places[0::4]
    check_below(name, "x", x, geometry.width)
    try:
        addresses = array("I", [rows[row] + at for at, row in zip(x, places[1::4], strict=True)])
    except KeyError:
        check_below(name, "y", array("H", [v & _Y_BITS for v in places[1::4]]), geometry.height)
        raise  # not reached: a row that is not in the table is out of range
    return Events(_times(_words(block, "I")[1::2], head, name), addresses)


def _pixels(
    block: bytes, head: Head, name: str
) -> tuple[array[int], array[int], array[int], array[int]]:
    """Times, x, y and p of a whole block, checked."""
    places = _words(block, "H")
    x, crowded = places[0::4], places[1::4]
    y = array("H", [value & _Y_BITS for value in crowded])
    p = array("B", [value >> 15 for value in crowded])
    check_pixels(name, x, y, p, Geometry(head.width, head.height))
    return _times(_words(block, "I")[1::2], head, name), x, y, p


def _times(offsets: array[int], head: Head, name: str) -> array[int]:
    base = head.base_us
    if head.differences:
        times = within(name, accumulate(offsets, initial=base))
        del times[0]
        return times
    if not all(map(operator.le, offsets, islice(offsets, 1, None))):
        check_order(name, within(name, [base + offset for offset in offsets]))
    return within(name, [base + offset for offset in offsets]) if base else array("q", offsets)


def _base(times_us: array[int], base_us: int | None) -> int:
    if base_us is None:
        return times_us[0] if times_us else 0
    return base_us


def _offsets(times_us: array[int], base_us: int, differences: bool) -> array[int]:
    """Times as a record has them; EventError where one does not fit 32 bits."""
    check_order(_NAME, times_us)
    starts = array("q", [base_us]) + times_us[:-1] if differences else [base_us] * len(times_us)
    offsets = [time - start for time, start in zip(times_us, starts, strict=False)]
    for at, offset in enumerate(offsets):
        if not 0 <= offset < 1 << 32:
            accepted = (
                f"0 to {(1 << 32) - 1} µs after the {'one before' if differences else 'base'}"
            )
            raise EventError(f"{_NAME}: event {at}: found {offset} µs; accepted: {accepted}", at)
    return array("I", offsets)


def _words(block: bytes, kind: str) -> array[int]:
    words = array(kind)
    words.frombytes(memoryview(block)[HEADER.size :])
    return _little(words)


def _little(words: array[int]) -> array[int]:
    """Little-endian numbers as this machine's, or the other way round."""
    if sys.byteorder == "big":
        words.byteswap()
    return words
