# SPDX-License-Identifier: Apache-2.0
"""Payload formats: what they read, and that nothing hostile does more than be refused."""

import json
import struct
from array import array

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovmd.payload import Codes, Json, PayloadError, Raw, Values
from neurovmd.payload.located import TimeField


def values(payload_format: Json | Raw, payload: bytes) -> Values:
    """Those of a message that holds one sample without a time."""
    ((t_us, found),) = payload_format.samples()("a", payload)
    assert t_us is None
    return found


@pytest.mark.parametrize(
    ("field", "payload", "value"),
    [
        ("value", b'{"value": 1.5}', 1.5),
        ("a.b", b'{"a": {"b": 2}}', 2),
        ("a.b[1]", b'{"a": {"b": [1, 3]}}', 3),
        ("[0].x", b'[{"x": 4}]', 4),
        ("a[0][1]", b'{"a": [[1, 5]]}', 5),
        ("", b"6.25", 6.25),
        ("", b"[1, 2]", [1, 2]),
        ("", b'{"flow": 1}', {"flow": 1}),
    ],
)
def test_json_finds_its_field(field: str, payload: bytes, value: object) -> None:
    assert values(Json(field=field), payload) == value


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"nan", b'{"value" 1}', b'{"valu": 1}', b"[1]", b'"x"', b"\xff", b"[" * 100_000],
)
def test_json_refuses_what_it_cannot_read(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        values(Json(), payload)


@pytest.mark.parametrize("field", [".", "a.", "a[", "a[x]", "a]b", "a..b", "[1", "a[-1]"])
def test_json_refuses_a_broken_path(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="accepted: a path"):
        msgspec.convert({"format": "json", "field": field}, Json)


@given(st.binary(max_size=200), st.sampled_from(["", "value", "a.b[0]", "[3]"]))
def test_json_reads_or_refuses_any_bytes(payload: bytes, field: str) -> None:
    try:
        values(Json(field=field), payload)
    except PayloadError as error:
        assert str(error)


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=20))
def test_raw_floats_are_little_endian(numbers: list[float]) -> None:
    payload = struct.pack(f"<{len(numbers)}f", *numbers)
    assert values(Raw(), payload) == array("f", numbers)


def test_raw_refuses_a_broken_length() -> None:
    with pytest.raises(PayloadError, match="multiple of 4"):
        values(Raw(), b"12345")


def test_raw_codes_stay_as_they_are() -> None:
    assert values(Raw(dtype="uint8"), b"\x00\xff") == Codes(b"\x00\xff", "uint8")


@given(st.recursive(st.floats(allow_nan=False, allow_infinity=False), st.lists, max_leaves=5))
def test_json_agrees_with_the_standard_library(value: object) -> None:
    assert values(Json(field=""), json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("unit", "found", "t_us"),
    [
        ("s", b"1.5", 1_500_000),
        ("ms", b"-2", -2000),
        ("us", b"7", 7),
        ("ns", b"1700", 2),
        ("rfc3339", b'"1970-01-01T00:00:01.5Z"', 1_500_000),
        ("rfc3339", b'"1970-01-01T02:00:00+02:00"', 0),
    ],
)
def test_json_finds_the_time(unit: str, found: bytes, t_us: int) -> None:
    time = msgspec.convert({"field": "head.t", "unit": unit}, TimeField)
    payload = b'{"head": {"t": %b}, "value": 3}' % found
    assert list(Json(time=time).samples()("a", payload)) == [(t_us, 3)]


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        ("s", b"true"),
        ("s", b'"1"'),
        ("s", b"1e300"),
        ("s", b"1" + 400 * b"0"),
        ("s", b"null"),
        ("rfc3339", b'"yesterday"'),
        ("rfc3339", b'"1970-01-01T00:00:01"'),
        ("rfc3339", b"5"),
    ],
)
def test_json_refuses_what_is_no_time(unit: str, found: bytes) -> None:
    time = msgspec.convert({"field": "t", "unit": unit}, TimeField)
    with pytest.raises(PayloadError):
        Json(time=time).samples()("a", b'{"t": %b, "value": 3}' % found)


def test_json_says_its_time_in_one_way() -> None:
    given = {"format": "json", "t_us": "t", "time": {"field": "t"}}
    with pytest.raises(msgspec.ValidationError, match="one of time and t_us"):
        msgspec.convert(given, Json)


def test_json_time_in_whole_microseconds() -> None:
    read = Json(t_us="t").samples()
    assert list(read("a", b'{"t": 5, "value": 1}')) == [(5, 1)]
    for wrong in (b"5.0", b"true", b"9223372036854775807", b"null"):
        with pytest.raises(PayloadError, match="whole µs"):
            read("a", b'{"t": %b, "value": 1}' % wrong)
