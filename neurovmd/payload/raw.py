# SPDX-License-Identifier: Apache-2.0
"""Raw payloads: a whole tensor as little-endian numbers in C order."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from typing import Literal

import msgspec

from neurovmd.payload.values import Codes, PayloadError, Values


def _int16(payload: bytes) -> Values:
    if len(payload) % 2:
        raise PayloadError(f"found {len(payload)} bytes; accepted: a multiple of 2")
    numbers = array("h", payload)
    if sys.byteorder == "big":
        numbers.byteswap()
    return Codes(numbers, "int16")


class Raw(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="raw"):
    """`float32` holds real values; `int8`, `uint8` and `int16` hold the model's own codes.

    The length must be that of the whole tensor.
    """

    dtype: Literal["float32", "int8", "uint8", "int16"] = "float32"

    def decoder(self) -> Callable[[bytes], Values]:
        """A function from payload to values; it raises PayloadError for a broken length."""
        if self.dtype == "int16":
            return _int16
        if self.dtype != "float32":
            return lambda payload: Codes(payload, self.dtype)

        def values(payload: bytes) -> Values:
            if len(payload) % 4:
                raise PayloadError(f"found {len(payload)} bytes; accepted: a multiple of 4")
            numbers = array("f")
            numbers.frombytes(payload)
            if sys.byteorder == "big":
                numbers.byteswap()
            return numbers

        return values
