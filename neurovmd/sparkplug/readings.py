# SPDX-License-Identifier: Apache-2.0
"""What the value of a metric means: numbers, and arrays in bytes (specification 3.0, §6.4.16)."""

from __future__ import annotations

import sys
from array import array
from typing import Any, Union

from neurovmd.sparkplug.wire import DataType, Metric, WireError

_BITS = {
    DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64,
}  # fmt: skip
_UNSIGNED_BITS = {
    DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64,
    DataType.DATETIME: 64,
}  # fmt: skip
_REALS = (DataType.FLOAT, DataType.DOUBLE)
_PACKED = {
    DataType.INT8_ARRAY: "b", DataType.INT16_ARRAY: "h", DataType.INT32_ARRAY: "i",
    DataType.INT64_ARRAY: "q", DataType.UINT8_ARRAY: "B", DataType.UINT16_ARRAY: "H",
    DataType.UINT32_ARRAY: "I", DataType.UINT64_ARRAY: "Q", DataType.FLOAT_ARRAY: "f",
    DataType.DOUBLE_ARRAY: "d", DataType.DATETIME_ARRAY: "q",
}  # fmt: skip

Reading = Union[float, "list[Any]", "array[Any]"]


def reading(metric: Metric) -> Reading | None:
    """A metric's number or numbers; None where it is null or of another kind (text, files, data
    sets, templates). WireError where value and data type do not fit.
    """
    value, kind = metric.value, metric.datatype
    if metric.is_null or value is None:
        return None
    if not kind and isinstance(value, (bool, float)):
        return float(value)  # before the birth that says its type; an integer's sign is not known
    if kind in _BITS or kind in _UNSIGNED_BITS:
        if type(value) is not int:
            raise WireError(f"a value {value!r:.40} of data type {kind}")
        return _integer(value, kind)
    if kind in _REALS:
        if isinstance(value, float):
            return value
        raise WireError(f"a value {value!r:.40} of data type {kind}")
    if kind == DataType.BOOLEAN:
        if not isinstance(value, bool):
            raise WireError(f"a value {value!r:.40} of data type {kind}")
        return float(value)
    if kind == DataType.BOOLEAN_ARRAY or kind in _PACKED:
        if not isinstance(value, bytes):
            raise WireError(f"a value {value!r:.40} of data type {kind}")
        return _flags(value) if kind == DataType.BOOLEAN_ARRAY else _numbers(value, kind)
    return None


def _integer(value: int, kind: int) -> int:
    """Of two's complement: some senders use 32 bits for fewer, some the bits of the type."""
    if kind in _UNSIGNED_BITS:
        return value & ((1 << _UNSIGNED_BITS[DataType(kind)]) - 1)
    bits = _BITS[DataType(kind)]
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _numbers(value: bytes, kind: int) -> array[Any]:
    numbers: array[Any] = array(_PACKED[DataType(kind)])
    if len(value) % numbers.itemsize:
        raise WireError(f"an array of {len(value)} bytes, data type {kind}")
    numbers.frombytes(value)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _flags(value: bytes) -> list[Any]:
    """A count of 4 bytes, then bits from the highest of each byte on."""
    count = int.from_bytes(value[:4], "little")
    if len(value) < 4 or count > 8 * (len(value) - 4):
        raise WireError(f"an array of {count} flags in {len(value)} bytes")
    return [float(value[4 + at // 8] >> (7 - at % 8) & 1) for at in range(count)]
