# SPDX-License-Identifier: Apache-2.0
"""JSON payloads: one number, a list, or an object by element name, found at a path."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from neurovmd.payload.values import PayloadError, Values

_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]{1,6})\]")
_PATH = re.compile(r"(?:[^.\[\]]+|\[[0-9]{1,6}\])(?:\.[^.\[\]]+|\[[0-9]{1,6}\])*\Z")


class Json(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="json"):
    """`field` is a path such as `value` or `a.b[0]`; empty means the whole payload.

    Numbers and true/false (1/0) are real values. Text, null and missing fields are refused.
    """

    field: str = "value"

    def __post_init__(self) -> None:
        if self.field and not _PATH.match(self.field):
            raise ValueError(f"found {self.field!r}; accepted: a path such as value or a.b[0]")

    def decoder(self) -> Callable[[bytes], Values]:
        """A function from payload to values; it raises PayloadError for what it cannot read."""
        steps = tuple(name or int(index) for name, index in _STEP.findall(self.field))
        decode = msgspec.json.Decoder().decode

        def values(payload: bytes) -> Values:
            try:
                found = decode(payload)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                raise PayloadError(f"not JSON: {error}") from None
            try:
                for step in steps:
                    found = found[step]
            except (KeyError, IndexError, TypeError):
                raise PayloadError(f"no field {self.field!r}") from None
            return found  # type: ignore[no-any-return]  # checked where it is used

        return values
