# SPDX-License-Identifier: Apache-2.0
"""CBOR payloads (RFC 8949): as JSON's, found at a path; typed arrays (RFC 8746) are lists too.

A map's whole-number key is a step such as `[3]`.
"""

from __future__ import annotations

from neurovmd.payload.located import Located
from neurovmd.payload.values import Reader


class Cbor(Located, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="cbor"):
    __doc__ = Located.__doc__

    def samples(self) -> Reader:
        """One sample a message."""
        from neurovmd.payload.cbor_items import decode  # for whoever reads CBOR

        return self.reader(decode)
