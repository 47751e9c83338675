# SPDX-License-Identifier: Apache-2.0
"""JSON payloads: one number, a list, or an object by element name, found at a path."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from neurovmd.payload.values import PayloadError, Values

MOST_US = 1 << 62

_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]{1,6})\]")
_PATH = re.compile(r"(?:[^.\[\]]+|\[[0-9]{1,6}\])(?:\.[^.\[\]]+|\[[0-9]{1,6}\])*\Z")


class Json(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="json"):
    """`field` is a path such as `value` or `a.b[0]`; empty means the whole payload.

    Numbers and true/false (1/0) are real values. Text, null and missing fields are refused.
    `t_us` is the path of the message's time in microseconds, for spiking networks.
    """

    field: str = "value"
    t_us: str | None = None

    def __post_init__(self) -> None:
        if self.field and not _PATH.match(self.field):
            raise ValueError(f"found {self.field!r}; accepted: a path such as value or a.b[0]")
        if self.t_us is not None and not _PATH.match(self.t_us):
            accepted = "a path such as t or head.t_us"
            raise ValueError(f"t_us: found {self.t_us!r}; accepted: {accepted}")

    def decoder(self) -> Callable[[bytes], Values]:
        """A function from payload to values; it raises PayloadError for what it cannot read."""
        return _finder(self.field)

    def clock(self) -> Callable[[bytes], int]:
        """A function from payload to its time in µs; PayloadError where there is none."""
        find = _finder(self.t_us or "")

        def time_us(payload: bytes) -> int:
            found = find(payload)
            if type(found) is not int or not -MOST_US <= found <= MOST_US:
                raise PayloadError(f"{self.t_us}: found {found!r:.40}; accepted: whole µs")
            return found

        return time_us


def _finder(path: str) -> Callable[[bytes], Any]:
    """A function from payload to what is at `path`; PayloadError where nothing is."""
    steps = tuple(name or int(index) for name, index in _STEP.findall(path))
    decode = msgspec.json.Decoder().decode

    def find(payload: bytes) -> Any:
        try:
            found = decode(payload)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise PayloadError(f"not JSON: {error}") from None
        try:
            for step in steps:
                found = found[step]
        except (KeyError, IndexError, TypeError):
            raise PayloadError(f"no field {path!r}") from None
        return found

    return find
