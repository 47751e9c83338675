# SPDX-License-Identifier: Apache-2.0
"""CBOR: what cbor2 writes is read as it was, and nothing hostile is more than refused."""

from __future__ import annotations

import math
import struct
import tracemalloc
from array import array
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovmd.payload import Cbor, PayloadError
from neurovmd.payload.cbor_items import MOST_DEPTH, decode
from neurovmd.payload.located import TimeField

cbor2 = pytest.importorskip("cbor2", reason="cbor2 is not installed (extra [dev])")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.binary(max_size=10)
)
KEYS = st.text(max_size=4) | st.integers(-100, 100)
ITEMS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(KEYS, inner, max_size=6)
)


@given(ITEMS)
def test_what_another_library_writes_is_read_as_it_was(item: Any) -> None:
    for payload in (cbor2.dumps(item), cbor2.dumps(item, canonical=True)):
        assert decode(payload) == item


@given(st.binary(max_size=60))
def test_any_bytes_are_read_as_another_library_reads_them_or_refused(payload: bytes) -> None:
    try:
        found = decode(payload)
    except PayloadError as error:
        assert str(error)
        return
    if payload[0] < 0xC0:  # no tags, which become dates, fractions and more there
        assert repr(cbor2.loads(payload)).replace("undefined", "None") == repr(found)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ("f93e00", 1.5),
        ("fa40490fdb", 3.1415927410125732),
        ("9f0102ff", [1, 2]),
        ("bf616101616202ff", {"a": 1, "b": 2}),
        ("7f61616162ff", "ab"),
        ("5f41004101ff", b"\x00\x01"),
        ("d9d9f7820102", [1, 2]),  # self-described
        ("c1fb41d452d9e20000".ljust(20, "0"), 1363896200.0),
        ("c249010000000000000000", 1 << 64),
        ("c349010000000000000000", -(1 << 64) - 1),
        ("c48221196ab3", 273.15),  # RFC 8949 §3.4.4
        ("c5822003", 1.5),
        ("f7", None),
    ],
)
def test_forms_of_the_standard(payload: str, found: object) -> None:
    assert decode(bytes.fromhex(payload)) == found


@pytest.mark.parametrize(
    ("tag", "typecode", "order"),
    [(64, "B", "<"), (65, "H", ">"), (69, "H", "<"), (72, "b", "<"), (73, "h", ">"), (77, "h", "<"),
     (78, "i", "<"), (81, "f", ">"), (82, "d", ">"), (85, "f", "<"), (86, "d", "<")],
)  # fmt: skip
def test_typed_arrays(tag: int, typecode: str, order: str) -> None:
    numbers = [1, 2, 100]
    data = struct.pack(f"{order}3{typecode}", *numbers)
    assert decode(cbor2.dumps(cbor2.CBORTag(tag, data))) == array(typecode, numbers)
    if len(data) > 3:
        with pytest.raises(PayloadError, match="typed array"):
            decode(cbor2.dumps(cbor2.CBORTag(tag, data[:-1])))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1e9, max_value=1e9))
def test_decimal_fractions_are_the_nearest_float(number: Decimal) -> None:
    assert decode(cbor2.dumps(number)) == float(number)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"\x1c",  # reserved
        b"\x1f",  # an integer without end
        b"\xf8\xff",  # a simple value
        b"\x00\x00",  # two items
        b"\x61\xff",  # no UTF-8
        b"\x62a",
        b"\x82\x01",
        b"\x81\xff",
        b"\x9f\x01",
        b"\xbf\x01\xff",
        b"\xa1\xff\x01",
        b"\xa1\x80\x01",  # a list as key
        b"\xa1\xf6\x01",  # null as key
        b"\xa2\x01\x01\x01\x02",  # a key twice
        b"\x7f\x41a\xff",  # bytes as a part of text
        b"\x5f\x5f\xff\xff",
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",  # a list of 2^63 items
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xc2\x58\x81" + 129 * b"\xff",
        b"\xc4\x82\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # 10^(2^64)
        b"\xc4\x82\xf5\x01",
        b"\xc4\x01",
        b"\xc2\x01",
        b"\xd8\x40\x01",
        b"\x81" * 100_000 + b"\x01",
        b"\xc1" * 100_000 + b"\x01",
        b"\xa1\x01" * 100_000,
    ],
)
def test_what_is_broken_or_too_much_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode(payload)


def test_depth_has_an_end() -> None:
    assert decode(b"\x81" * MOST_DEPTH + b"\xf5")
    with pytest.raises(PayloadError, match="deeper than"):
        decode(b"\x81" * (MOST_DEPTH + 1) + b"\xf5")


def test_the_number_of_items_has_an_end() -> None:
    with pytest.raises(PayloadError, match="more than 1048576 items"):
        decode(b"\x9a\x00\x20\x00\x00" + b"\x18\x18" * (1 << 21))
    assert len(decode(b"\x9a\x00\x20\x00\x00" + b"\x17" * (1 << 21))) == 1 << 21


@given(
    st.lists(st.floats(allow_nan=False), max_size=9) | st.lists(st.integers(0, 23), max_size=9),
    st.lists(SCALARS, max_size=2),
)
def test_lists_of_numbers_and_what_stands_behind_them(numbers: list[Any], more: list[Any]) -> None:
    for item in (numbers, numbers + more, [numbers, *more], {"a": numbers, "b": more}):
        for canonical in (False, True):
            assert decode(cbor2.dumps(item, canonical=canonical)) == item


def test_memory_follows_the_payload() -> None:
    bombs = [b"\x9a\xff\xff\xff\xff" + b"\x01" * 1000, b"\x5a\xff\xff\xff\xff" + b"\x01" * 1000]
    tracemalloc.start()
    for bomb in bombs * 10:
        with pytest.raises(PayloadError):
            decode(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_fractions_without_end_are_no_numbers_later() -> None:
    assert decode(b"\xc4\x82\x19\x07\xcf\x01") == math.inf


def test_values_and_time_at_paths() -> None:
    payload = cbor2.dumps({"head": {"t": 2.5}, 7: {"x": [1, 2]}})
    read = Cbor(field="[7].x", time=TimeField("head.t")).samples()
    assert list(read("a", payload)) == [(2_500_000, [1, 2])]
    with pytest.raises(PayloadError, match="no field"):
        read("a", cbor2.dumps({"head": 3}))
