# SPDX-License-Identifier: Apache-2.0
"""Sparkplug B payloads: what two other libraries write is read, and what is written they read."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovmd.sparkplug.readings import reading
from neurovmd.sparkplug.wire import DataType, Metric, Payload, WireError, decode, encode

TESTS = Path(__file__).parents[1]
Ask = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def tahu() -> Iterator[Ask]:
    """Asks a process that runs Eclipse Tahu's code."""
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    code = "import tahu.sparkplug_b_pb2"
    there = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True
    )
    if there.returncode:
        pytest.skip("tahu is not installed (scripts/setup.sh test installs it)")
    peer = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(TESTS / "sparkplug_tahu.py")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(request: dict[str, Any]) -> Any:
        assert peer.stdin is not None
        assert peer.stdout is not None
        peer.stdin.write(json.dumps(request) + "\n")
        peer.stdin.flush()
        return json.loads(peer.stdout.readline())

    yield ask
    peer.communicate(timeout=30)


INTEGERS = {
    DataType.INT8: (-(1 << 7), (1 << 7) - 1),
    DataType.INT16: (-(1 << 15), (1 << 15) - 1),
    DataType.INT32: (-(1 << 31), (1 << 31) - 1),
    DataType.INT64: (-(1 << 63), (1 << 63) - 1),
    DataType.UINT8: (0, (1 << 8) - 1),
    DataType.UINT16: (0, (1 << 16) - 1),
    DataType.UINT32: (0, (1 << 32) - 1),
    DataType.UINT64: (0, (1 << 64) - 1),
    DataType.DATETIME: (0, (1 << 63) - 1),
}
EDGES = [
    (kind, value) for kind, (low, high) in INTEGERS.items() for value in (low, 0, 1, high - 1, high)
]
OTHERS: list[tuple[DataType, Any]] = [
    (DataType.FLOAT, 0.15625),
    (DataType.DOUBLE, -1e300),
    (DataType.BOOLEAN, True),
    (DataType.BOOLEAN, False),
    (DataType.STRING, "Grüße"),
    (DataType.TEXT, ""),
]


@pytest.mark.parametrize(("kind", "value"), EDGES + OTHERS)
def test_what_we_write_tahu_reads(tahu: Ask, kind: DataType, value: Any) -> None:
    metric = Metric("a/b", 7, 1_700_000_000_123, kind, is_historical=True, value=value)
    seq, timestamp, (found,) = tahu({"decode": encode(Payload(5, (metric,), 255)).hex()})
    assert (seq, timestamp) == (255, 5)
    assert found[:6] == ["a/b", 7, 1_700_000_000_123, kind, True, False]
    unsigned = isinstance(value, int) and not isinstance(value, bool) and value < 0
    wide = 64 if kind == DataType.INT64 else 32
    assert found[6] == (value + (1 << wide) if unsigned else value)


@pytest.mark.parametrize(("kind", "value"), EDGES + OTHERS)
def test_what_tahu_writes_we_read(tahu: Ask, kind: DataType, value: Any) -> None:
    sent = value
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        # Its addMetric gives negative numbers to unsigned fields as they are, which protobuf
        # refuses: whoever uses it has to make two's complement of 32 or 64 bits first.
        sent = value + (1 << (64 if kind == DataType.INT64 else 32))
    payload = decode(bytes.fromhex(tahu({"encode": [["m", 3, int(kind), sent]], "seq": 9})))
    (metric,) = payload.metrics
    assert (payload.seq, metric.name, metric.alias, metric.datatype) == (9, "m", 3, kind)
    number = reading(metric)
    assert number == (None if kind in (DataType.STRING, DataType.TEXT) else value)


@pytest.mark.parametrize(
    ("kind", "code", "values"),
    [
        (DataType.INT8_ARRAY, "b", [-128, 0, 127]),
        (DataType.INT16_ARRAY, "h", [-32768, 5]),
        (DataType.INT32_ARRAY, "i", [-5, 5]),
        (DataType.INT64_ARRAY, "q", [-5, 1 << 60]),
        (DataType.UINT8_ARRAY, "B", [0, 255]),
        (DataType.UINT16_ARRAY, "H", [65535]),
        (DataType.UINT32_ARRAY, "I", [(1 << 32) - 1]),
        (DataType.UINT64_ARRAY, "Q", [(1 << 64) - 1]),
        (DataType.FLOAT_ARRAY, "f", [0.5, -2.0]),
        (DataType.DOUBLE_ARRAY, "d", [0.1, -2.0]),
        (DataType.BOOLEAN_ARRAY, "?", [True, False, True, True, False, False, False, True, True]),
        (DataType.INT16_ARRAY, "h", []),
    ],
)
def test_arrays_of_another_library(kind: DataType, code: str, values: list[Any]) -> None:
    other = pytest.importorskip("pysparkplug", reason="pysparkplug is not installed (setup.sh)")
    theirs = other.Metric(1, "m", other.DataType(kind), value=values)
    data = other.DData(timestamp=1, seq=1, metrics=(theirs,)).encode(include_dtypes=True)
    found = reading(decode(data).metrics[0])
    assert found == (values if code == "?" else array(code, values))


@pytest.mark.parametrize(
    "metric",
    [
        Metric("m", datatype=DataType.INT16_ARRAY, value=b"123"),
        Metric("m", datatype=DataType.BOOLEAN_ARRAY, value=b"\x09\0\0\0\xff"),
        Metric("m", datatype=DataType.BOOLEAN_ARRAY, value=b"\0"),
        Metric("m", datatype=DataType.FLOAT, value=3),
        Metric("m", datatype=DataType.INT8, value="3"),
        Metric("m", datatype=DataType.BOOLEAN, value=1),
        Metric("m", datatype=DataType.DOUBLE_ARRAY, value=1.0),
    ],
)
def test_values_that_are_not_of_their_type_are_refused(metric: Metric) -> None:
    with pytest.raises(WireError):
        reading(metric)


def test_what_is_no_number_is_nothing() -> None:
    assert reading(Metric("m", datatype=DataType.INT8, is_null=True)) is None
    assert reading(Metric("m", datatype=16)) is None
    assert reading(Metric("m", datatype=99, value=3)) is None


def test_before_a_birth_says_the_type_reals_and_flags_are_known_integers_are_not() -> None:
    assert reading(Metric("m", value=0.5)) == 0.5
    assert reading(Metric("m", value=True)) == 1.0
    assert reading(Metric("m", value=3)) is None


VALUES = st.one_of(
    st.none(),
    st.tuples(st.just(DataType.UINT32), st.integers(0, (1 << 32) - 1)),
    st.tuples(st.just(DataType.UINT64), st.integers(0, (1 << 64) - 1)),
    st.tuples(st.just(DataType.DOUBLE), st.floats(allow_nan=False)),
    st.tuples(st.just(DataType.FLOAT), st.floats(allow_nan=False, width=32)),
    st.tuples(st.just(DataType.BOOLEAN), st.booleans()),
    st.tuples(st.just(DataType.STRING), st.text(max_size=9)),
    st.tuples(st.just(DataType.INT8_ARRAY), st.binary(max_size=9)),
)
METRICS = st.builds(
    lambda name, alias, t_ms, old, value: Metric(
        name, alias, t_ms, 0 if value is None else value[0], old, value is None,
        None if value is None else value[1],
    ),
    st.none() | st.text(max_size=9),
    st.none() | st.integers(0, (1 << 64) - 1),
    st.none() | st.integers(0, (1 << 64) - 1),
    st.booleans(),
    VALUES,
)  # fmt: skip


@given(st.lists(METRICS, max_size=5), st.none() | st.integers(0, 255))
def test_what_is_written_is_read(metrics: list[Metric], seq: int | None) -> None:
    payload = Payload(1, tuple(metrics), seq)
    assert decode(encode(payload)) == payload


@given(st.lists(METRICS, min_size=1, max_size=3), st.data())
def test_cut_and_damaged_payloads_are_read_or_refused(metrics: list[Metric], data: Any) -> None:
    payload = bytearray(encode(Payload(1, tuple(metrics), 3)))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] = data.draw(st.integers(0, 255))
    for damaged in (bytes(payload), bytes(payload[:at])):
        try:
            decode(damaged)
        except WireError as error:
            assert str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",
        b"\x08" + b"\xff" * 10 + b"\x01",
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x12\x02\x0a\x05",
        b"\x0b",
        b"\x00\x00",
        b"\x0d\x01",
        b"\x12\x03\x0a\x01\xff",
        b"\x10\x01",  # metrics that are a number
        b"\x12\x00" * 65537,
    ],
)
def test_broken_payloads_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


def test_fields_that_nothing_needs_are_passed_over() -> None:
    extra = bytes.fromhex("2201612a0262633001") + struct.pack("<Bq", 0x39, 5)
    assert decode(b"\x18\x05" + extra).seq == 5
