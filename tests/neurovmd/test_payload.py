# SPDX-License-Identifier: Apache-2.0
"""Payload formats: what they read, and that nothing hostile does more than be refused."""

import json
import struct
from array import array

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovmd.payload import Codes, Json, PayloadError, Raw


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
    assert Json(field=field).decoder()(payload) == value


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"nan", b'{"value" 1}', b'{"valu": 1}', b"[1]", b'"x"', b"\xff", b"[" * 100_000],
)
def test_json_refuses_what_it_cannot_read(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        Json(field="value").decoder()(payload)


@pytest.mark.parametrize("field", [".", "a.", "a[", "a[x]", "a]b", "a..b", "[1", "a[-1]"])
def test_json_refuses_a_broken_path(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="accepted: a path"):
        msgspec.convert({"format": "json", "field": field}, Json)


@given(st.binary(max_size=200), st.sampled_from(["", "value", "a.b[0]", "[3]"]))
def test_json_reads_or_refuses_any_bytes(payload: bytes, field: str) -> None:
    decode = Json(field=field).decoder()
    try:
        decode(payload)
    except PayloadError as error:
        assert str(error)


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=20))
def test_raw_floats_are_little_endian(values: list[float]) -> None:
    payload = struct.pack(f"<{len(values)}f", *values)
    assert Raw(dtype="float32").decoder()(payload) == array("f", values)


def test_raw_refuses_a_broken_length() -> None:
    with pytest.raises(PayloadError, match="multiple of 4"):
        Raw().decoder()(b"12345")


def test_raw_codes_stay_as_they_are() -> None:
    assert Raw(dtype="uint8").decoder()(b"\x00\xff") == Codes(b"\x00\xff", "uint8")


@given(st.recursive(st.floats(allow_nan=False, allow_infinity=False), st.lists, max_leaves=5))
def test_json_agrees_with_the_standard_library(value: object) -> None:
    assert Json(field="").decoder()(json.dumps(value).encode()) == value
