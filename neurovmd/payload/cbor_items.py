# SPDX-License-Identifier: Apache-2.0
"""What a CBOR item holds (RFC 8949), read from bytes that anybody may have sent.

Own, and small: a decoder here makes numbers, text and lists, and must not follow tags to regular
expressions, dates or shared references, nor numbers of a million digits. Every item takes a byte at
least and every length is compared with what is left before anything is made of it, so that memory
and time follow the payload's size.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from typing import Any

from neurovmd.payload.values import PayloadError

MOST_DEPTH = 32
MOST_ITEMS = 1 << 20
"""Items read one by one, as lists of floats of one width or of numbers below 24 are not."""
# Bignums and exponents beyond these are no float64 anyway.
_MOST_BIGNUM_BYTES = 128
_MOST_EXPONENT = 2000
_BREAK = object()
_INDEFINITE = -1

_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_REALS = {0xF9: struct.Struct(">xe"), 0xFA: struct.Struct(">xf"), 0xFB: struct.Struct(">xd")}
# RFC 8746: tag 64 … 87 as 0b010fsell; there is no float128 in `array`, and half floats are rare.
_TYPED = {
    64: ("B", False), 65: ("H", True), 66: ("I", True), 67: ("Q", True),
    68: ("B", False), 69: ("H", False), 70: ("I", False), 71: ("Q", False),
    72: ("b", False), 73: ("h", True), 74: ("i", True), 75: ("q", True),
    77: ("h", False), 78: ("i", False), 79: ("q", False),
    81: ("f", True), 82: ("d", True), 85: ("f", False), 86: ("d", False),
}  # fmt: skip


def decode(payload: bytes) -> Any:
    """The one item that a payload holds: numbers, true, false, None, text, bytes, lists (of typed
    arrays: `array`) and dicts. PayloadError for everything else.
    """
    items = _Items(payload)
    found = items.next(0)
    if found is _BREAK:
        raise PayloadError("not CBOR: a break outside of any item")
    if items.at != len(payload):
        raise PayloadError(f"not CBOR: {len(payload) - items.at} bytes after the item")
    return found


class _Items:
    """A payload and how far it has been read."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._left = MOST_ITEMS
        self.at = 0

    def next(self, depth: int) -> Any:
        """The next item, or _BREAK."""
        if depth > MOST_DEPTH:
            raise PayloadError(f"not CBOR that is accepted: deeper than {MOST_DEPTH}")
        self._left -= 1
        if self._left < 0:
            raise PayloadError(f"not CBOR that is accepted: more than {MOST_ITEMS} items")
        first = self._take(1)[0]
        major, info = first >> 5, first & 31
        if major == 7:
            return self._simple(info)
        count = self._argument(info)
        if count == _INDEFINITE and major in (0, 1, 6):
            raise PayloadError("not CBOR: an integer or tag without end")
        if major == 0:
            return count
        if major == 1:
            return -1 - count
        if major == 6:
            return _tagged(count, self._whole(depth + 1))
        if major == 4:
            return self._list(count, depth)
        if major == 5:
            return self._map(count, depth)
        return self._text(count) if major == 3 else self._bytes(count, 2)

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._payload):
            raise PayloadError(f"not CBOR: it ends {end - len(self._payload)} bytes too early")
        taken = self._payload[self.at : end]
        self.at = end
        return taken

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info < 28:
            return int.from_bytes(self._take(1 << (info - 24)), "big")
        if info == 31:
            return _INDEFINITE
        raise PayloadError(f"not CBOR: additional information {info}")

    def _simple(self, info: int) -> Any:
        if info in _SIMPLE:
            return _SIMPLE[info]
        if info == 25:
            return struct.unpack(">e", self._take(2))[0]
        if info == 26:
            return struct.unpack(">f", self._take(4))[0]
        if info == 27:
            return struct.unpack(">d", self._take(8))[0]
        if info == 31:
            return _BREAK
        raise PayloadError(f"not CBOR that is accepted: simple value {info}")

    def _whole(self, depth: int) -> Any:
        """An item that is no break."""
        found = self.next(depth)
        if found is _BREAK:
            raise PayloadError("not CBOR: a break in the place of an item")
        return found

    def _list(self, count: int, depth: int) -> list[Any]:
        if count == _INDEFINITE:
            return list(iter(lambda: self.next(depth + 1), _BREAK))
        self._check_room(count)
        numbers = self._numbers(count)
        return [self._whole(depth + 1) for _ in range(count)] if numbers is None else numbers

    def _numbers(self, count: int) -> list[Any] | None:
        """So many floats of one width, or numbers of one byte, at once; None for other lists."""
        first = self._payload[self.at] if count else 0xFF
        form = _REALS.get(first)
        end = self.at + count * (form.size if form else 1)
        if end > len(self._payload):
            return None
        packed = self._payload[self.at : end]
        if form is None:
            if first >= 24 or max(packed) >= 24:
                return None
        elif packed[:: form.size] != packed[:1] * count:
            return None
        self.at = end
        return list(packed) if form is None else [real for (real,) in form.iter_unpack(packed)]

    def _map(self, count: int, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        self._check_room(2 * count)
        while count:
            key = self.next(depth + 1)
            if key is _BREAK and count < 0:
                break
            if not isinstance(key, (int, float, str, bytes)):
                raise PayloadError("not CBOR that is accepted: a key that is no number or text")
            if key in found:
                raise PayloadError(f"not CBOR: the key {key!r:.40} twice")
            found[key] = self._whole(depth + 1)
            count -= 1
        return found

    def _check_room(self, items: int) -> None:
        if items > len(self._payload) - self.at:
            left = len(self._payload) - self.at
            raise PayloadError(f"not CBOR: {items} items in {left} bytes")

    def _bytes(self, count: int, major: int) -> bytes:
        if count != _INDEFINITE:
            return self._take(count)
        parts: list[bytes] = []
        while (first := self._take(1)[0]) != 0xFF:
            length = self._argument(first & 31)
            if first >> 5 != major or length == _INDEFINITE:
                raise PayloadError("not CBOR: a part of text or bytes that is none")
            parts.append(self._take(length))
        return b"".join(parts)

    def _text(self, count: int) -> str:
        try:
            return self._bytes(count, 3).decode()
        except UnicodeDecodeError:
            raise PayloadError("not CBOR: text that is no UTF-8") from None


def _tagged(tag: int, content: Any) -> Any:
    """What a tag makes of its content: numbers of bignums, fractions and typed arrays; the content
    itself of all others.
    """
    if tag in (2, 3):
        if not isinstance(content, bytes) or len(content) > _MOST_BIGNUM_BYTES:
            raise PayloadError("not CBOR that is accepted: a bignum")
        number = int.from_bytes(content, "big")
        return number if tag == 2 else -1 - number
    if tag in (4, 5):
        return _fraction(tag, content)
    if tag in _TYPED:
        return _typed(tag, content)
    return content


def _fraction(tag: int, content: Any) -> float:
    """10^e · m (tag 4) or 2^e · m (tag 5) as the nearest float."""
    is_pair = isinstance(content, list) and [type(each) for each in content] == [int, int]
    if not is_pair or abs(content[0]) > _MOST_EXPONENT or abs(content[1]) >> 1024:
        raise PayloadError(f"not CBOR that is accepted: a fraction {content!r:.40}")
    exponent, mantissa = content
    try:
        return float(f"{mantissa}e{exponent}") if tag == 4 else math.ldexp(mantissa, exponent)
    except OverflowError:
        return math.inf


def _typed(tag: int, content: Any) -> array[Any]:
    typecode, big = _TYPED[tag]
    numbers: array[Any] = array(typecode)
    if not isinstance(content, bytes) or len(content) % numbers.itemsize:
        raise PayloadError(f"not CBOR: a typed array (tag {tag}) that is none")
    numbers.frombytes(content)
    if big != (sys.byteorder == "big"):
        numbers.byteswap()
    return numbers
