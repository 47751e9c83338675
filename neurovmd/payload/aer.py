# SPDX-License-Identifier: Apache-2.0
"""Address events: packed blocks as `neurovm.events.aer` defines them, or JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from neurovm.errors import EventError
from neurovm.events import Events, Geometry, aer, aer_json
from neurovmd.payload.values import PayloadError

Side = Annotated[int, Meta(ge=1, le=1 << 15)]


class Aer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="aer"):
    """`encoding`: packed (layout t,addr or x,y,p,t) or json. `width`, `height` and `polarities` (1:
    an event's polarity is not looked at) are those of the sensor; without them events are known by
    address alone.
    """

    encoding: Literal["packed", "json"] = "packed"
    width: Side | None = None
    height: Side | None = None
    polarities: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        if (self.width is None) != (self.height is None):
            missing, given = ("width", "height") if self.width is None else ("height", "width")
            raise ValueError(f"{missing}: found nothing beside {given}; accepted: both or neither")

    @property
    def geometry(self) -> Geometry | None:
        """The sensor's, where it is known."""
        if self.width is None or self.height is None:
            return None
        return Geometry(self.width, self.height, self.polarities)

    def events(self, size: int) -> Callable[[bytes], Events]:
        """A function from payload to events of `size` addresses; PayloadError for broken ones."""
        accepted: int | Geometry = self.geometry or size
        read = aer.unpack if self.encoding == "packed" else aer_json.load

        def decode(payload: bytes) -> Events:
            try:
                return read(payload, accepted)
            except EventError as error:
                raise PayloadError(str(error)) from None

        return decode
