# SPDX-License-Identifier: Apache-2.0
"""A VM's result as metrics: names are paths such as `line1/top/0/label`, with the stream first."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from neurovmd.sparkplug.wire import DataType, Raw

# What is the same in every result, or of no use beside it.
_LEFT_OUT = frozenset(
    ("vm", "stream", "t_us", "model", "profile", "backend", "kind", "neuron", "coding", "seq_first",
     "sops", "dense_macs", "compute_us")
)  # fmt: skip
MOST_METRICS = 256
MOST_TEXT = 1024
MOST_NUMBERS = 4096
_MOST_DEPTH = 8
_I64 = 1 << 63

Value = tuple[DataType, Raw]


@dataclass(frozen=True, slots=True)
class Result:
    """One result: of which VM and stream, when (ms since 1970), and its values by metric name."""

    vm: str
    stream: str
    t_ms: int
    values: dict[str, Value]


_decode = msgspec.json.Decoder(dict[str, Any]).decode


def read(payload: bytes) -> Result | None:
    """A result as a VM publishes it; None for what is none, such as packed spikes."""
    try:
        found = _decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    vm, stream, t_us = found.get("vm"), found.get("stream"), found.get("t_us")
    if not isinstance(vm, str) or not isinstance(stream, str) or type(t_us) is not int:
        return None
    if not 0 <= t_us < _I64:
        return None
    kept = {key: value for key, value in found.items() if key not in _LEFT_OUT}
    values: dict[str, Value] = {}
    for name, value in _leaves(stream, kept, 0):
        if len(values) >= MOST_METRICS:
            break
        values[name] = value
    return Result(vm, stream, t_us // 1000, values)


def _leaves(name: str, found: object, depth: int) -> Iterator[tuple[str, Value]]:
    """Every value below `name`, in order."""
    if isinstance(found, bool):
        yield name, (DataType.BOOLEAN, found)
    elif isinstance(found, int):
        if -_I64 <= found < _I64:
            yield name, (DataType.INT64, found)
    elif isinstance(found, float):
        yield name, (DataType.DOUBLE, found)
    elif isinstance(found, str):
        yield name, (DataType.STRING, found[:MOST_TEXT])
    elif isinstance(found, list) and found and all(map(_is_number, found)):
        if len(found) <= MOST_NUMBERS:
            yield name, (DataType.DOUBLE_ARRAY, _packed(found))
    elif depth < _MOST_DEPTH and isinstance(found, (dict, list)):
        inner = found.items() if isinstance(found, dict) else enumerate(found)
        for key, value in inner:
            yield from _leaves(f"{name}/{key}", value, depth + 1)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _packed(numbers: list[Any]) -> bytes:
    packed = array("d", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
