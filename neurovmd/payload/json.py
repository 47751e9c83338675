# SPDX-License-Identifier: Apache-2.0
"""JSON payloads: one number, a list, or an object by element name, found at a path."""

from __future__ import annotations

from typing import Any

import msgspec

from neurovmd.payload.located import Located
from neurovmd.payload.values import PayloadError, Reader


class Json(Located, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="json"):
    __doc__ = Located.__doc__

    def samples(self) -> Reader:
        """One sample a message."""
        return self.reader(decode)


def decode(payload: bytes) -> Any:
    """What a text in JSON holds; PayloadError where it is none."""
    try:
        return _decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise PayloadError(f"not JSON: {error}") from None


_decode = msgspec.json.Decoder().decode
