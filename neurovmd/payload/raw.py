# SPDX-License-Identifier: Apache-2.0
"""Raw payloads: little-endian numbers in C order, such as a whole tensor."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from neurovmd.payload.values import Codes, PayloadError, Reader, Sample, Values


class Raw(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="raw"):
    """`float32` holds real values; `int8`, `uint8` and `int16` hold the model's own codes.

    Without a window the length must be that of the whole tensor.
    """

    dtype: Literal["float32", "int8", "uint8", "int16"] = "float32"

    @property
    def timed(self) -> bool:
        """Never."""
        return False

    def samples(self) -> Reader:
        """One sample a message, without a time."""
        values = self._values()

        def read(topic: str | None, payload: bytes) -> Sequence[Sample]:
            del topic
            return (Sample(None, values(payload)),)

        return read

    def _values(self) -> Callable[[bytes], Values]:
        if self.dtype == "int16":
            return lambda payload: Codes(little_endian("h", payload), "int16")
        if self.dtype == "float32":
            return lambda payload: little_endian("f", payload)
        return lambda payload: Codes(payload, self.dtype)


def little_endian(typecode: str, payload: bytes, *, swapped: bool = False) -> array[int]:
    """Numbers as `array` names their type; `swapped`: they are big-endian.

    PayloadError for bytes that are no whole number of them.
    """
    numbers: array[int] = array(typecode)
    if len(payload) % numbers.itemsize:
        accepted = f"a multiple of {numbers.itemsize}"
        raise PayloadError(f"found {len(payload)} bytes; accepted: {accepted}")
    numbers.frombytes(payload)
    if (sys.byteorder == "big") != swapped:
        numbers.byteswap()
    return numbers
