# SPDX-License-Identifier: Apache-2.0
"""Packed events: the layout byte for byte, the way there and back, and whatever else may come."""

from __future__ import annotations

import json
import struct
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovm.errors import EventError
from neurovm.events import Events, Geometry, Recording, aer, aer_json

SENSOR = Geometry(34, 30)


def recording(count: int = 50, seed: int = 1, start: int = 10**15) -> Recording:
    rng = np.random.default_rng(seed)
    times = start + np.sort(rng.integers(0, 100_000, count))
    return Recording(
        array("q", times.tolist()),
        array("H", rng.integers(0, 34, count).tolist()),
        array("H", rng.integers(0, 30, count).tolist()),
        array("B", rng.integers(0, 2, count).tolist()),
        34,
        30,
    )


def test_the_bytes_of_t_addr() -> None:
    events = Events(array("q", [1000, 1003, 1003]), array("I", [7, 65536, 2]))
    head = b"NAER" + bytes([1, 0, 0, 0, 0, 0, 0, 0]) + struct.pack("<Iq", 3, 1000)
    assert aer.pack(events) == head + struct.pack("<6I", 0, 7, 3, 65536, 3, 2)
    head = b"NAER" + bytes([1, 1, 0, 0, 0, 0, 0, 0]) + struct.pack("<Iq", 3, 990)
    packed = aer.pack(events, base_us=990, differences=True)
    assert packed == head + struct.pack("<6I", 10, 7, 3, 65536, 0, 2)


def test_the_bytes_of_xypt() -> None:
    seen = Recording(
        array("q", [5, 9]), array("H", [3, 1]), array("H", [2, 4]), array("B", [1, 0]), 34, 30
    )
    head = b"NAER" + bytes([2, 0, 0, 0, 34, 0, 30, 0]) + struct.pack("<Iq", 2, 5)
    records = struct.pack("<HHI", 3, 2 | 0x8000, 0) + struct.pack("<HHI", 1, 4, 4)
    assert aer.pack_xypt(seen) == head + records


@pytest.mark.parametrize("differences", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_there_and_back(count: int, differences: bool) -> None:
    seen = recording(count)
    block = aer.pack_xypt(seen, differences=differences)
    assert aer.unpack_recording(block) == seen
    events = seen.events()
    assert aer.unpack(block, SENSOR) == events
    assert aer.unpack(aer.pack(events, differences=differences), SENSOR.size) == events
    assert aer_json.load(aer_json.dump(events), SENSOR.size) == events


def test_addresses_are_planes_of_a_picture() -> None:
    seen = recording(200)
    events = seen.events()
    planes = np.arange(SENSOR.size).reshape(2, 30, 34)
    assert events.addresses.tolist() == planes[seen.p, seen.y, seen.x].tolist()
    flat = seen.events(polarities=1)
    assert flat.addresses.tolist() == planes[0][seen.y, seen.x].tolist()
    one = Geometry(34, 30, 1)
    assert aer.unpack(aer.pack_xypt(seen), one) == flat


def test_differences_reach_beyond_32_bits() -> None:
    gap = (1 << 32) - 1
    events = Events(array("q", [0, gap, 2 * gap]), array("I", [0, 1, 2]))
    assert aer.unpack(aer.pack(events, differences=True), 3) == events
    with pytest.raises(EventError, match="event 2: found 8589934590 µs; accepted: 0 to 4294967295"):
        aer.pack(events)


def broken(block: bytes, at: int, kind: str, value: int) -> bytes:
    changed = bytearray(block)
    struct.pack_into(kind, changed, at, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("at", "kind", "value", "said"),
    [
        (0, "<B", 0, "at its beginning; accepted: b'NAER'"),
        (4, "<B", 3, r"layout: found 3; accepted: 1 \(t,addr\), 2 \(x,y,p,t\)"),
        (5, "<B", 2, "flags: found 0x2"),
        (6, "<H", 1, "flags: found 0x0, 0x1"),
        (8, "<H", 0, "width: found 0; accepted: 1 to 32768"),
        (10, "<H", 40000, "height: found 40000"),
        (8, "<H", 35, "found 35 × 30 pixels; accepted: 34 × 30"),
        (12, "<I", 51, "found 424 bytes, 50 whole events; accepted: 432 bytes, 51 events"),
        (12, "<I", 2**32 - 1, "4294967295 events"),
        (16, "<q", 2**63 - 1, "a time beyond 2"),
        (24 + 8 * 3, "<H", 34, "event 3: found x 34; accepted: 0 to 33"),
        (24 + 8 * 7 + 2, "<H", 0x8000 | 30, "event 7: found y 30; accepted: 0 to 29"),
        (24 + 8 * 9 + 4, "<I", 2**32 - 1, r"event 10: found \d+ µs after \d+ µs"),
    ],
)
def test_a_broken_block_is_named(at: int, kind: str, value: int, said: str) -> None:
    block = aer.pack_xypt(recording())
    with pytest.raises(EventError, match=said):
        aer.unpack(broken(block, at, kind, value), SENSOR)


def test_every_truncation_is_named() -> None:
    for block in (aer.pack_xypt(recording(5)), aer.pack(recording(5).events())):
        for length in range(len(block)):
            with pytest.raises(EventError, match="accepted"):
                aer.unpack(block[:length], SENSOR)
        with pytest.raises(EventError, match="accepted"):
            aer.unpack(block + b"\0" * 8, SENSOR)


def test_an_address_out_of_range_is_named() -> None:
    block = aer.pack(Events(array("q", [1, 2, 3]), array("I", [0, 9, 10])))
    with pytest.raises(EventError, match="event 2: found address 10; accepted: 0 to 9") as raised:
        aer.unpack(block, 10)
    assert raised.value.index == 2
    assert aer.unpack(block, 11).addresses.tolist() == [0, 9, 10]


def test_a_layout_that_was_not_asked_for() -> None:
    with pytest.raises(EventError, match="layout: found x,y,p,t; accepted: t,addr"):
        aer.unpack(aer.pack_xypt(recording()), SENSOR.size)
    with pytest.raises(EventError, match="layout: found t,addr; accepted: x,y,p,t"):
        aer.unpack_recording(aer.pack(recording().events()))


def test_what_cannot_be_packed() -> None:
    backwards = Events(array("q", [5, 4]), array("I", [0, 0]))
    with pytest.raises(EventError, match="event 1: found 4 µs after 5 µs"):
        aer.pack(backwards)
    with pytest.raises(EventError, match="event 0: found -1 µs"):
        aer.pack(Events(array("q", [4]), array("I", [0])), base_us=5)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_events_or_an_error(data: bytes) -> None:
    for block in (data, b"NAER" + data, aer.pack_xypt(recording(9))[: 24 + len(data)] + data):
        try:
            events = aer.unpack(block, SENSOR)
        except EventError:
            continue
        assert len(events.times_us) == len(events.addresses)
        assert all(address < SENSOR.size for address in events.addresses)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)
json_keys = ("t_us", "addr", "x", "y", "p", "base_us", "differences", "else")


@given(st.dictionaries(st.sampled_from(json_keys), json_values))
@settings(max_examples=200, deadline=None)
def test_any_json_is_events_or_an_error(value: dict[str, object]) -> None:
    try:
        events = aer_json.load(json.dumps(value).encode(), SENSOR)
    except EventError:
        return
    assert len(events.times_us) == len(events.addresses)
    assert events.times_us.tolist() == sorted(events.times_us)
    assert all(address < SENSOR.size for address in events.addresses)


# JSON


def test_json_of_pixels() -> None:
    text = json.dumps({"t_us": [5, 9], "x": [3, 1], "y": [2, 4], "p": [1, 0], "base_us": 100})
    events = aer_json.load(text.encode(), SENSOR)
    assert events.times_us.tolist() == [105, 109]
    assert events.addresses.tolist() == [(30 + 2) * 34 + 3, 4 * 34 + 1]


def test_json_of_differences() -> None:
    text = b'{"t_us": [5, 0, 7], "addr": [1, 1, 0], "differences": true}'
    assert aer_json.load(text, 2).times_us.tolist() == [5, 5, 12]


def test_json_without_polarity_where_there_is_one() -> None:
    text = b'{"t_us": [1], "x": [3], "y": [2]}'
    assert aer_json.load(text, Geometry(34, 30, 1)).addresses.tolist() == [71]
    with pytest.raises(EventError, match="found no p"):
        aer_json.load(text, SENSOR)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not events in JSON"),
        ("[]", "not events in JSON"),
        ("{}", "not events in JSON: Object missing required field `t_us`"),
        ('{"t_us": [1.5], "addr": [1]}', "not events in JSON"),
        ('{"t_us": [1], "addr": [true]}', "not events in JSON"),
        ('{"t_us": [1]}', "found no x; accepted: t_us with addr"),
        ('{"t_us": [1], "addr": [1, 2]}', "addr: found 2 entries; accepted: 1"),
        ('{"t_us": [1], "addr": [-1]}', "event 0: found addr -1"),
        ('{"t_us": [1], "addr": [2040]}', "event 0: found addr 2040; accepted: 0 to 2039"),
        ('{"t_us": [2, 1], "addr": [1, 1]}', "event 1: found 1 µs after 2 µs"),
        ('{"t_us": [5, -1], "addr": [1, 1], "differences": true}', "event 1: found 4 µs"),
        ('{"t_us": [1], "addr": [1], "x": [1]}', "found addr beside x and y"),
        ('{"t_us": [1], "x": [34], "y": [0], "p": [0]}', "event 0: found x 34"),
        ('{"t_us": [1], "x": [0], "y": [0], "p": [2]}', "event 0: found p 2; accepted: 0 to 1"),
        ('{"t_us": [1], "x": [0], "y": [70000], "p": [0]}', "event 0: found y 70000"),
        ('{"t_us": [9223372036854775807], "addr": [1], "base_us": 1}', "a time beyond 2"),
        ('{"t_us": [99999999999999999999], "addr": [1]}', "not events|a time beyond"),
    ],
)
def test_json_that_is_wrong(text: str, said: str) -> None:
    with pytest.raises(EventError, match=said):
        aer_json.load(text.encode(), SENSOR)


def test_json_without_a_geometry() -> None:
    with pytest.raises(EventError, match="found no addr; accepted: t_us and addr"):
        aer_json.load(b'{"t_us": [1], "x": [3], "y": [2], "p": [0]}', 7)
