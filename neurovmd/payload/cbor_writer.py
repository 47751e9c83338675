# SPDX-License-Identifier: Apache-2.0
"""CBOR (RFC 8949) of numbers, text, booleans, lists and maps, in its shortest forms."""

from __future__ import annotations

import struct
from typing import Any


def encode(item: Any) -> bytes:
    """Write an item; TypeError for other types, OverflowError for integers beyond 64 bits."""
    if isinstance(item, bool):
        return b"\xf5" if item else b"\xf4"
    if item is None:
        return b"\xf6"
    if isinstance(item, int):
        return _head(0, item) if item >= 0 else _head(1, -1 - item)
    if isinstance(item, float):
        return _real(item)
    if isinstance(item, bytes):
        return _head(2, len(item)) + item
    if isinstance(item, str):
        text = item.encode()
        return _head(3, len(text)) + text
    if isinstance(item, list):
        return _head(4, len(item)) + b"".join(map(encode, item))
    if isinstance(item, dict):
        pairs = (encode(key) + encode(value) for key, value in item.items())
        return _head(5, len(item)) + b"".join(pairs)
    raise TypeError(f"no CBOR of {type(item).__name__}")


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * width:
            return bytes([major << 5 | code]) + value.to_bytes(width, "big")
    raise OverflowError(f"an integer of {value.bit_length()} bits")


def _real(value: float) -> bytes:
    """As the narrowest float that has the same value."""
    for code, form in ((0xF9, ">e"), (0xFA, ">f")):
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == value:
            return bytes([code]) + packed
    return b"\xfb" + struct.pack(">d", value)
