# SPDX-License-Identifier: Apache-2.0
"""Sparkplug B's `Payload` in protobuf's encoding, read and written (specification 3.0, §6.4).

Fields that nothing here needs (metadata, properties, data sets, templates, extensions) are passed
over. Every length is compared with what is left, and every field takes a byte at least, so that
time and memory follow the size of the message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

MOST_METRICS = 65536
_U64 = (1 << 64) - 1


class WireError(ValueError):
    """Bytes that are no payload of Sparkplug B."""


class DataType(IntEnum):
    """What a metric's value is (§6.4.16); others are passed over."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    DATETIME_ARRAY = 34


Raw = bool | int | float | str | bytes
"""A value as it stands in the message; what it means is said by the data type."""


class Metric(NamedTuple):
    """One metric; `timestamp_ms` since 1970, `value` None where it has none that is read here."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int = 0
    is_historical: bool = False
    is_null: bool = False
    value: Raw | None = None


class Payload(NamedTuple):
    """A message's content; `seq` None where it says none."""

    timestamp_ms: int | None = None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None


_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_METRIC_KINDS = {
    1: _BYTES, 2: _VARINT, 3: _VARINT, 4: _VARINT, 5: _VARINT, 7: _VARINT, 10: _VARINT, 11: _VARINT,
    12: _FIXED32, 13: _FIXED64, 14: _VARINT, 15: _BYTES, 16: _BYTES,
}  # fmt: skip
_PAYLOAD_KINDS = {1: _VARINT, 2: _BYTES, 3: _VARINT}


def decode(data: bytes) -> Payload:
    """Read a payload; WireError where it is none."""
    timestamp_ms = seq = None
    metrics: list[Metric] = []
    for number, found in _fields(data, _PAYLOAD_KINDS):
        if number == 1 and isinstance(found, int):
            timestamp_ms = found
        elif number == 3 and isinstance(found, int):
            seq = found
        elif isinstance(found, bytes):
            if len(metrics) >= MOST_METRICS:
                raise WireError(f"more than {MOST_METRICS} metrics")
            metrics.append(_metric(found))
    return Payload(timestamp_ms, tuple(metrics), seq)


def _metric(data: bytes) -> Metric:
    found: dict[int, int | bytes] = {}
    value: Raw | None = None
    for number, field in _fields(data, _METRIC_KINDS):
        if number < 10:
            found[number] = field
        else:  # one of them, the last
            value = _value(number, field)
    name = found.get(1)
    return Metric(
        None if name is None else _text(name),
        _integer(found.get(2)),
        _integer(found.get(3)),
        _integer(found.get(4)) or 0,
        bool(found.get(5)),
        bool(found.get(7)),
        value,
    )


def _value(number: int, found: int | bytes) -> Raw:
    if isinstance(found, int):
        return bool(found) if number == 14 else found
    if number == 12:
        return float(struct.unpack("<f", found)[0])
    if number == 13:
        return float(struct.unpack("<d", found)[0])
    return _text(found) if number == 15 else found


def _integer(found: int | bytes | None) -> int | None:
    return found if isinstance(found, int) else None


def _text(found: int | bytes) -> str:
    try:
        return found.decode() if isinstance(found, bytes) else ""
    except UnicodeDecodeError:
        raise WireError("text that is no UTF-8") from None


def _fields(data: bytes, kinds: dict[int, int]) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message that are listed in `kinds`, of the kind said there, in order."""
    at, end = 0, len(data)
    while at < end:
        key, at = data[at], at + 1
        if key > 0x7F:
            key, at = _varint(data, at - 1)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field without a number")
        found: int | bytes
        if kind == _VARINT:
            found, at = _varint(data, at)
        else:
            if kind == _BYTES:
                length, at = _varint(data, at)
            elif kind in (_FIXED32, _FIXED64):
                length = 4 if kind == _FIXED32 else 8
            else:
                raise WireError(f"a field of kind {kind}")
            if length > end - at:
                raise WireError(f"it ends {length - end + at} bytes too early")
            found, at = data[at : at + length], at + length
        wanted = kinds.get(number)
        if wanted == kind:
            yield number, found
        elif wanted is not None:
            raise WireError(f"field {number} of kind {kind}; accepted: {wanted}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WireError("it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _U64, at
    raise WireError("a number of more than 64 bits")


def encode(payload: Payload, *, datatypes: bool = True) -> bytes:
    """Write a payload; data that follow a birth leave the data types to it."""
    parts: list[bytes] = []
    if payload.timestamp_ms is not None:
        parts.append(_number(1, payload.timestamp_ms))
    parts += [_block(2, _encoded(metric, datatypes)) for metric in payload.metrics]
    if payload.seq is not None:
        parts.append(_number(3, payload.seq))
    return b"".join(parts)


def _encoded(metric: Metric, datatypes: bool) -> bytes:
    parts: list[bytes] = []
    if metric.name is not None:
        parts.append(_block(1, metric.name.encode()))
    kind = metric.datatype if datatypes and metric.datatype else None
    for number, found in ((2, metric.alias), (3, metric.timestamp_ms), (4, kind)):
        if found is not None:
            parts.append(_number(number, found))
    if metric.is_historical:
        parts.append(_number(5, 1))
    if metric.is_null or metric.value is None:
        parts.append(_number(7, 1))
    else:
        parts.append(_written(metric.datatype, metric.value))
    return b"".join(parts)


def _written(datatype: int, value: Raw) -> bytes:
    """The field of a value; integers of 64 bits and times are long ones."""
    if isinstance(value, bool):
        return _number(14, value)
    if isinstance(value, int):
        wide = datatype in (DataType.INT64, DataType.UINT64, DataType.DATETIME)
        return _number(11, value & _U64) if wide else _number(10, value & 0xFFFFFFFF)
    if isinstance(value, float):
        if datatype == DataType.FLOAT:
            return _varint_of(12 << 3 | _FIXED32) + struct.pack("<f", value)
        return _varint_of(13 << 3 | _FIXED64) + struct.pack("<d", value)
    return _block(15, value.encode()) if isinstance(value, str) else _block(16, value)


def _number(field: int, value: int) -> bytes:
    return _varint_of(field << 3 | _VARINT) + _varint_of(value)


def _block(field: int, data: bytes) -> bytes:
    return _varint_of(field << 3 | _BYTES) + _varint_of(len(data)) + data


def _varint_of(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
